//! ZIP archives of lists in the house format. See `weir_fuzz::foreign`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::config::ListFormat;
use weir_fuzz::foreign;

fuzz_target!(|data: &[u8]| foreign::load(ListFormat::Csv, &[("list.zip", data)]));
