//! Lists of other registers, read as they are: each sample has every quirk of
//! its format, and the verdicts that it gives stand beside it, written by hand.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use weir::config::Config;
use weir::equipment::{Imei, Imsi, Status, Tac};
use weir::lists::{ListReport, LoadReport};
use weir::load::{LoadError, Loaded, Previous, load, load_after};
use weir::policy::{Ground, Inquiry, Outcome, Verdict};
use weir::time::UnixTime;
use zip::write::SimpleFileOptions;

/// 2026-06-15 12:00:00 UTC.
const NOW: UnixTime = UnixTime(1_781_524_800);

const BLACK: Outcome = Outcome::Status(Status::Blacklisted);
const GREY: Outcome = Outcome::Status(Status::Greylisted);
const WHITE: Outcome = Outcome::Status(Status::Whitelisted);
const UNKNOWN: Outcome = Outcome::Unknown;

//----------- Helpers ---------------------------------------------------------

/// A sample.
fn sample(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats");
    fs::read(path.join(name)).unwrap()
}

/// A directory with these files.
fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// A configuration with its lists in `dir`.
fn config(dir: &Path, text: &str) -> Config {
    let mut config = Config::parse(text, Path::new("weir.toml")).unwrap();
    config.register.lists_dir = dir.to_path_buf();
    config
}

/// Loads files as a list of blacklisted devices of a format.
fn load_list(format: &str, files: &[(&str, &[u8])]) -> Result<Loaded, LoadError> {
    load_with(format, files, "")
}

/// The same with further keys.
fn load_with(format: &str, files: &[(&str, &[u8])], keys: &str) -> Result<Loaded, LoadError> {
    let dir = directory(files);
    let text = format!(
        "[[list]]\nname = \"l\"\nstatus = \"black\"\npath = \"*\"\nformat = \"{format}\"\n{keys}"
    );
    load(&config(dir.path(), &text))
}

/// Loads one sample.
fn load_sample(format: &str, name: &str) -> Loaded {
    load_list(format, &[(name, &sample(name))]).unwrap()
}

/// Loads files as bindings.
fn load_bindings(format: &str, files: &[(&str, &[u8])]) -> Result<Loaded, LoadError> {
    let dir = directory(files);
    let text = format!("[[binding]]\npath = \"*\"\nname = \"b\"\nformat = \"{format}\"");
    load(&config(dir.path(), &text))
}

/// The report of the only list of a load that must have been refused.
fn refused(result: Result<Loaded, LoadError>) -> ListReport {
    match result {
        Err(LoadError::Refused(report)) => report.lists.into_iter().next().unwrap(),
        other => panic!("not refused: {other:?}"),
    }
}

/// The reason of the rule that decides on a device.
fn reason(loaded: &Loaded, imei: &str) -> String {
    match decide(loaded, imei, "", NOW).ground {
        Ground::Rule(id) => {
            let rule = loaded.rulebook.snapshot().rule(id).unwrap();
            rule.reason.unwrap_or_default().to_owned()
        }
        other => panic!("{imei}: {other:?}"),
    }
}

/// What a device is answered, alone or with a subscriber; 16 digits tell the
/// software version.
fn ask(loaded: &Loaded, imei: &str, imsi: &str, now: UnixTime) -> Outcome {
    decide(loaded, imei, imsi, now).outcome
}

/// The same with its ground.
fn decide(loaded: &Loaded, imei: &str, imsi: &str, now: UnixTime) -> Verdict {
    let inquiry = Inquiry {
        imei: Imei::parse(imei.as_bytes()),
        svn: None,
        imsi: Imsi::parse(imsi.as_bytes()).ok(),
        origin_host: b"mme",
        origin_realm: b"epc",
        route_record: None,
    };
    loaded.rulebook.decide(&inquiry, now)
}

/// Holds verdicts against what is expected.
fn expect(loaded: &Loaded, verdicts: &[(&str, &str, Outcome)]) {
    for (imei, imsi, expected) in verdicts {
        assert_eq!(ask(loaded, imei, imsi, NOW), *expected, "{imei} {imsi}");
    }
}

/// A ZIP archive of these members.
fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer
            .start_file(*name, SimpleFileOptions::default())
            .unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

//----------- DIRBS -----------------------------------------------------------

