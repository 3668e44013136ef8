//! `compare`: what is run in turn, and against what.

use std::env;
use std::fs;
use std::process::Command;

use hdrhistogram::Histogram;

use crate::address::Address;
use crate::args::CompareArgs;
use crate::compare::{Comparison, Side, counts};
use crate::engine::{self, Pace, Plan};
use crate::figure::Figure;
use crate::link::Peer;
use crate::processes::Beside;
use crate::report::Report;
use crate::script::Script;
use crate::{hgrm, json, pin};

/// One of two that are compared.
struct Half {
    /// What is run.
    plan: Plan,
    /// What runs beside it.
    beside: Option<String>,
    /// Its runs.
    side: Side,
    /// All its latencies.
    latency: Option<Histogram<u64>>,
    /// Octets of an answer, on average.
    answer_len: f64,
}

impl Half {
    /// One that was not run yet.
    fn new(name: &str, plan: Plan, beside: Option<String>) -> Self {
        Self {
            plan,
            beside,
            side: Side {
                name: name.to_owned(),
                runs: Vec::new(),
            },
            latency: None,
            answer_len: 0.0,
        }
    }

    /// Runs it once more; whether the generator limited none of these figures.
    fn run(&mut self, script: &Script, figures: &[Figure]) -> Result<bool, String> {
        let beside = self.beside.as_deref().map(Beside::shell).transpose()?;
        let measured = engine::run(&self.plan, script)?;
        if measured.answers == 0 {
            return Err(format!("{}: no answer in time", self.plan.address));
        }
        let mut report = Report::new(&self.plan, &measured);
        report.beside = beside.map(Beside::stop).transpose()?;
        self.answer_len = measured.octets as f64 / measured.sent.max(1) as f64;
        match &mut self.latency {
            None => self.latency = Some(measured.latency),
            Some(latency) => latency
                .add(&measured.latency)
                .map_err(|error| error.to_string())?,
        }
        let good = counts(&report, figures);
        self.side.runs.push(report);
        Ok(good)
    }
}

/// Runs pairs, and tells what came of it; whether all answers were right.
pub fn compare(args: &CompareArgs) -> Result<bool, String> {
    let script = args.run.script()?;
    let pace = match (args.rate, args.window) {
        (Some(rate), _) => Pace::Open(rate),
        (None, window) => Pace::Closed(window.unwrap_or(1)),
    };
    let plan = args.run.plan(pace, None)?;
    let mut subject = Half::new(&args.name, plan.clone(), args.beside.clone());
    let (mut base, echo) = base(args, &plan)?;
    // The echo is a process of its own and stays on the processor it was given.
    pin(args.run.cpu)?;
    // The generator must not limit what pairs are run for.
    let (told, needed): (&[Figure], &[Figure]) = match pace {
        // Latencies under different loads are not to be compared.
        Pace::Closed(_) if args.against_connections.is_some() => {
            (&[Figure::Rate, Figure::ServerTime], &[Figure::Rate])
        }
        Pace::Closed(_) => (&Figure::CLOSED, &[Figure::Rate]),
        Pace::Open(_) => (&Figure::OPEN, &[Figure::P50, Figure::P99, Figure::P999]),
    };
    // What another server knows of the devices is its own affair.
    let other_script = args
        .against
        .is_some()
        .then(|| script.without_expectations());
    let base_script = other_script.as_ref().unwrap_or(&script);
    let (mut good, mut tried) = (0, 0);
    while good < args.pairs && tried < 2 * args.pairs {
        subject.run(&script, needed)?;
        if let (Peer::Echo(len), None) = (&mut base.plan.peer, args.answer) {
            *len = mean_len(subject.answer_len);
        }
        good += u32::from(base.run(base_script, needed)?);
        tried += 1;
    }
    drop(echo);
    if let Some(prefix) = &args.hgrm {
        for (half, name) in [(&subject, "server"), (&base, "base")] {
            let latency = half.latency.as_ref().ok_or("nothing was run")?;
            hgrm::write(format!("{prefix}-{name}.hgrm").as_ref(), latency)?;
        }
    }
    let right = subject.side.runs.iter().all(Report::is_right);
    let title = args.title.clone();
    let comparison = Comparison::new(title, told, subject.side, base.side, &args.want);
    match args.run.json {
        true => println!("{}", json(&comparison)?),
        false => print!("{comparison}"),
    }
    if let Some(path) = &args.json_to {
        fs::write(path, json(&comparison)?)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(right)
}

/// What the server is held against, and the echo's process if it is that.
fn base(args: &CompareArgs, plan: &Plan) -> Result<(Half, Option<Beside>), String> {
    let plan = plan.clone();
    let name = |default| args.base_name.as_deref().unwrap_or(default);
    if args.beside.is_some() {
        return Ok((Half::new(name("without"), plan, None), None));
    }
    if let Some((connections, window)) = args.against_connections.zip(args.against_window) {
        let plan = Plan {
            connections: connections as usize,
            pace: Pace::Closed(window),
            ..plan
        };
        return Ok((Half::new(name("others"), plan, None), None));
    }
    if let Some(address) = &args.against {
        let plan = Plan {
            address: address.clone(),
            process: args.against_pid,
            ..plan
        };
        return Ok((Half::new(name("other"), plan, None), None));
    }
    let echo = start_echo(args, &plan.address)?;
    let plan = Plan {
        address: (echo.ready.rsplit(' ').next())
            .ok_or("the echo did not say where it listens")?
            .parse()?,
        peer: Peer::Echo(args.answer.map_or(DEFAULT_ANSWER, usize::from)),
        process: Some(echo.process()),
        ..plan
    };
    Ok((Half::new(name("echo"), plan, None), Some(echo)))
}

/// Octets of an answer, until a server was asked.
const DEFAULT_ANSWER: usize = 160;

/// The length of an answer, as all of Diameter a multiple of 4.
fn mean_len(mean: f64) -> usize {
    (mean / 4.0).round().max(1.0) as usize * 4
}

/// Starts the echo, over the transport of the server and beside it.
fn start_echo(args: &CompareArgs, server: &Address) -> Result<Beside, String> {
    let own = env::current_exe().map_err(|error| format!("where am I? {error}"))?;
    let mut command = Command::new(own);
    let listen = Address {
        socket: (server.socket.ip(), 0).into(),
        ..server.clone()
    };
    command.args(["echo", "--listen", &listen.to_string()]);
    if let Some((certificate, key)) = args.echo_certificate.as_ref().zip(args.echo_key.as_ref()) {
        command.arg("--certificate").arg(certificate);
        command.arg("--key").arg(key);
    }
    if let Some(cpu) = args.server_cpu {
        command.arg("--cpu").arg(cpu.to_string());
    }
    Beside::start(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_two_lengths_have_a_mean_that_is_one() {
        assert_eq!(mean_len(153.2), 152);
        assert_eq!(mean_len(154.1), 156);
        assert_eq!(mean_len(0.0), 4);
    }
}
