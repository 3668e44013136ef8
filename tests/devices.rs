//! The compact table of single devices against an ordered map of the same
//! content: over registers of all shapes, and over those that were made to be
//! hard for it. More than a million questions are asked in all.

use std::collections::BTreeMap;

use proptest::prelude::*;
use weir::equipment::devices::{Devices, DevicesBuilder};

/// Serial numbers of a TAC.
const SERIALS: u64 = 1_000_000;
/// Devices that there can be.
const DEVICES: u64 = 100_000_000_000_000;

/// A register: the class of each device.
type Model = BTreeMap<u64, u32>;

/// The table of a register, built as a loader builds it.
fn build(model: &Model, seed: u64) -> Devices {
    let mut builder = DevicesBuilder::new(seed);
    builder.expect(model.len());
    for (&device, &class) in model {
        builder.push(device, class);
    }
    builder.finish()
}

/// Asks for devices that are there and for others, one by one and many at once,
/// and for everything.
fn check(model: &Model, seed: u64, strangers: impl Iterator<Item = u64>) -> Devices {
    let devices = build(model, seed);
    assert_eq!(devices.len(), model.len());
    let asked: Vec<u64> = model.keys().copied().chain(strangers).collect();
    let mut answers = 0;
    devices.find_batch(&asked, |place, class| {
        assert_eq!(place, answers, "in order, each once");
        answers += 1;
        let device = asked[place];
        assert_eq!(class, model.get(&device).copied(), "{device} of a batch");
        assert_eq!(devices.find(device), class, "{device}");
    });
    assert_eq!(answers, asked.len());
    let mut all: Vec<(u64, u32)> = devices.iter().collect();
    all.sort_unstable();
    assert!(
        all.iter()
            .copied()
            .eq(model.iter().map(|(&key, &class)| (key, class)))
    );
    devices
}

/// Devices beside those of a register.
fn neighbours(model: &Model) -> impl Iterator<Item = u64> {
    let beside = |device: u64| [device + 1, device ^ 1 << 20, (device + SERIALS) % DEVICES];
    model
        .keys()
        .copied()
        .flat_map(beside)
        .filter(|&device| device < DEVICES)
}

