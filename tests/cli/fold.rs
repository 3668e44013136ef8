//! Changes that are folded into the snapshot that a server reads: what is said of
//! a device never changes by it, whenever the server is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::harness::{Run, Serving, change, directory, weir};

/// How often the server is killed here; `WEIR_KILLS` says how often instead.
const KILLS: u64 = 40;

/// Two lists and bindings, compiled.
fn register(more: &str) -> tempfile::TempDir {
    let config =
        format!("[register]\nsnapshot = \"r.weir\"\nstate_dir = \"state\"\nwatch = false\n{more}");
    let dir = directory(&[
        ("weir.toml", &config),
        (
            "lists.toml",
            "[[list]]\nname = \"stolen\"\nstatus = \"blacklisted\"\npath = \"stolen.csv\"\n\
             [[list]]\nname = \"live\"\nstatus = \"greylisted\"\npath = \"live.csv\"\n\
             [[binding]]\nname = \"meters\"\npath = \"meters.csv\"\n",
        ),
        ("lists/live.csv", "imei\n"),
        ("lists/stolen.csv", "imei,reason\n49015420323751,found\n"),
        (
            "lists/meters.csv",
            "imsi,imei\n001010000000001,352099001761481\n",
        ),
    ]);
    compile(dir.path());
    dir
}

/// Compiles the lists of a directory.
fn compile(path: &Path) {
    let (lists, output) = (path.join("lists.toml"), path.join("r.weir"));
    let args = [
        "compile".as_ref(),
        "-c".as_ref(),
        lists.as_os_str(),
        "-o".as_ref(),
        output.as_os_str(),
    ];
    weir(args).ends(0);
}

/// A change of a device of a list.
fn of(dir: &Path, verb: &str, list: &str, imei: &str) -> Run {
    change(dir, &[verb, "--list", list, "--imei", imei])
}

/// The files of the journal whose names end so.
fn files(dir: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("state/changes")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.to_str().unwrap().ends_with(end))
        .collect();
    paths.sort();
    paths
}

/// Devices, and what is said of them after [`changed`].
const VERDICTS: [(&str, &str); 4] = [
    ("49015420323751", "unknown"),
    ("35693803564380", "greylisted"),
    ("86000000000005", "blacklisted"),
    ("35209900176148", "unknown"),
];

/// Makes some changes of all kinds.
fn changed(dir: &Path) {
    of(dir, "remove", "stolen", "49015420323751").ends(0);
    of(dir, "add", "live", "35693803564380").ends(0);
    let range = "86000000000000-86000000000009";
    change(dir, &["add", "--list", "stolen", "--range", range]).ends(0);
}

/// What is said of all devices.
fn verdicts(serving: &Serving) -> [String; 4] {
    VERDICTS.map(|(imei, _)| serving.verdict(imei))
}

