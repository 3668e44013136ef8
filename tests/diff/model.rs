//! A naive model of registers and verdicts, which visits every device.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Changes by `old → new`, with their counts.
pub(super) type Changes = BTreeMap<(String, String), u64>;

/// Strictest last.
const STATUSES: [&str; 3] = ["whitelisted", "greylisted", "blacklisted"];

/// The devices that are visited one by one: the last of one TAC, and the
/// first of the next.
pub(super) const WINDOW: std::ops::Range<u64> = 101_234_999_700..101_235_000_300;

/// What a rule speaks of, as digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Svn(u64, u8),
    Device(u64),
    Range(u64, u64),
    Tac(String),
    Prefix(String),
}

impl Scope {
    /// The same as the columns `imei,svn,imei_from,imei_to,tac,tac_prefix`.
    fn csv(&self) -> String {
        match self {
            Self::Svn(device, svn) => format!("{device:014},{svn:02},,,,"),
            Self::Device(device) => format!("{device:014},,,,,"),
            Self::Range(from, to) => format!(",,{from:014},{to:014},,"),
            Self::Tac(tac) => format!(",,,,{tac},"),
            Self::Prefix(prefix) => format!(",,,,,{prefix}"),
        }
    }

    /// Whether it covers a device; `None` if the software version would tell.
    fn covers(&self, device: u64, svn: Option<u8>) -> Option<bool> {
        match self {
            Self::Svn(own, _) if *own != device => Some(false),
            Self::Svn(_, own) => svn.map(|svn| svn == *own),
            Self::Device(own) => Some(*own == device),
            Self::Range(from, to) => Some(*from <= device && device <= *to),
            Self::Tac(digits) | Self::Prefix(digits) => {
                Some(format!("{device:014}").starts_with(digits))
            }
        }
    }

    /// The place of the kind in the order of the rules.
    fn kind(&self) -> usize {
        match self {
            Self::Svn(..) => 0,
            Self::Device(_) => 1,
            Self::Range(..) => 2,
            Self::Tac(_) => 3,
            Self::Prefix(_) => 4,
        }
    }

    /// The first device, and the software version.
    fn first(&self) -> (u64, Option<u8>) {
        match self {
            Self::Svn(device, svn) => (*device, Some(*svn)),
            Self::Device(device) | Self::Range(device, _) => (*device, None),
            Self::Tac(digits) | Self::Prefix(digits) => {
                (format!("{digits:0<14}").parse().unwrap(), None)
            }
        }
    }
}

