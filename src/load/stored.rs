//! A register that was compiled before.

use std::path::Path;

use super::policies::rulebook;
use super::{Candidate, LoadError, Loaded, Origin, Previous, rails};
use crate::config::{Config, suggest};
use crate::equipment::Snapshot;
use crate::lists::{FileReport, ListReport, LoadReport};
use crate::snapfile;
use crate::snapshot::{Folded, Provenance};

/// Reads a snapshot, or the one that was made of it, and makes a rulebook of it
/// and the policies of a configuration.
pub(super) fn load(
    config: &Config,
    path: &Path,
    previous: &Previous,
    candidate: Option<&Candidate>,
) -> Result<Loaded, LoadError> {
    let memory = config.register.snapshot_memory;
    let folded = candidate.filter(|candidate| is_of(candidate, path));
    // One that cannot be read is no loss: all that is in it is elsewhere.
    let folded = folded.and_then(|candidate| snapfile::read(&candidate.path, memory).ok());
    let is_folded = folded.is_some();
    let (stored, residence) = match folded {
        Some(folded) => folded,
        None => snapfile::read(path, memory).map_err(LoadError::Snapshot)?,
    };
    let mut report = report(&stored.provenance);
    report.warnings = config.warnings();
    for list in &mut report.lists {
        list.before = previous.entries.get(&list.name).copied();
        rails::check_change(list, config.register.max_change, "in [register]");
    }
    if report.lists.iter().any(ListReport::is_refused) {
        return Err(LoadError::Refused(report));
    }
    check_names(config, path, &stored.snapshot)?;
    let rulebook = rulebook(config, stored.snapshot)?;
    report.warnings.extend(rulebook.overlaps());
    Ok(Loaded {
        rulebook,
        report,
        residence: Some(residence),
        origin: Some(Origin {
            digest: stored.contents.digest,
            provenance: stored.provenance,
            is_folded,
        }),
    })
}

/// Whether a snapshot with changes made in it was made of this one.
fn is_of(candidate: &Candidate, path: &Path) -> bool {
    let Ok((base, _)) = snapfile::provenance(path) else {
        return false;
    };
    let made = snapfile::provenance(&candidate.path);
    made.is_ok_and(|(_, provenance)| {
        provenance.folded
            == Some(Folded {
                base: base.digest,
                through: candidate.through,
                file: candidate.file,
            })
    })
}

/// Checks that all lists are there which policies name.
fn check_names(config: &Config, path: &Path, snapshot: &Snapshot) -> Result<(), LoadError> {
    let known: Vec<&str> = snapshot.lists().map(|list| list.name).collect();
    for policy in &config.policies {
        for name in policy.lists.iter().flatten() {
            if !known.contains(&name.as_str()) {
                return Err(LoadError::NoList {
                    policy: policy.name.clone(),
                    list: name.clone(),
                    snapshot: path.display().to_string(),
                    suggestion: suggest(name, &known),
                });
            }
        }
    }
    Ok(())
}

/// What was loaded when the register was compiled.
fn report(provenance: &Provenance) -> LoadReport {
    let lists = provenance.lists.iter().map(|origin| {
        let files = origin.files.iter().map(|file| FileReport {
            path: file.path.clone(),
            bytes: file.bytes,
            lines: file.lines,
            entries: file.entries,
            bad_lines: file.rejected,
            left_out: file.left_out,
            ..FileReport::default()
        });
        let mut list = ListReport::new(&origin.name, origin.bindings, 0);
        list.models = origin.models;
        list.files = files.collect();
        // They were allowed then.
        list.max_bad_lines = list.bad_lines();
        list
    });
    LoadReport {
        lists: lists.collect(),
        warnings: Vec::new(),
    }
}
