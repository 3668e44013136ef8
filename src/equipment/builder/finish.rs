//! The end of a builder: from what was added to the snapshot.

use rustc_hash::FxHashSet;

use super::Builder;
use crate::equipment::bindings::{Exceptions, Gathered};
use crate::equipment::bulk::{
    Assembly, Classes, Kept, PARTITIONS, Partition, Prepared, Refusal, Refusals, Scattered,
    Scratch, counted,
};
use crate::equipment::device_rules::DeviceRules;
use crate::equipment::devices::Devices;
use crate::equipment::snapshot::{Catalogue, Rules};
use crate::equipment::{Device, RuleId, Snapshot};

impl Builder {
    /// The snapshot of everything that was added.
    #[must_use]
    pub fn finish(mut self) -> Snapshot {
        let bundles = self.take_bundles(true);
        let files = self.files_of_sources();
        let digests = bundles.iter().map(|bundle| bundle.meta.digest());
        let digest = digests.fold(0, u64::wrapping_add);
        let mut plan = self.plan(&files, (digest, true));
        let mut kept = Kept::new(self.device_rules());
        let gather = |partition| {
            let count = bundles.iter().map(|own| own.meta.count(partition)).sum();
            let mut tuples = Partition::default();
            tuples.make_room(count);
            for bundle in &bundles {
                tuples.add(bundle.segment(partition));
            }
            tuples
        };
        let first = counted(|partition| {
            let bundles = bundles.iter();
            bundles.map(|own| own.meta.count(partition)).sum()
        });
        let counted = (0..first).map(|partition| plan.prepare(partition, gather(partition)));
        let counted: Vec<Prepared> = counted.collect();
        let mut assembly = Assembly::rank(&mut plan, &counted);
        let mut counted = counted.into_iter();
        let mut rest: Vec<Scattered> = Vec::new();
        for partition in 0..PARTITIONS {
            // Most of those of a small register are empty.
            if bundles.iter().all(|own| own.meta.count(partition) == 0) {
                counted.next();
                continue;
            }
            let mut prepared = match counted.next() {
                Some(prepared) => prepared,
                None => plan.prepare(partition, gather(partition)),
            };
            assembly.number(&plan, &mut prepared);
            let laid_out = plan.lay_out(
                prepared,
                (&mut Partition::default(), &mut Scratch::default()),
            );
            let mut arrays = assembly.join(&plan, laid_out);
            rest.extend(Some(core::mem::take(&mut arrays.rest)).filter(|own| own.len() > 0));
            kept.keep(arrays);
        }
        drop(bundles);
        let mut assembled = assembly.finish_here(rest);
        let refusals = core::mem::take(&mut assembled.refusals);
        let devices = kept.fill(assembled, true);
        self.finish_assembled(devices, &refusals, None)
    }

    /// The same with the rules of single devices, which were assembled from this
    /// builder's; what was refused of them is left out. Likewise with what was
    /// gathered of its bindings, if they were taken.
    pub(crate) fn finish_assembled(
        mut self,
        devices: DeviceRules,
        refusals: &Refusals,
        bindings: Option<Gathered>,
    ) -> Snapshot {
        for (&said, &[rules, _]) in &refusals.counts {
            let rules = usize::try_from(rules).unwrap_or(usize::MAX);
            self.counts.devices = self.counts.devices.saturating_sub(rules);
            let list = self.place_of(said).map(|(_, list, _)| list.place());
            if let Some(list) = list.and_then(|list| self.lists.get_mut(list)) {
                list.entries = list.entries.saturating_sub(rules);
            }
        }
        let record = |refusal: &Refusal| {
            let device = Device::from_number(refusal.device)?;
            let excepted = (device, refusal.said, refusal.line);
            let number = self.excepted.get(&excepted).copied()?;
            Some(RuleId::of_record(number))
        };
        let refused: FxHashSet<RuleId> =
            refusals.with_exceptions.iter().filter_map(record).collect();
        (self.exceptions).retain(|(_, rule)| !refused.contains(rule));
        self.finish_around(devices, bindings)
    }

    /// The same with a table of devices that was made elsewhere in the place of
    /// the devices of all rules for one: of its class 1 is said what the first of
    /// these rules says, of class 2 what the first one that says something else
    /// does, and so on. The lines of its devices are not known.
    #[must_use]
    pub fn finish_with(mut self, table: Devices) -> Snapshot {
        self.counts.devices = table.len();
        let mut classes = Classes::default();
        for said in &self.saids.values {
            classes.push(&[said.rule()]);
        }
        self.finish_around(DeviceRules::new(table, classes, Vec::new()), None)
    }

    /// The snapshot of these devices and everything else.
    fn finish_around(mut self, devices: DeviceRules, bindings: Option<Gathered>) -> Snapshot {
        // What is only asked while rules are added is as much as they are.
        drop((self.covered, self.crowded, self.excepted));
        self.counts.exceptions = self.exceptions.len();
        self.counts.bindings = self.bound.len();
        let (rules, terms) = (&self.rules, &self.terms.values);
        let mut index = self.index.finish(rules);
        if !devices.is_empty() {
            index.note_devices();
        }
        let exceptions = Exceptions::new(&self.exceptions, rules, terms);
        let bindings = self.bound.finish(terms, bindings);
        Snapshot {
            rules: Rules {
                devices,
                records: rules.column(),
                index,
                exceptions,
            },
            bindings,
            catalogue: Catalogue {
                lists: self.lists,
                files: self.files,
                terms: self.terms.values,
                sources: self.sources.values,
                reasons: self.reasons.finish(),
            },
            models: self.models.finish(),
            counts: self.counts,
        }
    }
}
