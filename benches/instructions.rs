//! What a verdict costs in instructions, feature by feature, and what a whole
//! request does, from its octets to those of its answer.
//!
//! Times differ from machine to machine and from run to run; the number of
//! instructions hardly does, so that a check can hold it. `tools/instructions`
//! counts them with callgrind and compares them with
//! `benches/record/instructions.txt`. Run by itself, this prints the names of
//! the cases; with `--case NAME COUNT` it reaches so many verdicts.
//!
//! Every case has the same thousand blacklisted devices and asks the same
//! questions, every other one about none of them, with an IMSI and a software
//! version. Each has one feature besides, which says nothing of these
//! questions: the difference from `plain` is what an operator pays who uses
//! the feature for others. Who does not use it pays nothing, since that is
//! `plain`. The cases of the service have the plain register.

#[path = "support/scatter.rs"]
mod scatter;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use scatter::scatter;
use weir::base::Node;
use weir::base::node::{Limits, NodeSettings};
use weir::connection::Connection;

use weir::equipment::{
    BindingSpec, Builder, CheckDigit, Device, ExceptionSpec, FileId, Imei, Imsi, ListId, RuleSpec,
    Scope, Special, Status, Subscribers, Svn, Tac, TacPrefix, Validity,
};
use weir::policy::{Combine, Inquiry, Outcome, PolicySpec, Rulebook};
use weir::s13::request::{IdentityCheck, compose};
use weir::time::{Now, UnixTime, Uptime};
use weir::wire::compose::HostAddress;

/// Devices in the register.
const DEVICES: u64 = 1000;
/// Different questions: about each device, and about as many others.
const QUESTIONS: u64 = 2 * DEVICES;
/// Entries of the feature.
const OTHERS: u64 = 1000;
/// The time of all questions.
const NOW: UnixTime = UnixTime(1_700_000_000);

/// The cases: what a register has besides devices.
const CASES: [Case; 20] = [
    // The loop alone, to be subtracted from all others.
    ("nothing", |_| {}),
    ("plain", |_| {}),
    // These must cost nothing.
    ("free: reasons", |case| case.reason = Some("stolen")),
    ("free: a TAC file", |case| {
        for number in 0..OTHERS {
            let model = case.builder.model(tac(number), "Acme", "One");
            model.expect("room");
        }
    }),
    ("free: type1 or type2", |case| {
        case.default.combine = Combine::Type2;
    }),
    ("free: grace for the unlisted", |case| {
        case.default.unlisted = weir::policy::Unlisted::Status(Status::Greylisted);
    }),
    // These are looked at.
    ("dates", |case| {
        case.validity.from = Some(UnixTime(0));
        case.validity.until = Some(UnixTime(i64::MAX));
    }),
    ("order", |case| case.default.combine = Combine::Order),
    ("named lists", |case| {
        case.default.lists = Some(vec![case.list]);
    }),
    ("a shadow list", |case| {
        let shadow = case.builder.list("shadow", Status::Greylisted);
        case.builder
            .shadow(shadow.expect("a list"))
            .expect("the list");
    }),
    ("a policy by Origin-Realm", |case| {
        case.policies.push(PolicySpec {
            origin_realms: vec!["*.visited.example".to_owned()],
            ..PolicySpec::new("visited")
        });
    }),
    ("a policy by IMSI", |case| {
        case.policies.push(PolicySpec {
            imsi_prefixes: vec!["26201".to_owned()],
            ..PolicySpec::new("visitors")
        });
    }),
    ("devices with SVN", |case| {
        case.rules(|number| Scope::DeviceSvn(device(number), Svn::from_number(99).expect("two")));
    }),
    ("ranges", |case| {
        case.rules(|number| Scope::Range {
            from: other(number),
            to: other(number),
        });
    }),
    ("TACs", |case| case.rules(|number| Scope::Tac(tac(number)))),
    ("TAC prefixes", |case| {
        case.rules(|number| {
            let prefix = format!("99{number:04}");
            Scope::TacPrefix(TacPrefix::from_digits(prefix.as_bytes()).expect("six"))
        });
    }),
    ("specials", |case| {
        case.rules(|number| Scope::Special(Special::ALL[number as usize % 3]));
    }),
    ("bindings", |case| {
        let list = case
            .builder
            .binding_list("bound", Status::Blacklisted, None)
            .expect("a list");
        for number in 0..OTHERS {
            let binding = BindingSpec {
                subscribers: Subscribers::One(imsi(1 + number)),
                scope: Scope::Device(other(number)),
                validity: Validity::ALWAYS,
                reason: None,
                file: case.file,
                line: 1,
            };
            case.builder.binding(list, binding).expect("room");
        }
    }),
    ("exceptions", |case| {
        case.exceptions(|number| (imsi(1 + number), other(number)));
    }),
    ("many exceptions of the subscriber", |case| {
        case.exceptions(|number| (imsi(0), other(number)));
    }),
];

