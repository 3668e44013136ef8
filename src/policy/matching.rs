//! Which policy is for whom, and which lists count for it.

use super::spec::{Combine, Malformed, PolicyError, PolicySpec, Unlisted};
use super::{Inquiry, PolicyId};
use crate::equipment::{Imsi, ListId, Snapshot, Status};
use crate::names::NamePattern;

//----------- Policy ----------------------------------------------------------

/// A [`PolicySpec`] made ready for use.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    /// Its number.
    pub(super) id: PolicyId,
    /// What it is called.
    pub(super) name: String,
    /// For whom it is.
    pub(super) criteria: Criteria,
    /// The lists that count.
    pub(super) lists: ListSet,
    /// The lists that would, if those that are shadows were none.
    pub(super) lists_with_shadows: ListSet,
    /// The rank of each list; `None`: they have the same.
    ranks: Option<Box<[u16]>>,
    /// What is said of a device that no rule covers.
    pub(super) unlisted: Unlisted,
    /// What is said of something that is no IMEI.
    pub(super) malformed: Malformed,
    /// How several rules combine.
    pub(super) combine: Combine,
    /// The status that everything has.
    pub(super) override_status: Option<Status>,
    /// Whether it is for nobody.
    pub(super) shadow: bool,
}

impl Policy {
    /// Makes a policy ready for a snapshot.
    pub(super) fn new(
        id: PolicyId,
        spec: PolicySpec,
        snapshot: &Snapshot,
    ) -> Result<Self, PolicyError> {
        Ok(Self {
            id,
            criteria: Criteria::new(&spec)?,
            lists: ListSet::new(&spec, snapshot, false)?,
            lists_with_shadows: ListSet::new(&spec, snapshot, true)?,
            ranks: (spec.combine == Combine::Order).then(|| ranks(&spec, snapshot)),
            name: spec.name,
            unlisted: spec.unlisted,
            malformed: spec.malformed,
            combine: spec.combine,
            override_status: spec.override_status,
            shadow: spec.shadow,
        })
    }

    /// How early a list was named: the lower, the more it counts.
    #[inline]
    pub(super) fn rank(&self, list: ListId) -> u16 {
        match &self.ranks {
            None => 0,
            Some(ranks) => ranks.get(list.place()).copied().unwrap_or(u16::MAX),
        }
    }
}

/// The rank of each list of a snapshot: the place where the policy names it
/// first, or its own.
fn ranks(spec: &PolicySpec, snapshot: &Snapshot) -> Box<[u16]> {
    let rank = |list: ListId| match &spec.lists {
        None => Some(list.number()),
        // There are no more lists than numbers for them; who repeats them more
        // often ranks the last ones alike.
        Some(lists) => (lists.iter().position(|named| *named == list))
            .map(|place| u16::try_from(place).unwrap_or(u16::MAX)),
    };
    let lists = snapshot.lists();
    lists
        .map(|list| rank(list.id).unwrap_or(u16::MAX))
        .collect()
}

//----------- Criteria --------------------------------------------------------

/// For whom a policy is. A kind without values fits everybody.
#[derive(Clone, Debug)]
pub(super) struct Criteria {
    /// Origin-Hosts of clients.
    pub(super) origin_hosts: Vec<NamePattern>,
    /// Origin-Realms of clients.
    pub(super) origin_realms: Vec<NamePattern>,
    /// First Route-Records.
    pub(super) route_records: Vec<NamePattern>,
    /// First digits of IMSIs.
    pub(super) imsi_prefixes: Vec<ImsiPrefix>,
    /// First and last IMSIs.
    pub(super) imsi_ranges: Vec<(Imsi, Imsi)>,
}

