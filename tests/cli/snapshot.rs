//! Snapshots: compiled, looked at, served, and replaced while they are served.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use weir::snapfile;

use crate::harness::*;

const DEVICE: &str = "00101234000001";

/// What the lists are compiled from, and what they are served by.
const LISTS: &str = "[[list]]\nname = \"a\"\nstatus = \"blacklisted\"\npath = \"a.csv\"\nmax_bad_lines = 1\n\
     [[policy]]\nname = \"p\"\nmatch = { imsi_prefix = \"00101\" }\nlists = [\"a\"]\n";
const SERVED: &str = "[register]\nsnapshot = \"register.weir\"\n\
     [[policy]]\nname = \"p\"\nmatch = { imsi_prefix = \"00101\" }\nlists = [\"a\"]\n\
     [log]\nlevel = \"debug\"\n";

/// A list of one device with this status, and a line that is none.
fn list(status: &str) -> String {
    format!("imei,status\n{DEVICE},{status}\nx,\n")
}

/// A directory with lists, and the snapshot of them.
fn compiled() -> tempfile::TempDir {
    let dir = directory(&[
        ("lists.toml", LISTS),
        ("weir.toml", SERVED),
        ("lists/a.csv", &list("white")),
    ]);
    compile(dir.path()).ends(0);
    dir
}

/// Compiles the lists of a directory.
fn compile(dir: &Path) -> Run {
    let (config, file) = (dir.join("lists.toml"), dir.join("register.weir"));
    finish(
        command()
            .args(["compile", "-c"])
            .arg(config)
            .arg("-o")
            .arg(file),
    )
}

/// Runs a command about the snapshot of a directory.
fn about(dir: &Path, words: &[&str]) -> Run {
    finish(command().args(words).arg(dir.join("register.weir")))
}

/// The names in a directory.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}

//----------- Looking

#[test]
fn a_snapshot_tells_where_it_comes_from() {
    let dir = compiled();
    let list = dir.path().join("lists/a.csv");
    let json = about(dir.path(), &["inspect", "--json"]).ends(0).json();
    let file = &json["provenance"]["lists"][0]["files"][0];
    assert_eq!(file["path"], list.display().to_string());
    // An independent program tells the digest.
    let sum = finish(Command::new("sha256sum").arg(&list)).ends(0);
    assert_eq!(file["sha256"], sum.out.split(' ').next().unwrap());
    assert_eq!(file["size"], fs::metadata(&list).unwrap().len());
    assert_eq!((&file["lines"], &file["entries"]), (&3.into(), &1.into()));
    assert_eq!(file["rejected"], 1);
    assert_eq!(json["provenance"]["lists"][0]["format"], "csv");
    assert_eq!(json["lists"][0]["name"], "a");
    assert_eq!(json["counts"]["devices"], 1);
    let length = fs::metadata(dir.path().join("register.weir"))
        .unwrap()
        .len();
    assert_eq!(json["length"], length);
    let sections = json["sections"].as_array().unwrap();
    let lengths: u64 = sections
        .iter()
        .map(|own| own["length"].as_u64().unwrap())
        .sum();
    assert!(lengths < length && sections.len() > 10);

    let text = about(dir.path(), &["inspect"]).ends(0).out;
    for said in [
        "a: rules, blacklisted unless",
        "1 rejected",
        "1  devices",
        "bytes a device",
    ] {
        assert!(text.contains(said), "{text}");
    }
    let text = about(dir.path(), &["verify"]).ends(0).out;
    assert!(text.starts_with("ok  "), "{text}");
}

#[test]
fn the_same_lists_make_the_same_snapshot() {
    let dir = compiled();
    let path = dir.path().join("register.weir");
    let bytes = || {
        let mut bytes = fs::read(&path).unwrap();
        // But for the time, and the checksum over it.
        bytes[16..24].fill(0);
        bytes[120..128].fill(0);
        bytes
    };
    let first = bytes();
    compile(dir.path()).ends(0);
    assert!(bytes() == first);
}

