//! `weir diff` against a naive model of verdicts that visits every device of a
//! small part of the number space, and against what the README shows.
#![cfg(feature = "server")]

mod model;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use serde_json::Value;
use weir::cli::diff::DiffArgs;
use weir::error::Failed;

use model::{
    Chance, Changes, IMSIS, WINDOW, count_devices, count_in, count_subscribers, count_svns, outside,
};

//----------- Running

/// The command line of `weir diff` alone.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: DiffArgs,
}

/// Runs `weir diff`; the output, and how it ended.
fn diff(args: &[&str]) -> (String, Result<(), Failed>) {
    let line = Line::try_parse_from([&["diff"], args].concat()).unwrap();
    let mut out = Vec::new();
    let result = line.args.run(&mut out);
    (String::from_utf8(out).unwrap(), result)
}

/// The JSON of `weir diff`.
fn json(args: &[&str]) -> Value {
    let (out, result) = diff(&[args, &["--json"]].concat());
    result.unwrap();
    serde_json::from_str(&out).unwrap()
}

/// Writes files into a new directory.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// The path of a file as an argument.
fn at(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}

/// What a tally says: the changes, and how many there are of none.
fn changes(tally: &Value) -> (Changes, u64) {
    let found: Changes = tally["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            let name = |side: &str| change[side].as_str().unwrap().to_owned();
            (
                (name("old"), name("new")),
                change["count"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        found.values().sum::<u64>(),
        tally["changed"].as_u64().unwrap()
    );
    (found, tally["unchanged"].as_u64().unwrap())
}

//----------- Visiting every device

#[test]
fn counts_are_those_of_visiting_every_device() {
    const TOTAL: u64 = 100_000_000_000_000;
    let window = WINDOW.end - WINDOW.start;
    let outside: u64 = outside().iter().map(|(_, count)| count).sum();
    assert_eq!(window + outside, TOTAL);
    let mut met = [0; 3];
    for seed in 0..150 {
        let mut chance = Chance(seed);
        let (old, new) = (chance.model(), chance.model());
        let dir = tempfile::tempdir().unwrap();
        let paths = [old.write(dir.path(), "old"), new.write(dir.path(), "new")];
        let report = json(&[&paths[0], &paths[1]]);
        let audience = &report["audiences"][0];
        for (index, (tally, expected)) in [
            (&audience["devices"], count_devices(&old, &new)),
            (&audience["device_svns"], count_svns(&old, &new)),
            (&report["subscribers"], count_subscribers(&old, &new)),
        ]
        .into_iter()
        .enumerate()
        {
            met[index] += usize::from(!expected.0.is_empty());
            assert_eq!(changes(tally), expected, "seed {seed}: {old:#?} {new:#?}");
        }
    }
    // The cases are worth something.
    assert!(met.iter().all(|met| *met >= 20), "{met:?}");
}

#[test]
fn one_subscriber_sees_every_device_by_its_bindings() {
    for seed in 0..60 {
        let mut chance = Chance(1000 + seed);
        let (old, new) = (chance.model(), chance.model());
        let dir = tempfile::tempdir().unwrap();
        let paths = [old.write(dir.path(), "old"), new.write(dir.path(), "new")];
        let report = json(&[&paths[0], &paths[1], "--imsi", IMSIS[0]]);
        assert!(report["subscribers"].is_null());
        let mut expected = (Changes::new(), 0);
        for (device, count) in WINDOW.map(|device| (device, 1)).chain(outside()) {
            let pair = [&old, &new];
            let pair = pair.map(|model| model.decide(device, None, Some(IMSIS[0])).to_owned());
            count_in(&mut expected, pair, count);
        }
        assert_eq!(
            changes(&report["audiences"][0]["devices"]),
            expected,
            "seed {seed}: {old:#?} {new:#?}"
        );
    }
}

//----------- Policies, times, ends

/// A change, as the model writes it.
fn change(old: &str, new: &str, count: u64) -> Changes {
    Changes::from([((old.to_owned(), new.to_owned()), count)])
}

#[test]
fn each_policy_is_compared_by_a_client_that_it_applies_to() {
    let config = |iot: &str, partner: &str| {
        format!(
            "[register]\nlists_dir = \".\"\n\
             [[list]]\nname = \"a\"\nstatus = \"black\"\npath = \"a.csv\"\n\
             [[policy]]\nname = \"iot\"\nunlisted = \"{iot}\"\n\
             match = {{ imsi_prefix = [\"00102\"], origin_realm = [\"home\"] }}\n\
             [[policy]]\nname = \"never\"\nmatch = {{ imsi_prefix = [\"001022\"], origin_realm = [\"home\"] }}\n\
             [[policy]]\nname = \"partner\"\nmalformed = \"{partner}\"\n\
             match = {{ origin_host = [\"mme.partner\"] }}\n"
        )
    };
    let dir = directory(&[
        ("old.toml", &config("unknown", "5004")),
        ("new.toml", &config("blacklisted", "greylisted")),
        ("a.csv", "imei\n00101234000001\n"),
    ]);
    let (old, new) = (at(dir.path(), "old.toml"), at(dir.path(), "new.toml"));
    let report = json(&[&old, &new]);
    let audiences: Vec<_> = report["audiences"].as_array().unwrap().iter().collect();
    let policies: Vec<_> = (audiences.iter())
        .map(|audience| audience["new_policy"].as_str().unwrap())
        .collect();
    assert_eq!(policies, ["default", "iot", "partner"]);
    let iot = audiences[1];
    assert_eq!(iot["origin_realm"], "home");
    assert!(iot["imsi"].as_str().unwrap().starts_with("00102"));
    // All but the one device that is listed.
    let all = change("unknown", "blacklisted", 99_999_999_999_999);
    assert_eq!(changes(&iot["devices"]), (all, 1));
    assert_eq!(audiences[2]["origin_host"], "mme.partner");
    assert_eq!(
        changes(&audiences[2]["malformed"]).0,
        change("malformed", "greylisted", 1)
    );
    for audience in [audiences[0], audiences[2]] {
        assert_eq!(changes(&audience["devices"]).1, 100_000_000_000_000);
    }
    // Whoever `never` is for, `iot` has taken before.
    let notes = report["notes"].as_array().unwrap();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0]
            .as_str()
            .unwrap()
            .contains("policy never of the old")
    );

    let one = json(&[&old, &new, "--origin-host", "mme.partner"]);
    assert_eq!(one["audiences"].as_array().unwrap().len(), 1);
    assert_eq!(one["audiences"][0]["old_policy"], "partner");
}

