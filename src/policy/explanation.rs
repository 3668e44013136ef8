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
    /// The file.
    pub file: String,
    /// The line of the file, from 1.
    pub line: u32,
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

//--- Printing

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.asked)?;
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        write!(f, "\nVerdict: {}, {}", self.outcome, self.ground)?;
        if let Some(entry) = &self.decided_by {
            write!(f, " in {}:{} (list {}", entry.file, entry.line, entry.list)?;
            if let Some(reason) = &entry.reason {
                write!(f, ", {reason:?}")?;
            }
            f.write_str(")")?;
        }
        match self.verdict.ground {
            Ground::Override => writeln!(f),
            _ => writeln!(f, ", by policy {}", self.policy),
        }
    }
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

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.effective { '+' } else { '-' };
        write!(
            f,
            "{mark} {:<11}  {}  {}:{}  list {}",
            self.says, self.scope, self.file, self.line, self.list
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
        BindingSpec, Builder, Imei, Imsi, RuleSpec, Scope, Status, Tac, Validity,
    };
    use crate::policy::{Explanation, Inquiry, PolicySpec, Rulebook};
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
        let binding = BindingSpec {
            imsi: Imsi::parse(BOUND).unwrap(),
            scope: Scope::Tac(Tac::MAX),
            validity: Validity::ALWAYS,
            reason: None,
            file: other,
            line: 9,
        };
        builder.binding(fleet, binding).unwrap();
        let policy = PolicySpec {
            origin_hosts: vec!["mme.example".into()],
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
            ("/decided_by/file", "stolen.csv"),
            ("/decided_by/until", "1970-01-01T23:59:59Z"),
            ("/steps/5/entries/0/says", "blacklisted"),
        ] {
            let value = json.pointer(pointer).and_then(|value| value.as_str());
            assert_eq!(value, Some(expected), "{pointer}");
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
exceptions      001010000000001             whitelisted: this subscriber may use it
  + blacklisted  device 49015420323751  stolen.csv:2  list stolen  until 1970-01-01T23:59:59Z  \"reported\"
unlisted        49015420323751              not reached

Verdict: whitelisted, as the subscriber is excepted from a blacklisting in stolen.csv:2 (list stolen, \"reported\"), by policy default
";
}
