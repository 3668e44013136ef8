//! Lines and headers that are refused.

use super::*;

#[test]
fn every_bad_line_is_told_with_line_column_and_reason() {
    // The bad line is the third; the column is its field, from 1.
    for (header, line, column, fragment) in [
        (
            "imei",
            "49015420323751x",
            Some(1),
            "`49015420323751x` is no IMEI",
        ),
        (
            "imei",
            "4901542032375",
            Some(1),
            "13 digits, an IMEI 14 to 16; were leading zeros lost",
        ),
        ("imei", "49015420", Some(1), "belongs into the column `tac`"),
        ("imei", "4.90154E+13", Some(1), "its last digits are lost"),
        (
            "imei,tac",
            "490154203237518,49015420",
            Some(2),
            "`imei` is given as well",
        ),
        (
            "imei,tac",
            "490154203237518",
            None,
            "1 field, but the header names 2 columns",
        ),
        (
            "imei,reason",
            "490154203237518,a,b",
            None,
            "3 fields, but the header names 2 columns",
        ),
        ("imei,reason", ",stolen", None, "names no device"),
        (
            "imei,reason",
            "490154203237518,\"stolen",
            Some(2),
            "double quote is not closed",
        ),
        (
            "imei,reason",
            "490154203237518,a\rb",
            None,
            "carriage return",
        ),
        (
            "tac",
            "4901542",
            Some(1),
            "7 digits, a TAC 8; was a leading zero lost",
        ),
        (
            "tac",
            "490154203237518",
            Some(1),
            "belongs into the column `imei`",
        ),
        ("tac", "4901542O", Some(1), "is no TAC"),
        (
            "tac_prefix",
            "49015420",
            Some(1),
            "belongs into the column `tac`",
        ),
        ("tac_prefix", "4x", Some(1), "1 to 7 digits"),
        (
            "imei,svn",
            "490154203237518,1",
            Some(2),
            "was a leading zero lost",
        ),
        ("imei,svn", "490154203237518,ab", Some(2), "it has 2 digits"),
        (
            "tac,imei,svn",
            "49015420,,01",
            Some(3),
            "goes with an `imei` only",
        ),
        (
            "imei_from,imei_to",
            "49015420323751,",
            Some(2),
            "is empty, but `imei_from` is not",
        ),
        (
            "imei_from,imei_to",
            ",49015420323751",
            Some(1),
            "is empty, but `imei_to` is not",
        ),
        (
            "imei_from,imei_to",
            "49015420323751,49015420323750",
            Some(2),
            "before it starts",
        ),
        (
            "imei_from,imei_to,tac",
            "49015420323751,49015420323752,49015420",
            Some(1),
            "`tac` is given as well",
        ),
        (
            "imei,status",
            "490154203237518,blakc",
            Some(2),
            "`blakc` is no status; write white",
        ),
        ("imei,status", "490154203237518,5", Some(2), "is no status"),
        (
            "imei,from",
            "490154203237518,31.01.2026",
            Some(2),
            "is no date; write 2026-01-31",
        ),
        (
            "imei,until",
            "490154203237518,2026-02-30",
            Some(2),
            "is no date",
        ),
        (
            "imei,from,until",
            "490154203237518,2026-02-02,2026-02-01",
            Some(3),
            "before `from`",
        ),
        ("imei,imsi", "490154203237518,1234", Some(2), "is no IMSI"),
        (
            "imei,imsi",
            "490154203237518,001010000000001|",
            Some(2),
            "is no IMSI",
        ),
        (
            "imei,imsi",
            "490154203237518,1.0101E+12",
            Some(2),
            "its last digits are lost",
        ),
        (
            "imei,imsi,status",
            "490154203237518,001010000000001,white",
            Some(2),
            "use a [[binding]]",
        ),
    ] {
        let text = format!("{header}\n# comment\n{line}\n");
        let bad = bad_line(load_rules(&text, 0));
        assert_eq!(bad.line, 3, "{text}");
        assert_eq!(bad.column, column, "{text}: {bad}");
        assert!(bad.reason.contains(fragment), "{text}: {bad}");
        let name = column.map(|column| header.split(',').nth(column - 1).unwrap());
        assert_eq!(bad.column_name, name, "{text}");
    }
}

#[test]
fn bad_bytes_and_long_reasons_are_told() {
    let bad = bad_line(load_rules(b"imei,reason\n490154203237518,caf\xe9\n", 0));
    assert_eq!((bad.line, bad.column), (2, Some(2)));
    assert!(bad.reason.contains("not UTF-8"));

    let good = format!("imei,reason\n490154203237518,{}\n", "x".repeat(512));
    assert!(load_rules(good, 0).is_ok());
    let bad = bad_line(load_rules(
        format!("imei,reason\n490154203237518,{}\n", "x".repeat(513)),
        0,
    ));
    assert!(bad.reason.contains("513 bytes; at most 512"));
}

