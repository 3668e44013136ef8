//! Cuts a stream of octets into Diameter messages, and finds the way back to
//! a message boundary after octets were lost (RFC 6733 clause 3).

/// Octets of a Diameter header.
pub(super) const HEADER_LEN: usize = 20;

/// The most that a message may claim when its place in the stream is only
/// guessed: real ones are far shorter, and a wrong guess would swallow as many
/// octets as it claims. 1 MiB, the largest message Weir can be set to take.
const GUESSED_LEN_MAX: usize = 1 << 20;

/// The length that a header claims, if it can be one: version 1, at least a
/// header, a multiple of 4. The 24-bit field itself bounds it to 16 MiB.
pub(super) fn claimed_len(bytes: &[u8]) -> Option<usize> {
    let [1, high, middle, low, ..] = *bytes else {
        return None;
    };
    let len = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    (len >= HEADER_LEN && len % 4 == 0).then_some(len)
}

/// Whether octets begin like a Diameter message although nothing else says
/// that they should: a possible length, no reserved flag, and a command code
/// from the ranges that RFC 6733 clause 11.2 and 3GPP use.
pub(super) fn is_plausible(bytes: &[u8]) -> bool {
    let Some(&[flags, c0, c1, c2]) = bytes.get(4..8) else {
        return false;
    };
    let command = u32::from_be_bytes([0, c0, c1, c2]);
    let known = matches!(command, 257..=399 | 0x80_0000..=0x80_00ff);
    bytes.len() >= HEADER_LEN
        && claimed_len(bytes).is_some_and(|len| len <= GUESSED_LEN_MAX)
        && flags & 0x0f == 0
        && known
}

/// Cuts one direction of a TCP connection.
#[derive(Debug)]
pub(super) struct Framer {
    /// The beginning of a message that is not complete.
    buffer: Vec<u8>,
    /// Whether the next octet begins or continues a message; if not, a
    /// boundary is looked for at the beginning of each segment.
    aligned: bool,
    /// Octets of a damaged message that are still to come.
    discard: u64,
    /// Whether this direction is known to be Diameter.
    trusted: bool,
    /// Octets left out as not Diameter.
    stray: u64,
}

impl Framer {
    /// A framer. `aligned`: the first octet begins a message, because the
    /// stream was seen from its beginning. `trusted`: the port says Diameter.
    pub(super) fn new(aligned: bool, trusted: bool) -> Self {
        Self {
            buffer: Vec::new(),
            aligned,
            discard: 0,
            trusted,
            stray: 0,
        }
    }

