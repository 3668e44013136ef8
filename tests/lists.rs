//! Lists as operators write them: what is loaded, what is refused, and what
//! is said of it. Every expectation is written by hand.

use std::fs;
use std::io::Write;
use std::path::Path;

use tempfile::TempDir;
use weir::config::Config;
use weir::equipment::{Imei, Imsi, RuleView, Scope, Status};
use weir::lists::{BadLine, LoadReport};
use weir::load::{LoadError, Loaded, load, watched_dirs};
use weir::policy::{Ground, Inquiry, Outcome, Rulebook, Verdict};
use weir::time::UnixTime;

/// 2026-06-01 12:00:00 UTC.
const NOW: UnixTime = UnixTime(1_780_315_200);

//----------- Helpers ---------------------------------------------------------

/// A directory with these files.
fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    dir
}

/// The configuration with this text, its lists in `dir`.
fn config(dir: &Path, text: &str) -> Config {
    let mut config = Config::parse(text, Path::new("weir.toml")).unwrap();
    config.register.lists_dir = dir.to_path_buf();
    config
}

/// Loads one list of blacklisted rules with this text.
fn load_rules(text: impl AsRef<[u8]>, max_bad_lines: u64) -> Result<Loaded, LoadError> {
    let dir = directory(&[("list.csv", text.as_ref())]);
    load(&config(
        dir.path(),
        &format!(
            "[[list]]\nname = \"l\"\nstatus = \"black\"\npath = \"list.csv\"\nmax_bad_lines = {max_bad_lines}"
        ),
    ))
}

/// Loads one list of bindings with this text.
fn load_bindings(text: &str) -> Result<Loaded, LoadError> {
    let dir = directory(&[("b.csv", text.as_bytes())]);
    load(&config(dir.path(), "[[binding]]\npath = \"b.csv\""))
}

/// The report of a load that must have been refused.
fn refused(result: Result<Loaded, LoadError>) -> LoadReport {
    match result {
        Err(LoadError::Refused(report)) => report,
        other => panic!("not refused: {other:?}"),
    }
}

/// The only bad line of a load that must have been refused for it.
fn bad_line(result: Result<Loaded, LoadError>) -> BadLine {
    let report = refused(result);
    assert_eq!(report.bad_lines(), 1, "{report:?}");
    assert_eq!(report.lists[0].faults, [""; 0]);
    report.lists[0].first_bad_lines[0].clone()
}

/// The verdict on an IMEI, and on behalf of a subscriber.
fn decide(rulebook: &Rulebook, imei: &str, imsi: Option<&str>, now: UnixTime) -> Verdict {
    let inquiry = Inquiry {
        imei: Imei::parse(imei.as_bytes()),
        svn: None,
        imsi: imsi.map(|imsi| Imsi::parse(imsi.as_bytes()).unwrap()),
        origin_host: b"mme",
        origin_realm: b"epc",
        route_record: None,
    };
    rulebook.decide(&inquiry, now)
}

/// The outcome for an IMEI now.
fn outcome(rulebook: &Rulebook, imei: &str) -> Outcome {
    decide(rulebook, imei, None, NOW).outcome
}

/// The rule that decides on an IMEI at a time.
fn rule_at<'a>(rulebook: &'a Rulebook, imei: &str, now: UnixTime) -> RuleView<'a> {
    match decide(rulebook, imei, None, now).ground {
        Ground::Rule(id) => rulebook.snapshot().rule(id).unwrap(),
        other => panic!("{imei}: {other:?}"),
    }
}

const BLACK: Outcome = Outcome::Status(Status::Blacklisted);
const GREY: Outcome = Outcome::Status(Status::Greylisted);
const WHITE: Outcome = Outcome::Status(Status::Whitelisted);

//----------- Good lines ------------------------------------------------------

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

//----------- Bad lines -------------------------------------------------------

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

//----------- Files -----------------------------------------------------------

/// The text as a gzip file.
fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// The text as a Zstandard file.
fn zstd(text: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
}

/// A list of `count` devices from `first` on.
fn devices(first: u64, count: u64) -> String {
    let rows = (first..first + count).map(|device| format!("{device:014}\n"));
    std::iter::once("imei\n".to_owned()).chain(rows).collect()
}

/// Loads the list `path` of blacklisted rules from `dir`.
fn load_path(dir: &TempDir, path: &str) -> Result<Loaded, LoadError> {
    let text = format!("[[list]]\nname = \"l\"\nstatus = \"black\"\npath = {path}");
    load(&config(dir.path(), &text))
}

#[test]
fn compressed_files_are_read_with_all_their_parts() {
    let (one, two) = (devices(0, 30_000), "00009900000000\n");
    let joined = |pack: fn(&[u8]) -> Vec<u8>| [pack(one.as_bytes()), pack(two.as_bytes())].concat();
    let dir = directory(&[("a.csv.gz", &joined(gzip)), ("b.csv.zst", &joined(zstd))]);
    for path in ["\"a.csv.gz\"", "\"b.csv.zst\""] {
        let loaded = load_path(&dir, path).unwrap();
        assert_eq!(loaded.report.entries(), 30_001, "{path}");
        assert_eq!(
            loaded.report.lists[0].files[0].bytes,
            (one.len() + two.len()) as u64
        );
        for device in ["00000000000000", "00000000029999", "00009900000000"] {
            assert_eq!(outcome(&loaded.rulebook, device), BLACK, "{path} {device}");
        }
    }
}

