//! How two answers to the same request differ.
//!
//! The verdict (Result-Code, Experimental-Result-Code, Equipment-Status) is
//! what a client acts on; everything else is compared AVP by AVP, groups
//! member by member. Nesting is bounded by
//! [`NESTING_MAX`](crate::wire::NESTING_MAX), breadth by [`AVPS_MAX`].

use core::fmt;

use serde::Serialize;

use super::recording::number;
use super::value::{Masking, value};
use crate::wire::code::ERROR_EQUIPMENT_UNKNOWN;
use crate::wire::{
    AVPS_MAX, Avp, AvpKey, Avps, DataType, Message, ResultCode, VendorId, dictionary,
};

//----------- Verdict ---------------------------------------------------------

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    /// Result-Code.
    pub(super) result_code: Option<u32>,
    /// Experimental-Result-Code.
    pub(super) experimental_result_code: Option<u32>,
    /// Equipment-Status.
    pub(super) equipment_status: Option<u32>,
}

impl Verdict {
    /// Reads the verdict of an answer.
    pub(super) fn of(answer: &Message<'_>) -> Self {
        let group = dictionary::EXPERIMENTAL_RESULT.key;
        let code = dictionary::EXPERIMENTAL_RESULT_CODE.key;
        let experimental_result_code = (answer.avps().map_while(Result::ok))
            .filter(|avp| avp.key() == group)
            .filter_map(|avp| avp.members())
            .flatten()
            .map_while(Result::ok)
            .find(|avp| avp.key() == code)
            .and_then(|avp| avp.unsigned32());
        Self {
            result_code: number(answer, dictionary::RESULT_CODE),
            experimental_result_code,
            equipment_status: number(answer, dictionary::EQUIPMENT_STATUS),
        }
    }

    /// Whether the request was for another node.
    pub(super) fn is_misaddressed(self) -> bool {
        let codes = [
            ResultCode::UNABLE_TO_DELIVER.0,
            ResultCode::REALM_NOT_SERVED.0,
        ];
        self.result_code.is_some_and(|code| codes.contains(&code))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(code) = self.result_code {
            parts.push(code.to_string());
            let name = ResultCode(code).name().unwrap_or_default();
            // What a good ECA says is its status.
            if self.equipment_status.is_none() && !name.is_empty() {
                parts.push(name.trim_start_matches("DIAMETER_").to_owned());
            }
        }
        match self.experimental_result_code {
            Some(ERROR_EQUIPMENT_UNKNOWN) => {
                parts.push(format!("{ERROR_EQUIPMENT_UNKNOWN} unknown"))
            }
            Some(code) => parts.push(format!("{code} experimental")),
            None => {}
        }
        match self.equipment_status {
            Some(0) => parts.push("whitelisted".to_owned()),
            Some(1) => parts.push("blacklisted".to_owned()),
            Some(2) => parts.push("greylisted".to_owned()),
            Some(other) => parts.push(format!("status {other}")),
            None => {}
        }
        if parts.is_empty() {
            parts.push("no result".to_owned());
        }
        f.write_str(&parts.join(" "))
    }
}

//----------- Difference ------------------------------------------------------

/// One thing in which two answers differ beyond their verdicts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    /// How they differ, and where.
    #[serde(flatten)]
    pub(super) kind: Kind,
    /// What is in the replay's answer.
    pub(super) replayed: Option<String>,
    /// What is in the recorded one.
    pub(super) recorded: Option<String>,
}

/// How and where two answers differ, without the values: what is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(super) struct Kind {
    /// The AVP, with the groups around it: `279 Failed-AVP > 1402 IMEI`; the
    /// group for an order, empty for a message.
    pub(super) avp: String,
    /// How it differs.
    pub(super) difference: How,
}

