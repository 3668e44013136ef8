//! The objects of a JSON file, one at a time: lines of objects, one array, or
//! objects one after the other, indented or not. Only one object is held in
//! memory, whatever the length of the file.

use std::io::{self, BufRead};

use serde_json::Value;

/// The longest object in bytes. A rule has some hundred.
pub(crate) const MAX_OBJECT: usize = 64 * 1024;

/// Why no further object can be read.
#[derive(Debug)]
pub(crate) enum JsonError {
    /// The file ends within an object or array.
    Cut,
    /// An object that is too long to be one.
    TooLong,
    /// Something that is neither object nor array.
    Stray(u8),
    /// Reading or decompressing failed.
    Read(io::Error),
}

//----------- Objects ---------------------------------------------------------

/// Finds objects in a stream.
pub(crate) struct Objects<R> {
    /// The text.
    reader: R,
    /// The object that was found last.
    buffer: Vec<u8>,
    /// The line that is being read, from 1.
    line: u64,
    /// Bytes read so far.
    bytes: u64,
    /// Arrays around the objects that are not closed yet.
    arrays: u64,
}

impl<R: BufRead> Objects<R> {
    /// Starts before the first object.
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::with_capacity(512),
            line: 1,
            bytes: 0,
            arrays: 0,
        }
    }

    /// The next object and the line on which it begins.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, &[u8])>, JsonError> {
        self.buffer.clear();
        let (mut depth, mut in_text, mut escaped) = (0u32, false, false);
        let mut start = self.line;
        while let Some(byte) = self.byte()? {
            if depth == 0 {
                match byte {
                    b'{' => {
                        start = self.line;
                        depth = 1;
                        self.buffer.push(byte);
                    }
                    b'[' => self.arrays += 1,
                    b']' if self.arrays > 0 => self.arrays -= 1,
                    b',' | b' ' | b'\t' | b'\r' | b'\n' => {}
                    // A byte order mark.
                    0xEF | 0xBB | 0xBF if self.bytes <= 3 => {}
                    other => return Err(JsonError::Stray(other)),
                }
                continue;
            }
            if self.buffer.len() >= MAX_OBJECT {
                return Err(JsonError::TooLong);
            }
            self.buffer.push(byte);
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' => in_text = !in_text,
                b'{' | b'[' if !in_text => depth += 1,
                b'}' | b']' if !in_text => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(Some((start, &self.buffer)));
                    }
                }
                _ => {}
            }
        }
        match (depth, self.arrays) {
            (0, 0) => Ok(None),
            _ => Err(JsonError::Cut),
        }
    }

    /// The line that was read last, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Bytes read so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next byte.
    fn byte(&mut self) -> Result<Option<u8>, JsonError> {
        let available = self.reader.fill_buf().map_err(JsonError::Read)?;
        let Some(&byte) = available.first() else {
            return Ok(None);
        };
        self.reader.consume(1);
        self.bytes += 1;
        if byte == b'\n' {
            self.line += 1;
        }
        Ok(Some(byte))
    }
}

//----------- Values ----------------------------------------------------------

/// The text of a field: absent, null and empty are all nothing. A number is
/// its digits, which are exact for IMEIs, but have lost leading zeros.
pub(crate) fn text(object: &Value, key: &str) -> Result<Option<String>, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
        Some(Value::Number(_)) => Err(format!(
            "`{key}` is a number, its leading zeros may be lost; export it as text"
        )),
        Some(_) => Err(format!("`{key}` is no text")),
    }
}

/// A small number: as a number, as text, as true or false, or as MongoDB
/// writes it when it writes types.
pub(crate) fn number(object: &Value, key: &str) -> Result<Option<u64>, String> {
    let wrong = || format!("`{key}` is no whole number");
    let read = |value: &Value| match value {
        Value::Bool(value) => Some(u64::from(*value)),
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(typed)) => {
            let types = ["$numberInt", "$numberLong"];
            let value = types.iter().find_map(|name| typed.get(*name));
            value.and_then(read).map(Some).ok_or_else(wrong)
        }
        Some(value) => read(value).map(Some).ok_or_else(wrong),
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The objects of a text with their lines, and the error at the end.
    fn objects(text: &str) -> (Vec<(u64, Value)>, Option<String>) {
        let mut objects = Objects::new(text.as_bytes());
        let mut found = Vec::new();
        loop {
            match objects.next() {
                Ok(None) => return (found, None),
                Ok(Some((line, object))) => {
                    found.push((line, serde_json::from_slice(object).unwrap()));
                }
                Err(error) => return (found, Some(format!("{error:?}"))),
            }
        }
    }

    #[test]
    fn arrays_lines_and_indentation_give_the_same_objects() {
        let expected = [json!({"a": "}\"{["}), json!({"b": {"c": [1, {}]}})];
        for text in [
            "[{\"a\": \"}\\\"{[\"},\n{\"b\": {\"c\": [1, {}]}}]",
            "{\"a\": \"}\\\"{[\"}\n{\"b\": {\"c\": [1, {}]}}\n",
            "\u{feff}[\n{\"a\": \"}\\\"{[\"}\n{\"b\":\n {\"c\": [1, {}]}}\n]\n",
        ] {
            let (found, error) = objects(text);
            let values: Vec<&Value> = found.iter().map(|(_, value)| value).collect();
            assert_eq!(values, expected.iter().collect::<Vec<_>>());
            assert_eq!(error, None);
        }
        assert_eq!(
            objects("[\n\n{}\n,{\n}]").0,
            [(3, json!({})), (4, json!({}))]
        );
        assert_eq!(objects("[]"), (vec![], None));
    }

    #[test]
    fn what_is_cut_or_foreign_is_an_error() {
        for text in ["[{}", "[", "{\"a\": 1", "{\"a\": \"x"] {
            assert_eq!(objects(text).1.as_deref(), Some("Cut"), "{text}");
        }
        for text in ["hello", "{} x", "]"] {
            assert!(objects(text).1.unwrap().contains("Stray"), "{text}");
        }
        let long = format!("{{\"a\": \"{}\"}}", "x".repeat(MAX_OBJECT));
        assert_eq!(objects(&long).1.as_deref(), Some("TooLong"));
    }

    #[test]
    fn values_come_in_many_types() {
        let object = json!({"a": 1, "b": "2", "c": true, "d": {"$numberInt": "0"}, "e": null, "f": " x ", "g": -1, "h": ""});
        for (key, expected) in [
            ("a", Some(1)),
            ("b", Some(2)),
            ("c", Some(1)),
            ("d", Some(0)),
            ("e", None),
            ("z", None),
        ] {
            assert_eq!(number(&object, key), Ok(expected), "{key}");
        }
        assert!(number(&object, "f").is_err() && number(&object, "g").is_err());
        assert_eq!(text(&object, "f"), Ok(Some("x".to_owned())));
        assert_eq!(text(&object, "h"), Ok(None));
        assert!(text(&object, "a").is_err());
    }
}
