//! The data of an AVP for people, identities hidden unless asked for.

use crate::equipment::{Imei, Imsi};
use crate::wire::{Avp, DataType, dictionary};

/// Whether IMEIs and IMSIs are printed in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Masking {
    /// Only TAC and network are shown.
    Masked,
    /// They are.
    Shown,
}

impl Masking {
    /// In full if somebody asked for it.
    pub(super) const fn shown_if(wanted: bool) -> Self {
        match wanted {
            true => Self::Shown,
            false => Self::Masked,
        }
    }
}

/// Octets of data that are printed at most.
const SHOWN_MAX: usize = 80;

/// Digits in a row from which on a text may hold an IMEI or an IMSI: nearly all
/// IMSIs have fifteen, IMEIs have fourteen.
const IDENTITY_DIGITS: usize = 14;

/// Digits that stay visible of such a run: country and network of an IMSI.
const VISIBLE_DIGITS: usize = 5;

/// The data of an AVP.
pub(super) fn value(avp: &Avp<'_>, masking: Masking) -> String {
    let known = dictionary::lookup(avp.key());
    if avp.key() == dictionary::IMEI.key {
        return imei(avp.data(), masking);
    }
    if avp.key() == dictionary::USER_NAME.key {
        return imsi(avp.data(), masking);
    }
    let number = avp.unsigned32().map(u64::from).or_else(|| avp.unsigned64());
    match (known.map(|known| known.data_type), number) {
        (Some(DataType::Utf8String | DataType::DiameterIdentity), _) => text(avp.data(), masking),
        (
            Some(
                DataType::Unsigned32 | DataType::Unsigned64 | DataType::Enumerated | DataType::Time,
            ),
            Some(number),
        ) => number.to_string(),
        (Some(DataType::Address), _) => address(avp.data()),
        (Some(DataType::Grouped), _) => members(avp, masking),
        // An unknown AVP may hold an identity in any encoding.
        _ => octets(avp.data(), masking),
    }
}

/// An IMEI as received.
pub(super) fn imei(data: &[u8], masking: Masking) -> String {
    match (Imei::parse(data), masking) {
        (Ok(imei), Masking::Masked) => imei.masked().to_string(),
        (Err(_), Masking::Masked) => format!("malformed ({} octets)", data.len()),
        (_, Masking::Shown) => shown(data),
    }
}

/// An IMSI as received.
pub(super) fn imsi(data: &[u8], masking: Masking) -> String {
    match (Imsi::parse(data), masking) {
        (Ok(imsi), Masking::Masked) => imsi.masked().to_string(),
        (Err(_), Masking::Masked) => format!("malformed ({} octets)", data.len()),
        (_, Masking::Shown) => shown(data),
    }
}

/// Octets as text, made printable and bounded.
pub(super) fn shown(data: &[u8]) -> String {
    let (front, cut) = match data.get(..SHOWN_MAX) {
        Some(front) if data.len() > SHOWN_MAX => (front, "…"),
        _ => (data, ""),
    };
    String::from_utf8_lossy(front).escape_debug().to_string() + cut
}

/// Quoted text, with runs of digits that may be an identity starred.
fn text(data: &[u8], masking: Masking) -> String {
    let shown = shown(data);
    match masking {
        Masking::Shown => format!("\"{shown}\""),
        Masking::Masked => format!("\"{}\"", mask(&shown)),
    }
}

/// Stars the ends of long runs of digits.
pub(super) fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let other = rest.bytes().skip(digits);
        let other = other.take_while(|octet| !octet.is_ascii_digit()).count();
        // Runs begin and end at ASCII digits, so at boundaries of characters.
        let (run, behind) = rest.split_at(digits);
        let (between, behind) = behind.split_at(other);
        if digits < IDENTITY_DIGITS {
            masked.push_str(run);
        } else {
            masked.push_str(&run[..VISIBLE_DIGITS]);
            masked.extend(core::iter::repeat_n('*', digits - VISIBLE_DIGITS));
        }
        masked.push_str(between);
        rest = behind;
    }
    masked
}

/// An Address: family and octets.
fn address(data: &[u8]) -> String {
    let Some((family, address)) = data.split_first_chunk::<2>() else {
        return format!("{} octets", data.len());
    };
    let v4 = <[u8; 4]>::try_from(address).map(std::net::Ipv4Addr::from);
    let v6 = <[u8; 16]>::try_from(address).map(std::net::Ipv6Addr::from);
    match (family, v4, v6) {
        ([0, 1], Ok(v4), _) => v4.to_string(),
        ([0, 2], _, Ok(v6)) => v6.to_string(),
        _ => format!("{} octets", data.len()),
    }
}

/// The members of a group, in braces.
fn members(group: &Avp<'_>, masking: Masking) -> String {
    let Some(members) = group.members() else {
        return format!("{} octets", group.data().len());
    };
    let print = |member: Result<Avp<'_>, _>| match member {
        Ok(avp) => format!("{} {}", avp.key().code.0, value(&avp, masking)),
        Err(_) => "unreadable".to_owned(),
    };
    // A group within a group within … is still bounded: by the nesting, and by
    // the octets of the message.
    let printed: Vec<_> = members.take(MEMBERS_SHOWN_MAX).map(print).collect();
    format!("{{{}}}", printed.join(", "))
}

/// Members of a group that are printed at most.
const MEMBERS_SHOWN_MAX: usize = 8;

/// Octets of no known meaning.
fn octets(data: &[u8], masking: Masking) -> String {
    if masking == Masking::Masked {
        return format!("{} octets", data.len());
    }
    let front = data.iter().take(SHOWN_MAX / 2);
    let hex: String = front.map(|octet| format!("{octet:02x}")).collect();
    let cut = if data.len() > SHOWN_MAX / 2 {
        "…"
    } else {
        ""
    };
    format!("0x{hex}{cut}")
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_of_digits_are_starred() {
        for (text, masked) in [
            ("", ""),
            (
                "IMEI 49015420323751 is blocked",
                "IMEI 49015********* is blocked",
            ),
            ("001010123456789", "00101**********"),
            ("mme;1767225600;1", "mme;1767225600;1"),
            ("ü49015420323751ü", "ü49015*********ü"),
        ] {
            assert_eq!(mask(text), masked);
        }
    }

    #[test]
    fn identities_are_masked_or_shown() {
        assert_eq!(imei(b"490154203237518", Masking::Masked), "49015420******");
        assert_eq!(imei(b"490154203237518", Masking::Shown), "490154203237518");
        assert_eq!(imei(b"not one", Masking::Masked), "malformed (7 octets)");
        assert_eq!(imsi(b"001010123456789", Masking::Masked), "00101**********");
        assert_eq!(imsi(b"0\n1", Masking::Shown), "0\\n1");
    }

    #[test]
    fn addresses_are_read() {
        assert_eq!(address(&[0, 1, 192, 0, 2, 1]), "192.0.2.1");
        let mut v6 = vec![0, 2];
        v6.extend(std::net::Ipv6Addr::LOCALHOST.octets());
        assert_eq!(address(&v6), "::1");
        assert_eq!(address(&[0, 9, 1]), "3 octets");
    }
}
