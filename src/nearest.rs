//! The suggestion behind "did you mean …?".

/// The most that two names may differ, in letters, to be taken for a slip.
const MAX_SLIPS: usize = 3;

/// The one of `known` that `name` was most likely meant to be.
///
/// None if nothing is near: a third of the letters may differ, at most three.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase();
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, candidate), *candidate))
        .filter(|(slips, candidate)| {
            let shorter = name.chars().count().min(candidate.chars().count());
            *slips <= MAX_SLIPS && *slips <= shorter.div_ceil(3)
        })
        .min()
        .map(|(_, candidate)| candidate)
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_forgiven_and_strangers_are_not() {
        let known = ["watchdog", "write_timeout", "listen"];
        assert_eq!(nearest("watchdgo", &known), Some("watchdog"));
        assert_eq!(nearest("Listen", &known), Some("listen"));
        assert_eq!(nearest("write_timout", &known), Some("write_timeout"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(nearest("", &known), None);
    }
}
