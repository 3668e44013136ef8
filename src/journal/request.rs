//! Changes as a line of JSON: what goes over the socket.

use serde::{Deserialize, Serialize};

use super::wish::{What, Wish};
use crate::changes::{BY_MAX, LIST_MAX};
use crate::equipment::{Action, Change, Entry, Scope, Status, Subject, Validity};
use crate::lists::field::{self, End};
use crate::time::UnixTime;

/// A request: changes that are made all at once, or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Who asks for them.
    pub by: String,
    /// Them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Line>,
    /// Whether it is for all changes to be folded into the snapshot, and for no
    /// others.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub fold: bool,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// They were made: the numbers of the first and the last.
    Done(u64, u64),
    /// None was, and why.
    Refused(String),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Let the list say this of exactly these devices.
    Add,
    /// Let it say nothing of them.
    Remove,
    /// Let it say what its files say.
    Undo,
}

/// One change; the fields are those of a line of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// What is to be done.
    #[serde(rename = "do")]
    pub verb: Verb,
    /// The name of the list.
    pub list: String,
    /// One device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imei: Option<String>,
    /// While it runs this software version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub svn: Option<String>,
    /// The first device of a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imei_from: Option<String>,
    /// The last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imei_to: Option<String>,
    /// All devices of a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tac: Option<String>,
    /// Those of the models that begin so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tac_prefix: Option<String>,
    /// The subscribers: of bindings, whose it is; of rules, who is excepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub imsi: Vec<String>,
    /// The status; that of the list if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The first day or moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Request {
    /// What is asked for.
    ///
    /// # Errors
    ///
    /// The first field that makes no sense.
    pub fn wishes(&self) -> Result<Vec<Wish>, String> {
        if self.by.is_empty() || self.by.len() > BY_MAX || has_controls(&self.by) {
            return Err(format!(
                "`by` must say in 1 to {BY_MAX} octets who asks, without control characters"
            ));
        }
        if self.fold && !self.changes.is_empty() {
            return Err("`fold` is a request of its own, without `changes`".to_owned());
        }
        let several = self.changes.len() > 1;
        let wishes = (1..).zip(&self.changes).map(|(number, line)| {
            line.wish().map_err(|why| match several {
                true => format!("change {number} of the request: {why}"),
                false => why,
            })
        });
        wishes.collect()
    }
}

/// Whether a text could do harm to a terminal.
fn has_controls(text: &str) -> bool {
    text.chars().any(char::is_control)
}

impl Line {
    /// A change of a list, without devices so far.
    #[must_use]
    pub fn new(verb: Verb, list: &str) -> Self {
        Self {
            verb,
            list: list.to_owned(),
            imei: None,
            svn: None,
            imei_from: None,
            imei_to: None,
            tac: None,
            tac_prefix: None,
            imsi: Vec::new(),
            status: None,
            from: None,
            until: None,
            reason: None,
        }
    }

    /// The fields of a change that was made.
    #[must_use]
    pub fn of(change: &Change) -> Self {
        let Subject {
            list,
            subscriber,
            scope,
        } = &change.subject;
        let mut line = Self::new(Verb::Remove, list);
        line.imsi = subscriber.iter().map(ToString::to_string).collect();
        match *scope {
            Scope::DeviceSvn(device, svn) => {
                line.imei = Some(device.to_string());
                line.svn = Some(svn.to_string());
            }
            Scope::Device(device) => line.imei = Some(device.to_string()),
            Scope::Range { from, to } => {
                line.imei_from = Some(from.to_string());
                line.imei_to = Some(to.to_string());
            }
            Scope::Tac(tac) => line.tac = Some(tac.to_string()),
            Scope::TacPrefix(prefix) => line.tac_prefix = Some(prefix.to_string()),
            // No change is about one.
            Scope::Special(_) => {}
        }
        if let Action::Set(Entry {
            status,
            validity,
            reason,
            exceptions,
        }) = &change.action
        {
            line.verb = Verb::Add;
            line.status = Some(status.to_string()).filter(|_| subscriber.is_none());
            line.from = validity.from.map(|time| time.to_string());
            line.until = validity.until.map(|time| time.to_string());
            line.reason = reason.as_deref().map(Into::into);
            line.imsi.extend(exceptions.iter().map(ToString::to_string));
        }
        line
    }

