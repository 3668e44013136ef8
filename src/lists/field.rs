//! Single fields of a list: identities, moments, text. Every error says what
//! is wrong and, for what spreadsheets do to numbers, how it came about.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use crate::equipment::{Device, Imei, ImeiError, Imsi, Svn, Tac, TacPrefix};
use crate::time::UnixTime;

use super::report::plural;

/// The longest reason in bytes: a sentence or two. It is kept in memory and
/// repeated in every explanation.
pub(crate) const MAX_REASON: usize = 512;

/// How much of a wrong field is repeated in the report, in bytes.
const MAX_SHOWN: usize = 40;

//----------- Identities ------------------------------------------------------

/// Reads an IMEI of 14, 15 or 16 digits.
pub(crate) fn imei(text: &[u8]) -> Result<Imei, String> {
    Imei::parse(text).map_err(|error| {
        if let Some(damage) = spreadsheet_damage(text) {
            return damage;
        }
        let shown = show(text);
        match error {
            ImeiError::Length(8) => {
                format!("{shown} has 8 digits; a TAC belongs into the column `tac`")
            }
            ImeiError::Length(digits @ 9..=13) => format!(
                "{shown} has {digits} digits, an IMEI 14 to 16; were leading zeros lost in a spreadsheet?"
            ),
            ImeiError::Length(digits) => {
                let digits = plural(digits as u64, "digit");
                format!("{shown} has {digits}, an IMEI 14 to 16")
            }
            other => format!("{shown} is no IMEI: {other}"),
        }
    })
}

/// Whether a number looks like an IMEI that a spreadsheet has taken a leading
/// zero from: thirteen digits. (What lost its zero and still has fourteen
/// cannot be told from another device.)
pub(crate) fn lost_a_zero(text: &[u8]) -> bool {
    text.len() == 13 && text.iter().all(u8::is_ascii_digit)
}

/// Whether fourteen digits would be an IMEI with its check digit if a zero stood
/// before them. Of others one in ten would be, by chance.
pub(crate) fn is_shifted(device: Device) -> bool {
    let number = device.number();
    // Thirteen digits, and so the zero.
    Device::from_number(number / 10)
        .is_some_and(|whole| u64::from(whole.check_digit()) == number % 10)
}

/// Reads a software version of two digits.
pub(crate) fn svn(text: &[u8]) -> Result<Svn, String> {
    Svn::from_digits(text).ok_or_else(|| match text {
        [digit] if digit.is_ascii_digit() => {
            format!(
                "{} has 1 digit, a software version 2; was a leading zero lost?",
                show(text)
            )
        }
        _ => format!("{} is no software version; it has 2 digits", show(text)),
    })
}

/// Reads a TAC of eight digits.
pub(crate) fn tac(text: &[u8]) -> Result<Tac, String> {
    Tac::from_digits(text).ok_or_else(|| {
        let shown = show(text);
        if let Some(damage) = spreadsheet_damage(text) {
            damage
        } else if !text.iter().all(u8::is_ascii_digit) {
            format!("{shown} is no TAC; it has 8 digits")
        } else {
            match text.len() {
                1..=7 => format!(
                    "{shown} has {}, a TAC 8; was a leading zero lost? (shorter ones belong into `tac_prefix`)",
                    plural(text.len() as u64, "digit")
                ),
                14..=16 => format!("{shown} is an IMEI; it belongs into the column `imei`"),
                digits => format!("{shown} has {digits} digits, a TAC 8"),
            }
        }
    })
}

/// Reads the one to seven first digits of a TAC.
pub(crate) fn tac_prefix(text: &[u8]) -> Result<TacPrefix, String> {
    TacPrefix::from_digits(text).ok_or_else(|| {
        let shown = show(text);
        if text.len() == 8 && text.iter().all(u8::is_ascii_digit) {
            format!("{shown} is a whole TAC; it belongs into the column `tac`")
        } else {
            format!("{shown} is no TAC prefix; it has 1 to 7 digits")
        }
    })
}

/// Reads an IMSI.
pub(crate) fn imsi(text: &[u8]) -> Result<Imsi, String> {
    Imsi::parse(text).map_err(|error| {
        spreadsheet_damage(text).unwrap_or_else(|| format!("{} is no IMSI: {error}", show(text)))
    })
}

/// What a spreadsheet or a data frame made of a number, if it is that.
fn spreadsheet_damage(text: &[u8]) -> Option<String> {
    let digits = |part: &[u8]| part.iter().any(u8::is_ascii_digit);
    let number = |part: &[u8]| {
        digits(part)
            && part
                .iter()
                .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b','))
    };
    if let Some(at) = text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        let (mantissa, exponent) = text.split_at(at);
        let exponent = exponent.get(1..).unwrap_or_default();
        let exponent = exponent.strip_prefix(b"+").unwrap_or(exponent);
        let whole = !exponent.is_empty() && exponent.iter().all(u8::is_ascii_digit);
        return (number(mantissa) && whole).then(|| {
            format!(
                "{} is a number as a spreadsheet rounds it, its last digits are lost; export the column as text",
                show(text)
            )
        });
    }
    let whole = text.strip_suffix(b".0")?;
    (digits(whole) && number(whole)).then(|| {
        format!(
            "{} was exported as a number, its leading zeros may be lost; export the column as text",
            show(text)
        )
    })
}

//----------- Moments ---------------------------------------------------------

/// Which end of its validity a moment is: it says what a date alone means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A date is its first second.
    From,
    /// A date is its last second.
    Until,
}

