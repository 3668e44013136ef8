//! Which TACs have structures of their own.

/// Where the devices of a TAC stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// The TAC plus one; 0 if the entry is empty.
    tac: u32,
    /// The first line or chunk.
    pub(super) base: u32,
    /// The lines of a hashed TAC; of a dense one [`DENSE`] and its first chunk
    /// and their number.
    extent: u32,
}

/// Marks the extent of dense TACs.
const DENSE: u32 = 1 << 31;

/// What an entry is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// So many lines from the base.
    Hashed(u32),
    /// Chunks from the base: the number of the first, and how many.
    Dense(u32, u32),
}

impl Entry {
    /// The entry of a TAC.
    pub(super) fn new(tac: u32, base: u32, extent: Extent) -> Self {
        Self {
            tac: tac + 1,
            base,
            extent: match extent {
                Extent::Hashed(lines) => lines,
                Extent::Dense(first, count) => DENSE | first << 12 | count,
            },
        }
    }

    /// What it is of.
    #[inline]
    pub(super) fn extent(self) -> Extent {
        match self.extent & DENSE {
            0 => Extent::Hashed(self.extent),
            _ => Extent::Dense(self.extent >> 12 & 0xfff, self.extent & 0xfff),
        }
    }

    /// The TAC.
    pub(super) fn tac(self) -> u32 {
        self.tac - 1
    }
}

/// Entries by TAC, by open addressing.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    /// The entries; at least one is empty, unless there are none.
    entries: Box<[Entry]>,
    /// An odd factor that scatters TACs.
    factor: u32,
}

impl Directory {
    /// A directory of these entries.
    pub(super) fn build(entries: &[Entry], seed: u64) -> Self {
        if entries.is_empty() {
            return Self::default();
        }
        let mut this = Self {
            entries: vec![Entry::default(); entries.len() + entries.len() / 2 + 1]
                .into_boxed_slice(),
            factor: (seed >> 32) as u32 | 1,
        };
        for &entry in entries {
            let mut place = this.home(entry.tac);
            while this.entries[place].tac != 0 {
                place = (place + 1) % this.entries.len();
            }
            this.entries[place] = entry;
        }
        this
    }

    /// Whether no TAC has a structure of its own.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where the search for a TAC begins.
    #[inline]
    fn home(&self, tac: u32) -> usize {
        let mixed = tac.wrapping_mul(self.factor);
        let mixed = (mixed ^ mixed >> 15).wrapping_mul(0x2c1b_3c6d);
        ((u64::from(mixed) * self.entries.len() as u64) >> 32) as usize
    }

    /// Has the entry of a TAC fetched.
    #[inline]
    pub(super) fn prefetch(&self, tac: u32) {
        if let Some(entry) = self.entries.get(self.home(tac + 1)) {
            super::processor::prefetch(entry);
        }
    }

    /// The entry of a TAC.
    #[inline]
    pub(super) fn find(&self, tac: u32) -> Option<Entry> {
        let mut place = self.home(tac + 1);
        loop {
            let entry = *self.entries.get(place)?;
            if entry.tac == tac + 1 {
                return Some(entry);
            }
            if entry.tac == 0 {
                return None;
            }
            place += 1;
            if place == self.entries.len() {
                place = 0;
            }
        }
    }

    /// The entries, in no particular order.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.entries.iter().copied().filter(|entry| entry.tac != 0)
    }

    /// The octets of it.
    pub(super) fn size(&self) -> usize {
        size_of_val::<[Entry]>(&self.entries)
    }
}
