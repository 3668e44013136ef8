//! The loops that send requests and take answers, on one thread.

use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::answer::Outcome;
use crate::link::{Link, Peer};
use crate::processes::{Processor, own_cpu_time, processor};
use crate::script::Script;
use crate::stream::Calls;
use crate::tls::Credentials;

/// What is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to ask.
    pub address: Address,
    /// What secures that.
    pub credentials: Credentials,
    /// What that is.
    pub peer: Peer,
    /// Its process, if its processor time is to be told.
    pub process: Option<u32>,
    /// Connections.
    pub connections: usize,
    /// How requests are paced.
    pub pace: Pace,
    /// How long before measuring begins.
    pub warmup: Duration,
    /// How long is measured.
    pub duration: Duration,
}

/// How requests are paced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as answers come, with so many outstanding on each connection.
    Closed(usize),
    /// So many a second, all connections together, whether answers come or
    /// not. Latency counts from the moment that a request was due.
    Open(u64),
}

/// Outstanding on one connection in an open loop, at most: a server that is so
/// far behind does not keep up.
const OPEN_WINDOW: usize = 1 << 14;

/// How long after the end answers are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Latencies up to this many nanoseconds are told apart; longer ones count as
/// this.
const LATENCY_MAX: u64 = 60_000_000_000;

/// What came of a run.
#[derive(Debug)]
pub struct Measured {
    /// Time measured.
    pub elapsed: Duration,
    /// Answers in that time.
    pub answers: u64,
    /// Of these, what they said: whitelisted, blacklisted, greylisted, unknown.
    pub outcomes: Outcomes,
    /// Answers that were wrong.
    pub wrong: u64,
    /// The first of them.
    pub first_wrong: Option<String>,
    /// Requests that were never answered.
    pub lost: u64,
    /// Latencies in nanoseconds.
    pub latency: Histogram<u64>,
    /// How late requests were sent, in nanoseconds; open loop only.
    pub lag: Histogram<u64>,
    /// The share of the time in which there was nothing to do; closed loop
    /// only.
    pub idle: f64,
    /// The share of one processor that the generator took.
    pub cpu: f64,
    /// What the other end had of processors while measuring, if it was watched.
    pub server: Option<Processor>,
    /// Requests sent in the whole run.
    pub sent: u64,
    /// Octets received in the whole run.
    pub octets: u64,
    /// System calls for sending and receiving in the whole run.
    pub calls: Calls,
}

/// How many answers said what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Outcomes {
    /// Equipment-Status 0.
    pub whitelisted: u64,
    /// Equipment-Status 1.
    pub blacklisted: u64,
    /// Equipment-Status 2.
    pub greylisted: u64,
    /// Experimental-Result-Code 5422.
    pub unknown: u64,
}

impl Outcomes {
    /// Counts one.
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Whitelisted => self.whitelisted += 1,
            Outcome::Blacklisted => self.blacklisted += 1,
            Outcome::Greylisted => self.greylisted += 1,
            Outcome::Unknown => self.unknown += 1,
        }
    }
}

