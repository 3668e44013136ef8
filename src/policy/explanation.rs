//! How a verdict was reached, for people and for programs.

use core::fmt;

use serde::Serialize;

use super::{Ground, Verdict};

//----------- Explanation -----------------------------------------------------

/// A verdict, and each step on the way to it.
///
/// Identities are spelled out: an explanation is for whom it was made, not
/// for a log. Printed, it is a text of several lines.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// What was asked.
    pub asked: Asked,
    /// The steps in their order; those that were not reached are there too.
    pub steps: Vec<Step>,
    /// What is answered: a status, `unknown` or `malformed`.
    pub outcome: &'static str,
    /// What decided, in a few words.
    pub ground: String,
    /// The name of the policy that applied.
    pub policy: String,
    /// The rule or binding that decided.
    pub decided_by: Option<Entry>,
    /// What would be answered if all lists and policies that are shadows were
    /// in force; nothing where it is the same.
    pub shadow: Option<Shadowed>,
    /// What the other policies would answer.
    pub others: Vec<Other>,
    /// The same as the answering path gives it.
    #[serde(skip)]
    pub verdict: Verdict,
}

/// What was asked, spelled out.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Asked {
    /// The first fourteen digits.
    pub device: Option<String>,
    /// Who made the device, and what they call it, if its TAC is known.
    pub model: Option<String>,
    /// Why what was sent is no IMEI.
    pub malformed: Option<String>,
    /// What is to be said of a fifteenth digit.
    pub check_digit: Option<String>,
    /// The software version.
    pub svn: Option<String>,
    /// The subscriber.
    pub imsi: Option<String>,
    /// The client.
    pub origin_host: String,
    /// The realm of the client.
    pub origin_realm: String,
    /// The first Route-Record.
    pub route_record: Option<String>,
    /// The moment for which the verdict is given.
    pub time: String,
}

/// One step on the way to a verdict.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// What the step is called.
    pub name: &'static str,
    /// What was looked up.
    pub lookup: String,
    /// What it said.
    pub result: String,
    /// Whether the step was taken.
    pub reached: bool,
    /// The rules or bindings that were found, in the order of the lists.
    pub entries: Vec<Entry>,
}

/// A rule or binding that was found.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// The devices that it speaks of.
    pub scope: String,
    /// What it says: a status, or for a binding without one, `continue`.
    pub says: String,
    /// The list that it stands in.
    pub list: String,
    /// The file; empty if it stands in none.
    pub file: String,
    /// The line of the file, from 1.
    pub line: u32,
    /// The change that has made it, if it stands in no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Changed>,
    /// Why it is there.
    pub reason: Option<String>,
    /// The first second in which it is in effect.
    pub from: Option<String>,
    /// The last second in which it is in effect.
    pub until: Option<String>,
    /// Whether it has a say.
    pub effective: bool,
    /// Why it has none; `effective` if it has.
    pub effect: &'static str,
}

/// The change that has made a rule or binding.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Changed {
    /// Its number.
    pub number: u64,
    /// When it was made.
    pub time: String,
    /// Who made it.
    pub by: String,
}

/// What another policy would answer if it applied.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Other {
    /// The name of the policy.
    pub policy: String,
    /// Whether it is a shadow.
    pub shadow: bool,
    /// What would be answered.
    pub outcome: &'static str,
    /// What would decide, in a few words.
    pub ground: &'static str,
    /// The rule or binding that would decide.
    pub decided_by: Option<Entry>,
}

/// What would be answered if the shadows were in force.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Shadowed {
    /// The shadow that makes the difference, such as `shadow list ceir`.
    pub enforced: String,
    /// What would be answered.
    pub outcome: &'static str,
    /// What would decide, in a few words.
    pub ground: &'static str,
    /// The name of the policy that would apply.
    pub policy: String,
    /// The rule or binding that would decide.
    pub decided_by: Option<Entry>,
}

//--- Printing

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.asked)?;
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        write!(f, "\nVerdict: {}, {}", self.outcome, self.ground)?;
        write_place(f, self.decided_by.as_ref())?;
        match self.verdict.ground {
            Ground::Override => writeln!(f)?,
            _ => writeln!(f, ", by policy {}", self.policy)?,
        }
        if let Some(shadow) = &self.shadow {
            writeln!(f, "{shadow}")?;
        }
        if !self.others.is_empty() {
            f.write_str("Other policies would answer:\n")?;
        }
        self.others
            .iter()
            .try_for_each(|other| writeln!(f, "  {other}"))
    }
}

impl fmt::Display for Shadowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "If {} were enforced: {}, {}",
            self.enforced, self.outcome, self.ground
        )?;
        write_place(f, self.decided_by.as_ref())?;
        write!(f, ", by policy {}", self.policy)
    }
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shadow = if self.shadow { " (shadow)" } else { "" };
        let (policy, outcome, ground) = (&self.policy, self.outcome, self.ground);
        write!(f, "{policy}{shadow}: {outcome}, {ground}")?;
        write_place(f, self.decided_by.as_ref())
    }
}

