//! The house format, as far as others are like it.

use super::*;

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

/// Loads a list that has so many bad lines, of the first of which this is told.
fn expect_bad(text: &str, bad: u64, told: &str) {
    match load_list("csv", &[("l.csv", text.as_bytes())]) {
        Ok(_) => assert_eq!(bad, 0, "{text}"),
        other => {
            let list = refused(other);
            assert_eq!(list.bad_lines(), bad, "{text}");
            let reason = &list.first_bad_lines[0].reason;
            assert!(reason.contains(told), "{text}: {reason}");
        }
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
        expect_bad(&text, bad, "l.csv:2, where device 00000000000001 is");
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
        expect_bad(&text, bad, told);
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

/// Ranges with dates of their own that lie upon each other cannot be joined.
#[test]
fn very_many_ranges_that_share_a_device_or_a_subscriber_are_refused() {
    let most = weir::equipment::MAX_TERMS;
    let devices = |count: usize| {
        let line = |number: usize| {
            let (hour, minute, second) = (number / 3600, number / 60 % 60, number % 60);
            format!(
                "00000000000001,{:014},2026-01-01T{hour:02}:{minute:02}:{second:02}Z\n",
                9_000_000 + number
            )
        };
        let lines: String = (0..count).map(line).collect();
        let text = format!("imei_from,imei_to,until\n{lines}");
        load_list("csv", &[("l.csv", text.as_bytes())])
    };
    assert!(devices(most).is_ok());
    let told = &refused(devices(most + 1)).faults[0];
    assert!(
        told.contains("1025 ranges that differ in status or dates share device 00000000000001"),
        "{told}"
    );

    let subscribers = |count: usize| {
        let line = |number: usize| {
            format!(
                "00000000000001,{:015},{:015}\n",
                1_000_000 - number,
                2_000_000 + number
            )
        };
        let lines: String = (0..count).map(line).collect();
        let text = format!("imei,imsi_from,imsi_to\n{lines}");
        load_bindings("csv", &[("b.csv", text.as_bytes())])
    };
    assert!(subscribers(most).is_ok());
    let told = &refused(subscribers(most + 1)).faults[0];
    assert!(
        told.contains("1025 ranges of subscribers share IMSI 000000001000000"),
        "{told}"
    );
}
