//! From a device to the rules that speak of it.

use rustc_hash::FxHashMap;

use super::ranges::{Ranges, RangesBuilder};
use super::record::{Records, device_svn_key};
use super::{Device, RuleKind, Scope, Special, Svn, TacDirectory, TacPrefix};

//----------- DeviceIndex -----------------------------------------------------

/// An exact index from the number of a device to its first record.
///
/// The type is small on purpose: whatever else can find a record by a number
/// may stand in its place.
#[derive(Clone, Debug, Default)]
pub(super) struct DeviceIndex {
    /// A hash table; its keys are the operator's, so that a fast hash function
    /// without a secret is good enough.
    heads: FxHashMap<u64, u32>,
}

impl DeviceIndex {
    /// Puts a record first; the one that was first is returned.
    fn insert(&mut self, key: u64, record: u32) -> Option<u32> {
        self.heads.insert(key, record)
    }

    /// The first record.
    fn find(&self, key: u64) -> Option<u32> {
        self.heads.get(&key).copied()
    }
}

//----------- RuleIndex -------------------------------------------------------

/// The records of all rules, found by what they speak of.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleIndex {
    /// Rules for one device with one software version.
    device_svns: DeviceIndex,
    /// Rules for one device, until they are laid out more compactly.
    devices: DeviceIndex,
    /// Rules for ranges of devices.
    ranges: Ranges,
    /// Rules for one TAC.
    tacs: FxHashMap<u32, u32>,
    /// Rules for the TACs that begin alike, by the length of the prefix.
    prefixes: [FxHashMap<u32, u32>; TacPrefix::MAX_DIGITS],
    /// Rules for devices with a peculiarity, each with its first record.
    specials: Vec<(Special, u32)>,
    /// The kinds that there are rules of.
    kinds: RuleKinds,
}

impl RuleIndex {
    /// Whether there is any rule of a kind.
    #[inline]
    pub(super) fn has(&self, kind: RuleKind) -> bool {
        self.kinds.contains(kind)
    }

    /// Calls `visitor` with the first record of each chain of rules of one kind
    /// that cover the device, in no particular order.
    ///
    /// Takes constant time and the time for each chain; ranges the logarithm
    /// of their number. `models` are looked at for rules about unallocated
    /// TACs only.
    #[inline(always)]
    pub(super) fn visit(
        &self,
        models: &TacDirectory,
        kind: RuleKind,
        device: Device,
        svn: Option<Svn>,
        mut visitor: impl FnMut(u32),
    ) {
        let mut visit_chain = |head: Option<u32>| {
            if let Some(head) = head {
                visitor(head);
            }
        };
        match kind {
            RuleKind::DeviceSvn => {
                if let Some(svn) = svn {
                    visit_chain(self.device_svns.find(device_svn_key(device, svn)));
                }
            }
            RuleKind::Device => visit_chain(self.devices.find(device.number())),
            RuleKind::Range => self.ranges.visit(device.number(), visitor),
            RuleKind::Tac => visit_chain(self.tacs.get(&device.tac().number()).copied()),
            RuleKind::TacPrefix => {
                for (index, prefixes) in self.prefixes.iter().enumerate() {
                    if prefixes.is_empty() {
                        continue;
                    }
                    if let Some(prefix) = TacPrefix::of(device.tac(), index + 1) {
                        visit_chain(prefixes.get(&prefix.number()).copied());
                    }
                }
            }
            RuleKind::Special => {
                for &(special, head) in &self.specials {
                    if special.covers_by(device, models) {
                        visit_chain(Some(head));
                    }
                }
            }
        }
    }
}

impl RuleIndex {
    /// Which records devices are judged by: all that a lookup can find.
    pub(super) fn records(&self, records: &Records) -> Vec<bool> {
        let mut indexed = vec![false; records.len()];
        let mut note = |number: u32| {
            if let Some(indexed) = indexed.get_mut(number as usize) {
                *indexed = true;
            }
        };
        let heads = (self.device_svns.heads.values().copied())
            .chain(self.tacs.values().copied())
            .chain(self.prefixes.iter().flat_map(FxHashMap::values).copied())
            .chain(self.specials.iter().map(|&(_, head)| head));
        for head in heads {
            records.chain(head).for_each(|(number, _)| note(number));
        }
        self.ranges.records().for_each(note);
        indexed
    }
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

//----------- RuleIndexBuilder ------------------------------------------------

/// Collects a [`RuleIndex`].
#[derive(Debug, Default)]
pub(super) struct RuleIndexBuilder {
    /// The index but for its ranges.
    index: RuleIndex,
    /// The ranges, which are sorted at the end.
    ranges: RangesBuilder,
}

impl RuleIndexBuilder {
    /// Adds a rule with the number of its terms; returns another with the same
    /// key, which is to follow it.
    ///
    /// Of ranges with the same terms the first counts where they overlap.
    pub(super) fn insert(&mut self, scope: Scope, record: u32, terms: u32) -> Option<u32> {
        let index = &mut self.index;
        index.kinds.insert(scope.kind());
        match scope {
            Scope::DeviceSvn(device, svn) => index
                .device_svns
                .insert(device_svn_key(device, svn), record),
            Scope::Device(device) => index.devices.insert(device.number(), record),
            Scope::Range { from, to } => {
                (self.ranges).push(from.number(), to.number(), record, terms);
                None
            }
            Scope::Tac(tac) => index.tacs.insert(tac.number(), record),
            Scope::TacPrefix(prefix) => index
                .prefixes
                .get_mut(prefix.digits() - 1)
                .and_then(|prefixes| prefixes.insert(prefix.number(), record)),
            Scope::Special(special) => {
                let mut specials = index.specials.iter_mut();
                match specials.find(|(known, _)| *known == special) {
                    Some((_, head)) => Some(core::mem::replace(head, record)),
                    None => {
                        index.specials.push((special, record));
                        None
                    }
                }
            }
        }
    }

    /// The last rule that was added about exactly these devices; none of
    /// ranges, which are not indexed before the end.
    pub(super) fn find(&self, scope: Scope) -> Option<u32> {
        let index = &self.index;
        match scope {
            Scope::DeviceSvn(device, svn) => index.device_svns.find(device_svn_key(device, svn)),
            Scope::Device(device) => index.devices.find(device.number()),
            Scope::Range { .. } => None,
            Scope::Tac(tac) => index.tacs.get(&tac.number()).copied(),
            Scope::TacPrefix(prefix) => {
                let prefixes = index.prefixes.get(prefix.digits() - 1)?;
                prefixes.get(&prefix.number()).copied()
            }
            Scope::Special(special) => {
                let known = index.specials.iter().find(|(known, _)| *known == special);
                known.map(|(_, head)| *head)
            }
        }
    }

    /// The ranges, with both ends and the record, in the order in which they
    /// were added.
    pub(super) fn ranges(&self) -> impl ExactSizeIterator<Item = (u64, u64, u32)> {
        self.ranges.iter()
    }

    /// Notes that there are rules for one device, kept elsewhere.
    pub(super) fn note_devices(&mut self) {
        self.index.kinds.insert(RuleKind::Device);
    }

    /// Takes out the rules for one device: each with its first record.
    pub(super) fn take_devices(&mut self) -> impl Iterator<Item = (u64, u32)> + use<> {
        core::mem::take(&mut self.index.devices.heads).into_iter()
    }

    /// The index.
    pub(super) fn finish(self) -> RuleIndex {
        RuleIndex {
            ranges: self.ranges.finish(),
            ..self.index
        }
    }
}
