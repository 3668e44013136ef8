//! Regular expressions about IMEIs, turned into rules when a list is loaded:
//! no expression is ever run on a request.
//!
//! Only what says which digits may stand where can be turned: digits, `.`,
//! `\d`, classes such as `[0-4]`, and repetitions. As in Python's `re.match`,
//! an expression begins at the first digit with or without `^`, and without
//! `$` anything may follow.
//!
//! ```text
//! ^35349006.*        one TAC
//! ^35\d{12}$         a TAC prefix
//! ^3534900[67]       two TACs
//! 353490069873321    one device, its check digit not counted
//! ^35\d+99           refused: what stands where is not fixed
//! ```

use crate::equipment::{Device, Scope, Tac, TacPrefix};

/// The most rules that one expression may become: all TACs under a prefix of
/// five digits. More are a mistake, or better said by a range.
const MAX_SCOPES: usize = 1000;

/// Digits of an IMEI: with and without check digit or software version.
const IMEI_DIGITS: core::ops::RangeInclusive<usize> = 14..=16;

/// Which digits may stand at a place: a bit for each.
type Digits = u16;

/// All ten.
const ANY: Digits = 0x3FF;

/// The devices that an expression matches, as scopes of rules.
///
/// # Errors
///
/// Says what cannot be turned into rules, and how to say it instead.
pub(crate) fn scopes(pattern: &str) -> Result<Vec<Scope>, String> {
    let places = Places::parse(pattern)?;
    let lengths = IMEI_DIGITS.filter(|length| places.allows(*length)).count();
    if lengths == 0 {
        return Err("matches no IMEI of 14, 15 or 16 digits".to_owned());
    }
    let digits = &places.fixed;
    let front = digits.get(..Device::DIGITS).unwrap_or(digits);
    let rest = digits.get(Device::DIGITS..).unwrap_or_default();
    let exact = front.iter().all(|digits| digits.count_ones() == 1);
    if !exact && rest.iter().any(|digits| *digits != ANY) {
        return Err(
            "chooses by check digit or software version, which rules do not; leave the last digits open"
                .to_owned(),
        );
    }
    // What is open at the end needs no rule.
    let used = front.iter().rposition(|digits| *digits != ANY);
    let Some(front) = used.and_then(|last| front.get(..=last)) else {
        return Err(
            "matches every device; say it by `unlisted` of [register] or a policy".to_owned(),
        );
    };
    let mut prefixes: Vec<Vec<u8>> = vec![Vec::new()];
    for digits in front {
        let allowed: Vec<u8> = (0..10u8).filter(|digit| digits >> digit & 1 == 1).collect();
        if prefixes.len().saturating_mul(allowed.len()) > MAX_SCOPES {
            return Err(format!(
                "stands for more than {MAX_SCOPES} prefixes; write a range (imei_from, imei_to) in a list of format \"csv\""
            ));
        }
        prefixes = (prefixes.iter())
            .flat_map(|prefix| {
                let longer = |digit: &u8| [prefix.as_slice(), &[b'0' + digit]].concat();
                allowed.iter().map(longer)
            })
            .collect();
    }
    (prefixes.iter())
        .map(|prefix| scope_of(prefix).ok_or_else(|| "is no prefix of an IMEI".to_owned()))
        .collect()
}

/// All devices that begin with these digits.
fn scope_of(prefix: &[u8]) -> Option<Scope> {
    if let Some(prefix) = TacPrefix::from_digits(prefix) {
        return Some(Scope::TacPrefix(prefix));
    }
    if let Some(tac) = Tac::from_digits(prefix) {
        return Some(Scope::Tac(tac));
    }
    if let Some(device) = Device::from_digits(prefix) {
        return Some(Scope::Device(device));
    }
    let padded = |digit| {
        let mut digits = prefix.to_vec();
        digits.resize(Device::DIGITS, digit);
        Device::from_digits(&digits)
    };
    Some(Scope::Range {
        from: padded(b'0')?,
        to: padded(b'9')?,
    })
}

//----------- Places ----------------------------------------------------------

/// Which digits may stand where.
#[derive(Debug)]
struct Places {
    /// The digits at each place from the first on.
    fixed: Vec<Digits>,
    /// How many more there may be, of any kind; no upper end: `None`.
    more: (usize, Option<usize>),
}

impl Places {
    /// Whether a number with so many digits may match.
    fn allows(&self, length: usize) -> bool {
        let least = self.fixed.len() + self.more.0;
        let most = self.more.1.map(|more| self.fixed.len() + more);
        least <= length && most.is_none_or(|most| length <= most)
    }