/// 14, 15 and 16 digits, a date that is missing, reasons joined by bars, CRLF;
/// letters, signs and thirteen digits that are no IMEI.
#[test]
fn a_dirbs_blacklist_blacklists_what_has_an_imei() {
    let name = "20260131_blacklist.csv";
    let loaded = load_sample("dirbs-blacklist", name);
    expect(
        &loaded,
        &[
            ("490154203237518", "", BLACK),
            ("4901542032375101", "", BLACK),
            ("01012340000001", "", BLACK),
            ("35200000000001", "", BLACK),
            ("35200000000002", "", BLACK),
            ("3520000000000299", "", BLACK),
            ("35200000000003", "", UNKNOWN),
        ],
    );
    let file = &loaded.report.lists[0].files[0];
    assert_eq!((file.entries, file.left_out, file.bad_lines), (4, 3, 0));
    let [check_digits, left_out] = &file.warnings[..] else {
        panic!("{:?}", file.warnings);
    };
    assert!(check_digits.contains("1 IMEI with a wrong check digit, the first on line 3"));
    assert!(left_out.contains("3 lines without a usable IMEI left out, the first is line 5"));
    // The reason is kept as it is.
    assert_eq!(
        reason(&loaded, "49015420323751"),
        "Reported stolen|Duplicate"
    );

    let archive = zipped(&[(name, &sample(name)), ("README.pdf", b"no list")]);
    let packed = load_list("dirbs-blacklist", &[("a.zip", &archive)]).unwrap();
    assert_eq!(packed.report.entries(), 4);
    assert!(
        packed.report.lists[0].files[0]
            .path
            .ends_with("a.zip/20260131_blacklist.csv")
    );
    assert!(packed.report.lists[0].warnings[0].contains("README.pdf is no list"));
}

/// The same device for two subscribers, a column more, no subscriber.
#[test]
fn a_dirbs_notification_blacklists_from_its_date_on() {
    let loaded = load_sample("dirbs-notifications", "20260131_notifications_op1.csv");
    expect(
        &loaded,
        &[
            ("49015420323751", "001010000000001", UNKNOWN),
            ("35200000000001", "", BLACK),
        ],
    );
    // 2026-07-01 00:00:00 UTC.
    for (seconds, expected) in [(1_782_863_999, UNKNOWN), (1_782_864_000, BLACK)] {
        for imsi in ["", "001010000000001", "001010000000009"] {
            let outcome = ask(&loaded, "49015420323751", imsi, UnixTime(seconds));
            assert_eq!(outcome, expected, "{seconds} {imsi}");
        }
    }
    assert_eq!(loaded.report.lists[0].files[0].left_out, 1);
}

/// An exception holds whatever list has blacklisted the device.
#[test]
fn a_dirbs_exception_lets_a_subscriber_use_a_blacklisted_device() {
    let names = ["20260131_blacklist.csv", "20260131_exceptions_op1.csv"];
    let dir = directory(&names.map(|name| (name, &*sample(name).leak())));
    let text = r#"
        [[list]]
        name = "black"
        status = "black"
        path = "*_blacklist*"
        format = "dirbs-blacklist"
        [[list]]
        name = "excepted"
        status = "black"
        path = "*_exceptions_*"
        format = "dirbs-exceptions"
    "#;
    let loaded = load(&config(dir.path(), text)).unwrap();
    expect(
        &loaded,
        &[
            ("49015420323751", "", BLACK),
            ("49015420323751", "001010000000001", WHITE),
            ("49015420323751", "001010000000002", WHITE),
            ("49015420323751", "001010000000003", BLACK),
            ("35200000000001", "001010000000001", BLACK),
        ],
    );
    // An exception alone blacklists nothing.
    let alone = load_sample("dirbs-exceptions", names[1]);
    expect(
        &alone,
        &[
            ("49015420323751", "", UNKNOWN),
            ("49015420323751", "001010000000001", UNKNOWN),
        ],
    );
    assert_eq!(alone.report.lists[0].files[0].left_out, 1);
}

#[test]
fn a_dirbs_pairing_binds_subscribers_to_their_devices() {
    let full = sample("pairing.csv");
    let delta = b"imei,imsi,msisdn,change_type\n\
        35200000000001,001010000000001,491700000001,remove\n\
        35200000000003,001010000000002,491700000002,ADD\n";
    let loaded = load_bindings("dirbs-pairing", &[("a.csv", &full)]).unwrap();
    let verdicts = [
        ("49015420323751", "001010000000001", UNKNOWN),
        ("35200000000001", "001010000000001", UNKNOWN),
        ("35200000000002", "001010000000001", BLACK),
        ("35200000000003", "001010000000002", BLACK),
        ("35200000000003", "001010000000003", UNKNOWN),
    ];
    expect(&loaded, &verdicts);
    let loaded = load_bindings("dirbs-pairing", &[("a.csv", &full), ("b.csv", delta)]).unwrap();
    let mut changed = verdicts;
    changed[1].2 = BLACK;
    changed[3].2 = UNKNOWN;
    expect(&loaded, &changed);
}

/// A full list, and deltas of two runs, by name and by column.
const CHAIN: [(&str, &[u8]); 6] = [
    ("20260101_blacklist_delta_-1_1_blocked.csv", b"imei,block_date,reasons\n"),
    (
        "20260101_blacklist.csv",
        b"imei,block_date,reasons\n00000000000001,20260101,a\n00000000000002,20260101,a\n00000000000003,20260101,a\n",
    ),
    (
        "20260102_blacklist_delta_1_2_blocked.csv",
        b"imei,block_date,reasons\n00000000000004,20260102,b\n00000000000005,20260102,b\nABC,20260102,b\n",
    ),
    (
        "20260102_blacklist_delta_1_2_unblocked.csv",
        b"imei,block_date,reasons\n00000000000001,20260101,a\n",
    ),
    (
        "20260102_blacklist_delta_1_2_changed.csv",
        b"imei,block_date,reasons\n00000000000002,20260102,changed\n",
    ),
    (
        "20260103_120000_blacklist_delta_2_3.csv",
        b"imei,block_date,reasons,change_type\n00000000000005,20260102,b,unblocked\n00000000000001,20260103,again,blocked\n",
    ),
];

