//! A list in chunks of whole lines.

use std::io::{ErrorKind, Read};

use super::lines::{LineError, MAX_LINE};

/// Some lines of a list.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Them, with their ends.
    pub(super) text: Vec<u8>,
    /// Whether there are no more.
    pub(super) is_last: bool,
    /// Why there are no more.
    pub(super) error: Option<LineError>,
}

/// Cuts what is read behind the ends of lines.
pub(super) struct Chunks<R> {
    /// Where it is read from; `None` at the end.
    reader: Option<R>,
    /// Bytes of a chunk, or some more.
    size: usize,
    /// The beginning of the next one.
    rest: Vec<u8>,
}

impl<R: Read> Chunks<R> {
    /// Starts before the first line.
    pub(super) fn new(reader: R, size: usize) -> Self {
        Self {
            reader: Some(reader),
            size,
            rest: Vec::new(),
        }
    }

    /// The next chunk.
    pub(super) fn next(&mut self) -> Option<Chunk> {
        let mut reader = self.reader.take()?;
        let mut text = core::mem::take(&mut self.rest);
        // How much of it is known to hold no end of a line.
        let mut searched = 0;
        let mut wanted = self.size;
        loop {
            let filled = text.len();
            text.resize(filled.max(wanted), 0);
            let read = fill(&mut reader, text.get_mut(filled..).unwrap_or_default());
            let (count, error) = read;
            text.truncate(filled + count);
            if error.is_some() || text.len() < wanted {
                // A line that was cut by an error is none.
                let whole = match error.is_some() {
                    true => end_of_lines(&text, 0).unwrap_or(0),
                    false => text.len(),
                };
                text.truncate(whole);
                return Some(Chunk {
                    text,
                    is_last: true,
                    error,
                });
            }
            match end_of_lines(&text, searched) {
                Some(end) => {
                    self.rest = text.split_off(end);
                    break;
                }
                // Too long for a line, as the reader of lines will find.
                None if text.len() > MAX_LINE + 2 => break,
                None => {
                    searched = text.len();
                    wanted = text.len() + self.size;
                }
            }
        }
        self.reader = Some(reader);
        Some(Chunk {
            text,
            is_last: false,
            error: None,
        })
    }
}

/// Where the last line ends that does, behind a place.
fn end_of_lines(text: &[u8], from: usize) -> Option<usize> {
    let behind = text.get(from..)?;
    let last = behind.iter().rposition(|&byte| byte == b'\n')?;
    Some(from + last + 1)
}

/// Fills a buffer as far as there is something; an error ends it.
fn fill(reader: &mut impl Read, mut buffer: &mut [u8]) -> (usize, Option<LineError>) {
    let mut filled = 0;
    while !buffer.is_empty() {
        match reader.read(buffer) {
            Ok(0) => break,
            Ok(count) => {
                filled += count;
                buffer = buffer.get_mut(count..).unwrap_or_default();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(LineError::Read(error))),
        }
    }
    (filled, None)
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    /// Put together again, chunks are what was read, and each but the last ends
    /// with a line.
    #[test]
    fn chunks_are_the_text_cut_behind_lines() {
        let mut text = Vec::new();
        for length in [0usize, 1, 5, 0, 300, 2, 90, 7] {
            text.extend(vec![b'x'; length]);
            text.push(b'\n');
        }
        text.extend(b"the last");
        for length in [0, 1, 2, 100, text.len() - 8, text.len()] {
            for size in [1, 2, 7, 64, 1000] {
                let text = &text[..length];
                let mut chunks = Chunks::new(text, size);
                let mut all = Vec::new();
                while let Some(chunk) = chunks.next() {
                    assert!(chunk.error.is_none());
                    assert!(chunk.is_last || chunk.text.ends_with(b"\n"));
                    all.extend(chunk.text);
                }
                assert_eq!(all, text, "{length} {size}");
            }
        }
    }

    #[test]
    fn a_line_without_end_is_not_gathered() {
        let mut chunks = Chunks::new(std::io::repeat(b'9'), 1000);
        let chunk = chunks.next().unwrap();
        assert!(chunk.text.len() > MAX_LINE && chunk.text.len() < MAX_LINE + 2000);
    }
}