/// Every device of a kind is counted, and those that a TAC file allocates are
/// no longer unallocated.
#[test]
fn special_rules_are_counted_to_the_last_device() {
    let special = |kind: &str| {
        format!(
            "[register]\nlists_dir = \".\"\n\
             [[tac]]\nname = \"tacs\"\npath = \"tacs.csv\"\nformat = \"csv\"\n\
             [[special]]\nname = \"odd\"\nkinds = \"{kind}\"\nstatus = \"grey\"\n"
        )
    };
    let none = "[register]\nlists_dir = \".\"\n[[tac]]\nname = \"tacs\"\npath = \"tacs.csv\"\nformat = \"csv\"\n";
    let tacs = "tac,make,model\n35209900,Acme,One\n49015420,Acme,Two\n";
    let all = 100_000_000_000_000;
    for (kind, count) in [
        ("zero", 1),
        ("repeated", 10),
        // 00 and 02 to 09.
        ("test", 9_000_000_000_000),
        ("unallocated_tac", all - 2_000_000),
    ] {
        let dir = directory(&[
            ("old.toml", none),
            ("new.toml", &special(kind)),
            ("tacs.csv", tacs),
        ]);
        let report = json(&[&at(dir.path(), "old.toml"), &at(dir.path(), "new.toml")]);
        let found = changes(&report["audiences"][0]["devices"]);
        assert_eq!(
            found,
            (change("unknown", "greylisted", count), all - count),
            "{kind}"
        );
    }
    // One more TAC is allocated.
    let more = special("unallocated_tac").replace("tacs.csv", "more.csv");
    let dir = directory(&[
        ("old.toml", &special("unallocated_tac")),
        ("new.toml", &more),
        ("tacs.csv", tacs),
        ("more.csv", &format!("{tacs}35000000,Acme,Three\n")),
    ]);
    let report = json(&[&at(dir.path(), "old.toml"), &at(dir.path(), "new.toml")]);
    let found = changes(&report["audiences"][0]["devices"]);
    assert_eq!(found.0, change("greylisted", "unknown", 1_000_000));
}

