//! `weir inspect` and `weir verify`: what is in a snapshot, and whether it is
//! whole.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{grouped, print_json, printed};
use crate::equipment::{Counts, ListKind, ListView};
use crate::error::Failed;
use crate::snapfile::{self, Memory};
use crate::snapshot::{Contents, FileOrigin, Provenance, Stored};
use crate::time::UnixTime;

//----------- Verify ----------------------------------------------------------

/// Read a snapshot to its end and check that not a bit of it has changed.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// The snapshot.
    pub file: PathBuf,
}

impl VerifyArgs {
    /// Carries the command out, printing to `out`.
    ///
    /// # Errors
    ///
    /// If the file is damaged or cannot be read, with the section.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failed> {
        let Contents {
            length,
            digest,
            sections,
            ..
        } = snapfile::verify(&self.file).map_err(Failed::new)?;
        let (file, length) = (self.file.display(), grouped(length));
        let sections = sections.len();
        printed(writeln!(
            out,
            "ok  {file}: {length} bytes in {sections} sections, digest {digest:016x}"
        ))
    }
}

//----------- Inspect ---------------------------------------------------------

/// Show what is in a snapshot: its lists and where they come from, how many
/// entries there are of each kind, and how large its sections are.
#[derive(Clone, Debug, Args)]
pub struct InspectArgs {
    /// The snapshot.
    pub file: PathBuf,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

impl InspectArgs {
    /// Carries the command out, printing to `out`.
    ///
    /// # Errors
    ///
    /// If the file is no whole snapshot of this version.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failed> {
        let (stored, _) = snapfile::read(&self.file, Memory::Auto).map_err(Failed::new)?;
        let report = Report::of(self.file.display().to_string(), &stored);
        match self.json {
            true => print_json(out, &report),
            false => printed(report.print(out)),
        }
    }
}

/// What is in a snapshot.
#[derive(Debug, Serialize)]
struct Report {
    /// The file.
    file: String,
    /// The number of its format.
    format: u32,
    /// When it was made.
    created: String,
    /// The Weir that made it.
    version: String,
    /// Its bytes.
    length: u64,
    /// What it holds, in one number.
    digest: String,
    /// The lists of rules and bindings.
    lists: Vec<List>,
    /// How many entries there are of each kind.
    counts: Counts,
    /// How many TACs have a model.
    models: usize,
    /// The bytes of a rule for a single device, without its line; none if there
    /// are none.
    bytes_a_device: Option<f64>,
    /// The same with its line.
    bytes_a_device_with_line: Option<f64>,
    /// The sections.
    sections: Vec<Section>,
    /// Where everything comes from.
    provenance: Provenance,
}

/// A list.
#[derive(Debug, Serialize)]
struct List {
    /// Its name.
    name: String,
    /// Whether it holds bindings.
    bindings: bool,
    /// The status of its rules, or of a mismatch.
    status: &'static str,
    /// How many entries it has.
    entries: usize,
    /// Whether it is a shadow.
    shadow: bool,
}

/// A section.
#[derive(Debug, Serialize)]
struct Section {
    /// What it is called.
    name: String,
    /// Where it begins.
    offset: u64,
    /// How many bytes it has.
    length: u64,
    /// Their checksum.
    checksum: String,
}

impl Report {
    /// What there is to tell of a snapshot.
    fn of(file: String, stored: &Stored) -> Self {
        let Stored {
            contents,
            provenance,
            snapshot,
        } = stored;
        let counts = snapshot.counts();
        let of = |counted: fn(&str) -> bool| {
            let sections = contents.sections.iter();
            let own = sections.filter(|own| own.name.starts_with("devices") && counted(&own.name));
            let bytes: u64 = own.map(|own| own.length).sum();
            (counts.devices > 0).then(|| bytes as f64 / counts.devices as f64)
        };
        Self {
            file,
            format: contents.format,
            created: contents.created.to_string(),
            version: contents.version.clone(),
            length: contents.length,
            digest: format!("{:016x}", contents.digest),
            lists: snapshot.lists().map(List::of).collect(),
            counts,
            models: snapshot.models().len(),
            bytes_a_device: of(|name| !name.ends_with("lines")),
            bytes_a_device_with_line: of(|_| true),
            sections: (contents.sections.iter())
                .map(|section| Section {
                    name: section.name.clone(),
                    offset: section.offset,
                    length: section.length,
                    checksum: format!("{:016x}", section.checksum),
                })
                .collect(),
            provenance: provenance.clone(),
        }
    }

