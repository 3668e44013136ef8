//! The header of a house list, and the fields of its lines.

use csv_core::{ReadRecordResult, Reader};

use super::report::Bad;

/// The most columns of a list: the dozen that are known, and what other
/// programs add.
const MAX_COLUMNS: usize = 256;

//----------- Column ----------------------------------------------------------

/// The columns that mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// A device.
    Imei,
    /// The software version of the device.
    Svn,
    /// A model.
    Tac,
    /// The first digits of models.
    TacPrefix,
    /// The first device of a range.
    ImeiFrom,
    /// The last device of a range.
    ImeiTo,
    /// The status of a rule.
    Status,
    /// The exceptions of a rule, or the subscriber of a binding.
    Imsi,
    /// The first subscriber of a bound range.
    ImsiFrom,
    /// The last subscriber of a bound range.
    ImsiTo,
    /// When it starts to hold.
    From,
    /// When it ends to.
    Until,
    /// Free text.
    Reason,
}

impl Column {
    /// All of them, in the order of their declaration.
    pub(crate) const ALL: [Self; 13] = [
        Self::Imei,
        Self::Svn,
        Self::Tac,
        Self::TacPrefix,
        Self::ImeiFrom,
        Self::ImeiTo,
        Self::Status,
        Self::Imsi,
        Self::ImsiFrom,
        Self::ImsiTo,
        Self::From,
        Self::Until,
        Self::Reason,
    ];

    /// The name in the header.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Imei => "imei",
            Self::Svn => "svn",
            Self::Tac => "tac",
            Self::TacPrefix => "tac_prefix",
            Self::ImeiFrom => "imei_from",
            Self::ImeiTo => "imei_to",
            Self::Status => "status",
            Self::Imsi => "imsi",
            Self::ImsiFrom => "imsi_from",
            Self::ImsiTo => "imsi_to",
            Self::From => "from",
            Self::Until => "until",
            Self::Reason => "reason",
        }
    }

    /// The column of this name, in any letter case.
    fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|column| column.name().eq_ignore_ascii_case(name))
    }
}

//----------- Header ----------------------------------------------------------

/// Which field of a line is which column.
#[derive(Debug)]
pub(crate) struct Header {
    /// The place of each known column, from 0.
    places: [Option<usize>; Column::ALL.len()],
    /// How many columns there are, known or not.
    width: usize,
    /// What should be told of the columns that are not known.
    pub(crate) warnings: Vec<String>,
}

impl Header {
    /// Reads the header line; `bindings` says of which kind the list is.
    pub(crate) fn parse(row: &Row, bindings: bool) -> Result<Self, Bad> {
        let mut header = Self {
            places: [None; Column::ALL.len()],
            width: row.len(),
            warnings: Vec::new(),
        };
        for place in 0..row.len() {
            let name = String::from_utf8_lossy(row.field(place)).into_owned();
            header.add(place, &name)?;
        }
        header.check(bindings)?;
        Ok(header)
    }

    /// Takes the column at `place`.
    fn add(&mut self, place: usize, name: &str) -> Result<(), Bad> {
        let Some(column) = Column::named(name) else {
            if row_of_another_separator(name) {
                return Err(Bad::at(
                    place,
                    "the columns are separated by `;` or tabs; write commas",
                ));
            }
            if !name.is_empty() {
                let names = Column::ALL.map(Column::name);
                let near = match crate::nearest::nearest(name, &names) {
                    Some(near) => format!("; did you mean `{near}`?"),
                    None => String::new(),
                };
                let name = super::field::show(name.as_bytes());
                self.warnings
                    .push(format!("the column {name} is not known and ignored{near}"));
            }
            return Ok(());
        };
        match self.places.get_mut(column as usize) {
            Some(Some(_)) => Err(Bad::at(
                place,
                format!("the column `{name}` is there twice"),
            )),
            Some(free) => {
                *free = Some(place);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Refuses headers under which no line, or no line as it was meant, could
    /// be read.
    fn check(&self, bindings: bool) -> Result<(), Bad> {
        let has = |column| self.place(column).is_some();
        let range = has(Column::ImeiFrom) && has(Column::ImeiTo);
        if has(Column::ImeiFrom) != has(Column::ImeiTo) {
            return Err(Bad::new(
                "a range needs both columns, `imei_from` and `imei_to`",
            ));
        }
        if !(has(Column::Imei) || has(Column::Tac) || has(Column::TacPrefix) || range) {
            return Err(Bad::new(
                "no column names a device; the first line must name the columns, one of them \
                 `imei`, `tac`, `tac_prefix`, or `imei_from` and `imei_to`",
            ));
        }
        if has(Column::Svn) && !has(Column::Imei) {
            return Err(Bad::new("the column `svn` needs the column `imei`"));
        }
        if has(Column::ImsiFrom) != has(Column::ImsiTo) {
            return Err(Bad::new(
                "a range needs both columns, `imsi_from` and `imsi_to`",
            ));
        }
        if bindings && !has(Column::Imsi) && !has(Column::ImsiFrom) {
            return Err(Bad::new(
                "a list of bindings needs the column `imsi`, or `imsi_from` and `imsi_to`",
            ));
        }
        if let (false, Some(place)) = (bindings, self.place(Column::ImsiFrom)) {
            return Err(Bad::at(
                place,
                "ranges of IMSIs are for bindings; this looks like a list for a [[binding]]",
            ));
        }
        if let (true, Some(place)) = (bindings, self.place(Column::Status)) {
            return Err(Bad::at(
                place,
                "a binding has no status; `mismatch` and `match` of its [[binding]] say what is answered",
            ));
        }
        Ok(())
    }

    /// The place of a column, from 0.
    pub(crate) fn place(&self, column: Column) -> Option<usize> {
        self.places.get(column as usize).copied().flatten()
    }

    /// How many columns there are.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The name of the column at `place`, if it is known.
    pub(crate) fn name_at(&self, place: usize) -> Option<&'static str> {
        Column::ALL
            .into_iter()
            .find(|column| self.place(*column) == Some(place))
            .map(Column::name)
    }

    /// The field of a column; empty if the list has no such column.
    pub(crate) fn field<'a>(&self, row: &'a Row, column: Column) -> &'a [u8] {
        self.place(column).map_or(b"", |place| row.field(place))
    }
}

