//! From an inquiry to the policy that is for it, however many there are.
//!
//! All kinds of criteria that a policy has must fit, so it is enough to find it
//! by one of them. Each policy is filed under the values of the kind that the
//! fewest others share; an inquiry is looked up once for each kind, and only
//! what is found is compared in full, in the order of the policies. So the
//! policies that are for others cost nothing, one or a thousand.

use rustc_hash::FxHashMap;

use super::Inquiry;
use super::matching::{Criteria, Policy};
use crate::equipment::Imsi;
use crate::names::NamePattern;

/// Where policies are found. The numbers are places among the policies, in
/// ascending order wherever there are several.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    /// Those that every inquiry is compared with.
    always: Vec<u16>,
    /// By Origin-Host.
    origin_hosts: Names,
    /// By Origin-Realm.
    origin_realms: Names,
    /// By the first Route-Record.
    route_records: Names,
    /// By the first digits of the IMSI: how many, and what they are.
    imsi_prefixes: Vec<(usize, FxHashMap<u64, Vec<u16>>)>,
    /// By the IMSI.
    imsi_ranges: Segments,
}

/// The kinds of criteria.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// Ranges of IMSIs.
    ImsiRange,
    /// First digits of IMSIs.
    ImsiPrefix,
    /// Origin-Hosts.
    OriginHost,
    /// First Route-Records.
    RouteRecord,
    /// Origin-Realms.
    OriginRealm,
}

impl Kind {
    /// All kinds; of those that others share equally often, the first is used.
    const ALL: [Self; 5] = [
        Self::ImsiRange,
        Self::ImsiPrefix,
        Self::OriginHost,
        Self::RouteRecord,
        Self::OriginRealm,
    ];

    /// The values of this kind that criteria have, each as one number: not to
    /// tell them apart for sure, only to count them.
    fn values(self, criteria: &Criteria) -> Vec<u64> {
        let names = |names: &[NamePattern]| {
            let names = names.iter();
            names
                .map(|name| hash(name.text().as_bytes()) ^ u64::from(name.is_suffix()))
                .collect()
        };
        match self {
            Self::OriginHost => names(&criteria.origin_hosts),
            Self::OriginRealm => names(&criteria.origin_realms),
            Self::RouteRecord => names(&criteria.route_records),
            Self::ImsiPrefix => {
                let prefixes = criteria.imsi_prefixes.iter();
                prefixes
                    .map(|prefix| mix(prefix.digits as u64, prefix.number))
                    .collect()
            }
            Self::ImsiRange => {
                let ranges = criteria.imsi_ranges.iter();
                ranges.map(|(from, to)| mix(from.key(), to.key())).collect()
            }
        }
    }
}

impl Selection {
    /// Files these policies.
    pub(super) fn new(policies: &[Policy]) -> Self {
        let mut shares: FxHashMap<(Kind, u64), u32> = FxHashMap::default();
        for policy in policies {
            for kind in Kind::ALL {
                for value in kind.values(&policy.criteria) {
                    *shares.entry((kind, value)).or_default() += 1;
                }
            }
        }
        let mut this = Self::default();
        let mut ranges = Vec::new();
        // There are no more policies than numbers for them.
        for (place, policy) in (0u16..).zip(policies) {
            let criteria = &policy.criteria;
            let kinds = Kind::ALL.into_iter().filter_map(|kind| {
                let values = kind.values(criteria);
                let shares = values
                    .iter()
                    .filter_map(|&value| shares.get(&(kind, value)));
                Some((kind, *shares.max()?))
            });
            match kinds.min_by_key(|&(_, shares)| shares) {
                None => this.always.push(place),
                Some((Kind::OriginHost, _)) => {
                    this.origin_hosts.insert(&criteria.origin_hosts, place);
                }
                Some((Kind::OriginRealm, _)) => {
                    this.origin_realms.insert(&criteria.origin_realms, place);
                }
                Some((Kind::RouteRecord, _)) => {
                    this.route_records.insert(&criteria.route_records, place);
                }
                Some((Kind::ImsiPrefix, _)) => {
                    for prefix in &criteria.imsi_prefixes {
                        let digits = &mut this.imsi_prefixes;
                        file(of_length(digits, prefix.digits), prefix.number, place);
                    }
                }
                Some((Kind::ImsiRange, _)) => {
                    let own = criteria.imsi_ranges.iter();
                    ranges.extend(own.map(|&(from, to)| (from, to, place)));
                }
            }
        }
        match Segments::new(&ranges) {
            Some(segments) => this.imsi_ranges = segments,
            None => {
                this.always.extend(ranges.iter().map(|&(.., place)| place));
                this.always.sort_unstable();
                this.always.dedup();
            }
        }
        this
    }

