//! What the types of the configuration cannot say: bounds, names that must be
//! unique, names that must exist.

mod peers;
mod runtime;
mod tls;

use core::fmt::Display;
use core::time::Duration;
use std::collections::BTreeSet;

use super::diameter::*;
use super::sctp::*;
use super::text::show_duration;
use super::*;

/// A value that is wrong, with the keys that lead to it.
pub(super) struct Fault {
    /// Keys and, in arrays, places counted from 0: `["policy", "1", "name"]`.
    pub(super) path: Vec<String>,
    /// What is wrong, and what would be right.
    pub(super) message: String,
}

/// The longest DiameterIdentity in bytes: that of a domain name (RFC 1035
/// clause 2.3.4).
const MAX_IDENTITY: usize = 255;

/// The longest name of a list, binding or policy, in bytes: it is repeated in
/// every explanation.
const MAX_NAME: usize = 100;

/// The fewest and most digits of an IMSI (TS 23.003 clause 2.2: at most 15;
/// fewer than six cannot hold a country, a network and a subscriber).
const IMSI_DIGITS: core::ops::RangeInclusive<usize> = 6..=15;

/// Everything that is wrong with `config`.
pub(super) fn faults(config: &Config) -> Vec<Fault> {
    let mut check = Check::default();
    check.diameter(&config.diameter);
    check.register(config);
    check.policies(config);
    check.runtime(&config.runtime);
    check.faults
}

/// Everything that is allowed but most likely not meant.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let own = config.lists.len() + config.bindings.len() + config.specials.len();
    if own == 0 && !config.register.sample && config.register.snapshot.is_none() {
        warnings.push(
            "no [[list]] and no [[binding]] is configured: every device is answered as unlisted"
                .to_owned(),
        );
    }
    warnings.extend(peers::warnings(&config.diameter));
    warnings.extend(tls::warning(&config.diameter));
    let tls = &config.diameter.tls;
    if tls.verify_identity && tls.client_certificates != ClientCertificates::Required {
        let why = match tls.client_certificates {
            ClientCertificates::Optional => "of a peer that shows no certificate the",
            _ => "no peer is asked for a certificate, and its",
        };
        warnings.push(format!(
            "diameter.tls.verify_identity is true, but {why} name is taken on its word"
        ));
    }
    if let Some(status) = config.register.override_status {
        warnings.push(format!(
            "override is set: every request is answered {status}, whatever the lists say"
        ));
    }
    let register = &config.register;
    let default = (
        register.combine,
        register.unlisted(),
        "[register]".to_owned(),
    );
    let policies = config.policies.iter().map(|policy| {
        let (combine, unlisted) = (policy.combine(register), policy.unlisted(register));
        (combine, unlisted, format!("policy `{}`", policy.name))
    });
    for (combine, unlisted, whose) in core::iter::once(default).chain(policies) {
        if combine == Combine::Type1 && unlisted != combine.unlisted() {
            warnings.push(format!(
                "{whose}: type1 answers the unlisted whitelisted, but `unlisted` is set and counts"
            ));
        }
    }
    warnings
}

/// Collects what is wrong.
#[derive(Default)]
struct Check {
    /// What was found, in the order of the structures.
    faults: Vec<Fault>,
}

impl Check {
    /// Notes a wrong value.
    fn fault(&mut self, path: &[&dyn Display], message: String) {
        self.faults.push(Fault {
            path: path.iter().map(ToString::to_string).collect(),
            message,
        });
    }

