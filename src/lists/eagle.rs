//! Provisioning commands of the EAGLE EIR, as its import and export files have
//! them:
//!
//! ```text
//! # comment
//! ent_eir(imei 49015420323751, svn 12, white no, gray no, black yes,
//!         imsi 001010000000001, imsi 001010000000002)
//! ent_eir(bimei 49015420000000, eimei 49015420999999, gray yes)
//! ent_eir(imei 49015420323751, imsi 001010000000003)
//! dlt_eir(imei 49015420323751, imsi 001010000000001)
//! dlt_eir(imei 49015420323751, imsi all)
//! dlt_eir(imei 49015420323751)
//! ```
//!
//! Letter case and line ends do not count; `force yes` replaces what was
//! entered before. A command that enters IMSIs and names no list adds them to
//! a device that was entered; one that deletes takes the device off all its
//! lists, so that naming a list in it is an error. A device may be white, gray and black at once: each is a
//! rule of its own, and `combine` of the policy says what comes of it. IMSIs,
//! eight at most, may use the device although it is black. Commands that are
//! not about the EIR are left out.
//!
//! What a command deletes must have been entered before, in this file or one
//! read earlier. The files are read twice: once for what is deleted or
//! replaced, which is little, so that all else need not be kept. A file that
//! was written or exchanged in between is refused.

use std::collections::HashMap;
use std::io::BufRead;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::equipment::{BuildError, Imsi, Scope, Status};

use super::feed::{At, Draft, Feed, Refusal, Stop};
use super::field;
use super::house;
use super::lines::{LineError, Lines};
use super::report::Bad;

/// The longest command in bytes: one with eight IMSIs has some three hundred.
const MAX_COMMAND: usize = 4096;

/// The most IMSIs of a device, as the EAGLE has it.
const MAX_IMSIS: usize = 8;

/// The parameters that say which lists a device is on.
const LISTS: [&str; 3] = ["white", "gray", "black"];

/// Commands that open and close a session, and change nothing.
const SESSION: [&str; 4] = ["connect", "disconnect", "begin_txn", "end_txn"];

//----------- Reading ---------------------------------------------------------

/// The devices that are deleted or replaced somewhere, so that what is entered
/// for them has to be kept until all is read.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Them.
    scopes: FxHashSet<Scope>,
    /// What is entered for them so far.
    held: FxHashMap<Scope, Held>,
}

/// What was entered for a device that may yet be deleted.
#[derive(Debug)]
struct Held {
    /// Where.
    at: At,
    /// On which lists.
    statuses: Vec<Status>,
    /// Who may use it.
    imsis: Vec<Imsi>,
}

impl Changes {
    /// The first reading: finds what is deleted or replaced. Errors are left
    /// to the second.
    pub(crate) fn collect(&mut self, reader: impl BufRead) {
        let mut commands = Commands::new(reader);
        while let Ok(Some((_, text))) = commands.next() {
            if let Ok(Some(command)) = text.and_then(|text| parse(&text))
                && (command.deletes || command.force || command.adds())
            {
                self.scopes.insert(command.scope);
            }
        }
    }

    /// The second reading: enters what is not going to be deleted.
    pub(crate) fn read(
        &mut self,
        reader: impl BufRead,
        file: usize,
        feed: &mut Feed<'_>,
    ) -> Result<(), Stop> {
        let mut commands = Commands::new(reader);
        let result = loop {
            let (line, text) = match commands.next() {
                Ok(None) => break Ok(()),
                Ok(Some(command)) => command,
                Err(error) => break Err(error),
            };
            let at = At { file, line };
            match text.and_then(|text| parse(&text)) {
                Ok(None) => feed.left_out(at),
                Err(bad) => feed.bad(at, bad, None),
                Ok(Some(command)) if command.session => {}
                Ok(Some(command)) => self.carry_out(command, at, feed)?,
            }
        };
        feed.read(file, commands.lines.number(), commands.lines.bytes());
        result.map_err(|error| house::stop(&error, file, commands.lines.number(), feed))
    }

