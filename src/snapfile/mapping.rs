//! A file as memory.
#![allow(unsafe_code)]

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::slice;
use std::fs::{self, File};
use std::ops::Range;
use std::sync::Arc;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};

use crate::equipment::devices::Region;

/// A file that is mapped for reading, from its beginning to the end of its last
/// page.
///
/// It begins where a huge page may, so that the kernel can map the page cache
/// by huge pages where it has such.
#[derive(Debug)]
pub(super) struct Mapping {
    /// Where it begins.
    start: NonNull<c_void>,
    /// How many octets it has: whole pages.
    size: usize,
    /// The file, open for as long as it is mapped.
    #[cfg(feature = "server")]
    file: File,
}

/// Octets of a huge page of x86-64, and of other processors with 4 KiB pages.
const HUGE_PAGE: usize = 2 << 20;
/// The largest page that there is on Linux: a mapping that is longer than the
/// file by less than that is still one of its pages.
const PAGE: usize = 4096;

// SAFETY: the memory is only read, but for `take_over`, which changes nothing
// of what it holds.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a file of this length; `None` if the system does not.
    pub(super) fn new(file: &File, length: u64) -> Option<Arc<Self>> {
        // Of larger pages the last one may not be there to its end.
        if length == 0 || rustix::param::page_size() != PAGE {
            return None;
        }
        let size = usize::try_from(length)
            .ok()?
            .checked_next_multiple_of(PAGE)?;
        let start = reserve(size)?;
        // SAFETY: these pages have just been reserved, and nothing refers to
        // them.
        let mapped = unsafe {
            let flags = MapFlags::SHARED | MapFlags::FIXED;
            mmap(start.as_ptr(), size, ProtFlags::READ, flags, file, 0)
        };
        let this = Self {
            start,
            size,
            #[cfg(feature = "server")]
            file: file.try_clone().ok()?,
        };
        mapped.ok()?;
        // SAFETY: advice for this mapping; what is not taken changes nothing.
        let _ = unsafe { madvise(start.as_ptr(), size, Advice::LinuxHugepage) };
        Some(Arc::new(this))
    }

    /// The file.
    #[cfg(feature = "server")]
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Has a part brought into memory, and into the page tables, at once.
    pub(super) fn populate(&self, part: Range<u64>) {
        let from = usize::try_from(part.start).unwrap_or(usize::MAX) / PAGE * PAGE;
        let end = usize::try_from(part.end).unwrap_or(usize::MAX);
        let end = end.min(self.size);
        if from < end {
            // SAFETY: the part lies within this mapping. A kernel that does not
            // know the advice brings the pages when they are read.
            let _ = unsafe {
                let start = self.start.as_ptr().byte_add(from);
                madvise(start, end - from, Advice::LinuxPopulateRead)
            };
        }
    }

    /// Whether most of what is in memory is on huge pages.
    pub(super) fn is_huge(&self) -> bool {
        let Ok(text) = fs::read_to_string("/proc/self/smaps") else {
            return false;
        };
        let first = format!("{:x}-", self.start.addr());
        let own = text.lines().skip_while(|line| !line.starts_with(&first));
        let kilobytes = |name: &str| {
            let mut fields = own.clone().filter_map(|line| line.strip_prefix(name));
            let number = fields.next()?.trim().strip_suffix("kB")?;
            number.trim().parse::<u64>().ok()
        };
        match (kilobytes("Rss:"), kilobytes("FilePmdMapped:")) {
            (Some(all), Some(huge)) => huge > all / 2,
            _ => false,
        }
    }

    /// Puts memory of its own with the same content in the place of the mapped
    /// file, which it then has nothing to do with any more. Whoever reads it
    /// meanwhile sees no difference. False if that does not work.
    #[cfg(feature = "server")]
    pub(super) fn take_over(&self) -> bool {
        use std::os::unix::fs::FileExt;

        use rustix::mm::{MremapFlags, mremap_fixed};

        let Some(copy) = reserve(self.size) else {
            return false;
        };
        // SAFETY: `copy` is a reservation of this size that nothing refers to;
        // it is made memory that can be written.
        let made = unsafe {
            let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
            let access = ProtFlags::READ | ProtFlags::WRITE;
            mmap_anonymous(copy.as_ptr(), self.size, access, flags).inspect(|_| {
                let _ = madvise(copy.as_ptr(), self.size, Advice::LinuxHugepage);
            })
        };
        let filled = made.is_ok() && {
            // SAFETY: it was made, so that it is zeroed memory of this size, which
            // only this slice refers to.
            let octets = unsafe { slice::from_raw_parts_mut(copy.as_ptr().cast(), self.size) };
            fill(octets, |octets, offset| self.file.read_at(octets, offset))
        };
        // SAFETY: the kernel moves the pages of the copy to where the file is
        // mapped and takes that away in one step; readers see octets of the same
        // values before and after, and nothing else refers to the copy.
        let moved = filled
            && unsafe {
                let to = self.start.as_ptr();
                let flags = MremapFlags::MAYMOVE;
                mremap_fixed(copy.as_ptr(), self.size, self.size, flags, to).is_ok()
            };
        if !moved {
            // SAFETY: the reservation is still where it was, and nothing refers
            // to it.
            let _ = unsafe { munmap(copy.as_ptr(), self.size) };
        }
        moved
    }
}

