//! The sample, the policies and the special lists.

use super::*;

#[test]
fn the_sample_register_gives_each_verdict() {
    let loaded = load(&Config::default()).unwrap();
    assert_eq!(loaded.report.all_warnings().collect::<Vec<_>>(), [""; 0]);
    let book = &loaded.rulebook;
    for (imei, expected) in [
        ("490154203237518", WHITE),
        ("001012340000010", BLACK),
        ("001012340000028", GREY),
        ("0010123400000305", GREY),
        ("0010123400000306", Outcome::Unknown),
        ("00101234000004", BLACK),
        ("00101234000005", Outcome::Unknown),
        ("00105000000999", BLACK),
        ("00105000001000", Outcome::Unknown),
        ("00106000123456", GREY),
        ("00107999123456", BLACK),
        ("00108000000000", Outcome::Unknown),
        ("not an imei", Outcome::Malformed),
    ] {
        assert_eq!(outcome(book, imei), expected, "{imei}");
    }
    for (imei, imsi, expected) in [
        ("00101234000004", "001010000000001", WHITE),
        ("00101234000004", "001010000000002", BLACK),
        ("00101234000100", "001010000000100", Outcome::Unknown),
        ("490154203237518", "001010000000100", BLACK),
        ("00106000123456", "001010000000101", GREY),
        ("490154203237518", "001010000000101", BLACK),
    ] {
        let verdict = decide(book, imei, Some(imsi), NOW);
        assert_eq!(verdict.outcome, expected, "{imei} {imsi}");
    }
}

#[test]
fn policies_take_what_they_do_not_say_from_the_register() {
    let dir = directory(&[
        ("a.csv", b"imei\n490154203237518\n"),
        ("b.csv", b"imei\n00000000000001\n"),
    ]);
    let text = r#"
        [register]
        unlisted = "greylisted"
        malformed = "whitelisted"
        [[list]]
        name = "a"
        status = "black"
        path = "a.csv"
        [[list]]
        name = "b"
        status = "black"
        path = "b.csv"
        [[policy]]
        name = "prefix"
        match = { imsi_prefix = "00101" }
        lists = ["a"]
        unlisted = "unknown"
        [[policy]]
        name = "range"
        match = { imsi_range = "001020000000000-001020000000009" }
        malformed = "5004"
    "#;
    let loaded = load(&config(dir.path(), text)).unwrap();
    for (imei, imsi, expected) in [
        ("490154203237518", None, BLACK),
        ("00000000000002", None, GREY),
        ("x", None, WHITE),
        ("490154203237518", Some("001010000000001"), BLACK),
        ("00000000000001", Some("001010000000001"), Outcome::Unknown),
        ("x", Some("001010000000001"), WHITE),
        ("00000000000002", Some("001020000000009"), GREY),
        ("x", Some("001020000000009"), Outcome::Malformed),
        ("x", Some("001020000000010"), WHITE),
    ] {
        let verdict = decide(&loaded.rulebook, imei, imsi, NOW);
        assert_eq!(verdict.outcome, expected, "{imei} {imsi:?}");
    }
}

#[test]
fn special_lists_and_shadows_are_loaded() {
    let dir = directory(&[("a.csv", b"imei\n490154203237518\n00000000000000\n")]);
    let text = r#"
        [[list]]
        name = "a"
        status = "white"
        path = "a.csv"
        [[list]]
        name = "tried"
        status = "black"
        path = "a.csv"
        shadow = true
        [[special]]
        name = "odd"
        kinds = ["test", "zero", "repeated"]
        status = "grey"
        reason = "no phone"
        [[policy]]
        name = "meters"
        match = { imsi_prefix = "00101" }
        lists = ["tried", "odd"]
        override = "black"
        [[policy]]
        name = "more"
        match = { imsi_prefix = "001012" }
    "#;
    let loaded = load(&config(dir.path(), text)).unwrap();
    let book = &loaded.rulebook;
    for (imei, imsi, expected) in [
        ("490154203237518", None, WHITE),
        ("00000000000000", None, WHITE),
        ("00000000000001", None, GREY),
        ("77777777777777", None, GREY),
        ("77777777777778", None, Outcome::Unknown),
        ("490154203237518", Some("001010000000001"), BLACK),
    ] {
        let verdict = decide(book, imei, imsi, NOW);
        assert_eq!(verdict.outcome, expected, "{imei} {imsi:?}");
    }
    let inquiry = Inquiry {
        imei: Imei::parse(b"490154203237518"),
        svn: None,
        imsi: None,
        origin_host: b"mme",
        origin_realm: b"epc",
        route_record: None,
    };
    let text = book.explain(&inquiry, NOW).to_string();
    assert!(
        text.contains("If shadow list tried were enforced: blacklisted"),
        "{text}"
    );
    let odd = Inquiry {
        imei: Imei::parse(b"77777777777777"),
        ..inquiry
    };
    let text = book.explain(&odd, NOW).to_string();
    assert!(
        text.contains("as a rule says in [[special]]:1 (list odd, \"no phone\")"),
        "{text}"
    );
    assert_eq!(
        loaded.report.warnings,
        [
            "policy `more` is never reached: policy `meters` before it is for everybody that it is for"
        ],
    );
    assert_eq!(
        loaded.report.lists[2].to_string(),
        "odd: 3 rules from 1 file"
    );
}

/// Without a file of TACs, all of them would be unallocated.
#[test]
fn unallocated_tacs_need_a_file_of_tacs() {
    let dir = directory(&[]);
    let text = r#"
        [[special]]
        name = "odd"
        kinds = "unallocated_tac"
        status = "black"
    "#;
    let error = load(&config(dir.path(), text)).unwrap_err().to_string();
    assert!(
        error.contains("[[special]] `odd`: unallocated_tac needs"),
        "{error}"
    );
}

/// From the files to the verdict and its explanation.
#[test]
fn unallocated_tacs_are_those_that_no_file_names() {
    let tacs = b"tac,make,model\n49015420,Acme,One\n";
    let dir = directory(&[("tacs.csv", tacs), ("ok.csv", b"imei\n35209900176148\n")]);
    let text = r#"
        [[list]]
        name = "ok"
        status = "white"
        path = "ok.csv"
        [[tac]]
        path = "tacs.csv"
        format = "csv"
        [[special]]
        name = "odd"
        kinds = "unallocated_tac"
        status = "black"
        until = "2026-06-30"
    "#;
    let loaded = load(&config(dir.path(), text)).unwrap();
    let book = &loaded.rulebook;
    // After the last second of the day.
    let later = UnixTime(1_782_864_000);
    for (imei, now, expected) in [
        ("490154203237518", NOW, Outcome::Unknown),
        ("490154213237516", NOW, BLACK),
        ("490154213237516", UnixTime(later.0 - 1), BLACK),
        ("490154213237516", later, Outcome::Unknown),
        // More specific rules come first.
        ("35209900176148", NOW, WHITE),
        ("35209900176149", NOW, BLACK),
    ] {
        assert_eq!(
            decide(book, imei, None, now).outcome,
            expected,
            "{imei} {now}"
        );
    }
}