    /// Does what a command says.
    fn carry_out(
        &mut self,
        command: Command,
        at: At,
        feed: &mut Feed<'_>,
    ) -> Result<(), BuildError> {
        let scope = command.scope;
        if !self.scopes.contains(&scope) {
            feed.list.own_status += 1;
            let added = feed.rules(at, Draft::of(scope), &command.statuses, &command.imsis);
            return feed.settle(at, added, |_| None);
        }
        let contradiction = |what: String| Refusal::Line(Bad::new(what));
        let result = if command.adds() {
            match self.held.get_mut(&scope) {
                None => Err(contradiction(format!(
                    "adds an IMSI to {scope}, which was not entered; enter it with one of white, gray and black"
                ))),
                Some(held) => {
                    let mut imsis = held.imsis.clone();
                    imsis.extend(
                        command
                            .imsis
                            .iter()
                            .filter(|imsi| !held.imsis.contains(imsi)),
                    );
                    if imsis.len() > MAX_IMSIS {
                        Err(contradiction(too_many(imsis.len())))
                    } else {
                        held.imsis = imsis;
                        Ok(())
                    }
                }
            }
        } else if !command.deletes {
            let held = Held {
                at,
                statuses: command.statuses,
                imsis: command.imsis,
            };
            match self.held.get(&scope) {
                Some(other) if !command.force => Err(contradiction(format!(
                    "enters {scope}, which line {} of {} has entered; write `force yes` to replace it",
                    other.at.line,
                    feed.path(other.at.file)
                ))),
                _ => {
                    self.held.insert(scope, held);
                    return Ok(());
                }
            }
        } else if command.all_imsis {
            match self.held.get_mut(&scope) {
                None => Err(contradiction(format!(
                    "deletes the IMSIs of {scope}, which was not entered"
                ))),
                Some(held) => {
                    held.imsis.clear();
                    Ok(())
                }
            }
        } else if command.imsis.is_empty() {
            (self.held.remove(&scope).map(|_| ()))
                .ok_or_else(|| contradiction(format!("deletes {scope}, which was not entered")))
        } else {
            match self.held.get_mut(&scope) {
                None => Err(contradiction(format!(
                    "deletes an IMSI of {scope}, which was not entered"
                ))),
                Some(held) => {
                    let all = (command.imsis.iter()).all(|imsi| held.imsis.contains(imsi));
                    held.imsis.retain(|imsi| !command.imsis.contains(imsi));
                    all.then_some(()).ok_or_else(|| {
                        contradiction(format!("deletes an IMSI that {scope} does not have"))
                    })
                }
            }
        };
        match result {
            Ok(()) => Ok(()),
            refused => feed.settle(at, refused, |_| None),
        }
    }

    /// Enters what was kept and not deleted.
    pub(crate) fn finish(self, feed: &mut Feed<'_>) -> Result<(), BuildError> {
        let mut held: Vec<(Scope, Held)> = self.held.into_iter().collect();
        held.sort_unstable_by_key(|(scope, held)| (held.at.file, held.at.line, *scope));
        for (
            scope,
            Held {
                at,
                statuses,
                imsis,
            },
        ) in held
        {
            feed.list.own_status += 1;
            let added = feed.rules(at, Draft::of(scope), &statuses, &imsis);
            feed.settle(at, added, |_| None)?;
        }
        Ok(())
    }
}

//----------- Command ---------------------------------------------------------

/// A command about the EIR.
#[derive(Debug)]
struct Command {
    /// Whether it deletes rather than enters.
    deletes: bool,
    /// Whether it replaces what is there.
    force: bool,
    /// Whether it is one of [`SESSION`], and all else of no meaning.
    session: bool,
    /// The devices.
    scope: Scope,
    /// The lists that they are on.
    statuses: Vec<Status>,
    /// Who may use them, or loses that right.
    imsis: Vec<Imsi>,
    /// Whether all lose that right.
    all_imsis: bool,
}

