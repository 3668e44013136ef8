//! Values to bytes: messages are composed at the end of a buffer that is
//! reused, so composing allocates nothing once the buffer has grown.

use bytes::BytesMut;

use super::avp::Avp;
use super::code::{AvpFlags, AvpKey, VendorId};
use super::dictionary::{AvpDefinition, DataType};
use super::header::{HEADER_LEN, Header};
use super::octets::{len_u32, padded, u24};

/// Composes one message at the end of `out`.
///
/// [`finish`](Self::finish) writes the Message Length. Until then it reads
/// 0xffffff, so that an unfinished message is conspicuous and no receiver takes
/// it for a whole one.
#[derive(Debug)]
pub struct Composer<'o> {
    /// Where the octets go: behind what is composed, zeros for what is to come.
    out: &'o mut BytesMut,
    /// Where this message begins in `out`.
    start: usize,
    /// Where it has come to.
    end: usize,
}

/// Octets that are made ready at once, so that most messages are written
/// without a look at how much room there is left.
const STEP: usize = 256;

impl<'o> Composer<'o> {
    /// Begins a message with `header`; its length is filled in by
    /// [`finish`](Self::finish).
    #[inline(always)]
    #[must_use]
    pub fn begin(out: &'o mut BytesMut, header: &Header) -> Self {
        let mut this = Self::at_end(out);
        let header = Header {
            length: 0x00ff_ffff,
            ..*header
        };
        this.put(&header.compose());
        this
    }

    /// Begins nothing in particular at the end of `out`.
    #[inline(always)]
    fn at_end(out: &'o mut BytesMut) -> Self {
        let start = out.len();
        out.resize(start.saturating_add(STEP), 0);
        Self {
            out,
            start,
            end: start,
        }
    }

    /// An AVP with these octets as its data.
    #[inline(always)]
    pub fn octets(&mut self, avp: &AvpDefinition, data: &[u8]) {
        self.avp_header(avp.key, avp.flags, data.len());
        self.put(data);
        self.pad(data.len());
    }

    /// An AVP of type Unsigned32 or Enumerated.
    ///
    /// Where the AVP is a constant, so are all octets but the value's.
    #[inline(always)]
    pub fn unsigned32(&mut self, avp: &AvpDefinition, value: u32) {
        self.avp_header(avp.key, avp.flags, 4);
        self.put(&value.to_be_bytes());
    }

    /// An AVP of type Unsigned64.
    pub fn unsigned64(&mut self, avp: &AvpDefinition, value: u64) {
        self.octets(avp, &value.to_be_bytes());
    }

    /// An AVP of type Address.
    pub fn address(&mut self, avp: &AvpDefinition, address: HostAddress) {
        match address {
            HostAddress::V4([a, b, c, d]) => self.octets(avp, &[0, 1, a, b, c, d]),
            HostAddress::V6(octets) => {
                self.avp_header(avp.key, avp.flags, 18);
                self.put(&[0, 2]);
                self.put(&octets);
                self.pad(18);
            }
        }
    }

    /// A group: `members` composes what stands in it.
    #[inline]
    pub fn group(&mut self, avp: &AvpDefinition, members: impl FnOnce(&mut Self)) {
        self.group_of(avp.key, avp.flags, members);
    }

    /// A group with a key and flags that no definition gives.
    #[inline]
    fn group_of(&mut self, key: AvpKey, flags: AvpFlags, members: impl FnOnce(&mut Self)) {
        let start = self.end;
        self.avp_header(key, flags, 0);
        members(self);
        let len = self.end.saturating_sub(start);
        self.patch_length(start.saturating_add(5), len);
    }

    /// An AVP just as it was received, padded with zeros.
    pub fn copy(&mut self, avp: &Avp<'_>) {
        self.put(avp.raw());
        self.pad(avp.raw().len());
    }

    /// An AVP with nothing but zeros in it: an example of what is missing, or
    /// the stand-in for data that must not be repeated.
    pub fn example(&mut self, key: AvpKey, flags: AvpFlags, data_type: DataType) {
        let len = data_type.len_min();
        self.avp_header(key, flags, len);
        self.skip(padded(len));
    }

    /// AVPs that were composed before, padding included.
    #[inline(always)]
    pub fn precomposed(&mut self, avps: &[u8]) {
        self.put(avps);
    }

