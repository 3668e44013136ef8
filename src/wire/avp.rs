//! Attribute-Value Pairs (RFC 6733 section 4).
//!
//! ```text
//! +---------------------------------------------------------------+
//! |                           AVP Code                            |
//! +---------------+-----------------------------------------------+
//! |V M P r r r r r|                  AVP Length                   |  header and data,
//! +---------------+-----------------------------------------------+  without padding
//! |                    Vendor-ID (only with V)                    |
//! +---------------------------------------------------------------+
//! |  Data ...                                     | 0-3 of padding |
//! ```

use super::NESTING_MAX;
use super::code::{AvpCode, AvpFlags, AvpKey, VendorId};
use super::octets::{Parsed, be_u64, chunk, halves, octet_and_u24, padded, read_u32};

/// One AVP, borrowed from the message that it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avp<'a> {
    /// Code and vendor.
    key: AvpKey,
    /// Flags as received.
    flags: AvpFlags,
    /// How many groups enclose this AVP.
    depth: u8,
    /// Octets of the header: 8, or 12 with a Vendor-ID.
    header_len: u8,
    /// Header and data, without padding; at least the header.
    raw: &'a [u8],
}

impl<'a> Avp<'a> {
    /// Code and vendor. A V bit with Vendor-ID 0 counts as no vendor.
    #[must_use]
    pub const fn key(&self) -> AvpKey {
        self.key
    }

    /// The flags as received.
    #[must_use]
    pub const fn flags(&self) -> AvpFlags {
        self.flags
    }

    /// Whether the M bit is set.
    #[must_use]
    pub const fn is_mandatory(&self) -> bool {
        self.flags.contains(AvpFlags::MANDATORY)
    }

    /// The data, without header and padding.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        // Never the default: made only with a whole header.
        self.raw
            .get(usize::from(self.header_len)..)
            .unwrap_or_default()
    }

    /// Header and data as received, without padding.
    #[must_use]
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The data as Unsigned32 (or the bits of an Enumerated), if it is four
    /// octets long.
    #[must_use]
    pub fn unsigned32(&self) -> Option<u32> {
        read_u32(self.data())
    }

    /// The data as Unsigned64, if it is eight octets long.
    #[must_use]
    pub fn unsigned64(&self) -> Option<u64> {
        let parsed: Parsed<'_, u64> = be_u64(self.data());
        match parsed {
            Ok(([], value)) => Some(value),
            _ => None,
        }
    }

    /// The members of this AVP, taken as a group; `None` when it stands
    /// [`NESTING_MAX`] groups deep already.
    #[must_use]
    pub fn members(&self) -> Option<Avps<'a>> {
        let depth = self.depth.checked_add(1)?;
        (depth <= NESTING_MAX).then_some(Avps {
            rest: self.data(),
            depth,
        })
    }
}

/// An AVP whose length cannot be followed: below its own header, or beyond
/// what encloses it. Whatever would come behind it is unreachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenAvp {
    /// Code and vendor, as far as they could be read; zeros for the rest.
    pub key: AvpKey,
    /// Flags, as far as they could be read.
    pub flags: AvpFlags,
}

/// The AVPs of a message or a group, in order. Ends behind the first broken
/// one.
#[derive(Clone, Copy, Debug)]
pub struct Avps<'a> {
    /// What has not been parsed yet.
    rest: &'a [u8],
    /// How many groups enclose these AVPs.
    depth: u8,
}

impl<'a> Avps<'a> {
    /// The AVPs of the first level of a message.
    pub(super) const fn top(body: &'a [u8]) -> Self {
        Self {
            rest: body,
            depth: 0,
        }
    }

    /// The first AVP and what comes behind it and its padding; `None` if it is
    /// broken.
    #[inline]
    fn first(&self) -> Option<(Avp<'a>, &'a [u8])> {
        let (_, header) = AvpHeader::parse(self.rest).ok()?;
        let header_len = header.len();
        let len = usize::try_from(header.length).ok()?;
        if len < usize::from(header_len) {
            return None;
        }
        let (raw, _) = self.rest.split_at_checked(len)?;
        // The last AVP of a group may lack its padding: encoders that forget
        // it exist, and nothing behind it can be misread.
        let rest = self.rest.get(padded(len)..).unwrap_or_default();
        let avp = Avp {
            key: header.key,
            flags: header.flags,
            depth: self.depth,
            header_len,
            raw,
        };
        Some((avp, rest))
    }

    /// No AVPs.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            rest: &[],
            depth: 0,
        }
    }
}

impl<'a> Iterator for Avps<'a> {
    type Item = Result<Avp<'a>, BrokenAvp>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match self.first() {
            Some((avp, rest)) => {
                self.rest = rest;
                Some(Ok(avp))
            }
            None => {
                let broken = BrokenAvp::salvage(self.rest);
                self.rest = &[];
                Some(Err(broken))
            }
        }
    }
}

