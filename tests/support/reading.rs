//! A parser that accepts nothing doubtful: what Weir sends must pass it.

/// A message that was read to its last AVP.
#[derive(Clone, Debug)]
pub struct Read {
    /// Command flags.
    pub flags: u8,
    /// Command Code.
    pub command: u32,
    /// Application-ID.
    pub application: u32,
    /// Hop-by-Hop Identifier.
    pub hop_by_hop: u32,
    /// End-to-End Identifier.
    pub end_to_end: u32,
    /// The AVPs of the first level.
    pub avps: Vec<ReadAvp>,
}

/// One AVP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadAvp {
    /// AVP Code.
    pub code: u32,
    /// Vendor-ID, if the V bit is set.
    pub vendor: Option<u32>,
    /// AVP flags.
    pub flags: u8,
    /// The data.
    pub data: Vec<u8>,
    /// Header and data, without padding.
    pub raw: Vec<u8>,
}

/// Big-endian number.
fn be(octets: &[u8]) -> u32 {
    octets
        .iter()
        .fold(0, |number, octet| number << 8 | u32::from(*octet))
}

impl Read {
    /// Reads exactly one message, strictly: every length exact, every padding
    /// there and zero.
    pub fn strictly(bytes: &[u8]) -> Result<Self, String> {
        let read = Self::leniently(bytes)?;
        match ReadAvp::list(&bytes[20..]) {
            (avps, None) => Ok(Self { avps, ..read }),
            (_, Some(problem)) => Err(problem),
        }
    }

    /// Reads the header, which must be sound, and as many AVPs as can be
    /// walked: as a request may be.
    pub fn leniently(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() < 20 {
            return Err(format!("{} octets are no message", bytes.len()));
        }
        if bytes[0] != 1 {
            return Err(format!("version {}", bytes[0]));
        }
        let length = be(&bytes[1..4]) as usize;
        if length != bytes.len() || !length.is_multiple_of(4) {
            return Err(format!("Message Length {length} of {}", bytes.len()));
        }
        Ok(Self {
            flags: bytes[4],
            command: be(&bytes[5..8]),
            application: be(&bytes[8..12]),
            hop_by_hop: be(&bytes[12..16]),
            end_to_end: be(&bytes[16..20]),
            avps: ReadAvp::walk(&bytes[20..]).0,
        })
    }

    /// Splits a stream of messages that must be whole.
    pub fn stream(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            assert!(rest.len() >= 20, "a piece of a message at the end");
            let length = be(&rest[1..4]) as usize;
            assert!(length >= 20 && length <= rest.len(), "length {length}");
            messages.push(rest[..length].to_vec());
            rest = &rest[length..];
        }
        messages
    }

    /// All AVPs of this code without a vendor.
    pub fn all(&self, code: u32) -> Vec<&ReadAvp> {
        self.avps.iter().filter(|avp| avp.is(code, None)).collect()
    }

    /// The only AVP of this code without a vendor, if there is one.
    pub fn only(&self, code: u32) -> Option<&ReadAvp> {
        let all = self.all(code);
        assert!(all.len() <= 1, "AVP {code} {} times", all.len());
        all.first().copied()
    }

    /// The Result-Code.
    pub fn result_code(&self) -> Option<u32> {
        self.only(268).map(ReadAvp::number)
    }

    /// The Experimental-Result-Code, if the vendor is 3GPP.
    pub fn experimental(&self) -> Option<u32> {
        let members = self.only(297)?.members();
        assert_eq!(members[0].code, 266);
        assert_eq!(members[0].number(), 10415);
        assert_eq!(members[1].code, 298);
        Some(members[1].number())
    }

    /// The Equipment-Status.
    pub fn equipment_status(&self) -> Option<u32> {
        let mut found = self.avps.iter().filter(|avp| avp.is(1445, Some(10415)));
        let first = found.next().map(ReadAvp::number);
        assert!(found.next().is_none());
        first
    }

    /// The data of Failed-AVP.
    pub fn failed(&self) -> Option<&[u8]> {
        self.only(279).map(|avp| avp.data.as_slice())
    }

    /// What an ECA says: `Ok(status)`, or `Err(code)` with 5422 for unknown
    /// equipment.
    pub fn verdict(&self) -> Result<u32, u32> {
        match (self.result_code(), self.experimental()) {
            (Some(2001), None) => Ok(self.equipment_status().expect("a status with 2001")),
            (Some(code), None) | (None, Some(code)) => Err(code),
            other => panic!("{other:?}"),
        }
    }
}