    /// Reads an expression.
    fn parse(pattern: &str) -> Result<Self, String> {
        let mut rest = pattern.strip_prefix('^').unwrap_or(pattern);
        let mut places = Self {
            fixed: Vec::new(),
            more: (0, Some(0)),
        };
        while !rest.is_empty() {
            if rest == "$" {
                return Ok(places);
            }
            let (digits, behind) = atom(rest)?;
            let (repeat, behind) = repetition(behind)?;
            places.push(digits, repeat)?;
            rest = behind;
        }
        // Not closed by `$`: anything may follow.
        places.more.1 = None;
        Ok(places)
    }

    /// Appends digits that are repeated.
    fn push(
        &mut self,
        digits: Digits,
        (least, most): (usize, Option<usize>),
    ) -> Result<(), String> {
        let open = self.more != (0, Some(0));
        if !open && most == Some(least) {
            if self.fixed.len() + least > *IMEI_DIGITS.end() {
                return Err("matches no IMEI of 14, 15 or 16 digits".to_owned());
            }
            self.fixed.extend(core::iter::repeat_n(digits, least));
            return Ok(());
        }
        if digits != ANY {
            return Err(
                "leaves open where its digits stand; write one rule for each length".to_owned(),
            );
        }
        self.more.0 = self.more.0.saturating_add(least);
        self.more.1 = match (self.more.1, most) {
            (Some(before), Some(most)) => Some(before.saturating_add(most)),
            _ => None,
        };
        Ok(())
    }
}

/// One digit, or a sign for several, and what stands behind it.
fn atom(text: &str) -> Result<(Digits, &str), String> {
    let mut chars = text.chars();
    let first = chars.next().unwrap_or_default();
    let behind = chars.as_str();
    match first {
        '0'..='9' => Ok((bit(first), behind)),
        '.' => Ok((ANY, behind)),
        '\\' if behind.starts_with('d') => Ok((ANY, behind.get(1..).unwrap_or_default())),
        '[' => {
            let (class, behind) = (behind.split_once(']'))
                .ok_or_else(|| "has a class that is not closed by `]`".to_owned())?;
            Ok((digits_of(class)?, behind))
        }
        '(' | ')' | '|' => {
            Err("has alternatives, which are not translated; write one rule for each".to_owned())
        }
        '$' => Err("has a `$` that is not at the end".to_owned()),
        other => Err(format!(
            "has `{other}`, which is not translated; digits, `.`, `\\d`, classes and repetitions are"
        )),
    }
}

/// The digits of a class, without its brackets.
fn digits_of(class: &str) -> Result<Digits, String> {
    let (inner, negated) = match class.strip_prefix('^') {
        Some(inner) => (inner, true),
        None => (class, false),
    };
    let wrong = || format!("has the class `[{class}]`, which is not of digits");
    let mut digits = 0;
    let chars: Vec<char> = inner.replace("\\d", "0-9").chars().collect();
    let mut index = 0;
    while let Some(&first) = chars.get(index) {
        let last = match (chars.get(index + 1), chars.get(index + 2)) {
            (Some('-'), Some(&last)) => {
                index += 2;
                last
            }
            _ => first,
        };
        index += 1;
        if !(first.is_ascii_digit() && last.is_ascii_digit() && first <= last) {
            return Err(wrong());
        }
        digits |= (first..=last).fold(0, |digits, digit| digits | bit(digit));
    }
    if negated {
        digits = !digits & ANY;
    }
    if digits == 0 {
        Err(wrong())
    } else {
        Ok(digits)
    }
}

/// How often the sign before is repeated, at least and at most, and what
/// stands behind that.
fn repetition(text: &str) -> Result<((usize, Option<usize>), &str), String> {
    let behind = text.get(1..).unwrap_or_default();
    let (repeat, behind) = match text.chars().next() {
        Some('*') => ((0, None), behind),
        Some('+') => ((1, None), behind),
        Some('?') => ((0, Some(1)), behind),
        Some('{') => {
            let wrong = || "has a repetition that is not {n}, {n,} or {n,m}".to_owned();
            let (inner, behind) = behind.split_once('}').ok_or_else(wrong)?;
            let number = |text: &str| -> Result<usize, String> {
                let number = text.trim().parse().map_err(|_| wrong())?;
                // More digits than any IMEI has: the same as far as they go.
                Ok(Ord::min(number, 2 * IMEI_DIGITS.end()))
            };
            let repeat = match inner.split_once(',') {
                None => (number(inner)?, Some(number(inner)?)),
                Some((least, "")) => (number(least)?, None),
                Some((least, most)) => (number(least)?, Some(number(most)?)),
            };
            if repeat.1.is_some_and(|most| most < repeat.0) {
                return Err(wrong());
            }
            (repeat, behind)
        }
        _ => ((1, Some(1)), text),
    };
    if behind.starts_with(['*', '+', '?', '{']) {
        return Err("repeats a repetition, which is not translated".to_owned());
    }
    Ok((repeat, behind))
}