#[test]
fn what_is_folded_is_said_as_before() {
    let dir = register("");
    let path = dir.path();
    let expected = VERDICTS.map(|(_, verdict)| verdict);
    let mut serving = Serving::start_in(path);
    let run = change(path, &["fold"]).ends(0);
    assert_eq!(run.out, "there is no change to fold\n");
    changed(path);
    assert_eq!(verdicts(&serving), expected);
    let listed = change(path, &["list"]).ends(0).out;
    assert_eq!(
        change(path, &["fold"]).ends(0).out,
        "the changes up to 3 are folded\n"
    );
    assert_eq!(verdicts(&serving), expected);
    assert_eq!(change(path, &["list"]).ends(0).out, listed);
    assert_eq!(
        (files(path, ".weir").len(), files(path, ".folded").len()),
        (1, 1)
    );
    let [journal] = &files(path, ".journal")[..] else {
        panic!("one journal")
    };
    // A header and nothing more.
    assert_eq!(fs::metadata(journal).unwrap().len(), 64);

    // It cannot be undone, but changed.
    let run = of(path, "undo", "stolen", "49015420323751").ends(1);
    assert!(run.err.contains("is folded into the snapshot"), "{run:?}");
    let run = of(path, "undo", "stolen", "49015420323752").ends(1);
    assert!(run.err.contains("no change of this to undo"), "{run:?}");
    of(path, "add", "live", "49015420323751").ends(0);
    assert_eq!(serving.verdict("49015420323751"), "greylisted");
    // Nor can what came later, as what was folded would speak again.
    let run = of(path, "undo", "live", "35693803564380").ends(1);
    assert!(run.err.contains("is folded"), "{run:?}");
    of(path, "undo", "live", "49015420323751").ends(0);
    assert_eq!(verdicts(&serving), expected);

    // After a kill, a reload, and once more.
    serving.signal(Signal::KILL);
    serving.wait();
    let mut serving = Serving::start_in(path);
    serving.log.wait_for("changes up to 3 are folded", 1);
    assert_eq!(verdicts(&serving), expected);
    serving.signal(Signal::HUP);
    serving.log.wait_for("register reloaded", 1);
    assert_eq!(verdicts(&serving), expected);
    of(path, "add", "live", "49015420323751").ends(0);
    assert_eq!(
        change(path, &["fold"]).ends(0).out,
        "the changes up to 6 are folded\n"
    );
    assert_eq!(serving.verdict("49015420323751"), "greylisted");
    assert_eq!(
        (files(path, ".weir").len(), files(path, ".folded").len()),
        (1, 1)
    );
    let explained = weir(
        ["explain", "49015420323751", "-c"]
            .iter()
            .map(|own| (*own).to_owned())
            .chain([path.join("weir.toml").to_str().unwrap().to_owned()]),
    );
    let told = explained.ends(0).out;
    assert!(told.contains("says in change 6 of"), "{told}");

    // Of other lists the changes are changes again, and can be undone.
    fs::write(path.join("lists/stolen.csv"), "imei\n35209900176148\n").unwrap();
    compile(path);
    serving.signal(Signal::HUP);
    serving.log.wait_for("register reloaded", 2);
    assert_eq!(serving.verdict("35209900176148"), "blacklisted");
    assert_eq!(serving.verdict("86000000000005"), "blacklisted");
    assert_eq!(serving.verdict("49015420323751"), "greylisted");
    of(path, "undo", "live", "49015420323751").ends(0);
    assert_eq!(serving.verdict("49015420323751"), "unknown");
    assert_eq!(
        (files(path, ".weir").len(), files(path, ".folded").len()),
        (0, 0)
    );
    serving.stop();

    // And so they are of the old ones, when these are put back.
    let config = path.join("weir.toml");
    weir(["rollback", "-c", config.to_str().unwrap()]).ends(0);
    let serving = Serving::start_in(path);
    assert_eq!(verdicts(&serving), expected);
}

#[test]
fn many_changes_are_folded_by_themselves() {
    let dir = register("fold_changes = 3\n");
    let path = dir.path();
    let serving = Serving::start_in(path);
    changed(path);
    serving.log.wait_for("changes up to 3 are folded", 1);
    assert_eq!(verdicts(&serving), VERDICTS.map(|(_, verdict)| verdict));
    let lists = register("");
    fs::write(
        lists.path().join("weir.toml"),
        "[register]\nsample = true\nstate_dir = \"state\"\n",
    )
    .unwrap();
    let _other = Serving::start_in(lists.path());
    let run = change(lists.path(), &["fold"]).ends(1);
    assert!(run.err.contains("this server reads lists"), "{run:?}");
}

/// Whichever file is lost or damaged: what can be told otherwise is, and if not,
/// the server says which file it lacks.
#[test]
fn files_that_are_damaged_are_told_or_done_without() {
    let expected = VERDICTS.map(|(_, verdict)| verdict);
    for (snapshot, changes) in [(true, false), (false, true), (true, true)] {
        let dir = register("");
        let path = dir.path();
        let mut serving = Serving::start_in(path);
        changed(path);
        change(path, &["fold"]).ends(0);
        of(path, "remove", "live", "12345678901234").ends(0);
        serving.stop();
        for (is_damaged, end) in [(snapshot, ".weir"), (changes, ".folded")] {
            let file = files(path, end).remove(0);
            let mut octets = fs::read(&file).unwrap();
            let place = octets.len() / 2;
            octets[place] ^= u8::from(is_damaged);
            fs::write(&file, octets).unwrap();
        }
        if snapshot && changes {
            let config = path.join("weir.toml");
            let run = weir(["serve", "-c", config.to_str().unwrap()]).ends(1);
            assert!(
                run.err.contains(".folded is not as it was written"),
                "{run:?}"
            );
            continue;
        }
        let serving = Serving::start_in(path);
        assert_eq!(verdicts(&serving), expected, "{snapshot} {changes}");
        if changes {
            let run = change(path, &["list"]).ends(1);
            assert!(run.err.contains(".folded is not as it was"), "{run:?}");
        }
    }
}

