//! What is told of a snapshot: counts, lists, rules and bindings.

use super::List;
use crate::equipment::change::Change;
use crate::equipment::{BindingId, ListId, RuleId, RuleKind, Scope, Status, Subscribers, Validity};

//----------- Counts ----------------------------------------------------------

/// How many entries a snapshot has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Rules for one device with one software version.
    pub device_svns: usize,
    /// Rules for one device.
    pub devices: usize,
    /// Rules for ranges of devices.
    pub ranges: usize,
    /// Rules for one TAC.
    pub tacs: usize,
    /// Rules for the TACs that begin alike.
    pub tac_prefixes: usize,
    /// Rules for devices with a peculiarity.
    pub specials: usize,
    /// Subscribers excepted from a rule, counted once for each rule.
    pub exceptions: usize,
    /// Bindings.
    pub bindings: usize,
}

impl Counts {
    /// All rules.
    #[must_use]
    pub fn rules(&self) -> usize {
        let digits = self.device_svns + self.devices + self.ranges;
        digits + self.tacs + self.tac_prefixes + self.specials
    }

    /// The rules of one kind.
    pub(in crate::equipment) fn of_mut(&mut self, kind: RuleKind) -> &mut usize {
        match kind {
            RuleKind::DeviceSvn => &mut self.device_svns,
            RuleKind::Device => &mut self.devices,
            RuleKind::Range => &mut self.ranges,
            RuleKind::Tac => &mut self.tacs,
            RuleKind::TacPrefix => &mut self.tac_prefixes,
            RuleKind::Special => &mut self.specials,
        }
    }
}

//----------- Views -----------------------------------------------------------

/// A list of a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct ListView<'a> {
    /// Its number.
    pub id: ListId,
    /// Its name.
    pub name: &'a str,
    /// What it holds.
    pub kind: ListKind,
    /// How many rules or bindings it has.
    pub entries: usize,
    /// Whether it is a shadow: it has no say, but can be asked what it would
    /// have said.
    pub shadow: bool,
}

impl<'a> ListView<'a> {
    /// The view of a list.
    pub(super) fn new(id: ListId, list: &'a List) -> Self {
        Self {
            id,
            name: &list.name,
            kind: list.kind,
            entries: list.entries,
            shadow: list.shadow,
        }
    }
}

/// What a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// Rules.
    Rules {
        /// The status of lines that name none.
        status: Status,
    },
    /// Bindings.
    Bindings {
        /// The status of a device that the subscriber is not bound to.
        mismatch: Status,
        /// The status of a device that it is bound to; `None`: the rules
        /// decide.
        on_match: Option<Status>,
    },
}

/// A rule of a snapshot, with all that is known of it.
#[derive(Clone, Copy, Debug)]
pub struct RuleView<'a> {
    /// Its number.
    pub id: RuleId,
    /// The list that it stands in.
    pub list: ListView<'a>,
    /// Which devices.
    pub scope: Scope,
    /// What they are.
    pub status: Status,
    /// When.
    pub validity: Validity,
    /// Why.
    pub reason: Option<&'a str>,
    /// The path of the file that it stands in; empty if it stands in none.
    pub file: &'a str,
    /// The line of the file, from 1; 0 if it is not known.
    pub line: u32,
    /// The change that has made it, if it stands in no file.
    pub change: Option<&'a Change>,
}

/// A binding of a snapshot, with all that is known of it.
#[derive(Clone, Copy, Debug)]
pub struct BindingView<'a> {
    /// Its number.
    pub id: BindingId,
    /// The list that it stands in.
    pub list: ListView<'a>,
    /// Who is bound.
    pub subscribers: Subscribers,
    /// Devices that they may use.
    pub scope: Scope,
    /// When.
    pub validity: Validity,
    /// Why.
    pub reason: Option<&'a str>,
    /// The path of the file that it stands in; empty if it stands in none.
    pub file: &'a str,
    /// The line of the file, from 1.
    pub line: u32,
    /// The change that has made it, if it stands in no file.
    pub change: Option<&'a Change>,
}
