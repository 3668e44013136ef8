//! A connection on the bench: bytes in, answers out, in virtual time.

use core::time::Duration;
use std::sync::Arc;

use ::bytes::BytesMut;
use weir::base::Node;
use weir::base::node::{Limits, NodeSettings};
use weir::base::peer::State;
use weir::connection::{Connection, Decision};
use weir::equipment::{
    BindingSpec, Builder, Device, Imsi, RuleSpec, Scope, Special, Status, Subscribers, Svn, Tac,
    Validity,
};
use weir::policy::{Combine, PolicySpec, Rulebook};
use weir::time::{Now, UnixTime, Uptime};
use weir::wire::compose::HostAddress;

use super::bytes::{EIR, REALM, Request};
use super::reading::Read;
use super::rules::assert_answer_obeys_rules;

/// A whitelisted device.
pub const WHITE: &str = "35209900176148";
/// A blacklisted device.
pub const BLACK: &str = "35500000000001";
/// A greylisted device.
pub const GREY: &str = "35500000000002";
/// The device of [`BOUND_IMSI`], whitelisted.
pub const BOUND: &str = "35500000000003";
/// The device of the worked example: blacklisted with Software-Version 86.
pub const EXAMPLE: &str = "49015420323751";
/// A device that no list knows.
pub const UNKNOWN: &str = "86000000000009";
/// A subscriber that may use [`BLACK`].
pub const EXCEPTED_IMSI: &str = "001010000000009";
/// A subscriber bound to [`BOUND`]; blacklisted elsewhere.
pub const BOUND_IMSI: &str = "001010000000003";

/// The address of the worked example's EIR.
pub const ADDRESS: HostAddress = HostAddress::V4([192, 0, 2, 20]);

/// The node of the worked example.
pub fn settings() -> NodeSettings {
    NodeSettings {
        origin_host: EIR.to_owned(),
        origin_realm: REALM.to_owned(),
        realms: Vec::new(),
        vendor_id: 32473,
        product_name: "example-eir".to_owned(),
        firmware_revision: 1,
        state_id: 1_767_225_600,
        limits: Limits {
            message_len_max: 65_536,
            output_len_max: 262_144,
            watchdog: Duration::from_secs(30),
            handshake: Duration::from_secs(10),
            drain: Duration::from_secs(5),
        },
    }
}

/// The lists behind the constants above.
pub fn rulebook() -> Rulebook {
    build(Extras::None)
}

/// The same, and everything else that a rulebook may have, so that no answer
/// is another: shadows that would blacklist whatever is white, special rules
/// and models, patterns of names, an order of lists, bindings of ranges.
pub fn rulebook_with_everything() -> Rulebook {
    build(Extras::All)
}

/// How much a rulebook has besides the lists behind the constants above.
#[derive(Clone, Copy, PartialEq)]
enum Extras {
    /// Nothing.
    None,
    /// Everything that there is.
    All,
}

/// Makes either rulebook.
fn build(extras: Extras) -> Rulebook {
    let device = |digits: &str| Device::from_digits(digits.as_bytes()).expect("a device");
    let imsi = |digits: &str| Imsi::parse(digits.as_bytes()).expect("an IMSI");
    let mut builder = Builder::new();
    let file = builder.file("bench.csv").expect("room");
    let list = builder.list("rules", Status::Whitelisted).expect("room");
    let excepted = [imsi(EXCEPTED_IMSI)];
    let svn = Svn::from_digits(b"86").expect("an SVN");
    let rules = [
        (Scope::Device(device(WHITE)), Status::Whitelisted, &[][..]),
        (Scope::Device(device(BLACK)), Status::Blacklisted, &excepted),
        (Scope::Device(device(GREY)), Status::Greylisted, &[]),
        (Scope::Device(device(BOUND)), Status::Whitelisted, &[]),
        (
            Scope::DeviceSvn(device(EXAMPLE), svn),
            Status::Blacklisted,
            &[],
        ),
    ];
    for (line, (scope, status, exceptions)) in (2..).zip(rules) {
        let rule = RuleSpec {
            scope,
            status,
            validity: Validity::ALWAYS,
            reason: None,
            exceptions,
            file,
            line,
        };
        builder.rule(list, rule).expect("room");
    }
    let bindings = builder
        .binding_list("bindings", Status::Blacklisted, None)
        .expect("room");
    let binding = BindingSpec {
        subscribers: Subscribers::One(imsi(BOUND_IMSI)),
        scope: Scope::Device(device(BOUND)),
        validity: Validity::ALWAYS,
        reason: None,
        file,
        line: 9,
    };
    builder.binding(bindings, binding).expect("room");
    let mut default = PolicySpec::new("default");
    if extras == Extras::All {
        let shadow = builder.list("shadow", Status::Blacklisted).expect("room");
        builder.shadow(shadow).expect("a list of this builder");
        let tac = Tac::from_digits(&WHITE.as_bytes()[..8]).expect("a TAC");
        builder.model(tac, "Acme", "One").expect("room");
        for scope in [Scope::Device(device(WHITE)), Scope::Special(Special::Zero)] {
            let rule = RuleSpec {
                scope,
                status: Status::Blacklisted,
                validity: Validity::ALWAYS,
                reason: None,
                exceptions: &[],
                file,
                line: 10,
            };
            builder.rule(shadow, rule).expect("room");
        }
        let odd = RuleSpec {
            scope: Scope::Special(Special::Repeated),
            status: Status::Blacklisted,
            validity: Validity::ALWAYS,
            reason: None,
            exceptions: &[],
            file,
            line: 11,
        };
        let unallocated = RuleSpec {
            scope: Scope::Special(Special::UnallocatedTac),
            status: Status::Greylisted,
            validity: Validity {
                from: None,
                until: Some(UnixTime(0)),
            },
            ..odd
        };
        builder.rule(list, odd).expect("room");
        builder.rule(list, unallocated).expect("room");
        let fleet = BindingSpec {
            subscribers: Subscribers::Range {
                from: imsi("999990000000000"),
                to: imsi("999999999999999"),
            },
            ..binding
        };
        builder.binding(bindings, fleet).expect("room");
        default.combine = Combine::Order;
    }
    // Policies that fit none of the bench's clients, so that all kinds of
    // criteria are looked at in each inquiry.
    let elsewhere = [
        PolicySpec {
            origin_hosts: vec!["nobody.example".to_owned()],
            ..PolicySpec::new("host")
        },
        PolicySpec {
            origin_realms: vec!["example".to_owned()],
            ..PolicySpec::new("realm")
        },
        PolicySpec {
            imsi_prefixes: vec!["99999".to_owned()],
            imsi_ranges: vec![("999990000000000".to_owned(), "999999999999999".to_owned())],
            ..PolicySpec::new("subscriber")
        },
    ];
    let mut policies = Vec::from(elsewhere);
    if extras == Extras::All {
        policies.push(PolicySpec {
            origin_realms: vec!["*.nowhere.example".to_owned()],
            route_records: vec!["*.nowhere.example".to_owned()],
            ..PolicySpec::new("routed")
        });
        policies.push(PolicySpec {
            imsi_prefixes: vec!["0".to_owned()],
            combine: Combine::Type3,
            shadow: true,
            ..PolicySpec::new("shadow")
        });
    }
    Rulebook::new(builder.finish(), None, default, policies).expect("a sound policy")
}

