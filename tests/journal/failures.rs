//! A disk that fails, fills up, or loses its power: nothing that was
//! acknowledged is lost, and nothing is invented.

use core::sync::atomic::{AtomicU64, Ordering};

use weir::changes::Live;
use weir::journal::fold;
use weir::journal::log::{Log, Opened, read};
use weir::time::UnixTime;

use crate::disk::{Failure, Model};
use crate::steps::black;

const NOW: UnixTime = UnixTime(1_800_000_000);

/// A number for a file.
fn number() -> u64 {
    42
}

/// Opens the journal of a disk.
fn open(disk: &Model) -> Opened<Model> {
    Log::open(disk.clone(), NOW, number).unwrap()
}

/// The devices of which a journal says anything.
fn devices(live: &Live) -> Vec<u64> {
    let numbers = live.in_order().map(|change| match change.subject.scope {
        weir::equipment::Scope::Device(device) => device.number(),
        other => panic!("{other}"),
    });
    numbers.collect()
}

/// Makes one change after the other, up to `last`, on a disk; returns those
/// that were acknowledged, and how many were refused.
fn work(
    opened: &mut Opened<Model>,
    numbers: core::ops::Range<u64>,
    rewrites: bool,
) -> (Vec<u64>, usize) {
    let mut acknowledged = devices(&opened.live);
    let mut refused = 0;
    for number in numbers {
        let step = black(number, number);
        let live = opened.live.clone();
        match opened
            .log
            .append(core::slice::from_ref(&step), None, || live.clone(), NOW)
        {
            Ok(()) => {
                opened.live.take(&step);
                acknowledged.push(number);
            }
            Err(_) => refused += 1,
        }
        if rewrites && number % 5 == 0 {
            // That it cannot be done is no loss.
            let _ = opened.log.rewrite(&opened.live, None, NOW);
        }
    }
    (acknowledged, refused)
}

/// Each operation in turn fails in each way. The changes that are refused are
/// those that are not there afterwards; and when the disk is well again, so is
/// the journal.
#[test]
fn whatever_fails_the_journal_has_what_was_acknowledged() {
    for how in [Failure::Once, Failure::Half, Failure::Always] {
        for after in 0..120 {
            let disk = Model::default();
            let mut opened = open(&disk);
            disk.fail(after, how);
            let (acknowledged, refused) = work(&mut opened, 1..20, true);
            disk.mend();
            assert!(
                refused <= 2 || how == Failure::Always,
                "{how:?} {after}: {refused}"
            );
            let found = devices(&read(&disk).unwrap());
            assert!(found.starts_with(&acknowledged), "{how:?} {after}");
            // If a disk can be told nothing any more, not even to forget, what it
            // was told last may be there until the next change.
            let more = found.len() - acknowledged.len();
            let in_doubt = usize::from(how == Failure::Always);
            assert!(more <= in_doubt, "{how:?} {after}");
            // The server goes on.
            let (acknowledged, refused) = work(&mut opened, 20..30, true);
            assert_eq!(refused, 0, "{how:?} {after}");
            assert_eq!(devices(&open(&disk).live), acknowledged);
        }
    }
}

/// The power is lost after each operation, in the middle of a write or before
/// its end. What was acknowledged is there; beyond it there may be the one
/// change that nobody was told of, whole.
#[test]
fn a_loss_of_power_takes_nothing_that_was_acknowledged() {
    for after in 0..120 {
        for keep in [0, 1, 30, 41, 100, usize::MAX] {
            let disk = Model::default();
            let mut opened = open(&disk);
            disk.fail(after, Failure::Always);
            let (acknowledged, _) = work(&mut opened, 1..20, true);
            let left = disk.after_power_loss(|_| keep);
            let opened = open(&left);
            let found = devices(&opened.live);
            assert!(
                found.starts_with(&acknowledged),
                "{after} {keep}: {found:?} {acknowledged:?}"
            );
            let more = &found[acknowledged.len()..];
            assert!(
                more.len() <= 1 && more.iter().all(|more| *more <= 20),
                "{after} {keep}"
            );
            // And once more, from what is left.
            let mut opened = open(&left);
            let (acknowledged, refused) = work(&mut opened, 30..40, true);
            assert_eq!((refused, devices(&read(&left).unwrap())), (0, acknowledged));
        }
    }
}

/// A disk that is full refuses changes, keeps what it has, leaves nothing half
/// written, and takes changes again when there is room.
#[test]
fn a_full_disk_refuses_changes_and_recovers() {
    let disk = Model::default();
    let mut opened = open(&disk);
    work(&mut opened, 1..10, false);
    let before = disk.journals();
    for room in [0, 1, 39, 40, 60] {
        disk.fill(room);
        let (acknowledged, refused) = work(&mut opened, 10..15, false);
        assert_eq!((acknowledged.len(), refused), (9, 5), "{room}");
        assert_eq!(disk.journals(), before);
        assert!(opened.log.rewrite(&opened.live, None, NOW).is_err());
        assert_eq!(disk.journals(), before);
    }
    disk.mend();
    let (acknowledged, refused) = work(&mut opened, 10..15, false);
    assert_eq!((acknowledged.len(), refused), (14, 0));
    assert_eq!(devices(&read(&disk).unwrap()), acknowledged);
}