impl Criteria {
    /// Reads the criteria of a policy.
    fn new(spec: &PolicySpec) -> Result<Self, PolicyError> {
        let prefix = |prefix: &String| {
            ImsiPrefix::parse(prefix).ok_or_else(|| PolicyError::ImsiPrefix {
                policy: spec.name.clone(),
                prefix: prefix.clone(),
            })
        };
        let range = |(from, to): &(String, String)| {
            parse_range(from, to).ok_or_else(|| PolicyError::ImsiRange {
                policy: spec.name.clone(),
                from: from.clone(),
                to: to.clone(),
            })
        };
        let names = |names: &[String]| {
            let parsed = names.iter().map(|name| {
                NamePattern::parse(name).ok_or_else(|| PolicyError::Name {
                    policy: spec.name.clone(),
                    name: name.clone(),
                })
            });
            parsed.collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            origin_hosts: names(&spec.origin_hosts)?,
            origin_realms: names(&spec.origin_realms)?,
            route_records: names(&spec.route_records)?,
            imsi_prefixes: spec
                .imsi_prefixes
                .iter()
                .map(prefix)
                .collect::<Result<_, _>>()?,
            imsi_ranges: spec
                .imsi_ranges
                .iter()
                .map(range)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether the policy is for everybody.
    pub(super) fn is_empty(&self) -> bool {
        self.origin_hosts.is_empty()
            && self.origin_realms.is_empty()
            && self.route_records.is_empty()
            && self.imsi_prefixes.is_empty()
            && self.imsi_ranges.is_empty()
    }

    /// Whether the policy is for this inquiry.
    pub(super) fn fit(&self, inquiry: &Inquiry<'_>) -> bool {
        fits(&self.origin_hosts, |name| name.fits(inquiry.origin_host))
            && fits(&self.origin_realms, |name| name.fits(inquiry.origin_realm))
            && fits(&self.route_records, |name| {
                inquiry.route_record.is_some_and(|node| name.fits(node))
            })
            && fits(&self.imsi_prefixes, |prefix| {
                inquiry.imsi.is_some_and(|imsi| prefix.covers(imsi))
            })
            && fits(&self.imsi_ranges, |&(from, to)| {
                // IMSIs with as many digits as both ends lie between them as
                // their numbers do; others lie outside.
                inquiry.imsi.is_some_and(|imsi| (from..=to).contains(&imsi))
            })
    }
}

/// Whether any value fits, or there is none.
fn fits<T>(values: &[T], fit: impl Fn(&T) -> bool) -> bool {
    values.is_empty() || values.iter().any(fit)
}

/// Two IMSIs, the first of which is not higher, with as many digits.
fn parse_range(from: &str, to: &str) -> Option<(Imsi, Imsi)> {
    let from = Imsi::parse(from.as_bytes()).ok()?;
    let to = Imsi::parse(to.as_bytes()).ok()?;
    (from.digits() == to.digits() && from <= to).then_some((from, to))
}

/// The first digits of IMSIs.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImsiPrefix {
    /// How many: 1 to 15.
    pub(super) digits: usize,
    /// The digits as a number.
    pub(super) number: u64,
}

impl ImsiPrefix {
    /// Reads 1 to 15 digits.
    fn parse(text: &str) -> Option<Self> {
        let digits = text.len();
        if !(1..=Imsi::MAX_DIGITS).contains(&digits)
            || !text.bytes().all(|byte| byte.is_ascii_digit())
        {
            return None;
        }
        let number = text.parse().ok()?;
        Some(Self { digits, number })
    }

    /// Whether the IMSI begins with these digits.
    fn covers(self, imsi: Imsi) -> bool {
        self.digits <= imsi.digits() && imsi.front(self.digits) == self.number
    }
}

//----------- ListSet ---------------------------------------------------------

/// The lists that count for a policy.
#[derive(Clone, Debug)]
pub(super) enum ListSet {
    /// Every list.
    All,
    /// One bit for each list.
    Some(Box<[u64]>),
}

impl ListSet {
    /// Reads the lists of a policy, with or without those that are shadows.
    fn new(
        spec: &PolicySpec,
        snapshot: &Snapshot,
        with_shadows: bool,
    ) -> Result<Self, PolicyError> {
        let is_shadow = |list| snapshot.list(list).is_some_and(|list| list.shadow);
        let all: Vec<ListId>;
        let lists = match &spec.lists {
            Some(lists) => lists,
            None if with_shadows || snapshot.lists().all(|list| !list.shadow) => {
                return Ok(Self::All);
            }
            None => {
                all = snapshot.lists().map(|list| list.id).collect();
                &all
            }
        };
        let mut words = vec![0; snapshot.lists().len().div_ceil(WORD)].into_boxed_slice();
        for &list in lists {
            let word = match snapshot.list(list) {
                Some(_) => words.get_mut(list.place() / WORD),
                None => None,
            };
            let Some(word) = word else {
                return Err(PolicyError::List {
                    policy: spec.name.clone(),
                    list,
                });
            };
            if with_shadows || !is_shadow(list) {
                *word |= 1 << (list.place() % WORD);
            }
        }
        Ok(Self::Some(words))
    }

    /// Whether a list counts.
    #[inline]
    pub(super) fn contains(&self, list: ListId) -> bool {
        match self {
            Self::All => true,
            Self::Some(words) => words
                .get(list.place() / WORD)
                .is_some_and(|word| word >> (list.place() % WORD) & 1 == 1),
        }
    }
}

/// The bits of a word.
const WORD: usize = u64::BITS as usize;

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equipment::{Builder, ImeiError, Status};

    /// An inquiry of this client about this subscriber.
    fn inquiry<'a>(host: &'a str, realm: &'a str, imsi: &str) -> Inquiry<'a> {
        Inquiry {
            imei: Err(ImeiError::Empty),
            svn: None,
            imsi: Imsi::parse(imsi.as_bytes()).ok(),
            origin_host: host.as_bytes(),
            origin_realm: realm.as_bytes(),
            route_record: None,
        }
    }