/// Whether a single name is a header that was not written with commas.
fn row_of_another_separator(name: &str) -> bool {
    name.split([';', '\t'])
        .filter(|part| Column::named(part.trim().trim_matches('"')).is_some())
        .count()
        > 1
}

//----------- Row -------------------------------------------------------------

/// The fields of one line, in buffers that are used again for the next.
pub(crate) struct Row {
    /// The state machine of CSV.
    reader: Reader,
    /// The fields one behind the other, quotes taken off.
    text: Vec<u8>,
    /// Where each field ends in the text.
    ends: [usize; MAX_COLUMNS],
    /// How many fields there are.
    count: usize,
}

impl Row {
    /// A row with no fields.
    pub(crate) fn new() -> Self {
        Self {
            reader: Reader::new(),
            text: Vec::new(),
            ends: [0; MAX_COLUMNS],
            count: 0,
        }
    }

    /// Takes the fields of a line that ends with LF.
    pub(crate) fn read(&mut self, line: &[u8]) -> Result<(), Bad> {
        self.count = 0;
        if self.text.len() < line.len() {
            self.text.resize(line.len(), 0);
        }
        let (result, taken, _, count) =
            self.reader
                .read_record(line, &mut self.text, &mut self.ends);
        let bad = match result {
            ReadRecordResult::Record if taken == line.len() => {
                self.count = count;
                return Ok(());
            }
            ReadRecordResult::Record => {
                Bad::new("a carriage return within the line; lines must end with LF or CRLF")
            }
            ReadRecordResult::OutputEndsFull => Bad::new(format!("more than {MAX_COLUMNS} fields")),
            // The line's end was taken for a part of a quoted field.
            ReadRecordResult::InputEmpty | ReadRecordResult::OutputFull | ReadRecordResult::End => {
                Bad::at(
                    count,
                    "a double quote is not closed on its line; a quote within a field is written \"\"",
                )
            }
        };
        self.reader.reset();
        Err(bad)
    }

    /// How many fields there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The field at `place`, from 0, without blanks around it; empty if there
    /// is none.
    pub(crate) fn field(&self, place: usize) -> &[u8] {
        if place >= self.count {
            return b"";
        }
        let start = match place.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or_default(),
            None => 0,
        };
        let end = self.ends.get(place).copied().unwrap_or_default();
        self.text.get(start..end).unwrap_or_default().trim_ascii()
    }

    /// Whether all fields are empty.
    pub(crate) fn is_blank(&self) -> bool {
        (0..self.count).all(|place| self.field(place).is_empty())
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of one line, as text.
    fn fields(line: &str) -> Result<Vec<String>, Bad> {
        let mut row = Row::new();
        row.read(format!("{line}\n").as_bytes())?;
        Ok((0..row.len())
            .map(|place| String::from_utf8(row.field(place).to_vec()).unwrap())
            .collect())
    }

    #[test]
    fn fields_are_split_as_rfc_4180_says() {
        assert_eq!(fields("a, b ,c").unwrap(), ["a", "b", "c"]);
        assert_eq!(
            fields("\"a,b\",\"say \"\"no\"\"\",").unwrap(),
            ["a,b", "say \"no\"", ""]
        );
        assert_eq!(fields(",,").unwrap(), ["", "", ""]);
    }

    #[test]
    fn an_open_quote_spoils_its_line_only() {
        let mut row = Row::new();
        let bad = row.read(b"a,\"b,c\n").unwrap_err();
        assert_eq!(bad.place, Some(1));
        assert!(bad.reason.contains("not closed"));
        row.read(b"d,e\n").unwrap();
        assert_eq!(
            (row.len(), row.field(0), row.field(1)),
            (2, &b"d"[..], &b"e"[..])
        );
    }

    #[test]
    fn too_many_fields_and_stray_carriage_returns_are_told() {
        assert!(fields(&",".repeat(MAX_COLUMNS - 1)).is_ok());
        assert!(
            fields(&",".repeat(MAX_COLUMNS))
                .unwrap_err()
                .reason
                .contains("more than 256")
        );
        assert!(
            fields("a\rb")
                .unwrap_err()
                .reason
                .contains("carriage return")
        );
    }
}
