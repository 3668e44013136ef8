//! Lists of a DIRBS registry.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

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

/// Lines of a list of notifications: by device, subscriber and number the date.
type Notified = BTreeMap<(u8, u8, u8), u8>;

/// A line, as the registry writes it. Lines of one device and date have one
/// reason: of several that say the same the first that is read counts.
fn notification((device, imsi, msisdn): (u8, u8, u8), month: u8) -> String {
    let reason = (device + month) % 3;
    format!("3500000000000{device},00101000000000{imsi},49{msisdn},2026{month:02}01,r{reason}\n")
}

/// Such a list.
fn notifications(lines: impl Iterator<Item = ((u8, u8, u8), u8)>) -> Vec<u8> {
    let lines = lines.map(|(key, month)| notification(key, month));
    let header = "imei,imsi,msisdn,block_date,reasons\n".to_owned();
    [header]
        .into_iter()
        .chain(lines)
        .collect::<String>()
        .into_bytes()
}

/// All that a register says, in an order of its own.
fn said(loaded: &Loaded) -> Vec<String> {
    let rules = loaded.rulebook.snapshot().rules();
    let mut rules: Vec<String> = rules
        .map(|rule| {
            format!(
                "{} {} {} {:?}",
                rule.scope, rule.status, rule.validity, rule.reason
            )
        })
        .collect();
    rules.sort();
    rules
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A full list with the deltas of some runs says what the full list of the
    /// last run says.
    #[test]
    fn deltas_lead_to_the_full_list_of_the_last_run(
        base in prop::collection::btree_map((0..6u8, 0..3u8, 0..2u8), 1..12u8, 0..12),
        runs in prop::collection::vec(
            prop::collection::btree_map((0..6u8, 0..3u8, 0..2u8), (1..12u8, 0..3usize), 0..8),
            0..5,
        ),
    ) {
        let mut files = vec![(
            "20260101_notifications_op1.csv".to_owned(),
            notifications(base.clone().into_iter()),
        )];
        let mut state: Notified = base;
        for (number, run) in (2..).zip(&runs) {
            // What can happen to a line depends on whether it is there.
            let kinds = ["new", "resolved", "blacklisted", "no_longer_seen", "changed"];
            let mut deltas: [Notified; 5] = Default::default();
            for (&key, &(value, kind)) in run {
                match (state.get(&key).copied(), kind) {
                    (None, _) => {
                        deltas[0].insert(key, value);
                        state.insert(key, value);
                    }
                    (Some(before), 0) if before != value => {
                        deltas[4].insert(key, value);
                        state.insert(key, value);
                    }
                    (Some(before), kind) => {
                        deltas[1 + kind].insert(key, before);
                        state.remove(&key);
                    }
                }
            }
            for (kind, delta) in kinds.into_iter().zip(deltas) {
                files.push((
                    format!("2026010{number}_notifications_op1_delta_{}_{number}_{kind}.csv", number - 1),
                    notifications(delta.into_iter()),
                ));
            }
        }
        let files: Vec<(&str, &[u8])> = (files.iter())
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
            .collect();
        let full = notifications(state.into_iter());
        let full = [("20260109_notifications_op1.csv", full.as_slice())];
        let by_deltas = load_list("dirbs-notifications", &files).unwrap();
        let at_once = load_list("dirbs-notifications", &full).unwrap();
        prop_assert_eq!(said(&by_deltas), said(&at_once));
    }
}
