//! Changes in force: with the lists that come and go, while others read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use weir::equipment::{Builder, Device, Imei, ListId, RuleSpec, Scope, Snapshot, Status, Validity};
use weir::journal::above::Changes;
use weir::journal::keeper::{Handle, Keeper};
use weir::journal::log::{Log, read};
use weir::journal::wish::{BATCH_MAX, What, Wish};
use weir::metrics::Counters;
use weir::policy::{Inquiry, Outcome, PolicySpec, Register, Rulebook};
use weir::time::UnixTime;

use crate::disk::{Failure, Model};

/// A register with these lists, each of which blacklists device 1.
fn rulebook(lists: &[&str]) -> Rulebook {
    let mut builder = Builder::new();
    let ids: Vec<ListId> = (lists.iter())
        .map(|name| builder.list(name, Status::Blacklisted).unwrap())
        .collect();
    let file = builder.file("a.csv").unwrap();
    for id in ids {
        let rule = RuleSpec {
            scope: Scope::Device(Device::from_number(1).unwrap()),
            status: Status::Blacklisted,
            validity: Validity::ALWAYS,
            reason: None,
            exceptions: &[],
            file,
            line: 1,
        };
        builder.rule(id, rule).unwrap();
    }
    of(builder.finish())
}

/// A rulebook of a snapshot.
fn of(snapshot: Snapshot) -> Rulebook {
    Rulebook::new(snapshot, None, PolicySpec::new("default"), Vec::new()).unwrap()
}

/// What is said of the device with this number.
fn outcome(rulebook: &Rulebook, number: u64) -> Outcome {
    let inquiry = Inquiry {
        imei: Imei::parse(format!("{number:014}").as_bytes()),
        svn: None,
        imsi: None,
        origin_host: b"",
        origin_realm: b"",
        route_record: None,
    };
    rulebook.decide(&inquiry, UnixTime(0)).outcome
}

/// Black.
const BLACK: Outcome = Outcome::Status(Status::Blacklisted);

/// A wish about the device with this number.
fn wish(list: &str, number: u64, what: What) -> Wish {
    Wish {
        list: list.into(),
        imsis: Vec::new(),
        scope: Scope::Device(Device::from_number(number).unwrap()),
        what,
    }
}

/// To say something of a device.
fn set() -> What {
    What::Set {
        status: None,
        validity: Validity::ALWAYS,
        reason: None,
    }
}

/// A register, its changes, and the thread that makes them.
fn begin(disk: &Model, lists: &[&str]) -> (Arc<Register>, Arc<Changes>, Handle) {
    let opened = Log::open(disk.clone(), UnixTime(0), || 7).unwrap();
    let base = rulebook(lists);
    let (rulebook, _) = weir::journal::above::laid_above(&base, &opened.live, [1, 2]);
    let register = Arc::new(Register::new(rulebook));
    let counters = Arc::new(Counters::default());
    let keeper = Keeper::new(opened, Arc::clone(&register), [1, 2], counters);
    let changes = keeper.changes();
    (register, changes, keeper.spawn().unwrap())
}

/// What comes of wishes.
fn ask(handle: &Handle, wishes: Vec<Wish>) -> Result<(u64, u64), String> {
    handle.ask("test".into(), wishes).recv().unwrap()
}

#[test]
fn what_is_acknowledged_is_in_force_and_comes_back() {
    let disk = Model::default();
    let (register, changes, handle) = begin(&disk, &["stolen", "gsma"]);
    let is = |number| outcome(&register.load(), number);
    assert_eq!((is(1), is(2)), (BLACK, Outcome::Unknown));
    let both = vec![wish("stolen", 2, set()), wish("stolen", 1, What::Remove)];
    assert_eq!(ask(&handle, both), Ok((1, 2)));
    // Another list has it, too.
    assert_eq!((is(1), is(2)), (BLACK, BLACK));
    assert_eq!(
        ask(&handle, vec![wish("gsma", 1, What::Remove)]),
        Ok((3, 3))
    );
    assert_eq!(is(1), Outcome::Unknown);

    // Lists come and go, and with them what is in effect of the changes.
    let (_, misfits) = changes.install(&rulebook(&["gsma"]), None).unwrap();
    let told = weir::journal::above::told(&misfits);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("2 changes of `stolen` are not in effect"),
        "{told:?}"
    );
    assert_eq!((is(1), is(2)), (Outcome::Unknown, Outcome::Unknown));
    let refused = ask(
        &handle,
        vec![wish("gsma", 4, set()), wish("stolen", 5, set())],
    );
    let why = refused.unwrap_err();
    assert_eq!(
        why,
        "change 2 of the request: no list or binding is called `stolen`"
    );
    assert_eq!(is(4), Outcome::Unknown);
    let (_, misfits) = changes
        .install(&rulebook(&["gsma", "stolen"]), None)
        .unwrap();
    assert_eq!((misfits.len(), is(2)), (0, BLACK));
    assert_eq!(ask(&handle, vec![wish("gsma", 1, What::Undo)]), Ok((4, 4)));
    assert_eq!(is(1), BLACK);

    // The next server has them again.
    let (register, changes, _handle) = begin(&disk.after_power_loss(|_| 0), &["stolen"]);
    assert_eq!(changes.len(), 2);
    assert_eq!(outcome(&register.load(), 2), BLACK);
    assert_eq!(outcome(&register.load(), 1), Outcome::Unknown);
}