    /// Checks `[diameter]`.
    fn diameter(&mut self, diameter: &Diameter) {
        let at = |key: &'static str| ["diameter", key];
        self.identity(&at("origin_host"), &diameter.origin_host);
        self.identity(&at("origin_realm"), &diameter.origin_realm);
        for (index, realm) in diameter.realms.iter().enumerate() {
            self.identity(&["diameter", "realms", &index.to_string()], realm);
        }
        if diameter.listen.is_empty() {
            self.fault(
                &[&"diameter", &"listen"],
                "is empty; name at least one address, as in `tcp://127.0.0.1:3868`".to_owned(),
            );
        }
        let mut seen = BTreeSet::new();
        for (index, address) in diameter.listen.iter().enumerate() {
            if address.endpoint.port != 0 && !seen.insert(address.to_string()) {
                let message = format!("`{address}` is named twice");
                self.fault(&[&"diameter", &"listen", &index], message);
            }
            if address.is_contradictory() {
                let message = format!("`{address}` is no sctp:// address; only those have keys");
                self.fault(&[&"diameter", &"listen", &index], message);
            }
            let sctp = address.sctp.over(&diameter.sctp);
            if address.has_overrides() && sctp != diameter.sctp {
                self.sctp(&["diameter", "listen", &index.to_string()], &sctp);
            }
        }
        if diameter.product_name.is_empty() || diameter.product_name.len() > MAX_IDENTITY {
            self.fault(
                &[&"diameter", &"product_name"],
                format!("must have 1 to {MAX_IDENTITY} bytes"),
            );
        }
        self.sctp(&["diameter", "sctp"], &diameter.sctp);
        let durations = [
            ("watchdog", diameter.watchdog, MIN_WATCHDOG, MAX_WATCHDOG),
            (
                "handshake_timeout",
                diameter.handshake_timeout,
                MIN_HANDSHAKE_TIMEOUT,
                MAX_HANDSHAKE_TIMEOUT,
            ),
            (
                "write_timeout",
                diameter.write_timeout,
                MIN_WRITE_TIMEOUT,
                MAX_WRITE_TIMEOUT,
            ),
            (
                "drain_timeout",
                diameter.drain_timeout,
                MIN_DRAIN_TIMEOUT,
                MAX_DRAIN_TIMEOUT,
            ),
        ];
        for (key, value, least, most) in durations {
            self.duration(key, value, least, most);
        }
        let numbers = [
            (
                "max_message",
                diameter.max_message,
                MIN_MAX_MESSAGE,
                MAX_MAX_MESSAGE,
            ),
            (
                "max_connections",
                diameter.max_connections,
                MIN_MAX_CONNECTIONS,
                MAX_MAX_CONNECTIONS,
            ),
            (
                "output_limit",
                diameter.output_limit,
                MIN_OUTPUT_LIMIT,
                MAX_OUTPUT_LIMIT,
            ),
        ];
        for (key, value, least, most) in numbers {
            if !(least..=most).contains(&value) {
                let message = format!("is {value}; allowed are {least} to {most}");
                self.fault(&[&"diameter", &key], message);
            }
        }
        if !diameter.max_message.is_multiple_of(4) {
            let message = format!(
                "is {}; Diameter messages are multiples of 4 bytes, write {}",
                diameter.max_message,
                diameter.max_message / 4 * 4
            );
            self.fault(&[&"diameter", &"max_message"], message);
        }
        self.tls(diameter);
        self.peers(diameter);
    }

