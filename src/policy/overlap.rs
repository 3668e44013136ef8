//! Policies that are in each other's way.
//!
//! What a policy is for is a product: Origin-Hosts × Origin-Realms × first
//! Route-Records × IMSIs. One product holds another if each of its factors
//! does, and two meet if all of their factors do. The factors are compared
//! exactly. That several policies only together leave nothing for another is
//! not looked for, nor which hosts and realms really go together.

use super::matching::{Criteria, ImsiPrefix, Policy};
use crate::equipment::Imsi;
use crate::names::NamePattern;

/// What is to be said of these policies, which are asked in this order, one
/// line each.
pub(super) fn warnings(policies: &[Policy]) -> Vec<String> {
    let audiences: Vec<Audience<'_>> = policies
        .iter()
        .map(|policy| Audience::of(&policy.criteria))
        .collect();
    let mut warnings = Vec::new();
    for (number, (policy, audience)) in policies.iter().zip(&audiences).enumerate() {
        let name = &policy.name;
        if audience.is_empty() {
            warnings.push(format!(
                "policy `{name}` is for nobody: no IMSI has one of its prefixes and lies in one of its ranges"
            ));
            continue;
        }
        let before = policies.iter().zip(&audiences).take(number);
        // A shadow takes nothing from a policy that is none.
        let before: Vec<_> = before
            .filter(|(earlier, _)| policy.shadow || !earlier.shadow)
            .collect();
        if let Some((earlier, _)) = before.iter().find(|(_, other)| other.includes(audience)) {
            warnings.push(format!(
                "policy `{name}` is never reached: policy `{}` before it is for everybody that it is for",
                earlier.name
            ));
            continue;
        }
        for (earlier, _) in before.iter().filter(|(_, other)| other.meets(audience)) {
            warnings.push(format!(
                "policies `{}` and `{name}` overlap: where both fit, `{}` applies, as it comes first",
                earlier.name, earlier.name
            ));
        }
    }
    warnings
}

//----------- Audience --------------------------------------------------------

/// Everybody that a policy is for.
struct Audience<'a> {
    /// Origin-Hosts, Origin-Realms, and first Route-Records; those without a
    /// pattern hold everything.
    names: [&'a [NamePattern]; 3],
    /// The subscribers; `None`: all, and requests that name none.
    imsis: Option<Imsis>,
}

impl<'a> Audience<'a> {
    /// Everybody that fits.
    fn of(criteria: &'a Criteria) -> Self {
        let prefixes = criteria.imsi_prefixes.as_slice();
        let ranges = criteria.imsi_ranges.as_slice();
        let by_prefix = (!prefixes.is_empty()).then(|| Imsis::with_prefixes(prefixes));
        let by_range = (!ranges.is_empty()).then(|| Imsis::in_ranges(ranges));
        Self {
            names: [
                &criteria.origin_hosts,
                &criteria.origin_realms,
                &criteria.route_records,
            ],
            imsis: match (by_prefix, by_range) {
                (Some(one), Some(other)) => Some(one.and(&other)),
                (one, other) => one.or(other),
            },
        }
    }

    /// Whether there is nobody.
    fn is_empty(&self) -> bool {
        self.imsis.as_ref().is_some_and(|imsis| imsis.0.is_empty())
    }

    /// Whether everybody of the other is here.
    fn includes(&self, other: &Self) -> bool {
        let names = self.names.iter().zip(&other.names).all(|(own, other)| {
            own.is_empty()
                || !other.is_empty()
                    && other
                        .iter()
                        .all(|name| own.iter().any(|own| own.includes(name)))
        });
        names
            && match (&self.imsis, &other.imsis) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(own), Some(other)) => own.includes(other),
            }
    }

    /// Whether somebody of the other is here.
    fn meets(&self, other: &Self) -> bool {
        let names = self.names.iter().zip(&other.names).all(|(own, other)| {
            own.is_empty()
                || other.is_empty()
                || own.iter().any(|own| {
                    other
                        .iter()
                        .any(|other| own.includes(other) || other.includes(own))
                })
        });
        let imsis = match (&self.imsis, &other.imsis) {
            (None, _) => !other.is_empty(),
            (_, None) => !self.is_empty(),
            (Some(own), Some(other)) => !own.and(other).0.is_empty(),
        };
        names && imsis
    }
}

//----------- Imsis -----------------------------------------------------------

/// A set of IMSIs: their number of digits with the first and the last of them,
/// sorted, without any that touch.
#[derive(Debug, PartialEq)]
struct Imsis(Vec<(usize, u64, u64)>);

impl Imsis {
    /// Those that have one of these prefixes.
    fn with_prefixes(prefixes: &[ImsiPrefix]) -> Self {
        let spans = prefixes.iter().flat_map(|prefix| {
            let shortest = prefix.digits.max(Imsi::MIN_DIGITS);
            (shortest..=Imsi::MAX_DIGITS).map(|digits| {
                let size = (prefix.digits..digits).fold(1, |size, _| size * 10);
                let first = prefix.number * size;
                (digits, first, first + (size - 1))
            })
        });
        Self::of(spans.collect())
    }

    /// Those that lie in one of these ranges.
    fn in_ranges(ranges: &[(Imsi, Imsi)]) -> Self {
        let spans = ranges
            .iter()
            .map(|(from, to)| (from.digits(), from.number(), to.number()));
        Self::of(spans.collect())
    }

