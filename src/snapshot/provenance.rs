//! Where the lists of a snapshot come from.

use serde::{Deserialize, Serialize};

/// Where everything in a snapshot comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The lists, bindings, and files of models, in the order in which they
    /// were loaded.
    pub lists: Vec<ListOrigin>,
    /// The single changes that a server has made in it, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folded: Option<Folded>,
}

/// Single changes that are part of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folded {
    /// The digest of the snapshot that they were made in.
    pub base: u64,
    /// The number of the last of them.
    pub through: u64,
    /// The number of the file that has all of them.
    pub file: u64,
}

/// Where a list comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListOrigin {
    /// Its name.
    pub name: String,
    /// Whether it holds bindings.
    pub bindings: bool,
    /// Whether it names models.
    pub models: bool,
    /// How its files were written, as `format` of the configuration says it;
    /// empty for what comes from no file.
    pub format: String,
    /// Its files, in the order in which they were read.
    pub files: Vec<FileOrigin>,
}

/// A file of a list, as it was when it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileOrigin {
    /// Where it stood; of a list in an archive, also its name there.
    pub path: String,
    /// SHA-256 of it, as `sha256sum` prints it; of a list in an archive, that
    /// of the archive. None of what is no file.
    pub sha256: Option<String>,
    /// Its octets on the disk.
    pub size: Option<u64>,
    /// When it was written last, in seconds since 1970.
    pub modified: Option<i64>,
    /// Its octets, decompressed.
    pub bytes: u64,
    /// Its lines, with header, comments and blank ones.
    pub lines: u64,
    /// What was taken from it.
    pub entries: u64,
    /// Lines that were rejected.
    pub rejected: u64,
    /// Lines that are allowed to mean nothing.
    pub left_out: u64,
}
