//! After warm-up, the path from a frame to the octets of its answer allocates
//! nothing and frees nothing: counted, not believed.
#![allow(unsafe_code, reason = "a global allocator cannot be had without")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use support::bench::{
    BLACK, BOUND, BOUND_IMSI, EXCEPTED_IMSI, GREY, UNKNOWN, WHITE, rulebook_with_everything,
};
use support::bytes::{Request, base, group, terminal_of};
use support::{Bench, Read, assert_answer_obeys_rules};
use weir::policy::Verdict;
use weir::service::{Checked, Observer};

//----------- The counter -----------------------------------------------------

thread_local! {
    /// Allocations and deallocations of this thread. Other threads, those of
    /// the test harness among them, count for themselves.
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { taken: 0, freed: 0 }) };
}

/// How often memory was taken and freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    /// Allocations; moving one counts here too.
    taken: u64,
    /// Deallocations; moving an allocation counts here too.
    freed: u64,
}

impl Counts {
    /// The counts of this thread so far.
    fn now() -> Self {
        COUNTS.get()
    }

    /// Adds to the counts of this thread. A thread that is about to end has
    /// none any more, which is as good.
    fn add(taken: u64, freed: u64) {
        let _ = COUNTS.try_with(|counts| {
            let so_far = counts.get();
            counts.set(Self {
                taken: so_far.taken + taken,
                freed: so_far.freed + freed,
            });
        });
    }

    /// What was counted since `earlier`.
    fn since(self, earlier: Self) -> (u64, u64) {
        (self.taken - earlier.taken, self.freed - earlier.freed)
    }
}

/// The system's allocator, counted.
struct Counting;

// SAFETY: every call is handed on to the system's allocator as it came; the
// counter in front neither allocates (it is a constant-initialised cell
// without a destructor) nor touches the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counts::add(1, 0);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Counts::add(0, 1);
        // SAFETY: `pointer` came from `alloc` above, so from the system.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Counts::add(1, 0);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Counts::add(1, 1);
        // SAFETY: `pointer` came from `alloc` above, so from the system.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Counts for the whole of this test program.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

//----------- Tests -----------------------------------------------------------

/// One request of every kind that a connection answers, and the Result-Code
/// or status it must get.
fn kinds() -> Vec<(Vec<u8>, Result<u32, u32>)> {
    let imsi = |request: Request, imsi: &str| request.instead(1, base(1, imsi));
    let proxy = base(284, group(&[base(280, "dra"), base(33, "state")]));
    let kinds = [
        (Request::ecr(WHITE), Ok(0)),
        (Request::ecr(BLACK), Ok(1)),
        (Request::ecr(GREY), Ok(2)),
        (Request::ecr(UNKNOWN), Err(5422)),
        (imsi(Request::ecr(BLACK), EXCEPTED_IMSI), Ok(0)),
        (imsi(Request::ecr(BOUND), BOUND_IMSI), Ok(0)),
        (imsi(Request::ecr(WHITE), BOUND_IMSI), Ok(1)),
        (
            Request::ecr(WHITE).instead(1401, terminal_of("none")),
            Err(5004),
        ),
        (Request::ecr(WHITE).without(1401), Err(5005)),
        (Request::ecr(WHITE).with(base(9999, "x")), Err(5001)),
        (Request::ecr(GREY).with(proxy.clone()).with(proxy), Ok(2)),
        (
            Request {
                application: 16_777_251,
                ..Request::ecr(WHITE)
            },
            Err(3007),
        ),
        (Request::ecr(WHITE).with(base(293, "other")), Err(3002)),
    ];
    kinds
        .into_iter()
        .map(|(request, want)| (request.bytes(), want))
        .collect()
}