    /// The place of the first policy that fits, of those that may be for the
    /// inquiry. Allocates nothing.
    #[inline]
    pub(super) fn first(&self, inquiry: &Inquiry<'_>, fits: impl Fn(u16) -> bool) -> Option<u16> {
        let mut first = None;
        let mut consider = |places: &[u16]| {
            let before = |place: &u16| first.is_none_or(|first| *place < first);
            let mut places = places.iter().copied().take_while(before);
            if let Some(place) = places.find(|&place| fits(place)) {
                first = Some(place);
            }
        };
        consider(&self.always);
        self.origin_hosts.visit(inquiry.origin_host, &mut consider);
        self.origin_realms
            .visit(inquiry.origin_realm, &mut consider);
        if let Some(node) = inquiry.route_record {
            self.route_records.visit(node, &mut consider);
        }
        if let Some(imsi) = inquiry.imsi {
            for (digits, prefixes) in &self.imsi_prefixes {
                if let Some(places) = prefixes.get(&imsi.front(*digits)) {
                    consider(places);
                }
            }
            consider(self.imsi_ranges.find(imsi));
        }
        first
    }
}

//----------- Names -----------------------------------------------------------

/// Policies by the names that they are for.
#[derive(Clone, Debug, Default)]
struct Names {
    /// Whole names, by their hash.
    whole: FxHashMap<u64, Vec<u16>>,
    /// Ends of names: how long, and by their hash.
    ends: Vec<(usize, FxHashMap<u64, Vec<u16>>)>,
}

impl Names {
    /// Files a policy under each of these names.
    fn insert(&mut self, names: &[NamePattern], place: u16) {
        for name in names {
            let text = name.text().as_bytes();
            let names = match name.is_suffix() {
                true => of_length(&mut self.ends, text.len()),
                false => &mut self.whole,
            };
            file(names, hash(text), place);
        }
    }

    /// Calls `visitor` with the policies that a name may be for.
    #[inline]
    fn visit(&self, name: &[u8], mut visitor: impl FnMut(&[u16])) {
        if !self.whole.is_empty()
            && let Some(places) = self.whole.get(&hash(name))
        {
            visitor(places);
        }
        for (length, ends) in &self.ends {
            let front = name.len().checked_sub(*length);
            if let Some(end) = front.and_then(|front| name.get(front..))
                && let Some(places) = ends.get(&hash(end))
            {
                visitor(places);
            }
        }
    }
}

/// The one of these maps for values of this length.
fn of_length(
    maps: &mut Vec<(usize, FxHashMap<u64, Vec<u16>>)>,
    length: usize,
) -> &mut FxHashMap<u64, Vec<u16>> {
    let place = match maps.iter().position(|&(own, _)| own == length) {
        Some(place) => place,
        None => {
            maps.push((length, FxHashMap::default()));
            maps.len() - 1
        }
    };
    &mut maps[place].1
}

/// Files a policy under a value, once.
fn file(map: &mut FxHashMap<u64, Vec<u16>>, value: u64, place: u16) {
    let places = map.entry(value).or_default();
    if places.last() != Some(&place) {
        places.push(place);
    }
}

