//! Files of allocated TACs, which name the model of a device: for people, and
//! for rules about TACs that nobody was given.
//!
//! | Format | Written as |
//! |---|---|
//! | `gsma-tac` | fields separated by bars below a header; the columns are found by their names |
//! | `osmocom-tac` | CSV below a banner line: `tac,name,name,contributor,comment,gsmarena,gsmarena,aka` |
//! | `csv` | the house format: columns `tac`, `make` and `model` |
//!
//! Of several lines about one TAC the first counts, and the others are
//! counted. Such lines are corrections by hand below an allocation, or the
//! same model under another brand; the first is what the TAC was given to.
//! Names are cut at 100 bytes.

use std::io::BufRead;

use rustc_hash::FxHashSet;

use crate::equipment::Tac;

use super::feed::{At, Feed, Refusal, Stop};
use super::field;
use super::format::ListFormat;
use super::house::{is_skipped, stop};
use super::lines::Lines;
use super::report::{Bad, plural};
use super::table::Row;

/// The longest name of a make or model in bytes that is kept.
const MAX_NAME: usize = 100;

/// What the columns are called, in small letters without blanks.
const TAC_NAMES: [&str; 2] = ["tac", "typeallocationcode"];
/// What the column of the maker is called.
const MAKE_NAMES: [&str; 5] = ["manufacturer", "make", "brand", "brandname", "name"];
/// What the column of the model is called.
const MODEL_NAMES: [&str; 4] = ["marketingname", "model", "modelname", "name"];

/// Where the fields stand, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Places {
    /// The TAC.
    tac: usize,
    /// The maker.
    make: Option<usize>,
    /// The model.
    model: Option<usize>,
}

/// Reads a file of TACs; `seen` are those that have a name already.
pub(crate) fn read(
    reader: impl BufRead,
    file: usize,
    format: ListFormat,
    seen: &mut FxHashSet<Tac>,
    feed: &mut Feed<'_>,
) -> Result<(), Stop> {
    let mut lines = Lines::new(reader);
    let result = read_lines(&mut lines, file, format, seen, feed);
    feed.read(file, lines.number(), lines.bytes());
    result
}

/// The header, then line by line.
fn read_lines(
    lines: &mut Lines<impl BufRead>,
    file: usize,
    format: ListFormat,
    seen: &mut FxHashSet<Tac>,
    feed: &mut Feed<'_>,
) -> Result<(), Stop> {
    let mut fields = Fields {
        bars: format == ListFormat::GsmaTac,
        row: Row::new(),
        parts: Vec::new(),
    };
    let mut places: Option<Places> = None;
    let (mut repeated, mut first_repeated) = (0u64, 0u64);
    loop {
        let read = match lines.next() {
            Ok(None) => break,
            Ok(Some(line)) if is_skipped(line) => continue,
            Ok(Some(line)) => fields.read(line),
            Err(error) => return Err(stop(&error, file, lines.number(), feed)),
        };
        let at = At {
            file,
            line: lines.number(),
        };
        let Some(places) = places else {
            if read.is_ok() {
                places = fields.header();
            }
            let is_banner = format == ListFormat::OsmocomTac && at.line <= BANNER_LINES;
            if places.is_none() && !is_banner {
                return Err(feed.fault(at, "no column is called `tac`; is it a file of TACs?"));
            }
            continue;
        };
        let added = read.map_err(Refusal::Line).and_then(|()| {
            let text = fields.field(Some(places.tac));
            let tac = field::tac(text.as_bytes()).map_err(|why| Bad::at(places.tac, why))?;
            let is_new = seen.insert(tac);
            if is_new {
                let make = cut(fields.field(places.make));
                feed.model(tac, make, cut(fields.field(places.model)))?;
            }
            Ok(is_new)
        });
        match added {
            Ok(false) => {
                repeated += 1;
                first_repeated = if repeated == 1 {
                    at.line
                } else {
                    first_repeated
                };
            }
            added => feed.settle(at, added.map(|_| ()), |_| Some("tac"))?,
        }
    }
    if places.is_none() {
        return Err(feed.fault(At { file, line: 0 }, "is empty; it has no header"));
    }
    if repeated > 0 {
        feed.warn(
            file,
            format!(
                "{} about a TAC that has a name already, the first is line {first_repeated}; the name that came first counts",
                plural(repeated, "line")
            ),
        );
    }
    feed.end(file, "without a meaning");
    Ok(())
}