/// What a fold has left that was killed at any of its steps is not there for the
/// next server.
#[test]
fn what_a_killed_fold_has_left_is_forgotten() {
    let expected = VERDICTS.map(|(_, verdict)| verdict);
    let dir = register("");
    let path = dir.path();
    let mut serving = Serving::start_in(path);
    changed(path);
    serving.stop();
    let state = path.join("state/changes");
    let journal = files(path, ".journal").remove(0);
    let before = fs::read(&journal).unwrap();
    let serving = Serving::start_in(path);
    change(path, &["fold"]).ends(0);
    drop(serving);
    let after = files(path, ".journal").remove(0);
    let kept: Vec<(PathBuf, Vec<u8>)> = (fs::read_dir(&state).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end != "journal"))
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect();
    let after = (after.clone(), fs::read(after).unwrap());
    assert_eq!(kept.len(), 2, "{kept:?}");
    // With each of the files that there may be before the journal names them, in
    // whole or in part.
    for step in 0..6 {
        for path in files(path, "") {
            if path.is_file() {
                fs::remove_file(path).unwrap();
            }
        }
        fs::write(&journal, &before).unwrap();
        let part = |octets: &[u8]| octets[..octets.len() / 2].to_vec();
        let (folded, weir): (Vec<_>, Vec<_>) =
            (kept.iter()).partition(|(path, _)| path.extension().unwrap() == "folded");
        let ((folded, changes), (weir, snapshot)) = (folded[0], weir[0]);
        match step {
            0 => fs::write(state.join("unfinished.folded"), part(changes)).unwrap(),
            1 => fs::write(folded, changes).unwrap(),
            2 | 3 => {
                fs::write(folded, changes).unwrap();
                let name = weir.file_name().unwrap().to_str().unwrap();
                fs::write(state.join(format!(".{name}.unfinished")), part(snapshot)).unwrap();
                if step == 3 {
                    fs::write(weir, snapshot).unwrap();
                }
            }
            _ => {
                fs::write(folded, changes).unwrap();
                fs::write(weir, snapshot).unwrap();
                fs::write(state.join("unfinished"), part(&after.1)).unwrap();
            }
        }
        if step == 5 {
            // The last one: the journal names them, and the old one is still there.
            fs::write(&after.0, &after.1).unwrap();
        }
        let mut serving = Serving::start_in(path);
        assert_eq!(verdicts(&serving), expected, "{step}");
        let count = usize::from(step == 5);
        assert_eq!(
            (files(path, ".weir").len(), files(path, ".folded").len()),
            (count, count),
            "{step}"
        );
        serving.stop();
    }
}

/// What a fold has left that failed is removed at once, and nothing else.
#[test]
fn what_a_failed_fold_has_left_is_removed() {
    let dir = register("");
    let path = dir.path();
    let serving = Serving::start_in(path);
    changed(path);
    change(path, &["fold"]).ends(0);
    let before = [files(path, ".weir"), files(path, ".folded")].concat();
    assert_eq!(before.len(), 2);
    of(path, "add", "live", "12345678901234").ends(0);
    let state = path.join("state/changes");
    fs::create_dir(state.join("unfinished.folded")).unwrap();
    // As one leaves that comes to a sudden end.
    for name in ["4-00ff.folded", "4-00ff.weir", ".4-00ff.weir.unfinished"] {
        fs::write(state.join(name), "half").unwrap();
    }
    let run = change(path, &["fold"]).ends(1);
    assert!(run.err.contains("nothing was folded"), "{run:?}");
    fs::remove_dir(state.join("unfinished.folded")).unwrap();
    let after = [files(path, ".weir"), files(path, ".folded")].concat();
    assert_eq!(after, before);
    assert!(!state.join(".4-00ff.weir.unfinished").exists());
    assert_eq!(verdicts(&serving), VERDICTS.map(|(_, verdict)| verdict));
    change(path, &["fold"]).ends(0);
    assert_eq!(serving.verdict("12345678901234"), "greylisted");
}

