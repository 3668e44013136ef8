//! The requests of a capture through two registers.

use std::path::Path;

use serde::Serialize;

use super::compare::Verdict;
use super::print::Row;
use super::recording::{Recording, view};
use super::value::Masking;
use super::{Reply, local, nothing, read};
use crate::base::Node;
use crate::error::Failed;
use crate::policy::Rulebook;
use crate::time::UnixTime;

/// A request that both answer differently.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Differing {
    /// The frame that completed the request.
    pub(in crate::cli) frame: u64,
    /// When it was recorded.
    pub(in crate::cli) time: String,
    /// Who asked.
    pub(in crate::cli) origin_host: Option<String>,
    /// The device.
    pub(in crate::cli) imei: Option<String>,
    /// Its software version.
    pub(in crate::cli) software_version: Option<String>,
    /// The subscriber.
    pub(in crate::cli) imsi: Option<String>,
    /// What the first answers.
    pub(in crate::cli) old: String,
    /// What the second answers.
    pub(in crate::cli) new: String,
    /// What decides in the first.
    pub(in crate::cli) old_ground: Option<String>,
    /// What decides in the second.
    pub(in crate::cli) new_ground: Option<String>,
}

impl Differing {
    /// Who asks about whom.
    pub(in crate::cli) fn subject(&self) -> String {
        let parts = [
            ("", &self.origin_host),
            ("imei ", &self.imei),
            ("svn ", &self.software_version),
            ("imsi ", &self.imsi),
        ];
        let parts = parts.into_iter().filter_map(|(name, part)| {
            let part = part.as_ref()?;
            Some(format!("{name}{part}"))
        });
        parts.collect::<Vec<_>>().join(" ")
    }
}

/// Answers all requests of a capture twice, with the rules that are in effect
/// `at` that time, and tells how many there are and which are answered
/// differently.
pub(in crate::cli) fn between(
    path: &Path,
    ports: &[u16],
    sides: [(Node, &Rulebook); 2],
    at: UnixTime,
    show_identities: bool,
) -> Result<(u64, Vec<Differing>), Failed> {
    let capture = read(path, ports)?;
    let recording = Recording::of(&capture);
    if recording.exchanges.is_empty() {
        return Err(nothing(path, &capture));
    }
    let [old, new] = sides
        .each_ref()
        .map(|(node, rulebook)| local::replay(&recording, node, false, rulebook, Some(at), true));
    let masking = Masking::shown_if(show_identities);
    let mut differing = Vec::new();
    for (exchange, (old, new)) in recording.exchanges.iter().zip(old.iter().zip(&new)) {
        let answers = (told(old), told(new));
        if answers.0 == answers.1 {
            continue;
        }
        let row = Row::of(&recording, exchange, masking);
        differing.push(Differing {
            frame: row.frame,
            time: row.time,
            origin_host: row.origin_host,
            imei: row.imei,
            software_version: row.software_version,
            imsi: row.imsi,
            old: answers.0,
            new: answers.1,
            old_ground: old.ground.clone(),
            new_ground: new.ground.clone(),
        });
    }
    Ok((recording.exchanges.len() as u64, differing))
}

/// What a reply says.
fn told(reply: &Reply) -> String {
    let answer = reply.answer.as_ref().map(|bytes| view(bytes));
    match answer {
        Ok(Some(answer)) => Verdict::of(&answer).to_string(),
        Ok(None) => "unreadable".to_owned(),
        Err(silence) => format!("no answer ({silence})"),
    }
}