/// How many lines may stand above the header of an Osmocom file.
const BANNER_LINES: u64 = 3;

/// The front of a name that is kept.
fn cut(name: &str) -> &str {
    let ends = name
        .char_indices()
        .map(|(start, letter)| start + letter.len_utf8());
    let end = ends.take_while(|end| *end <= MAX_NAME).last();
    name.get(..end.unwrap_or_default()).unwrap_or(name)
}

//----------- Fields ----------------------------------------------------------

/// The fields of a line of either kind.
struct Fields {
    /// Whether bars separate them rather than commas.
    bars: bool,
    /// A line of CSV.
    row: Row,
    /// Its fields as text.
    parts: Vec<String>,
}

impl Fields {
    /// Reads a line.
    fn read(&mut self, line: &[u8]) -> Result<(), Bad> {
        self.parts.clear();
        if self.bars {
            let parts = line.split(|byte| *byte == b'|');
            self.parts.extend(parts.map(text));
            return Ok(());
        }
        self.row.read(line)?;
        let row = &self.row;
        self.parts
            .extend((0..row.len()).map(|place| text(row.field(place))));
        Ok(())
    }

    /// The field at a place; empty if there is none.
    fn field(&self, place: Option<usize>) -> &str {
        place
            .and_then(|place| self.parts.get(place))
            .map_or("", String::as_str)
    }

    /// Where the columns are, if this is a header.
    fn header(&self) -> Option<Places> {
        let names: Vec<String> = (self.parts.iter())
            .map(|name| {
                let letters = name.chars().filter(char::is_ascii_alphanumeric);
                letters.collect::<String>().to_ascii_lowercase()
            })
            .collect();
        // The names in the order of how well they tell; Osmocom has two
        // columns `name`, the maker's and the model's.
        let find = |known: &[&str], not: Option<usize>| {
            known.iter().find_map(|known| {
                (names.iter().enumerate())
                    .find(|(place, name)| name == known && Some(*place) != not)
                    .map(|(place, _)| place)
            })
        };
        let make = find(&MAKE_NAMES, None);
        Some(Places {
            tac: find(&TAC_NAMES, None)?,
            make,
            model: find(&MODEL_NAMES, make),
        })
    }
}

/// A field as text, without blanks around it; files of TACs are in whatever
/// encoding, and a letter that is wrong spoils no list.
fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field.trim_ascii()).into_owned()
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the columns of a header are.
    fn places(bars: bool, header: &str) -> Option<(usize, Option<usize>, Option<usize>)> {
        let mut fields = Fields {
            bars,
            row: Row::new(),
            parts: Vec::new(),
        };
        fields.read(format!("{header}\n").as_bytes()).unwrap();
        fields
            .header()
            .map(|places| (places.tac, places.make, places.model))
    }

    #[test]
    fn columns_are_found_by_what_they_are_called() {
        assert_eq!(
            places(
                true,
                "TAC|Manufacturer|Bands|Allocation Date|Model Name|Marketing Name"
            ),
            Some((0, Some(1), Some(5)))
        );
        assert_eq!(
            places(
                false,
                "tac,name,name,contributor,comment,gsmarena,gsmarena,aka"
            ),
            Some((0, Some(1), Some(2)))
        );
        assert_eq!(places(false, "model,make,tac"), Some((2, Some(1), Some(0))));
        assert_eq!(places(false, "imei,reason"), None);
        assert_eq!(places(false, "tac"), Some((0, None, None)));
    }

    #[test]
    fn long_names_are_cut_between_letters() {
        let name = "ä".repeat(60);
        assert_eq!(cut(&name).chars().count(), 50);
        assert_eq!(cut("X10"), "X10");
    }
}