/// A fold that was asked for and failed does not let one begin by itself with
/// less changes than are to begin one.
#[test]
fn a_failed_fold_begins_none_too_early() {
    let dir = register("fold_changes = 4\n");
    let path = dir.path();
    let serving = Serving::start_in(path);
    of(path, "add", "live", "12345678901230").ends(0);
    let unfinished = path.join("state/changes/unfinished.folded");
    fs::create_dir(&unfinished).unwrap();
    change(path, &["fold"]).ends(1);
    fs::remove_dir(&unfinished).unwrap();
    for last in 1..4 {
        of(path, "add", "live", &format!("1234567890123{last}")).ends(0);
    }
    serving.log.wait_for("changes up to 4 are folded", 1);
    let text = serving.log.text();
    let begun: Vec<&str> = (text.lines())
        .filter_map(|line| line.split_once(" changes are being folded"))
        .filter_map(|(before, _)| before.split(' ').next_back())
        .collect();
    assert_eq!(begun, ["1", "4"], "{text}");
}

/// What comes over a fold that is up to the same change as the one before.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Upset {
    /// A change is made meanwhile.
    Change,
    /// The server is killed.
    Kill,
    /// The journal cannot be written.
    Journal,
    /// The server finds the snapshot of the first one damaged, and folds by
    /// itself, while the journal cannot be written.
    Damage,
}