/// How an AVP, or what holds AVPs, differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    /// Flags, command or application of the header.
    Header,
    /// The recorded answer has no such AVP.
    OnlyReplayed,
    /// The replay's answer has no such AVP.
    OnlyRecorded,
    /// Both have it, with different data.
    Value,
    /// Both have it, with different flags.
    Flags,
    /// The AVPs that both have come in different orders.
    Order,
    /// The replay's AVPs cannot be read from some point on.
    BrokenReplayed,
    /// The recorded AVPs cannot be read from some point on.
    BrokenRecorded,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let avp = &self.avp;
        let within = |f: &mut fmt::Formatter<'_>| match avp.as_str() {
            "" => f.write_str("AVPs"),
            group => write!(f, "members of {group}"),
        };
        match self.difference {
            How::Header => write!(f, "{avp} of the header differ"),
            How::OnlyReplayed => write!(f, "{avp} only in the replay"),
            How::OnlyRecorded => write!(f, "{avp} only in the recording"),
            How::Value => write!(f, "{avp} has another value"),
            How::Flags => write!(f, "{avp} has other flags"),
            How::Order => {
                within(f)?;
                f.write_str(" in another order")
            }
            How::BrokenReplayed => {
                within(f)?;
                f.write_str(" unreadable in the replay")
            }
            How::BrokenRecorded => {
                within(f)?;
                f.write_str(" unreadable in the recording")
            }
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        match (&self.replayed, &self.recorded) {
            (Some(replayed), Some(recorded)) => write!(f, ": {replayed}, recorded {recorded}"),
            (Some(value), None) | (None, Some(value)) => write!(f, ": {value}"),
            (None, None) => Ok(()),
        }
    }
}

//----------- Comparison ------------------------------------------------------

/// All differences between the replay's answer and the recorded one but those
/// of the verdict itself.
pub(super) fn differences(
    replayed: &Message<'_>,
    recorded: &Message<'_>,
    masking: Masking,
) -> Vec<Difference> {
    let (ours, theirs) = (replayed.header(), recorded.header());
    let mut comparison = Comparison {
        masking,
        path: Vec::new(),
        same_verdict: Verdict::of(replayed) == Verdict::of(recorded),
        found: Vec::new(),
    };
    let fields = [
        (
            "flags",
            format!("{:02x}", ours.flags.0),
            format!("{:02x}", theirs.flags.0),
        ),
        (
            "command",
            ours.command.to_string(),
            theirs.command.to_string(),
        ),
        (
            "application",
            ours.application.to_string(),
            theirs.application.to_string(),
        ),
    ];
    for (field, ours, theirs) in fields {
        if ours != theirs {
            comparison.found.push(Difference {
                kind: Kind {
                    avp: field.to_owned(),
                    difference: How::Header,
                },
                replayed: Some(ours),
                recorded: Some(theirs),
            });
        }
    }
    comparison.level(replayed.avps(), recorded.avps());
    comparison.found
}

/// A comparison under way.
struct Comparison {
    /// Whether identities are hidden.
    masking: Masking,
    /// The groups around the present level.
    path: Vec<AvpKey>,
    /// Whether the verdicts are the same; if not, the AVPs that carry them are
    /// passed over, as they were reported already.
    same_verdict: bool,
    /// What was found.
    found: Vec<Difference>,
}

impl Comparison {
    /// Compares the AVPs of one level. Equal ones are paired first, so that one
    /// instance more or less of several is seen as what it is.
    fn level(&mut self, replayed: Avps<'_>, recorded: Avps<'_>) {
        let ours = self.read(replayed, How::BrokenReplayed);
        let theirs = self.read(recorded, How::BrokenRecorded);
        let mut pairs: Vec<Option<usize>> = vec![None; ours.len()];
        let mut taken = vec![false; theirs.len()];
        let equal = |a: &Avp<'_>, b: &Avp<'_>| a.raw() == b.raw();
        let same_key = |a: &Avp<'_>, b: &Avp<'_>| a.key() == b.key();
        for matches in [equal as fn(&Avp<'_>, &Avp<'_>) -> bool, same_key] {
            for (avp, pair) in ours.iter().zip(&mut pairs) {
                if pair.is_some() {
                    continue;
                }
                let mut candidates = theirs.iter().zip(&mut taken).enumerate();
                let free = candidates.find(|(_, (other, taken))| !**taken && matches(avp, other));
                if let Some((at, (_, taken))) = free {
                    *taken = true;
                    *pair = Some(at);
                }
            }
        }
        for (avp, pair) in ours.iter().zip(&pairs) {
            match pair.and_then(|at| theirs.get(at)) {
                Some(other) => self.pair(avp, other),
                None => self.report(avp, How::OnlyReplayed, Some(avp), None),
            }
        }
        for (avp, taken) in theirs.iter().zip(taken) {
            if !taken {
                self.report(avp, How::OnlyRecorded, None, Some(avp));
            }
        }
        if !pairs.iter().flatten().is_sorted() {
            self.report_level(How::Order, Some(names(&ours)), Some(names(&theirs)));
        }
    }