/// A connection, its clock and its register.
pub struct Bench {
    /// The connection under test.
    pub connection: Connection,
    /// What it answers from.
    pub rulebook: Rulebook,
    /// The present.
    pub now: Now,
    /// What was composed and not yet taken.
    pub out: BytesMut,
    /// What was received and not yet consumed.
    pub input: Vec<u8>,
}

impl Bench {
    /// A connection that was just accepted, with the settings of the worked
    /// example.
    pub fn accepted() -> Self {
        Self::with(settings())
    }

    /// The same with other settings.
    pub fn with(settings: NodeSettings) -> Self {
        let now = Now {
            uptime: Uptime(Duration::from_secs(1000)),
            unix: UnixTime(1_767_225_600),
        };
        let node = Arc::new(Node::new(settings));
        Self {
            connection: Connection::new(node, &[ADDRESS], 42, now.uptime),
            rulebook: rulebook(),
            now,
            out: BytesMut::new(),
            input: Vec::new(),
        }
    }

    /// An open connection.
    pub fn open() -> Self {
        Self::accepted().opened()
    }

    /// Exchanges capabilities.
    pub fn opened(mut self) -> Self {
        let cer = Request::cer().bytes();
        self.feed(&cer);
        assert!(self.connection.claim().is_some(), "a good CER claims");
        self.connection.resolve_claim(Decision::Granted);
        self.feed(&[]);
        let answer = self.taken().remove(0);
        let cea = assert_answer_obeys_rules(&cer, &answer);
        assert_eq!(cea.result_code(), Some(2001));
        assert_eq!(self.connection.state(), State::Open);
        self
    }

    /// Receives octets, as a shell does: what was not consumed stays.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        let consumed = self.connection.handle_input(
            self.now,
            &self.input,
            &self.rulebook,
            &mut self.out,
            &mut (),
        );
        assert!(consumed <= self.input.len(), "consumed more than there is");
        self.input.drain(..consumed);
    }

    /// Takes what was composed, message by message.
    pub fn taken(&mut self) -> Vec<Vec<u8>> {
        Read::stream(&self.out.split())
    }

    /// Sends one request, and takes its one answer, which must obey the rules.
    pub fn ask(&mut self, request: &[u8]) -> Read {
        self.feed(request);
        let answers = self.taken();
        assert_eq!(answers.len(), 1, "one answer to one request");
        assert_answer_obeys_rules(request, &answers[0])
    }

    /// Lets time pass, and the timers that are due ring in between.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now.uptime.plus(duration);
        while let Some(due) = self.connection.next_timeout().filter(|due| *due <= end) {
            let before = self.now.uptime;
            self.now.uptime = due.max(before);
            self.connection
                .handle_timeout(self.now.uptime, &mut self.out);
            let again = self.connection.next_timeout();
            assert_ne!(again, Some(due), "a timer that was handled rings again");
        }
        self.now.uptime = end;
    }
}