    /// Checks `[register]`, the lists and the bindings.
    fn register(&mut self, config: &Config) {
        if config.register.sample && config.paths().next().is_some() {
            self.fault(
                &[&"register", &"sample"],
                "is true beside lists of your own; remove it, the sample is of test IMEIs"
                    .to_owned(),
            );
        }
        if config.register.sample && config.register.snapshot.is_some() {
            self.fault(
                &[&"register", &"sample"],
                "is true beside `snapshot`; remove it, the sample is of test IMEIs".to_owned(),
            );
        }
        let has_state = config.register.state_dir.is_some();
        let mut names = BTreeSet::new();
        for (index, list) in config.lists.iter().enumerate() {
            self.name(
                &mut names,
                &["list", &index.to_string(), "name"],
                &list.name,
            );
            self.paths("list", index, &list.path, has_state);
            self.format("list", index, list.format, list.strict_svn);
            if list.format.blacklists() && list.status != Status::Blacklisted {
                let message = format!(
                    "is {}, but what a list of `{}` names is blacklisted; write blacklisted",
                    list.status, list.format
                );
                self.fault(&[&"list", &index, &"status"], message);
            }
        }
        for (index, binding) in config.bindings.iter().enumerate() {
            let place = index.to_string();
            let path: &[&str] = match binding.name {
                Some(_) => &["binding", &place, "name"],
                None => &["binding", &place, "path"],
            };
            self.name(&mut names, path, binding.name());
            let may_have_none = has_state && binding.name.is_some();
            self.paths("binding", index, &binding.path, may_have_none);
            self.format("binding", index, binding.format, binding.strict_svn);
        }
        for (index, tac) in config.tacs.iter().enumerate() {
            let place = index.to_string();
            let path: &[&str] = match tac.name {
                Some(_) => &["tac", &place, "name"],
                None => &["tac", &place, "path"],
            };
            self.name(&mut names, path, tac.name());
            self.paths("tac", index, &tac.path, false);
            self.format("tac", index, tac.format, false);
        }
        if !(MIN_KEEP..=MAX_KEEP).contains(&config.register.keep) {
            let message = format!(
                "is {}; allowed are {MIN_KEEP} to {MAX_KEEP}",
                config.register.keep
            );
            self.fault(&[&"register", &"keep"], message);
        }
        let changes = config.register.fold_changes;
        if changes > MAX_FOLD_CHANGES {
            let message = format!("is {changes}; allowed are 0 to {MAX_FOLD_CHANGES}");
            self.fault(&[&"register", &"fold_changes"], message);
        }
        let memory = config.register.compile_memory;
        if !(MIN_COMPILE_MEMORY..=MAX_COMPILE_MEMORY).contains(&memory) {
            let message = format!(
                "is {memory}; allowed are {MIN_COMPILE_MEMORY} to {MAX_COMPILE_MEMORY} bytes"
            );
            self.fault(&[&"register", &"compile_memory"], message);
        }
        for (index, special) in config.specials.iter().enumerate() {
            let place = index.to_string();
            self.name(&mut names, &["special", &place, "name"], &special.name);
            if special.kinds.is_empty() {
                let known = Special::ALL.map(Special::name).join(", ");
                self.fault(
                    &[&"special", &index, &"kinds"],
                    format!("is empty; name one or more of {known}"),
                );
            }
            if let (Some(from), Some(until)) = (special.from, special.until)
                && from > until
            {
                self.fault(
                    &[&"special", &index, &"until"],
                    format!("is {until}, before `from`, {from}"),
                );
            }
        }
    }

    /// Checks the policies, and that the lists they name exist.
    fn policies(&mut self, config: &Config) {
        let mut names = BTreeSet::new();
        let lists: Vec<&str> = (config.lists.iter().map(|list| list.name.as_str()))
            .chain(config.bindings.iter().map(Binding::name))
            .chain(config.specials.iter().map(|special| special.name.as_str()))
            .collect();
        for (index, policy) in config.policies.iter().enumerate() {
            let place = index.to_string();
            self.name(&mut names, &["policy", &place, "name"], &policy.name);
            self.matches(&place, &policy.matches);
            // Which lists a snapshot has is known when it is read.
            let is_known = config.register.snapshot.is_none() || !lists.is_empty();
            for (number, name) in policy.lists.iter().flatten().enumerate() {
                if !is_known {
                    break;
                }
                if !lists.contains(&name.as_str()) {
                    let message = format!(
                        "no list or binding is called `{name}`{}",
                        suggest(name, &lists)
                    );
                    self.fault(&[&"policy", &index, &"lists", &number], message);
                }
            }
        }
    }