/// One side.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// Rules with the place of their status, and who is excepted.
    rules: Vec<(Scope, usize, Option<&'static str>)>,
    /// Who is bound to what.
    bindings: Vec<(&'static str, Scope)>,
    /// What unlisted devices are.
    unlisted: &'static str,
}

impl Model {
    /// What is answered, by looking at everything there is.
    pub(super) fn decide(&self, device: u64, svn: Option<u8>, imsi: Option<&str>) -> &'static str {
        let bound: Vec<_> = (self.bindings.iter())
            .filter(|(own, _)| Some(*own) == imsi)
            .map(|(_, scope)| scope.covers(device, svn))
            .collect();
        if !bound.is_empty() && bound.iter().all(|covered| *covered == Some(false)) {
            return "blacklisted";
        }
        let matches = |kind: usize| {
            (self.rules.iter())
                .filter(move |(scope, ..)| scope.kind() == kind)
                .filter(move |(scope, ..)| scope.covers(device, svn) == Some(true))
        };
        let Some(status) = (0..5).find_map(|kind| matches(kind).map(|rule| rule.1).max()) else {
            return self.unlisted;
        };
        let excepted = (0..5)
            .flat_map(matches)
            .any(|(_, status, excepted)| *status == 2 && excepted.is_some() && *excepted == imsi);
        match status {
            2 if excepted => "whitelisted",
            _ => STATUSES[status],
        }
    }

    /// Writes it as a configuration.
    pub(super) fn write(&self, dir: &Path, name: &str) -> String {
        let mut config = format!(
            "[register]\nlists_dir = \".\"\nunlisted = \"{}\"\n",
            self.unlisted
        );
        // A list for each rule, so that no list contradicts itself.
        for (number, (scope, status, excepted)) in self.rules.iter().enumerate() {
            let path = format!("{name}-{number}.csv");
            let text = format!(
                "imei,svn,imei_from,imei_to,tac,tac_prefix,imsi\n{},{}\n",
                scope.csv(),
                excepted.unwrap_or_default()
            );
            fs::write(dir.join(&path), text).unwrap();
            config += &format!(
                "[[list]]\nname = \"l{number}\"\nstatus = \"{}\"\npath = \"{path}\"\n",
                STATUSES[*status]
            );
        }
        let path = format!("{name}-bindings.csv");
        let mut text = "imei,svn,imei_from,imei_to,tac,tac_prefix,imsi\n".to_owned();
        for (imsi, scope) in &self.bindings {
            text += &format!("{},{imsi}\n", scope.csv());
        }
        fs::write(dir.join(&path), text).unwrap();
        config += &format!("[[binding]]\nname = \"bindings\"\npath = \"{path}\"\n");
        let path = dir.join(format!("{name}.toml"));
        fs::write(&path, config).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// Numbers that look like chance, always the same.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// A scope whose edges lie in the window, or are those of whole TACs.
    fn scope(&mut self) -> Scope {
        // Few devices, so that rules meet.
        let device = |chance: &mut Self| WINDOW.start + 297 + chance.below(6);
        match self.below(7) {
            0 => Scope::Svn(device(self), u8::try_from(self.below(2)).unwrap()),
            1 | 2 => Scope::Device(device(self)),
            3 => {
                let from = WINDOW.start + self.below(600);
                Scope::Range(from, from + self.below(WINDOW.end - from))
            }
            4 => Scope::Tac(["00101234", "00101235"][self.below(2) as usize].to_owned()),
            _ => Scope::Prefix(["0010123", "001", "0"][self.below(3) as usize].to_owned()),
        }
    }

    /// A small register.
    pub(super) fn model(&mut self) -> Model {
        let imsi = |chance: &mut Self| IMSIS[chance.below(3) as usize];
        let mut model = Model {
            unlisted: ["unknown", "unknown", "greylisted"][self.below(3) as usize],
            ..Model::default()
        };
        for _ in 0..self.below(7) {
            let status = self.below(3) as usize;
            let excepted = (status == 2 && self.below(2) == 0).then(|| imsi(self));
            model.rules.push((self.scope(), status, excepted));
        }
        for _ in 0..self.below(3) {
            model.bindings.push((imsi(self), self.scope()));
        }
        model
    }
}

/// The subscribers that the registers know.
pub(super) const IMSIS: [&str; 3] = ["001010000000001", "001010000000002", "001010000000003"];

/// Devices outside of the window, one of each kind, with how many there are:
/// the rest of both TACs, of their prefix, and of each shorter prefix.
pub(super) fn outside() -> [(u64, u64); 6] {
    let tac = 1_000_000;
    let rest = tac - 300;
    [
        (101_234_000_000, rest),
        (101_235_999_999, rest),
        (101_230_000_000, 8 * tac),
        (100_000_000_000, 100_000 * tac - 10 * tac),
        (999_999_999_999, 9_900_000 * tac),
        (99_999_999_999_999, 90_000_000 * tac),
    ]
}

/// Every device visited, its change counted.
pub(super) fn count_devices(old: &Model, new: &Model) -> (Changes, u64) {
    let mut found = (Changes::new(), 0);
    for (device, count) in WINDOW.map(|device| (device, 1)).chain(outside()) {
        let pair = [old, new].map(|model| model.decide(device, None, None).to_owned());
        count_in(&mut found, pair, count);
    }
    found
}

/// Counts one pair of verdicts.
pub(super) fn count_in(found: &mut (Changes, u64), pair: [String; 2], count: u64) {
    let [old, new] = pair;
    match old == new {
        true => found.1 += count,
        false => *found.0.entry((old, new)).or_default() += count,
    }
}

/// Every named software version, where it makes a difference.
pub(super) fn count_svns(old: &Model, new: &Model) -> (Changes, u64) {
    let mut found = (Changes::new(), 0);
    for device in WINDOW {
        for svn in 0..2 {
            let named = [old, new].into_iter().any(|model| {
                let rules = model.rules.iter().map(|rule| &rule.0);
                let bindings = model.bindings.iter().map(|binding| &binding.1);
                rules
                    .chain(bindings)
                    .any(|scope| *scope == Scope::Svn(device, svn))
            });
            let with = [old, new].map(|model| model.decide(device, Some(svn), None).to_owned());
            let without = [old, new].map(|model| model.decide(device, None, None).to_owned());
            if named && with != without {
                count_in(&mut found, with, 1);
            }
        }
    }
    found
}

/// Every subscriber with each device it is named with and one other, where it
/// makes a difference.
pub(super) fn count_subscribers(old: &Model, new: &Model) -> (Changes, u64) {
    let mut found = (Changes::new(), 0);
    for imsi in IMSIS {
        let mut scopes: Vec<_> = [old, new]
            .into_iter()
            .flat_map(|model| {
                let rules = model.rules.iter().filter(|rule| rule.2 == Some(imsi));
                let bindings = model.bindings.iter().filter(|binding| binding.0 == imsi);
                let rules = rules.map(|rule| rule.0.clone());
                rules.chain(bindings.map(|binding| binding.1.clone()))
            })
            .collect();
        scopes.sort();
        scopes.dedup();
        let other = (!scopes.is_empty()).then_some((99_999_999_999_999, None));
        for (device, svn) in scopes.iter().map(Scope::first).chain(other) {
            let with = [old, new].map(|model| model.decide(device, svn, Some(imsi)).to_owned());
            let without = [old, new].map(|model| model.decide(device, svn, None).to_owned());
            if with != without {
                count_in(&mut found, with, 1);
            }
        }
    }
    found
}