impl Command {
    /// Whether it gives subscribers to devices that were entered before.
    fn adds(&self) -> bool {
        !self.deletes && !self.session && self.statuses.is_empty()
    }
}

/// What is wrong with a device of more IMSIs than there may be.
fn too_many(imsis: usize) -> String {
    format!("has {imsis} IMSIs; an EAGLE has at most {MAX_IMSIS}")
}

/// Reads a command; `None` if it is not about the EIR.
fn parse(text: &str) -> Result<Option<Command>, Bad> {
    let (name, inner) = text.split_once('(').unwrap_or((text, ""));
    let name = name.trim().to_ascii_lowercase();
    let deletes = match name.as_str() {
        "ent_eir" => false,
        "dlt_eir" => true,
        session if SESSION.contains(&session) => {
            return Ok(Some(Command {
                deletes: false,
                force: false,
                session: true,
                // Of no meaning.
                scope: Scope::Tac(crate::equipment::Tac::MAX),
                statuses: Vec::new(),
                imsis: Vec::new(),
                all_imsis: false,
            }));
        }
        "abort_txn" => {
            return Err(Bad::new(
                "takes back what stands since begin_txn, which cannot be carried out; remove those commands",
            ));
        }
        // Left out, it would leave a device as it was without a word.
        other if other.contains("eir") => {
            return Err(Bad::new(format!(
                "{} cannot be carried out; write ent_eir(…) or dlt_eir(…)",
                field::show(name.as_bytes())
            )));
        }
        other
            if other
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_') =>
        {
            return Ok(None);
        }
        _ => {
            return Err(Bad::new(format!(
                "{} is no command; write ent_eir(…) or dlt_eir(…)",
                field::show(name.as_bytes())
            )));
        }
    };
    let mut values: HashMap<String, &str> = HashMap::new();
    let mut imsis = Vec::new();
    let mut all_imsis = false;
    let inner = inner.trim_end().trim_end_matches(')');
    for parameter in inner.split(',').map(str::trim) {
        if parameter.is_empty() {
            continue;
        }
        let (key, value) = (parameter.split_once(|c: char| c.is_whitespace() || c == '='))
            .ok_or_else(|| {
                Bad::new(format!(
                    "{} has no value",
                    field::show(parameter.as_bytes())
                ))
            })?;
        let (key, value) = (
            key.to_ascii_lowercase(),
            value.trim_start_matches(['=', ' ', '\t']).trim(),
        );
        match key.as_str() {
            "imsi" if deletes && value.eq_ignore_ascii_case("all") => all_imsis = true,
            "imsi" => imsis.push(field::imsi(value.as_bytes()).map_err(Bad::new)?),
            "imei" | "svn" | "bimei" | "eimei" | "white" | "gray" | "grey" | "black" | "force"
            | "iid" | "timeout" => {
                let key = if key == "grey" {
                    "gray".to_owned()
                } else {
                    key
                };
                if values.insert(key.clone(), value).is_some() {
                    return Err(Bad::new(format!("`{key}` is there twice")));
                }
            }
            other => {
                return Err(Bad::new(format!(
                    "{} is no parameter; known are imei, svn, bimei, eimei, white, gray, black, imsi and force",
                    field::show(other.as_bytes())
                )));
            }
        }
    }
    if imsis.len() > MAX_IMSIS {
        return Err(Bad::new(too_many(imsis.len())));
    }
    if deletes {
        // As if it did, a device would leave lists that it is to stay on.
        if let Some(list) = (LISTS.into_iter()).find(|list| values.contains_key(*list)) {
            return Err(Bad::new(format!(
                "`{list}` is not for deleting, which takes the device off all its lists; to leave it on some, write ent_eir(…, force yes) with those"
            )));
        }
        if values
            .keys()
            .all(|key| ["iid", "timeout"].contains(&key.as_str()))
            && !imsis.is_empty()
        {
            return Err(Bad::new(
                "deletes an IMSI from all devices, which cannot be carried out; name each device by `imei`",
            ));
        }
    }
    let yes = |key: &str| match values.get(key).map(|value| value.to_ascii_lowercase()) {
        None => Ok(false),
        Some(value) => match value.as_str() {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => Err(Bad::new(format!("`{key}` is neither yes nor no"))),
        },
    };
    let mut statuses = Vec::new();
    for (key, status) in [
        ("white", Status::Whitelisted),
        ("gray", Status::Greylisted),
        ("black", Status::Blacklisted),
    ] {
        if yes(key)? {
            statuses.push(status);
        }
    }
    let names_list = LISTS.iter().any(|list| values.contains_key(*list));
    if statuses.is_empty() && !deletes && (imsis.is_empty() || names_list || yes("force")?) {
        return Err(Bad::new(
            "puts the device on no list; one of white, gray and black must be yes",
        ));
    }
    let scope = scope(|key| values.get(key).copied())?;
    if matches!(scope, Scope::Range { .. }) && (all_imsis || !imsis.is_empty()) {
        return Err(Bad::new("a range has no IMSIs"));
    }
    Ok(Some(Command {
        deletes,
        force: yes("force")?,
        session: false,
        scope,
        statuses,
        imsis,
        all_imsis,
    }))
}