    /// Sorts spans, and joins those that overlap or touch.
    fn of(mut spans: Vec<(usize, u64, u64)>) -> Self {
        spans.sort_unstable();
        let mut joined: Vec<(usize, u64, u64)> = Vec::new();
        for (digits, from, to) in spans {
            match joined.last_mut() {
                Some(last) if last.0 == digits && from <= last.2.saturating_add(1) => {
                    last.2 = last.2.max(to);
                }
                _ => joined.push((digits, from, to)),
            }
        }
        Self(joined)
    }

    /// Those that are in both.
    fn and(&self, other: &Self) -> Self {
        let pairs = self
            .0
            .iter()
            .flat_map(|own| other.0.iter().map(move |other| (own, other)));
        let spans = pairs.filter_map(|(own, other)| {
            let (from, to) = (own.1.max(other.1), own.2.min(other.2));
            (own.0 == other.0 && from <= to).then_some((own.0, from, to))
        });
        Self::of(spans.collect())
    }

    /// Whether all of the other are here.
    fn includes(&self, other: &Self) -> bool {
        other.0.iter().all(|(digits, from, to)| {
            self.0
                .iter()
                .any(|own| own.0 == *digits && own.1 <= *from && *to <= own.2)
        })
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use crate::equipment::Snapshot;
    use crate::policy::{PolicySpec, Rulebook};

    /// A policy `name` for these hosts, realms, prefixes and ranges.
    fn policy(name: &str, [hosts, realms, prefixes, ranges]: [&[&str]; 4]) -> PolicySpec {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let range = |text: &&str| {
            let (from, to) = text.split_once('-').unwrap();
            (from.to_owned(), to.to_owned())
        };
        PolicySpec {
            origin_hosts: texts(hosts),
            origin_realms: texts(realms),
            imsi_prefixes: texts(prefixes),
            imsi_ranges: ranges.iter().map(range).collect(),
            ..PolicySpec::new(name)
        }
    }

    /// The first words of what is said of two policies.
    fn said(first: PolicySpec, second: PolicySpec) -> String {
        let default = PolicySpec::new("default");
        let rulebook =
            Rulebook::new(Snapshot::default(), None, default, vec![first, second]).unwrap();
        let warnings = rulebook.overlaps();
        assert!(warnings.len() <= 1, "{warnings:?}");
        let told = warnings.first().map_or("", String::as_str);
        told.split(':').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn policies_in_the_way_are_told() {
        const REACHED: &str = "policy `b` is never reached";
        const OVERLAP: &str = "policies `a` and `b` overlap";
        for (first, second, expected) in [
            // Names.
            ([&["x"][..], &[], &[], &[]], [&["y"][..], &[], &[], &[]], ""),
            ([&["x"], &[], &[], &[]], [&["X"], &[], &[], &[]], REACHED),
            (
                [&["x", "y"], &[], &[], &[]],
                [&["y"], &[], &[], &[]],
                REACHED,
            ),
            (
                [&["y"], &[], &[], &[]],
                [&["x", "y"], &[], &[], &[]],
                OVERLAP,
            ),
            (
                [&["*.n"], &[], &[], &[]],
                [&["x.n"], &["r"], &[], &[]],
                REACHED,
            ),
            (
                [&["x.n"], &[], &[], &[]],
                [&["*.n"], &[], &[], &[]],
                OVERLAP,
            ),
            ([&["x"], &[], &[], &[]], [&[], &["r"], &[], &[]], OVERLAP),
            ([&["x"], &["r"], &[], &[]], [&["x"], &["s"], &[], &[]], ""),
            // Subscribers.
            (
                [&[], &[], &["00101"], &[]],
                [&[], &[], &["001012"], &[]],
                REACHED,
            ),
            (
                [&[], &[], &["001012"], &[]],
                [&[], &[], &["00101"], &[]],
                OVERLAP,
            ),
            ([&[], &[], &["00101"], &[]], [&[], &[], &["00102"], &[]], ""),
            (
                [&[], &[], &["00101"], &[]],
                [&[], &[], &[], &["001010000000000-001019999999999"]],
                REACHED,
            ),
            (
                [&[], &[], &[], &["001010000000000-001019999999999"]],
                [&[], &[], &["00101"], &[]],
                OVERLAP,
            ),
            // Two that touch hold what lies across.
            (
                [&[], &[], &[], &["001010-001014", "001015-001019"]],
                [&[], &[], &[], &["001013-001016"]],
                REACHED,
            ),
            (
                [&[], &[], &[], &["001010-001019"]],
                [&[], &[], &[], &["0010100-0010199"]],
                "",
            ),
            // Ten digits make a prefix whole.
            (
                [
                    &[],
                    &[],
                    &[
                        "010", "011", "012", "013", "014", "015", "016", "017", "018", "019",
                    ],
                    &[],
                ],
                [&[], &[], &["01"], &[]],
                REACHED,
            ),
            // Requests without an IMSI are left over.
            ([&[], &[], &["0"], &[]], [&["x"], &[], &[], &[]], OVERLAP),
            (
                [&["x"], &[], &[], &[]],
                [&[], &[], &["00101"], &["001020-001029"]],
                "policy `b` is for nobody",
            ),
        ] {
            assert_eq!(
                said(policy("a", first), policy("b", second)),
                expected,
                "{first:?} {second:?}"
            );
        }
    }

    #[test]
    fn a_shadow_is_in_the_way_of_shadows_only() {
        let host = [&["x"][..], &[], &[], &[]];
        for (first, second, told) in [
            (false, false, true),
            (false, true, true),
            (true, true, true),
            (true, false, false),
        ] {
            let [first, second] = [("a", first), ("b", second)].map(|(name, shadow)| PolicySpec {
                shadow,
                ..policy(name, host)
            });
            assert_eq!(!said(first, second).is_empty(), told);
        }
    }
}
