//! From a device to the rules that speak of it.

use bytemuck::{Pod, Zeroable};
use rustc_hash::FxHashMap;

use super::keyed::{Keyed2, KeyedHead, Loose};
use super::ranges::{Ranges, RangesBuilder};
use super::record::{Records, device_svn_key};
use super::stored::{Flaw, Parts, Section};
use super::{Device, RuleKind, Scope, Special, Svn, Tac, TacDirectory, TacPrefix};

//----------- RuleIndex -------------------------------------------------------

/// The rules that devices are judged by, found by what they speak of: the number
/// of each and that of its terms.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleIndex {
    /// Rules for one device with one software version.
    device_svns: Keyed2<54>,
    /// Rules for one device, where there is nothing more compact for them.
    devices: Keyed2<47>,
    /// Rules for ranges of devices.
    ranges: Ranges,
    /// Rules for one TAC, for TACs that begin alike, and for peculiarities, by
    /// [`tac_key`], [`prefix_key`] and [`special_key`].
    groups: Keyed2<29>,
    /// The kinds that there are rules of.
    kinds: RuleKinds,
    /// The lengths of prefixes that there are: a bit for each, from the shortest
    /// on.
    lengths: u32,
    /// The peculiarities that there are: a bit for each.
    specials: u32,
}

impl RuleIndex {
    /// An index of rules: of each the scope, the number, and that of its terms.
    ///
    /// Of ranges with the same terms the one with the lowest number counts where
    /// they overlap.
    pub(super) fn new(rules: impl Iterator<Item = (Scope, u32, u32)>) -> Self {
        let mut index = Self::default();
        // As they are sorted, since there may be ten millions of them.
        let (mut device_svns, mut devices, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        let group = |key, said: [u32; 2]| Loose::new::<29>(key, &said);
        let mut ranges = RangesBuilder::default();
        for (scope, number, terms) in rules {
            index.kinds.insert(scope.kind());
            let said = [number, terms];
            match scope {
                Scope::DeviceSvn(device, svn) => {
                    device_svns.push(Loose::new::<54>(device_svn_key(device, svn), &said));
                }
                Scope::Device(device) => devices.push(Loose::new::<47>(device.number(), &said)),
                Scope::Range { from, to } => ranges.push(from.number(), to.number(), number, terms),
                Scope::Tac(tac) => groups.push(group(tac_key(tac), said)),
                Scope::TacPrefix(prefix) => {
                    index.lengths |= 1 << (prefix.digits() - 1);
                    groups.push(group(prefix_key(prefix), said));
                }
                Scope::Special(special) => {
                    index.specials |= 1 << special.number();
                    groups.push(group(special_key(special), said));
                }
            }
        }
        index.device_svns = Keyed2::arranged(device_svns);
        index.devices = Keyed2::arranged(devices);
        index.groups = Keyed2::arranged(groups);
        index.ranges = ranges.finish();
        index
    }

    /// Whether there is any rule of a kind.
    #[inline]
    pub(super) fn has(&self, kind: RuleKind) -> bool {
        self.kinds.contains(kind)
    }

    /// Notes that there are rules for one device, kept elsewhere.
    pub(super) fn note_devices(&mut self) {
        self.kinds.insert(RuleKind::Device);
    }

    /// Calls `visitor` with each rule of one kind that covers the device, in no
    /// particular order: its number and that of its terms.
    ///
    /// Takes constant time and the time for each rule; ranges the logarithm
    /// of their number. `models` are looked at for rules about unallocated
    /// TACs only.
    #[inline(always)]
    pub(super) fn visit(
        &self,
        models: &TacDirectory,
        kind: RuleKind,
        device: Device,
        svn: Option<Svn>,
        mut visitor: impl FnMut(u32, u32),
    ) {
        let visit = |[number, terms]: [u32; 2]| visitor(number, terms);
        match kind {
            RuleKind::DeviceSvn => {
                if let Some(svn) = svn {
                    self.device_svns.visit(device_svn_key(device, svn), visit);
                }
            }
            RuleKind::Device => self.devices.visit(device.number(), visit),
            RuleKind::Range => self.ranges.visit(device.number(), visitor),
            RuleKind::Tac => self.groups.visit(tac_key(device.tac()), visit),
            RuleKind::TacPrefix => self.visit_prefixes(device.tac(), visit),
            RuleKind::Special => self.visit_specials(device, models, visit),
        }
    }

    /// Has the memory fetched that looking up rules for the TACs of these devices
    /// and for ranges begins with: for up to a batch of them.
    #[inline]
    pub(super) fn prefetch(&self, devices: impl Iterator<Item = Device> + Clone) {
        self.ranges.prefetch(devices.clone().map(Device::number));
        if !self.groups.is_large() {
            return;
        }
        let keys = devices.map(|device| tac_key(device.tac()));
        for key in keys.clone() {
            self.groups.prefetch_start(key);
        }
        for key in keys {
            self.groups.prefetch_entries(key);
        }
    }

    /// Calls `visitor` with each rule of exactly this TAC or prefix.
    pub(super) fn visit_group(&self, scope: Scope, mut visitor: impl FnMut(u32, u32)) {
        let key = match scope {
            Scope::Tac(tac) => tac_key(tac),
            Scope::TacPrefix(prefix) => prefix_key(prefix),
            _ => return,
        };
        self.groups
            .visit(key, |[number, terms]| visitor(number, terms));
    }

    /// The same of prefixes.
    #[inline]
    fn visit_prefixes(&self, tac: Tac, mut visitor: impl FnMut([u32; 2])) {
        let prefixes = places(self.lengths).filter_map(|place| TacPrefix::of(tac, place + 1));
        for prefix in prefixes {
            self.groups.visit(prefix_key(prefix), &mut visitor);
        }
    }

    /// The same of peculiarities.
    #[inline]
    fn visit_specials(
        &self,
        device: Device,
        models: &TacDirectory,
        mut visitor: impl FnMut([u32; 2]),
    ) {
        let specials = places(self.specials).filter_map(|place| Special::ALL.get(place));
        for &special in specials {
            if special.covers_by(device, models) {
                self.groups.visit(special_key(special), &mut visitor);
            }
        }
    }
}

/// Where the bits of a small set are, from the lowest on.
#[inline]
fn places(mut set: u32) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let place = (set != 0).then(|| set.trailing_zeros() as usize);
        set &= set.wrapping_sub(1);
        place
    })
}

