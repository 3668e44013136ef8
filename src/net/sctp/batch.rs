//! Many messages with one system call, where the kernel has such calls.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use super::layout::{Notification, ReceiveControl, SendControl};
use super::socket::{Parcel, Received};
use super::sys::{self, BATCH_MAX, Outgoing, Slot};

/// Octets of each part of a receive buffer: most messages fit one, and larger
/// ones come in several.
const SLOT_LEN: usize = 2 * 1024;

/// Sends the first of `parcels`, at most a batch, and returns how many of them
/// were taken.
pub(super) fn send(fd: BorrowedFd<'_>, parcels: &[Parcel<'_>]) -> io::Result<usize> {
    let mut batch = [Outgoing::EMPTY; BATCH_MAX];
    let mut given = 0;
    for (outgoing, parcel) in batch.iter_mut().zip(parcels) {
        outgoing.octets = parcel.octets;
        outgoing.control = SendControl::new(parcel.stream, parcel.ppid);
        given += 1;
    }
    match batch.get(..given).unwrap_or_default() {
        [] => return Ok(0),
        [only] => return sys::send_one(fd, only, false).map(|()| 1),
        // All but the last may wait for those behind them, so that a packet
        // takes as many as fit: packets are what sending costs. Sooner or later
        // the last one is sent, which sends whatever has waited.
        [several @ .., last] if BATCHES.load(Ordering::Relaxed) => {
            match sys::send_many(fd, several, true) {
                Ok(sent) if sent == several.len() => {
                    let last = sys::send_one(fd, last, false);
                    return Ok(sent + usize::from(last.is_ok()));
                }
                Err(error) if is_unsupported(&error) => {}
                result => return result,
            }
        }
        _ => {}
    }
    // Whatever comes after the first message is tried again by the caller.
    batch
        .first()
        .map_or(Ok(0), |first| sys::send_one(fd, first, false).map(|()| 1))
}

//----------- ReceiveBuffer

/// Where messages are received, a batch at a time. It holds nothing between
/// two calls, so one serves any number of sockets.
#[derive(Debug)]
pub struct ReceiveBuffer {
    /// The octets, in parts of [`SLOT_LEN`].
    octets: Box<[u8]>,
    /// Control data of each part.
    controls: Box<[ReceiveControl; BATCH_MAX]>,
    /// What came in each part.
    slots: [Slot; BATCH_MAX],
    /// How many parts were filled.
    filled: usize,
}

impl Default for ReceiveBuffer {
    fn default() -> Self {
        Self::with_slots(BATCH_MAX)
    }
}

impl ReceiveBuffer {
    /// A buffer with which every message takes a system call.
    #[must_use]
    pub fn one_by_one() -> Self {
        Self::with_slots(1)
    }

    /// A buffer for so many parts at once.
    fn with_slots(slots: usize) -> Self {
        Self {
            octets: vec![0; slots * SLOT_LEN].into(),
            controls: Box::new([ReceiveControl::default(); BATCH_MAX]),
            slots: [Slot::default(); BATCH_MAX],
            filled: 0,
        }
    }

    /// Receives what is there, as much as there is room for.
    pub(super) fn fill(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.filled = 0;
        if self.octets.len() > SLOT_LEN && BATCHES.load(Ordering::Relaxed) {
            let Self {
                octets,
                controls,
                slots,
                ..
            } = self;
            match sys::receive_many(fd, octets, SLOT_LEN, controls, slots) {
                Ok(filled) => {
                    self.filled = filled;
                    return Ok(());
                }
                Err(error) if is_unsupported(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let [control, ..] = &mut *self.controls;
        let [slot, ..] = &mut self.slots;
        let part = self.octets.get_mut(..SLOT_LEN).unwrap_or_default();
        *slot = sys::receive_one(fd, part, control)?;
        self.filled = 1;
        Ok(())
    }

    /// Shows what was received. `notifying` is whether a notification of the
    /// socket has not ended yet: one that is longer than a part quotes what
    /// could not be sent, and none of that is to be taken for a notification.
    pub(super) fn show(&self, notifying: &AtomicBool, sink: &mut impl FnMut(Received<'_>)) {
        let parts = self.octets.chunks_exact(SLOT_LEN);
        let filled = parts.zip(&self.slots).zip(self.controls.iter());
        for ((octets, slot), control) in filled.take(self.filled) {
            let octets = octets.get(..slot.len).unwrap_or_default();
            let ends = slot.flags & libc::MSG_EOR != 0;
            if slot.flags & MSG_NOTIFICATION != 0 {
                if !notifying.swap(!ends, Ordering::Relaxed) {
                    let notification = Notification::read(octets);
                    sink(Received::Notification(notification));
                    // Where the shutdown was ours, nothing else tells its end.
                    if notification == Notification::Closed {
                        sink(Received::End);
                    }
                }
                continue;
            }
            if octets.is_empty() {
                sink(Received::End);
                break;
            }
            let (stream, ppid) = control.read(slot.control_len);
            sink(Received::Data {
                octets,
                stream,
                ppid,
                ends,
            });
        }
    }
}

/// The flag of notifications, which the C library does not declare.
const MSG_NOTIFICATION: libc::c_int = 0x8000;

/// Whether the system calls for batches are there: some sandboxes lack them.
static BATCHES: AtomicBool = AtomicBool::new(true);

/// Whether a system call for batches is not there; if so, it is not tried any
/// more.
fn is_unsupported(error: &io::Error) -> bool {
    let unsupported = error.raw_os_error() == Some(libc::ENOSYS);
    if unsupported {
        BATCHES.store(false, Ordering::Relaxed);
    }
    unsupported
}