/// Runs a plan.
///
/// # Errors
///
/// When a connection cannot be made or is lost.
pub fn run(plan: &Plan, script: &Script) -> Result<Measured, String> {
    let window = match plan.pace {
        Pace::Closed(window) => window,
        Pace::Open(_) => OPEN_WINDOW,
    };
    let mut links = (0..plan.connections)
        .map(|number| {
            let Plan {
                address,
                credentials,
                peer,
                ..
            } = plan;
            Link::connect(address, credentials, *peer, script, number, window)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let measured = Engine::new(plan, script, &mut links)
        .and_then(Engine::run)
        .map_err(|error| format!("{}: {error}", plan.address))?;
    // All first, so that the waiting is one. What goes wrong now is nothing that
    // was measured.
    for link in &mut links {
        let _ = link.leave();
    }
    for link in links {
        let _ = link.left();
    }
    Ok(measured)
}

/// A run under way.
struct Engine<'a> {
    /// What is run.
    plan: &'a Plan,
    /// What is asked.
    script: &'a Script,
    /// The connections.
    links: &'a mut [Link],
    /// Where events come from.
    poll: Poll,
    /// When it began.
    start: Instant,
    /// The next request.
    number: usize,
    /// What was measured.
    measured: Measured,
    /// Time spent waiting, while measuring.
    waited: Duration,
    /// Processor time at the start of measuring, of both ends.
    before: Option<(Duration, Option<Processor>)>,
}

impl<'a> Engine<'a> {
    /// Registers the connections.
    fn new(plan: &'a Plan, script: &'a Script, links: &'a mut [Link]) -> io::Result<Self> {
        let poll = Poll::new()?;
        for (token, link) in links.iter_mut().enumerate() {
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(
                &mut SourceFd(&link.stream.as_raw_fd()),
                Token(token),
                interest,
            )?;
        }
        let histogram = || {
            Histogram::new_with_bounds(1, LATENCY_MAX, 3).map_err(|error| {
                // Bounds and precision are constants.
                io::Error::other(error.to_string())
            })
        };
        Ok(Self {
            plan,
            script,
            links,
            poll,
            start: now(),
            number: 0,
            measured: Measured {
                elapsed: Duration::ZERO,
                answers: 0,
                outcomes: Outcomes::default(),
                wrong: 0,
                first_wrong: None,
                lost: 0,
                latency: histogram()?,
                lag: histogram()?,
                idle: 0.0,
                cpu: 0.0,
                server: None,
                sent: 0,
                octets: 0,
                calls: Calls::default(),
            },
            waited: Duration::ZERO,
            before: None,
        })
    }

    /// Runs to the end.
    fn run(mut self) -> io::Result<Measured> {
        match self.plan.pace {
            Pace::Closed(_) => self.closed()?,
            Pace::Open(rate) => self.open(rate)?,
        }
        self.collect()?;
        for link in &*self.links {
            let Calls { reads, writes } = link.stream.calls();
            self.measured.sent += link.sent;
            self.measured.octets += link.octets;
            self.measured.calls.reads += reads;
            self.measured.calls.writes += writes;
        }
        Ok(self.measured)
    }

    /// Keeps the window of every connection full.
    fn closed(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        for place in 0..self.links.len() {
            self.fill(place)?;
        }
        let end = self.plan.warmup + self.plan.duration;
        loop {
            let before = self.start.elapsed();
            if before >= end {
                break;
            }
            self.poll_for(&mut events, Some(end - before))?;
            if before >= self.plan.warmup {
                self.begin();
                self.waited += self.start.elapsed() - before;
            }
            for event in &events {
                let place = event.token().0;
                loop {
                    // First the next requests, then a look at the answers.
                    let now = self.nanos();
                    let more = self.links[place].receive()?;
                    self.fill(place)?;
                    self.check(place, now)?;
                    if !more {
                        break;
                    }
                }
            }
        }
        self.end();
        let busy = 1.0 - self.waited.as_secs_f64() / self.plan.duration.as_secs_f64();
        self.measured.idle = 1.0 - busy.clamp(0.0, 1.0);
        Ok(())
    }

    /// Notes what was spent before measuring begins, once.
    fn begin(&mut self) {
        if self.before.is_none() {
            self.before = Some((own_cpu_time(), self.server()));
        }
    }

    /// Tells what was spent since.
    fn end(&mut self) {
        self.measured.elapsed = self.plan.duration;
        if let Some((own, server)) = self.before {
            let spent = own_cpu_time().saturating_sub(own);
            self.measured.cpu = spent.as_secs_f64() / self.plan.duration.as_secs_f64();
            self.measured.server = (self.server())
                .zip(server)
                .map(|(after, before)| after.since(before));
        }
    }

    /// What the other end has had of processors.
    fn server(&self) -> Option<Processor> {
        processor(self.plan.process?)
    }

    /// Asks as much as the window of a connection allows, at once.
    fn fill(&mut self, place: usize) -> io::Result<()> {
        let now = self.nanos();
        let link = &mut self.links[place];
        while link.ask(self.script, self.number, now) {
            self.number += 1;
        }
        link.send()
    }

    /// Sends each request when it is due.
    ///
    /// The loop never sleeps: a timer is late by more than many an answer
    /// takes.
    fn open(&mut self, rate: u64) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let end = (self.plan.warmup + self.plan.duration).as_nanos() as u64;
        let warmup = self.plan.warmup.as_nanos() as u64;
        let mut due_number = 0u64;
        // The requests of a second are spread over it evenly.
        let due_at =
            |number: u64| number / rate * 1_000_000_000 + number % rate * 1_000_000_000 / rate;
        // What was due before the end is sent, however late it is by now.
        while due_at(due_number) < end {
            let now = self.nanos();
            if now >= warmup {
                self.begin();
            }
            let mut last = None;
            loop {
                let due = due_at(due_number);
                if due > now || due >= end {
                    break;
                }
                let place = (due_number % self.links.len() as u64) as usize;
                if last.is_some_and(|last| last != place) {
                    self.links[last.unwrap_or(place)].send()?;
                }
                last = Some(place);
                if !self.links[place].ask(self.script, self.number, due) {
                    return Err(io::Error::other(format!(
                        "{OPEN_WINDOW} requests outstanding on one connection: the server does \
                         not keep up with {rate} a second"
                    )));
                }
                if due >= warmup {
                    self.measured.lag.saturating_record(now - due);
                }
                self.number += 1;
                due_number += 1;
            }
            if let Some(last) = last {
                self.links[last].send()?;
            }
            self.poll_for(&mut events, Some(Duration::ZERO))?;
            for event in &events {
                let place = event.token().0;
                self.receive(place)?;
                if self.links[place].blocked {
                    self.links[place].send()?;
                }
            }
        }
        self.end();
        Ok(())
    }

    /// Waits for the last answers, which count as lost if they do not come.
    fn collect(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let deadline = self.start.elapsed() + PATIENCE;
        while self.links.iter().any(|link| link.unanswered() > 0) {
            let now = self.start.elapsed();
            if now >= deadline {
                break;
            }
            self.poll_for(&mut events, Some(deadline - now))?;
            for event in &events {
                let place = event.token().0;
                self.links[place].send()?;
                self.receive(place)?;
            }
        }
        let lost: usize = self.links.iter().map(Link::unanswered).sum();
        self.measured.lost = lost as u64;
        Ok(())
    }

    /// Takes the answers of a connection, all that are there.
    fn receive(&mut self, place: usize) -> io::Result<()> {
        loop {
            let now = self.nanos();
            let more = self.links[place].receive()?;
            self.check(place, now)?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Checks the answers that a connection received at some time.
    fn check(&mut self, place: usize, now: u64) -> io::Result<()> {
        let Self {
            plan,
            script,
            links,
            measured,
            ..
        } = self;
        let warmup = plan.warmup.as_nanos() as u64;
        let end = warmup + plan.duration.as_nanos() as u64;
        links[place].check(script, |intended, said| {
            match said {
                Ok(outcome) => {
                    // Of a closed loop those answers count that come in time,
                    // of an open one those whose requests were due in time.
                    let counts = match plan.pace {
                        Pace::Closed(_) => (warmup..end).contains(&now),
                        Pace::Open(_) => intended >= warmup,
                    };
                    if counts {
                        measured.answers += 1;
                        measured.latency.saturating_record(now - intended);
                        if let Some(outcome) = outcome {
                            measured.outcomes.count(outcome);
                        }
                    }
                }
                Err(why) => {
                    measured.wrong += 1;
                    measured.first_wrong.get_or_insert(why);
                }
            }
        })
    }

    /// Waits for events.
    fn poll_for(&mut self, events: &mut Events, patience: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(events, patience) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            result => result,
        }
    }

    /// Nanoseconds of the run.
    fn nanos(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

/// The clock.
#[expect(clippy::disallowed_methods, reason = "a load generator measures time")]
fn now() -> Instant {
    Instant::now()
}
