//! Records of Open5GS. See `weir_fuzz::foreign`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::config::ListFormat;
use weir_fuzz::foreign;

fuzz_target!(|data: &[u8]| foreign::load(ListFormat::Open5gs, &[("eir.json", data)]));