/// Reads a date or a moment.
pub(crate) fn moment(text: &[u8], end: End) -> Result<UnixTime, String> {
    date(text)
        .map(|date| {
            let time = match end {
                End::From => Time::midnight(),
                End::Until => Time::constant(23, 59, 59, 0),
            };
            date.to_datetime(time)
        })
        .and_then(in_utc)
        .or_else(|| date_time(text))
        .map(|stamp| UnixTime(stamp.as_second()))
        .ok_or_else(|| {
            format!(
                "{} is no date; write 2026-01-31, or 2026-01-31T12:00:00Z for a moment",
                show(text)
            )
        })
}

/// Reads `2026-01-31` or `20260131`.
fn date(text: &[u8]) -> Option<Date> {
    let (year, month, day) = match *text {
        [a, b, c, d, b'-', e, f, b'-', g, h] | [a, b, c, d, e, f, g, h] => {
            ([a, b, c, d], [e, f], [g, h])
        }
        _ => return None,
    };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0i16, |sum, byte| {
            byte.is_ascii_digit()
                .then(|| sum * 10 + i16::from(byte - b'0'))
        })
    };
    let month = i8::try_from(number(&month)?).ok()?;
    let day = i8::try_from(number(&day)?).ok()?;
    Date::new(number(&year)?, month, day).ok()
}

/// Reads a date and time of RFC 3339, without an offset as UTC.
fn date_time(text: &[u8]) -> Option<Timestamp> {
    let text = core::str::from_utf8(text).ok()?;
    // The parsers below take more than is documented here: zone names, weeks,
    // times without minutes.
    let (day, time) = text.split_at_checked(10)?;
    date(day.as_bytes())?;
    let time = time.strip_prefix(['T', 't', ' '])?;
    let clock = time
        .bytes()
        .take_while(|byte| !matches!(byte, b'Z' | b'z' | b'+' | b'-'));
    if clock.clone().filter(|byte| *byte == b':').count() != 2
        || !time
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b":.+-Zz".contains(&byte))
    {
        return None;
    }
    match clock.count() == time.len() {
        true => text.parse::<DateTime>().ok().and_then(in_utc),
        false => text.parse().ok(),
    }
}

/// The moment of a date and time in UTC.
fn in_utc(moment: DateTime) -> Option<Timestamp> {
    TimeZone::UTC.to_timestamp(moment).ok()
}

//----------- Text ------------------------------------------------------------

/// Reads free text of a bounded length.
pub(crate) fn reason(text: &[u8]) -> Result<&str, String> {
    if text.len() > MAX_REASON {
        return Err(format!(
            "has {} bytes; at most {MAX_REASON} are kept",
            text.len()
        ));
    }
    core::str::from_utf8(text)
        .map_err(|_| "is not UTF-8; convert the file, for example with iconv".to_owned())
}

/// A field as a report repeats it: between backquotes, cut if it is long,
/// unprintable characters escaped.
pub(crate) fn show(text: &[u8]) -> String {
    let (front, more) = match text.get(..MAX_SHOWN) {
        Some(front) if text.len() > MAX_SHOWN => (front, "…"),
        _ => (text, ""),
    };
    let front = String::from_utf8_lossy(front);
    let mut shown = String::with_capacity(front.len() + 4);
    shown.push('`');
    for letter in front.chars() {
        match letter.is_control() {
            true => shown.extend(letter.escape_default()),
            false => shown.push(letter),
        }
    }
    shown.push_str(more);
    shown.push('`');
    shown
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_that_date_says() {
        // Each number is the output of `date -u -d TEXT +%s`.
        for (text, end, seconds) in [
            ("2026-01-31", End::From, 1_769_817_600),
            ("20260131", End::From, 1_769_817_600),
            ("2026-01-31", End::Until, 1_769_903_999),
            ("2024-02-29", End::Until, 1_709_251_199),
            ("1970-01-01", End::From, 0),
            ("2026-01-31T12:00:00Z", End::From, 1_769_860_800),
            ("2026-01-31t12:00:00z", End::Until, 1_769_860_800),
            ("2026-01-31 12:00:00", End::From, 1_769_860_800),
            ("2026-01-31T12:00:00.75Z", End::From, 1_769_860_800),
            ("2026-01-31T12:00:00+02:00", End::From, 1_769_853_600),
            ("2026-01-31T12:00:00-05:30", End::From, 1_769_880_600),
        ] {
            assert_eq!(
                moment(text.as_bytes(), end),
                Ok(UnixTime(seconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "2026-02-29",
            "2026-13-01",
            "2026-1-1",
            "31.01.2026",
            "01/31/2026",
            "260131",
            "2026-01-31T25:00:00Z",
            "2026-01-31T12:00Z",
            "2026-01-31T12:00:00[Europe/Berlin]",
            "2026-01-31T",
            "today",
            "99999-01-01",
            "äääää",
        ] {
            assert!(moment(text.as_bytes(), End::From).is_err(), "{text}");
        }
    }

    #[test]
    fn the_damage_of_spreadsheets_is_told() {
        for (text, fragment) in [
            ("4.90154E+13", "its last digits are lost"),
            ("4,90154e14", "its last digits are lost"),
            ("490154203237518.0", "exported as a number"),
            (
                "4901542032375",
                "13 digits, an IMEI 14 to 16; were leading zeros lost",
            ),
            ("49015420", "belongs into the column `tac`"),
            ("49015420323751812", "has 17 digits"),
            ("49015420323751x", "is no IMEI"),
            ("1e", "is no IMEI"),
            ("e5", "is no IMEI"),
        ] {
            let error = imei(text.as_bytes()).unwrap_err();
            assert!(error.contains(fragment), "{text}: {error}");
            assert!(error.contains(text), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_shown_is_short_and_printable() {
        assert_eq!(show(b"a\x1b[2J"), "`a\\u{1b}[2J`");
        assert_eq!(show(&[b'9'; 41]).chars().count(), 43);
        assert_eq!(show(b"\xff"), "`\u{fffd}`");
    }
}
