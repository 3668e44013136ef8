//! Verdicts of both sides, and how they differ.

use serde::Serialize;

use crate::equipment::{CheckDigit, Device, Imei, ImeiError, Imsi, Scope, Svn};
use crate::policy::{Explanation, Inquiry, Outcome, PolicyId, Rulebook, Verdict};
use crate::time::UnixTime;

//----------- Client ----------------------------------------------------------

/// Who asks, and for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Client {
    /// The Origin-Host; empty: none.
    pub(super) origin_host: String,
    /// The Origin-Realm; empty: none.
    pub(super) origin_realm: String,
    /// The first Route-Record; empty: none.
    pub(super) route_record: String,
    /// The subscriber.
    pub(super) imsi: Option<Imsi>,
}

impl Client {
    /// The same for another subscriber.
    pub(super) fn with_imsi(&self, imsi: Option<Imsi>) -> Self {
        Self {
            imsi,
            ..self.clone()
        }
    }

    /// What the client asks about a device, or about something that is none.
    pub(super) fn inquiry(&self, device: Option<Device>, svn: Option<Svn>) -> Inquiry<'_> {
        let imei = device.map(|device| Imei {
            device,
            svn: None,
            check_digit: CheckDigit::Absent,
        });
        Inquiry {
            imei: imei.ok_or(ImeiError::Empty),
            svn,
            imsi: self.imsi,
            origin_host: self.origin_host.as_bytes(),
            origin_realm: self.origin_realm.as_bytes(),
            route_record: (!self.route_record.is_empty()).then_some(self.route_record.as_bytes()),
        }
    }
}

//----------- Both ------------------------------------------------------------

/// Both rulebooks, at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Both<'a> {
    /// What is.
    pub(super) old: &'a Rulebook,
    /// What would be.
    pub(super) new: &'a Rulebook,
    /// When.
    pub(super) at: UnixTime,
    /// How many samples of each change are wanted.
    pub(super) samples: usize,
}

impl Both<'_> {
    /// What both say.
    pub(super) fn verdicts(&self, inquiry: &Inquiry<'_>) -> Verdicts {
        Verdicts {
            old: self.old.decide(inquiry, self.at),
            new: self.new.decide(inquiry, self.at),
        }
    }

    /// The policies that both would choose.
    pub(super) fn policies(&self, client: &Client) -> (PolicyId, PolicyId) {
        let verdicts = self.verdicts(&client.inquiry(None, None));
        (verdicts.old.policy, verdicts.new.policy)
    }
}

/// What both rulebooks say of the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdicts {
    /// What is said.
    pub(super) old: Verdict,
    /// What would be said.
    pub(super) new: Verdict,
}

impl Verdicts {
    /// The answers.
    pub(super) fn outcomes(&self) -> (Outcome, Outcome) {
        (self.old.outcome, self.new.outcome)
    }

    /// Whether the answers are different ones.
    pub(super) fn differ(&self) -> bool {
        self.old.outcome != self.new.outcome
    }
}

//----------- Tally -----------------------------------------------------------

/// Cases counted by how their verdict changes.
#[derive(Debug, Default, Serialize)]
pub(super) struct Tally {
    /// How many keep their verdict.
    pub(super) unchanged: u64,
    /// How many do not.
    pub(super) changed: u64,
    /// The changes.
    pub(super) changes: Vec<Change>,
}

/// One change of verdict.
#[derive(Debug, Serialize)]
pub(super) struct Change {
    /// What is answered.
    pub(super) old: &'static str,
    /// What would be.
    pub(super) new: &'static str,
    /// How many cases.
    pub(super) count: u64,
    /// Some of them.
    pub(super) samples: Vec<Sample>,
}

/// A case, standing for all with the same grounds.
#[derive(Debug, Serialize)]
pub(super) struct Sample {
    /// The grounds.
    #[serde(skip)]
    verdicts: Verdicts,
    /// How many have them: devices, or what else is counted.
    pub(super) count: u64,
    /// How many of these this case is itself.
    #[serde(skip)]
    pub(super) own_count: u64,
    /// The first device; none for something that is no IMEI.
    pub(super) from: Option<String>,
    /// The last device; often the first.
    pub(super) to: Option<String>,
    /// The software version.
    pub(super) svn: Option<String>,
    /// The subscriber.
    pub(super) imsi: Option<String>,
    /// What the subscriber is bound to or excepted for; `from` is the first
    /// device of it.
    pub(super) scope: Option<String>,
    /// Whether the device stands for all that the subscriber is neither bound
    /// to nor excepted for.
    pub(super) elsewhere: bool,
    /// What decides.
    pub(super) old: Decision,
    /// What would decide.
    pub(super) new: Decision,
}