/// The bit of a digit.
fn bit(digit: char) -> Digits {
    digit.to_digit(10).map_or(0, |digit| 1 << digit)
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_become_the_scopes_that_they_match() {
        for (pattern, expected) in [
            ("^35349006.*", "TAC 35349006"),
            ("35349006", "TAC 35349006"),
            ("^35349006[0-9]{6,8}$", "TAC 35349006"),
            (r"^35\d{12}$", "TAC prefix 35"),
            ("^666.*", "TAC prefix 666"),
            ("^3534900[67]", "TAC 35349006; TAC 35349007"),
            ("^3[^0-7]", "TAC prefix 38; TAC prefix 39"),
            ("^353490069873321$", "device 35349006987332"),
            ("^3534900698733210$", "device 35349006987332"),
            ("^35349006987332", "device 35349006987332"),
            (r"^35349006987332\d$", "device 35349006987332"),
            (
                "^35349006987.{3,5}$",
                "devices 35349006987000 to 35349006987999",
            ),
            (r"^35349006\d{4}[1]", "1000"),
        ] {
            let found = scopes(pattern);
            if expected == "1000" {
                assert!(found.unwrap_err().contains("more than 1000"), "{pattern}");
                continue;
            }
            let found: Vec<String> = found.unwrap().iter().map(ToString::to_string).collect();
            assert_eq!(found.join("; "), expected, "{pattern}");
        }
        assert_eq!(scopes(r"^35349006\d\d\d5").unwrap().len(), 1000);
    }

    #[test]
    fn what_cannot_be_turned_says_why() {
        for (pattern, fragment) in [
            ("", "matches every device"),
            (".*", "matches every device"),
            (r"^\d{15}$", "matches every device"),
            (r"^35\d+99", "where its digits stand"),
            ("^(35|36)", "one rule for each"),
            ("^35|36", "one rule for each"),
            ("^35$", "matches no IMEI"),
            (r"^35\d{20}", "matches no IMEI"),
            ("^35[a-f]", "not of digits"),
            ("^35[", "not closed"),
            ("^35[]", "not of digits"),
            ("^35$6", "not at the end"),
            ("^35{x}", "is not {n}"),
            ("^35{2,1}", "is not {n}"),
            ("^35.*?", "repeats a repetition"),
            (r"^35\w", "which is not translated"),
            ("^35ä", "which is not translated"),
            (r"^35\d{12}0$", "check digit"),
        ] {
            let error = scopes(pattern).unwrap_err();
            assert!(error.contains(fragment), "{pattern}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_expression_panics(pattern in "[\\^0-9.\\\\d\\[\\]{},*+?$|()-]{0,24}") {
            if let Ok(scopes) = scopes(&pattern) {
                proptest::prop_assert!(scopes.len() <= MAX_SCOPES && !scopes.is_empty());
            }
        }

        /// The scopes cover a device if each of its digits is in the set of
        /// its place, and only then.
        #[test]
        fn scopes_cover_what_the_expression_says(
            sets in proptest::collection::vec(proptest::collection::btree_set(0..10u8, 1..4), 1..7),
            other in 0..100_000_000_000_000u64,
            aimed in proptest::bool::ANY,
        ) {
            let mut pattern = "^".to_owned();
            for set in &sets {
                let digits: String = set.iter().map(ToString::to_string).collect();
                pattern += &format!("[{digits}]");
            }
            let mut digits: Vec<u8> = format!("{other:014}").bytes().map(|byte| byte - b'0').collect();
            if aimed {
                for (digit, set) in digits.iter_mut().zip(&sets) {
                    let nth = usize::from(*digit) % set.len();
                    *digit = *set.iter().nth(nth).unwrap();
                }
            }
            let expected = digits.iter().zip(&sets).all(|(digit, set)| set.contains(digit));
            let text: Vec<u8> = digits.iter().map(|digit| b'0' + digit).collect();
            let device = Device::from_digits(&text).unwrap();
            let found = scopes(&pattern).unwrap();
            let covered = found.iter().any(|scope| scope.covers(device, None) == Some(true));
            proptest::prop_assert_eq!(covered, expected, "{}", pattern);
        }
    }
}