/// Writes where the deciding entry stands, if there is one.
fn write_place(f: &mut fmt::Formatter<'_>, entry: Option<&Entry>) -> fmt::Result {
    let Some(entry) = entry else {
        return Ok(());
    };
    write!(f, " in {} (list {}", entry.place(), entry.list)?;
    if let Some(reason) = &entry.reason {
        write!(f, ", {reason:?}")?;
    }
    f.write_str(")")
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.device, &self.malformed) {
            (Some(device), _) => write!(f, "IMEI    {device}")?,
            (None, Some(malformed)) => write!(f, "IMEI    none: {malformed}")?,
            (None, None) => f.write_str("IMEI    none")?,
        }
        if let Some(check_digit) = &self.check_digit {
            write!(f, ", check digit {check_digit}")?;
        }
        if let Some(svn) = &self.svn {
            write!(f, ", SVN {svn}")?;
        }
        if let Some(model) = &self.model {
            write!(f, "\nModel   {model}")?;
        }
        writeln!(f, "\nIMSI    {}", self.imsi.as_deref().unwrap_or("none"))?;
        let name = |name: &str| match name {
            "" => "none".to_owned(),
            name => name.to_owned(),
        };
        writeln!(
            f,
            "Client  {}, realm {}",
            name(&self.origin_host),
            name(&self.origin_realm)
        )?;
        if let Some(node) = &self.route_record {
            writeln!(f, "Route   {}", name(node))?;
        }
        writeln!(f, "Time    {}", self.time)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<15} {:<27} {}", self.name, self.lookup, self.result)?;
        self.entries
            .iter()
            .try_for_each(|entry| write!(f, "\n  {entry}"))
    }
}