/// Changes that were folded are folded anew above other lists, up to the same
/// number. Whatever comes of it, they are in force when the next server starts,
/// and when the lists change once more.
#[test]
fn folding_up_to_the_same_change_again_loses_nothing() {
    for upset in [Upset::Change, Upset::Kill, Upset::Journal, Upset::Damage] {
        for round in 0..3 {
            let dir = register("");
            let path = dir.path();
            let mut serving = Serving::start_in(path);
            changed(path);
            change(path, &["fold"]).ends(0);
            let unfinished = path.join("state/changes/unfinished");
            if upset == Upset::Damage {
                serving.stop();
                let file = files(path, ".weir").remove(0);
                let mut octets = fs::read(&file).unwrap();
                let place = octets.len() / 2;
                octets[place] ^= 1;
                fs::write(&file, octets).unwrap();
                let config = path.join("weir.toml");
                let more = fs::read_to_string(&config).unwrap() + "fold_changes = 3\n";
                fs::write(&config, more).unwrap();
                fs::create_dir(&unfinished).unwrap();
                serving = Serving::start_in(path);
                serving
                    .log
                    .wait_for("changes are not folded: the journal", 1);
                serving.stop();
                fs::remove_dir(&unfinished).unwrap();
            } else {
                let again = format!("imei\n49015420323751\n3520990017614{round}\n");
                fs::write(path.join("lists/stolen.csv"), again).unwrap();
                compile(path);
                serving.signal(Signal::HUP);
                serving.log.wait_for("register reloaded", 1);
                if upset == Upset::Journal {
                    fs::create_dir(&unfinished).unwrap();
                    let run = change(path, &["fold"]).ends(1);
                    assert!(
                        run.err.contains("journal cannot be written anew"),
                        "{run:?}"
                    );
                    fs::remove_dir(&unfinished).unwrap();
                    serving.signal(Signal::KILL);
                } else {
                    let stream = UnixStream::connect(path.join("state/changes/socket")).unwrap();
                    writeln!(&stream, r#"{{"by":"t","fold":true}}"#).unwrap();
                    if upset == Upset::Change {
                        of(path, "add", "live", "12345678901234").ends(0);
                        let mut answers = BufReader::new(&stream).lines();
                        let answer = answers.next().unwrap().unwrap();
                        assert!(answer.starts_with("{\"done\":["), "{answer}");
                    } else {
                        serving.log.wait_for("changes are being folded", 2);
                    }
                    serving.signal(Signal::KILL);
                }
                serving.wait();
            }
            // With what is left, above the lists in force and above others.
            for lists in 0..2 {
                let mut serving = Serving::start_in(path);
                assert_eq!(
                    verdicts(&serving),
                    VERDICTS.map(|(_, verdict)| verdict),
                    "{upset:?} {round} {lists}"
                );
                let count = 3 + usize::from(upset == Upset::Change);
                let listed = change(path, &["list"]).ends(0).out;
                assert_eq!(listed.lines().count(), count, "{upset:?} {listed}");
                serving.stop();
                fs::write(path.join("lists/stolen.csv"), "imei\n49015420323751\n").unwrap();
                compile(path);
            }
        }
    }
}

/// The server is killed at any moment while changes are made and folded. What it
/// has acknowledged is in force and listed afterwards, and nothing else.
#[test]
fn kills_lose_nothing_while_folding() {
    let kills = std::env::var("WEIR_KILLS").ok();
    let kills = kills.map_or(KILLS, |kills| kills.parse().unwrap());
    let dir = register("fold_changes = 7\n");
    let path = dir.path();
    let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
    let mut number = 0u64;
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut folds = BTreeSet::new();
    let mut kill = 0;
    // Folding is left to those that answer where processors are short: then it takes
    // more kills to meet enough of it.
    while kill < kills || (folds.len() as u64 <= kills / 4 && kill < 8 * kills) {
        kill += 1;
        let mut serving = Serving::start_in(path);
        // What is in force is what is listed, folded or not.
        for (&device, &last) in acknowledged.iter().take(3) {
            let expected = ["greylisted", "blacklisted"][(last % 2) as usize];
            assert_eq!(serving.verdict(&format!("{device:014}")), expected);
        }
        let stream = UnixStream::connect(path.join("state/changes/socket")).unwrap();
        let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
        random = random
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(kill);
        let first = number + 1;
        let until = first + (random >> 33) % 200;
        let ask = |number: u64| {
            let device = number % 50;
            let status = ["greylisted", "blacklisted"][(number % 2) as usize];
            let change = format!(
                r#"{{"do":"add","list":"live","imei":"{device:014}","status":"{status}","reason":"{number}"}}"#
            );
            writeln!(&stream, r#"{{"by":"t","changes":[{change}]}}"#).unwrap();
        };
        // One after the other, so that it takes long enough to fold now and then.
        for asked in first..until {
            ask(asked);
            let answer = answers.next().unwrap().unwrap();
            assert!(answer.starts_with("{\"done\":["), "{answer}");
            acknowledged.insert(asked % 50, asked);
        }
        // The last one may be made or not.
        ask(until);
        serving.signal(Signal::KILL);
        serving.wait();
        folds.extend(files(path, ".weir"));
        drop(serving);
        number = until;
        let listed = change(path, &["list", "--json"]).ends(0).json();
        let mut found: BTreeMap<u64, u64> = BTreeMap::new();
        for change in listed.as_array().unwrap() {
            let imei: u64 = change["imei"].as_str().unwrap().parse().unwrap();
            let reason: u64 = change["reason"].as_str().unwrap().parse().unwrap();
            assert_eq!(found.insert(imei, reason), None, "{kill}: {imei} twice");
            assert!(
                reason % 50 == imei && reason <= number,
                "{kill}: {reason} is invented"
            );
        }
        for (device, last) in &mut acknowledged {
            let there = found.get(device);
            assert!(
                there >= Some(last),
                "{kill}: {device}: {last} is lost, {there:?}"
            );
            let there = *there.unwrap();
            assert!(there == *last || there == until, "{kill}: {there}");
            *last = there;
        }
        acknowledged.extend(found);
    }
    println!("{kill} kills, {} folds and more", folds.len());
    assert!(folds.len() as u64 > kills / 4, "{folds:?}");
}