impl ReadAvp {
    /// Reads AVPs that fill `bytes`.
    pub fn list(bytes: &[u8]) -> (Vec<Self>, Option<String>) {
        let mut avps = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            match Self::first(rest) {
                Ok((avp, behind)) => {
                    avps.push(avp);
                    rest = behind;
                }
                Err(problem) => {
                    let at = bytes.len() - rest.len();
                    return (avps, Some(format!("AVP at {at}: {problem}")));
                }
            }
        }
        (avps, None)
    }

    /// Walks AVPs as far as their lengths can be followed; the padding of the
    /// last one may be missing, and padding may be anything. Returns them, and
    /// whether a broken one follows.
    pub fn walk(bytes: &[u8]) -> (Vec<Self>, bool) {
        let mut found = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let Some(head) = bytes.get(at..at + 8) else {
                return (found, true);
            };
            let header = if head[4] & 0x80 == 0 { 8 } else { 12 };
            let length = be(&head[5..8]) as usize;
            if length < header || at + length > bytes.len() {
                return (found, true);
            }
            found.push(Self {
                code: be(&head[..4]),
                vendor: (header == 12).then(|| be(&bytes[at + 8..at + 12])),
                flags: head[4],
                data: bytes[at + header..at + length].to_vec(),
                raw: bytes[at..at + length].to_vec(),
            });
            at += length.next_multiple_of(4);
        }
        (found, false)
    }

    /// Reads one AVP and its padding.
    fn first(bytes: &[u8]) -> Result<(Self, &[u8]), String> {
        let header = match bytes.get(4) {
            Some(flags) if flags & 0x80 != 0 => 12,
            Some(_) => 8,
            None => return Err("cut in the header".to_owned()),
        };
        if bytes.len() < header {
            return Err("cut in the header".to_owned());
        }
        let length = be(&bytes[5..8]) as usize;
        let padded = length.div_ceil(4) * 4;
        if length < header || padded > bytes.len() {
            return Err(format!("AVP Length {length} of {}", bytes.len()));
        }
        if bytes[length..padded].iter().any(|octet| *octet != 0) {
            return Err("padding that is not zero".to_owned());
        }
        let avp = Self {
            code: be(&bytes[..4]),
            vendor: (header == 12).then(|| be(&bytes[8..12])),
            flags: bytes[4],
            data: bytes[header..length].to_vec(),
            raw: bytes[..length].to_vec(),
        };
        Ok((avp, &bytes[padded..]))
    }

    /// Whether this is the AVP of this code and vendor. V with vendor 0 is no
    /// vendor.
    pub fn is(&self, code: u32, vendor: Option<u32>) -> bool {
        self.code == code && self.vendor.filter(|vendor| *vendor != 0) == vendor
    }

    /// The data as a number of four octets.
    pub fn number(&self) -> u32 {
        assert_eq!(self.data.len(), 4, "AVP {}", self.code);
        be(&self.data)
    }

    /// The data as text.
    pub fn text(&self) -> &str {
        core::str::from_utf8(&self.data).expect("UTF-8")
    }

    /// The data as AVPs.
    pub fn members(&self) -> Vec<Self> {
        let (members, problem) = Self::list(&self.data);
        assert_eq!(problem, None, "in group {}", self.code);
        members
    }
}
