//! Lines of a list, one at a time, from a reader of any length.

use std::io::{self, BufRead, Read};

/// The longest line in bytes. A rule needs some hundred; this leaves room for
/// four thousand exceptions, and a file without line ends is not gathered into
/// memory.
pub(crate) const MAX_LINE: usize = 64 * 1024;

/// The byte order mark that some programs put before UTF-8.
const UTF8_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Why there is no next line.
#[derive(Debug)]
pub(crate) enum LineError {
    /// The line has more than [`MAX_LINE`] bytes.
    TooLong,
    /// The file is in another encoding than UTF-8.
    Encoding,
    /// Reading or decompressing failed.
    Read(io::Error),
}

/// Reads lines into one buffer.
pub(crate) struct Lines<R> {
    /// Where the lines come from.
    reader: R,
    /// The line that was read last.
    buffer: Vec<u8>,
    /// Its number, from 1.
    number: u64,
    /// Bytes read so far, decompressed.
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    /// Starts before the first line.
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::with_capacity(256),
            number: 0,
            bytes: 0,
        }
    }

    /// The next line, ended by a single LF however it was ended in the file.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, LineError> {
        self.buffer.clear();
        // One byte more than allowed, to tell a full line from a longer one.
        let mut limited = (&mut self.reader).take(MAX_LINE as u64 + 1);
        let count = limited
            .read_until(b'\n', &mut self.buffer)
            .map_err(LineError::Read)?;
        if count == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.bytes += count as u64;
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
        }
        if self.buffer.last() == Some(&b'\r') {
            self.buffer.pop();
        }
        if self.buffer.len() > MAX_LINE {
            return Err(LineError::TooLong);
        }
        if self.number == 1 {
            if self.buffer.starts_with(b"\xFF\xFE") || self.buffer.starts_with(b"\xFE\xFF") {
                return Err(LineError::Encoding);
            }
            if self.buffer.starts_with(UTF8_MARK) {
                self.buffer.drain(..UTF8_MARK.len());
            }
        }
        self.buffer.push(b'\n');
        Ok(Some(&self.buffer))
    }

    /// The number of the line that was read last, from 1; 0 before the first.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Bytes read so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    /// All lines of a text, without their ends.
    fn lines(text: &[u8]) -> Result<Vec<Vec<u8>>, LineError> {
        let mut lines = Lines::new(text);
        let mut all = Vec::new();
        while let Some(line) = lines.next()? {
            all.push(line.strip_suffix(b"\n").unwrap().to_vec());
        }
        assert_eq!(lines.number(), all.len() as u64);
        assert_eq!(lines.bytes(), text.len() as u64);
        Ok(all)
    }

    #[test]
    fn line_ends_and_byte_order_marks_are_taken_off() {
        assert_eq!(lines(b"").unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(lines(b"a\r\nb\n\nc").unwrap(), [&b"a"[..], b"b", b"", b"c"]);
        assert_eq!(
            lines(b"\xEF\xBB\xBFa\n\xEF\xBB\xBFb").unwrap(),
            [&b"a"[..], b"\xEF\xBB\xBFb"]
        );
        assert!(matches!(lines(b"\xFF\xFEi\0m\0"), Err(LineError::Encoding)));
    }

    #[test]
    fn the_longest_line_passes_and_one_byte_more_does_not() {
        let mut text = vec![b'x'; MAX_LINE];
        assert_eq!(lines(&text).unwrap().len(), 1);
        text.push(b'\n');
        assert_eq!(lines(&text).unwrap().len(), 1);
        text.insert(0, b'x');
        assert!(matches!(lines(&text), Err(LineError::TooLong)));
    }

    #[test]
    fn an_endless_line_is_not_gathered() {
        let mut lines = Lines::new(io::BufReader::new(io::repeat(b'9')));
        assert!(matches!(lines.next(), Err(LineError::TooLong)));
        assert!(lines.buffer.capacity() <= 4 * MAX_LINE);
    }
}
