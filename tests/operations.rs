//! A million operations against plain maps: the index of a register, its file,
//! the overlay of changes and the journal, over registers that are random, and
//! over such as are made to be hard. How many there were is counted, printed and
//! asserted; each is the change of one entry or the lookup of one device, and each
//! is compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir::changes::{Composer, Header, Live, Step, replay};
use weir::equipment::{
    Action, Builder, Change, CheckDigit, Device, Edit, Entry, Imei, Overlay, RuleSpec, Scope,
    Snapshot, Status, Subject, Validity,
};
use weir::policy::{Inquiry, Outcome, PolicySpec, Rulebook};
use weir::snapshot::{Provenance, from_octets, to_octets};
use weir::time::UnixTime;

/// Operations that there must be.
const WANTED: u64 = 1_000_000;

/// Numbers without a pattern: the finalizer of SplitMix64.
struct Numbers(u64);

impl Numbers {
    /// The next one, below a bound.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }

    /// A status.
    fn status(&mut self) -> Status {
        Status::ALL[self.below(3) as usize]
    }
}

/// What one list says of devices, by a map of the standard library.
type Model = BTreeMap<u64, Status>;

/// Registers, with the devices that are asked for: some are in it, some nearly.
fn registers(numbers: &mut Numbers) -> Vec<(&'static str, Model, Vec<u64>)> {
    let mut found = Vec::new();
    let mut add = |name, devices: Vec<u64>, asked: Vec<u64>, numbers: &mut Numbers| {
        let model: Model = devices.iter().map(|&own| (own, numbers.status())).collect();
        found.push((name, model, asked));
    };
    let near = |devices: &[u64], numbers: &mut Numbers| -> Vec<u64> {
        let steps = [0, 1, 2, 64, 236, 1_000_000, 100_000_000];
        let near = devices.iter().flat_map(|&own| {
            let step = steps[numbers.below(steps.len() as u64) as usize];
            [own, own + step, own.saturating_sub(step)]
        });
        near.filter(|&own| own < 100_000_000_000_000).collect()
    };
    let base = 35_209_900_000_000;
    for (name, devices) in [
        ("nothing", Vec::new()),
        ("one", vec![base]),
        (
            "the ends",
            vec![0, 1, 99_999_999_999_998, 99_999_999_999_999],
        ),
        ("one run", (base..base + 20_000).collect()),
        (
            "all of one TAC but every fifth",
            (base..base + 20_000).filter(|own| own % 5 > 0).collect(),
        ),
        // Those of one line of a table of runs, and the beginnings of many.
        (
            "one of each block",
            (0..10_000).map(|own| base + own * 236).collect(),
        ),
        (
            "one of each TAC",
            (0..10_000)
                .map(|own| own * 10_000_000_000 + 7 - own * 9_999_000_000)
                .collect(),
        ),
        (
            "the same serial in all TACs",
            (0..10_000)
                .map(|tac| (35_000_000 + tac) * 1_000_000 + 123_456)
                .collect(),
        ),
        (
            "powers of two",
            (0..46)
                .flat_map(|bit| [1 << bit, (1 << bit) - 1, (1 << bit) + 1])
                .collect(),
        ),
        (
            "one bit apart",
            (0..10_000)
                .map(|own: u64| base ^ (own << 12))
                .filter(|own| *own < 100_000_000_000_000)
                .collect(),
        ),
        (
            "random",
            (0..20_000)
                .map(|_| numbers.below(100_000_000_000_000))
                .collect(),
        ),
        (
            "random in few TACs",
            (0..20_000)
                .map(|_| base + numbers.below(3) * 1_000_000 + numbers.below(1_000_000))
                .collect(),
        ),
    ] {
        let asked = near(&devices, numbers);
        let asked = if asked.is_empty() {
            vec![0, 1, base]
        } else {
            asked
        };
        add(name, devices, asked, numbers);
    }
    found
}

