//! Any bytes.

use super::*;

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