    /// Takes the octets of one segment, or of its unseen rest, and returns the
    /// messages that are now complete.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Vec<Vec<u8>> {
        if self.discard > 0 {
            let skipped = bytes
                .len()
                .min(usize::try_from(self.discard).unwrap_or(usize::MAX));
            self.discard -= skipped as u64;
            bytes = &bytes[skipped..];
        }
        if bytes.is_empty() {
            return Vec::new();
        }
        if !self.aligned {
            if !is_plausible(bytes) {
                self.stray += bytes.len() as u64;
                return Vec::new();
            }
            self.aligned = true;
        }
        self.buffer.extend_from_slice(bytes);
        self.cut()
    }

    /// Notes that `missing` octets after those pushed were lost. If they all
    /// belong to the message begun, its end is still known; otherwise the next
    /// boundary must be guessed.
    pub(super) fn gap(&mut self, missing: u64) {
        let claimed = claimed_len(&self.buffer).filter(|_| self.aligned);
        let left = match claimed {
            Some(len) => (len - self.buffer.len()) as u64,
            None => self.discard,
        };
        self.buffer.clear();
        self.discard = left.saturating_sub(missing);
        self.aligned = self.aligned && left >= missing;
    }

    /// Octets of a message begun and not completed.
    pub(super) fn unfinished(&self) -> usize {
        self.buffer.len()
    }

    /// Octets left out as not Diameter.
    pub(super) fn stray(&self) -> u64 {
        self.stray
    }

    /// Takes the complete messages from the buffer.
    fn cut(&mut self) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut start = 0;
        loop {
            let rest = &self.buffer[start..];
            if rest.len() < HEADER_LEN {
                break;
            }
            let len = claimed_len(rest).filter(|_| self.trusted || is_plausible(rest));
            let Some(len) = len else {
                self.stray += rest.len() as u64;
                self.aligned = false;
                start = self.buffer.len();
                break;
            };
            let Some(message) = rest.get(..len) else {
                break;
            };
            messages.push(message.to_vec());
            self.trusted = true;
            start += len;
        }
        self.buffer.drain(..start);
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::message;
    use super::*;

    #[test]
    fn a_length_is_taken_only_if_it_can_be_one() {
        let header = |octets: [u8; 4]| claimed_len(&octets);
        assert_eq!(header([1, 0, 0, 20]), Some(20));
        assert_eq!(header([1, 0xff, 0xff, 0xfc]), Some(0xff_fffc));
        assert_eq!(header([1, 0, 0, 16]), None, "shorter than a header");
        assert_eq!(header([1, 0, 0, 22]), None, "not a multiple of 4");
        assert_eq!(header([2, 0, 0, 20]), None, "another version");
        assert_eq!(claimed_len(&[1, 0, 0]), None);
    }

    #[test]
    fn messages_are_cut_at_every_split() {
        let (first, second) = (message(257, 1, 36), message(324, 2, 60));
        let stream = [first.clone(), second.clone()].concat();
        for split in 0..=stream.len() {
            let mut framer = Framer::new(true, true);
            let mut got = framer.push(&stream[..split]);
            got.extend(framer.push(&stream[split..]));
            assert_eq!(got, [first.clone(), second.clone()], "split at {split}");
            assert_eq!((framer.unfinished(), framer.stray()), (0, 0));
        }
    }

    #[test]
    fn a_loss_within_one_message_keeps_the_boundary() {
        let (first, second) = (message(324, 1, 100), message(324, 2, 40));
        let mut framer = Framer::new(true, true);
        assert!(framer.push(&first[..30]).is_empty());
        framer.gap(20);
        // The rest of the damaged message and all of the next in one segment.
        let rest = [&first[50..], &second].concat();
        assert_eq!(framer.push(&rest), [second]);
        assert_eq!(framer.stray(), 0);
    }

    #[test]
    fn two_losses_within_one_message_keep_the_boundary() {
        let (first, second) = (message(324, 1, 100), message(324, 2, 40));
        let mut framer = Framer::new(true, true);
        framer.push(&first[..30]);
        framer.gap(20);
        framer.push(&first[50..60]);
        framer.gap(10);
        assert_eq!(framer.push(&[&first[70..], &second].concat()), [second]);
    }

    #[test]
    fn a_loss_beyond_a_message_is_followed_by_a_search() {
        let (first, lost, third) = (
            message(324, 1, 100),
            message(324, 2, 40),
            message(324, 3, 48),
        );
        let mut framer = Framer::new(true, true);
        framer.push(&first[..30]);
        framer.gap(70 + 20);
        assert!(framer.push(&lost[20..]).is_empty());
        assert_eq!(framer.stray(), 20);
        assert_eq!(framer.push(&third), [third]);
    }

    #[test]
    fn octets_that_are_not_diameter_are_counted() {
        let mut framer = Framer::new(true, true);
        let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on, a TLS hello";
        assert!(framer.push(hello).is_empty());
        assert_eq!(framer.stray(), hello.len() as u64);
        let good = message(280, 9, 20);
        assert_eq!(framer.push(&good), [good]);
    }

    #[test]
    fn an_unknown_command_needs_a_known_port() {
        let odd = message(12, 1, 20);
        assert!(Framer::new(true, false).push(&odd).is_empty());
        assert_eq!(Framer::new(true, true).push(&odd), [odd]);
    }
}
