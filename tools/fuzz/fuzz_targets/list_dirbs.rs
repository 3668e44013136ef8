//! Lists of a DIRBS registry: a full list and a delta to it, in each of the
//! four formats. See `weir_fuzz::foreign`.
//!
//! The first octet chooses the format; a line of `--` parts the two files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::config::ListFormat;
use weir_fuzz::foreign;

fuzz_target!(|data: &[u8]| {
    let Some((&first, body)) = data.split_first() else {
        return;
    };
    let (format, names, header) = match first % 4 {
        0 => (
            ListFormat::DirbsBlacklist,
            ["20260101_blacklist.csv", "20260102_blacklist_delta_1_2.csv"],
            "imei,block_date,reasons",
        ),
        1 => (
            ListFormat::DirbsNotifications,
            [
                "20260101_notifications_a.csv",
                "20260102_notifications_a_delta_1_2.csv",
            ],
            "imei,imsi,msisdn,block_date,reasons",
        ),
        2 => (
            ListFormat::DirbsExceptions,
            [
                "20260101_exceptions_a.csv",
                "20260102_exceptions_a_delta_1_2.csv",
            ],
            "imei,imsi,msisdn",
        ),
        _ => (
            ListFormat::DirbsPairing,
            ["a.csv", "b.csv"],
            "imei,imsi,msisdn",
        ),
    };
    let cut = (body.windows(4).position(|window| window == b"\n--\n")).unwrap_or(body.len());
    let (full, delta) = body.split_at(cut);
    let full = [header.as_bytes(), b"\n", full].concat();
    let delta = [
        header.as_bytes(),
        b",change_type\n",
        delta.get(4..).unwrap_or_default(),
    ]
    .concat();
    foreign::load(format, &[(names[0], &full), (names[1], &delta)]);
});
