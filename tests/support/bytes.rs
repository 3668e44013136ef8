//! Messages put together octet by octet (RFC 6733 sections 3 and 4).

/// AVP flag M alone.
pub const M: u8 = 0x40;
/// AVP flag V alone.
pub const V: u8 = 0x80;
/// AVP flags V and M.
pub const VM: u8 = 0xc0;

/// The enterprise number of 3GPP.
pub const TGPP: u32 = 10415;

/// Command flags R and P.
pub const RP: u8 = 0xc0;
/// Command flag R.
pub const R: u8 = 0x80;

/// Application-ID of S13.
pub const S13: u32 = 16_777_252;

/// The identities of the worked example.
pub const EIR: &str = "eir1.epc.mnc001.mcc001.3gppnetwork.org";
/// The client's Origin-Host.
pub const MME: &str = "mme1.epc.mnc001.mcc001.3gppnetwork.org";
/// The realm of both.
pub const REALM: &str = "epc.mnc001.mcc001.3gppnetwork.org";
/// The Session-Id of every request built here.
pub const SESSION: &str = "mme1.epc.mnc001.mcc001.3gppnetwork.org;1;2;s13";

/// An AVP whose AVP Length is `length`, whatever its data are; padded with
/// zeros. The vendor is written exactly if there is one, whatever the flags.
pub fn raw_avp(code: u32, flags: u8, vendor: Option<u32>, length: usize, data: &[u8]) -> Vec<u8> {
    let mut out = code.to_be_bytes().to_vec();
    out.push(flags);
    let length = u32::try_from(length).expect("a length");
    out.extend_from_slice(&length.to_be_bytes()[1..]);
    if let Some(vendor) = vendor {
        out.extend_from_slice(&vendor.to_be_bytes());
    }
    out.extend_from_slice(data);
    while !out.len().is_multiple_of(4) {
        out.push(0);
    }
    out
}

/// An AVP with the AVP Length that its data have.
pub fn avp(code: u32, flags: u8, vendor: Option<u32>, data: &[u8]) -> Vec<u8> {
    let header = if vendor.is_some() { 12 } else { 8 };
    raw_avp(code, flags, vendor, header + data.len(), data)
}

/// An AVP of the IETF with M.
pub fn base(code: u32, data: impl AsRef<[u8]>) -> Vec<u8> {
    avp(code, M, None, data.as_ref())
}

/// An AVP of the IETF with M and four octets of data.
pub fn number(code: u32, value: u32) -> Vec<u8> {
    base(code, value.to_be_bytes())
}

/// An AVP of 3GPP with V and M.
pub fn tgpp(code: u32, data: impl AsRef<[u8]>) -> Vec<u8> {
    avp(code, VM, Some(TGPP), data.as_ref())
}

/// The concatenation of AVPs, as the data of a group.
pub fn group(members: &[Vec<u8>]) -> Vec<u8> {
    members.concat()
}

/// Terminal-Information with these members.
pub fn terminal(members: &[Vec<u8>]) -> Vec<u8> {
    tgpp(1401, group(members))
}

/// Terminal-Information with this IMEI alone.
pub fn terminal_of(imei: impl AsRef<[u8]>) -> Vec<u8> {
    terminal(&[tgpp(1402, imei)])
}

/// Failed-AVP as it must be sent, with these octets in it.
pub fn failed(content: &[u8]) -> Vec<u8> {
    base(279, content)
}

/// A request that is put together, AVP by AVP.
#[derive(Clone, Debug)]
pub struct Request {
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
    /// Its AVPs, padded.
    pub avps: Vec<Vec<u8>>,
}

impl Request {
    /// A request without AVPs.
    pub fn new(flags: u8, command: u32, application: u32) -> Self {
        Self {
            flags,
            command,
            application,
            hop_by_hop: 0x0a0b_0c0d,
            end_to_end: 0x1122_3344,
            avps: Vec::new(),
        }
    }

    /// A CER with S13 within Vendor-Specific-Application-Id.
    pub fn cer() -> Self {
        Self::bare_cer().with(base(260, group(&[number(266, TGPP), number(258, S13)])))
    }

    /// A CER without any application.
    pub fn bare_cer() -> Self {
        Self::new(R, 257, 0)
            .with(base(264, MME))
            .with(base(296, REALM))
            .with(base(257, [0, 1, 192, 0, 2, 10]))
            .with(number(266, 32473))
            .with(avp(269, 0, None, b"example-mme"))
    }

    /// A DWR.
    pub fn dwr() -> Self {
        Self::new(R, 280, 0)
            .with(base(264, MME))
            .with(base(296, REALM))
            .with(number(278, 7))
    }

    /// A DPR with this Disconnect-Cause.
    pub fn dpr(cause: u32) -> Self {
        Self::new(R, 282, 0)
            .with(base(264, MME))
            .with(base(296, REALM))
            .with(number(273, cause))
    }

    /// An ECR for this IMEI, with Software-Version and IMSI.
    pub fn ecr(imei: &str) -> Self {
        Self::new(RP, 324, S13)
            .with(base(263, SESSION))
            .with(number(277, 1))
            .with(base(264, MME))
            .with(base(296, REALM))
            .with(base(283, REALM))
            .with(terminal(&[tgpp(1402, imei), tgpp(1403, "86")]))
            .with(base(1, "001010123456789"))
    }

    /// With one more AVP at the end.
    pub fn with(mut self, avp: Vec<u8>) -> Self {
        self.avps.push(avp);
        self
    }

    /// With one more AVP at the beginning.
    pub fn with_first(mut self, avp: Vec<u8>) -> Self {
        self.avps.insert(0, avp);
        self
    }

    /// Without the AVPs of this code.
    pub fn without(mut self, code: u32) -> Self {
        self.avps.retain(|avp| avp[..4] != code.to_be_bytes());
        self
    }

    /// With `avp` where the first AVP of this code was.
    pub fn instead(mut self, code: u32, avp: Vec<u8>) -> Self {
        let at = self
            .avps
            .iter()
            .position(|avp| avp[..4] == code.to_be_bytes());
        self.avps[at.expect("the AVP to replace")] = avp;
        self
    }

    /// With these command flags.
    pub fn flags(mut self, flags: u8) -> Self {
        self.flags = flags;
        self
    }

    /// With these identifiers.
    pub fn numbered(mut self, hop_by_hop: u32, end_to_end: u32) -> Self {
        self.hop_by_hop = hop_by_hop;
        self.end_to_end = end_to_end;
        self
    }

    /// The octets.
    pub fn bytes(&self) -> Vec<u8> {
        let body = self.avps.concat();
        let length = u32::try_from(20 + body.len()).expect("a length");
        let mut out = vec![1];
        out.extend_from_slice(&length.to_be_bytes()[1..]);
        out.push(self.flags);
        out.extend_from_slice(&self.command.to_be_bytes()[1..]);
        out.extend_from_slice(&self.application.to_be_bytes());
        out.extend_from_slice(&self.hop_by_hop.to_be_bytes());
        out.extend_from_slice(&self.end_to_end.to_be_bytes());
        out.extend_from_slice(&body);
        out
    }
}
