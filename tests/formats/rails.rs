//! What a list is refused for although each line can be read.

use super::*;

#[test]
fn a_file_in_another_format_is_refused_with_the_right_one() {
    for (name, format) in [
        ("20260131_blacklist.csv", "dirbs-blacklist"),
        ("20260131_notifications_op1.csv", "dirbs-notifications"),
        ("20260131_exceptions_op1.csv", "dirbs-exceptions"),
        ("pyhss.json", "pyhss"),
        ("open5gs.jsonl", "open5gs"),
        ("eagle.txt", "eagle"),
        ("gsma.txt", "gsma-tac"),
        ("osmocom.csv", "osmocom-tac"),
    ] {
        let list = refused(load_list("csv", &[(name, &sample(name))]));
        assert!(
            list.faults[0].contains(&format!("format = \"{format}\"")),
            "{list:?}"
        );
        let list = refused(load_list("eagle", &[("l.csv", b"imei\n490154203237518\n")]));
        assert!(list.faults[0].contains("format = \"csv\""), "{list:?}");
    }
}

#[test]
fn lists_that_look_like_a_mistake_are_refused_unless_forced() {
    let lines = |line: fn(u32) -> String, header: &str| {
        let lines: Vec<String> = (0..20).map(line).collect();
        format!("{header}\n{}\n", lines.join("\n"))
    };
    let lost = lines(|n| format!("1012340000{n:03}"), "imei");
    let bindings = lines(
        |n| format!("00101234000{n:03},0010100000000{n:02}"),
        "imei,imsi",
    );
    let white = lines(|n| format!("00101234000{n:03}"), "imei");
    for (name, text, fragment, loads_if_forced) in [
        (
            "a.csv",
            &lost,
            "20 of 20 IMEIs have 13 digits: leading zeros were lost",
            false,
        ),
        (
            "a.csv",
            &bindings,
            "write [[binding]] instead of [[list]]",
            true,
        ),
        ("whitelist.csv", &white, "is named `white`", true),
    ] {
        let files = [(name, text.as_bytes())];
        let list = refused(load_list("csv", &files));
        assert_eq!(list.faults.len(), 1, "{list:?}");
        assert!(list.faults[0].contains(fragment), "{list:?}");
        assert!(list.faults[0].contains("guard_rails = false"), "{list:?}");
        let forced = load_with("csv", &files, "guard_rails = false");
        assert_eq!(forced.is_ok(), loads_if_forced, "{fragment}");
    }
    // With a status on each line, the name of the file says nothing.
    let text = b"imei,status\n00101234000001,white\n";
    assert!(load_list("csv", &[("whitelist.csv", text)]).is_ok());
}

#[test]
fn a_list_that_changes_too_much_is_refused_unless_forced() {
    let dir = directory(&[]);
    let path = dir.path().join("l.csv");
    let write = |entries: u32| {
        let lines: Vec<String> = (0..entries).map(|n| format!("{n:014}")).collect();
        fs::write(&path, format!("imei\n{}\n", lines.join("\n"))).unwrap();
    };
    let text = "[[list]]\nname = \"l\"\nstatus = \"black\"\npath = \"l.csv\"\n";
    let config = |keys: &str| config(dir.path(), &format!("{text}{keys}"));
    write(6000);
    let previous = Previous::of(&load(&config("")).unwrap().report);
    for (entries, keys, is_loaded) in [
        (7500, "", true),
        (7501, "", false),
        (4500, "", true),
        (4499, "", false),
        (4499, "max_change = \"50%\"", true),
        (0, "max_change = \"off\"", true),
        (0, "guard_rails = false", true),
    ] {
        write(entries);
        match load_after(&config(keys), &previous) {
            Ok(_) => assert!(is_loaded, "{entries} {keys}"),
            other => {
                assert!(!is_loaded, "{entries} {keys}: {other:?}");
                let fault = refused(other).faults[0].clone();
                assert!(fault.contains("max_change = \"off\""), "{fault}");
                assert!(fault.contains("the 6000 in force"), "{fault}");
            }
        }
    }
}

/// Lists with and without check digits, and what a spreadsheet makes of the
/// first of them.
#[test]
fn zeros_that_were_lost_from_whole_imeis_are_told() {
    let whole = |tac: &str, count: u32| -> Vec<String> {
        let devices = (0..count).map(|serial| format!("{tac}{:06}", serial * 7919 % 1_000_000));
        let imei = |device: String| {
            let digit = Imei::parse(device.as_bytes()).unwrap().device.check_digit();
            format!("{device}{digit}")
        };
        devices.map(imei).collect()
    };
    let (zero, other) = (whole("01234567", 40), whole("35209900", 40));
    let shifted: Vec<String> = zero.iter().map(|imei| imei[1..].to_owned()).collect();
    let devices = |imeis: &[String]| -> Vec<String> {
        imeis.iter().map(|imei| imei[..14].to_owned()).collect()
    };
    for (imeis, told) in [
        ([&shifted[..], &other].concat(), true),
        ([&zero[..], &other].concat(), false),
        // One in ten has a check digit by chance.
        ([&devices(&other)[..], &zero].concat(), false),
        // All without a check digit, as far as can be told.
        (shifted.clone(), false),
        ([&shifted[..9], &other].concat(), false),
    ] {
        let text = format!("imei\n{}\n", imeis.join("\n"));
        let loaded = load_list("csv", &[("l.csv", text.as_bytes())]).unwrap();
        let warnings = &loaded.report.lists[0].warnings;
        let count = format!("{} of {} IMEIs of 14 digits", shifted.len(), shifted.len());
        assert_eq!(
            warnings.iter().any(|warning| warning.starts_with(&count)),
            told,
            "{warnings:?}"
        );
        assert_eq!(warnings.len(), usize::from(told), "{warnings:?}");
    }
}
