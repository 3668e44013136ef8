//! EIR rules of PyHSS. See `weir_fuzz::foreign`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::config::ListFormat;
use weir_fuzz::foreign;

fuzz_target!(|data: &[u8]| foreign::load(ListFormat::Pyhss, &[("rules.json", data)]));