/// A snapshot of what a model says.
fn built(model: &Model) -> Snapshot {
    let mut builder = Builder::new();
    let list = builder.list("list", Status::Blacklisted).unwrap();
    let file = builder.file("list.csv").unwrap();
    for (line, (&device, &status)) in (1..).zip(model) {
        let rule = RuleSpec {
            scope: Scope::Device(Device::from_number(device).unwrap()),
            status,
            validity: Validity::ALWAYS,
            reason: None,
            exceptions: &[],
            file,
            line,
        };
        builder.rule(list, rule).unwrap();
    }
    builder.finish()
}

/// A rulebook of a snapshot.
fn rulebook(snapshot: Snapshot) -> Rulebook {
    Rulebook::new(snapshot, None, PolicySpec::new("default"), Vec::new()).unwrap()
}

/// Compares what is said of devices, in batches as a server asks; returns how
/// many were asked for.
fn compare(name: &str, rulebook: &Rulebook, model: &Model, asked: &[u64]) -> u64 {
    let inquiry = |&device: &u64| Inquiry {
        imei: Ok(Imei {
            device: Device::from_number(device).unwrap(),
            svn: None,
            check_digit: CheckDigit::Absent,
        }),
        svn: None,
        imsi: None,
        origin_host: b"",
        origin_realm: b"",
        route_record: None,
    };
    for asked in asked.chunks(32) {
        let inquiries: Vec<Inquiry<'_>> = asked.iter().map(inquiry).collect();
        rulebook.prefetch(inquiries.iter());
        for (device, inquiry) in asked.iter().zip(&inquiries) {
            let expected = match model.get(device) {
                Some(&status) => Outcome::Status(status),
                None => Outcome::Unknown,
            };
            let found = rulebook.decide(inquiry, UnixTime(0)).outcome;
            assert_eq!(found, expected, "{name}: {device:014}");
        }
    }
    asked.len() as u64
}

/// The subject of a device.
fn subject(list: &Arc<str>, device: u64) -> Subject {
    Subject {
        list: Arc::clone(list),
        subscriber: None,
        scope: Scope::Device(Device::from_number(device).unwrap()),
    }
}

/// An edit at random.
fn edit(numbers: &mut Numbers, list: &Arc<str>, number: u64, device: u64) -> Edit {
    let subject = subject(list, device);
    let action = match numbers.below(5) {
        0 => return Edit::Undo(subject),
        1 => Action::Remove,
        _ => Action::Set(Entry {
            status: numbers.status(),
            validity: Validity::ALWAYS,
            reason: None,
            exceptions: [].into(),
        }),
    };
    Edit::Change(Arc::new(Change {
        number,
        time: UnixTime(number as i64),
        by: "test".into(),
        subject,
        action,
    }))
}

/// Makes an edit in a model of what is said, and in one of what was changed.
fn make(edit: &Edit, files: &Model, said: &mut Model, changed: &mut BTreeMap<u64, u64>) {
    let Scope::Device(device) = edit.subject().scope else {
        unreachable!("all are of devices")
    };
    let device = device.number();
    let status = match edit {
        Edit::Undo(_) => {
            changed.remove(&device);
            files.get(&device).copied()
        }
        Edit::Change(change) => {
            changed.insert(device, change.number);
            match &change.action {
                Action::Set(entry) => Some(entry.status),
                Action::Remove => None,
            }
        }
    };
    match status {
        Some(status) => said.insert(device, status),
        None => said.remove(&device),
    };
}

