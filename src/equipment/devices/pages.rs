//! Memory for lines: large arrays stand on huge pages, since with 4 KiB pages a
//! random line costs the fetch of its page's address besides its own.
#![allow(unsafe_code)]

use core::fmt;
use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::slice;
use std::alloc::{self, Layout};
use std::sync::Arc;

use super::line::Line;

/// Memory that belongs to somebody else, such as a file that is mapped, and in
/// which tables may stand.
///
/// # Safety
///
/// Whoever implements it promises that [`octets`](Region::octets) gives the same
/// memory for as long as the value lives, and that nobody writes to it.
pub unsafe trait Region: fmt::Debug + Send + Sync {
    /// All of it.
    fn octets(&self) -> &[u8];
}

/// Zeroed lines, of which there may be more later.
///
/// Arrays from [`MAPPED_MIN`] on are mappings of their own whose pages the
/// kernel is asked to make huge; if it does not, all is the same, only slower.
/// Memory that is set aside costs nothing before it is written to.
pub(in crate::equipment) struct Lines {
    /// The first of `room` lines; dangling if that is 0. Those from `len` on
    /// are zero.
    start: NonNull<Line>,
    /// How many there are.
    len: usize,
    /// How many there is room for.
    room: usize,
    /// Whose memory it is, if it is not this value's own. Then it is only read:
    /// whoever wants to write gets a copy.
    owner: Option<Arc<dyn Region>>,
}

/// Octets from which on an array is a mapping: where the second huge page
/// begins, a half-empty last one is a third of it at most.
const MAPPED_MIN: usize = match cfg!(target_os = "linux") {
    true => 2 * HUGE_PAGE,
    false => usize::MAX,
};

/// Octets of a huge page of x86-64, and of other processors with 4 KiB pages.
const HUGE_PAGE: usize = 2 << 20;

/// Octets of a page where none are larger; where they are, hints about less are
/// not taken.
const PAGE: usize = 4096;

// SAFETY: the memory is owned by its `Lines` alone, as that of a `Vec<Line>`, or
// it is a region's, which any thread may read.
unsafe impl Send for Lines {}
// SAFETY: through a shared reference it is only read.
unsafe impl Sync for Lines {}

impl Lines {
    /// Octets of one.
    pub(in crate::equipment) const LINE: usize = size_of::<Line>();

    /// No lines, with room for so many.
    pub(in crate::equipment) fn with_room(room: usize) -> Self {
        let (start, room) = allocate(room);
        Self {
            start,
            len: 0,
            room,
            owner: None,
        }
    }

    /// So many lines of a region, from the octet `from` on, which are not copied.
    /// `None` if there are not so many, or if that is no place for a line.
    pub(in crate::equipment) fn of_region(
        region: &Arc<dyn Region>,
        from: usize,
        len: usize,
    ) -> Option<Self> {
        let size = len.checked_mul(size_of::<Line>())?;
        let octets = region.octets().get(from..from.checked_add(size)?)?;
        let start = NonNull::from(octets).cast::<Line>();
        start.is_aligned().then(|| Self {
            start,
            len,
            room: len,
            owner: Some(Arc::clone(region)),
        })
    }

    /// So many lines.
    pub(in crate::equipment) fn zeroed(len: usize) -> Self {
        let mut lines = Self::with_room(len);
        lines.extend(len);
        lines
    }

    /// So many lines, on huge pages even if they are few: for what every lookup
    /// needs, so that its pages are at hand. The end of a huge page stays empty.
    pub(super) fn zeroed_on_huge_pages(len: usize) -> Self {
        let room = match cfg!(target_os = "linux") {
            true => len.max(MAPPED_MIN / Self::LINE),
            false => len,
        };
        let mut lines = Self::with_room(room);
        lines.extend(len);
        lines
    }

    /// Adds so many lines.
    pub(super) fn extend(&mut self, more: usize) {
        let len = self.len.saturating_add(more);
        if len > self.room {
            // Half as much again, so that each line moves a few times at most.
            let mut larger = Self::with_room(len.saturating_add(len / 2));
            larger.len = self.len;
            larger.copy_from_slice(self);
            *self = larger;
        }
        self.len = len;
    }

    /// Adds these lines.
    pub(in crate::equipment) fn append(&mut self, lines: &[Line]) {
        let before = self.len;
        self.extend(lines.len());
        if let Some(added) = self.get_mut(before..) {
            added.copy_from_slice(lines);
        }
    }

    /// Gives back the room that is not needed.
    pub(in crate::equipment) fn shrink(&mut self) {
        if self.owner.is_some() {
            return;
        }
        let (used, room) = (octets(self.len), octets(self.room));
        if room < MAPPED_MIN {
            if self.len < self.room {
                *self = self.clone();
            }
            return;
        }
        // A mapping stays one, and its last page is its own to the end.
        let used = used.next_multiple_of(HUGE_PAGE).max(MAPPED_MIN);
        if used < room {
            // SAFETY: the octets from `used` to `room`, both multiples of
            // pages, are a part of this mapping that no line stands in.
            unsafe { system::unmap(self.start.byte_add(used).cast(), room - used) };
            self.room = used / size_of::<Line>();
        }
    }
}

