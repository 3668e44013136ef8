//! How the files of a list are written.

use core::fmt;

use serde::{Deserialize, Serialize};

/// How the files of a list are written; [`crate::lists`] describes them all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListFormat {
    /// Weir's own: CSV with a header line.
    #[default]
    Csv,
    /// The blacklist of a DIRBS registry, full or delta.
    DirbsBlacklist,
    /// The notifications of a DIRBS registry: devices that will be blacklisted.
    DirbsNotifications,
    /// The exceptions of a DIRBS registry: subscribers who may use a
    /// blacklisted device.
    DirbsExceptions,
    /// The pairing list of a DIRBS registry: subscribers and their devices.
    DirbsPairing,
    /// EIR rules of PyHSS, in JSON.
    Pyhss,
    /// Records of the collection `eir` of Open5GS, in JSON.
    Open5gs,
    /// Provisioning commands of the EAGLE EIR.
    Eagle,
    /// TACs, as the GSMA gives them out: separated by bars.
    GsmaTac,
    /// TACs, as Osmocom collects them: CSV below a banner.
    OsmocomTac,
}

impl ListFormat {
    /// All formats.
    pub const ALL: [Self; 10] = [
        Self::Csv,
        Self::DirbsBlacklist,
        Self::DirbsNotifications,
        Self::DirbsExceptions,
        Self::DirbsPairing,
        Self::Pyhss,
        Self::Open5gs,
        Self::Eagle,
        Self::GsmaTac,
        Self::OsmocomTac,
    ];

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::DirbsBlacklist => "dirbs-blacklist",
            Self::DirbsNotifications => "dirbs-notifications",
            Self::DirbsExceptions => "dirbs-exceptions",
            Self::DirbsPairing => "dirbs-pairing",
            Self::Pyhss => "pyhss",
            Self::Open5gs => "open5gs",
            Self::Eagle => "eagle",
            Self::GsmaTac => "gsma-tac",
            Self::OsmocomTac => "osmocom-tac",
        }
    }

    /// The tables of the configuration that take it.
    #[must_use]
    pub const fn tables(self) -> &'static [&'static str] {
        match self {
            Self::Csv | Self::Pyhss | Self::Open5gs => &["list", "binding"],
            Self::DirbsPairing => &["binding"],
            Self::GsmaTac | Self::OsmocomTac => &["tac"],
            _ => &["list"],
        }
    }

    /// Whether all of its rules blacklist, so that a list with another status
    /// cannot be meant.
    #[must_use]
    pub const fn blacklists(self) -> bool {
        matches!(
            self,
            Self::DirbsBlacklist | Self::DirbsNotifications | Self::DirbsExceptions
        )
    }
}

impl fmt::Display for ListFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

//----------- Guessing --------------------------------------------------------

/// Which format a file is most likely in, by its beginning; `None` if that
/// does not tell. It is asked only to say what is wrong, never to choose.
pub(crate) fn guess(start: &[u8]) -> Option<ListFormat> {
    let start = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(start);
    let text = String::from_utf8_lossy(start.get(..GUESS_BYTES).unwrap_or(start));
    let text = text.to_ascii_lowercase();
    let lines = || {
        let content = |line: &&str| !line.is_empty() && !line.starts_with('#');
        text.lines().map(str::trim).filter(content)
    };
    let first = lines().next()?;
    if first.starts_with(['{', '[']) {
        return match () {
            () if text.contains("\"match_response_code\"") => Some(ListFormat::Pyhss),
            () if text.contains("\"pei\"") => Some(ListFormat::Open5gs),
            () => None,
        };
    }
    if lines().any(|line| line.starts_with("ent_eir") || line.starts_with("dlt_eir")) {
        return Some(ListFormat::Eagle);
    }
    if first.contains('|') && first.split('|').any(|name| name.trim() == "tac") {
        return Some(ListFormat::GsmaTac);
    }
    if lines()
        .take(3)
        .any(|line| line.starts_with("tac,name,name"))
    {
        return Some(ListFormat::OsmocomTac);
    }
    let columns: Vec<&str> = (first.split(','))
        .map(|name| name.trim().trim_matches('"'))
        .collect();
    let has = |name: &str| columns.contains(&name);
    match (has("imei"), has("block_date"), has("msisdn")) {
        (true, true, true) => Some(ListFormat::DirbsNotifications),
        (true, true, false) => Some(ListFormat::DirbsBlacklist),
        // The same columns as a pairing list has.
        (true, false, true) if has("imsi") => Some(ListFormat::DirbsExceptions),
        (true, false, false) => Some(ListFormat::Csv),
        _ if has("tac") || has("tac_prefix") || has("imei_from") => Some(ListFormat::Csv),
        _ => None,
    }
}

