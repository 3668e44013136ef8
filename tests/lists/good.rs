//! Lines that are read.

use super::*;

#[test]
fn every_column_becomes_what_it_says() {
    let loaded = load_rules(
        "# exported 2026-05-01\n\
         \n\
         Reason,IMEI,svn,tac,tac_prefix,imei_from,imei_to,status,imsi,from,until\n\
         stolen,490154203237518,,,,,,,,,\n\
         \"lost, at sea\",00000000000001,07,,,,,grey,,,\n\
         # models\n\
         ,,,35200000,,,,white,,,\n\
         ,,,,0107,,,2,,,\n\
         ,,,,,35300000000010,353000000000205,,001010000000001|001010000000002,,\n\
         ,00000000000002,,,,,,,,2026-06-01,20260630\n\
         ,,,,,,,,,,\n",
        0,
    )
    .unwrap();
    let book = &loaded.rulebook;
    assert_eq!(loaded.report.entries(), 6);
    assert_eq!(loaded.report.lists[0].files[0].lines, 11);

    let stolen = rule_at(book, "49015420323751", NOW);
    assert_eq!(
        (stolen.status, stolen.reason, stolen.line),
        (Status::Blacklisted, Some("stolen"), 4)
    );
    assert!(stolen.file.ends_with("list.csv"));
    let lost = rule_at(book, "0000000000000107", NOW);
    assert_eq!(lost.reason, Some("lost, at sea"));
    assert!(matches!(lost.scope, Scope::DeviceSvn(..)));
    assert_eq!(outcome(book, "0000000000000108"), Outcome::Unknown);

    assert_eq!(outcome(book, "35200000999999"), WHITE);
    assert_eq!(outcome(book, "01070000999999"), GREY);
    for (imei, expected) in [
        ("35300000000009", Outcome::Unknown),
        ("35300000000010", BLACK),
        ("35300000000020", BLACK),
        ("35300000000021", Outcome::Unknown),
    ] {
        assert_eq!(outcome(book, imei), expected, "{imei}");
    }
    for (imsi, expected) in [
        ("001010000000001", WHITE),
        ("001010000000002", WHITE),
        ("001010000000003", BLACK),
    ] {
        let verdict = decide(book, "35300000000015", Some(imsi), NOW);
        assert_eq!(verdict.outcome, expected, "{imsi}");
    }
    // From the first second of 1 June to the last of 30 June 2026, UTC.
    for (seconds, expected) in [
        (1_780_271_999, Outcome::Unknown),
        (1_780_272_000, BLACK),
        (1_782_863_999, BLACK),
        (1_782_864_000, Outcome::Unknown),
    ] {
        let verdict = decide(book, "00000000000002", None, UnixTime(seconds));
        assert_eq!(verdict.outcome, expected, "{seconds}");
    }
}

#[test]
fn byte_order_marks_crlf_and_missing_line_ends_make_no_difference() {
    for text in [
        "imei,reason\n490154203237518,x\n00000000000001,y\n",
        "imei,reason\r\n490154203237518,x\r\n00000000000001,y",
        "\u{feff}imei,reason\r\n\r\n  \r\n490154203237518,x\r\n00000000000001,y\r\n",
        "\u{feff}# comment\n\"imei\",\"reason\"\n\"490154203237518\",\"x\"\n00000000000001, y ",
    ] {
        let loaded = load_rules(text, 0).unwrap();
        assert_eq!(loaded.report.entries(), 2, "{text:?}");
        let rule = rule_at(&loaded.rulebook, "00000000000001", NOW);
        assert_eq!(rule.reason, Some("y"), "{text:?}");
    }
}

#[test]
fn a_software_version_within_an_imei_does_not_narrow_its_rule() {
    let loaded = load_rules("imei\n4901542032375101\n", 0).unwrap();
    for imei in ["49015420323751", "490154203237518", "4901542032375102"] {
        assert_eq!(outcome(&loaded.rulebook, imei), BLACK, "{imei}");
    }
}

#[test]
fn wrong_check_digits_are_kept_and_counted_and_spare_zeros_are_not() {
    let loaded = load_rules(
        "imei\n490154203237518\n490154203237510\n490154203237511\n001012340000015\n",
        0,
    )
    .unwrap();
    let file = &loaded.report.lists[0].files[0];
    assert_eq!((file.entries, file.wrong_check_digits), (4, 2));
    assert_eq!(file.warnings.len(), 1);
    assert!(file.warnings[0].contains("2 IMEIs with a wrong check digit, the first on line 4"));
}

#[test]
fn unknown_columns_are_told_once_with_what_was_meant() {
    let loaded = load_rules(
        "imei,untill,colour\n490154203237518,x,y\n00000000000001,x,y\n",
        0,
    )
    .unwrap();
    assert_eq!(
        loaded.report.lists[0].files[0].warnings,
        [
            "the column `untill` is not known and ignored; did you mean `until`?",
            "the column `colour` is not known and ignored",
        ]
    );
}

#[test]
fn bindings_tie_subscribers_to_devices() {
    let loaded = load_bindings(
        "imsi,imei,svn,tac,tac_prefix,imei_from,imei_to,from,until,reason\n\
         001010000000001,490154203237518,,,,,,,,meter\n\
         001010000000002,,,35200000,,,,,,\n\
         001010000000003,,,,,35300000000010,35300000000020,,2026-01-01,over\n",
    )
    .unwrap();
    for (imei, imsi, expected) in [
        ("49015420323751", "001010000000001", Outcome::Unknown),
        ("49015420323752", "001010000000001", BLACK),
        ("35200000000001", "001010000000002", Outcome::Unknown),
        ("35200001000001", "001010000000002", BLACK),
        ("49015420323752", "001010000000009", Outcome::Unknown),
    ] {
        let verdict = decide(&loaded.rulebook, imei, Some(imsi), NOW);
        assert_eq!(verdict.outcome, expected, "{imei} {imsi}");
    }
    assert_eq!(loaded.report.lists[0].name, "b");
    assert_eq!(loaded.report.entries(), 3);
}