/// Has the system clear the pages of some memory at once, which takes half the time
/// that it takes to touch one after the other. A hint: without it everything is
/// the same, only later.
pub(crate) fn populate(memory: &mut [MaybeUninit<u8>]) {
    let before = memory.as_ptr().addr().wrapping_neg() % PAGE;
    if let Some(whole) = memory.get_mut(before..) {
        let size = whole.len() - whole.len() % PAGE;
        if size > 0 {
            // SAFETY: these are whole pages of memory that is borrowed alone,
            // and what it holds stays as it is.
            unsafe { system::populate(NonNull::from(whole).cast(), size) };
        }
    }
}

/// The octets of so many lines.
fn octets(lines: usize) -> usize {
    lines.saturating_mul(size_of::<Line>())
}

/// How zeroed memory for so many lines is asked for on the heap.
fn layout(room: usize) -> Layout {
    // More than there are addresses is refused like any memory that is not
    // there, but by a type that can say it.
    let layout = Layout::array::<Line>(room);
    layout.unwrap_or_else(|_| alloc::handle_alloc_error(Layout::new::<Line>()))
}

/// Zeroed memory for so many lines or some more, and for how many.
fn allocate(room: usize) -> (NonNull<Line>, usize) {
    let layout = layout(room);
    if room == 0 {
        return (NonNull::dangling(), 0);
    }
    if layout.size() >= MAPPED_MIN
        && let Some(size) = layout.size().checked_next_multiple_of(HUGE_PAGE)
    {
        let start = system::map(size).unwrap_or_else(|| alloc::handle_alloc_error(layout));
        return (start.cast(), size / size_of::<Line>());
    }
    // SAFETY: the layout is not of size 0.
    let start = unsafe { alloc::alloc_zeroed(layout) };
    match NonNull::new(start) {
        Some(start) => (start.cast(), room),
        None => alloc::handle_alloc_error(layout),
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if self.owner.is_some() {
            return;
        }
        let size = octets(self.room);
        if size >= MAPPED_MIN {
            // SAFETY: a mapping of this size, which nothing refers to any more.
            unsafe { system::unmap(self.start.cast(), size) };
        } else if self.room > 0 {
            // SAFETY: it was allocated with this layout.
            unsafe { alloc::dealloc(self.start.as_ptr().cast(), layout(self.room)) };
        }
    }
}

impl Deref for Lines {
    type Target = [Line];

    #[inline]
    fn deref(&self) -> &[Line] {
        // SAFETY: `start` is aligned, and `len` lines from it on are memory of
        // this value that was zeroed at first, or of a region that it keeps;
        // any octets are a line.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Lines {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Line] {
        if self.owner.is_some() {
            *self = self.clone();
        }
        // SAFETY: as in `deref`; the reference to this value is the only one,
        // and the memory is its own.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self::with_room(0)
    }
}

impl Clone for Lines {
    fn clone(&self) -> Self {
        let mut lines = Self::zeroed(self.len);
        lines.copy_from_slice(self);
        lines
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lines({})", self.len)
    }
}

/// Mappings on huge pages.
#[cfg(target_os = "linux")]
mod system {
    use core::ffi::c_void;
    use core::ptr::{self, NonNull};

    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

    use super::HUGE_PAGE;

    /// A mapping of `size` octets, a multiple of a huge page, that begins with
    /// one; `None` if there is no memory for it.
    pub(super) fn map(size: usize) -> Option<NonNull<c_void>> {
        // The kernel aligns mappings to small pages: one huge page more has
        // room for an aligned beginning, and what is left over goes back.
        let whole = size.checked_add(HUGE_PAGE)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping where the kernel has room for it.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), whole, access, flags) }.ok()?;
        let start = NonNull::new(start)?;
        let before = start.addr().get().wrapping_neg() % HUGE_PAGE;
        // SAFETY: both are parts of the new mapping that nothing refers to,
        // `before` is less than a huge page, and the rest lies between them.
        unsafe {
            unmap(start, before);
            let start = start.byte_add(before);
            unmap(start.byte_add(size), HUGE_PAGE - before);
            // Advice that is not taken changes nothing but the speed.
            let _ = madvise(start.as_ptr(), size, Advice::LinuxHugepage);
            Some(start)
        }
    }

    /// Has pages made that can be written to.
    ///
    /// # Safety
    ///
    /// They are whole pages, which belong to the caller.
    pub(super) unsafe fn populate(start: NonNull<c_void>, size: usize) {
        // SAFETY: as the caller says. What pages hold does not change; older
        // kernels refuse, and make them when they are written to.
        let _ = unsafe { madvise(start.as_ptr(), size, Advice::LinuxPopulateWrite) };
    }

    /// Gives a part of a mapping back.
    ///
    /// # Safety
    ///
    /// It begins and ends with pages and belongs to the caller, and nothing
    /// refers to it.
    pub(super) unsafe fn unmap(start: NonNull<c_void>, size: usize) {
        if size > 0 {
            // SAFETY: as the caller says. It fails only if the kernel has no
            // room to note it, and then the pages stay mapped and unused.
            let _ = unsafe { munmap(start.as_ptr(), size) };
        }
    }
}

