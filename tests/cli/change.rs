//! `weir change`, and a server that is killed while changes are made.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use rustix::process::Signal;

use crate::harness::{Serving, change, directory, weir};

/// How often the server is killed here; `WEIR_KILLS` says how often instead.
const KILLS: u64 = 60;

/// How an answer begins to what was done.
const DONE: &str = "{\"done\":[";

/// Two lists, one of them without files, and bindings.
const CONFIG: &str = "\
[register]
state_dir = \"state\"
watch = false
[[list]]
name = \"stolen\"
status = \"blacklisted\"
path = \"stolen.csv\"
[[list]]
name = \"live\"
status = \"greylisted\"
path = []
[[binding]]
name = \"meters\"
path = \"meters.csv\"
";

/// A directory with that.
fn register() -> tempfile::TempDir {
    directory(&[
        ("weir.toml", CONFIG),
        ("lists/stolen.csv", "imei\n490154203237518\n"),
        (
            "lists/meters.csv",
            "imsi,imei\n001010000000001,352099001761481\n",
        ),
    ])
}

#[test]
fn a_change_is_in_force_at_once_and_after_a_kill() {
    let dir = register();
    let path = dir.path();
    let serving = Serving::start_in(path);
    assert_eq!(serving.verdict("356938035643809"), "unknown");
    let add = [
        "add",
        "--list",
        "live",
        "--imei",
        "356938035643809",
        "--reason",
        "in Ghent",
    ];
    let run = change(path, &add).ends(0);
    assert_eq!(run.out, "change 1 is in force\n");
    assert_eq!(serving.verdict("356938035643809"), "greylisted");
    change(
        path,
        &["remove", "--list", "stolen", "--imei", "490154203237518"],
    )
    .ends(0);
    assert_eq!(serving.verdict("490154203237518"), "unknown");
    // The SIM gets another device.
    let (old, new) = ("352099001761481", "352099001761499");
    let bound = |serving: &Serving, imei: &str| {
        let run = serving
            .check(&[imei, "--imsi", "001010000000001", "--json"])
            .ends(0);
        run.json()["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        [old, new].map(|imei| bound(&serving, imei)),
        ["unknown", "blacklisted"]
    );
    fs::write(
        path.join("swap.csv"),
        format!("do,imsi,imei\nremove,001010000000001,{old}\nadd,001010000000001,{new}\n"),
    )
    .unwrap();
    let swap = path.join("swap.csv");
    let run = change(
        path,
        &[
            "apply",
            "--list",
            "meters",
            swap.to_str().unwrap(),
            "--json",
        ],
    );
    assert_eq!(run.ends(0).json()["last"], 4);
    assert_eq!(
        [old, new].map(|imei| bound(&serving, imei)),
        ["blacklisted", "unknown"]
    );
    serving.signal(Signal::KILL);
    drop(serving);

    // Without a server they are listed and explained, and no more are made.
    let run = change(path, &["list", "--json"]).ends(0);
    assert_eq!(run.json().as_array().unwrap().len(), 4);
    let config = path.join("weir.toml");
    let run = weir(["explain", "356938035643809", "-c", config.to_str().unwrap()]).ends(0);
    assert!(
        run.out
            .contains("greylisted, as a rule says in change 1 of "),
        "{run:?}"
    );
    let run = change(path, &add).ends(1);
    assert!(run.err.contains("start it with `weir serve`"), "{run:?}");

    let serving = Serving::start_in(path);
    assert_eq!(serving.verdict("356938035643809"), "greylisted");
    assert_eq!(serving.verdict("490154203237518"), "unknown");
    assert_eq!(
        [old, new].map(|imei| bound(&serving, imei)),
        ["blacklisted", "unknown"]
    );
    change(
        path,
        &["undo", "--list", "stolen", "--imei", "490154203237518"],
    )
    .ends(0);
    assert_eq!(serving.verdict("490154203237518"), "blacklisted");

    // Lists that are loaded anew are below the changes, too.
    fs::write(
        path.join("lists/stolen.csv"),
        "imei,status\n356938035643809,white\n",
    )
    .unwrap();
    serving.signal(Signal::HUP);
    serving.wait_for_verdict("490154203237518", "unknown");
    assert_eq!(serving.verdict("356938035643809"), "greylisted");
}

#[test]
fn what_is_wrong_is_told() {
    let dir = register();
    let path = dir.path();
    let _serving = Serving::start_in(path);
    let imei = "490154203237518";
    let range = "86000000000000-86000000000009";
    change(path, &["add", "--list", "stolen", "--range", range]).ends(0);
    change(path, &["undo", "--list", "stolen", "--range", range]).ends(0);
    change(path, &["add", "--list", "stolen", "--range", range]).ends(0);
    for (args, why) in [
        (
            &["add", "--list", "nope", "--imei", imei][..],
            "no list or binding is called `nope`",
        ),
        (
            &["add", "--list", "stolen", "--imei", "49015420323"],
            "has 11 digits, an IMEI 14 to 16",
        ),
        (&["add", "--list", "stolen"], "name the devices"),
        (
            &["add", "--list", "meters", "--imei", imei],
            "is a list of bindings",
        ),
        (
            &["add", "--list", "stolen", "--imei", imei, "--status", "x"],
            "`status`: not a status",
        ),
        (
            &[
                "remove", "--list", "stolen", "--imei", imei, "--imsi", "001010",
            ],
            "list of rules",
        ),
        (
            &["add", "--list", "stolen", "--imei", imei, "--from", "soon"],
            "`from`: `soon` is no date",
        ),
        (
            &[
                "add",
                "--list",
                "stolen",
                "--range",
                "49015420323752-49015420323751",
            ],
            "range ends",
        ),
        (
            &[
                "add",
                "--list",
                "stolen",
                "--status",
                "white",
                "--range",
                "86000000000005-86000000000020",
            ],
            "cannot be whitelisted, as devices 86000000000000 to 86000000000009 of the same list",
        ),
    ] {
        let run = change(path, args).ends(1);
        assert!(run.err.contains(why), "{args:?}: {run:?}");
    }
    change(path, &["undo", "--list", "stolen", "--range", range]).ends(0);
    assert_eq!(change(path, &["list"]).ends(0).out, "");

    // Who speaks otherwise is told, or cut off, and others are served.
    let connect = || UnixStream::connect(path.join("state/changes/socket")).unwrap();
    let stream = connect();
    let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
    for line in ["", "{}", "[1", "\u{1}", r#"{"by":"x","changes":[]}"#] {
        writeln!(&stream, "{line}").unwrap();
        let answer = answers.next().unwrap().unwrap();
        assert!(answer.starts_with("{\"refused\":\""), "{line}: {answer}");
    }
    let long = connect();
    // It is closed before the end, so that writing may fail.
    let _ = (&long).write_all(&vec![b'x'; 5 * 1024 * 1024]);
    let mut answer = String::new();
    // What was not read when it was closed may take the answer with it.
    if BufReader::new(&long)
        .read_line(&mut answer)
        .is_ok_and(|read| read > 0)
    {
        assert!(answer.contains("octets"), "{answer}");
    }
    change(path, &["add", "--list", "stolen", "--imei", imei]).ends(0);
    // However many were opened and forgotten, there is room for one more.
    let forgotten: Vec<UnixStream> = (0..50).map(|_| connect()).collect();
    for _ in 0..3 {
        change(path, &["add", "--list", "stolen", "--imei", imei]).ends(0);
    }
    drop(forgotten);

    let without = directory(&[("weir.toml", "[register]\nsample = true\n")]);
    let run = change(without.path(), &["list"]).ends(1);
    assert!(run.err.contains("names no `state_dir`"), "{run:?}");
}

#[test]
fn a_damaged_journal_keeps_the_server_from_starting() {
    let dir = register();
    let path = dir.path();
    let serving = Serving::start_in(path);
    for last in 0..3 {
        let imei = format!("4901542032375{last}0");
        change(path, &["add", "--list", "stolen", "--imei", &imei]).ends(0);
    }
    serving.signal(Signal::KILL);
    drop(serving);
    let journal = path.join("state/changes/1.journal");
    let whole = fs::read(&journal).unwrap();
    let mut damaged = whole.clone();
    damaged[100] ^= 1;
    fs::write(&journal, &damaged).unwrap();
    let config = path.join("weir.toml");
    for args in [
        &["serve"][..],
        &["change", "list"],
        &["explain", "490154203237518"],
    ] {
        let run = weir(args.iter().chain(&["-c", config.to_str().unwrap()])).ends(1);
        let told = "1.journal is damaged at octet 64: ";
        assert!(
            run.err.contains(told) && run.err.contains("truncate -s 64"),
            "{run:?}"
        );
    }
    // A write that was interrupted is no damage.
    fs::write(&journal, &whole[..whole.len() - 3]).unwrap();
    let serving = Serving::start_in(path);
    serving
        .log
        .wait_for("octets of an interrupted write were cut off", 1);
    let listed = change(path, &["list", "--json"]).ends(0).json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
}

/// The server is killed at any moment of a stream of changes, again and again.
/// Whatever it has acknowledged is there afterwards, nothing is there that was
/// not asked for, and of a request all or nothing.
#[test]
fn kills_lose_nothing_and_invent_nothing() {
    let kills = std::env::var("WEIR_KILLS").ok();
    let kills = kills.map_or(KILLS, |kills| kills.parse().unwrap());
    let dir = register();
    let path = dir.path();
    // The request that was the last to be acknowledged about each pair of
    // devices, and those that were asked for since.
    let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
    let mut number = 0u64;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for kill in 0..kills {
        let serving = Serving::start_in(path);
        let stream = UnixStream::connect(path.join("state/changes/socket")).unwrap();
        let mut answers = BufReader::new(stream.try_clone().unwrap());
        random = random
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(kill);
        let until = number + 1 + (random >> 33) % 80;
        let first = number + 1;
        // Requests are sent without waiting: each is about one pair of devices,
        // with its number for the reason.
        let writer = thread::spawn(move || {
            for number in first.. {
                let pair = number % 50;
                let line = |half: u64| {
                    format!(
                        r#"{{"do":"add","list":"live","imei":"{:014}","reason":"{number}"}}"#,
                        pair * 2 + half
                    )
                };
                let request = format!(r#"{{"by":"t","changes":[{},{}]}}"#, line(0), line(1));
                if writeln!(&stream, "{request}").is_err() {
                    return number;
                }
            }
            unreachable!("the server is killed")
        });
        // A line is an answer. What the kill has cut off is none, and nothing is
        // behind it.
        let mut answered = number;
        let mut answer = String::new();
        while answers.read_line(&mut answer).is_ok() && answer.ends_with('\n') {
            assert!(
                answer.starts_with(DONE) && answer.ends_with("]}\n"),
                "{answer}"
            );
            answered += 1;
            acknowledged.insert(answered % 50, answered);
            if answered == until {
                serving.signal(Signal::KILL);
            }
            answer.clear();
        }
        assert!(
            answered >= until,
            "{kill}: the server is gone before its end"
        );
        assert!(
            answer.starts_with(DONE) || DONE.starts_with(&answer),
            "{answer}"
        );
        drop(serving);
        number = writer.join().unwrap();

        let listed = change(path, &["list", "--json"]).ends(0).json();
        let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for change in listed.as_array().unwrap() {
            let imei: u64 = change["imei"].as_str().unwrap().parse().unwrap();
            let reason: u64 = change["reason"].as_str().unwrap().parse().unwrap();
            found.entry(imei / 2).or_default().push(reason);
        }
        for pair in 0..50 {
            let last = acknowledged.get(&pair).copied();
            match found.get(&pair).map(Vec::as_slice) {
                None => assert_eq!(last, None, "{kill}: pair {pair} is lost"),
                Some(&[one, other]) => {
                    assert_eq!(one, other, "{kill}: half of a request");
                    assert!(
                        one % 50 == pair && one <= number,
                        "{kill}: {one} is invented"
                    );
                    assert!(
                        Some(one) >= last,
                        "{kill}: {last:?} is lost, {one} is there"
                    );
                    // What was not acknowledged and is there was asked for last.
                    assert!(one >= first || Some(one) == last, "{kill}: {one}");
                    acknowledged.insert(pair, one);
                }
                Some(other) => panic!("{kill}: pair {pair} has {other:?}"),
            }
        }
    }
}

/// Changes that mean nothing are refused: each would look as if it were in force.
#[test]
fn what_changes_nothing_is_refused() {
    let dir = register();
    let path = dir.path();
    let serving = Serving::start_in(path);
    let refused = |args: &[&str], why: &str| {
        let run = change(path, args).ends(1);
        assert!(run.err.contains(why), "{run:?}");
    };
    let stolen = ["--list", "stolen", "--imei", "490154203237518"];
    let add = |more: &[&'static str]| [&["add"], &stolen[..], more].concat();
    // Backwards, it would hide the line of the list and say nothing itself.
    refused(
        &add(&["--from", "2030-01-01", "--until", "2027-01-01"]),
        "is before `from`",
    );
    refused(
        &add(&["--status", "white", "--imsi", "001010000000001"]),
        "excepted from a blacklisting",
    );
    refused(
        &[&["undo"], &stolen[..]].concat(),
        "no change of this to undo",
    );
    assert_eq!(serving.verdict("490154203237518"), "blacklisted");
    change(path, &[&["remove"], &stolen[..]].concat()).ends(0);
    change(path, &[&["undo"], &stolen[..]].concat()).ends(0);
    refused(
        &[&["undo"], &stolen[..]].concat(),
        "no change of this to undo",
    );
}

/// A list that becomes one of bindings keeps its changes out of effect, and lets
/// go of them.
#[test]
fn a_change_is_undone_whatever_its_list_is_now() {
    let dir = register();
    let path = dir.path();
    let imei = ["--list", "live", "--imei", "356938035643809"];
    let mut serving = Serving::start_in(path);
    change(path, &[&["add"], &imei[..]].concat()).ends(0);
    let turned = CONFIG.replace(
        "[[list]]\nname = \"live\"\nstatus = \"greylisted\"\n",
        "[[binding]]\nname = \"live\"\n",
    );
    fs::write(path.join("weir.toml"), turned).unwrap();
    serving.signal(Signal::HUP);
    serving.log.wait_for("register reloaded", 1);
    assert_eq!(serving.verdict("356938035643809"), "unknown");
    change(path, &[&["undo"], &imei[..]].concat()).ends(0);
    serving.stop();
    assert_eq!(change(path, &["list"]).ends(0).out, "");
}

/// What is known of rules beside their indexes stays in the file of a large
/// snapshot, and cannot be read any more when that was written to.
#[test]
fn changes_of_tacs_do_without_the_file_of_the_snapshot() {
    let tacs: String = (0..50_000)
        .map(|tac| format!("{:08}\n", 35_000_000 + tac))
        .collect();
    let dir = directory(&[
        (
            "lists.toml",
            "[[list]]\nname = \"a\"\nstatus = \"blacklisted\"\npath = [\"tacs.csv\", \"ranges.csv\"]\n",
        ),
        ("lists/tacs.csv", &format!("tac\n{tacs}")),
        (
            "lists/ranges.csv",
            "imei_from,imei_to\n86000000000000,86000000000099\n",
        ),
        (
            "weir.toml",
            "[register]\nsnapshot = \"r.weir\"\nsnapshot_memory = \"read\"\nstate_dir = \"state\"\nwatch = false\n",
        ),
    ]);
    let path = dir.path();
    let (lists, snapshot) = (path.join("lists.toml"), path.join("r.weir"));
    let compile = ["compile", "-c", lists.to_str().unwrap(), "-o"];
    weir(compile.iter().chain([&snapshot.to_str().unwrap()])).ends(0);
    let serving = Serving::start_in(path);
    let tac = |verb: &str, tac: &str| change(path, &[verb, "--list", "a", "--tac", tac]);
    tac("remove", "35000000").ends(0);
    assert_eq!(serving.verdict("35000000000001"), "unknown");
    let file = fs::File::options().append(true).open(&snapshot).unwrap();
    let year_1970 = std::time::SystemTime::UNIX_EPOCH;
    file.set_modified(year_1970).unwrap();
    tac("remove", "35000001").ends(0);
    let of = |tac: u32| serving.verdict(&format!("{tac}000001"));
    let verdicts = [35_000_000, 35_000_001, 35_000_002].map(of);
    assert_eq!(verdicts, ["unknown", "unknown", "blacklisted"]);
    // Which range it is can only be told by the file.
    let range = [
        "remove",
        "--list",
        "a",
        "--range",
        "86000000000000-86000000000099",
    ];
    let run = change(path, &range).ends(1);
    assert!(run.err.contains("cannot be looked up"), "{run:?}");
    assert_eq!(serving.verdict("86000000000001"), "blacklisted");
}
