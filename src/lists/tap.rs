//! What passes when a file is read: how much, and its digest.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use crate::compile::Progress;

/// Tells what has passed through a [`Tap`].
#[derive(Clone, Debug, Default)]
pub(super) struct Meter(Arc<Mutex<Passed>>);

/// What has passed.
#[derive(Debug, Default)]
struct Passed {
    /// Its octets.
    octets: u64,
    /// Their digest, if it is wanted and nobody has taken it over.
    hashed: Option<Hashed>,
}

/// A digest under way.
#[derive(Debug, Default)]
struct Hashed {
    /// It.
    sha256: Sha256,
    /// Of how many octets it is.
    octets: u64,
}

impl Hashed {
    /// Adds the next octets.
    fn add(&mut self, octets: &[u8]) {
        self.sha256.update(octets);
        self.octets += octets.len() as u64;
    }
}

impl Meter {
    /// A meter of nothing yet.
    pub(super) fn new(digests: bool) -> Self {
        let passed = Passed {
            octets: 0,
            hashed: digests.then(Hashed::default),
        };
        Self(Arc::new(Mutex::new(passed)))
    }

    /// SHA-256 of a file of so many octets, as `sha256sum` prints it, if all of
    /// them have passed and a digest was wanted.
    pub(super) fn digest(&self, length: u64) -> Option<String> {
        let hashed = self.passed().hashed.take();
        let hashed = hashed.filter(|hashed| hashed.octets == length)?;
        let octets = hashed.sha256.finalize();
        Some(octets.iter().map(|octet| format!("{octet:02x}")).collect())
    }

    /// Lets the rest of the digest be made elsewhere, if one is wanted.
    pub(super) fn take_over(&self) -> Option<Hasher> {
        Some(Hasher {
            hashed: Some(self.passed().hashed.take()?),
            meter: self.clone(),
        })
    }

    /// What has passed.
    fn passed(&self) -> MutexGuard<'_, Passed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the digest of a file from octets that have passed, so that whoever waits
/// for its turn to read need not wait for the digest too.
#[derive(Debug)]
pub(super) struct Hasher {
    /// What there is of it.
    hashed: Option<Hashed>,
    /// Who asked for it, and gets it in the end.
    meter: Meter,
}

impl Hasher {
    /// Adds the octets of the file that begin at a place; there may have been some
    /// of them already, but none must be left out.
    pub(super) fn add(&mut self, at: u64, octets: &[u8]) {
        if let Some(hashed) = &mut self.hashed {
            let known = usize::try_from(hashed.octets.saturating_sub(at)).unwrap_or(usize::MAX);
            hashed.add(octets.get(known..).unwrap_or_default());
        }
    }
}

impl Drop for Hasher {
    fn drop(&mut self) {
        self.meter.passed().hashed = self.hashed.take();
    }
}

/// A reader through which a file passes in its order.
pub(super) struct Tap<R> {
    /// Where it comes from.
    reader: R,
    /// What has passed.
    meter: Meter,
    /// Who is told how much.
    progress: Progress,
}

impl<R> Tap<R> {
    /// Meters a reader from its beginning on.
    pub(super) fn new(reader: R, meter: Meter, progress: Progress) -> Self {
        Self {
            reader,
            meter,
            progress,
        }
    }
}

impl<R: Read> Read for Tap<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        let mut passed = self.meter.passed();
        passed.octets += count as u64;
        if let Some(hashed) = &mut passed.hashed {
            hashed.add(buffer.get(..count).unwrap_or_default());
        }
        self.progress.read(count as u64);
        Ok(count)
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest of `abc` is that of FIPS 180-2, appendix B.1.
    #[test]
    fn the_digest_is_that_of_all_octets() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for (length, digests, expected) in
            [(3, true, Some(expected)), (4, true, None), (3, false, None)]
        {
            let meter = Meter::new(digests);
            let mut tap = Tap::new(&b"abc"[..], meter.clone(), Progress::default());
            io::copy(&mut tap, &mut io::sink()).unwrap();
            assert_eq!(meter.digest(length).as_deref(), expected);
        }
    }

    /// The same digest, made elsewhere from some octet on.
    #[test]
    fn a_digest_may_be_taken_over() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for passed in 0..=3 {
            for at in 0..=passed {
                let meter = Meter::new(true);
                let mut tap = Tap::new(&b"abc"[..], meter.clone(), Progress::default());
                tap.read_exact(&mut [0; 3][..passed]).unwrap();
                let mut hasher = meter.take_over().unwrap();
                assert!(meter.take_over().is_none());
                // What passes now is given by whoever took over.
                io::copy(&mut tap, &mut io::sink()).unwrap();
                let (first, second) = b"abc"[at..].split_at((3 - at) / 2);
                hasher.add(at as u64, first);
                hasher.add((at + first.len()) as u64, second);
                drop(hasher);
                assert_eq!(meter.digest(3).as_deref(), Some(expected));
            }
        }
        assert!(Meter::new(false).take_over().is_none());
    }
}