/// A hash of a name that is the same in upper and lower case. Names are the
/// operator's, and what has the same hash is still compared, so it need not be
/// more than fast.
#[inline]
fn hash(name: &[u8]) -> u64 {
    /// The bit that tells the case of a letter, in each octet.
    const CASE: u64 = u64::from_ne_bytes([0x20; 8]);
    let (words, rest) = name.as_chunks::<8>();
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let words = words.iter().chain(core::iter::once(&last));
    words.fold(name.len() as u64, |hash, word| {
        mix(hash, u64::from_ne_bytes(*word) | CASE)
    })
}

/// Mixes a word into a hash.
#[inline]
const fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

//----------- Segments --------------------------------------------------------

/// Policies by ranges of IMSIs, cut at every end of any range.
#[derive(Clone, Debug, Default)]
struct Segments {
    /// The first IMSI of each segment, as a key, in ascending order; the last
    /// segment has no policies.
    starts: Vec<u64>,
    /// The policies of each segment: where they end among all.
    ends: Vec<u32>,
    /// The policies of all segments.
    places: Vec<u16>,
}

/// How many policies may be noted for each range on average: ranges within
/// ranges within ranges would else take the square of their number.
const DEPTH_MAX: usize = 64;

impl Segments {
    /// The segments of these ranges; `None` if too many lie within each other.
    fn new(ranges: &[(Imsi, Imsi, u16)]) -> Option<Self> {
        let mut starts: Vec<u64> = (ranges.iter())
            // A key of as many digits follows, or that of nothing.
            .flat_map(|(from, to, _)| [from.key(), to.key() + 1])
            .collect();
        starts.sort_unstable();
        starts.dedup();
        let mut of_each = vec![Vec::new(); starts.len()];
        let mut room = ranges.len().saturating_mul(DEPTH_MAX);
        for (from, to, place) in ranges {
            let first = starts.partition_point(|&start| start < from.key());
            let behind = starts.partition_point(|&start| start <= to.key());
            room = room.checked_sub(behind - first)?;
            for places in of_each.iter_mut().take(behind).skip(first) {
                if places.last() != Some(place) {
                    places.push(*place);
                }
            }
        }
        let mut this = Self {
            starts,
            ..Self::default()
        };
        for places in of_each {
            this.places.extend_from_slice(&places);
            this.ends.push(this.places.len() as u32);
        }
        Some(this)
    }

