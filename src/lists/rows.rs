//! The lines of any CSV file, as the house format writes them.

use std::io::BufRead;

use super::house::is_skipped;
use super::lines::{LineError, Lines, MAX_LINE};
use super::table::Row;

/// Each line of a CSV file that is neither blank nor a comment, with its number
/// and its fields; or what is wrong, behind which nothing more comes.
pub(crate) fn rows(
    reader: impl BufRead,
) -> impl Iterator<Item = Result<(u64, Vec<String>), (u64, String)>> {
    let mut lines = Lines::new(reader);
    let mut row = Row::new();
    let mut is_over = false;
    core::iter::from_fn(move || {
        loop {
            if is_over {
                return None;
            }
            let read = match lines.next() {
                Ok(None) => return None,
                Ok(Some(line)) if is_skipped(line) => continue,
                Ok(Some(line)) => row.read(line).map_err(|bad| bad.reason),
                Err(LineError::TooLong) => Err(format!("a line of more than {MAX_LINE} bytes")),
                Err(LineError::Encoding) => Err("is UTF-16; save it as UTF-8".to_owned()),
                Err(LineError::Read(error)) => Err(error.to_string()),
            };
            let number = lines.number();
            let fields = read.and_then(|()| {
                let fields = (0..row.len()).map(|place| row.field(place).to_vec());
                let fields = fields.map(String::from_utf8).collect::<Result<Vec<_>, _>>();
                fields.map_err(|_| "is not UTF-8; convert the file, for example with iconv".into())
            });
            is_over = fields.is_err();
            return Some(
                fields
                    .map(|fields| (number, fields))
                    .map_err(|why| (number, why)),
            );
        }
    })
}
