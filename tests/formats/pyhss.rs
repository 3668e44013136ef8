//! Rules of the PyHSS EIR.

use super::*;

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