    /// The policies for an IMSI.
    #[inline]
    fn find(&self, imsi: Imsi) -> &[u16] {
        let behind = self.starts.partition_point(|&start| start <= imsi.key());
        let end = |segment: usize| self.ends.get(segment).map(|&end| end as usize);
        let Some(to) = behind.checked_sub(1).and_then(end) else {
            return &[];
        };
        let from = behind.checked_sub(2).and_then(end).unwrap_or_default();
        self.places.get(from..to).unwrap_or_default()
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equipment::{ImeiError, Snapshot};
    use crate::policy::{PolicyId, PolicySpec};

    /// Numbers without a pattern.
    struct Random(u64);

    impl Random {
        /// A number below another.
        fn below(&mut self, end: u64) -> u64 {
            self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (self.0 >> 33) % end
        }

        /// A few names, now and then with a star.
        fn names(&mut self) -> Vec<String> {
            let count = [0, 0, 1, 2][self.below(4) as usize];
            (0..count).map(|_| self.name(true)).collect()
        }

        /// One of few names.
        fn name(&mut self, star: bool) -> String {
            let end = ["Example", "a-rather-long-name.example", "b.example"];
            let end = end[self.below(3) as usize];
            match self.below(4) {
                0 if star => format!("*.{end}"),
                1 => end.to_owned(),
                _ => format!("mme{}.{end}", self.below(3)),
            }
        }

        /// An IMSI out of few.
        fn imsi(&mut self) -> String {
            let digits = 6 + self.below(3) as usize;
            format!("{:0digits$}", 26_200 + self.below(60))
        }

        /// Criteria of every kind, or none.
        fn policy(&mut self) -> PolicySpec {
            let mut spec = PolicySpec::new("some");
            spec.origin_hosts = self.names();
            spec.origin_realms = self.names();
            spec.route_records = match self.below(4) {
                0 => self.names(),
                _ => Vec::new(),
            };
            if self.below(2) == 0 {
                let digits = 1 + self.below(7) as usize;
                spec.imsi_prefixes
                    .push(self.imsi()[..digits.min(6)].to_owned());
            }
            if self.below(2) == 0 {
                let (from, length) = (self.imsi(), 1 + self.below(20));
                let to = from.parse::<u64>().unwrap() + length;
                let digits = from.len();
                spec.imsi_ranges.push((from, format!("{to:0digits$}")));
            }
            spec
        }
    }

    /// Trying one policy after the other is the oracle.
    #[test]
    fn the_first_that_fits_is_found() {
        let mut random = Random(1);
        let mut found = 0;
        for _ in 0..300 {
            let count = 1 + random.below(40);
            let policies: Vec<Policy> = (0..count)
                .map(|_| {
                    let (id, spec) = (PolicyId::DEFAULT, random.policy());
                    Policy::new(id, spec, &Snapshot::default()).unwrap()
                })
                .collect();
            let selection = Selection::new(&policies);
            for _ in 0..100 {
                let [host, realm, node] = [(); 3].map(|()| random.name(false).to_uppercase());
                let imsi = random.imsi();
                let inquiry = Inquiry {
                    imei: Err(ImeiError::Empty),
                    svn: None,
                    imsi: (random.below(5) > 0).then(|| Imsi::parse(imsi.as_bytes()).unwrap()),
                    origin_host: host.as_bytes(),
                    origin_realm: realm.as_bytes(),
                    route_record: (random.below(2) == 0).then_some(node.as_bytes()),
                };
                let mut in_order = policies.iter();
                let expected = in_order.position(|policy| policy.criteria.fit(&inquiry));
                let fits = |place: u16| policies[usize::from(place)].criteria.fit(&inquiry);
                let first = selection.first(&inquiry, fits).map(usize::from);
                assert_eq!(first, expected, "{inquiry:?}");
                found += usize::from(expected.is_some_and(|place| place > 0));
            }
        }
        assert!(found > 1000, "{found} are not the first of all");
    }

    #[test]
    fn ranges_within_ranges_do_not_take_their_square() {
        let imsi = |number: u64| Imsi::parse(format!("{number:015}").as_bytes()).unwrap();
        let nested: Vec<_> = (0..1000)
            .map(|number| (imsi(number), imsi(10_000 - number), number as u16))
            .collect();
        assert!(Segments::new(&nested).is_none());
        let apart: Vec<_> = (0..1000)
            .map(|number| (imsi(number * 10), imsi(number * 10 + 8), number as u16))
            .collect();
        let segments = Segments::new(&apart).unwrap();
        for number in 0..10_010 {
            let expected = (number < 10_000 && number % 10 < 9).then_some((number / 10) as u16);
            let expected: Vec<u16> = expected.into_iter().collect();
            assert_eq!(segments.find(imsi(number)), expected);
        }
    }

    #[test]
    fn policies_are_filed_under_what_few_share() {
        let policies: Vec<Policy> = (0..100)
            .map(|number| {
                let mut spec = PolicySpec::new("some");
                spec.origin_hosts = vec!["dra.example".to_owned()];
                spec.imsi_prefixes = vec![format!("262{number:02}")];
                Policy::new(PolicyId::DEFAULT, spec, &Snapshot::default()).unwrap()
            })
            .collect();
        let selection = Selection::new(&policies);
        assert!(selection.origin_hosts.whole.is_empty());
        assert_eq!(selection.imsi_prefixes[0].1.len(), 100);
    }
}
