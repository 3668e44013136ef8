//! How the map is built: which structure the devices of a TAC get.
//!
//! The devices of a TAC come together and in ascending order, so that one TAC is
//! decided and laid out at a time and nothing else is kept of it. Only the
//! devices of TACs without a structure of their own, 8 octets each, wait for the
//! end, as their table is cut by how many they are ([`super::rest`]).
//!
//! A register that does not fit in memory is built piece by piece, each of some
//! TACs; what is large of a piece is put elsewhere at once ([`Joiner`]).

mod joiner;
mod piece;
mod tac;

pub(in crate::equipment) use self::joiner::Joiner;
pub(in crate::equipment) use self::piece::Piece;
pub(crate) use self::piece::{Arrays, Item};

use super::mix::{Mix, Seeds};
use super::rest::Scattered;
use super::table::{Devices, MIXES, SERIAL_BITS, SERIALS};

//----------- DevicesBuilder --------------------------------------------------

/// Collects [`Devices`]: those of a TAC one behind the other in ascending order,
/// the TACs in any order, which is a part of what the map is made of.
#[derive(Debug, Default)]
pub struct DevicesBuilder {
    /// For the bijections.
    seed: u64,
    /// Whether the number that comes with each device is kept.
    keeps_lines: bool,
    /// Devices to set addresses aside for.
    expected: usize,
    /// The present TAC.
    current: u32,
    /// As of [`Devices`].
    mixes: [Mix<SERIAL_BITS>; MIXES],
    /// What scatters the devices of TACs without structures.
    rest_mix: Mix<47>,
    /// What is under way.
    scratch: Scratch,
    /// What has been laid out.
    piece: Piece,
}

/// Memory of a builder, which may be used again for another one.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The devices of the present TAC.
    tac: Vec<Serial>,
    /// Those of TACs without structures, as words.
    rest: Vec<u64>,
    /// The lines of the list for them, if lines are kept.
    rest_lines: Vec<u32>,
    /// How many devices each line of the present TAC has.
    taken: Vec<u8>,
    /// For what is made of the rest.
    scattered: Scattered,
}

impl Scratch {
    /// Takes the rest back that was given away with a piece.
    pub(crate) fn take_back(&mut self, rest: Scattered) {
        self.scattered = rest;
    }
}

/// A device of the present TAC.
#[derive(Clone, Copy, Debug)]
struct Serial {
    /// Its serial number.
    serial: u32,
    /// Its class.
    class: u32,
    /// The line of the list that it stands on.
    line: u32,
}

impl DevicesBuilder {
    /// A builder without devices; the same seed and devices make the same map.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            mixes: mixes(seed),
            rest_mix: rest_mix(seed),
            ..Self::default()
        }
    }

    /// The same, where the line of each device may be kept, with the memory of one
    /// before.
    pub(in crate::equipment) fn with_lines(seed: u64, keeps_lines: bool, scratch: Scratch) -> Self {
        Self {
            keeps_lines,
            scratch,
            ..Self::new(seed)
        }
    }

    /// Sets addresses aside for so many devices. It costs no memory before they
    /// come, and nothing has to be moved when they do.
    pub fn expect(&mut self, devices: usize) {
        self.expected = devices;
    }

    /// Adds a device with its class, from 1; devices of a TAC come in ascending
    /// order, each once.
    #[inline]
    pub fn push(&mut self, device: u64, class: u32) {
        self.push_with(device, class, 0);
    }

    /// The same with the line that it stands on.
    #[inline]
    pub(in crate::equipment) fn push_with(&mut self, device: u64, class: u32, line: u32) {
        let mut serial = device.wrapping_sub(u64::from(self.current) * SERIALS);
        if serial >= SERIALS {
            self.begin(device);
            serial = device % SERIALS;
        }
        self.push_serial(serial as u32, class, line);
    }

    /// Begins with the TAC of a device.
    pub(in crate::equipment) fn begin(&mut self, device: u64) {
        self.finish_tac();
        self.current = (device / SERIALS) as u32;
    }

    /// Adds the device of the present TAC with this serial number.
    #[inline]
    pub(in crate::equipment) fn push_serial(&mut self, serial: u32, class: u32, line: u32) {
        self.scratch.tac.push(Serial {
            serial,
            class,
            line,
        });
        self.piece.len += 1;
    }

    /// Adds those with these serial numbers and lines, which have one class.
    pub(in crate::equipment) fn push_serials(
        &mut self,
        class: u32,
        devices: impl ExactSizeIterator<Item = (u32, u32)>,
    ) {
        self.piece.len += devices.len();
        let devices = devices.map(|(serial, line)| Serial {
            serial,
            class,
            line,
        });
        self.scratch.tac.extend(devices);
    }

    /// Adds what another builder with the same seed has collected, which has
    /// none of the TACs of this one.
    ///
    /// So a caller with several threads can share a register out by TACs, sort
    /// and collect them at once and put them together in the end. The map is the
    /// same as if one builder had collected all.
    pub fn append(&mut self, mut other: Self) {
        self.finish_tac();
        other.finish_tac();
        self.current = other.current;
        let own = &self.piece.arrays;
        let before = [own.dense.len(), own.hashed.len()];
        let arrays = self.piece.absorb(other.piece, before);
        let own = &mut self.piece.arrays;
        own.dense.append(&arrays.dense);
        own.hashed.append(&arrays.hashed);
        own.dense_lines.extend(arrays.dense_lines);
        own.hashed_lines.extend(arrays.hashed_lines);
        let own = &mut self.scratch;
        own.rest.extend(other.scratch.rest);
        own.rest_lines.extend(other.scratch.rest_lines);
    }

    /// What has been collected, for a [`Joiner`], and memory for another builder.
    pub(in crate::equipment) fn into_piece(mut self) -> (Piece, Scratch) {
        self.finish_tac();
        let arrays = &mut self.piece.arrays;
        arrays.dense.shrink();
        arrays.hashed.shrink();
        let scratch = &mut self.scratch;
        let old = core::mem::take(&mut scratch.scattered);
        arrays.rest = Scattered::of((&scratch.rest, &scratch.rest_lines), old);
        scratch.rest.clear();
        scratch.rest_lines.clear();
        (self.piece, self.scratch)
    }

    /// The map.
    #[must_use]
    pub fn finish(self) -> Devices {
        let mut joiner = Joiner::new(self.seed, self.keeps_lines);
        let mut arrays = joiner.join(self.into_piece().0);
        let rest = vec![core::mem::take(&mut arrays.rest)];
        let (mut devices, _) = joiner.finish_here(rest);
        let dense = core::mem::take(&mut arrays.dense);
        devices.fill(dense, core::mem::take(&mut arrays.hashed));
        devices
    }
}

