//! What entries other than single devices cost: octets in memory, and the time of
//! a verdict that finds one.
//!
//! ```text
//! cargo bench --bench entries
//! WEIR_BENCH_ENTRIES=1000000,10000000 WEIR_BENCH_KINDS=bindings,ranges cargo bench --bench entries
//! ```
//!
//! Beside each stands what one random line of memory of the same size costs, on
//! huge pages and taken in turns: where the verdict waits for the one before, and
//! in batches of 32. The verdicts of a batch are prefetched where there is a way.
//! Everything that a verdict does is in these times, not the index alone.
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

#[path = "support/scatter.rs"]
mod scatter;

use std::env;
use std::hint::black_box;
use std::time::Instant;

use scatter::{below, scatter};
use weir::equipment::devices::BATCH;
use weir::equipment::{
    BindingSpec, Builder, CheckDigit, Device, Imei, Imsi, Octets, RuleSpec, Scope, Section, Status,
    Subscribers, Svn, Validity,
};
use weir::policy::{Inquiry, PolicySpec, Rulebook};
use weir::time::UnixTime;

/// Verdicts that are timed.
const QUESTIONS: u64 = 1 << 18;
/// How often everything is taken; what is shown is the middle.
const ROUNDS: usize = 5;

/// What entries there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A subscriber tied to a device.
    Bindings,
    /// Ranges of a few devices, beside each other.
    Ranges,
    /// TACs.
    Tacs,
    /// Devices with a software version.
    Svns,
}

impl Kind {
    /// The kind with this name.
    fn named(name: &str) -> Self {
        match name {
            "bindings" => Self::Bindings,
            "ranges" => Self::Ranges,
            "tacs" => Self::Tacs,
            "svns" => Self::Svns,
            _ => panic!("{name}: the kinds are bindings, ranges, tacs and svns"),
        }
    }

    /// The device of an entry of so many.
    fn device(self, number: u64, count: u64) -> Device {
        let number = match self {
            // Each its own, as there are no more than a hundred million.
            Self::Tacs => {
                let step = 100_000_000 / count;
                number * step * 1_000_000 + scatter(number) % 1_000_000
            }
            Self::Ranges => number * (100_000_000_000_000 / count) + 5,
            Self::Bindings | Self::Svns => scatter(number) % 100_000_000_000_000,
        };
        Device::from_number(number).expect("fourteen digits")
    }

    /// The subscriber of an entry.
    fn imsi(self, number: u64) -> Option<Imsi> {
        let digits = 1_010_000_000_000 + scatter(number) % 10_000_000_000;
        let imsi = || Imsi::parse(format!("{digits:015}").as_bytes()).expect("an IMSI");
        (self == Self::Bindings).then(imsi)
    }

    /// A register of so many.
    fn register(self, count: u64) -> Rulebook {
        let mut builder = Builder::new();
        let list = builder.list("list", Status::Blacklisted).expect("a list");
        let bound = builder.binding_list("bound", Status::Blacklisted, None);
        let bound = bound.expect("a list");
        let file = builder.file("list.csv").expect("a file");
        for (number, line) in (0..count).zip(1..) {
            let device = self.device(number, count);
            let scope = match self {
                Self::Bindings => Scope::Device(device),
                Self::Ranges => Scope::Range {
                    from: Device::from_number(device.number() - 5).expect("a device"),
                    to: device,
                },
                Self::Tacs => Scope::Tac(device.tac()),
                Self::Svns => Scope::DeviceSvn(device, Svn::from_number(7).expect("an SVN")),
            };
            let validity = Validity::ALWAYS;
            let reason = None;
            if let Some(imsi) = self.imsi(number) {
                let binding = BindingSpec {
                    subscribers: Subscribers::One(imsi),
                    scope,
                    validity,
                    reason,
                    file,
                    line,
                };
                builder.binding(bound, binding).expect("room");
            } else {
                let rule = RuleSpec {
                    scope,
                    status: Status::Blacklisted,
                    validity,
                    reason,
                    exceptions: &[],
                    file,
                    line,
                };
                builder.rule(list, rule).expect("room");
            }
        }
        Rulebook::new(
            builder.finish(),
            None,
            PolicySpec::new("default"),
            Vec::new(),
        )
        .expect("a rulebook")
    }
}

/// Octets that lookups need.
fn resident(book: &Rulebook) -> usize {
    let sections = book.snapshot().sections().expect("sections");
    let own = sections
        .iter()
        .filter(|own| !Section::LEFT.contains(&own.name));
    own.map(|own| own.octets.len()).sum()
}

/// A question.
fn inquiry(device: Device, imsi: Option<Imsi>) -> Inquiry<'static> {
    Inquiry {
        imei: Ok(Imei {
            device,
            svn: Svn::from_number(7),
            check_digit: CheckDigit::Absent,
        }),
        svn: None,
        imsi,
        origin_host: b"",
        origin_realm: b"",
        route_record: None,
    }
}

/// Nanoseconds of one of the questions.
fn time(run: impl FnOnce() -> u64) -> f64 {
    let start = Instant::now();
    black_box(run());
    start.elapsed().as_secs_f64() * 1e9 / QUESTIONS as f64
}

/// The middle one.
fn middle(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Measures one kind.
fn measure(kind: Kind, count: u64) {
    let start = Instant::now();
    let book = kind.register(count);
    let built = count as f64 / start.elapsed().as_secs_f64() / 1e6;
    let octets = resident(&book);
    let chosen = |number: u64| below(scatter(number ^ 0x5555), count);
    let questions: Vec<Inquiry<'_>> = (0..QUESTIONS)
        .map(|number| {
            inquiry(
                kind.device(chosen(number), count),
                kind.imsi(chosen(number)),
            )
        })
        .collect();
    let mut lines = Octets::zeroed(octets.max(64));
    lines
        .as_mut_slice()
        .iter_mut()
        .step_by(4096)
        .for_each(|octet| *octet = 1);
    let lines = lines.as_slice();
    let line = |bits: u64| u64::from(lines[below(bits, lines.len() as u64) as usize]);
    let ask = |question: &Inquiry<'_>| {
        let verdict = book.decide(black_box(question), UnixTime(0));
        u64::from(verdict.policy.number())
    };
    let mut times: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        times[0].push(time(|| {
            (0..QUESTIONS).fold(0, |last, number| line(scatter(number ^ last)) & 1)
        }));
        times[1].push(time(|| {
            (0..questions.len()).fold(0, |last, place| ask(&questions[place + last as usize]))
        }));
        times[2].push(time(|| {
            (0..QUESTIONS).map(|number| line(scatter(number))).sum()
        }));
        times[3].push(time(|| {
            let batches = questions.chunks(BATCH).map(|batch| {
                book.prefetch(batch.iter());
                batch.iter().map(ask).sum::<u64>()
            });
            batches.sum()
        }));
    }
    let [line, verdict, batch_line, batch] = times.each_mut().map(|times| middle(times));
    println!(
        "| {kind:?} | {count} | {:.1} | {built:.1} | {line:.0} | {verdict:.0} | {batch_line:.0} | {batch:.0} |",
        octets as f64 / count as f64
    );
}

fn main() {
    let words = |name, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    println!(
        "| Kind | Entries | Octets each | Built, million/s | Line, ns | Verdict | Line of a batch | \
         Verdict of a batch |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for kind in words("WEIR_BENCH_KINDS", "bindings,ranges,tacs,svns").split(',') {
        for count in words("WEIR_BENCH_ENTRIES", "1000,1000000").split(',') {
            measure(Kind::named(kind), count.parse().expect("a number"));
        }
    }
}
