//! Lists: files of rules and bindings, and how they become a register.
//!
//! ```text
//! crate::load ─▶ source ─▶ open ─┬▶ house ───┬▶ feed ─▶ equipment::Builder
//!                files,   which  ├▶ dirbs    │  rules, bindings, bad lines
//!                gz, zst, reader ├▶ pyhss    │
//!                zip             ├▶ open5gs  │
//!                                ├▶ eagle    │
//!                                └▶ tacs ────┘
//! ```
//!
//! [`ListFormat`] names the formats. That of the house is below; each foreign
//! one is described where it is read, with what it becomes and in what it
//! differs from the register that it comes from: `dirbs`, `pyhss` (with
//! `pattern` for its expressions), `open5gs`, `eagle`, `tacs`.
//!
//! # The house format
//!
//! CSV (RFC 4180) in UTF-8, with or without a byte order mark, lines ended by
//! LF or CRLF. The first line names the columns, in any order and letter case;
//! columns that are not known are ignored, and the report names them. Blank
//! lines, lines of empty fields, and lines that start with `#` are skipped,
//! before the header as well. A field may stand in double quotes, but not run
//! over several lines: a quote that is not closed is an error of its line and
//! never swallows the next ones.
//!
//! | Column | A rule | A binding |
//! |---|---|---|
//! | `imei` | a device: 14, 15 or 16 digits | the same |
//! | `svn` | with `imei`: only this software version, 2 digits | the same |
//! | `tac` | a model: 8 digits | the same |
//! | `tac_prefix` | models: 1 to 7 digits | the same |
//! | `imei_from`, `imei_to` | devices, both ends included | the same |
//! | `status` | overrides the list's status | an error |
//! | `imsi` | on a blacklisted rule: IMSIs that may use the device, joined by `\|` | the IMSI |
//! | `imsi_from`, `imsi_to` | an error | in place of `imsi`: all from one to the other |
//! | `from`, `until` | when it holds, both ends included | the same |
//! | `reason` | free text for reports | the same |
//!
//! Each line has exactly one device: `imei`, `tac`, `tac_prefix`, or both ends
//! of a range. A device is the first fourteen digits of its IMEI. The last two
//! of sixteen are the software version that it was seen with; they do not
//! narrow the rule (the column `svn` does), as an update of its software must
//! not free a phone. A fifteenth digit that is not the check digit is counted
//! as a warning.
//!
//! A date is `2026-01-31` or `20260131` and stands for its whole day in UTC;
//! a moment is `2026-01-31T12:00:00Z`, or with another offset, or with none
//! for UTC.
//!
//! # What is wrong is refused
//!
//! A list that says two things of one device at one time, by two lines about
//! the same devices or two ranges that overlap, contradicts itself: the second
//! line is a bad one. So is a delta that takes away what is not
//! there.
//!
//! A line that cannot be read is reported with file, line, column and reason.
//! A list with more bad lines than `max_bad_lines` is refused, and with it the
//! load: no register is made, the one in use stays. The same holds for a file
//! that is missing, cut short, or written to while it is read.

mod archive;
mod chunks;
mod column;
mod digits;
mod dirbs;
mod eagle;
mod entry;
pub(crate) mod feed;
pub(crate) mod field;
mod format;
pub(crate) mod house;
mod json;
mod lines;
pub(crate) mod open;
mod open5gs;
mod pattern;
mod pyhss;
pub(crate) mod report;
#[cfg(feature = "server")]
mod rows;
mod scan;
pub(crate) mod source;
mod table;
mod tacs;
mod tap;

pub use self::format::ListFormat;
pub use self::report::{BadLine, FileReport, ListReport, LoadReport};
#[cfg(feature = "server")]
pub(crate) use self::rows::rows;
