//! A configuration: read or refused with an error that can be printed, never a
//! panic; what was read can be written, and reads as the same again.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use weir::config::Config;

fuzz_target!(|text: &str| {
    let path = Path::new("weir.toml");
    match Config::parse(text, path) {
        Ok(config) => {
            let written = toml::to_string(&config).expect("a configuration can be written");
            match Config::parse(&written, path) {
                Ok(again) => assert_eq!(config, again),
                Err(error) => panic!("what was written is refused: {error}\n{written}"),
            }
        }
        Err(error) => assert!(!error.to_string().trim().is_empty()),
    }
});