    /// Checks whom a policy is for.
    fn matches(&mut self, place: &str, matches: &Match) {
        if *matches == Match::default() {
            self.fault(
                &[&"policy", &place, &"match"],
                "is empty; name an origin_host, origin_realm, route_record, imsi_prefix \
                 or imsi_range (what holds for everybody is said in [register])"
                    .to_owned(),
            );
        }
        for (key, names) in [
            ("origin_host", &matches.origin_host),
            ("origin_realm", &matches.origin_realm),
            ("route_record", &matches.route_record),
        ] {
            self.patterns(&["policy", place, "match", key], names);
        }
        for (number, prefix) in matches.imsi_prefix.iter().enumerate() {
            let fits = (1..=*IMSI_DIGITS.end()).contains(&prefix.len());
            if !fits || !all_digits(prefix) {
                self.fault(
                    &[&"policy", &place, &"match", &"imsi_prefix", &number],
                    format!("`{prefix}` is no IMSI prefix; write 1 to 15 digits"),
                );
            }
        }
        for (number, range) in matches.imsi_range.iter().enumerate() {
            if let Err(why) = split_imsi_range(range) {
                self.fault(
                    &[&"policy", &place, &"match", &"imsi_range", &number],
                    format!("`{range}` is no IMSI range: {why}"),
                );
            }
        }
    }

    /// Checks what holds for associations; `path` leads to the table.
    fn sctp(&mut self, path: &[&str], sctp: &Sctp) {
        let durations = [
            ("rto_initial", sctp.rto_initial, MIN_RTO, MAX_RTO),
            ("rto_min", sctp.rto_min, MIN_RTO, MAX_RTO),
            ("rto_max", sctp.rto_max, MIN_RTO, MAX_RTO),
            ("heartbeat", sctp.heartbeat, MIN_HEARTBEAT, MAX_HEARTBEAT),
        ];
        for (key, value, least, most) in durations {
            self.duration_at(&[path, &[key]].concat(), value, least, most);
        }
        let numbers = [
            ("streams_out", sctp.streams_out, MIN_STREAMS, MAX_STREAMS),
            ("streams_in", sctp.streams_in, MIN_STREAMS, MAX_STREAMS),
            (
                "path_max_retrans",
                sctp.path_max_retrans,
                MIN_PATH_MAX_RETRANS,
                MAX_PATH_MAX_RETRANS,
            ),
            (
                "association_max_retrans",
                sctp.association_max_retrans,
                MIN_ASSOCIATION_MAX_RETRANS,
                MAX_ASSOCIATION_MAX_RETRANS,
            ),
        ];
        for (key, value, least, most) in numbers {
            if !(least..=most).contains(&value) {
                let path = [path, &[key]].concat();
                let path: Vec<&dyn Display> = path.iter().map(|key| key as &dyn Display).collect();
                self.fault(&path, format!("is {value}; allowed are {least} to {most}"));
            }
        }
        let ordered = sctp.rto_min <= sctp.rto_initial && sctp.rto_initial <= sctp.rto_max;
        if !ordered {
            let message = format!(
                "is {}, but must lie between rto_min ({}) and rto_max ({})",
                show_duration(sctp.rto_initial),
                show_duration(sctp.rto_min),
                show_duration(sctp.rto_max)
            );
            let path = [path, &["rto_initial"]].concat();
            let path: Vec<&dyn Display> = path.iter().map(|key| key as &dyn Display).collect();
            self.fault(&path, message);
        }
    }

    /// Checks names that may be `*.suffix`.
    fn patterns(&mut self, path: &[&str], names: &[String]) {
        for (number, name) in names.iter().enumerate() {
            let number = number.to_string();
            let path: Vec<&str> = path.iter().copied().chain([number.as_str()]).collect();
            // Behind the one `*` that may be, it is a name like others.
            let suffix = name.strip_prefix("*.").unwrap_or(name);
            self.identity(&path, suffix);
            if suffix.contains('*') {
                let path: Vec<&dyn Display> = path.iter().map(|key| key as &dyn Display).collect();
                self.fault(
                    &path,
                    format!("`{name}`: a `*` stands only before a dot, as in `*.example`"),
                );
            }
        }
    }

    /// Checks the bounds of a duration of `[diameter]`.
    fn duration(&mut self, key: &str, value: Duration, least: Duration, most: Duration) {
        self.duration_at(&["diameter", key], value, least, most);
    }

    /// Checks the bounds of a duration.
    fn duration_at(&mut self, path: &[&str], value: Duration, least: Duration, most: Duration) {
        if !(least..=most).contains(&value) {
            let message = format!(
                "is {}; allowed are {} to {}",
                show_duration(value),
                show_duration(least),
                show_duration(most)
            );
            let path: Vec<&dyn Display> = path.iter().map(|key| key as &dyn Display).collect();
            self.fault(&path, message);
        }
    }