/// What decided a verdict.
#[derive(Debug, Serialize)]
pub(super) struct Decision {
    /// What is answered.
    pub(super) outcome: &'static str,
    /// In a few words.
    pub(super) ground: String,
    /// The name of the policy.
    pub(super) policy: String,
    /// The list of the rule or binding, if one decided.
    pub(super) list: Option<String>,
    /// Its file.
    pub(super) file: Option<String>,
    /// Its line.
    pub(super) line: Option<u32>,
    /// Why it is there.
    pub(super) reason: Option<String>,
}

impl Decision {
    /// What an explanation comes down to.
    fn of(explanation: Explanation) -> Self {
        let (list, file, line, reason) = match explanation.decided_by {
            Some(entry) => (
                Some(entry.list),
                Some(entry.file),
                Some(entry.line),
                entry.reason,
            ),
            None => (None, None, None, None),
        };
        Self {
            outcome: explanation.outcome,
            ground: explanation.ground.to_string(),
            policy: explanation.policy,
            list,
            file,
            line,
            reason,
        }
    }
}

/// What is counted: a case that stands for `count` of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    /// Who asks.
    pub(super) client: &'a Client,
    /// The first and last device.
    pub(super) devices: Option<(Device, Device)>,
    /// The software version.
    pub(super) svn: Option<Svn>,
    /// What the subscriber is bound to or excepted for.
    pub(super) scope: Option<Scope>,
    /// Whether the device stands for all others.
    pub(super) elsewhere: bool,
    /// How many cases they are.
    pub(super) count: u64,
}

impl Tally {
    /// Counts a case that has these verdicts.
    pub(super) fn add(&mut self, both: &Both<'_>, case: &Case<'_>, verdicts: &Verdicts) {
        if !verdicts.differ() {
            self.unchanged += case.count;
            return;
        }
        self.changed += case.count;
        let names = (verdicts.old.outcome.name(), verdicts.new.outcome.name());
        let known = |change: &Change| (change.old, change.new) == names;
        let index = match self.changes.iter().position(known) {
            Some(index) => index,
            None => {
                // There are five outcomes, so never more than twenty changes.
                self.changes.push(Change {
                    old: names.0,
                    new: names.1,
                    count: 0,
                    samples: Vec::new(),
                });
                self.changes.len() - 1
            }
        };
        let Some(change) = self.changes.get_mut(index) else {
            return;
        };
        change.count += case.count;
        // What one rule says of many devices is one sample; rules for single
        // devices share their numbers, so that the device must be the same.
        let single = case
            .devices
            .and_then(|(from, to)| (from == to).then_some(from));
        let single = single.map(|device| device.to_string());
        let alike = |sample: &&mut Sample| {
            sample.verdicts == *verdicts && (single.is_none() || sample.from == single)
        };
        if let Some(sample) = change.samples.iter_mut().find(alike) {
            sample.count += case.count;
        } else if change.samples.len() < both.samples {
            change.samples.push(sample(both, case, verdicts));
        }
    }

    /// Puts the changes in the order of their names.
    pub(super) fn sort(&mut self) {
        self.changes
            .sort_unstable_by_key(|change| (change.old, change.new));
    }
}

/// A case with the grounds of its verdicts.
fn sample(both: &Both<'_>, case: &Case<'_>, verdicts: &Verdicts) -> Sample {
    let (from, to) = case.devices.unzip();
    let inquiry = case.client.inquiry(from, case.svn);
    Sample {
        verdicts: *verdicts,
        count: case.count,
        own_count: case.count,
        from: from.map(|from| from.to_string()),
        to: to.map(|to| to.to_string()),
        svn: case.svn.map(|svn| svn.to_string()),
        imsi: case.client.imsi.map(|imsi| imsi.to_string()),
        scope: case.scope.map(|scope| scope.to_string()),
        elsewhere: case.elsewhere,
        old: Decision::of(both.old.explain(&inquiry, both.at)),
        new: Decision::of(both.new.explain(&inquiry, both.at)),
    }
}