/// How much of a file a guess is made from: its first lines.
const GUESS_BYTES: usize = 4096;

/// What is wrong with a file in another format than it is configured with;
/// `None` if it may well be in that one.
pub(crate) fn mismatch(configured: ListFormat, bindings: bool, start: &[u8]) -> Option<String> {
    use ListFormat::{Csv, DirbsExceptions, DirbsPairing};

    let guessed = guess(start)?;
    let alike = match (configured, guessed) {
        _ if configured == guessed => true,
        (DirbsPairing, DirbsExceptions | Csv) => true,
        // Bindings with the subscriber's number beside them.
        (Csv, DirbsExceptions) => bindings,
        // A house list may have any columns beside its own, and its header is
        // that of others which have fewer.
        (DirbsExceptions, Csv) => true,
        _ => false,
    };
    (!alike).then(|| match (configured, guessed) {
        (_, DirbsExceptions) => format!(
            "looks like a list of DIRBS, not like `{configured}`; write format = \"{DirbsExceptions}\", or in a [[binding]] format = \"{DirbsPairing}\""
        ),
        (_, guessed) => format!(
            "looks like `{guessed}`, not like `{configured}`; write format = \"{guessed}\" in a [[{}]]",
            guessed.tables().join("]] or [[")
        ),
    })
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_configuration() {
        for format in ListFormat::ALL {
            let text = serde_json::to_string(&format).unwrap();
            assert_eq!(text, format!("\"{format}\""));
        }
    }

    #[test]
    fn beginnings_tell_the_format() {
        for (start, expected) in [
            ("", None),
            ("hello", None),
            ("imei,reason\n", Some(ListFormat::Csv)),
            ("# x\nreason,TAC\n", Some(ListFormat::Csv)),
            (
                "imei,block_date,reasons\r\n",
                Some(ListFormat::DirbsBlacklist),
            ),
            (
                "imei,imsi,msisdn,block_date,reasons\n",
                Some(ListFormat::DirbsNotifications),
            ),
            (
                "\u{feff}IMEI,IMSI,MSISDN\n",
                Some(ListFormat::DirbsExceptions),
            ),
            (
                "[{\"eir_id\":1,\"match_response_code\":0",
                Some(ListFormat::Pyhss),
            ),
            ("{\"_id\":1,\"pei\":\"imei-1\"", Some(ListFormat::Open5gs)),
            ("{\"a\":1}", None),
            ("# eagle\nENT_EIR(imei 1", Some(ListFormat::Eagle)),
            ("TAC|Manufacturer|Model\n", Some(ListFormat::GsmaTac)),
            (
                "Osmocom TAC database\ntac,name,name,",
                Some(ListFormat::OsmocomTac),
            ),
        ] {
            assert_eq!(guess(start.as_bytes()), expected, "{start:?}");
        }
    }

    #[test]
    fn what_may_be_meant_is_no_mismatch() {
        let pairing = b"imei,imsi,msisdn\n";
        assert_eq!(mismatch(ListFormat::DirbsPairing, true, pairing), None);
        assert_eq!(mismatch(ListFormat::Csv, false, b"imei,reason\n"), None);
        assert_eq!(mismatch(ListFormat::Csv, false, b"what,ever\n"), None);
        let told = mismatch(ListFormat::Csv, false, b"TAC|Model\n").unwrap();
        assert!(
            told.contains("format = \"gsma-tac\" in a [[tac]]"),
            "{told}"
        );
        let told = mismatch(ListFormat::Csv, false, pairing).unwrap();
        assert!(told.contains("dirbs-pairing"), "{told}");
    }
}
