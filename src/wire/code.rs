//! Protocol numbers as open newtypes: any value can be held, the known ones
//! have names.

use core::fmt;

/// Defines an open newtype over `u32` with named constants and a `Display`
/// that prints the name, if it has one, and always the number.
macro_rules! open_code {
    ($(#[$meta:meta])* $type:ident { $($(#[$item_meta:meta])* $name:ident = $value:expr, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(pub u32);

        impl $type {
            $($(#[$item_meta])* pub const $name: Self = Self($value);)*

            /// The standard's name of this value, if it is one that Weir knows.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => write!(f, "{name} ({})", self.0),
                    None => write!(f, "{}", self.0),
                }
            }
        }
    };
}

open_code! {
    /// Command Code, 24 bits on the wire (RFC 6733 section 3.1).
    CommandCode {
        /// CER and CEA, RFC 6733 section 5.3.
        CAPABILITIES_EXCHANGE = 257, "Capabilities-Exchange";
        /// DWR and DWA, RFC 6733 section 5.5.
        DEVICE_WATCHDOG = 280, "Device-Watchdog";
        /// DPR and DPA, RFC 6733 section 5.4.
        DISCONNECT_PEER = 282, "Disconnect-Peer";
        /// ECR and ECA, TS 29.272 clause 7.2.19 and 7.2.20.
        ME_IDENTITY_CHECK = 324, "ME-Identity-Check";
    }
}

open_code! {
    /// Application-ID of the header, and the ids of the capabilities exchange.
    ApplicationId {
        /// Diameter common messages: CER, DWR, DPR.
        COMMON = 0, "Diameter Common Messages";
        /// S13 and S13' (RFC 5516), assigned to 3GPP.
        S13 = 16_777_252, "3GPP S13/S13'";
        /// A relay: has every application in common with everybody.
        RELAY = 0xffff_ffff, "Relay";
    }
}

open_code! {
    /// Vendor-ID: an IANA enterprise number; 0 stands for "no vendor" (IETF).
    VendorId {
        /// The IETF's own AVPs, whose header has no Vendor-ID field.
        NONE = 0, "None";
        /// 3GPP.
        TGPP = 10_415, "3GPP";
    }
}

open_code! {
    /// Result-Code (RFC 6733 section 7.1).
    ResultCode {
        /// The request was done.
        SUCCESS = 2001, "DIAMETER_SUCCESS";
        /// The application is known, the command is not.
        COMMAND_UNSUPPORTED = 3001, "DIAMETER_COMMAND_UNSUPPORTED";
        /// Destination-Host names another node, and Weir does not relay.
        UNABLE_TO_DELIVER = 3002, "DIAMETER_UNABLE_TO_DELIVER";
        /// Destination-Realm is not one that Weir serves.
        REALM_NOT_SERVED = 3003, "DIAMETER_REALM_NOT_SERVED";
        /// Temporary overload.
        TOO_BUSY = 3004, "DIAMETER_TOO_BUSY";
        /// The header's Application-ID is not served.
        APPLICATION_UNSUPPORTED = 3007, "DIAMETER_APPLICATION_UNSUPPORTED";
        /// Flags of the header that cannot stand together.
        INVALID_HDR_BITS = 3008, "DIAMETER_INVALID_HDR_BITS";
        /// A CER from an Origin-Host that is not admitted.
        UNKNOWN_PEER = 3010, "DIAMETER_UNKNOWN_PEER";
        /// A CER of a peer whose own connection to it is kept (RFC 6733 section
        /// 5.6.4).
        ELECTION_LOST = 4003, "DIAMETER_ELECTION_LOST";
        /// An unknown AVP with the M bit.
        AVP_UNSUPPORTED = 5001, "DIAMETER_AVP_UNSUPPORTED";
        /// A value outside its domain.
        INVALID_AVP_VALUE = 5004, "DIAMETER_INVALID_AVP_VALUE";
        /// A required AVP is absent.
        MISSING_AVP = 5005, "DIAMETER_MISSING_AVP";
        /// An AVP that the command forbids.
        AVP_NOT_ALLOWED = 5008, "DIAMETER_AVP_NOT_ALLOWED";
        /// More instances of an AVP than the command permits.
        AVP_OCCURS_TOO_MANY_TIMES = 5009, "DIAMETER_AVP_OCCURS_TOO_MANY_TIMES";
        /// A CER with neither S13 nor the relay application.
        NO_COMMON_APPLICATION = 5010, "DIAMETER_NO_COMMON_APPLICATION";
        /// Anything else that keeps the request from being done.
        UNABLE_TO_COMPLY = 5012, "DIAMETER_UNABLE_TO_COMPLY";
        /// An AVP Length that is impossible, or wrong for the AVP's type.
        INVALID_AVP_LENGTH = 5014, "DIAMETER_INVALID_AVP_LENGTH";
        /// A CER without a security mechanism that both sides have.
        NO_COMMON_SECURITY = 5017, "DIAMETER_NO_COMMON_SECURITY";
    }
}

impl ResultCode {
    /// Whether an answer with this code must set the E bit: all of 3xxx must,
    /// and Weir sets it for no other (RFC 6733 section 7.1).
    #[must_use]
    pub const fn is_protocol_error(self) -> bool {
        self.0 >= 3000 && self.0 < 4000
    }
}

/// Experimental-Result-Code of 3GPP for equipment that no list knows
/// (TS 29.272 clause 7.4.3): always with Vendor-Id 10415, never in Result-Code.
pub const ERROR_EQUIPMENT_UNKNOWN: u32 = 5422;

/// AVP Code, 32 bits on the wire. Its meaning depends on the vendor: see
/// [`AvpKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AvpCode(pub u32);

/// The identity of an AVP: its code together with its vendor.
///
/// 3GPP reuses numbers that the IETF gave to other AVPs (621 to 623, 650), so
/// the code alone says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AvpKey {
    /// The AVP Code.
    pub code: AvpCode,
    /// The vendor; [`VendorId::NONE`] when the header has no Vendor-ID.
    pub vendor: VendorId,
}