impl BrokenAvp {
    /// What can be told of an AVP that could not be parsed.
    #[cold]
    fn salvage(input: &[u8]) -> Self {
        let mut header = [0; 12];
        for (to, from) in header.iter_mut().zip(input) {
            *to = *from;
        }
        match AvpHeader::parse(&header) {
            Ok((_, AvpHeader { key, flags, .. })) => Self { key, flags },
            // Cannot happen: twelve octets hold any AVP header.
            Err(_) => Self {
                key: AvpKey::ietf(0),
                flags: AvpFlags(0),
            },
        }
    }
}

/// The header of an AVP.
struct AvpHeader {
    /// Code and vendor.
    key: AvpKey,
    /// Flags.
    flags: AvpFlags,
    /// AVP Length: header and data.
    length: u32,
}

impl AvpHeader {
    /// Octets of this header on the wire.
    const fn len(&self) -> u8 {
        if self.flags.contains(AvpFlags::VENDOR) {
            12
        } else {
            8
        }
    }

    /// Parses 8 octets, or 12 when the V bit is set.
    #[inline]
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, octets) = chunk(input)?;
        let (code, second) = halves(u64::from_be_bytes(*octets));
        let (flags, length) = octet_and_u24(second);
        let flags = AvpFlags(flags);
        let (rest, vendor) = if flags.contains(AvpFlags::VENDOR) {
            let (rest, vendor) = chunk(rest)?;
            (rest, u32::from_be_bytes(*vendor))
        } else {
            (rest, 0)
        };
        let key = AvpKey {
            code: AvpCode(code),
            vendor: VendorId(vendor),
        };
        Ok((rest, Self { key, flags, length }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two AVPs of the worked ECR: Software-Version "86" and User-Name.
    const TWO: &[u8] = b"\x00\x00\x05\x7b\xc0\x00\x00\x0e\x00\x00\x28\xaf86\x00\x00\
        \x00\x00\x00\x01\x40\x00\x00\x17001010123456789\x00";

    #[test]
    fn walks_padding_and_vendors() {
        let avps: Vec<_> = Avps::top(TWO).map(Result::unwrap).collect();
        assert_eq!(avps.len(), 2);
        assert_eq!(avps[0].key(), AvpKey::tgpp(1403));
        assert_eq!(avps[0].data(), b"86");
        assert_eq!(avps[0].raw().len(), 14);
        assert!(avps[0].is_mandatory());
        assert_eq!(avps[1].key(), AvpKey::ietf(1));
        assert_eq!(avps[1].data(), b"001010123456789");
    }

    #[test]
    fn ends_behind_the_first_broken_one() {
        let cases: [(&[u8], u32); 6] = [
            (b"\x00\x00\x00\x01\x40\x00\x00\x00", 1), // zero length
            (b"\x00\x00\x00\x01\x40\x00\x00\x07\0\0\0\0", 1), // below the header
            (b"\x00\x00\x00\x01\x40\x00\x00\x0d1234", 1), // beyond the end
            (b"\x00\x00\x00\x01", 1),                 // a piece of a header
            (b"\x00\x00\x05\x7b\xc0\x00\x00\x0b\0\0\0\0", 1403), // V, but only 11 octets
            (b"\x00\x00\x05\x7b\xc0\x00\x00\x0c\0\0", 1403), // V, cut in the vendor
        ];
        for (bytes, code) in cases {
            let mut avps = Avps::top(bytes);
            let broken = avps.next().unwrap().unwrap_err();
            assert_eq!(broken.key.code.0, code, "{bytes:?}");
            assert!(avps.next().is_none());
        }
    }

    #[test]
    fn vendor_zero_is_no_vendor() {
        let bytes = b"\x00\x00\x01\x08\xc0\x00\x00\x10\x00\x00\x00\x00host";
        let avp = Avps::top(bytes).next().unwrap().unwrap();
        assert_eq!(avp.key(), AvpKey::ietf(264));
        assert_eq!(avp.data(), b"host");
    }

    #[test]
    fn missing_padding_at_the_end_is_forgiven() {
        let avp = Avps::top(&TWO[..14]).next().unwrap().unwrap();
        assert_eq!(avp.data(), b"86");
    }

    #[test]
    fn numbers_need_their_exact_width() {
        let avp = Avps::top(b"\0\0\x01\x0c\x40\0\0\x0c\0\0\x07\xd1")
            .next()
            .unwrap()
            .unwrap();
        assert_eq!(avp.unsigned32(), Some(2001));
        assert_eq!(avp.unsigned64(), None);
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        // A group in a group in a group …: each header claims all that is left.
        let levels = 12u8;
        let mut bytes = Vec::new();
        for level in 0..levels {
            let len = 8 * (levels - level);
            bytes.extend_from_slice(&[0, 0, 1, 0x17, 0x40, 0, 0, len]);
        }
        let mut avp = Avps::top(&bytes).next().unwrap().unwrap();
        let mut depth = 0;
        while let Some(mut members) = avp.members() {
            avp = members.next().unwrap().unwrap();
            depth += 1;
        }
        assert_eq!(depth, NESTING_MAX);
    }
}