/// Where the kind of a [`RuleIndex::groups`] key begins; TACs are 0.
const GROUP_SHIFT: u32 = 27;
/// Where the length of a prefix begins in its key.
const LENGTH_SHIFT: u32 = 24;

/// The key of a TAC.
#[inline]
fn tac_key(tac: Tac) -> u64 {
    tac.number().into()
}

/// The key of a prefix.
#[inline]
fn prefix_key(prefix: TacPrefix) -> u64 {
    1 << GROUP_SHIFT | (prefix.digits() as u64) << LENGTH_SHIFT | u64::from(prefix.number())
}

/// The key of a peculiarity.
#[inline]
fn special_key(special: Special) -> u64 {
    2 << GROUP_SHIFT | special.number() as u64
}

/// A set of kinds of rules: a bit for each.
#[derive(Clone, Copy, Debug, Default)]
struct RuleKinds(u8);

impl RuleKinds {
    /// Adds a kind.
    fn insert(&mut self, kind: RuleKind) {
        self.0 |= 1 << kind as u8;
    }

    /// Whether a kind is one of them.
    #[inline]
    fn contains(self, kind: RuleKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }
}

//----------- Storing ---------------------------------------------------------

/// What there is to know of a [`RuleIndex`] besides its arrays.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct RuleIndexHead {
    /// Of the rules for one device with one software version.
    device_svns: KeyedHead,
    /// Of TACs, prefixes and peculiarities.
    groups: KeyedHead,
    /// See [`RuleIndex`].
    kinds: u32,
    /// See [`RuleIndex`].
    lengths: u32,
    /// See [`RuleIndex`].
    specials: u32,
    /// Zero.
    reserved: u32,
}

/// The rules for one device with one software version: where buckets begin, and
/// entries.
const DEVICE_SVNS: [&str; 2] = ["rules.svns.starts", "rules.svns"];
/// The rules for ranges.
const RANGES: &str = "rules.ranges";
/// The rules for TACs, prefixes and peculiarities.
const GROUPS: [&str; 2] = ["rules.tacs.starts", "rules.tacs"];

