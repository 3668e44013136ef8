//! The rules of single devices before they are sorted: in memory, and from the
//! budget on in a file. [Bindings](super::bound) are beside them.
//!
//! What is too much goes to the file as a *run*: all bundles that there are,
//! partition by partition, so that it is written in one go, and read again by
//! partition in as many pieces as there are runs.

use super::slabs::{At, Held};
use super::spill::Spill;
use super::{BoundHeap, BoundShelf, Budget, Slabs};
use crate::equipment::Builder;
use crate::equipment::bulk::{Bundle, GROUP, Meta, PARTITIONS, Partition, Segment};

/// Octets that are gathered before they are written.
const BUFFER: usize = 4 << 20;

/// What part of the budget rules may take before they are spilled: the rest is
/// for what is made of them.
const SHARE: (u64, u64) = (3, 4);

/// So many bundles ahead of the one that is gathered, memory is asked for what
/// they have of a partition: a kilobyte or so, too little for the processor to
/// see what comes next.
const AHEAD: usize = 2;

/// How many groups of partitions there are.
const GROUPS: usize = PARTITIONS / GROUP;

/// The rules of single devices.
#[derive(Debug)]
pub(crate) struct Heap {
    /// How much may be in memory.
    budget: Budget,
    /// What is, by groups of partitions: where they are sorted, the memory of one
    /// group is free for what is made of it when the next one is begun.
    slabs: Slabs,
    /// Whose it is.
    bundles: Vec<Placed>,
    /// Octets of it.
    octets: usize,
    /// What is not.
    runs: Vec<Run>,
    /// Where that is.
    spill: Option<Spill>,
    /// The bindings.
    bound: BoundHeap,
    /// Why something cannot be in a file.
    failed: Option<String>,
    /// A bundle whose memory may be used again.
    spare: Option<Bundle>,
}

/// A bundle in memory.
#[derive(Debug)]
struct Placed {
    /// What there is to know of it.
    meta: Meta,
    /// Where its part of each group begins in the slab.
    at: [At; GROUPS],
}

/// Bundles in a file.
#[derive(Debug)]
struct Run {
    /// What there is to know of them.
    metas: Vec<Meta>,
    /// Where each partition begins.
    at: Vec<u64>,
}

impl Heap {
    /// Nothing yet.
    pub(crate) fn new(budget: Budget) -> Self {
        Self {
            slabs: Slabs::new(GROUPS, GROUP, budget.ledger.clone()),
            bound: BoundHeap::new(&budget),
            budget,
            bundles: Vec::new(),
            octets: 0,
            runs: Vec::new(),
            spill: None,
            failed: None,
            spare: None,
        }
    }

    /// Takes what a builder has of rules of single devices and of bindings and does
    /// not need itself; that of which there is little only with `all`.
    pub(crate) fn take_from(&mut self, builder: &mut Builder, all: bool) {
        let bundles = builder.take_bundles(all);
        if !bundles.is_empty() {
            self.add(bundles);
        }
        let bindings = builder.take_bindings(all);
        if !bindings.is_empty() && self.failed.is_none() {
            self.failed = self.bound.add(bindings).err();
        }
    }

    /// Takes the bindings, with their index; `None` if there are none.
    ///
    /// # Errors
    ///
    /// Complete with the place where a file could not be written or read.
    pub(crate) fn arrange_bindings(&mut self) -> Result<Option<BoundShelf>, String> {
        core::mem::replace(&mut self.bound, BoundHeap::new(&self.budget)).arrange()
    }

    /// Adds bundles behind those that there are. After an error, which
    /// [`finish`](Self::finish) tells, they are forgotten.
    fn add(&mut self, bundles: Vec<Bundle>) {
        for mut bundle in bundles {
            if self.failed.is_some() {
                return;
            }
            let mut at = [At::default(); GROUPS];
            for (group, at) in at.iter_mut().enumerate() {
                let octets = bundle.meta.group_octets(group);
                let write = |octets: &mut Vec<u8>| bundle.write_group(group, octets);
                *at = self.slabs.append(group, octets, write);
            }
            self.octets += bundle.size();
            let meta = core::mem::take(&mut bundle.meta);
            self.spare = Some(bundle);
            self.bundles.push(Placed { meta, at });
            let own = self.budget.memory.saturating_mul(SHARE.0) / SHARE.1;
            if self.octets as u64 > own {
                self.failed = self.spill_all().err();
            }
        }
    }

    /// Takes a bundle whose memory may be used again.
    pub(crate) fn take_spare(&mut self) -> Option<Bundle> {
        self.spare.take()
    }