#[test]
fn what_cannot_be_kept_is_not_made() {
    let disk = Model::default();
    let (register, changes, handle) = begin(&disk, &["stolen"]);
    for how in [Failure::Once, Failure::Half, Failure::Always] {
        disk.fail(0, how);
        let why = ask(&handle, vec![wish("stolen", 9, set())]).unwrap_err();
        assert!(
            why.contains("was not made") && why.contains(".journal"),
            "{why}"
        );
        assert_eq!(outcome(&register.load(), 9), Outcome::Unknown);
        assert_eq!(
            (
                changes.len(),
                read(&disk.after_power_loss(|_| 0)).unwrap().len()
            ),
            (0, 0)
        );
    }
    disk.mend();
    ask(&handle, vec![wish("stolen", 9, set())]).unwrap();
    assert_eq!(outcome(&register.load(), 9), BLACK);
}

#[test]
fn wishes_that_make_no_sense_are_told() {
    let (_, changes, handle) = begin(&Model::default(), &["stolen"]);
    let imsi = weir::equipment::Imsi::parse(b"001010000000001").unwrap();
    let bound = Wish {
        imsis: vec![imsi],
        ..wish("stolen", 1, What::Remove)
    };
    for (wishes, why) in [
        (
            vec![],
            "a request is of 1 to 10000 changes, and this one of 0",
        ),
        (
            vec![wish("stolen", 1, set()); BATCH_MAX + 1],
            "a request is of 1 to 10000 changes, and this one of 10001",
        ),
        (
            vec![wish("nope", 1, set())],
            "no list or binding is called `nope`",
        ),
        (
            vec![bound],
            "`stolen` is a list of rules: its exceptions go with the rule; add it again with those \
             that are to stay",
        ),
    ] {
        assert_eq!(ask(&handle, wishes), Err(why.to_owned()));
    }
    assert!(changes.is_empty());
}

/// Two devices are changed together again and again, while lists are published:
/// whoever reads sees both or none, and what was acknowledged.
#[test]
fn readers_see_all_of_a_request_or_nothing() {
    let (register, changes, handle) = begin(&Model::default(), &["stolen"]);
    let done = Arc::new(AtomicBool::new(false));
    let looks = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (register, done) = (Arc::clone(&register), Arc::clone(&done));
            let looks = Arc::clone(&looks);
            thread::spawn(move || {
                let mut seen = [0u64; 2];
                while !done.load(Ordering::Relaxed) {
                    let rulebook = register.load();
                    let [first, second] = [100, 200].map(|number| outcome(&rulebook, number));
                    assert_eq!(first, second);
                    seen[usize::from(first == BLACK)] += 1;
                    looks.fetch_add(1, Ordering::Relaxed);
                }
                seen
            })
        })
        .collect();
    let reloads = {
        let (changes, done) = (Arc::clone(&changes), Arc::clone(&done));
        thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                let (old, misfits) = changes
                    .install(&rulebook(&["other", "stolen"]), None)
                    .unwrap();
                assert!(misfits.is_empty());
                drop(old);
            }
        })
    };
    for round in 0..600 {
        let what = || if round % 2 == 0 { set() } else { What::Undo };
        let wishes = vec![wish("stolen", 100, what()), wish("stolen", 200, what())];
        ask(&handle, wishes).unwrap();
        let expected = if round % 2 == 0 {
            BLACK
        } else {
            Outcome::Unknown
        };
        assert_eq!(outcome(&register.load(), 200), expected, "{round}");
        // Until each reader had a look at some of the states.
        let before = looks.load(Ordering::Relaxed);
        while round % 50 < 2 && looks.load(Ordering::Relaxed) < before + 10 {
            thread::yield_now();
        }
    }
    done.store(true, Ordering::Relaxed);
    reloads.join().unwrap();
    for reader in readers {
        reader.join().unwrap();
    }
}