/// Fills octets from their place on; false if there are errors or too few. What
/// is behind the end of the last page of a file is zero, as it is in the
/// mapping.
#[cfg(feature = "server")]
fn fill(octets: &mut [u8], read_at: impl Fn(&mut [u8], u64) -> std::io::Result<usize>) -> bool {
    let size = octets.len();
    let mut done = 0;
    while let Some(rest) = octets.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match read_at(rest, done as u64) {
            Ok(0) => return size - done < PAGE,
            Ok(count) => done += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}

/// Addresses for so many octets, beginning with a huge page; without memory.
fn reserve(size: usize) -> Option<NonNull<c_void>> {
    let whole = size.checked_add(HUGE_PAGE)?;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping where the kernel has room for it.
    let start =
        unsafe { mmap_anonymous(ptr::null_mut(), whole, ProtFlags::empty(), flags) }.ok()?;
    let start = NonNull::new(start)?;
    let before = start.addr().get().wrapping_neg() % HUGE_PAGE;
    // SAFETY: both are parts of the new mapping that nothing refers to, before
    // and behind the part that is kept. What cannot be given back stays unused.
    unsafe {
        if before > 0 {
            let _ = munmap(start.as_ptr(), before);
        }
        let start = start.byte_add(before);
        if before < HUGE_PAGE {
            let _ = munmap(start.as_ptr().byte_add(size), HUGE_PAGE - before);
        }
        Some(start)
    }
}

// SAFETY: the mapping stays until the value is dropped. Others can write to the
// file, which no program can rule out; that is why a mapping is guarded where
// the system lets it be, and why the documentation warns of it.
unsafe impl Region for Mapping {
    fn octets(&self) -> &[u8] {
        // SAFETY: mapped for reading from `start` on for `size` octets.
        unsafe { slice::from_raw_parts(self.start.as_ptr().cast(), self.size) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // The file may stay open for what was left in it, and is not to be
        // guarded any more.
        #[cfg(feature = "server")]
        super::guard::give_back(&self.file);
        // SAFETY: nothing refers to it any more: whoever does keeps this value.
        let _ = unsafe { munmap(self.start.as_ptr(), self.size) };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A file of so many octets that tell their place.
    fn file(length: usize) -> (File, Vec<u8>) {
        let octets: Vec<u8> = (0..length).map(|place| (place / 7 % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&octets).unwrap();
        (file, octets)
    }

    #[test]
    fn a_mapping_is_the_file_and_zeros() {
        for length in [1, 4096, 5 << 20, (2 << 20) + 1] {
            let (file, octets) = file(length);
            let mapping = Mapping::new(&file, length as u64).unwrap();
            mapping.populate(0..length as u64);
            mapping.populate(length as u64 / 2..u64::MAX);
            let (own, behind) = mapping.octets().split_at(length);
            assert!(own == octets && behind.len() < PAGE && behind.iter().all(|&octet| octet == 0));
            assert_eq!(mapping.start.addr().get() % HUGE_PAGE, 0);
            let _ = mapping.is_huge();
        }
        assert!(Mapping::new(&file(0).0, 0).is_none());
    }

    #[cfg(feature = "server")]
    #[test]
    fn what_is_taken_over_outlives_the_file() {
        let length = (5 << 20) + 77;
        let (file, octets) = file(length);
        let mapping = Mapping::new(&file, length as u64).unwrap();
        assert!(mapping.take_over());
        // To read what is mapped of a file that was cut short would be fatal.
        file.set_len(0).unwrap();
        assert!(mapping.octets()[..length] == octets);
        // From a file that is no longer whole nothing is taken.
        assert!(!Mapping::new(&file, length as u64).unwrap().take_over());
    }
}