impl AvpKey {
    /// An AVP of the IETF.
    #[must_use]
    pub const fn ietf(code: u32) -> Self {
        Self {
            code: AvpCode(code),
            vendor: VendorId::NONE,
        }
    }

    /// An AVP of 3GPP.
    #[must_use]
    pub const fn tgpp(code: u32) -> Self {
        Self {
            code: AvpCode(code),
            vendor: VendorId::TGPP,
        }
    }
}

impl fmt::Display for AvpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match super::dictionary::lookup(*self) {
            Some(known) => write!(f, "{} ({})", known.name, self.code.0),
            None if self.vendor == VendorId::NONE => write!(f, "AVP {}", self.code.0),
            None => write!(f, "AVP {} of vendor {}", self.code.0, self.vendor.0),
        }
    }
}

/// Command Flags: `R P E T r r r r` (RFC 6733 section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandFlags(pub u8);

impl CommandFlags {
    /// R: a request.
    pub const REQUEST: Self = Self(0x80);
    /// P: agents may handle the message.
    pub const PROXIABLE: Self = Self(0x40);
    /// E: an answer with a protocol error.
    pub const ERROR: Self = Self(0x20);
    /// T: possibly sent before, over a connection that failed.
    pub const RETRANSMITTED: Self = Self(0x10);

    /// Whether every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of flags together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// AVP Flags: `V M P r r r r r` (RFC 6733 section 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AvpFlags(pub u8);

impl AvpFlags {
    /// V: the header has a Vendor-ID.
    pub const VENDOR: Self = Self(0x80);
    /// M: whoever does not understand this AVP must refuse the message.
    pub const MANDATORY: Self = Self(0x40);

    /// Whether every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of flags together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_numbers_print_and_known_ones_are_named() {
        assert_eq!(CommandCode(316).to_string(), "316");
        assert_eq!(CommandCode(324).to_string(), "ME-Identity-Check (324)");
        assert_eq!(ApplicationId(0x0100_0024), ApplicationId::S13);
        assert_eq!(AvpKey::tgpp(1402).to_string(), "IMEI (1402)");
        assert_eq!(AvpKey::ietf(1402).to_string(), "AVP 1402");
        assert_eq!(AvpKey::tgpp(9).to_string(), "AVP 9 of vendor 10415");
    }

    #[test]
    fn only_3xxx_sets_the_error_bit() {
        assert!(ResultCode::REALM_NOT_SERVED.is_protocol_error());
        assert!(!ResultCode::SUCCESS.is_protocol_error());
        assert!(!ResultCode::MISSING_AVP.is_protocol_error());
    }
}