/// Reads which devices a command is about.
fn scope<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Result<Scope, Bad> {
    let imei = |text: &str| field::imei(text.as_bytes()).map_err(Bad::new);
    match (value("imei"), value("svn"), value("bimei"), value("eimei")) {
        (Some(text), None, None, None) => Ok(Scope::Device(imei(text)?.device)),
        (Some(text), Some(svn), None, None) => {
            let svn = field::svn(svn.as_bytes()).map_err(Bad::new)?;
            Ok(Scope::DeviceSvn(imei(text)?.device, svn))
        }
        (None, None, Some(from), Some(to)) => {
            let (from, to) = (imei(from)?.device, imei(to)?.device);
            if from > to {
                return Err(Bad::new(format!(
                    "the range ends at {to}, before it starts at {from}"
                )));
            }
            Ok(Scope::Range { from, to })
        }
        (None, _, None, None) => Err(Bad::new(
            "names no device; write `imei`, or `bimei` and `eimei`",
        )),
        _ => Err(Bad::new(
            "names devices in two ways; write `imei` with or without `svn`, or `bimei` and `eimei`",
        )),
    }
}

//----------- Commands --------------------------------------------------------

/// Finds commands in lines.
struct Commands<R> {
    /// The lines.
    lines: Lines<R>,
    /// What was read of a command that is not closed yet, and from which line
    /// on.
    pending: Option<(u64, String)>,
}

impl<R: BufRead> Commands<R> {
    /// Starts before the first command.
    fn new(reader: R) -> Self {
        Self {
            lines: Lines::new(reader),
            pending: None,
        }
    }

