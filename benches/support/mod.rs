//! What the benches share: a register of many devices, and requests about
//! them.

#![allow(dead_code, reason = "each bench uses a part of it")]
#![allow(unreachable_pub, reason = "a module of several benches")]

use bytes::BytesMut;
use weir::base::Node;
use weir::base::node::NodeSettings;
use weir::cli::serve;
use weir::config::Config;
use weir::config::diameter::DEFAULT_ORIGIN_REALM;
use weir::equipment::{Builder, Device, RuleSpec, Scope, Status, Validity};
use weir::policy::{PolicySpec, Rulebook};
use weir::s13::request::{IdentityCheck, compose};

/// A small generator (SplitMix64), so that every run asks the same.
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The device with this number: spread over some 200,000 TACs, never in the
/// range of [`stranger`].
pub fn device(number: u64) -> Device {
    let mixed = Random(number).next();
    let tac = 35_000_000 + mixed % 200_000;
    Device::from_number(tac * 1_000_000 + (mixed >> 20) % 1_000_000).unwrap()
}

/// A device that no list has.
pub fn stranger(number: u64) -> Device {
    Device::from_number(86_000_000_000_000 + Random(number).next() % 1_000_000_000_000).unwrap()
}

/// A register of `devices` blacklisted devices.
pub fn rulebook(devices: u64) -> Rulebook {
    let mut builder = Builder::new();
    let list = builder.list("bench", Status::Blacklisted).unwrap();
    let file = builder.file("bench").unwrap();
    for number in 0..devices {
        let rule = RuleSpec {
            scope: Scope::Device(device(number)),
            status: Status::Blacklisted,
            validity: Validity::default(),
            reason: None,
            exceptions: &[],
            file,
            line: u32::try_from(number).unwrap(),
        };
        builder.rule(list, rule).unwrap();
    }
    Rulebook::new(
        builder.finish(),
        None,
        PolicySpec::new("default"),
        Vec::new(),
    )
    .unwrap()
}

/// The server's node.
pub fn node() -> Node {
    serve::node(&Config::default())
}

/// A client's node.
pub fn client(name: &str) -> Node {
    let settings = node().settings().clone();
    Node::new(NodeSettings {
        origin_host: name.to_owned(),
        origin_realm: "epc.mnc001.mcc001.3gppnetwork.org".to_owned(),
        state_id: 0,
        ..settings
    })
}

/// An ECR as an MME sends it: 14 digits, Software-Version, IMSI.
pub fn request(client: &Node, identifier: u32, device: Device, out: &mut BytesMut) {
    let imei = device.to_string();
    let check = IdentityCheck {
        session_id: "mme.epc.mnc001.mcc001.3gppnetwork.org;1795332976;2;app_s13",
        destination_host: None,
        destination_realm: DEFAULT_ORIGIN_REALM,
        imei: &imei,
        software_version: Some("06"),
        user_name: Some("001010123456789"),
    };
    compose(out, client, (identifier, identifier), &check);
}

/// `count` requests one behind the other, 90 % of them about known devices of
/// a register of `devices`, in random order.
pub fn requests(client: &Node, devices: u64, count: u32) -> BytesMut {
    let mut random = Random(42);
    let mut out = BytesMut::new();
    for identifier in 0..count {
        let number = random.next();
        let device = match number % 10 {
            0 => stranger(number),
            _ => device((number >> 8) % devices),
        };
        request(client, identifier, device, &mut out);
    }
    out
}
