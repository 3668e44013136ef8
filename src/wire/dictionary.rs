//! The AVPs that an EIR meets: names, types and the flags they are sent with.
//!
//! Sources: RFC 6733 section 4.5 (base), RFC 7683 (OC), RFC 7944 (DRMP),
//! RFC 8583 (Load), TS 29.272 clause 7.3 (3GPP),
//! TS 29.061 and TS 29.329 (location and MSISDN). S13 needs so few AVPs that
//! constants beat a dictionary read at start.

use super::code::{AvpFlags, AvpKey};

/// How the data of an AVP is encoded (RFC 6733 sections 4.2 to 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    /// Opaque octets.
    OctetString,
    /// Text in UTF-8.
    Utf8String,
    /// A host's or realm's name.
    DiameterIdentity,
    /// Four octets, big endian.
    Unsigned32,
    /// Four octets, big endian, of a fixed set of values.
    Enumerated,
    /// Eight octets, big endian.
    Unsigned64,
    /// Four octets: seconds since 1900.
    Time,
    /// A family of two octets and an address.
    Address,
    /// AVPs.
    Grouped,
}

impl DataType {
    /// Fewest and most octets that data of this type can have; what a message
    /// can hold bounds the most of types without a bound.
    #[must_use]
    pub const fn lengths(self) -> (u8, u32) {
        match self {
            Self::OctetString | Self::Utf8String | Self::DiameterIdentity | Self::Grouped => {
                (0, u32::MAX)
            }
            Self::Unsigned32 | Self::Enumerated | Self::Time => (4, 4),
            Self::Unsigned64 => (8, 8),
            // IPv4 and IPv6 have 6 and 18; other families are legal.
            Self::Address => (2, u32::MAX),
        }
    }

    /// Octets of the shortest data of this type, for the zero-filled example
    /// in a Failed-AVP (RFC 6733 section 7.5).
    #[must_use]
    pub const fn len_min(self) -> usize {
        match self {
            Self::OctetString | Self::Utf8String | Self::DiameterIdentity | Self::Grouped => 0,
            Self::Unsigned32 | Self::Enumerated | Self::Time => 4,
            Self::Unsigned64 => 8,
            Self::Address => 6,
        }
    }
}

/// What is known of one AVP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvpDefinition {
    /// Code and vendor.
    pub key: AvpKey,
    /// The standard's name.
    pub name: &'static str,
    /// Type of the data.
    pub data_type: DataType,
    /// The flags that Weir sends it with: V with a vendor, M where the
    /// standard says so.
    pub flags: AvpFlags,
}

/// Defines one constant per AVP, and the table of them all.
macro_rules! dictionary {
    ($($name:ident = $owner:ident $code:literal, $text:literal, $type:ident, $m:ident;)*) => {
        $(
            #[doc = concat!($text, " (", stringify!($code), ").")]
            pub const $name: AvpDefinition = AvpDefinition {
                key: AvpKey::$owner($code),
                name: $text,
                data_type: DataType::$type,
                flags: flags!($owner $m),
            };
        )*

        /// Every AVP that Weir has a name for.
        pub const ALL: &[AvpDefinition] = &[$($name),*];

        /// The definition of the AVP with this code and vendor.
        #[must_use]
        pub const fn lookup(key: AvpKey) -> Option<AvpDefinition> {
            $(if key.code.0 == $code && key.vendor.0 == $name.key.vendor.0 { return Some($name); })*
            None
        }
    };
}

/// The flags of one row of the dictionary.
macro_rules! flags {
    (ietf M) => {
        AvpFlags::MANDATORY
    };
    (ietf O) => {
        AvpFlags(0)
    };
    (tgpp M) => {
        AvpFlags::VENDOR.with(AvpFlags::MANDATORY)
    };
    (tgpp O) => {
        AvpFlags::VENDOR
    };
}