    /// Octets of this message so far, header included.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether nothing was composed yet; never, as the header comes first.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() < HEADER_LEN
    }

    /// Ends the message: writes its Message Length.
    #[inline(always)]
    pub fn finish(self) {
        let mut this = self;
        let len = this.len();
        this.patch_length(this.start.saturating_add(1), len);
        this.out.truncate(this.end);
    }

    /// The header of an AVP with `len` octets of data. The V bit follows the
    /// vendor, whatever `flags` say: they must not contradict each other.
    #[inline(always)]
    fn avp_header(&mut self, key: AvpKey, flags: AvpFlags, len: usize) {
        let [c0, c1, c2, c3] = key.code.0.to_be_bytes();
        let length = |header_len: usize| u24(len_u32(header_len.saturating_add(len)));
        // Each header in one piece.
        if key.vendor == VendorId::NONE {
            let flags = flags.0 & !AvpFlags::VENDOR.0;
            let [l0, l1, l2] = length(8);
            self.put(&[c0, c1, c2, c3, flags, l0, l1, l2]);
        } else {
            let flags = flags.0 | AvpFlags::VENDOR.0;
            let [l0, l1, l2] = length(12);
            let [v0, v1, v2, v3] = key.vendor.0.to_be_bytes();
            self.put(&[c0, c1, c2, c3, flags, l0, l1, l2, v0, v1, v2, v3]);
        }
    }

    /// Zeros up to the next multiple of four behind `len` octets.
    #[inline(always)]
    fn pad(&mut self, len: usize) {
        self.skip(padded(len).saturating_sub(len));
    }

    /// The next octets.
    #[inline(always)]
    fn put(&mut self, octets: &[u8]) {
        let end = self.end.saturating_add(octets.len());
        if end > self.out.len() {
            self.grow(end);
        }
        // There always is room now.
        if let Some(room) = self.out.get_mut(self.end..end) {
            room.copy_from_slice(octets);
        }
        self.end = end;
    }

    /// So many zeros.
    #[inline(always)]
    fn skip(&mut self, len: usize) {
        self.end = self.end.saturating_add(len);
        if self.end > self.out.len() {
            self.grow(self.end);
        }
    }

    /// Makes room up to `end` at least.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, end: usize) {
        self.out.resize(end.saturating_add(STEP), 0);
    }

    /// Writes a 24-bit length at position `at` of `out`.
    #[inline(always)]
    fn patch_length(&mut self, at: usize, len: usize) {
        let field = self.out.get_mut(at..).and_then(|rest| rest.get_mut(..3));
        if let Some(field) = field {
            field.copy_from_slice(&u24(len_u32(len)));
        }
    }
}

/// AVPs composed on their own, to be inserted with
/// [`Composer::precomposed`] into many messages.
#[must_use]
pub fn precompose(avps: impl FnOnce(&mut Composer<'_>)) -> Box<[u8]> {
    let mut out = BytesMut::new();
    let mut composer = Composer::at_end(&mut out);
    avps(&mut composer);
    let end = composer.end;
    out.truncate(end);
    Box::from(&out[..])
}

/// An address for Host-IP-Address, without the types of any socket layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostAddress {
    /// IPv4.
    V4([u8; 4]),
    /// IPv6.
    V6([u8; 16]),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ApplicationId, CommandCode, CommandFlags, Deframed, deframe, dictionary};

    fn header() -> Header {
        Header {
            length: 0,
            flags: CommandFlags::REQUEST,
            command: CommandCode(257),
            application: ApplicationId::COMMON,
            hop_by_hop: 1,
            end_to_end: 2,
        }
    }

    #[test]
    fn composes_behind_what_is_there() {
        let mut out = BytesMut::from(&b"before"[..]);
        let mut composer = Composer::begin(&mut out, &header());
        composer.octets(&dictionary::USER_NAME, b"001010123456789");
        composer.unsigned32(&dictionary::RESULT_CODE, 2001);
        composer.finish();
        assert_eq!(&out[..6], b"before");
        assert_eq!(&out[6..10], [1, 0, 0, 56]);
        assert_eq!(
            &out[26..],
            b"\x00\x00\x00\x01\x40\x00\x00\x17001010123456789\x00\
            \x00\x00\x01\x0c\x40\x00\x00\x0c\x00\x00\x07\xd1"
        );
    }

    #[test]
    fn group_lengths_cover_their_members() {
        let group = precompose(|out| {
            out.group(&dictionary::TERMINAL_INFORMATION, |out| {
                out.octets(&dictionary::IMEI, b"49015420323751");
                out.octets(&dictionary::SOFTWARE_VERSION, b"86");
            });
        });
        assert_eq!(group.len(), 56);
        assert_eq!(
            &group[..12],
            [0, 0, 5, 0x79, 0xc0, 0, 0, 0x38, 0, 0, 0x28, 0xaf]
        );
    }

    #[test]
    fn addresses_have_their_family() {
        let v4 = precompose(|out| {
            out.address(
                &dictionary::HOST_IP_ADDRESS,
                HostAddress::V4([192, 0, 2, 10]),
            );
        });
        assert_eq!(
            *v4,
            *b"\x00\x00\x01\x01\x40\x00\x00\x0e\x00\x01\xc0\x00\x02\x0a\x00\x00"
        );
        let v6 = precompose(|out| {
            out.address(&dictionary::HOST_IP_ADDRESS, HostAddress::V6([7; 16]));
        });
        assert_eq!(v6.len(), 28);
        assert_eq!(&v6[4..10], [0x40, 0, 0, 26, 0, 2]);
    }

    #[test]
    fn an_unfinished_message_is_conspicuous() {
        let mut out = BytesMut::new();
        let _ = Composer::begin(&mut out, &header());
        assert!(matches!(deframe(&out, 1 << 20), Deframed::Broken(_)));
    }
}