    /// What is asked for.
    fn wish(&self) -> Result<Wish, String> {
        if self.list.is_empty() || self.list.len() > LIST_MAX {
            return Err("`list` must name a list or binding".to_owned());
        }
        let imsis = self.imsi.iter().map(|imsi| field::imsi(imsi.as_bytes()));
        let what = match self.verb {
            Verb::Add => What::Set {
                status: self.status()?,
                validity: self.validity()?,
                reason: self.reason()?,
            },
            verb => {
                let more = [&self.status, &self.from, &self.until, &self.reason];
                if more.iter().any(|field| field.is_some()) {
                    return Err(
                        "to remove or undo takes the list and the devices alone, and of \
                                a binding the IMSI"
                            .to_owned(),
                    );
                }
                match verb {
                    Verb::Remove => What::Remove,
                    _ => What::Undo,
                }
            }
        };
        Ok(Wish {
            list: self.list.as_str().into(),
            imsis: imsis.collect::<Result<_, _>>()?,
            scope: self.scope()?,
            what,
        })
    }

    /// When it is in effect: never would be no change that anybody means.
    fn validity(&self) -> Result<Validity, String> {
        let from = moment(self.from.as_deref(), End::From, "from")?;
        let until = moment(self.until.as_deref(), End::Until, "until")?;
        match (from, until) {
            (Some(from), Some(until)) if until < from => {
                Err(format!("`until`, {until}, is before `from`, {from}"))
            }
            _ => Ok(Validity { from, until }),
        }
    }

    /// The devices.
    fn scope(&self) -> Result<Scope, String> {
        let device = |text: &str| field::imei(text.as_bytes());
        let kinds = [
            self.imei.is_some(),
            self.imei_from.is_some() || self.imei_to.is_some(),
            self.tac.is_some(),
            self.tac_prefix.is_some(),
        ];
        if kinds.iter().filter(|is_there| **is_there).count() > 1 {
            return Err("name one of imei, imei_from with imei_to, tac, tac_prefix".to_owned());
        }
        if self.svn.is_some() && self.imei.is_none() {
            return Err("an `svn` is of one `imei`".to_owned());
        }
        if let Some(imei) = &self.imei {
            let device = device(imei)?.device;
            let svn = self.svn.as_deref().map(|svn| field::svn(svn.as_bytes()));
            return Ok(match svn.transpose()? {
                Some(svn) => Scope::DeviceSvn(device, svn),
                None => Scope::Device(device),
            });
        }
        match (&self.imei_from, &self.imei_to, &self.tac, &self.tac_prefix) {
            (Some(from), Some(to), ..) => {
                let (from, to) = (device(from)?.device, device(to)?.device);
                match from <= to {
                    true => Ok(Scope::Range { from, to }),
                    false => Err(format!("the range ends at {to}, before it begins")),
                }
            }
            (Some(_), None, ..) | (None, Some(_), ..) => {
                Err("a range takes imei_from and imei_to".to_owned())
            }
            (_, _, Some(tac), _) => field::tac(tac.as_bytes()).map(Scope::Tac),
            (_, _, _, Some(prefix)) => field::tac_prefix(prefix.as_bytes()).map(Scope::TacPrefix),
            (None, None, None, None) => {
                Err("name the devices: imei, imei_from with imei_to, tac or tac_prefix".to_owned())
            }
        }
    }

    /// The status.
    fn status(&self) -> Result<Option<Status>, String> {
        let status = self.status.as_deref().map(str::parse::<Status>);
        status
            .transpose()
            .map_err(|error| format!("`status`: {error}"))
    }

    /// The reason.
    fn reason(&self) -> Result<Option<Box<str>>, String> {
        let Some(reason) = &self.reason else {
            return Ok(None);
        };
        if has_controls(reason) {
            return Err("the reason has control characters".to_owned());
        }
        Ok(Some(field::reason(reason.as_bytes())?.into()))
    }
}

/// One end of the time.
fn moment(text: Option<&str>, end: End, name: &str) -> Result<Option<UnixTime>, String> {
    let moment = text.map(|text| field::moment(text.as_bytes(), end));
    moment.transpose().map_err(|why| format!("`{name}`: {why}"))
}
