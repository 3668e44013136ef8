//! Files of TACs, of the GSMA and of Osmocom, chosen by the first octet. See
//! `weir_fuzz::foreign`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::config::ListFormat;
use weir_fuzz::foreign;

fuzz_target!(|data: &[u8]| {
    let Some((&first, body)) = data.split_first() else {
        return;
    };
    let format = match first % 3 {
        0 => ListFormat::GsmaTac,
        1 => ListFormat::OsmocomTac,
        _ => ListFormat::Csv,
    };
    foreign::models(format, body);
});