    /// Prints it for people.
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let length = grouped(self.length);
        writeln!(out, "{}: {length} bytes, digest {}", self.file, self.digest)?;
        let (created, version) = (&self.created, &self.version);
        writeln!(
            out,
            "made {created} by Weir {version}, format {}",
            self.format
        )?;
        if let Some(folded) = &self.provenance.folded {
            let (through, base) = (folded.through, folded.base);
            writeln!(
                out,
                "changes up to {through} are folded into the snapshot of digest {base:016x}"
            )?;
        }
        writeln!(out, "\nlists")?;
        for list in &self.lists {
            list.print(out)?;
        }
        writeln!(out, "\nfiles")?;
        for list in &self.provenance.lists {
            for file in &list.files {
                print_file(out, &list.name, &list.format, file)?;
            }
        }
        writeln!(out, "\nentries")?;
        let counts = &self.counts;
        for (what, count) in [
            ("devices", counts.devices),
            ("devices with software version", counts.device_svns),
            ("ranges", counts.ranges),
            ("TACs", counts.tacs),
            ("TAC prefixes", counts.tac_prefixes),
            ("special", counts.specials),
            ("exceptions", counts.exceptions),
            ("bindings", counts.bindings),
            ("models", self.models),
        ] {
            if count > 0 {
                writeln!(out, "  {:>15}  {what}", grouped(count as u64))?;
            }
        }
        if let (Some(bytes), Some(all)) = (self.bytes_a_device, self.bytes_a_device_with_line) {
            writeln!(
                out,
                "  {bytes:.2} bytes a device, {all:.2} with its line in the list"
            )?;
        }
        writeln!(out, "\nsections")?;
        for section in &self.sections {
            let (name, checksum) = (&section.name, &section.checksum);
            writeln!(out, "  {:>15}  {name}  {checksum}", grouped(section.length))?;
        }
        Ok(())
    }
}

impl List {
    /// What there is to tell of a list.
    fn of(list: ListView<'_>) -> Self {
        let (bindings, status) = match list.kind {
            ListKind::Rules { status } => (false, status),
            ListKind::Bindings { mismatch, .. } => (true, mismatch),
        };
        Self {
            name: list.name.to_owned(),
            bindings,
            status: status.name(),
            entries: list.entries,
            shadow: list.shadow,
        }
    }

    /// Prints it for people.
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let entries = grouped(self.entries as u64);
        let (name, status) = (&self.name, self.status);
        let kind = match self.bindings {
            true => format!("bindings, {status} elsewhere"),
            false => format!("rules, {status} unless they say otherwise"),
        };
        let shadow = if self.shadow { ", a shadow" } else { "" };
        writeln!(out, "  {entries:>15}  {name}: {kind}{shadow}")
    }
}

/// Prints a file of a list for people.
fn print_file(out: &mut impl Write, list: &str, format: &str, file: &FileOrigin) -> io::Result<()> {
    let (path, entries) = (&file.path, grouped(file.entries));
    writeln!(out, "  {entries:>15}  {list}: {path}")?;
    let Some((sha256, size)) = file.sha256.as_ref().zip(file.size) else {
        return Ok(());
    };
    let (size, lines) = (grouped(size), grouped(file.lines));
    write!(out, "{:19}{format}, {size} bytes, {lines} lines", "")?;
    for (count, what) in [(file.rejected, "rejected"), (file.left_out, "left out")] {
        if count > 0 {
            write!(out, ", {} {what}", grouped(count))?;
        }
    }
    if let Some(modified) = file.modified {
        write!(out, ", of {}", UnixTime(modified))?;
    }
    writeln!(out, "\n{:19}sha256 {sha256}", "")
}