    /// The next command up to its closing parenthesis, and the line on which
    /// it begins.
    #[expect(clippy::type_complexity, reason = "a line and what became of it")]
    fn next(&mut self) -> Result<Option<(u64, Result<String, Bad>)>, LineError> {
        let not_closed = || Bad::new("a command that is not closed by `)`");
        loop {
            if let Some((line, text)) = self.pending.take() {
                if let Some((command, rest)) = text.split_once(')') {
                    let rest = rest.trim_start_matches([';', ' ', '\t']).to_owned();
                    let command = command.to_owned();
                    if !rest.is_empty() {
                        self.pending = Some((self.lines.number(), rest));
                    }
                    return Ok(Some((line, Ok(command))));
                }
                if text.len() > MAX_COMMAND {
                    return Ok(Some((line, Err(not_closed()))));
                }
                self.pending = Some((line, text));
            }
            let Some(line) = self.lines.next()? else {
                let left = self.pending.take();
                return Ok(left.map(|(line, _)| (line, Err(not_closed()))));
            };
            let text = String::from_utf8_lossy(line);
            let text = text.split(['#', '!']).next().unwrap_or_default();
            let text = text.trim().to_owned();
            if text.is_empty() {
                continue;
            }
            let number = self.lines.number();
            match &mut self.pending {
                // A command that begins before the one above has ended.
                Some((line, before)) if before.contains('(') && text.contains('(') => {
                    let line = *line;
                    self.pending = Some((number, text));
                    return Ok(Some((line, Err(not_closed()))));
                }
                Some((_, before)) => {
                    before.push(' ');
                    before.push_str(&text);
                }
                None => self.pending = Some((number, text)),
            }
        }
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands of a text, or why they are none.
    fn commands(text: &str) -> Vec<(u64, Result<String, String>)> {
        let mut commands = Commands::new(text.as_bytes());
        let mut found = Vec::new();
        while let Some((line, command)) = commands.next().unwrap() {
            found.push((line, command.map_err(|bad| bad.reason)));
        }
        found
    }

    #[test]
    fn commands_may_run_over_lines_and_stand_on_one() {
        let found = commands(
            "# head\nent_eir(imei 1,\n  # within\n  svn 2) ! behind\n\nA(b);B(c) C(\nd)\n",
        );
        let expected = [
            (2, "ent_eir(imei 1, svn 2"),
            (6, "A(b"),
            (6, "B(c"),
            (6, "C( d"),
        ];
        assert_eq!(
            found,
            expected.map(|(line, text)| (line, Ok(text.to_owned())))
        );
    }

    #[test]
    fn a_command_that_is_not_closed_spoils_only_itself() {
        let found = commands("ent_eir(imei 1\nent_eir(imei 2)\nent_eir(imei 3");
        let bad = "a command that is not closed by `)`".to_owned();
        assert_eq!(
            found,
            [
                (1, Err(bad.clone())),
                (2, Ok("ent_eir(imei 2".to_owned())),
                (3, Err(bad)),
            ]
        );
    }

    #[test]
    fn parameters_are_read_in_any_case_and_order() {
        let command = parse("ENT_EIR (Black YES, white=no, SVN 12, Imei 490154203237518").unwrap();
        let command = command.unwrap();
        assert_eq!(
            command.scope.to_string(),
            "device 49015420323751 with SVN 12"
        );
        assert_eq!(command.statuses, [Status::Blacklisted]);
        assert!(parse("ent_sub(imsi 1").unwrap().is_none());
        assert!(parse("connect(iid 1").unwrap().unwrap().session);
    }

    #[test]
    fn what_a_command_lacks_is_told() {
        let imsis = ", imsi 001010000000001".repeat(9);
        for (text, fragment) in [
            (
                "chg_eir(imei 49015420323751, black no",
                "cannot be carried out",
            ),
            ("ent_eir(imei 49015420323751", "on no list"),
            (
                "dlt_eir(imei 49015420323751, black yes",
                "`black` is not for deleting",
            ),
            ("abort_txn(iid 3", "remove those commands"),
            ("dlt_eir(imei 49015420323751, gray no", "off all its lists"),
            ("dlt_eir(iid 3, imsi 001010000000001", "name each device"),
            (
                "ent_eir(imei 49015420323751, black no, imsi 001010000000001",
                "on no list",
            ),
            ("ent_eir(black yes", "names no device"),
            ("ent_eir(svn 12, black yes", "names no device"),
            ("ent_eir(bimei 49015420323751, black yes", "in two ways"),
            (
                "ent_eir(imei 49015420323751, black maybe",
                "neither yes nor no",
            ),
            ("ent_eir(imei 49015420323751, blck yes", "is no parameter"),
            ("ent_eir(imei 49015420323751, black", "has no value"),
            ("ent_eir(imei 1, imei 2, black yes", "is there twice"),
            ("ent_eir(imei 4901, black yes", "has 4 digits"),
            (
                "ent_eir(bimei 49015420323752, eimei 49015420323751, black yes",
                "before it starts",
            ),
            ("123(imei 1", "is no command"),
            (
                &format!("ent_eir(imei 49015420323751, black yes{imsis}"),
                "has 9 IMSIs",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.reason.contains(fragment), "{text}: {}", error.reason);
        }
    }
}