    /// The AVPs of a level up to the first broken one.
    fn read<'a>(&mut self, avps: Avps<'a>, broken: How) -> Vec<Avp<'a>> {
        let mut read = Vec::new();
        for avp in avps.take(AVPS_MAX) {
            match avp {
                Ok(avp) if self.is_compared(&avp) => read.push(avp),
                Ok(_) => {}
                Err(_) => self.report_level(broken, None, None),
            }
        }
        read
    }

    /// Whether an AVP is compared at all.
    fn is_compared(&self, avp: &Avp<'_>) -> bool {
        let verdict = [
            dictionary::RESULT_CODE.key,
            dictionary::EXPERIMENTAL_RESULT.key,
            dictionary::EQUIPMENT_STATUS.key,
        ];
        self.same_verdict || !self.path.is_empty() || !verdict.contains(&avp.key())
    }

    /// Compares two AVPs of the same key.
    fn pair(&mut self, ours: &Avp<'_>, theirs: &Avp<'_>) {
        if ours.flags() != theirs.flags() {
            self.found.push(Difference {
                kind: self.kind(ours.key(), How::Flags),
                replayed: Some(format!("{:02x}", ours.flags().0)),
                recorded: Some(format!("{:02x}", theirs.flags().0)),
            });
        }
        if ours.data() == theirs.data() {
            return;
        }
        match (grouped(ours), grouped(theirs)) {
            (Some(members), Some(others)) => {
                self.path.push(ours.key());
                self.level(members, others);
                self.path.pop();
            }
            _ => self.report(ours, How::Value, Some(ours), Some(theirs)),
        }
    }

    /// Notes a difference of one AVP.
    fn report(
        &mut self,
        avp: &Avp<'_>,
        how: How,
        replayed: Option<&Avp<'_>>,
        recorded: Option<&Avp<'_>>,
    ) {
        let print = |avp: &Avp<'_>| value(avp, self.masking);
        self.found.push(Difference {
            kind: self.kind(avp.key(), how),
            replayed: replayed.map(print),
            recorded: recorded.map(print),
        });
    }

    /// Notes a difference of the present level as a whole.
    fn report_level(&mut self, how: How, replayed: Option<String>, recorded: Option<String>) {
        let avp = self.path.iter().map(|key| label(*key)).collect::<Vec<_>>();
        self.found.push(Difference {
            kind: Kind {
                avp: avp.join(" > "),
                difference: how,
            },
            replayed,
            recorded,
        });
    }

    /// The kind of a difference of the AVP `key` on the present level.
    fn kind(&self, key: AvpKey, difference: How) -> Kind {
        let path = self.path.iter().copied().chain([key]);
        let avp = path.map(label).collect::<Vec<_>>().join(" > ");
        Kind { avp, difference }
    }
}

/// The members of an AVP that is known to be a group.
fn grouped<'a>(avp: &Avp<'a>) -> Option<Avps<'a>> {
    let known = dictionary::lookup(avp.key())?;
    match known.data_type {
        DataType::Grouped => avp.members(),
        _ => None,
    }
}

/// Code and name of an AVP: `260 Vendor-Specific-Application-Id`.
fn label(key: AvpKey) -> String {
    match (dictionary::lookup(key), key.vendor) {
        (Some(known), _) => format!("{} {}", key.code.0, known.name),
        (None, VendorId::NONE) => format!("AVP {}", key.code.0),
        (None, vendor) => format!("AVP {} of vendor {}", key.code.0, vendor.0),
    }
}

