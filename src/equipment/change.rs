//! A single change of a register, made while it is in force.

use std::sync::Arc;

use super::{Imsi, Scope, Status, Validity};
use crate::time::UnixTime;

/// What somebody has changed: what one list says of exactly one scope.
///
/// A change speaks instead of all that the list itself says of exactly the same
/// devices (and of a list of bindings, of the same subscriber); what it says of
/// others, such as the range that a device lies in, stays. Lists are named, as
/// their numbers are others after each load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The number of the change: of all that were ever made, the first is 1.
    pub number: u64,
    /// When it was made.
    pub time: UnixTime,
    /// Who made it, as far as is known.
    pub by: Arc<str>,
    /// What it is about.
    pub subject: Subject,
    /// What is to be said of it.
    pub action: Action,
}

/// What a change is about. Of two changes with the same subject the later one
/// counts alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The name of the list.
    pub list: Arc<str>,
    /// The subscriber, of a list of bindings; none of a list of rules.
    pub subscriber: Option<Imsi>,
    /// The devices, but for those with a peculiarity.
    pub scope: Scope,
}

/// What a change makes a list say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// This.
    Set(Entry),
    /// Nothing.
    Remove,
}

/// What is said in place of a list's own lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the devices are; of a binding, what the list says of a mismatch
    /// counts instead.
    pub status: Status,
    /// When.
    pub validity: Validity,
    /// Why, for people.
    pub reason: Option<Box<str>>,
    /// Who may use the devices although they are blacklisted.
    pub exceptions: Box<[Imsi]>,
}
