//! What passes when a file is read: how much, and its digest.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

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
    /// Their digest, if it is wanted.
    hasher: Option<Sha256>,
}

impl Meter {
    /// A meter of nothing yet.
    pub(super) fn new(digests: bool) -> Self {
        let passed = Passed {
            octets: 0,
            hasher: digests.then(Sha256::new),
        };
        Self(Arc::new(Mutex::new(passed)))
    }

    /// SHA-256 of a file of so many octets, as `sha256sum` prints it, if all of
    /// them have passed and a digest was wanted.
    pub(super) fn digest(&self, length: u64) -> Option<String> {
        let mut passed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hasher = passed.hasher.take().filter(|_| passed.octets == length)?;
        let octets = hasher.finalize();
        Some(octets.iter().map(|octet| format!("{octet:02x}")).collect())
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
        let mut passed = (self.meter.0.lock()).unwrap_or_else(PoisonError::into_inner);
        passed.octets += count as u64;
        if let Some(hasher) = &mut passed.hasher {
            hasher.update(buffer.get(..count).unwrap_or_default());
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
}
