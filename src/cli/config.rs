//! `weir config`: prints the default configuration, or checks one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::config::Config;
use crate::error::Failed;
use crate::lists::ListReport;
use crate::load::{self, Previous};
use crate::net::Clock;
use crate::net::tls::Credentials;
use crate::state::State;

use super::workers::Workers;
use super::{print_json, printed};

/// Print the default configuration with a comment on every key, or check one.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// Check this configuration and all the lists and certificates that it
    /// names, as a start of the server would.
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,

    /// Print the result of the check as JSON.
    #[arg(long, requires = "check")]
    pub json: bool,
}

impl ConfigArgs {
    /// Carries the command out, printing to `out`.
    ///
    /// # Errors
    ///
    /// If the configuration or a list cannot be used, with what is wrong.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failed> {
        let Some(path) = &self.check else {
            return printed(out.write_all(Config::commented_default().as_bytes()));
        };
        match (check(path), self.json) {
            (Ok(checked), true) => print_json(out, &checked),
            (Ok(checked), false) => printed(checked.print(out)),
            (Err(failed), false) => Err(failed),
            (Err(failed), true) => {
                let error = failed.to_string();
                print_json(out, &Rejected { ok: false, error })?;
                Err(failed)
            }
        }
    }
}

/// Reads a configuration and everything that it names.
fn check(path: &Path) -> Result<Checked, Failed> {
    let config = Config::load(path)?;
    Workers::new(&config.runtime)?;
    // Against what was in force last, as a start of the server would.
    let previous = State::of(&config).map_or_else(Previous::default, |state| state.previous());
    let loaded = load::load_after(&config, &previous)?;
    let credentials = Credentials::load(&config, Clock::start().now().unix)?;
    let tls_warnings = credentials.iter().flat_map(Credentials::warnings).cloned();
    let policies = loaded.rulebook.policies();
    Ok(Checked {
        ok: true,
        config: path.display().to_string(),
        listen: (config.diameter.listen.iter().map(ToString::to_string)).collect(),
        peers: config.diameter.peers.len(),
        unknown_peers: config.diameter.unknown_peers,
        policies: policies.map(|(_, name)| name.to_owned()).collect(),
        warnings: loaded.report.all_warnings().chain(tls_warnings).collect(),
        lists: loaded.report.lists,
    })
}

/// What a configuration amounts to.
#[derive(Debug, Serialize)]
struct Checked {
    /// Always true: the opposite of [`Rejected`].
    ok: bool,
    /// The file.
    config: String,
    /// Where the server would listen.
    listen: Vec<String>,
    /// How many peers are known.
    peers: usize,
    /// Whether others may connect.
    unknown_peers: bool,
    /// The lists and bindings.
    lists: Vec<ListReport>,
    /// The names of the policies, the default one first.
    policies: Vec<String>,
    /// What is allowed but most likely not meant.
    warnings: Vec<String>,
}

/// Why a configuration cannot be used, for programs.
#[derive(Debug, Serialize)]
struct Rejected {
    /// Always false.
    ok: bool,
    /// What is wrong, in one line or several.
    error: String,
}

impl Checked {
    /// Prints it for people.
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "ok       {}", self.config)?;
        writeln!(out, "listen   {}", self.listen.join(", "))?;
        let others = match self.unknown_peers {
            true => "others may connect",
            false => "nobody else may connect",
        };
        writeln!(out, "peers    {} known, {others}", self.peers)?;
        for list in &self.lists {
            writeln!(out, "list     {list}")?;
        }
        writeln!(out, "policies {}", self.policies.join(", "))?;
        for warning in &self.warnings {
            writeln!(out, "warning: {warning}")?;
        }
        Ok(())
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// What the command prints, and how it ends.
    fn run(check: Option<&Path>, json: bool) -> (String, Result<(), Failed>) {
        let mut out = Vec::new();
        let check = check.map(Path::to_path_buf);
        let result = ConfigArgs { check, json }.run(&mut out);
        (String::from_utf8(out).unwrap(), result)
    }

    #[test]
    fn what_is_printed_without_a_file_passes_the_check() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weir.toml");
        let (text, result) = run(None, false);
        assert_eq!(result, Ok(()));
        fs::write(&path, text).unwrap();

        let (text, result) = run(Some(&path), false);
        assert_eq!(result, Ok(()));
        let expected = format!(
            "ok       {}\n\
             listen   tcp://127.0.0.1:3868, sctp://127.0.0.1:3868\n\
             peers    0 known, others may connect\n\
             list     sample: 9 rules from 1 file\n\
             list     sample-bindings: 2 bindings from 1 file\n\
             policies default\n",
            path.display()
        );
        assert_eq!(text, expected);

        let (text, _) = run(Some(&path), true);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["ok"], true);
        assert_eq!(json["lists"][0]["files"][0]["entries"], 9);
    }

    #[test]
    fn bad_lists_fail_the_check() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weir.toml");
        let text = "[[list]]\nname = \"a\"\nstatus = \"black\"\npath = \"a.csv\"\n";
        fs::write(&path, text).unwrap();
        fs::create_dir(dir.path().join("lists")).unwrap();
        fs::write(dir.path().join("lists/a.csv"), "imei\nx\n").unwrap();
        for json in [false, true] {
            let (text, result) = run(Some(&path), json);
            let failed = result.unwrap_err();
            assert_eq!(failed.exit_code(), 1);
            assert!(
                failed
                    .to_string()
                    .contains("a.csv:2:1: imei: `x` is no IMEI")
            );
            assert_eq!(text.contains("a.csv:2:1"), json);
        }
    }
}