/// What a subscriber of a fleet is answered is seen wherever in the fleet it
/// changes. Visiting each subscriber with each device is the oracle.
#[test]
fn ranges_of_subscribers_are_compared_wherever_they_change() {
    /// First and last subscriber, and the device.
    type Bound = (u64, u64, u64);
    /// What a subscriber is answered for a device.
    fn answer(bindings: &[Bound], imsi: u64, device: u64) -> &'static str {
        let mut own = bindings
            .iter()
            .filter(|(from, to, _)| (from..=to).contains(&&imsi));
        match (
            own.clone().next().is_some(),
            own.any(|bound| bound.2 == device),
        ) {
            (true, false) => "blacklisted",
            _ => "unknown",
        }
    }
    let mut chance = Chance(42);
    let mut seen = 0;
    for _ in 0..150 {
        let mut bindings = || -> Vec<Bound> {
            let bound = |chance: &mut Chance| {
                let from = chance.below(20);
                let more = [0, chance.below(20 - from)][chance.below(3).min(1) as usize];
                (from, from + more, chance.below(3))
            };
            (0..chance.below(5)).map(|_| bound(&mut chance)).collect()
        };
        let old = bindings();
        // Most of them stay.
        let mut new: Vec<Bound> = old.iter().skip(1).copied().collect();
        new.extend(bindings().first());
        let csv = |bindings: &[Bound]| {
            let mut text = "imei,imsi_from,imsi_to\n".to_owned();
            for (from, to, device) in bindings {
                text +=
                    &format!("0010123400000{device},0010100000000{from:02},0010100000000{to:02}\n");
            }
            text
        };
        let config = |name: &str| {
            format!(
                "[register]\nlists_dir = \".\"\n[[binding]]\nname = \"b\"\npath = \"{name}.csv\"\n"
            )
        };
        let dir = directory(&[
            ("old.toml", &config("old")),
            ("new.toml", &config("new")),
            ("old.csv", &csv(&old)),
            ("new.csv", &csv(&new)),
        ]);
        let report = json(&[&at(dir.path(), "old.toml"), &at(dir.path(), "new.toml")]);
        let mut expected: Vec<_> = (0..20)
            .flat_map(|imsi| (0..4).map(move |device| (imsi, device)))
            .map(|(imsi, device)| [&old, &new].map(|side| answer(side, imsi, device).to_owned()))
            .filter(|[old, new]| old != new)
            .map(|[old, new]| (old, new))
            .collect();
        expected.sort();
        expected.dedup();
        let found: Vec<_> = changes(&report["subscribers"]).0.into_keys().collect();
        assert_eq!(found, expected, "{old:?} {new:?}");
        seen += expected.len();
    }
    assert!(seen > 100, "{seen}");
}

