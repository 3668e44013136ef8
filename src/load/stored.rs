//! A register that was compiled before.

use std::path::Path;

use super::{LoadError, Loaded, Previous, rails, rulebook};
use crate::config::{Config, suggest};
use crate::equipment::Snapshot;
use crate::lists::{FileReport, ListReport, LoadReport};
use crate::snapfile;
use crate::snapshot::Provenance;

/// Reads a snapshot, and makes a rulebook of it and the policies of a
/// configuration.
pub(super) fn load(config: &Config, path: &Path, previous: &Previous) -> Result<Loaded, LoadError> {
    let memory = config.register.snapshot_memory;
    let (stored, residence) = snapfile::read(path, memory).map_err(LoadError::Snapshot)?;
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
