//! What a verdict is asked for.

use crate::equipment::{Imei, ImeiError, Imsi, Svn};

/// One question to the register: a device, and who asks, for whom.
///
/// The names of the client compare without regard to ASCII case, as
/// DiameterIdentities do.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry<'a> {
    /// The IMEI, or why what was sent is none.
    pub imei: Result<Imei, ImeiError>,
    /// The software version that was sent beside the IMEI, which counts more
    /// than one inside the IMEI.
    pub svn: Option<Svn>,
    /// The subscriber, if one was named.
    pub imsi: Option<Imsi>,
    /// The Origin-Host of the client.
    pub origin_host: &'a [u8],
    /// The Origin-Realm of the client.
    pub origin_realm: &'a [u8],
    /// The first Route-Record, if the request came by an agent.
    pub route_record: Option<&'a [u8]>,
}

impl Inquiry<'_> {
    /// The software version, wherever it was sent.
    pub(super) fn known_svn(&self) -> Option<Svn> {
        match (self.svn, self.imei) {
            (Some(svn), _) => Some(svn),
            (None, Ok(imei)) => imei.svn,
            (None, Err(_)) => None,
        }
    }
}
