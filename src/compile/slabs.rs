//! Octets in a few large pieces of memory, each of which is given back when
//! nobody needs it any more.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Octets from which on a slab has room for as many as make an allocator ask the
/// system for them alone, and give them back at once; that of glibc does so from
/// 32 MiB on. What is not used of it is no memory, only addresses.
const RESERVED_FROM: usize = 1 << 20;

/// See [`RESERVED_FROM`].
const RESERVED: usize = 33 << 20;

/// Counts the octets that are in memory, wherever they are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<AtomicU64>);

impl Ledger {
    /// Notes more.
    pub(super) fn add(&self, octets: usize) {
        self.0.fetch_add(octets as u64, Ordering::Relaxed);
    }

    /// Notes that some are gone.
    pub(super) fn subtract(&self, octets: usize) {
        self.0.fetch_sub(octets as u64, Ordering::Relaxed);
    }

    /// How many there are.
    pub(super) fn sum(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The pieces.
#[derive(Debug)]
pub(super) struct Slabs {
    /// They.
    slabs: Vec<Slab>,
    /// Who counts their octets.
    ledger: Ledger,
}

/// One of them.
#[derive(Debug)]
struct Slab {
    /// What it holds.
    octets: RwLock<Vec<u8>>,
    /// How many are yet to use it.
    users: AtomicUsize,
}

impl Slabs {
    /// So many empty ones, each of which so many will [`release`](Self::release).
    pub(super) fn new(count: usize, users: usize, ledger: Ledger) -> Self {
        let slab = |_| Slab {
            octets: RwLock::default(),
            users: AtomicUsize::new(users),
        };
        Self {
            slabs: (0..count).map(slab).collect(),
            ledger,
        }
    }

    /// Lets octets be appended to a slab; returns where they begin.
    pub(super) fn append(&mut self, slab: usize, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let Some(slab) = self.slabs.get_mut(slab) else {
            return 0;
        };
        let octets = slab
            .octets
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let before = octets.len();
        if (RESERVED_FROM..RESERVED).contains(&octets.capacity()) {
            octets.reserve_exact(RESERVED - before);
        }
        write(octets);
        self.ledger.add(octets.len() - before);
        before
    }

    /// Lets the octets of a slab be looked at.
    pub(super) fn look<T>(&self, slab: usize, look: impl FnOnce(&[u8]) -> T) -> T {
        match self.slabs.get(slab) {
            Some(slab) => {
                let octets = slab.octets.read();
                look(&octets.unwrap_or_else(PoisonError::into_inner))
            }
            None => look(&[]),
        }
    }

    /// Notes that one less needs a slab, and gives it back after the last one.
    pub(super) fn release(&self, slab: usize) {
        if let Some(slab) = self.slabs.get(slab)
            && slab.users.fetch_sub(1, Ordering::AcqRel) == 1
        {
            let mut octets = slab.octets.write().unwrap_or_else(PoisonError::into_inner);
            self.ledger.subtract(octets.len());
            *octets = Vec::new();
        }
    }

    /// Empties all of them; their memory stays for what comes next.
    pub(super) fn clear(&mut self) {
        for slab in &mut self.slabs {
            let octets = slab
                .octets
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner);
            self.ledger.subtract(octets.len());
            octets.clear();
        }
    }

    /// Gives back what they do not hold.
    pub(super) fn shrink(&mut self) {
        for slab in &mut self.slabs {
            let octets = slab
                .octets
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner);
            if octets.is_empty() {
                *octets = Vec::new();
            }
        }
    }
}

impl Drop for Slabs {
    fn drop(&mut self) {
        self.clear();
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_memory_is_counted_until_the_last_one_has_done() {
        let ledger = Ledger::default();
        let mut slabs = Slabs::new(2, 2, ledger.clone());
        assert_eq!(slabs.append(0, |octets| octets.extend(b"one")), 0);
        assert_eq!(slabs.append(0, |octets| octets.extend(b"three")), 3);
        assert_eq!(slabs.append(1, |octets| octets.extend(vec![7; 3 << 20])), 0);
        assert_eq!(slabs.append(1, |octets| octets.extend(b"two")), 3 << 20);
        assert_eq!(ledger.sum(), 8 + 3 + (3 << 20));
        slabs.release(0);
        assert_eq!(slabs.look(0, <[u8]>::to_vec), b"onethree");
        slabs.release(0);
        assert_eq!(slabs.look(0, <[u8]>::to_vec), b"");
        assert_eq!(ledger.sum(), 3 + (3 << 20));
        assert_eq!(slabs.look(1, |octets| octets[3 << 20..].to_vec()), b"two");
        drop(slabs);
        assert_eq!(ledger.sum(), 0);
    }
}
