//! The side of the socket that asks.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::error::Failed;
use crate::journal::control;
use crate::journal::request::{Answer, Request};

/// A connection to a server.
pub(super) struct Client {
    /// To it.
    writer: BufWriter<UnixStream>,
    /// From it.
    reader: BufReader<UnixStream>,
    /// Its socket.
    path: PathBuf,
}

impl Client {
    /// Connects to the server that uses a directory.
    pub(super) fn connect(dir: &Path) -> Result<Self, Failed> {
        let path = control::path(dir);
        let stream = UnixStream::connect(&path).and_then(|stream| {
            let reader = stream.try_clone()?;
            Ok((stream, reader))
        });
        let (writer, reader) = stream.map_err(|error| {
            let what = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    "no server runs with this configuration: start it with `weir serve`"
                }
                io::ErrorKind::PermissionDenied => {
                    "the server belongs to another user: be that user, or root"
                }
                _ => "the server cannot be asked",
            };
            Failed::new(format!("{}: {error}; {what}", path.display()))
        })?;
        Ok(Self {
            writer: BufWriter::new(writer),
            reader: BufReader::new(reader),
            path,
        })
    }

    /// Asks for changes.
    pub(super) fn send(&mut self, request: &Request) -> Result<(), Failed> {
        let mut line = serde_json::to_vec(request)
            .map_err(|error| Failed::new(format!("the request cannot be written: {error}")))?;
        line.push(b'\n');
        let sent = self.writer.write_all(&line);
        let sent = sent.and_then(|()| self.writer.flush());
        sent.map_err(|error| self.lost(&error.to_string()))
    }

    /// What came of the first request that is not answered.
    pub(super) fn receive(&mut self) -> Result<Result<(u64, u64), String>, Failed> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => return Err(self.lost("the server has closed it")),
            Ok(_) => {}
            Err(error) => return Err(self.lost(&error.to_string())),
        }
        let answer = serde_json::from_str(&line);
        Ok(
            match answer.map_err(|error| self.lost(&error.to_string()))? {
                Answer::Done(first, last) => Ok((first, last)),
                Answer::Refused(why) => Err(why),
            },
        )
    }

    /// The connection is of no use any more.
    fn lost(&self, why: &str) -> Failed {
        Failed::new(format!(
            "{}: {why}; whether the change was made is not known: `weir change list` tells",
            self.path.display()
        ))
    }
}
