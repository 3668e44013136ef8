//! `weir config`: what it prints, and what it finds.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::*;

/// `weir config --check` of `weir.toml` in this directory.
fn check(dir: &Path, more: &[&str]) -> Run {
    let mut command = command();
    finish(
        command
            .current_dir(dir)
            .args(["config", "--check", "weir.toml"])
            .args(more),
    )
}

/// One list of blacklisted devices.
const LIST: &str = "[[list]]\nname = \"a\"\nstatus = \"blacklisted\"\npath = \"a.csv\"\n";

#[test]
fn the_printed_default_passes_its_own_check() {
    let text = weir(["config"]).ends(0).out;
    let dir = directory(&[("weir.toml", &text)]);
    let run = check(dir.path(), &[]).ends(0);
    assert!(run.out.starts_with("ok       weir.toml\n"), "{run:?}");
    assert_eq!(run.err, "");
    assert_eq!(check(dir.path(), &["--json"]).ends(0).json()["ok"], true);
}

#[test]
fn each_mistake_is_one_line_with_its_place() {
    for (text, line) in [
        (
            "[diameter]\norigin_hots = \"x\"\n",
            "weir.toml:2:1: unknown key `origin_hots` in [diameter]; did you mean `origin_host`?",
        ),
        (
            "[diamter]\n",
            "weir.toml:1:2: unknown key `diamter`; did you mean `diameter`?",
        ),
        (
            "[diameter\n",
            "weir.toml:1:10: unclosed table, expected `]`",
        ),
        (
            "[diameter]\nlisten = \"tcp://127.0.0.1:x\"\n",
            "weir.toml:2:10: `listen` in [diameter]: `tcp://127.0.0.1:x`: `x` is no port; ports are 0 to 65535",
        ),
        (
            "[[list]]\nname = \"a\"\nstatus = \"balck\"\npath = \"a.csv\"\n",
            "weir.toml:3:10: `status` in [[list]]: `balck` is no status; write whitelisted, greylisted or blacklisted",
        ),
        (
            "[[list]]\nname = \"a\"\nstatus = \"black\"\n",
            "weir.toml:1:1: missing key `path` in [[list]]",
        ),
    ] {
        let dir = directory(&[("weir.toml", text)]);
        let run = check(dir.path(), &[]).ends(1);
        assert_eq!(run.err, format!("weir: {line}\n"));
        assert_eq!(run.out, "");
        let json = check(dir.path(), &["--json"]).ends(1).json();
        assert_eq!((&json["ok"], &json["error"]), (&false.into(), &line.into()));
    }
}

#[test]
fn a_configuration_that_cannot_be_read_says_why() {
    let dir = directory(&[("weir.toml", "")]);
    let path = dir.path().join("weir.toml");
    let missing = dir.path().join("none.toml");
    let run = weir([Path::new("config"), Path::new("--check"), &missing]).ends(1);
    assert!(
        run.err
            .contains("none.toml: no such file; `weir config` prints"),
        "{run:?}"
    );
    let run = weir([Path::new("config"), Path::new("--check"), dir.path()]).ends(1);
    assert!(run.err.contains("is a directory"), "{run:?}");
    fs::write(&path, b"# \xFF\n").unwrap();
    let run = check(dir.path(), &[]).ends(1);
    assert!(run.err.contains("weir.toml:1:3: is not UTF-8"), "{run:?}");

    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if modes_count(&path) {
        let run = check(dir.path(), &[]).ends(1);
        assert!(
            run.err.contains("weir.toml: no permission to read it"),
            "{run:?}"
        );
    }
}

#[test]
fn a_list_that_cannot_be_used_says_why() {
    for (list, line) in [
        (None, "lists/a.csv: no such file"),
        (
            Some(""),
            "lists/a.csv: is empty; its first line must name the columns, as in `imei,reason`",
        ),
        (Some("foo\n1\n"), "lists/a.csv:1: no column names a device"),
        (
            Some("imei\n12\n"),
            "lists/a.csv:2:1: imei: `12` has 2 digits, an IMEI 14 to 16",
        ),
        (Some("reason,imei\nx,\n"), "lists/a.csv:2"),
        (
            Some("imei,status\n00101234000001,balck\n"),
            "lists/a.csv:2:2: status: `balck`",
        ),
        (
            Some("imei,until\n00101234000001,2026-13-01\n"),
            "lists/a.csv:2:2: until: `2026-13-01`",
        ),
    ] {
        let dir = directory(&[("weir.toml", LIST)]);
        if let Some(list) = list {
            fs::create_dir(dir.path().join("lists")).unwrap();
            fs::write(dir.path().join("lists/a.csv"), list).unwrap();
        }
        let run = check(dir.path(), &[]).ends(1);
        assert!(
            run.err.starts_with(&format!("weir: {line}")),
            "{line}: {}",
            run.err
        );
        assert!(run.err.contains("\nlist a is refused"), "{}", run.err);
        assert!(
            run.err.contains("\nnothing was loaded; correct "),
            "{}",
            run.err
        );
    }

    let dir = directory(&[("weir.toml", LIST), ("lists/a.csv/x", "")]);
    let run = check(dir.path(), &[]).ends(1);
    assert!(run.err.contains("lists/a.csv: is a directory"), "{run:?}");

    let dir = directory(&[
        ("weir.toml", LIST),
        ("lists/a.csv", "imei\n00101234000001\n"),
    ]);
    let run = check(dir.path(), &[]).ends(0);
    assert!(
        run.out.contains("list     a: 1 rule from 1 file\n"),
        "{run:?}"
    );
    let path = dir.path().join("lists/a.csv");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if modes_count(&path) {
        let run = check(dir.path(), &[]).ends(1);
        assert!(
            run.err.contains("lists/a.csv: no permission to read it"),
            "{run:?}"
        );
    }
}

#[test]
fn what_is_most_likely_not_meant_is_a_warning() {
    let dir = directory(&[("weir.toml", "[diameter]\nunknown_peers = false\n")]);
    let run = check(dir.path(), &[]).ends(0);
    assert!(run.out.contains("warning: no [[list]]"), "{run:?}");
    assert!(run.out.contains("nobody may connect"), "{run:?}");

    let pattern = LIST.replace("a.csv", "*.csv");
    let columns = "imei,statsu\n00101234000001,black\n";
    let dir = directory(&[("weir.toml", &pattern), ("lists/b.csv", columns)]);
    let run = check(dir.path(), &[]).ends(0);
    assert!(run.out.contains("statsu"), "{run:?}");
    fs::remove_file(dir.path().join("lists/b.csv")).unwrap();
    let run = check(dir.path(), &[]).ends(0);
    assert!(
        run.out
            .contains("warning: list a: no file matches lists/*.csv"),
        "{run:?}"
    );
}
