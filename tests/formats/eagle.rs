//! Commands of the EAGLE EIR.

use super::*;

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
        (
            "ent_eir(imei 35200000000001, imsi 001010000000001)",
            1,
            "which was not entered",
        ),
        (
            "dlt_eir(imei 35200000000001, imsi all)",
            1,
            "which was not entered",
        ),
        (
            "ent_eir(imei 35200000000001, white yes, black yes)\ndlt_eir(imei 35200000000001, white yes)",
            2,
            "write ent_eir(…, force yes)",
        ),
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

#[test]
fn eagle_imsis_come_and_go() {
    let commands = "ent_eir(imei 35200000000001, black yes, imsi 001010000000001)
        ent_eir(imei 35200000000001, imsi 001010000000002, imsi 001010000000001)
        ent_eir(imei 35200000000002, black yes, imsi 001010000000001, imsi 001010000000002)
        dlt_eir(imei 35200000000002, imsi ALL)
        ent_eir(imei 35200000000002, imsi 001010000000003)";
    let loaded = load_list("eagle", &[("e.txt", commands.as_bytes())]).unwrap();
    expect(
        &loaded,
        &[
            ("35200000000001", "001010000000001", WHITE),
            ("35200000000001", "001010000000002", WHITE),
            ("35200000000001", "001010000000003", BLACK),
            ("35200000000002", "001010000000001", BLACK),
            ("35200000000002", "001010000000003", WHITE),
        ],
    );
    // An IMSI that is there already is none more.
    let imsi = |number: u32| format!(", imsi 00101000000000{number}");
    let eight: String = (1..9).map(imsi).collect();
    for (last, bad) in [(8, 0), (9, 1)] {
        let commands = format!(
            "ent_eir(imei 35200000000001, black yes{eight})\nent_eir(imei 35200000000001{})",
            imsi(last)
        );
        match load_list("eagle", &[("e.txt", commands.as_bytes())]) {
            Ok(_) => assert_eq!(bad, 0),
            other => {
                let list = refused(other);
                assert_eq!(list.bad_lines(), bad);
                assert!(
                    list.first_bad_lines[0].reason.contains("has 9 IMSIs"),
                    "{list:?}"
                );
            }
        }
    }
}