impl Entry {
    /// Where it stands: a line of a file, or a change.
    fn place(&self) -> String {
        match &self.change {
            None => format!("{}:{}", self.file, self.line),
            Some(Changed { number, time, by }) => format!("change {number} of {time} by {by}"),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.effective { '+' } else { '-' };
        write!(
            f,
            "{mark} {:<11}  {}  {}  list {}",
            self.says,
            self.scope,
            self.place(),
            self.list
        )?;
        if let Some(from) = &self.from {
            write!(f, "  from {from}")?;
        }
        if let Some(until) = &self.until {
            write!(f, "  until {until}")?;
        }
        if let Some(reason) = &self.reason {
            write!(f, "  {reason:?}")?;
        }
        if !self.effective {
            write!(f, "  ({})", self.effect)?;
        }
        Ok(())
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use crate::equipment::{
        BindingSpec, Builder, Imei, Imsi, RuleSpec, Scope, Special, Status, Subscribers, Tac,
        Validity,
    };
    use crate::policy::{Explanation, Inquiry, PolicySpec, Rulebook, Unlisted};
    use crate::time::UnixTime;

    /// A subscriber who is excepted.
    const FRIEND: &[u8] = b"001010000000001";
    /// A subscriber who is bound to another device.
    const BOUND: &[u8] = b"001010000000002";

    /// A rulebook with one of most things.
    fn rulebook() -> Rulebook {
        let device = Imei::parse(b"490154203237518").unwrap().device;
        let tac = Tac::from_digits(b"49015420").unwrap();
        let mut builder = Builder::new();
        let stolen = builder.list("stolen", Status::Blacklisted).unwrap();
        let models = builder.list("models", Status::Whitelisted).unwrap();
        let ceir = builder.list("ceir", Status::Blacklisted).unwrap();
        builder.shadow(ceir).unwrap();
        builder.model(tac, "Acme", "One").unwrap();
        let fleet = builder
            .binding_list("fleet", Status::Blacklisted, None)
            .unwrap();
        let file = builder.file("stolen.csv").unwrap();
        let other = builder.file("other.csv").unwrap();
        let rule = RuleSpec {
            scope: Scope::Device(device),
            status: Status::Blacklisted,
            validity: Validity {
                from: None,
                until: Some(UnixTime(86_399)),
            },
            reason: Some("reported"),
            exceptions: &[Imsi::parse(FRIEND).unwrap()],
            file,
            line: 2,
        };
        builder.rule(stolen, rule).unwrap();
        let tac_rule = RuleSpec {
            scope: Scope::Tac(tac),
            status: Status::Whitelisted,
            validity: Validity::ALWAYS,
            reason: None,
            exceptions: &[],
            file: other,
            line: 7,
        };
        builder.rule(models, tac_rule).unwrap();
        let zero = RuleSpec {
            scope: Scope::Special(Special::Zero),
            line: 8,
            ..tac_rule
        };
        builder.rule(models, zero).unwrap();
        let shadowed = RuleSpec {
            scope: Scope::Tac(Tac::from_digits(b"35209900").unwrap()),
            status: Status::Blacklisted,
            line: 1,
            ..tac_rule
        };
        builder.rule(ceir, shadowed).unwrap();
        let binding = BindingSpec {
            subscribers: Subscribers::One(Imsi::parse(BOUND).unwrap()),
            scope: Scope::Tac(Tac::MAX),
            validity: Validity::ALWAYS,
            reason: None,
            file: other,
            line: 9,
        };
        builder.binding(fleet, binding).unwrap();
        let policy = PolicySpec {
            origin_hosts: vec!["mme.example".into()],
            unlisted: Unlisted::Status(Status::Greylisted),
            ..PolicySpec::new("guests")
        };
        let default = PolicySpec::new("default");
        Rulebook::new(builder.finish(), None, default, vec![policy]).unwrap()
    }

    /// The explanation of one inquiry, as it is printed.
    fn print(imei: &[u8], imsi: Option<&[u8]>, now: i64) -> String {
        explain(imei, imsi, now).to_string()
    }

    /// The explanation of one inquiry.
    fn explain(imei: &[u8], imsi: Option<&[u8]>, now: i64) -> Explanation {
        let inquiry = Inquiry {
            imei: Imei::parse(imei),
            svn: None,
            imsi: imsi.and_then(|imsi| Imsi::parse(imsi).ok()),
            origin_host: b"",
            origin_realm: b"",
            route_record: None,
        };
        rulebook().explain(&inquiry, UnixTime(now))
    }

    #[test]
    fn prints_every_step() {
        assert_eq!(print(b"490154203237510", Some(FRIEND), 0), GOLDEN);
    }

    #[test]
    fn says_why_a_rule_has_no_say() {
        let text = print(b"490154203237518", None, 86_400);
        assert!(text.contains("(no longer in effect)"), "{text}");
        assert!(text.contains("no rule in effect"), "{text}");
        assert!(text.contains("Verdict: whitelisted, as a rule says in other.csv:7"));
    }

    #[cfg(feature = "server")]
    #[test]
    fn can_be_read_by_programs() {
        let explanation = explain(b"490154203237510", Some(FRIEND), 0);
        let json = serde_json::to_value(&explanation).unwrap();
        for (pointer, expected) in [
            ("/outcome", "whitelisted"),
            ("/policy", "default"),
            ("/asked/device", "49015420323751"),
            ("/asked/check_digit", "spare 0"),
            ("/asked/model", "Acme One"),
            ("/others/0/policy", "guests"),
            ("/others/0/outcome", "whitelisted"),
            ("/decided_by/file", "stolen.csv"),
            ("/decided_by/until", "1970-01-01T23:59:59Z"),
            ("/steps/5/entries/0/says", "blacklisted"),
        ] {
            let value = json.pointer(pointer).and_then(|value| value.as_str());
            assert_eq!(value, Some(expected), "{pointer}");
        }
    }

    #[test]
    fn tells_what_shadows_and_other_policies_would_say() {
        let text = print(b"35209900176148", None, 0);
        for line in [
            "  - blacklisted  TAC 35209900  other.csv:1  list ceir  (its list is a shadow)",
            "Verdict: unknown, as no rule says anything, by policy default",
            "If shadow list ceir were enforced: blacklisted, as a rule says in other.csv:1 \
             (list ceir), by policy default",
            "Other policies would answer:",
            "  guests: greylisted, as no rule says anything",
        ] {
            assert!(text.lines().any(|own| own == line), "{text}");
        }
    }

    #[test]
    fn explains_what_needs_no_rule() {
        for (imei, imsi, expected) in [
            (
                &b"35209900176148"[..],
                None,
                "unknown, as no rule says anything",
            ),
            (
                b"00000000000000",
                None,
                "whitelisted, as a rule says in other.csv:8",
            ),
            (
                b"3520990017614x",
                None,
                "malformed, as the IMEI is malformed",
            ),
            (
                b"49015420323751",
                Some(BOUND),
                "blacklisted, as the subscriber is bound to other devices in other.csv:9",
            ),
        ] {
            let text = print(imei, imsi, 0);
            assert!(text.contains(expected), "{text}");
        }
    }

    /// What the whole of an explanation looks like.
    const GOLDEN: &str = "\
IMEI    49015420323751, check digit spare 0
Model   Acme One
IMSI    001010000000001
Client  none, realm none
Time    1970-01-01T00:00:00Z

override        maintenance switch          not set
policy          client and subscriber       default; not guests
IMEI            49015420323751              well formed
bindings        001010000000001             none
device and SVN  no SVN                      skipped: no SVN
device          49015420323751              blacklisted by one rule
  + blacklisted  device 49015420323751  stolen.csv:2  list stolen  until 1970-01-01T23:59:59Z  \"reported\"
range           49015420323751              not reached
TAC             49015420                    not reached
TAC prefix      49015420                    not reached
special         49015420323751              not reached
exceptions      001010000000001             whitelisted: this subscriber may use it
  + blacklisted  device 49015420323751  stolen.csv:2  list stolen  until 1970-01-01T23:59:59Z  \"reported\"
unlisted        49015420323751              not reached

Verdict: whitelisted, as the subscriber is excepted from a blacklisting in stolen.csv:2 (list stolen, \"reported\"), by policy default
Other policies would answer:
  guests: whitelisted, as the subscriber is excepted from a blacklisting in stolen.csv:2 (list stolen, \"reported\")
";
}