#[test]
fn damage_is_told_with_the_section() {
    let dir = compiled();
    let path = dir.path().join("register.weir");
    let whole = fs::read(&path).unwrap();
    let last = whole.len() - 1;
    let json = about(dir.path(), &["inspect", "--json"]).ends(0).json();
    let mut sections = json["sections"].as_array().unwrap().iter();
    let terms = sections.find(|own| own["name"] == "terms").unwrap();
    let at = terms["offset"].as_u64().unwrap() as usize;
    for (bytes, told) in [
        (b"imei\n".to_vec(), "is no snapshot of Weir".to_owned()),
        (Vec::new(), "is no snapshot of Weir".to_owned()),
        (
            whole[..100].to_vec(),
            "section `header` is cut short".to_owned(),
        ),
        (
            whole[..last].to_vec(),
            format!("is cut short: the file has {last} of {} octets", last + 1),
        ),
        (
            {
                let mut flipped = whole.clone();
                flipped[at] ^= 1;
                flipped
            },
            "section `terms` is damaged".to_owned(),
        ),
    ] {
        fs::write(&path, bytes).unwrap();
        let config = dir.path().join("weir.toml");
        let check = || finish(command().args(["config", "--check"]).arg(&config));
        for run in [
            about(dir.path(), &["verify"]),
            about(dir.path(), &["inspect"]),
            check(),
        ] {
            let run = run.ends(1);
            let expected = format!("weir: {}: ", path.display());
            assert!(
                run.err.starts_with(&expected) && run.err.contains(&told),
                "{run:?}"
            );
        }
    }
    fs::remove_file(&path).unwrap();
    let run = about(dir.path(), &["verify"]).ends(1);
    assert!(run.err.contains("no such file"), "{run:?}");
}

//----------- Compiling

#[test]
fn what_a_load_refuses_is_not_compiled() {
    let dir = compiled();
    let path = dir.path().join("register.weir");
    let before = fs::read(&path).unwrap();
    let list = dir.path().join("lists/a.csv");
    for (text, told) in [
        ("imei\nx\ny\n".to_owned(), "2 bad lines, allowed are 1"),
        // Against what the snapshot had.
        (
            (0..2000).fold("imei\n".to_owned(), |text, serial| {
                text + &format!("00101235{serial:06}\n")
            }),
            "max_change allows 1000",
        ),
    ] {
        fs::write(&list, text).unwrap();
        let run = compile(dir.path()).ends(1);
        assert!(run.err.contains(told), "{run:?}");
        assert!(fs::read(&path).unwrap() == before);
    }
    // A list whose name was given by mistake is not lost.
    let run = finish(command().args(["compile", "-o"]).arg(&list)).ends(1);
    assert!(run.err.contains("is not replaced"), "{run:?}");
}

#[test]
fn a_disk_that_is_full_leaves_nothing_behind() {
    let dir = compiled();
    let before = fs::read(dir.path().join("register.weir")).unwrap();
    let had = names(dir.path());
    // The size of files is limited to half a kilobyte or one.
    for name in ["register.weir", "other.weir"] {
        let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" compile -o \"$1\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_weir")]);
        let run = finish(shell.arg(dir.path().join(name))).ends(1);
        let told = format!(
            "weir: {}: cannot be written",
            dir.path().join(name).display()
        );
        assert!(run.err.starts_with(&told), "{run:?}");
        assert_eq!(names(dir.path()), had);
    }
    assert!(fs::read(dir.path().join("register.weir")).unwrap() == before);
}

//----------- Serving

