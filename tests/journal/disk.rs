//! A disk in memory that fails when it is told to, and loses its power.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use weir::journal::disk::Disk;

/// A disk; its copies are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model(Arc<Mutex<State>>);

/// What there is.
#[derive(Clone, Debug, Default)]
struct State {
    /// Files as programs see them.
    files: BTreeMap<String, File>,
    /// The names that are on the disk, and the files behind them.
    names: BTreeMap<String, u64>,
    /// The number of the next file.
    next: u64,
    /// What each file has on the disk.
    durable: BTreeMap<u64, Vec<u8>>,
    /// The room that is left.
    room: Option<usize>,
    /// Which of the next operations fails, and how.
    fails: Option<(usize, Failure)>,
}

/// A file.
#[derive(Clone, Debug, Default)]
struct File {
    number: u64,
    octets: Vec<u8>,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Failure {
    /// Once, with an error of the disk.
    Once,
    /// From then on, as a disk does that is gone.
    Always,
    /// Half of what is appended is written; everything else is done, though an
    /// error says that it was not.
    Half,
}

impl Model {
    /// Lets the operation after so many others fail.
    pub(crate) fn fail(&self, after: usize, how: Failure) {
        self.0.lock().unwrap().fails = Some((after, how));
    }

    /// Lets nothing fail any more.
    pub(crate) fn mend(&self) {
        let mut state = self.0.lock().unwrap();
        (state.fails, state.room) = (None, None);
    }

    /// Leaves so much room.
    pub(crate) fn fill(&self, room: usize) {
        self.0.lock().unwrap().room = Some(room);
    }

    /// What is there after a loss of power: of what was not waited for, what
    /// `keep` says of each length.
    pub(crate) fn after_power_loss(&self, keep: impl Fn(usize) -> usize) -> Self {
        let state = self.0.lock().unwrap();
        let mut files = BTreeMap::new();
        for (name, &number) in &state.names {
            let mut octets = state.durable.get(&number).cloned().unwrap_or_default();
            let written = state.files.values().find(|file| file.number == number);
            if let Some(more) = written.and_then(|file| file.octets.get(octets.len()..)) {
                octets.extend(&more[..keep(more.len()).min(more.len())]);
            }
            files.insert(name.clone(), File { number, octets });
        }
        let durable = files
            .values()
            .map(|file| (file.number, file.octets.clone()));
        Self(Arc::new(Mutex::new(State {
            names: state.names.clone(),
            next: state.next,
            durable: durable.collect(),
            files,
            room: None,
            fails: None,
        })))
    }

    /// The octets of the only journal.
    pub(crate) fn journals(&self) -> Vec<(String, Vec<u8>)> {
        let state = self.0.lock().unwrap();
        let files = state.files.iter();
        files
            .map(|(name, file)| (name.clone(), file.octets.clone()))
            .collect()
    }

    /// One operation.
    fn operate<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        let is_half = state.fails()?;
        let done = work(&mut state)?;
        match is_half {
            true => Err(io::Error::from_raw_os_error(5)),
            false => Ok(done),
        }
    }
}

impl State {
    /// Whether this operation is half done.
    fn fails(&mut self) -> io::Result<bool> {
        match &mut self.fails {
            None => Ok(false),
            Some((0, Failure::Always)) => Err(io::Error::from_raw_os_error(5)),
            Some((0, how)) => {
                let is_half = *how == Failure::Half;
                self.fails = None;
                match is_half {
                    true => Ok(true),
                    false => Err(io::Error::from_raw_os_error(5)),
                }
            }
            Some((after, _)) => {
                *after -= 1;
                Ok(false)
            }
        }
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        let file = self.files.get_mut(name);
        file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Disk for Model {
    fn list(&self) -> io::Result<Vec<String>> {
        self.operate(|state| Ok(state.files.keys().cloned().collect()))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.operate(|state| Ok(state.file(name)?.octets.clone()))
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        self.operate(|state| {
            state.next += 1;
            let file = File {
                number: state.next,
                octets: Vec::new(),
            };
            state.files.insert(name.to_owned(), file);
            Ok(())
        })
    }

    fn append(&mut self, name: &str, octets: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let mut count = octets.len();
        let mut result = Ok(());
        if state.fails()? {
            count /= 2;
            result = Err(io::Error::from_raw_os_error(5));
        }
        if let Some(room) = &mut state.room {
            if *room < count {
                count = *room;
                result = Err(io::Error::from_raw_os_error(28));
            }
            *room -= count;
        }
        state.file(name)?.octets.extend(&octets[..count]);
        result
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.operate(|state| {
            let file = state.file(name)?;
            let freed = file.octets.len() - length as usize;
            file.octets.truncate(length as usize);
            if let Some(room) = &mut state.room {
                *room += freed;
            }
            Ok(())
        })
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.operate(|state| {
            let File { number, octets } = state.file(name)?.clone();
            state.durable.insert(number, octets);
            Ok(())
        })
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.operate(|state| {
            let file = state.files.remove(from);
            let file = file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            state.files.insert(to.to_owned(), file);
            Ok(())
        })
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.operate(|state| {
            let file = state.files.remove(name);
            let file = file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            if let Some(room) = &mut state.room {
                *room += file.octets.len();
            }
            Ok(())
        })
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.operate(|state| {
            let files = state.files.iter();
            state.names = files
                .map(|(name, file)| (name.clone(), file.number))
                .collect();
            Ok(())
        })
    }
}