#[test]
fn deltas_give_what_the_full_list_of_their_run_would() {
    let expected = [
        ("00000000000001", "", BLACK),
        ("00000000000002", "", BLACK),
        ("00000000000003", "", BLACK),
        ("00000000000004", "", BLACK),
        ("00000000000005", "", UNKNOWN),
    ];
    let archive = zipped(&CHAIN);
    for files in [
        &CHAIN[..],
        &[("all.zip", &archive)],
        &[
            ("1.zip", &zipped(&CHAIN[3..])),
            ("2.zip", &zipped(&CHAIN[..3])),
        ],
    ] {
        let loaded = load_list("dirbs-blacklist", files).unwrap();
        expect(&loaded, &expected);
        assert_eq!(loaded.report.entries(), 4);
        for (imei, expected) in [
            ("00000000000001", "again"),
            ("00000000000002", "changed"),
            ("00000000000003", "a"),
            ("00000000000004", "b"),
        ] {
            assert_eq!(reason(&loaded, imei), expected, "{imei}");
        }
        let notes = &loaded.report.lists[0].warnings;
        assert!(
            notes[0].contains("is contained in the full list"),
            "{notes:?}"
        );
    }
    // Each run by itself, from the first on.
    let loaded = load_list("dirbs-blacklist", &CHAIN[..5]).unwrap();
    let mut before = expected;
    before[0].2 = UNKNOWN;
    before[4].2 = BLACK;
    expect(&loaded, &before);
}

#[test]
fn a_delta_that_does_not_belong_is_refused() {
    // The run before is missing: told by the names.
    let gap = [CHAIN[0], CHAIN[1], CHAIN[5]];
    let list = refused(load_list("dirbs-blacklist", &gap));
    assert!(
        list.faults[0].contains(
            "20260103_120000_blacklist_delta_2_3.csv: builds on run 2, but what is there is run 1"
        ),
        "{list:?}"
    );
    let list = refused(load_list("dirbs-blacklist", &CHAIN[2..3]));
    assert!(
        list.faults[0].contains("but no full list is there"),
        "{list:?}"
    );
    // The names fit, but not what is in it: told line by line.
    for (delta, line, fragment) in [
        (
            "20260102_blacklist_delta_1_2_unblocked.csv",
            "00000000000009",
            "changes or removes what the full list has not",
        ),
        (
            "20260102_blacklist_delta_1_2_changed.csv",
            "00000000000009",
            "changes or removes what the full list has not",
        ),
        (
            "20260102_blacklist_delta_1_2_blocked.csv",
            "00000000000001",
            "adds what the full list has",
        ),
        (
            "20260102_blacklist_delta_1_2_blocked.csv",
            "00000000000009,,\n00000000000009",
            "adds what",
        ),
    ] {
        let text = format!("imei,block_date,reasons\n{line},,\n");
        let list = refused(load_list(
            "dirbs-blacklist",
            &[CHAIN[1], (delta, text.as_bytes())],
        ));
        let bad = &list.first_bad_lines[0];
        assert!(
            bad.path.ends_with(delta) && bad.reason.contains(fragment),
            "{bad}"
        );
    }
}

#[test]
fn deltas_of_each_operator_are_their_own() {
    let header = "imei,imsi,msisdn,block_date,reasons\n";
    let line = "00000000000001,001010000000001,1,20260101,x\n";
    let full = format!("{header}{line}");
    let files = [
        ("20260101_notifications_op_1.csv", full.as_bytes()),
        ("20260101_notifications_op2.csv", full.as_bytes()),
        (
            "20260102_notifications_op_1_delta_4_5_no_longer_seen.csv",
            full.as_bytes(),
        ),
        (
            "20260102_notifications_op2_delta_4_5_new.csv",
            header.as_bytes(),
        ),
    ];
    let loaded = load_list("dirbs-notifications", &files).unwrap();
    expect(&loaded, &[("00000000000001", "", BLACK)]);
    assert_eq!(loaded.report.entries(), 1);
    for change in ["resolved", "blacklisted", "no_longer_seen"] {
        let name = format!("20260102_notifications_op2_delta_4_5_{change}.csv");
        let loaded =
            load_list("dirbs-notifications", &[files[1], (&name, full.as_bytes())]).unwrap();
        expect(&loaded, &[("00000000000001", "", UNKNOWN)]);
    }
}

//----------- PyHSS -----------------------------------------------------------