/// The cases of the service: a name, how many requests come at once, and what
/// stands behind the fourteen digits of the IMEI.
const SERVICE: [(&str, usize, &str); 4] = [
    ("service: one request", 1, ""),
    ("service: 8 requests", 8, ""),
    ("service: 32 requests", 32, ""),
    // Not the check digit of most, so that it is computed and compared.
    ("service: 15 digits", 32, "0"),
];

/// A name, and what makes the register.
type Case = (&'static str, fn(&mut Register));

/// A register being made.
struct Register {
    /// Its entries.
    builder: Builder,
    /// The list of the devices.
    list: ListId,
    /// The file that all stands in.
    file: FileId,
    /// When the rules about devices are in effect.
    validity: Validity,
    /// Why.
    reason: Option<&'static str>,
    /// The default policy.
    default: PolicySpec,
    /// Other policies.
    policies: Vec<PolicySpec>,
}

impl Register {
    /// One without entries.
    fn new() -> Self {
        let mut builder = Builder::new();
        Self {
            list: builder.list("black", Status::Blacklisted).expect("a list"),
            file: builder.file("black.csv").expect("a file"),
            builder,
            validity: Validity::ALWAYS,
            reason: None,
            default: PolicySpec::new("default"),
            policies: Vec::new(),
        }
    }

    /// Adds a rule about each of these devices.
    fn rules(&mut self, scope: impl Fn(u64) -> Scope) {
        for number in 0..OTHERS {
            self.rule(scope(number));
        }
    }

    /// Adds one rule.
    fn rule(&mut self, scope: Scope) {
        let rule = RuleSpec {
            scope,
            status: Status::Blacklisted,
            validity: self.validity,
            reason: self.reason,
            exceptions: &[],
            file: self.file,
            line: 1,
        };
        self.builder.rule(self.list, rule).expect("room");
    }

    /// Lets subscribers use devices.
    fn exceptions(&mut self, pair: impl Fn(u64) -> (Imsi, Device)) {
        for number in 0..OTHERS {
            let (imsi, device) = pair(number);
            let exception = ExceptionSpec {
                imsi,
                scope: Scope::Device(device),
                validity: Validity::ALWAYS,
                reason: None,
                file: self.file,
                line: 1,
            };
            (self.builder.exception(self.list, exception)).expect("room");
        }
    }

    /// Adds the devices, and makes the rulebook.
    fn finish(mut self) -> Rulebook {
        for number in 0..DEVICES {
            self.rule(Scope::Device(device(number)));
        }
        Rulebook::new(self.builder.finish(), None, self.default, self.policies).expect("a rulebook")
    }
}

/// The device with this number: those from `DEVICES` on are not listed.
fn device(number: u64) -> Device {
    Device::from_number(10_000_000_000_000 + scatter(number) % 80_000_000_000_000).expect("14")
}

/// A device that is not asked for.
fn other(number: u64) -> Device {
    Device::from_number(99_000_000_000_000 + scatter(number) % 1_000_000_000_000).expect("14")
}

/// A TAC that is not asked for.
fn tac(number: u64) -> Tac {
    other(number).tac()
}

/// A subscriber; the first one is asked for.
fn imsi(number: u64) -> Imsi {
    Imsi::parse(format!("00101{number:010}").as_bytes()).expect("fifteen digits")
}

/// Reaches so many verdicts, or goes around the loop as often without one.
fn run(name: &str, make: fn(&mut Register), count: u64) {
    let mut register = Register::new();
    make(&mut register);
    let rulebook = register.finish();
    let questions: Vec<Inquiry<'_>> = (0..QUESTIONS)
        .map(|number| Inquiry {
            imei: Ok(Imei {
                device: device(number / 2 + number % 2 * DEVICES),
                svn: None,
                check_digit: CheckDigit::Absent,
            }),
            svn: Svn::from_number(6),
            imsi: Some(imsi(0)),
            origin_host: b"mme.example",
            origin_realm: b"example",
            route_record: None,
        })
        .collect();
    let mut blacklisted = 0;
    if name == "nothing" {
        for question in questions.iter().cycle().take(count as usize) {
            black_box(black_box(question).origin_host);
        }
    } else {
        for question in questions.iter().cycle().take(count as usize) {
            let verdict = black_box(rulebook.decide(black_box(question), NOW));
            let is_black = verdict.outcome == Outcome::Status(Status::Blacklisted);
            blacklisted += u64::from(is_black);
        }
        assert_eq!(blacklisted, count.div_ceil(2), "every other one");
    }
}

/// A node of this name.
fn node(origin_host: &str) -> Node {
    Node::new(NodeSettings {
        origin_host: origin_host.to_owned(),
        origin_realm: "epc.mnc001.mcc001.3gppnetwork.org".to_owned(),
        realms: Vec::new(),
        vendor_id: 0,
        product_name: "Weir".to_owned(),
        firmware_revision: 1,
        state_id: 1,
        limits: Limits {
            message_len_max: 65_536,
            output_len_max: 262_144,
            watchdog: Duration::from_secs(30),
            handshake: Duration::from_secs(10),
            drain: Duration::from_secs(5),
        },
    })
}

/// Answers so many requests, `batch` at once.
fn serve(batch: usize, behind: &str, count: u64) {
    let rulebook = Register::new().finish();
    let client = node("mme.epc.mnc001.mcc001.3gppnetwork.org");
    let mut batches = Vec::new();
    let numbers: Vec<u64> = (0..QUESTIONS).collect();
    for numbers in numbers.chunks_exact(batch) {
        let mut bytes = BytesMut::new();
        for &number in numbers {
            let device = device(number / 2 + number % 2 * DEVICES);
            let check = IdentityCheck {
                session_id: "mme.epc.mnc001.mcc001.3gppnetwork.org;1795332976;2;app_s13",
                destination_host: None,
                destination_realm: "epc.mnc001.mcc001.3gppnetwork.org",
                imei: &format!("{device}{behind}"),
                software_version: Some("06"),
                user_name: Some("001010123456789"),
            };
            compose(&mut bytes, &client, (number as u32, 1), &check);
        }
        batches.push(bytes);
    }
    let now = Now {
        uptime: Uptime(Duration::from_secs(1)),
        unix: NOW,
    };
    let own = Arc::new(node("eir.epc.mnc001.mcc001.3gppnetwork.org"));
    let mut connection =
        Connection::already_open(own, &[HostAddress::V4([127, 0, 0, 1])], now.uptime);
    let mut out = BytesMut::with_capacity(64 * 1024);
    let turns = count / batch as u64;
    for bytes in batches.iter().cycle().take(turns as usize) {
        out.clear();
        let bytes = black_box(bytes);
        let taken = connection.handle_input(now, bytes, &rulebook, &mut out, &mut ());
        assert_eq!(taken, bytes.len());
    }
    assert_eq!(connection.traffic().answers, turns * batch as u64);
}

/// Runs a case, or names them all.
fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--case");
    let (Some(name), Some(count)) = (arguments.nth(1), arguments.next()) else {
        for name in CASES.map(|(name, _)| name) {
            println!("{name}");
        }
        for (name, ..) in SERVICE {
            println!("{name}");
        }
        return;
    };
    let count = count.parse().expect("a number");
    if let Some((_, batch, behind)) = SERVICE.into_iter().find(|(known, ..)| *known == name) {
        return serve(batch, behind, count);
    }
    let case = CASES.into_iter().find(|(known, _)| *known == name);
    let (name, make) = case.expect("a case that there is");
    run(name, make, count);
}