    /// Checks a DiameterIdentity (RFC 6733 clause 4.3.1): loosely, as real
    /// networks use names that no strict reading of a domain name allows.
    fn identity(&mut self, path: &[&str], name: &str) {
        let printable = name.bytes().all(|byte| byte.is_ascii_graphic());
        if name.is_empty() || name.len() > MAX_IDENTITY || !printable {
            let path: Vec<&dyn Display> = path.iter().map(|key| key as &dyn Display).collect();
            self.fault(
                &path,
                format!(
                    "`{name}` is no DiameterIdentity; write a domain name of 1 to {MAX_IDENTITY} ASCII characters"
                ),
            );
        }
    }

    /// Checks that a name is usable and new.
    fn name(&mut self, seen: &mut BTreeSet<String>, path: &[&str], name: &str) {
        let path: Vec<&dyn Display> = path.iter().map(|key| key as &dyn Display).collect();
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            self.fault(
                &path,
                format!(
                    "`{}` is no name; write 1 to {MAX_NAME} characters",
                    name.escape_debug()
                ),
            );
        } else if !seen.insert(name.to_owned()) {
            self.fault(
                &path,
                format!("the name `{name}` is taken; names must differ, give another `name`"),
            );
        }
    }

    /// Checks that a table takes a format, and the options of it.
    fn format(&mut self, table: &str, index: usize, format: ListFormat, strict_svn: bool) {
        // The house format has columns for models as well.
        let fits = format.tables().contains(&table) || format == ListFormat::Csv;
        if !fits {
            let tables = format.tables().join("]] or [[");
            let message = format!("`{format}` is for [[{tables}]]");
            self.fault(&[&table, &index, &"format"], message);
        }
        if strict_svn && format != ListFormat::Open5gs {
            let message = format!("is for the format `{}` only", ListFormat::Open5gs);
            self.fault(&[&table, &index, &"strict_svn"], message);
        }
    }

    /// Checks the paths of a list or binding. One without files lives from single
    /// changes, which are kept if there is a `state_dir`.
    fn paths(&mut self, table: &str, index: usize, paths: &[String], may_have_none: bool) {
        if paths.is_empty() && may_have_none {
            return;
        }
        if paths.is_empty() || paths.iter().any(String::is_empty) {
            let other = match table {
                "tac" => "",
                _ => {
                    "; without files, as `path = []`, it has a name and lives from \
                      `weir change`, which takes `state_dir` in [register]"
                }
            };
            self.fault(
                &[&table, &index, &"path"],
                format!("is empty; name a file or a pattern such as `lists/*.csv`{other}"),
            );
        }
    }
}

//----------- Helpers ---------------------------------------------------------

/// Splits `FIRST-LAST` into two IMSIs of the same length.
///
/// # Errors
///
/// Says what is wrong with the range.
pub(crate) fn split_imsi_range(range: &str) -> Result<(&str, &str), &'static str> {
    let Some((first, last)) = range.split_once('-') else {
        return Err("write FIRST-LAST");
    };
    let (first, last) = (first.trim(), last.trim());
    for end in [first, last] {
        if !all_digits(end) || !IMSI_DIGITS.contains(&end.len()) {
            return Err("both ends must have 6 to 15 digits");
        }
    }
    if first.len() != last.len() {
        return Err("both ends must have as many digits");
    }
    // Of equal length, so the order of the text is the order of the numbers.
    if first > last {
        return Err("the first is above the last");
    }
    Ok((first, last))
}

/// Whether there is nothing but ASCII digits.
fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// "; did you mean …?" if a known name is near enough, the known ones if not.
pub(crate) fn suggest(name: &str, known: &[&str]) -> String {
    match crate::nearest::nearest(name, known) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if known.is_empty() => String::new(),
        None => format!("; known are `{}`", known.join("`, `")),
    }
}