#[test]
fn a_million_operations_agree_with_plain_maps() {
    let mut numbers = Numbers(7);
    let list: Arc<str> = "list".into();
    let [mut index, mut file, mut overlay_operations, mut journal] = [0u64; 4];
    for (name, model, asked) in registers(&mut numbers) {
        let base = rulebook(built(&model));
        index += compare(name, &base, &model, &asked);
        let octets = to_octets(base.snapshot(), &Provenance::default(), UnixTime(1)).unwrap();
        let stored = rulebook(from_octets(&octets).unwrap().snapshot);
        file += compare(name, &stored, &model, &asked);

        // Of devices that are there, of those that nearly are, and again and again
        // of the same ones; then all that is there goes, and comes back.
        let mut said = model.clone();
        let mut changed = BTreeMap::new();
        let mut overlay = Overlay::new([numbers.below(u64::MAX), numbers.below(u64::MAX)]);
        let mut live = Live::default();
        let header = Header {
            file: numbers.below(u64::MAX),
            last: 0,
            created: UnixTime(0),
            fold: None,
        };
        let mut octets = Vec::new();
        let mut composer = Composer::begin(&header, &mut octets);
        let mut number = 0;
        let mut rounds: Vec<Vec<Edit>> = (0..300)
            .map(|round| {
                let few = if round % 3 == 0 {
                    5
                } else {
                    asked.len() as u64
                };
                let devices = (0..1 + numbers.below(60)).map(|_| {
                    let place = numbers.below(few.min(asked.len() as u64));
                    asked[place as usize]
                });
                let devices: Vec<u64> = devices.collect();
                let edits = devices.into_iter().map(|device| {
                    number += 1;
                    edit(&mut numbers, &list, number, device)
                });
                edits.collect()
            })
            .collect();
        let removals = model.keys().take(5000).map(|&device| {
            number += 1;
            Edit::Change(Arc::new(Change {
                number,
                time: UnixTime(0),
                by: "test".into(),
                subject: subject(&list, device),
                action: Action::Remove,
            }))
        });
        rounds.push(removals.collect());
        let undos = model.keys().take(4000);
        rounds.push(
            undos
                .map(|&device| Edit::Undo(subject(&list, device)))
                .collect(),
        );
        for (round, edits) in rounds.iter().filter(|edits| !edits.is_empty()).enumerate() {
            overlay = overlay.with(base.snapshot(), edits).unwrap();
            let steps: Vec<Step> = edits
                .iter()
                .map(|edit| match edit {
                    Edit::Change(change) => Step::of(change),
                    Edit::Undo(_) => Step {
                        number,
                        time: UnixTime(0),
                        by: "test".into(),
                        edit: edit.clone(),
                    },
                })
                .collect();
            assert!(composer.record(&steps, &mut octets));
            for (edit, step) in edits.iter().zip(&steps) {
                make(edit, &model, &mut said, &mut changed);
                live.take(step);
            }
            overlay_operations += edits.len() as u64;
            journal += edits.len() as u64;
            let of: Vec<u64> = (0..96)
                .map(|_| asked[numbers.below(asked.len() as u64) as usize])
                .collect();
            let above = base.with_overlay(overlay.clone());
            overlay_operations += compare(name, &above, &said, &of);
            if round % 100 == 0 {
                let above = stored.with_overlay(overlay.clone());
                overlay_operations += compare(name, &above, &said, &asked);
            }
        }
        assert_eq!(overlay.len(), changed.len(), "{name}");
        // The journal, read again, laid out at once, and folded into the lists.
        let mut read = Live::default();
        let mut count = 0;
        let replayed = replay(&octets, |step| {
            read.take(&step);
            count += 1;
        });
        assert_eq!(replayed.unwrap().torn, 0);
        journal += count;
        let found = |live: &Live| -> BTreeMap<u64, u64> {
            let of = live.in_order().map(|change| match change.subject.scope {
                Scope::Device(device) => (device.number(), change.number),
                other => panic!("{other}"),
            });
            of.collect()
        };
        assert_eq!(
            (found(&read), found(&live)),
            (changed.clone(), changed),
            "{name}"
        );
        let changes = read.in_order().cloned();
        let (again, misfits) = Overlay::of_those_that_fit([1, 2], base.snapshot(), changes);
        assert!(misfits.is_empty());
        overlay_operations += compare(name, &base.with_overlay(again.clone()), &said, &asked);
        let mut builder = Builder::new();
        (again.fold(base.snapshot(), read.in_order(), &mut builder, |_| Ok(()))).unwrap();
        let folded = base.with_snapshot(builder.finish());
        overlay_operations += compare(name, &folded, &said, &asked);
    }
    let all = index + file + overlay_operations + journal;
    println!(
        "{all} operations: {index} of indexes, {file} of files, {overlay_operations} of overlays, \
         {journal} of journals"
    );
    assert!(all >= WANTED, "{all}");
    assert!(
        [index, file, overlay_operations, journal]
            .iter()
            .all(|&own| own > 100_000)
    );
}
