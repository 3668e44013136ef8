//! `weir change apply`: the changes of a file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Write};

use super::ApplyArgs;
use super::client::Client;
use crate::error::Failed;
use crate::journal::request::{Line, Request, Verb};
use crate::lists;

/// Lines of a file that are asked for at once: few round trips, and little that
/// is not done if one of them is refused.
const FILE_BATCH: usize = 1000;

/// Requests that are under way: enough for the disk never to wait.
const UNDER_WAY: usize = 16;

impl ApplyArgs {
    /// Makes the changes of the file.
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failed> {
        let (_, dir) = self.common.dir()?;
        let shown = self.file.display().to_string();
        let file =
            File::open(&self.file).map_err(|error| Failed::new(format!("{shown}: {error}")))?;
        let mut lines = lists::rows(BufReader::new(file));
        let header = lines
            .next()
            .transpose()
            .map_err(|why| wrong(&shown, &why))?;
        let Some((at, header)) = header else {
            return Err(Failed::new(format!(
                "{shown}: is empty; its first line must name the columns, as in `list,imei,reason`"
            )));
        };
        let columns = Columns::new(&header, self.list.as_deref())
            .map_err(|why| Failed::new(format!("{shown}:{at}: {why}")))?;
        let mut server = Client::connect(&dir)?;
        let by = self.who.name();
        // Numbers of lines of the requests that are under way.
        let mut under_way: VecDeque<Vec<u64>> = VecDeque::new();
        let mut total: Option<(u64, u64)> = None;
        let mut batch = (Vec::new(), Vec::new());
        let mut is_more = true;
        while is_more || !under_way.is_empty() {
            if is_more {
                match lines.next() {
                    None => is_more = false,
                    Some(row) => {
                        let (number, row) = row.map_err(|why| wrong(&shown, &why))?;
                        let line = columns.line(&row);
                        let line = line.map_err(|why| wrong(&shown, &(number, why)))?;
                        batch.0.push(number);
                        batch.1.push(line);
                    }
                }
                if batch.1.len() == FILE_BATCH || (!is_more && !batch.1.is_empty()) {
                    let (numbers, changes) = core::mem::take(&mut batch);
                    server.send(&Request {
                        by: by.clone(),
                        changes,
                        fold: false,
                    })?;
                    under_way.push_back(numbers);
                }
            }
            if (!is_more || under_way.len() >= UNDER_WAY)
                && let Some(numbers) = under_way.pop_front()
            {
                let (first, last) = server.receive()?.map_err(|why| {
                    let done = total.map_or(0, |(first, last)| last + 1 - first);
                    let first = numbers.first().copied().unwrap_or_default();
                    let end = numbers.last().copied().unwrap_or_default();
                    Failed::new(format!(
                        "{shown}: lines {first} to {end} are refused: {why}; the {done} changes \
                         before them are in force, and the file can be applied again when it is \
                         right"
                    ))
                })?;
                total = Some((total.map_or(first, |(first, _)| first), last));
            }
        }
        let (first, last) = total.unwrap_or((1, 0));
        self.common.print(first, last, out)
    }
}

/// A line that is wrong.
fn wrong(file: &str, (line, why): &(u64, String)) -> Failed {
    Failed::new(format!("{file}:{line}: {why}"))
}

/// The columns of a file.
struct Columns {
    /// What each is.
    columns: Vec<String>,
    /// The list of lines that name none.
    list: Option<String>,
}

/// The columns that there may be.
const COLUMNS: [&str; 13] = [
    "do",
    "list",
    "imei",
    "svn",
    "imei_from",
    "imei_to",
    "tac",
    "tac_prefix",
    "imsi",
    "status",
    "from",
    "until",
    "reason",
];

impl Columns {
    /// Those of a header.
    fn new(header: &[String], list: Option<&str>) -> Result<Self, String> {
        let columns: Vec<String> = header
            .iter()
            .map(|name| name.trim().to_lowercase())
            .collect();
        for (place, name) in columns.iter().enumerate() {
            if !COLUMNS.contains(&name.as_str()) {
                return Err(format!(
                    "`{name}` is no column of changes; there are {}",
                    COLUMNS.join(", ")
                ));
            }
            if columns.iter().take(place).any(|own| own == name) {
                return Err(format!("the column `{name}` is there twice"));
            }
        }
        Ok(Self {
            columns,
            list: list.map(str::to_owned),
        })
    }

    /// The change of a line.
    fn line(&self, row: &[String]) -> Result<Line, String> {
        if row.len() > self.columns.len() {
            return Err(format!(
                "has {} fields, and the first line names {} columns",
                row.len(),
                self.columns.len()
            ));
        }
        let field = |name: &str| {
            let place = self.columns.iter().position(|own| own == name)?;
            let field = row.get(place)?.trim();
            (!field.is_empty()).then(|| field.to_owned())
        };
        let verb = match field("do").as_deref() {
            None | Some("add") => Verb::Add,
            Some("remove") => Verb::Remove,
            Some("undo") => Verb::Undo,
            Some(other) => return Err(format!("`{other}` is none of add, remove, undo")),
        };
        let list = field("list")
            .or_else(|| self.list.clone())
            .ok_or("names no list; give it in the column `list`, or with --list for all lines")?;
        let imsi = field("imsi").unwrap_or_default();
        let imsi = imsi
            .split('|')
            .map(str::trim)
            .filter(|imsi| !imsi.is_empty());
        Ok(Line {
            imei: field("imei"),
            svn: field("svn"),
            imei_from: field("imei_from"),
            imei_to: field("imei_to"),
            tac: field("tac"),
            tac_prefix: field("tac_prefix"),
            imsi: imsi.map(str::to_owned).collect(),
            status: field("status"),
            from: field("from"),
            until: field("until"),
            reason: field("reason"),
            ..Line::new(verb, &list)
        })
    }
}