/// Where nothing is known of huge pages there are no mappings.
#[cfg(not(target_os = "linux"))]
mod system {
    use core::ffi::c_void;
    use core::ptr::NonNull;

    /// See the function of this name above.
    pub(super) fn map(_size: usize) -> Option<NonNull<c_void>> {
        None
    }

    /// See the function of this name above.
    ///
    /// # Safety
    ///
    /// Always.
    pub(super) unsafe fn unmap(_start: NonNull<c_void>, _size: usize) {}

    /// See the function of this name above.
    ///
    /// # Safety
    ///
    /// Always.
    pub(super) unsafe fn populate(_start: NonNull<c_void>, _size: usize) {}
}

#[cfg(test)]
mod tests {
    use super::super::line::Cells;
    use super::*;

    /// A vector is the oracle, on both sides of the size of a mapping.
    #[test]
    fn lines_are_those_of_a_vector() {
        let border = 2 * HUGE_PAGE / size_of::<Line>();
        for room in [0, 1, 100, 3 * border] {
            let mut lines = Lines::with_room(room);
            let mut vector: Vec<Line> = Vec::new();
            for more in [0, 1, 99, border - 101, 1, 1, 2 * border] {
                lines.extend(more);
                vector.resize(vector.len() + more, Line::default());
                assert!(*lines == *vector);
                for (place, line) in lines.iter_mut().enumerate().skip(vector.len() - more) {
                    line.set_cell(Cells::new(2), place as u8, 1 + place as u64 % 3);
                    vector[place] = *line;
                }
                assert!(*lines == *vector && *lines.clone() == *vector);
                assert!(lines.as_ptr().is_aligned());
            }
            lines.shrink();
            assert!(*lines == *vector);
            lines.extend(5);
            assert!(lines[..vector.len()] == *vector);
            assert!(lines[vector.len()..] == [Line::default(); 5]);
        }
    }

    /// Lines as a region.
    #[derive(Debug)]
    struct Static(Box<[Line]>);

    // SAFETY: the memory of the box stays where it is, and nobody has it.
    unsafe impl Region for Static {
        fn octets(&self) -> &[u8] {
            bytemuck::cast_slice(&self.0)
        }
    }

    #[test]
    fn lines_of_a_region_are_read_there_and_written_elsewhere() {
        let mut all = vec![Line::default(); 10];
        for (place, line) in all.iter_mut().enumerate() {
            line.set_cell(Cells::new(4), 0, 1 + place as u64);
        }
        let region: Arc<dyn Region> = Arc::new(Static(all.clone().into_boxed_slice()));
        let line = size_of::<Line>();
        for (from, len) in [
            (0, 11),
            (line, 10),
            (line / 2, 1),
            (usize::MAX, 1),
            (0, usize::MAX),
        ] {
            assert!(
                Lines::of_region(&region, from, len).is_none(),
                "{from} {len}"
            );
        }
        let mut lines = Lines::of_region(&region, line, 9).unwrap();
        assert_eq!(Arc::strong_count(&region), 2);
        assert_eq!(lines.as_ptr().cast(), region.octets()[line..].as_ptr());
        lines.shrink();
        lines.extend(1);
        lines[9] = Line::default();
        lines[0] = Line::default();
        assert!(lines[1..9] == all[2..] && lines[0] == lines[9]);
        assert_eq!(Arc::strong_count(&region), 1);
        assert_eq!(*region.octets(), *bytemuck::cast_slice::<Line, u8>(&all));
    }

    #[test]
    fn what_is_given_back_is_gone() {
        let border = 2 * HUGE_PAGE / size_of::<Line>();
        let mut lines = Lines::with_room(8 * border);
        lines.extend(1);
        lines.shrink();
        assert_eq!(lines.room, border);
        let mut lines = Lines::with_room(100);
        lines.extend(1);
        lines.shrink();
        assert_eq!(lines.room, 1);
    }

    #[test]
    fn what_is_populated_holds_what_it_held() {
        for (length, room) in [(0, 0), (5, 100), (3 * PAGE + 7, 5 * PAGE), (9, HUGE_PAGE)] {
            let mut octets = Vec::with_capacity(room);
            octets.resize(length, 7u8);
            populate(octets.spare_capacity_mut());
            octets.resize(room, 8);
            let (first, rest) = octets.split_at(length);
            assert!(first.iter().all(|&octet| octet == 7));
            assert!(rest.iter().all(|&octet| octet == 8));
        }
    }
}