#[test]
fn a_snapshot_is_served_without_its_lists() {
    let dir = compiled();
    fs::remove_dir_all(dir.path().join("lists")).unwrap();
    let server = Serving::start_in(dir.path());
    assert_eq!(server.verdict(DEVICE), "whitelisted");
    let banner = server.out.text();
    assert!(banner.contains("a: 1 rule from 1 file"), "{banner}");

    let config = dir.path().join("weir.toml");
    let run = finish(command().args(["explain", DEVICE, "-c"]).arg(config)).ends(0);
    assert!(run.out.contains("lists/a.csv:2"), "{run:?}");
}

#[test]
fn a_new_snapshot_is_noticed_and_a_bad_one_changes_nothing() {
    let dir = compiled();
    let server = Serving::start_in(dir.path());
    assert_eq!(server.verdict(DEVICE), "whitelisted");
    fs::write(dir.path().join("lists/a.csv"), list("black")).unwrap();
    compile(dir.path()).ends(0);
    server.wait_for_verdict(DEVICE, "blacklisted");

    let path = dir.path().join("register.weir");
    let mut damaged = fs::read(&path).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    let new = dir.path().join("new");
    fs::write(&new, damaged).unwrap();
    fs::rename(&new, &path).unwrap();
    let log = server
        .log
        .wait_for("reload refused, the register in force stays", 1);
    assert!(log.contains("register.weir: section `"), "{log}");
    assert_eq!(server.verdict(DEVICE), "blacklisted");

    fs::write(dir.path().join("lists/a.csv"), list("grey")).unwrap();
    compile(dir.path()).ends(0);
    server.wait_for_verdict(DEVICE, "greylisted");
}

/// `cp` and `scp` cut the old file short before they write the new one: that
/// would end a server that has it mapped.
#[test]
fn a_mapped_snapshot_may_be_written_over_in_place() {
    let dir = compiled();
    let mapped = SERVED.replace("[[policy]]", "snapshot_memory = \"map\"\n[[policy]]");
    fs::write(dir.path().join("weir.toml"), mapped).unwrap();
    let server = Serving::start_in(dir.path());
    let log = server.log.wait_for("snapshot: mapped", 1);
    assert_eq!(server.verdict(DEVICE), "whitelisted");
    if !log.contains("guarded by a lease") {
        // Not every file system has leases.
        return;
    }
    let path = dir.path().join("register.weir");
    let old = dir.path().join("old");
    fs::copy(&path, &old).unwrap();
    fs::write(dir.path().join("lists/a.csv"), list("black")).unwrap();
    compile(dir.path()).ends(0);
    server.wait_for_verdict(DEVICE, "blacklisted");
    fs::copy(&old, &path).unwrap();
    server.log.wait_for("so it was copied into memory", 1);
    server.wait_for_verdict(DEVICE, "whitelisted");
}

/// What was accepted and turns out to be wrong is taken back: first to what was
/// before, then to whatever is asked for. Single changes stay.
#[test]
fn a_snapshot_is_rolled_back() {
    let dir = compiled();
    let path = dir.path();
    let served = format!(
        "[register]\nstate_dir = \"state\"\nkeep = 9\n{}",
        &SERVED["[register]\n".len()..]
    );
    fs::write(path.join("weir.toml"), served).unwrap();
    let config = path.join("weir.toml");
    let rollback = |args: &[&str]| {
        let mut command = command();
        finish(command.arg("rollback").arg("-c").arg(&config).args(args))
    };
    let server = Serving::start_in(path);
    server.log.wait_for("are kept as load 1", 1);
    let change = ["change", "add", "--list", "a", "--imei", "00101234000019"];
    finish(command().args(change).arg("-c").arg(&config)).ends(0);
    for (number, status) in [(2, "black"), (3, "grey")] {
        fs::write(path.join("lists/a.csv"), list(status)).unwrap();
        compile(path).ends(0);
        server
            .log
            .wait_for(&format!("are kept as load {number}"), 1);
    }
    assert_eq!(server.verdict(DEVICE), "greylisted");
    let run = rollback(&[]).ends(0);
    assert!(
        run.out.ends_with("the files are those of load 2 again\n"),
        "{run:?}"
    );
    server.wait_for_verdict(DEVICE, "blacklisted");
    rollback(&["--to", "1"]).ends(0);
    server.wait_for_verdict(DEVICE, "whitelisted");
    assert_eq!(server.verdict("00101234000019"), "blacklisted");
}