/// Indented and not, unknown fields, an exact rule of 15 and of 14 digits, with
/// an IMSI, expressions, null and absent IMSIs, numbers as text and as true.
#[test]
fn pyhss_rules_answer_as_they_are_meant() {
    let loaded = load_sample("pyhss", "pyhss.json");
    expect(
        &loaded,
        &[
            ("49015420323751", "", BLACK),
            ("490154203237518", "001010000000009", BLACK),
            ("49015420323751", "001010000000001", WHITE),
            ("35200000999999", "", GREY),
            ("35200001000000", "", BLACK),
            ("35200002999999", "", BLACK),
            ("35200003000000", "", UNKNOWN),
            ("66612345678901", "", BLACK),
            ("352000000000028", "", WHITE),
        ],
    );
    // Its bindings: the rule with an IMSI, and none of the others.
    let loaded = load_bindings("pyhss", &[("pyhss.json", &sample("pyhss.json"))]).unwrap();
    expect(
        &loaded,
        &[
            ("49015420323751", "001010000000001", UNKNOWN),
            ("35200000000002", "001010000000001", BLACK),
            ("35200000000002", "001010000000002", UNKNOWN),
        ],
    );
    assert_eq!(loaded.report.lists[0].files[0].left_out, 5);
}

#[test]
fn pyhss_rules_that_cannot_be_meant_are_told_by_line() {
    for (object, fragment) in [
        (r#"{"imsi": "", "match_response_code": 1}"#, "has no `imei`"),
        (
            r#"{"imei": 490154203237518, "match_response_code": 1}"#,
            "`imei` is a number",
        ),
        (
            r#"{"imei": "4901", "match_response_code": 1}"#,
            "has 4 digits",
        ),
        (r#"{"imei": "490154203237518"}"#, "no `match_response_code`"),
        (
            r#"{"imei": "490154203237518", "match_response_code": 3}"#,
            "no `match_response_code`",
        ),
        (
            r#"{"imei": "^35", "regex_mode": 2, "match_response_code": 1}"#,
            "neither 0 nor 1",
        ),
        (
            r#"{"imei": "^(35|36)", "regex_mode": 1, "match_response_code": 1}"#,
            "write one rule for each",
        ),
        (
            r#"{"imei": ".*", "regex_mode": 1, "match_response_code": 1}"#,
            "matches every device",
        ),
        (
            r#"{"imei": "^35", "imsi": "^00101", "regex_mode": 1, "match_response_code": 0}"#,
            "is no single IMSI",
        ),
        (
            r#"{"imei": "490154203237518", "imsi": "001010000000001", "match_response_code": 2}"#,
            "is greylisted for one subscriber only",
        ),
        (r#"{"imei": "490154203237518" "x"}"#, "is no JSON"),
    ] {
        let text = format!("[\n{object}\n]");
        let list = refused(load_list("pyhss", &[("r.json", text.as_bytes())]));
        let bad = &list.first_bad_lines[0];
        assert_eq!(bad.line, 2, "{bad}");
        assert!(bad.reason.contains(fragment), "{object}: {bad}");
    }
    let list = refused(load_list("pyhss", &[("r.json", b"[{\"imei\": 1")]));
    assert!(list.faults[0].contains("is cut short"), "{list:?}");
}

//----------- Open5GS ---------------------------------------------------------

/// Lines and an array, `_id` in extended JSON, a blank line, `imeisv-`, `supi`.
#[test]
fn open5gs_records_answer_as_they_are_meant() {
    for name in ["open5gs.jsonl", "open5gs-array.json"] {
        let loaded = load_sample("open5gs", name);
        expect(
            &loaded,
            &[
                ("490154203237518", "", BLACK),
                ("49015420323751", "001010000000001", WHITE),
                ("49015420323751", "001010000000002", BLACK),
                ("3520000000000101", "", BLACK),
                ("3520000000000102", "", BLACK),
                ("35200000000001", "", BLACK),
                ("35200000000002", "", GREY),
                ("35200000000003", "", WHITE),
                ("35200000000004", "", UNKNOWN),
            ],
        );
        let strict = load_with("open5gs", &[(name, &sample(name))], "strict_svn = true").unwrap();
        expect(
            &strict,
            &[
                ("3520000000000101", "", BLACK),
                ("3520000000000102", "", UNKNOWN),
                ("35200000000001", "", UNKNOWN),
            ],
        );
    }
    for (object, fragment) in [
        (r#"{"status": "BLACKLISTED"}"#, "has no `pei`"),
        (r#"{"pei": "imei-490154203237518"}"#, "has no `status`"),
        (
            r#"{"pei": "imei-490154203237518", "status": "STOLEN"}"#,
            "write WHITELISTED",
        ),
        (
            r#"{"pei": "mac-0011", "status": "BLACKLISTED"}"#,
            "is no IMEI",
        ),
        (
            r#"{"pei": "imei-490154203237518", "supi": "nai-x", "status": "WHITELISTED"}"#,
            "is no IMSI",
        ),
    ] {
        let list = refused(load_list("open5gs", &[("r.json", object.as_bytes())]));
        assert!(
            list.first_bad_lines[0].reason.contains(fragment),
            "{object}: {list:?}"
        );
    }
}

//----------- EAGLE -----------------------------------------------------------

/// Comments, commands over several lines and several on one, any letter case,
/// ranges, devices on several lists, IMSIs, deletes, `force`, and commands that
/// are not of the EIR.
#[test]
fn eagle_commands_answer_as_they_are_meant() {
    let loaded = load_sample("eagle", "eagle.txt");
    expect(
        &loaded,
        &[
            ("4901542032375112", "", BLACK),
            ("4901542032375113", "", UNKNOWN),
            ("49015420323752", "", BLACK),
            ("49015420323752", "001010000000001", WHITE),
            ("49015420323752", "001010000000002", WHITE),
            ("49015420323752", "001010000000003", BLACK),
            ("35200000009999", "", GREY),
            ("35200000010000", "", UNKNOWN),
            ("35200000000001", "", BLACK),
            ("35200000000002", "", GREY),
            ("35200000000003", "", WHITE),
            ("35200000000004", "001010000000001", WHITE),
            ("35200000000004", "001010000000002", BLACK),
            ("35200000000005", "", WHITE),
        ],
    );
    let file = &loaded.report.lists[0].files[0];
    assert_eq!(file.left_out, 1);
    // What the response types make of white and black, and of black alone.
    let dir = directory(&[("eagle.txt", &sample("eagle.txt"))]);
    for (combine, black_only) in [("type1", BLACK), ("type2", BLACK), ("type3", UNKNOWN)] {
        let text = format!(
            "[register]\ncombine = \"{combine}\"\n[[list]]\nname = \"l\"\nstatus = \"black\"\npath = \"*\"\nformat = \"eagle\""
        );
        let loaded = load(&config(dir.path(), &text)).unwrap();
        expect(
            &loaded,
            &[
                ("35200000000001", "", BLACK),
                ("49015420323752", "", black_only),
            ],
        );
    }
}

#[test]
fn eagle_commands_that_contradict_are_told() {
    for (text, line, fragment) in [
        ("dlt_eir(imei 35200000000001)", 1, "which was not entered"),
        (
            "ent_eir(imei 35200000000001, black yes)\ndlt_eir(imei 35200000000001)\ndlt_eir(imei 35200000000001)",
            3,
            "which was not entered",
        ),
        (
            "ent_eir(imei 35200000000001, black yes)\n\nent_eir(imei 35200000000001, white yes)",
            3,
            "contradicts",
        ),
        (
            "ent_eir(imei 35200000000001, black yes)\ndlt_eir(imei 35200000000001, imsi 001010000000001)",
            2,
            "does not have",
        ),
        ("ent_eir(imei 35200000000001, black yes", 1, "not closed"),
    ] {
        let list = refused(load_list("eagle", &[("e.txt", text.as_bytes())]));
        let bad = &list.first_bad_lines[0];
        assert_eq!(bad.line, line, "{text}: {bad}");
        assert!(bad.reason.contains(fragment), "{text}: {bad}");
    }
    // What one file deletes, another may have entered.
    let files: [(&str, &[u8]); 2] = [
        ("1.txt", b"ent_eir(imei 35200000000001, black yes)"),
        ("2.txt", b"dlt_eir(imei 35200000000001)"),
    ];
    expect(
        &load_list("eagle", &files).unwrap(),
        &[("35200000000001", "", UNKNOWN)],
    );
}

//----------- TACs ------------------------------------------------------------

/// Bars with quotes between them, letters that are no UTF-8, a banner, a TAC
/// twice, and lines with fields too few.
#[test]
fn files_of_tacs_name_models_and_the_first_name_counts() {
    for (name, format, expected) in [
        (
            "gsma.txt",
            "gsma-tac",
            [("Ericsson", "T28"), ("Caf\u{fffd} Phones", "One")],
        ),
        (
            "osmocom.csv",
            "osmocom-tac",
            [("Ericsson", "T28"), ("Other", "One")],
        ),
    ] {
        let dir = directory(&[(name, &sample(name))]);
        let text = format!("[[tac]]\npath = \"{name}\"\nformat = \"{format}\"");
        let loaded = load(&config(dir.path(), &text)).unwrap();
        let models = loaded.rulebook.snapshot().models();
        for (tac, (make, model)) in ["49015420", "35200000"].iter().zip(expected) {
            let found = models
                .find(Tac::from_digits(tac.as_bytes()).unwrap())
                .unwrap();
            assert_eq!((found.make, found.model), (make, model));
        }
        let warning = &loaded.report.lists[0].files[0].warnings[0];
        assert!(
            warning.contains("1 line about a TAC that has a name already"),
            "{warning}"
        );
        expect(&loaded, &[("49015420323751", "", UNKNOWN)]);
    }
    let dir = directory(&[("m.csv", b"tac,make,model\n49015420,A,B\n4901542,A,B\n")]);
    let text = "[[tac]]\npath = \"m.csv\"\nformat = \"csv\"";
    let list = refused(load(&config(dir.path(), text)));
    assert!(
        list.first_bad_lines[0]
            .to_string()
            .contains("m.csv:3:1: tac: `4901542` has 7 digits")
    );
}

//----------- House format ----------------------------------------------------

#[test]
fn a_range_of_subscribers_is_bound_to_a_model() {
    let text = b"imsi,imsi_from,imsi_to,tac\n\
        ,001010000000100,001010000000199,35200000\n\
        001010000000001,,,35200000\n";
    let loaded = load_bindings("csv", &[("b.csv", text)]).unwrap();
    expect(
        &loaded,
        &[
            ("35200000000001", "001010000000100", UNKNOWN),
            ("35200001000001", "001010000000199", BLACK),
            ("35200001000001", "001010000000200", UNKNOWN),
            ("35200001000001", "001010000000001", BLACK),
        ],
    );
    for (line, fragment) in [
        (
            ",001010000000100,,35200000",
            "is empty, but `imsi_from` is not",
        ),
        (
            ",,001010000000100,35200000",
            "is empty, but `imsi_to` is not",
        ),
        (
            ",001010000000100,00101000000099,35200000",
            "not as many digits",
        ),
        (
            ",001010000000100,001010000000099,35200000",
            "before it starts",
        ),
        (
            "001010000000001,001010000000100,001010000000199,35200000",
            "beside a range",
        ),
        (",,,35200000", "is empty"),
    ] {
        let text = format!("imsi,imsi_from,imsi_to,tac\n{line}\n");
        let list = refused(load_bindings("csv", &[("b.csv", text.as_bytes())]));
        assert!(
            list.first_bad_lines[0].reason.contains(fragment),
            "{line}: {list:?}"
        );
    }
}

#[test]
fn a_device_with_two_statuses_in_one_list_is_a_contradiction() {
    for (lines, bad) in [
        ("00000000000001,black,,\n00000000000001,white,,", 1),
        ("00000000000001,black,,\n000000000000018,white,,", 1),
        ("00000000000001,black,,\n00000000000001,black,,", 0),
        // One after the other is none.
        (
            "00000000000001,grey,,2026-06-30\n00000000000001,black,2026-07-01,",
            0,
        ),
        (
            "00000000000001,grey,,2026-07-01\n00000000000001,black,2026-07-01,",
            1,
        ),
    ] {
        let text = format!("imei,status,from,until\n{lines}\n");
        match load_list("csv", &[("l.csv", text.as_bytes())]) {
            Ok(_) => assert_eq!(bad, 0, "{lines}"),
            other => {
                let list = refused(other);
                assert_eq!(list.bad_lines(), bad, "{lines}");
                let reason = &list.first_bad_lines[0].reason;
                assert!(
                    reason.contains("l.csv:2, where device 00000000000001 is"),
                    "{reason}"
                );
            }
        }
    }
}

#[test]
fn ranges_of_one_list_that_overlap_with_two_statuses_are_a_contradiction() {
    for (lines, bad, told) in [
        // They share the last device of one.
        (
            "10,19,black,,\n19,25,white,,",
            1,
            "2, where devices 00000000000010 to 00000000000019 is blacklisted",
        ),
        ("10,19,black,,\n20,25,white,,", 0, ""),
        ("10,19,black,,\n12,13,black,,", 0, ""),
        // One within the other, either way round.
        ("10,19,black,,\n12,13,grey,,", 1, "2, where"),
        ("12,13,grey,,\n10,19,black,,\n14,15,white,,", 1, "2, where"),
        // The one in between is no part of what the others have in common.
        ("10,12,black,,\n20,22,black,,\n13,19,white,,", 0, ""),
        ("10,12,black,,\n13,14,black,,\n11,13,white,,", 1, "2, where"),
        // One after the other is none.
        ("10,19,black,,2026-06-30\n10,19,white,2026-07-01,", 0, ""),
        (
            "10,19,black,,2026-07-01\n10,19,white,2026-07-01,",
            1,
            "2, where",
        ),
        // Each of the second kind is a bad line, and those of the first stay.
        (
            "10,19,black,,\n10,12,white,,\n13,14,grey,,\n15,16,black,,",
            2,
            "2, where",
        ),
    ] {
        let lines: String = lines
            .lines()
            .map(|line| {
                let mut fields = line.splitn(3, ',');
                let mut imei = || format!("{:0>14}", fields.next().unwrap());
                format!("{},{},{}\n", imei(), imei(), fields.next().unwrap())
            })
            .collect();
        let text = format!("imei_from,imei_to,status,from,until\n{lines}");
        match load_list("csv", &[("l.csv", text.as_bytes())]) {
            Ok(_) => assert_eq!(bad, 0, "{lines}"),
            other => {
                let list = refused(other);
                assert_eq!(list.bad_lines(), bad, "{lines}");
                let reason = &list.first_bad_lines[0].reason;
                assert!(reason.contains(told), "{lines}: {reason}");
            }
        }
    }
}

#[test]
fn a_device_with_a_date_on_each_of_very_many_lines_is_refused() {
    let lines = |count: i64| -> String {
        let moment = |second: i64| {
            format!(
                "2026-01-01T{:02}:{:02}:{:02}Z",
                second / 3600,
                second / 60 % 60,
                second % 60
            )
        };
        let line = |second| format!("00000000000001,{}\n", moment(second));
        (0..count).map(line).collect()
    };
    let load = |count| {
        let text = format!("imei,until\n{}", lines(count));
        load_list("csv", &[("l.csv", text.as_bytes())])
    };
    let most = weir::equipment::MAX_TERMS as i64;
    assert!(load(most).is_ok());
    let list = refused(load(most + 2));
    assert_eq!(list.bad_lines(), 2);
    assert!(
        list.first_bad_lines[0]
            .reason
            .contains("more than 1024 rules about device 00000000000001"),
        "{list:?}"
    );
    // What is said again does not count.
    let text = format!("imei,until\n{}{}", lines(most), lines(most));
    assert!(load_list("csv", &[("l.csv", text.as_bytes())]).is_ok());
}

//----------- Guard rails -----------------------------------------------------

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

//----------- Archives --------------------------------------------------------

#[test]
fn archives_that_cannot_be_meant_are_refused() {
    let bomb = zipped(&[("a.csv", &vec![b'0'; 4 << 20])]);
    let whole = zipped(&[("a.csv", b"imei\n490154203237518\n")]);
    for (name, bytes, fragment) in [
        ("a.zip", &bomb[..], "more than 200 times its size"),
        (
            "a.zip",
            &whole[..whole.len() / 2],
            "is no ZIP archive that can be read",
        ),
        ("a.zip", b"", "is empty"),
        ("a.csv", &whole, "name it .zip"),
        ("a.zip", &zipped(&[("a.exe", b"x")]), "has no list in it"),
    ] {
        let list = refused(load_list("csv", &[(name, bytes)]));
        assert!(list.faults[0].contains(fragment), "{list:?}");
    }
    let loaded = load_list("csv", &[("a.zip", &whole)]).unwrap();
    expect(&loaded, &[("490154203237518", "", BLACK)]);
}

//----------- Last good lists -------------------------------------------------

/// Whoever reads this directory finds these files.
fn files_of(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = (fs::read_dir(dir).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[cfg(feature = "server")]
#[test]
fn the_last_good_lists_are_kept_and_put_back() {
    use weir::state::{Stamps, State};

    let dir = directory(&[]);
    let lists = dir.path().join("lists");
    fs::create_dir(&lists).unwrap();
    let path: PathBuf = dir.path().join("weir.toml");
    fs::write(
        &path,
        "[register]\nstate_dir = \"state\"\nkeep = 2\n[[list]]\nname = \"l\"\nstatus = \"black\"\npath = \"*\"\n",
    )
    .unwrap();
    let config = Config::load(&path).unwrap();
    let state = State::of(&config).unwrap();
    assert_eq!(state.numbers().unwrap(), [0; 0]);
    let publish = || {
        let stamps = Stamps::take(&config);
        let report: LoadReport = load_after(&config, &state.previous()).unwrap().report;
        state.save(&stamps, &report, NOW).unwrap()
    };
    fs::write(lists.join("a.csv"), "imei\n00000000000001\n").unwrap();
    fs::write(lists.join("b.csv"), "imei\n00000000000002\n").unwrap();
    assert_eq!(publish(), Some(1));
    assert_eq!(publish(), None, "nothing has changed");
    fs::write(
        lists.join("a.csv"),
        "imei\n00000000000001\n00000000000003\n",
    )
    .unwrap();
    assert_eq!(publish(), Some(2));
    assert_eq!(state.previous().entries["l"], 3);
    fs::write(lists.join("a.csv"), "imei\n00000000000004\n").unwrap();
    assert_eq!(publish(), Some(3));
    assert_eq!(state.numbers().unwrap(), [2, 3], "two are kept");

    // A bad list, one too many, and one that is gone.
    fs::write(lists.join("a.csv"), "imei\nx\n").unwrap();
    fs::write(lists.join("c.csv"), "imei\ny\n").unwrap();
    fs::remove_file(lists.join("b.csv")).unwrap();
    assert!(load(&config).is_err());
    let restored = state.restore(3, &config).unwrap();
    assert_eq!(restored.restored.len(), 2);
    // The pattern reads all names, so those are hidden from it.
    assert_eq!(
        files_of(&lists),
        [".a.csv.refused", ".c.csv.refused", "a.csv", "b.csv"]
    );
    let loaded = load(&config).unwrap();
    expect(
        &loaded,
        &[
            ("00000000000002", "", BLACK),
            ("00000000000004", "", BLACK),
            ("00000000000003", "", UNKNOWN),
        ],
    );
    assert_eq!(state.restore(3, &config).unwrap().unchanged.len(), 2);

    // An older load, and one whose copy is damaged, which changes nothing.
    state.restore(2, &config).unwrap();
    expect(&load(&config).unwrap(), &[("00000000000003", "", BLACK)]);
    fs::write(dir.path().join("state/3/0"), "imei\n").unwrap();
    let error = state.restore(3, &config).unwrap_err();
    assert!(error.contains("is damaged"), "{error}");
    expect(&load(&config).unwrap(), &[("00000000000003", "", BLACK)]);
}

#[cfg(feature = "server")]
#[test]
fn what_is_kept_follows_the_content_and_not_the_time_of_writing() {
    use weir::state::{Stamps, State};

    let dir = directory(&[]);
    let lists = dir.path().join("lists");
    fs::create_dir(&lists).unwrap();
    let path: PathBuf = dir.path().join("weir.toml");
    let text = "[register]\nstate_dir = \"state\"\n[[list]]\nname = \"l\"\nstatus = \"black\"\npath = \"l.csv\"\n";
    fs::write(&path, text).unwrap();
    let config = Config::load(&path).unwrap();
    let state = State::of(&config).unwrap();
    let publish = || {
        let stamps = Stamps::take(&config);
        let report: LoadReport = load_after(&config, &state.previous()).unwrap().report;
        state.save(&stamps, &report, NOW).unwrap()
    };
    // As long, and with the same time of writing, as `rsync -t` leaves it.
    let replace = |text: &str| {
        let new = lists.join("new");
        fs::write(&new, text).unwrap();
        let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        let file = fs::File::options().write(true).open(&new).unwrap();
        file.set_modified(then).unwrap();
        fs::rename(&new, lists.join("l.csv")).unwrap();
    };
    replace("imei\n00000000000001\n");
    assert_eq!(publish(), Some(1));
    replace("imei\n00000000000002\n");
    assert_eq!(publish(), Some(2));
    // The same once more does not push out what is older.
    replace("imei\n00000000000002\n");
    assert_eq!(publish(), None);
    assert_eq!(state.numbers().unwrap(), [1, 2]);
    fs::remove_file(lists.join("l.csv")).unwrap();
    state.restore(2, &config).unwrap();
    expect(&load(&config).unwrap(), &[("00000000000002", "", BLACK)]);
}

#[cfg(feature = "server")]
#[test]
fn a_list_that_is_put_back_is_not_held_to_the_one_it_replaces() {
    use weir::state::{Stamps, State};

    let dir = directory(&[]);
    let lists = dir.path().join("lists");
    fs::create_dir(&lists).unwrap();
    let path: PathBuf = dir.path().join("weir.toml");
    let text = "[register]\nstate_dir = \"state\"\n[[list]]\nname = \"l\"\nstatus = \"black\"\npath = \"l.csv\"\n";
    fs::write(&path, text).unwrap();
    let config = Config::load(&path).unwrap();
    let state = State::of(&config).unwrap();
    let publish = |previous: &Previous| {
        let stamps = Stamps::take(&config);
        let report = load_after(&config, previous).map(|loaded| loaded.report);
        let report: LoadReport = report.map_err(|error| error.to_string())?;
        state.save(&stamps, &report, NOW).unwrap();
        state.settle().unwrap();
        Ok::<_, String>(report.entries())
    };
    let good: String = (0..5000).map(|n| format!("{n:014}\n")).collect();
    let good = format!("imei\n{good}");
    fs::write(lists.join("l.csv"), &good).unwrap();
    assert_eq!(publish(&state.previous()), Ok(5000));
    // Forced, and regretted.
    fs::write(lists.join("l.csv"), "imei\n00000000000001\n").unwrap();
    assert_eq!(publish(&Previous::default()), Ok(1));
    state.restore(1, &config).unwrap();
    assert_eq!(publish(&state.previous()), Ok(5000));
    // Once: what comes next is held to what is in force.
    fs::write(lists.join("l.csv"), "imei\n00000000000001\n").unwrap();
    assert!(
        publish(&state.previous())
            .unwrap_err()
            .contains("max_change")
    );
}

#[test]
fn what_is_no_imsi_tells_notifications_apart() {
    let full = b"imei,imsi,msisdn,block_date,reasons\n\
        35000000000009,bad,491,20250101,x\n35000000000009,worse,491,20240101,x\n";
    let resolved = b"imei,imsi,msisdn,block_date,reasons\n35000000000009,worse,491,20240101,x\n";
    let files: [(&str, &[u8]); 2] = [
        ("20260102_notifications_op1.csv", full),
        (
            "20260103_notifications_op1_delta_2_3_resolved.csv",
            resolved,
        ),
    ];
    let loaded = load_list("dirbs-notifications", &files).unwrap();
    expect(&loaded, &[("35000000000009", "", BLACK)]);
}

#[test]
fn an_expression_that_contradicts_a_rule_is_left_out_whole() {
    let rules = br#"[{"imei":"^35349007","regex_mode":1,"match_response_code":0},
        {"imei":"^3534900[67]","regex_mode":1,"match_response_code":1}]"#;
    let loaded = load_with("pyhss", &[("rules.json", rules)], "max_bad_lines = 1").unwrap();
    expect(
        &loaded,
        &[
            ("35349006000000", "", UNKNOWN),
            ("35349007000000", "", WHITE),
        ],
    );
}