impl Serial {
    /// The device of a TAC that begins with this number.
    fn item(&self, tac: u64) -> Item {
        Item {
            key: tac + u64::from(self.serial),
            class: self.class,
            line: self.line,
        }
    }
}

/// How serial numbers are scattered over the lines of a hashed TAC.
fn mixes(seed: u64) -> [Mix<SERIAL_BITS>; MIXES] {
    core::array::from_fn(|number| Mix::new(Seeds::new(seed).nth(number as u64)))
}

/// How devices of TACs without structures are scattered at first.
fn rest_mix(seed: u64) -> Mix<47> {
    Mix::new(Seeds::new(seed).nth(0))
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Size;
    use super::*;

    /// A generator of test keys (SplitMix64).
    struct Keys(u64);
    impl Keys {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = self.0;
            word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^ word >> 31
        }
        fn below(&mut self, bound: u64) -> u64 {
            self.next() % bound
        }
    }

    /// A map of the same content is the oracle.
    fn check(model: &BTreeMap<u64, u32>) -> Size {
        let mut builder = DevicesBuilder::new(42);
        for (&device, &class) in model {
            builder.push(device, class);
        }
        let devices = builder.finish();
        assert_eq!(devices.len(), model.len());
        let mut asked: Vec<u64> = Vec::new();
        let mut keys = Keys(model.len() as u64);
        for &device in model.keys() {
            asked.extend([device, device ^ 1, device + 1, device.wrapping_sub(1)]);
            asked.push(device / SERIALS * SERIALS + keys.below(SERIALS));
            asked.push(keys.below(100_000_000_000_000));
        }
        asked.retain(|&device| device < 100_000_000_000_000);
        for &device in &asked {
            assert_eq!(
                devices.find(device),
                model.get(&device).copied(),
                "{device}"
            );
        }
        let mut answers = 0;
        devices.find_batch(&asked, |place, class| {
            answers += 1;
            assert_eq!(class, model.get(&asked[place]).copied());
        });
        assert_eq!(answers, asked.len());
        // Everything comes back, and everything has a place of its own.
        assert!(devices.iter().collect::<BTreeMap<_, _>>() == *model);
        assert_eq!(devices.iter().count(), model.len());
        let mut taken = vec![false; devices.places()];
        for &device in &asked {
            let place = devices.place(device);
            assert_eq!(place.is_some(), model.contains_key(&device));
        }
        for &device in model.keys() {
            let place = devices.place(device).unwrap();
            assert!(!core::mem::replace(&mut taken[place], true), "{device}");
        }
        devices.size()
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        let devices = DevicesBuilder::new(1).finish();
        assert!(devices.is_empty());
        assert_eq!(devices.find(0), None);
        assert_eq!(devices.find(99_999_999_999_999), None);
    }

    #[test]
    fn every_structure_is_exact() {
        let mut keys = Keys(1);
        let class = |keys: &mut Keys| match keys.below(100) {
            0..70 => 1,
            70..95 => 2,
            95..99 => keys.below(40) as u32 + 1,
            _ => keys.below(1 << 20) as u32 + 1,
        };
        let mut model = BTreeMap::new();
        // Dense runs, at both ends of a TAC and across all of one.
        for (tac, from, to) in [
            (1, 0, 5000),
            (1, 995_000, 1_000_000),
            (3, 0, 300_000),
            (99_999_999, 999_000, 1_000_000),
        ] {
            for serial in from..to {
                if keys.below(10) < 8 {
                    model.insert(tac * SERIALS + serial, class(&mut keys));
                }
            }
        }
        let size = check(&model);
        assert!(size.dense > 0 && size.hashed == 0 && size.rest == 0);
        // Scattered over a TAC.
        for tac in [2, 4, 99_999_998] {
            for _ in 0..6000 {
                model.insert(tac * SERIALS + keys.below(SERIALS), class(&mut keys));
            }
        }
        let size = check(&model);
        assert!(size.dense > 0 && size.hashed > 0 && size.rest == 0);
        // Here and there.
        for _ in 0..20_000 {
            model.insert(keys.below(100_000_000_000_000), class(&mut keys));
        }
        let size = check(&model);
        assert!(size.dense > 0 && size.hashed > 0 && size.rest > 0);
        assert!(size.exact_devices > 0);
    }

    #[test]
    fn extremes_are_found() {
        let model = [0, 1, 999_999, 1_000_000, 99_999_999_999_999]
            .into_iter()
            .zip([1, u32::MAX, 2, 3, 70_000])
            .collect();
        check(&model);
    }
}
