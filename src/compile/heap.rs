//! The rules of single devices before they are sorted: in memory, and from the
//! budget on in a file.
//!
//! What is too much goes to the file as a *run*: all bundles that there are,
//! partition by partition, so that it is written in one go, and read again by
//! partition in as many pieces as there are runs.

use super::Budget;
use super::spill::Spill;
use crate::equipment::bulk::{Bundle, Meta, PARTITIONS, Partition};

/// Octets that are gathered before they are written.
const BUFFER: usize = 4 << 20;

/// What part of the budget bundles may take: the rest is for partitions that
/// are being sorted, and for what is made of them.
const SHARE: (u64, u64) = (3, 4);

/// The rules of single devices.
#[derive(Debug)]
pub(crate) struct Heap {
    /// How much may be in memory.
    budget: Budget,
    /// What is.
    bundles: Vec<Bundle>,
    /// Octets of it.
    octets: usize,
    /// What is not.
    runs: Vec<Run>,
    /// Where that is.
    spill: Option<Spill>,
    /// Why it cannot be.
    failed: Option<String>,
}

/// Bundles in a file.
#[derive(Debug)]
struct Run {
    /// What there is to know of them.
    metas: Vec<Meta>,
    /// Where it begins.
    at: u64,
}

impl Heap {
    /// Nothing yet.
    pub(crate) fn new(budget: Budget) -> Self {
        Self {
            budget,
            bundles: Vec::new(),
            octets: 0,
            runs: Vec::new(),
            spill: None,
            failed: None,
        }
    }

    /// Adds bundles behind those that there are. After an error, which
    /// [`finish`](Self::finish) tells, they are forgotten.
    pub(crate) fn add(&mut self, bundles: Vec<Bundle>) {
        for bundle in bundles {
            if self.failed.is_some() {
                return;
            }
            self.octets += bundle.size();
            self.bundles.push(bundle);
            let own = self.budget.memory.saturating_mul(SHARE.0) / SHARE.1;
            if self.octets as u64 > own {
                self.failed = self.spill_all().err();
            }
        }
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
        // Where one run did not fit, what is made of all will not, either.
        if !self.runs.is_empty() && !self.bundles.is_empty() {
            self.spill_all()?;
        }
        Ok(())
    }

    /// Threads at once.
    pub(crate) fn threads(&self) -> usize {
        self.budget.threads
    }

    /// Octets that bundles take in memory.
    pub(super) fn size(&self) -> u64 {
        self.octets as u64
    }

    /// The budget.
    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// How many rules there are of a partition.
    pub(super) fn count(&self, partition: usize) -> usize {
        let metas = self.runs.iter().flat_map(|run| &run.metas);
        let metas = metas.chain(self.bundles.iter().map(|bundle| &bundle.meta));
        metas.map(|meta| meta.count(partition)).sum()
    }

    /// The rules of a partition, in the order in which they were added.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub(super) fn gather(&self, partition: usize) -> Result<Partition, String> {
        let mut tuples = Partition::with_room(self.count(partition));
        let mut octets = Vec::new();
        for run in &self.runs {
            let before = (0..partition).map(|before| run.octets(before)).sum::<u64>();
            let length = usize::try_from(run.octets(partition)).unwrap_or(usize::MAX);
            octets.resize(length, 0);
            if let Some(spill) = &self.spill {
                spill.read(&mut octets, run.at + before)?;
            }
            let mut rest = octets.as_slice();
            for meta in &run.metas {
                let own = rest.split_at_checked(meta.octets(partition));
                let (own, behind) = own.unwrap_or_default();
                tuples.add(meta.segment(partition, own));
                rest = behind;
            }
        }
        for bundle in &self.bundles {
            tuples.add(bundle.segment(partition));
        }
        Ok(tuples)
    }

    /// Writes all bundles to the file.
    fn spill_all(&mut self) -> Result<(), String> {
        let spill = match &mut self.spill {
            Some(spill) => spill,
            none => none.insert(Spill::new(&self.budget.dir)?),
        };
        let bundles = core::mem::take(&mut self.bundles);
        let mut buffer = Vec::with_capacity(BUFFER);
        let mut at = None;
        for partition in 0..PARTITIONS {
            for bundle in &bundles {
                bundle.write(partition, &mut buffer);
                if buffer.len() >= BUFFER {
                    at.get_or_insert(spill.append(&buffer)?);
                    buffer.clear();
                }
            }
        }
        let last = spill.append(&buffer)?;
        let metas: Vec<Meta> = bundles.into_iter().map(|bundle| bundle.meta).collect();
        // That much stays.
        let runs = self.runs.iter().flat_map(|run| &run.metas).chain(&metas);
        self.octets = runs.map(Meta::own_size).sum();
        self.runs.push(Run {
            metas,
            at: at.unwrap_or(last),
        });
        Ok(())
    }
}

impl Run {
    /// Octets of a partition.
    fn octets(&self, partition: usize) -> u64 {
        let metas = self.metas.iter();
        metas.map(|meta| meta.octets(partition) as u64).sum()
    }
}