/// Changes that are folded are in one file or in the other, whatever fails, and
/// whenever the power is lost: nothing acknowledged is lost, and nothing is
/// invented.
#[test]
fn folding_loses_nothing_whatever_fails() {
    let mut folded = 0;
    for how in [Failure::Once, Failure::Half, Failure::Always] {
        for after in 0..90 {
            for keep in [0, 1, 41, 100, usize::MAX] {
                let disk = Model::default();
                let mut opened = open(&disk);
                disk.fail(after, how);
                let mut at = 1;
                // Folded twice, with changes before and after.
                let mut acknowledged = Vec::new();
                for _ in 0..3 {
                    let before = opened.fold;
                    for number in at..at + 5 {
                        let step = black(number, number);
                        let live = opened.live.clone();
                        let written = (opened.log).append(
                            core::slice::from_ref(&step),
                            before,
                            || live.clone(),
                            NOW,
                        );
                        if written.is_ok() {
                            opened.live.take(&step);
                            acknowledged.push(number);
                        }
                    }
                    at += 5;
                    let Ok(older) =
                        before.map_or(Ok(Live::default()), |own| fold::read(&disk, own))
                    else {
                        continue;
                    };
                    let all = older.followed_by(&opened.live);
                    let Ok(new) = fold::write(&mut disk.clone(), &all, number, NOW) else {
                        continue;
                    };
                    let later = opened.live.since(new.through);
                    if (opened.log).rewrite(&later, Some(new), NOW).is_ok() {
                        (opened.live, opened.fold) = (later, Some(new));
                        folded += 1;
                    }
                }
                let check = |disk: &Model| {
                    let found = devices(&read(disk).unwrap());
                    assert!(
                        found.starts_with(&acknowledged),
                        "{how:?} {after} {keep}: {found:?} {acknowledged:?}"
                    );
                    assert!(found.len() <= acknowledged.len() + 1);
                };
                let left = disk.after_power_loss(|_| keep);
                check(&left);
                // The next server finds the same, and nothing else is left over.
                let next = open(&left);
                check(&left);
                let journals = left.journals();
                let names = journals.iter().map(|(name, _)| name.as_str());
                let folds = names.filter(|name| name.ends_with(".folded")).count();
                assert_eq!(folds, usize::from(next.fold.is_some()), "{journals:?}");
                disk.mend();
                check(&disk);
            }
        }
    }
    assert!(folded > 1000, "{folded}");
}

/// A fold that finds no room takes none.
#[test]
fn a_fold_on_a_full_disk_leaves_nothing() {
    let disk = Model::default();
    let mut opened = open(&disk);
    work(&mut opened, 1..10, false);
    let before = disk.journals();
    for room in [0, 1, 64, 100] {
        disk.fill(room);
        assert!(fold::write(&mut disk.clone(), &opened.live, number, NOW).is_err());
        assert_eq!(disk.journals(), before);
    }
    for after in 0..3 {
        disk.mend();
        disk.fail(after, Failure::Half);
        assert!(fold::write(&mut disk.clone(), &opened.live, number, NOW).is_err());
        assert_eq!(disk.journals(), before, "{after}");
    }
    disk.mend();
    let fold = fold::write(&mut disk.clone(), &opened.live, number, NOW).unwrap();
    assert_eq!(fold::read(&disk, fold).unwrap().len(), 9);
}

/// A number for a file that no other has.
fn another() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(1000);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// Changes are folded twice up to the same number, the second time while the
/// journal still names the first fold, and one more is made in between: each
/// finds its own file, whatever fails, and whenever the power is lost.
#[test]
fn folds_up_to_the_same_number_have_files_of_their_own() {
    let mut folded = 0;
    for how in [Failure::Once, Failure::Half, Failure::Always] {
        for after in 0..40 {
            for is_changed in [false, true] {
                let disk = Model::default();
                let mut opened = open(&disk);
                let (mut acknowledged, _) = work(&mut opened, 1..5, false);
                let all = opened.live.clone();
                let first = fold::write(&mut disk.clone(), &all, another, NOW).unwrap();
                (opened.log)
                    .rewrite(&all.since(first.through), Some(first), NOW)
                    .unwrap();
                // Other lists were loaded: all changes are above them.
                disk.fail(after, how);
                let second = fold::write(&mut disk.clone(), &all, another, NOW);
                if is_changed {
                    (acknowledged, _) = work(&mut opened, 5..6, false);
                }
                if let Ok(second) = second {
                    let later = opened.live.since(second.through);
                    let written = opened.log.rewrite(&later, Some(second), NOW);
                    folded += usize::from(written.is_ok());
                }
                for left in [disk.after_power_loss(|_| 0), disk.clone()] {
                    left.mend();
                    let found = devices(&read(&left).unwrap());
                    assert!(
                        found.starts_with(&acknowledged)
                            && found.len() <= acknowledged.len() + usize::from(is_changed),
                        "{how:?} {after} {is_changed}: {found:?} {acknowledged:?}"
                    );
                    let next = open(&left);
                    assert_eq!(devices(&read(&left).unwrap()), found);
                    let journals = left.journals();
                    let names = journals.iter().map(|(name, _)| name.as_str());
                    let folds = names.filter(|name| name.ends_with(".folded")).count();
                    assert_eq!(folds, usize::from(next.fold.is_some()), "{journals:?}");
                }
            }
        }
    }
    assert!(folded > 100, "{folded}");
}