    /// Whether bundles have been forgotten.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Notes that all bundles are there.
    ///
    /// # Errors
    ///
    /// Complete with the place where a file could not be written.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        // Where one run did not fit, what is made of all will not, either; and
        // what is free now is not what it needs.
        if !self.runs.is_empty() {
            if !self.bundles.is_empty() {
                self.spill_all()?;
            }
            self.budget.ledger.give_back();
        }
        self.spare = None;
        Ok(())
    }

    /// Threads at once.
    pub(crate) fn threads(&self) -> usize {
        self.budget.threads
    }

    /// The budget.
    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What there is to know of all bundles.
    fn metas(&self) -> impl Iterator<Item = &Meta> {
        let metas = self.runs.iter().flat_map(|run| &run.metas);
        metas.chain(self.bundles.iter().map(|bundle| &bundle.meta))
    }

    /// How many rules there are of a partition.
    pub(super) fn count(&self, partition: usize) -> usize {
        self.metas().map(|meta| meta.count(partition)).sum()
    }

    /// A number that depends on all devices, and not on their order.
    pub(crate) fn digest(&self) -> u64 {
        let digests = self.metas().map(Meta::digest);
        digests.fold(0, u64::wrapping_add)
    }

    /// Takes the rules of a partition, in the order in which they were added,
    /// which is done once.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub(super) fn gather(
        &self,
        partition: usize,
        mut tuples: Partition,
    ) -> Result<Partition, String> {
        tuples.make_room(self.count(partition));
        let mut octets = Vec::new();
        for run in &self.runs {
            let length = run.metas.iter().map(|meta| meta.octets(partition)).sum();
            octets.resize(length, 0);
            if let Some(spill) = &self.spill {
                let at = run.at.get(partition).copied().unwrap_or_default();
                spill.read(&mut octets, at)?;
            }
            let mut rest = octets.as_slice();
            for meta in &run.metas {
                let own = rest.split_at_checked(meta.octets(partition));
                let (own, behind) = own.unwrap_or_default();
                tuples.add(meta.segment(partition, own));
                rest = behind;
            }
        }
        let group = partition / GROUP;
        self.slabs.look(group, |held| {
            let mut ahead = self.bundles.iter().skip(AHEAD);
            for bundle in &self.bundles {
                if let Some(ahead) = ahead.next() {
                    ahead.segment(partition, held).prefetch();
                }
                tuples.add(bundle.segment(partition, held));
            }
        });
        self.slabs.release(group);
        Ok(tuples)
    }

    /// Notes that a partition need not be gathered.
    pub(super) fn skip(&self, partition: usize) {
        self.slabs.release(partition / GROUP);
    }

    /// Writes all bundles to the file.
    fn spill_all(&mut self) -> Result<(), String> {
        let spill = match &mut self.spill {
            Some(spill) => spill,
            none => none.insert(Spill::new(&self.budget.dir)?),
        };
        let bundles = core::mem::take(&mut self.bundles);
        let mut buffer = Vec::with_capacity(BUFFER + BUFFER / 4);
        let mut at = Vec::with_capacity(PARTITIONS);
        for partition in 0..PARTITIONS {
            at.push(spill.length() + buffer.len() as u64);
            self.slabs.look(partition / GROUP, |held| {
                for bundle in &bundles {
                    buffer.extend_from_slice(bundle.octets(partition, held));
                    if buffer.len() >= BUFFER {
                        spill.append(&buffer)?;
                        buffer.clear();
                    }
                }
                Ok::<_, String>(())
            })?;
        }
        spill.append(&buffer)?;
        self.slabs.clear();
        let metas: Vec<Meta> = bundles.into_iter().map(|bundle| bundle.meta).collect();
        self.runs.push(Run { metas, at });
        // That much stays.
        self.octets = self.metas().map(Meta::own_size).sum();
        Ok(())
    }
}

impl Placed {
    /// The tuples of a partition in the slab of its group, as octets.
    fn octets<'a>(&self, partition: usize, slab: Held<'a>) -> &'a [u8] {
        let at = self.at.get(partition / GROUP).copied().unwrap_or_default();
        let start = self.meta.octets_before(partition);
        slab.get(at, start..start + self.meta.octets(partition))
    }

    /// The tuples of a partition in that slab.
    fn segment<'a>(&'a self, partition: usize, slab: Held<'a>) -> Segment<'a> {
        (self.meta).segment(partition, self.octets(partition, slab))
    }
}