/// Numbers without a pattern: the finalizer of SplitMix64.
fn scatter(number: u64) -> u64 {
    let mut bits = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Builds a register in two halves and puts them together.
fn build_apart(model: &Model, seed: u64, border: u64) -> Devices {
    let [mut lower, mut upper] = [DevicesBuilder::new(seed), DevicesBuilder::new(seed)];
    for (&device, &class) in model {
        match device < border {
            true => lower.push(device, class),
            false => upper.push(device, class),
        }
    }
    lower.append(upper);
    lower.finish()
}

//----------- All shapes ------------------------------------------------------

/// A part of a register.
#[derive(Clone, Debug)]
enum Part {
    /// Most serial numbers of a run.
    Run(u64, u64),
    /// Serial numbers here and there in a TAC.
    Tac(u64, u64),
    /// Devices here and there.
    Anywhere(u64),
    /// Devices at equal distances.
    Progression(u64, u64, u64),
}

impl Part {
    /// Its devices.
    fn devices(&self, seed: u64) -> Vec<u64> {
        let random = |number: u64| scatter(seed ^ scatter(number));
        match *self {
            Self::Run(from, length) => (from..from + length)
                .filter(|&device| random(device) % 10 < 8)
                .collect(),
            Self::Tac(tac, count) => (0..count)
                .map(|number| tac * SERIALS + random(number) % SERIALS)
                .collect(),
            Self::Anywhere(count) => (0..count).map(|number| random(number) % DEVICES).collect(),
            Self::Progression(from, step, count) => {
                (0..count).map(|number| from + number * step).collect()
            }
        }
    }
}

/// Parts of registers.
fn parts() -> impl Strategy<Value = Vec<Part>> {
    let part = prop_oneof![
        (0..DEVICES, 1..6000u64).prop_map(|(from, length)| Part::Run(from, length)),
        (0..100u64, 1..5000u64).prop_map(|(tac, count)| Part::Tac(tac, count)),
        (0..100u64, 1..5000u64).prop_map(|(tac, count)| Part::Tac(99_999_999 - tac, count)),
        (1..3000u64).prop_map(Part::Anywhere),
        (0..DEVICES, 0..36u32, 1..3000u64).prop_map(|(from, bits, count)| Part::Progression(
            from,
            1 << bits,
            count
        )),
    ];
    prop::collection::vec(part, 0..6)
}

/// How many classes there are, and how common the most common ones are.
fn classes() -> impl Strategy<Value = (u32, u64)> {
    (
        prop_oneof![1..20u32, 1..200_000u32, Just(u32::MAX)],
        0..20u64,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_register_of_any_shape_is_found(
        parts in parts(),
        (classes, common) in classes(),
        seed: u64,
    ) {
        let devices = parts.iter().flat_map(|part| part.devices(seed));
        let model: Model = devices
            .filter(|&device| device < DEVICES)
            .map(|device| {
                let random = scatter(device ^ seed);
                let class = match random % 20 < common {
                    true => 1 + (random >> 10 & 1) as u32,
                    false => 1 + (random >> 10) as u32 % classes,
                };
                (device, class)
            })
            .collect();
        let devices = check(&model, seed, neighbours(&model));
        let middle = model.keys().nth(model.len() / 2).copied().unwrap_or_default();
        let apart = build_apart(&model, seed, middle / SERIALS * SERIALS);
        prop_assert_eq!(apart.size(), devices.size());
        prop_assert!(apart.iter().eq(devices.iter()));
        prop_assert!(model.iter().all(|(&device, &class)| apart.find(device) == Some(class)));
    }
}

//----------- Hard ones -------------------------------------------------------

#[test]
fn a_whole_tac_is_found() {
    let tac = 35_000_000 * SERIALS;
    let model: Model = (tac..tac + SERIALS).map(|device| (device, 1)).collect();
    let devices = check(&model, 1, [tac - 1, tac + SERIALS].into_iter());
    // A quarter of an octet each, and where they are.
    assert!(devices.size().total() < model.len() * 3 / 10);
}

#[test]
fn devices_at_equal_distances_are_found_without_much_overflow() {
    for step in [
        2,
        3,
        7,
        10,
        16,
        100,
        127,
        128,
        1000,
        1024,
        4096,
        65_536,
        100_000,
        999_999,
        1_000_000,
        1_000_001,
        1 << 20,
        1 << 23,
        1 << 24,
        1 << 30,
        1 << 31,
    ] {
        let model: Model = (0..10_000).map(|number| (number * step, 1)).collect();
        let devices = check(&model, 5, neighbours(&model).step_by(7));
        let size = devices.size();
        assert!(size.exact_devices < 1000, "step {step}: {size:?}");
    }
}

/// The tables of remainders, which only large registers have.
#[test]
fn large_registers_at_equal_distances_are_found_without_much_overflow() {
    // A hundred million lines would be too slow here; all that differs with
    // their number is how many bits a slot has.
    let step = DEVICES / 1_600_000;
    let class = |number: u64| 1 + u32::from(number.is_multiple_of(100)) * 2;
    let mut builder = DevicesBuilder::new(3);
    for number in 0..1_600_000 {
        builder.push(number * step, class(number));
    }
    let devices = builder.finish();
    let size = devices.size();
    assert!(
        size.rest < 1_600_000 * 6 && size.exact_devices < 150_000,
        "{size:?}"
    );
    for number in (0..1_600_000).step_by(5) {
        assert_eq!(devices.find(number * step), Some(class(number)));
        assert_eq!(devices.find(number * step + 1), None);
    }
}