#[test]
fn the_counter_counts() {
    let before = Counts::now();
    let boxed = std::hint::black_box(Box::new(1_u64));
    assert_eq!(Counts::now().since(before), (1, 0));
    drop(boxed);
    assert_eq!(Counts::now().since(before), (1, 1));
    let mut grown = std::hint::black_box(Vec::with_capacity(1));
    grown.push(1_u8);
    grown.reserve_exact(1000);
    assert_eq!(Counts::now().since(before), (3, 2));
}

/// Counts what shadows would change.
#[derive(Default)]
struct Shadowed(usize);

impl Observer for Shadowed {
    fn shadowed(&mut self, _: &Checked<'_>, _: &Verdict) {
        self.0 += 1;
    }
}

#[test]
fn ten_thousand_requests_allocate_nothing() {
    assert_eq!(answer_ten_thousand(Bench::open()), 0);
}

/// Shadows, special rules and all else that a policy can have are no reason
/// to allocate either, nor to answer otherwise.
#[test]
fn nor_do_they_with_everything_in_force() {
    let mut bench = Bench::open();
    bench.rulebook = rulebook_with_everything();
    assert!(answer_ten_thousand(bench) > 1000);
}

/// Answers requests of all kinds, and counts what is allocated; returns how
/// many answers the shadows would have changed.
fn answer_ten_thousand(mut bench: Bench) -> usize {
    let kinds = kinds();
    // Batches of different sizes, begun with different kinds.
    let batches: Vec<Vec<u8>> = (0..kinds.len())
        .map(|start| {
            let mut order = kinds.clone();
            order.rotate_left(start);
            order.truncate(start + 1);
            order.into_iter().flat_map(|(request, _)| request).collect()
        })
        .collect();
    let in_batches: usize = (1..=kinds.len()).sum();

    // Warm-up, which is the check as well: every answer is the right one.
    for batch in &batches {
        bench.feed(batch);
        assert!(bench.input.is_empty());
    }
    let answers = Read::stream(&bench.out);
    assert_eq!(answers.len(), in_batches);
    for (start, batch) in batches.iter().enumerate() {
        let requests = Read::stream(batch);
        for (at, request) in requests.iter().enumerate() {
            let (_, want) = kinds[(start + at) % kinds.len()];
            let before: usize = (1..=start).sum();
            let answer = assert_answer_obeys_rules(request, &answers[before + at]);
            assert_eq!(answer.verdict(), want);
        }
    }

    let Bench {
        connection,
        rulebook,
        now,
        out,
        ..
    } = &mut bench;
    let rounds = 10_000 / in_batches + 1;
    let mut shadowed = Shadowed::default();
    let before = Counts::now();
    let mut consumed = 0;
    let mut composed = 0;
    for _ in 0..rounds {
        for batch in &batches {
            out.clear();
            consumed += connection.handle_input(*now, batch, rulebook, out, &mut shadowed);
            composed += out.len();
        }
    }
    let (taken, freed) = Counts::now().since(before);
    let octets: usize = batches.iter().map(Vec::len).sum();
    assert_eq!(consumed, rounds * octets, "everything was answered");
    assert!(composed > rounds * in_batches * 100);
    assert_eq!((taken, freed), (0, 0), "allocations and deallocations");
    shadowed.0
}

/// The watchdog and its answer are on the same path.
#[test]
fn watchdogs_allocate_nothing() {
    let mut bench = Bench::open();
    let dwr = Request::dwr().bytes();
    // Room for both messages, as a connection that has served has.
    bench.out.reserve(1024);
    let before = Counts::now();
    for _ in 0..1000 {
        bench.out.clear();
        let due = bench.connection.next_timeout();
        bench.now.uptime = due.unwrap_or(bench.now.uptime);
        bench
            .connection
            .handle_timeout(bench.now.uptime, &mut bench.out);
        bench
            .connection
            .handle_input(bench.now, &dwr, &bench.rulebook, &mut bench.out, &mut ());
    }
    assert_eq!(Counts::now().since(before), (0, 0));
    assert_eq!(Read::stream(&bench.out).len(), 2, "a DWR and a DWA");
    assert_eq!(bench.connection.ending(), None);
}
