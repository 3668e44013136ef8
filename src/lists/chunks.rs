//! A list in chunks of whole lines.

use std::io::{ErrorKind, Read};

use super::lines::{LineError, MAX_LINE};

/// Some lines of a list.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Memory for them, of which they take the first part: it is used again for
    /// other chunks, and never cleared.
    buffer: Vec<u8>,
    /// How many octets they have.
    len: usize,
    /// Whether there are no more.
    pub(super) is_last: bool,
    /// Why there are no more.
    pub(super) error: Option<LineError>,
}

impl Chunk {
    /// The lines, with their ends.
    pub(super) fn text(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }

    /// Makes the memory hold so many octets.
    fn make_room(&mut self, octets: usize) {
        if self.buffer.len() < octets {
            self.buffer.resize(octets, 0);
        }
    }
}

#[cfg(test)]
impl From<Vec<u8>> for Chunk {
    fn from(text: Vec<u8>) -> Self {
        Self {
            len: text.len(),
            buffer: text,
            is_last: true,
            error: None,
        }
    }
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

    /// The next chunk, in the memory of an old one.
    pub(super) fn next(&mut self, mut chunk: Chunk) -> Option<Chunk> {
        let mut reader = self.reader.take()?;
        chunk.make_room(self.rest.len().max(self.size));
        if let Some(start) = chunk.buffer.get_mut(..self.rest.len()) {
            start.copy_from_slice(&self.rest);
        }
        chunk.len = self.rest.len();
        self.rest.clear();
        // How much of it is known to hold no end of a line.
        let mut searched = 0;
        let mut wanted = self.size;
        loop {
            chunk.make_room(wanted);
            let room = chunk.buffer.get_mut(chunk.len..wanted);
            let (count, error) = fill(&mut reader, room.unwrap_or_default());
            chunk.len += count;
            if error.is_some() || chunk.len < wanted {
                // A line that was cut by an error is none.
                if error.is_some() {
                    chunk.len = end_of_lines(chunk.text(), 0).unwrap_or(0);
                }
                chunk.is_last = true;
                chunk.error = error;
                return Some(chunk);
            }
            match end_of_lines(chunk.text(), searched) {
                Some(end) => {
                    let rest = chunk.text().get(end..).unwrap_or_default();
                    self.rest.extend_from_slice(rest);
                    chunk.len = end;
                    break;
                }
                // Too long for a line, as the reader of lines will find.
                None if chunk.len > MAX_LINE + 2 => break,
                None => {
                    searched = chunk.len;
                    wanted = chunk.len + self.size;
                }
            }
        }
        self.reader = Some(reader);
        chunk.is_last = false;
        chunk.error = None;
        Some(chunk)
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
                let mut all = Vec::<u8>::new();
                // What an old chunk held is no part of the next.
                let mut old = Chunk::from(vec![b'#'; 10]);
                while let Some(chunk) = chunks.next(old) {
                    assert!(chunk.error.is_none());
                    assert!(chunk.is_last || chunk.text().ends_with(b"\n"));
                    all.extend(chunk.text());
                    old = chunk;
                }
                assert_eq!(all, text, "{length} {size}");
            }
        }
    }

    #[test]
    fn a_line_without_end_is_not_gathered() {
        let mut chunks = Chunks::new(std::io::repeat(b'9'), 1000);
        let chunk = chunks.next(Chunk::default()).unwrap();
        assert!(chunk.text().len() > MAX_LINE && chunk.text().len() < MAX_LINE + 2000);
    }
}