#[test]
fn damaged_and_misnamed_compressed_files_are_refused() {
    let text = devices(0, 5000);
    let (gz, zst) = (gzip(text.as_bytes()), zstd(text.as_bytes()));
    let mut flipped = gz.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    let dir = directory(&[
        ("cut.csv.gz", &gz[..gz.len() - 5]),
        ("cut.csv.zst", &zst[..zst.len() - 5]),
        ("flipped.csv.gz", &flipped),
        ("text.csv.gz", text.as_bytes()),
        ("text.csv.zst", text.as_bytes()),
        ("gzip.csv", &gz),
        ("zstd.csv", &zst),
        ("empty.csv.gz", b""),
    ]);
    for (path, fragment) in [
        ("cut.csv.gz", "is cut short"),
        ("cut.csv.zst", "is cut short"),
        ("flipped.csv.gz", "is damaged"),
        ("text.csv.gz", "is named .gz, but holds no gzip data"),
        ("text.csv.zst", "is named .zst, but holds no Zstandard data"),
        ("gzip.csv", "name it .gz"),
        ("zstd.csv", "name it .zst"),
        ("empty.csv.gz", "is empty"),
        ("missing.csv", "no such file"),
        (".", "is a directory"),
    ] {
        let report = refused(load_path(&dir, &format!("\"{path}\"")));
        let faults = &report.lists[0].faults;
        assert!(faults[0].contains(fragment), "{path}: {report:?}");
        assert!(faults[0].contains(path), "{path}: {report:?}");
    }
}

#[test]
fn patterns_find_files_in_order_and_leave_unfinished_ones_alone() {
    let dir = directory(&[
        ("g/b.csv", b"imei\n00000000000002\n"),
        ("g/a.csv", b"imei\n00000000000001\n"),
        ("g/.a.csv.Xyz", b"half"),
        ("g/.c.csv", b"half"),
        ("g/deep/c.csv", b"imei\n00000000000003\n"),
        ("g/note.txt", b"no list"),
    ]);
    let files = |path: &str| {
        let loaded = load_path(&dir, path).unwrap();
        let files = loaded.report.lists[0].files.iter();
        let names = files.map(|file| file.path.rsplit('/').next().unwrap().to_owned());
        (
            names.collect::<Vec<_>>(),
            loaded.report.lists[0].warnings.len(),
        )
    };
    assert_eq!(
        files("\"g/*.csv\""),
        (vec!["a.csv".to_owned(), "b.csv".to_owned()], 0)
    );
    let all = vec!["a.csv".to_owned(), "b.csv".to_owned(), "c.csv".to_owned()];
    assert_eq!(files("\"g/**/*.csv\""), (all, 0));
    let each_once = vec!["b.csv".to_owned(), "a.csv".to_owned()];
    assert_eq!(files("[\"g/b.csv\", \"g/*.csv\"]"), (each_once, 0));
    assert_eq!(files("\"h/*.csv\""), (vec![], 1));
}

#[test]
fn one_bad_list_refuses_all() {
    let dir = directory(&[
        ("good.csv", b"imei\n490154203237518\n"),
        ("bad.csv", b"imei\nx\n"),
    ]);
    let text = "[[list]]\nname = \"good\"\nstatus = \"black\"\npath = \"good.csv\"\n\
                [[list]]\nname = \"bad\"\nstatus = \"black\"\npath = \"bad.csv\"\n";
    let error = load(&config(dir.path(), text)).unwrap_err().to_string();
    assert!(
        error.contains("bad.csv:2:1: imei: `x` is no IMEI"),
        "{error}"
    );
    assert!(
        error.contains("list bad is refused: 1 bad line, allowed are 0"),
        "{error}"
    );
    assert!(!error.contains("list good"), "{error}");
}

#[test]
fn directories_to_watch_are_those_before_the_first_wildcard() {
    let config = config(
        Path::new("/l"),
        "[[list]]\nname = \"a\"\nstatus = \"black\"\npath = [\"gsma/*.csv\", \"gsma/old/x.csv\"]\n\
         [[binding]]\npath = \"iot/*/b.csv\"\n",
    );
    assert_eq!(
        watched_dirs(&config),
        [Path::new("/l/gsma"), Path::new("/l/iot")]
    );
}

//----------- The sample and the policies -------------------------------------

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

//----------- Anything at all -------------------------------------------------

proptest::proptest! {
    /// Whatever the bytes, a load ends, and counts each line that is neither
    /// skipped nor a header as an entry or as bad.
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let _ = load_rules(bytes, 1000);
    }

    #[test]
    fn no_line_is_lost(rows in proptest::collection::vec("[0-9x\",|#-]{0,18}", 0..20)) {
        let text: String = std::iter::once("imei,reason".to_owned())
            .chain(rows.iter().cloned())
            .map(|row| row + "\n")
            .collect();
        let loaded = load_rules(&text, 1000).unwrap();
        let skipped = rows.iter().filter(|row| row.starts_with('#') || blank(row)).count();
        let counted = loaded.report.entries() + loaded.report.bad_lines();
        proptest::prop_assert_eq!(counted as usize + skipped, rows.len());
    }
}

/// Whether a row has nothing but empty fields: commas, and pairs of quotes
/// that make up a whole field.
fn blank(row: &str) -> bool {
    row.split(',')
        .all(|field| field.is_empty() || field == "\"\"")
}