#[test]
fn sighup_reads_the_snapshot_again() {
    let dir = compiled();
    let quiet = SERVED.replace("[[policy]]", "watch = false\n[[policy]]");
    fs::write(dir.path().join("weir.toml"), quiet).unwrap();
    let server = Serving::start_in(dir.path());
    fs::write(dir.path().join("lists/a.csv"), list("black")).unwrap();
    compile(dir.path()).ends(0);
    assert_eq!(server.verdict(DEVICE), "whitelisted");
    server.signal(Signal::HUP);
    server.wait_for_verdict(DEVICE, "blacklisted");
}

#[test]
fn lists_that_policies_name_must_be_there() {
    let dir = compiled();
    let config = dir.path().join("weir.toml");
    fs::write(&config, SERVED.replace("[\"a\"]", "[\"aa\"]")).unwrap();
    let run = finish(command().args(["config", "--check"]).arg(&config)).ends(1);
    let path = dir.path().join("register.weir");
    let told = format!(
        "policy `p`: no list or binding in {} is called `aa`; did you mean",
        path.display()
    );
    assert!(run.err.contains(&told), "{run:?}");
}

#[test]
fn snapshots_are_compared_with_lists_and_each_other() {
    let dir = compiled();
    let [first, second] = ["register.weir", "second.weir"].map(|name| dir.path().join(name));
    fs::copy(&first, &second).unwrap();
    fs::write(dir.path().join("lists/a.csv"), list("black")).unwrap();
    compile(dir.path()).ends(0);
    let diff = |old: &Path, new: &Path| {
        let mut diff = command();
        diff.args(["diff", "--exit-code"]).arg(old).arg(new);
        finish(&mut diff)
    };
    diff(&first, &first).ends(0);
    let run = diff(&second, &first).ends(1);
    assert!(run.out.contains(DEVICE), "{run:?}");
    let list = dir.path().join("list.csv");
    fs::write(&list, format!("imei\n{DEVICE}\n")).unwrap();
    diff(&first, &list).ends(0);
    diff(&second, &list).ends(1);
    assert!(snapfile::verify(&second).is_ok());
}

//----------- Disks

/// A disk that is full: files of this process may have no more than so many
/// blocks of 512 octets. The old snapshot stays, and nothing else is left.
#[test]
fn a_full_disk_is_named_and_leaves_what_was_there() {
    let dir = compiled();
    let before = fs::read(dir.path().join("register.weir")).unwrap();
    let devices = (0..300_000).map(|n| format!("{}\n", 35_209_900_000_000u64 + n * 7919));
    let list = format!("imei\n{}", devices.collect::<String>());
    fs::write(dir.path().join("lists/a.csv"), list).unwrap();
    let keys = format!("[register]\nmax_change = \"off\"\n{LISTS}");
    fs::write(dir.path().join("lists.toml"), keys).unwrap();
    let weir = command().get_program().to_owned();
    let run = finish(
        Command::new("sh")
            .args([
                "-c",
                "trap '' XFSZ; ulimit -f 64; exec \"$0\" compile -c lists.toml -o register.weir",
            ])
            .arg(weir)
            .current_dir(dir.path()),
    )
    .ends(1);
    assert!(
        run.err.contains("register.weir: cannot be written") && run.err.contains("File too large"),
        "{}",
        run.err
    );
    assert_eq!(fs::read(dir.path().join("register.weir")).unwrap(), before);
    assert_eq!(
        names(dir.path()),
        ["lists", "lists.toml", "register.weir", "weir.toml"]
    );
}