impl RuleIndex {
    /// What there is to know besides the arrays, which are added as sections;
    /// rules for one device are not stored.
    pub(super) fn store<'a>(&'a self, sections: &mut Vec<Section<'a>>) -> RuleIndexHead {
        let head = RuleIndexHead {
            device_svns: self.device_svns.store(DEVICE_SVNS, sections),
            groups: self.groups.store(GROUPS, sections),
            kinds: self.kinds.0.into(),
            lengths: self.lengths,
            specials: self.specials,
            reserved: 0,
        };
        sections.push(self.ranges.store(RANGES));
        head
    }

    /// The index of stored sections.
    pub(super) fn restore(head: RuleIndexHead, parts: &mut Parts) -> Result<Self, Flaw> {
        Ok(Self {
            device_svns: Keyed2::restore(DEVICE_SVNS, head.device_svns, parts)?,
            devices: Keyed2::default(),
            ranges: Ranges::restore(RANGES, parts)?,
            groups: Keyed2::restore(GROUPS, head.groups, parts)?,
            kinds: RuleKinds(head.kinds as u8),
            lengths: head.lengths,
            specials: head.specials,
        })
    }
}

//----------- RuleIndexBuilder ------------------------------------------------

/// From what rules speak of to the last of them, while there may be more.
#[derive(Debug, Default)]
pub(super) struct RuleIndexBuilder {
    /// Rules for one device with one software version.
    device_svns: FxHashMap<u64, u32>,
    /// Rules for TACs, prefixes and peculiarities.
    groups: FxHashMap<u64, u32>,
    /// The rules for ranges.
    ranges: Vec<u32>,
}

impl RuleIndexBuilder {
    /// Adds a rule; returns another with the same key, which is to follow it.
    pub(super) fn insert(&mut self, scope: Scope, record: u32) -> Option<u32> {
        match scope {
            Scope::DeviceSvn(device, svn) => {
                (self.device_svns).insert(device_svn_key(device, svn), record)
            }
            // These are kept elsewhere.
            Scope::Device(_) => None,
            Scope::Range { .. } => {
                self.ranges.push(record);
                None
            }
            Scope::Tac(tac) => self.groups.insert(tac_key(tac), record),
            Scope::TacPrefix(prefix) => self.groups.insert(prefix_key(prefix), record),
            Scope::Special(special) => self.groups.insert(special_key(special), record),
        }
    }

    /// The last rule that was added about exactly these devices; none of single
    /// devices, nor of ranges, which are not indexed before the end.
    pub(super) fn find(&self, scope: Scope) -> Option<u32> {
        let found = match scope {
            Scope::DeviceSvn(device, svn) => self.device_svns.get(&device_svn_key(device, svn)),
            Scope::Device(_) | Scope::Range { .. } => None,
            Scope::Tac(tac) => self.groups.get(&tac_key(tac)),
            Scope::TacPrefix(prefix) => self.groups.get(&prefix_key(prefix)),
            Scope::Special(special) => self.groups.get(&special_key(special)),
        };
        found.copied()
    }

    /// How many ranges there are.
    pub(super) fn ranges_len(&self) -> usize {
        self.ranges.len()
    }

    /// All ranges but the first so many, with both ends and the record, in the order
    /// in which they were added.
    pub(super) fn ranges(
        &self,
        but: usize,
        records: &Records,
    ) -> impl Iterator<Item = (u64, u64, u32)> {
        let ranges = self.ranges.get(but..).unwrap_or_default().iter();
        ranges.filter_map(|&number| match records.scope(records.find(number)?)? {
            Scope::Range { from, to } => Some((from.number(), to.number(), number)),
            _ => None,
        })
    }

    /// The index of all rules but those for one device, which are records of this
    /// collection.
    pub(super) fn finish(self, records: &Records) -> RuleIndex {
        let heads = self
            .device_svns
            .into_values()
            .chain(self.groups.into_values());
        let chained = heads.flat_map(|head| records.chain(head).map(|(number, _)| number));
        RuleIndex::new(chained.chain(self.ranges).filter_map(|number| {
            let record = records.find(number)?;
            Some((records.scope(record)?, number, record.terms))
        }))
    }
}
