//! Octets in large pieces of memory, which are used again for others when nobody
//! needs them any more: memory that is new has to be cleared by the system, page by
//! page, which takes longer than most of what is done with it.

use core::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::equipment::bulk::populate;

/// Octets of a piece: many times what is appended at once, so that little is left
/// over at its end. What is not used of the last one of a slab is in memory, too,
/// and is not counted: a few dozen pieces whatever there is to compile.
const PIECE: usize = 2 << 20;

/// Octets of the first piece of a slab, which is all that small registers need.
const FIRST: usize = 64 << 10;

/// Counts the octets that are used, wherever they are kept, and keeps the pieces
/// that are free.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Account>);

/// See [`Ledger`].
#[derive(Debug, Default)]
struct Account {
    /// How many octets are used.
    octets: AtomicU64,
    /// Pieces that nobody uses.
    spare: Mutex<Vec<Vec<u8>>>,
    /// Whether these are given back to the system.
    gives_back: AtomicBool,
}

impl Ledger {
    /// Notes more.
    pub(super) fn add(&self, octets: usize) {
        (self.0.octets).fetch_add(octets as u64, Ordering::Relaxed);
    }

    /// Notes that some are gone.
    pub(super) fn subtract(&self, octets: usize) {
        (self.0.octets).fetch_sub(octets as u64, Ordering::Relaxed);
    }

    /// How many there are.
    pub(super) fn sum(&self) -> u64 {
        self.0.octets.load(Ordering::Relaxed)
    }

    /// Gives back what is free, now and whenever more is: it is needed elsewhere.
    pub(super) fn give_back(&self) {
        self.0.gives_back.store(true, Ordering::Relaxed);
        let mut spare = (self.0.spare.lock()).unwrap_or_else(PoisonError::into_inner);
        *spare = Vec::new();
    }

    /// A piece for so many octets at least; the first of a slab or not.
    fn piece(&self, octets: usize, is_first: bool) -> Vec<u8> {
        if octets > PIECE || is_first && octets <= FIRST {
            return Vec::with_capacity(octets.max(FIRST));
        }
        let mut spare = (self.0.spare.lock()).unwrap_or_else(PoisonError::into_inner);
        spare.pop().unwrap_or_else(|| {
            drop(spare);
            let mut piece = Vec::with_capacity(PIECE);
            populate(piece.spare_capacity_mut());
            piece
        })
    }

    /// Takes pieces back.
    fn take_back(&self, pieces: Vec<Vec<u8>>) {
        self.subtract(pieces.iter().map(Vec::len).sum());
        let pieces = pieces.into_iter();
        let mut pieces = pieces.filter(|piece| piece.capacity() == PIECE);
        if self.0.gives_back.load(Ordering::Relaxed) {
            return;
        }
        let mut spare = (self.0.spare.lock()).unwrap_or_else(PoisonError::into_inner);
        spare.extend(pieces.by_ref().map(|mut piece| {
            piece.clear();
            piece
        }));
    }
}

/// The slabs.
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
    pieces: RwLock<Vec<Vec<u8>>>,
    /// How many are yet to use it.
    users: AtomicUsize,
}

/// Where something stands in a slab.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct At {
    /// The number of the piece.
    piece: usize,
    /// Where it begins there.
    start: usize,
}

/// What a slab holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held<'a>(&'a [Vec<u8>]);

impl<'a> Held<'a> {
    /// A part of what was appended at once.
    pub(super) fn get(self, at: At, part: Range<usize>) -> &'a [u8] {
        let part = at.start + part.start..at.start + part.end;
        let piece = self.0.get(at.piece);
        piece.and_then(|piece| piece.get(part)).unwrap_or_default()
    }
}

impl Slabs {
    /// So many empty ones, each of which so many will [`release`](Self::release).
    pub(super) fn new(count: usize, users: usize, ledger: Ledger) -> Self {
        let slab = |_| Slab {
            pieces: RwLock::default(),
            users: AtomicUsize::new(users),
        };
        Self {
            slabs: (0..count).map(slab).collect(),
            ledger,
        }
    }

    /// Lets so many octets be appended to a slab; returns where they begin.
    pub(super) fn append(
        &mut self,
        slab: usize,
        octets: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> At {
        let Some(slab) = self.slabs.get_mut(slab) else {
            return At::default();
        };
        let pieces = slab
            .pieces
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let last = pieces.last();
        if last.is_none_or(|last| last.capacity() - last.len() < octets) {
            let piece = self.ledger.piece(octets, pieces.is_empty());
            pieces.push(piece);
        }
        let piece = pieces.len() - 1;
        let Some(own) = pieces.last_mut() else {
            return At::default();
        };
        let start = own.len();
        write(own);
        self.ledger.add(own.len() - start);
        At { piece, start }
    }

    /// Lets what a slab holds be looked at.
    pub(super) fn look<T>(&self, slab: usize, look: impl FnOnce(Held<'_>) -> T) -> T {
        match self.slabs.get(slab) {
            Some(slab) => {
                let pieces = slab.pieces.read();
                look(Held(&pieces.unwrap_or_else(PoisonError::into_inner)))
            }
            None => look(Held(&[])),
        }
    }

    /// Notes that one less needs a slab, and takes its memory back after the last
    /// one.
    pub(super) fn release(&self, slab: usize) {
        if let Some(slab) = self.slabs.get(slab)
            && slab.users.fetch_sub(1, Ordering::AcqRel) == 1
        {
            let mut pieces = slab.pieces.write().unwrap_or_else(PoisonError::into_inner);
            self.ledger.take_back(core::mem::take(&mut *pieces));
        }
    }

    /// Empties all of them.
    pub(super) fn clear(&mut self) {
        for slab in &mut self.slabs {
            let pieces = slab
                .pieces
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner);
            self.ledger.take_back(core::mem::take(pieces));
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
        let mut append = |slab, octets: &[u8]| {
            slabs.append(slab, octets.len(), |own| own.extend_from_slice(octets))
        };
        let all = [b"one".to_vec(), vec![7; 3 << 20], b"three".to_vec()];
        let at: Vec<At> = all.iter().map(|octets| append(0, octets)).collect();
        let other = append(1, b"two");
        assert_eq!(ledger.sum(), 8 + 3 + (3 << 20));
        slabs.release(0);
        for (octets, &at) in all.iter().zip(&at) {
            let found = slabs.look(0, |held| held.get(at, 1..octets.len()).to_vec());
            assert_eq!(found, octets[1..]);
        }
        slabs.release(0);
        assert_eq!(slabs.look(0, |held| held.get(at[0], 0..3).to_vec()), b"");
        assert_eq!(ledger.sum(), 3);
        assert_eq!(slabs.look(1, |held| held.get(other, 0..3).to_vec()), b"two");
        drop(slabs);
        assert_eq!(ledger.sum(), 0);
    }

    #[test]
    fn memory_is_used_again_unless_it_is_given_back() {
        let ledger = Ledger::default();
        let fill = || {
            let mut slabs = Slabs::new(1, 1, ledger.clone());
            for _ in 0..5 {
                slabs.append(0, PIECE / 2, |own| own.resize(own.len() + PIECE / 2, 1));
            }
            slabs.release(0);
        };
        let spare = || ledger.0.spare.lock().unwrap().len();
        for _ in 0..3 {
            fill();
            // Two in each but the last.
            assert_eq!(spare(), 3);
        }
        ledger.give_back();
        assert_eq!(spare(), 0);
        fill();
        assert_eq!(spare(), 0);
    }
}
