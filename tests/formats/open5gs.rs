//! Records of Open5GS.

use super::*;

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