/// A policy is for a fleet and for others, and the fleet's list counts no more.
#[test]
fn a_policy_for_a_fleet_and_others_is_compared_for_both() {
    let config = |lists: &str| {
        format!(
            "[register]\nlists_dir = \".\"\n\
             [[binding]]\nname = \"fleet\"\npath = \"fleet.csv\"\n\
             [[policy]]\nname = \"both\"\nlists = [{lists}]\nmatch = {{ imsi_prefix = [\"0010155\"] }}\n"
        )
    };
    let dir = directory(&[
        ("old.toml", &config("\"fleet\"")),
        ("new.toml", &config("")),
        (
            "fleet.csv",
            "imei,imsi_from,imsi_to\n00101234000001,001015500000000,001015549999999\n",
        ),
    ]);
    let report = json(&[&at(dir.path(), "old.toml"), &at(dir.path(), "new.toml")]);
    let subscribers = &report["subscribers"];
    assert_eq!(changes(subscribers).0, change("blacklisted", "unknown", 1));
    // For the others it was the same.
    let both = report["audiences"].as_array().unwrap().last().unwrap();
    assert_eq!(both["new_policy"], "both");
    assert_eq!(changes(&both["devices"]).0, Changes::new());
}

/// A list of another register is compared by itself, too.
#[test]
fn a_list_of_another_format_is_compared() {
    let dir = directory(&[
        ("old.txt", "ent_eir(imei 00101234000001, black yes)\n"),
        ("new.txt", "ent_eir(imei 00101234000001, gray yes)\n"),
    ]);
    let (old, new) = (at(dir.path(), "old.txt"), at(dir.path(), "new.txt"));
    let report = json(&[&old, &new, "--format", "eagle"]);
    let found = changes(&report["audiences"][0]["devices"]).0;
    assert_eq!(found, change("blacklisted", "greylisted", 1));
    let (_, result) = diff(&[&old, &new, "--format", "falcon"]);
    assert!(result.unwrap_err().to_string().contains("falcon"));
}

#[test]
fn the_maintenance_switch_changes_everything() {
    let dir = directory(&[
        ("old.toml", ""),
        ("new.toml", "[register]\noverride = \"whitelisted\"\n"),
    ]);
    let (old, new) = (at(dir.path(), "old.toml"), at(dir.path(), "new.toml"));
    let report = json(&[&old, &new]);
    let audience = &report["audiences"][0];
    let all = change("unknown", "whitelisted", 100_000_000_000_000);
    assert_eq!(changes(&audience["devices"]), (all, 0));
    assert_eq!(
        changes(&audience["malformed"]).0,
        change("malformed", "whitelisted", 1)
    );
    assert_eq!(report["new"]["override"], "whitelisted");
}

#[test]
fn dates_count_at_the_time_that_is_named() {
    let dir = directory(&[
        ("old.csv", "imei\n00101234000001\n"),
        (
            "new.csv",
            "imei,from,until\n00101234000001,,\n00101234000002,2027-01-01,\n00101234000003,,2027-01-01\n",
        ),
    ]);
    let (old, new) = (at(dir.path(), "old.csv"), at(dir.path(), "new.csv"));
    for (time, device, later) in [
        ("2026-12-31T23:59:59Z", "00101234000003", 2),
        ("2027-01-02T00:00:00Z", "00101234000002", 0),
    ] {
        let report = json(&[&old, &new, "--at", time]);
        let devices = &report["audiences"][0]["devices"];
        assert_eq!(changes(devices).0, change("unknown", "blacklisted", 1));
        assert_eq!(devices["changes"][0]["samples"][0]["from"], device);
        assert_eq!(report["new"]["changing_later"], later);
    }
}

#[test]
fn a_list_has_the_status_that_is_named_and_may_be_a_pattern() {
    let dir = directory(&[
        ("old-1.csv", "imei\n00101234000001\n"),
        ("old-2.csv", "imei\n00101234000002\n"),
        ("new.csv", "imei\n00101234000001\n"),
    ]);
    let (old, new) = (at(dir.path(), "old-*.csv"), at(dir.path(), "new.csv"));
    let report = json(&[&old, &new, "--status", "grey"]);
    assert_eq!(
        changes(&report["audiences"][0]["devices"]).0,
        change("greylisted", "unknown", 1)
    );
    let (_, result) = diff(&[&old, &new, "--status", "blue"]);
    assert_eq!(result.unwrap_err().exit_code(), 2);
    let (out, result) = diff(&[&old, &at(dir.path(), "none.csv")]);
    let failed = result.unwrap_err();
    assert!(
        failed.to_string().contains("none.csv: no such file"),
        "{failed}"
    );
    assert_eq!((failed.exit_code(), out.as_str()), (1, ""));
}

