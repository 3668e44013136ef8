//! Why there is no rulebook, told so that it can be mended.

use core::fmt;

use thiserror::Error;

use crate::equipment::BuildError;
use crate::lists::LoadReport;
use crate::lists::report::MAX_SHOWN;
use crate::policy::PolicyError;

/// Why there is no rulebook. Prints several lines, complete with what to do.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Lists are refused.
    #[error("{}", Refused(.0))]
    Refused(LoadReport),
    /// What memory has no room for cannot be kept elsewhere.
    #[error("{0}; nothing was loaded")]
    Memory(String),
    /// There are more lists, files or rules than can be numbered.
    #[error("the lists do not fit: {0}")]
    Build(#[from] BuildError),
    /// A list of unallocated TACs without a file of those that are allocated.
    #[error(
        "[[special]] `{0}`: unallocated_tac needs to know which TACs are allocated; load a file \
         of TACs, or remove it"
    )]
    NoModels(String),
    /// The snapshot cannot be read.
    #[error("{0}\nnothing was loaded; compile the snapshot anew, or put another in its place")]
    Snapshot(String),
    /// A policy names a list that the snapshot does not have.
    #[error("policy `{policy}`: no list or binding in {snapshot} is called `{list}`{suggestion}")]
    NoList {
        /// The policy.
        policy: String,
        /// The list.
        list: String,
        /// The snapshot.
        snapshot: String,
        /// What was most likely meant.
        suggestion: String,
    },
    /// The policies cannot be made of the configuration.
    #[error("the policies cannot be used: {0}")]
    Policy(#[from] PolicyError),
}

/// Prints what is wrong with the lists of a report, the first ten problems in
/// full.
struct Refused<'a>(&'a LoadReport);

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = 0;
        let mut total = 0;
        let refused = || self.0.lists.iter().filter(|list| list.is_refused());
        for list in refused() {
            total += list.bad_lines() + list.faults.len() as u64;
            let bad = list.first_bad_lines.iter().map(ToString::to_string);
            for problem in list.faults.iter().cloned().chain(bad) {
                if shown < MAX_SHOWN {
                    shown += 1;
                    writeln!(f, "{problem}")?;
                }
            }
        }
        let more = total.saturating_sub(shown as u64);
        if more > 0 {
            writeln!(f, "… and {more} more")?;
        }
        let mut faulty = false;
        for list in refused() {
            faulty |= !list.faults.is_empty();
            let (bad, allowed) = (list.bad_lines(), list.max_bad_lines);
            write!(f, "list {} is refused", list.name)?;
            match (bad > allowed, bad) {
                (false, _) => {}
                (true, 1) => write!(f, ": 1 bad line, allowed are {allowed}")?,
                (true, _) => write!(f, ": {bad} bad lines, allowed are {allowed}")?,
            }
            writeln!(f)?;
        }
        f.write_str(match faulty {
            true => "nothing was loaded; correct the files",
            false => {
                "nothing was loaded; correct the lines, or raise max_bad_lines to leave them out"
            }
        })
    }
}