dictionary! {
    USER_NAME = ietf 1, "User-Name", Utf8String, M;
    PROXY_STATE = ietf 33, "Proxy-State", OctetString, M;
    EVENT_TIMESTAMP = ietf 55, "Event-Timestamp", Time, M;
    HOST_IP_ADDRESS = ietf 257, "Host-IP-Address", Address, M;
    AUTH_APPLICATION_ID = ietf 258, "Auth-Application-Id", Unsigned32, M;
    ACCT_APPLICATION_ID = ietf 259, "Acct-Application-Id", Unsigned32, M;
    VENDOR_SPECIFIC_APPLICATION_ID = ietf 260, "Vendor-Specific-Application-Id", Grouped, M;
    SESSION_ID = ietf 263, "Session-Id", Utf8String, M;
    ORIGIN_HOST = ietf 264, "Origin-Host", DiameterIdentity, M;
    SUPPORTED_VENDOR_ID = ietf 265, "Supported-Vendor-Id", Unsigned32, M;
    VENDOR_ID = ietf 266, "Vendor-Id", Unsigned32, M;
    FIRMWARE_REVISION = ietf 267, "Firmware-Revision", Unsigned32, O;
    RESULT_CODE = ietf 268, "Result-Code", Unsigned32, M;
    PRODUCT_NAME = ietf 269, "Product-Name", Utf8String, O;
    DISCONNECT_CAUSE = ietf 273, "Disconnect-Cause", Enumerated, M;
    AUTH_SESSION_STATE = ietf 277, "Auth-Session-State", Enumerated, M;
    ORIGIN_STATE_ID = ietf 278, "Origin-State-Id", Unsigned32, M;
    FAILED_AVP = ietf 279, "Failed-AVP", Grouped, M;
    PROXY_HOST = ietf 280, "Proxy-Host", DiameterIdentity, M;
    ERROR_MESSAGE = ietf 281, "Error-Message", Utf8String, O;
    ROUTE_RECORD = ietf 282, "Route-Record", DiameterIdentity, M;
    DESTINATION_REALM = ietf 283, "Destination-Realm", DiameterIdentity, M;
    PROXY_INFO = ietf 284, "Proxy-Info", Grouped, M;
    DESTINATION_HOST = ietf 293, "Destination-Host", DiameterIdentity, M;
    ERROR_REPORTING_HOST = ietf 294, "Error-Reporting-Host", DiameterIdentity, O;
    ORIGIN_REALM = ietf 296, "Origin-Realm", DiameterIdentity, M;
    EXPERIMENTAL_RESULT = ietf 297, "Experimental-Result", Grouped, M;
    EXPERIMENTAL_RESULT_CODE = ietf 298, "Experimental-Result-Code", Unsigned32, M;
    INBAND_SECURITY_ID = ietf 299, "Inband-Security-Id", Unsigned32, M;
    DRMP = ietf 301, "DRMP", Enumerated, O;
    OC_SUPPORTED_FEATURES = ietf 621, "OC-Supported-Features", Grouped, O;
    OC_FEATURE_VECTOR = ietf 622, "OC-Feature-Vector", Unsigned64, O;
    OC_OLR = ietf 623, "OC-OLR", Grouped, O;
    OC_SEQUENCE_NUMBER = ietf 624, "OC-Sequence-Number", Unsigned64, O;
    OC_VALIDITY_DURATION = ietf 625, "OC-Validity-Duration", Unsigned32, O;
    OC_REPORT_TYPE = ietf 626, "OC-Report-Type", Enumerated, O;
    OC_REDUCTION_PERCENTAGE = ietf 627, "OC-Reduction-Percentage", Unsigned32, O;
    SOURCE_ID = ietf 649, "SourceID", DiameterIdentity, O;
    LOAD = ietf 650, "Load", Grouped, O;
    LOAD_TYPE = ietf 651, "Load-Type", Enumerated, O;
    LOAD_VALUE = ietf 652, "Load-Value", Unsigned64, O;
    SUPPORTED_FEATURES = tgpp 628, "Supported-Features", Grouped, O;
    FEATURE_LIST_ID = tgpp 629, "Feature-List-ID", Unsigned32, O;
    FEATURE_LIST = tgpp 630, "Feature-List", Unsigned32, O;
    TGPP_USER_LOCATION_INFO = tgpp 22, "3GPP-User-Location-Info", OctetString, O;
    MSISDN = tgpp 701, "MSISDN", OctetString, M;
    E_UTRAN_CELL_GLOBAL_IDENTITY = tgpp 1602, "E-UTRAN-Cell-Global-Identity", OctetString, O;
    TRACKING_AREA_IDENTITY = tgpp 1603, "Tracking-Area-Identity", OctetString, O;
    TERMINAL_INFORMATION = tgpp 1401, "Terminal-Information", Grouped, M;
    IMEI = tgpp 1402, "IMEI", Utf8String, M;
    SOFTWARE_VERSION = tgpp 1403, "Software-Version", Utf8String, M;
    EQUIPMENT_STATUS = tgpp 1445, "Equipment-Status", Enumerated, M;
    TGPP2_MEID = tgpp 1471, "3GPP2-MEID", OctetString, M;
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_and_names_are_unique() {
        let keys: HashSet<_> = ALL.iter().map(|avp| avp.key).collect();
        let names: HashSet<_> = ALL.iter().map(|avp| avp.name).collect();
        assert_eq!(keys.len(), ALL.len());
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn the_shortest_data_is_acceptable() {
        for avp in ALL {
            let (least, most) = avp.data_type.lengths();
            let shown = avp.data_type.len_min();
            assert!(
                usize::from(least) <= shown && shown <= most as usize,
                "{}",
                avp.name
            );
        }
    }

    #[test]
    fn the_vendor_tells_reused_numbers_apart() {
        assert_eq!(lookup(AvpKey::ietf(621)), Some(OC_SUPPORTED_FEATURES));
        assert_eq!(lookup(AvpKey::tgpp(621)), None);
    }
}