#[test]
fn bad_bindings_are_told() {
    for (header, line, column, fragment) in [
        ("imsi,imei", ",490154203237518", Some(1), "is empty"),
        ("imsi,imei", "001010000000001,", None, "names no device"),
        (
            "imsi,imei",
            "001010000000001|001010000000002,490154203237518",
            Some(1),
            "is no IMSI",
        ),
    ] {
        let bad = bad_line(load_bindings(&format!("{header}\n{line}\n")));
        assert_eq!((bad.line, bad.column), (2, column), "{bad}");
        assert!(bad.reason.contains(fragment), "{bad}");
    }
}

#[test]
fn headers_that_make_no_sense_refuse_the_file() {
    for (text, fragment) in [
        ("", "list.csv: is empty"),
        ("# nothing\n\n", "list.csv: is empty"),
        ("reason,status\n", "list.csv:1: no column names a device"),
        ("490154203237518\n", "list.csv:1: no column names a device"),
        (
            "imei,IMEI\n",
            "list.csv:1:2: the column `IMEI` is there twice",
        ),
        (
            "\nimei;status;reason\n",
            "list.csv:2:1: the columns are separated by `;`",
        ),
        (
            "imei\tstatus\n",
            "list.csv:1:1: the columns are separated by `;` or tabs",
        ),
        ("imei_from,reason\n", "a range needs both columns"),
        ("tac,svn\n", "the column `svn` needs the column `imei`"),
        (
            "imei,\"status\n",
            "list.csv:1:2: a double quote is not closed",
        ),
        ("\u{feff}", "list.csv: is empty"),
    ] {
        // However many bad lines are allowed, a header is no line to leave out.
        let report = refused(load_rules(text, 1000));
        let faults = &report.lists[0].faults;
        assert_eq!(faults.len(), 1, "{text:?}");
        assert!(faults[0].contains(fragment), "{text:?}: {faults:?}");
    }
    for (text, fragment) in [
        ("imei\n", "needs the column `imsi`"),
        ("imsi,imei,status\n", "a binding has no status"),
    ] {
        let report = refused(load_bindings(text));
        assert!(report.lists[0].faults[0].contains(fragment), "{report:?}");
    }
}

#[test]
fn lines_without_end_and_utf_16_refuse_the_file() {
    let mut text = b"imei\n".to_vec();
    text.resize(200_000, b'9');
    let report = refused(load_rules(text, 1000));
    assert!(report.lists[0].faults[0].contains("list.csv:2: a line of more than 65536 bytes"));

    let text: Vec<u8> = "\u{feff}imei\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let report = refused(load_rules(text, 1000));
    assert!(report.lists[0].faults[0].contains("is UTF-16; save it as UTF-8"));
}

#[test]
fn up_to_max_bad_lines_are_left_out_and_one_more_refuses_the_list() {
    let text = "imei\n1\n490154203237518\n2\n00000000000001\n3\n";
    let report = refused(load_rules(text, 2));
    assert_eq!(report.bad_lines(), 3);

    let loaded = load_rules(text, 3).unwrap();
    assert_eq!((loaded.report.entries(), loaded.report.bad_lines()), (2, 3));
    assert_eq!(outcome(&loaded.rulebook, "490154203237518"), BLACK);
    let told: Vec<u64> = loaded.report.lists[0]
        .first_bad_lines
        .iter()
        .map(|bad| bad.line)
        .collect();
    assert_eq!(told, [2, 4, 6]);
    assert!(
        loaded
            .report
            .to_string()
            .contains("list.csv:2:1: imei: `1` has 1 digit,"),
        "{}",
        loaded.report
    );
}

#[test]
fn ten_bad_lines_are_shown_and_all_are_counted() {
    let text = format!("imei\n{}", "12345\n".repeat(1000));
    let error = load_rules(text, 0).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 13, "{error}");
    for (number, line) in lines[..10].iter().enumerate() {
        assert!(
            line.contains(&format!("list.csv:{}:1: imei: `12345`", number + 2)),
            "{line}"
        );
    }
    assert_eq!(lines[10], "… and 990 more");
    assert_eq!(
        lines[11],
        "list l is refused: 1000 bad lines, allowed are 0"
    );
    assert!(lines[12].starts_with("nothing was loaded"), "{error}");
}