#[test]
fn samples_are_as_many_as_wanted() {
    let mut text = "imei\n".to_owned();
    for device in 0..10 {
        text += &format!("001012340000{device}0\n");
    }
    let dir = directory(&[("old.csv", "imei\n49015420323751\n"), ("new.csv", &text)]);
    let (old, new) = (at(dir.path(), "old.csv"), at(dir.path(), "new.csv"));
    for (samples, shown) in [("0", 0), ("3", 3), ("20", 10)] {
        let report = json(&[&old, &new, "--samples", samples]);
        let change = &report["audiences"][0]["devices"]["changes"][1];
        assert_eq!(change["count"], 10);
        assert_eq!(change["samples"].as_array().unwrap().len(), shown);
    }
}

#[test]
fn differences_are_a_failure_only_if_asked_for() {
    let dir = directory(&[
        ("old.csv", "imei\n00101234000001\n"),
        ("new.csv", "imei\n00101234000002\n"),
    ]);
    let (old, new) = (at(dir.path(), "old.csv"), at(dir.path(), "new.csv"));
    assert!(diff(&[&old, &new]).1.is_ok());
    let failed = diff(&[&old, &new, "--exit-code"]).1.unwrap_err();
    assert_eq!(failed.exit_code(), 1);
    let (out, result) = diff(&[&old, &old, "--exit-code"]);
    assert!(result.is_ok());
    assert!(out.ends_with("\nNo verdict changes.\n"), "{out}");
}

//----------- Replay

/// A file of the recordings.
fn captures(name: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    at(&root.join("captures"), name)
}

#[test]
fn recorded_requests_that_are_answered_differently_are_shown() {
    let (old, new) = (captures("weir.toml"), captures("weir-black.toml"));
    // In the recording there are CER, one check and DPR; `white.csv` and
    // `black.csv` both name its phone.
    let capture = captures("open5gs-black.pcap");
    let (out, result) = diff(&[&old, &new, "--replay", &capture]);
    result.unwrap();
    let line = out.lines().last().unwrap();
    assert!(
        out.contains("1 of 3 requests answered differently"),
        "{out}"
    );
    assert!(
        line.ends_with("  2001 whitelisted → 2001 blacklisted"),
        "{out}"
    );
    assert!(line.contains("imei 35349006******"), "{out}");

    let args = [&old, &new, "--replay", &capture, "--show-identities"];
    let report = json(&args.map(|arg: &str| arg));
    let differing = &report["replay"]["differing"];
    assert_eq!(differing.as_array().unwrap().len(), 1);
    assert!(
        differing[0]["imei"]
            .as_str()
            .unwrap()
            .starts_with("35349006987331")
    );
    assert_eq!(differing[0]["frame"], 8);
    assert!(
        differing[0]["new_ground"]
            .as_str()
            .unwrap()
            .contains("black.csv:2")
    );

    let same = json(&[&old, &old, "--replay", &capture]);
    assert_eq!(same["replay"]["changed"], 0);
    assert_eq!(same["differs"], false);
}

//----------- The README

#[test]
fn the_readme_shows_what_it_prints() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let section = readme.split("\n## What would change\n").nth(1).unwrap();
    let block = |language: &str| {
        let rest = section.split(&format!("```{language}\n")).nth(1).unwrap();
        rest.split("```").next().unwrap()
    };
    let dir = tempfile::tempdir().unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_weir")).parent().unwrap();
    let output = Command::new("sh")
        .args(["-ec", block("sh")])
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), block("text"));
}