    /// Owned texts.
    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.into()).collect()
    }

    #[test]
    fn every_kind_must_fit_and_any_value() {
        let mut spec = PolicySpec::new("test");
        let fit = |spec: &PolicySpec, inquiry| Criteria::new(spec).unwrap().fit(&inquiry);
        assert!(fit(&spec, inquiry("", "", "")));

        spec.origin_hosts = texts(&["mme1.example", "mme2.example"]);
        assert!(fit(&spec, inquiry("MME2.Example", "other", "")));
        assert!(!fit(&spec, inquiry("mme3.example", "", "")));
        assert!(!fit(&spec, inquiry("mme1.example.", "", "")));

        spec.origin_realms = texts(&["example"]);
        assert!(fit(&spec, inquiry("mme1.example", "EXAMPLE", "")));
        assert!(!fit(&spec, inquiry("mme1.example", "example.org", "")));

        spec.route_records = texts(&["*.dra.example"]);
        assert!(!fit(&spec, inquiry("mme1.example", "EXAMPLE", "")));
        for (node, expected) in [("", false), ("a.DRA.example", true), ("dra.example", false)] {
            let routed = Inquiry {
                route_record: Some(node.as_bytes()),
                ..inquiry("mme1.example", "example", "")
            };
            assert_eq!(fit(&spec, routed), expected, "{node}");
        }
        spec.route_records.clear();

        spec.imsi_prefixes = texts(&["00101", "9"]);
        assert!(fit(&spec, inquiry("mme1.example", "example", "001011")));
        assert!(fit(
            &spec,
            inquiry("mme1.example", "example", "999999999999999")
        ));
        assert!(!fit(&spec, inquiry("mme1.example", "example", "001021")));
        assert!(!fit(&spec, inquiry("mme1.example", "example", "")));

        spec.imsi_ranges = vec![("001010000000010".into(), "001010000000020".into())];
        for (imsi, expected) in [
            ("001010000000009", false),
            ("001010000000010", true),
            ("001010000000020", true),
            ("001010000000021", false),
            ("00101000000015", false),
        ] {
            assert_eq!(
                fit(&spec, inquiry("mme1.example", "example", imsi)),
                expected,
                "{imsi}"
            );
        }
    }

    #[test]
    fn a_prefix_longer_than_the_imsi_does_not_fit() {
        // As numbers, these two are the same.
        let longer = ImsiPrefix::parse("0001010").unwrap();
        assert!(!longer.covers(Imsi::parse(b"001010").unwrap()));
        let prefix = ImsiPrefix::parse("0010100").unwrap();
        assert!(prefix.covers(Imsi::parse(b"0010100").unwrap()));
        for wrong in ["", "+1", "1234567890123456", "00x"] {
            assert!(ImsiPrefix::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn refuses_ranges_that_cannot_be_meant() {
        for (from, to) in [
            ("001010000000020", "001010000000010"),
            ("001010", "0010100"),
            ("00101", "00102"),
            ("", "001010"),
            ("001010", "x"),
        ] {
            assert!(parse_range(from, to).is_none(), "{from} to {to}");
        }
        assert!(parse_range("001010", "001010").is_some());
    }

    #[test]
    fn lists_count_or_not() {
        let mut builder = Builder::new();
        let lists: Vec<ListId> = (0..130)
            .map(|_| builder.list("some", Status::Blacklisted).unwrap())
            .collect();
        builder.shadow(lists[5]).unwrap();
        let snapshot = builder.finish();
        let mut spec = PolicySpec::new("test");
        let new = |spec: &PolicySpec, shadows| ListSet::new(spec, &snapshot, shadows).unwrap();
        let (all, most) = (new(&spec, true), new(&spec, false));
        spec.lists = Some([0, 5, 63, 64, 129].map(|index| lists[index]).to_vec());
        let (more, some) = (new(&spec, true), new(&spec, false));
        spec.lists = Some(Vec::new());
        let none = new(&spec, true);
        for (index, &list) in lists.iter().enumerate() {
            assert!(all.contains(list));
            assert_eq!(most.contains(list), index != 5);
            assert_eq!(more.contains(list), [0, 5, 63, 64, 129].contains(&index));
            assert_eq!(some.contains(list), [0, 63, 64, 129].contains(&index));
            assert!(!none.contains(list));
        }
        spec.lists = Some(vec![lists[3]]);
        assert_eq!(
            ListSet::new(&spec, &Snapshot::default(), false).unwrap_err(),
            PolicyError::List {
                policy: "test".into(),
                list: lists[3]
            },
        );
    }
}