/// The codes of AVPs in their order.
fn names(avps: &[Avp<'_>]) -> String {
    let codes = avps.iter().map(|avp| avp.key().code.0.to_string());
    codes.collect::<Vec<_>>().join(" ")
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::cli::replay::recording::view;
    use crate::wire::{ApplicationId, CommandCode, CommandFlags, Composer, Header};

    /// An ECA with these AVPs.
    fn answer(flags: u8, avps: impl FnOnce(&mut Composer<'_>)) -> BytesMut {
        let header = Header {
            length: 0,
            flags: CommandFlags(flags),
            command: CommandCode::ME_IDENTITY_CHECK,
            application: ApplicationId::S13,
            hop_by_hop: 1,
            end_to_end: 2,
        };
        let mut out = BytesMut::new();
        let mut composer = Composer::begin(&mut out, &header);
        avps(&mut composer);
        composer.finish();
        out
    }

    /// What the comparison says, a line each.
    fn compare(ours: &[u8], theirs: &[u8]) -> Vec<String> {
        let (ours, theirs) = (view(ours).unwrap(), view(theirs).unwrap());
        let found = differences(&ours, &theirs, Masking::Masked);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn equal_answers_do_not_differ() {
        let one = answer(0x40, |out| out.unsigned32(&dictionary::RESULT_CODE, 2001));
        assert_eq!(compare(&one, &one), [""; 0]);
    }

    #[test]
    fn every_kind_of_difference_is_told() {
        let ours = answer(0x40, |out| {
            out.unsigned32(&dictionary::RESULT_CODE, 5004);
            out.octets(&dictionary::ORIGIN_HOST, b"a");
            out.group(&dictionary::FAILED_AVP, |out| {
                out.octets(&dictionary::IMEI, b"49015420323751");
            });
            out.unsigned32(&dictionary::ORIGIN_STATE_ID, 7);
        });
        let theirs = answer(0x60, |out| {
            out.octets(&dictionary::ORIGIN_HOST, b"b");
            out.unsigned32(&dictionary::RESULT_CODE, 5004);
            out.group(&dictionary::FAILED_AVP, |out| {
                out.octets(&dictionary::IMEI, b"35349006987331");
            });
            out.unsigned32(&dictionary::AUTH_SESSION_STATE, 1);
        });
        assert_eq!(
            compare(&ours, &theirs),
            [
                "flags of the header differ: 40, recorded 60",
                "264 Origin-Host has another value: \"a\", recorded \"b\"",
                "279 Failed-AVP > 1402 IMEI has another value: 49015420******, recorded 35349006******",
                "278 Origin-State-Id only in the replay: 7",
                "277 Auth-Session-State only in the recording: 1",
                "AVPs in another order: 268 264 279 278, recorded 264 268 279 277",
            ]
        );
    }

    #[test]
    fn a_differing_verdict_is_not_told_twice() {
        let status = |status| {
            answer(0x40, |out| {
                out.unsigned32(&dictionary::RESULT_CODE, 2001);
                out.unsigned32(&dictionary::EQUIPMENT_STATUS, status);
            })
        };
        let unknown = answer(0x40, |out| {
            out.group(&dictionary::EXPERIMENTAL_RESULT, |out| {
                out.unsigned32(&dictionary::VENDOR_ID, 10415);
                out.unsigned32(&dictionary::EXPERIMENTAL_RESULT_CODE, 5422);
            });
        });
        assert_eq!(compare(&status(0), &status(1)), [""; 0]);
        assert_eq!(compare(&status(0), &unknown), [""; 0]);
        let print = |bytes: &[u8]| Verdict::of(&view(bytes).unwrap()).to_string();
        assert_eq!(print(&status(1)), "2001 blacklisted");
        assert_eq!(print(&unknown), "5422 unknown");
        let missing = answer(0x40, |out| out.unsigned32(&dictionary::RESULT_CODE, 5005));
        assert_eq!(print(&missing), "5005 MISSING_AVP");
        assert_eq!(print(&answer(0x40, |_| {})), "no result");
    }

    #[test]
    fn one_instance_more_is_no_other_value() {
        let route = |names: &[&[u8]]| {
            answer(0x40, |out| {
                names
                    .iter()
                    .for_each(|name| out.octets(&dictionary::ROUTE_RECORD, name));
            })
        };
        let (two, three) = (route(&[b"b", b"c"]), route(&[b"a", b"b", b"c"]));
        assert_eq!(
            compare(&two, &three),
            ["282 Route-Record only in the recording: \"a\""]
        );
        let swapped = route(&[b"c", b"b"]);
        assert_eq!(
            compare(&two, &swapped),
            ["AVPs in another order: 282 282, recorded 282 282"]
        );
    }

    #[test]
    fn broken_avps_end_the_comparison_where_they_stand() {
        let mut broken = answer(0x40, |out| out.octets(&dictionary::ORIGIN_HOST, b"host"));
        broken[27] = 7;
        let whole = answer(0x40, |out| out.octets(&dictionary::ORIGIN_HOST, b"host"));
        assert_eq!(
            compare(&broken, &whole),
            [
                "AVPs unreadable in the replay",
                "264 Origin-Host only in the recording: \"host\""
            ]
        );
    }
}
