//! Command grammars: which AVPs a command needs, permits and forbids, as one
//! table per command, and the single walk that checks a message against it.
//!
//! The walk finds the first instance of each AVP named in the table, and the
//! first fault of each kind. Which fault is reported when there are several is
//! fixed: a broken or wrong length first (nothing behind it can be trusted),
//! then missing, surplus, forbidden, unknown mandatory AVPs. Flags are never a
//! fault: an M bit that differs from the standard's is accepted, and a V bit
//! that differs makes it another AVP.

use crate::wire::code::AvpKey;
use crate::wire::dictionary::{self, AvpDefinition};
use crate::wire::{AVPS_MAX, Avp, Avps, Culprit, Fault};

/// How often an AVP may occur (RFC 6733 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurs {
    /// `{ AVP }` or `< AVP >`: exactly once.
    Once,
    /// `[ AVP ]`: at most once.
    AtMostOnce,
    /// `1* { AVP }`: at least once.
    AtLeastOnce,
    /// `* [ AVP ]`: any number.
    Any,
    /// `0* 0`: never.
    Never,
}

/// One line of a command's table.
pub type Rule = (&'static AvpDefinition, Occurs);

/// The table of one command or group: `N` AVPs, addressed by their position.
#[derive(Debug)]
pub struct Grammar<const N: usize> {
    /// The AVPs in the order of the standard's table.
    rules: [Rule; N],
    /// `hash(key)` to position + 1, 0 for none. Collision-free by
    /// construction, so that looking an AVP up costs one comparison.
    slots: [u8; SLOTS],
    /// The multiplier that makes `slots` collision-free.
    multiplier: u32,
}

/// Size of the slot table: sixteen times the largest grammar, so that a
/// collision-free multiplier is found at once.
const SLOTS: usize = 256;

impl<const N: usize> Grammar<N> {
    /// A grammar of these rules. Evaluated at compile time.
    ///
    /// # Panics
    ///
    /// When two rules name the same AVP. As grammars are constants, that is a
    /// compile error.
    #[must_use]
    pub const fn new(rules: [Rule; N]) -> Self {
        let mut multiplier = 0x9e37_79b1u32;
        let mut tries = 10_000u32;
        while let Some(left) = tries.checked_sub(1) {
            if let Some(slots) = place(&rules, multiplier) {
                return Self {
                    rules,
                    slots,
                    multiplier,
                };
            }
            multiplier = multiplier.wrapping_mul(0x85eb_ca6b).wrapping_add(2) | 1;
            tries = left;
        }
        panic!("a grammar names the same AVP twice");
    }

    /// Position of the rule for `key`.
    #[inline]
    fn position(&self, key: AvpKey) -> Option<usize> {
        let slot = usize::from(*self.slots.get(slot(key, self.multiplier))?);
        let position = slot.checked_sub(1)?;
        let (rule, _) = self.rules.get(position)?;
        (rule.key == key).then_some(position)
    }

    /// The rule at `position`.
    #[must_use]
    pub fn rule(&self, position: usize) -> Option<&Rule> {
        self.rules.get(position)
    }

    /// Walks `avps` once and collects what the table names.
    ///
    /// `within` is the group that the AVPs are members of, for Failed-AVP.
    ///
    /// # Errors
    ///
    /// [`Fault::BrokenAvp`], [`Fault::WrongLength`] or [`Fault::TooManyAvps`]:
    /// the walk itself failed. Faults against the table are kept in the
    /// [`Fields`], for the caller to report when their turn has come.
    pub fn read<'a>(
        &self,
        avps: Avps<'a>,
        within: Option<&'static AvpDefinition>,
    ) -> Result<Fields<'a, N>, Fault<'a>> {
        let mut fields = Fields {
            first: [None; N],
            findings: Findings::default(),
        };
        for (count, avp) in avps.enumerate() {
            if count >= AVPS_MAX {
                return Err(Fault::TooManyAvps);
            }
            let avp = avp.map_err(|broken| Fault::BrokenAvp(broken, within))?;
            let culprit = Culprit { avp, within };
            let Some(position) = self.position(avp.key()) else {
                if avp.is_mandatory() && !is_ignored(avp.key()) {
                    let unsupported = Fault::UnsupportedAvp(culprit);
                    fields.findings.note(Rank::Unsupported, unsupported);
                }
                continue;
            };
            let (Some((rule, occurs)), Some(first)) =
                (self.rules.get(position), fields.first.get_mut(position))
            else {
                continue;
            };
            if *occurs == Occurs::Never {
                fields
                    .findings
                    .note(Rank::Forbidden, Fault::ForbiddenAvp(culprit));
                continue;
            }
            if !rule.data_type.accepts(avp.data().len()) {
                return Err(Fault::WrongLength(culprit));
            }
            if first.is_none() {
                *first = Some(avp);
            } else if matches!(occurs, Occurs::Once | Occurs::AtMostOnce) {
                fields
                    .findings
                    .note(Rank::Repeated, Fault::RepeatedAvp(culprit));
            }
        }
        for ((rule, occurs), first) in self.rules.iter().zip(&fields.first) {
            let required = matches!(occurs, Occurs::Once | Occurs::AtLeastOnce);
            if required && first.is_none() {
                fields
                    .findings
                    .note(Rank::Missing, Fault::MissingAvp(rule, within));
            }
        }
        Ok(fields)
    }
}

/// What one walk found: the first instance of each AVP of the table, and the
/// faults against it.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a, const N: usize> {
    /// First instances, by position in the table.
    first: [Option<Avp<'a>>; N],
    /// What was wrong.
    pub findings: Findings<'a>,
}

impl<'a, const N: usize> Fields<'a, N> {
    /// The first instance of the AVP at this position of the table.
    #[must_use]
    pub fn avp(&self, position: usize) -> Option<Avp<'a>> {
        self.first.get(position).copied().flatten()
    }

    /// Its data; empty when it is absent.
    #[must_use]
    pub fn data(&self, position: usize) -> &'a [u8] {
        self.avp(position).map_or(&[], |avp| avp.data())
    }
}

/// The one fault against a table that is to be reported: the first of the
/// kind that comes first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Findings<'a> {
    /// The fault, and its kind.
    worst: Option<(Rank, Fault<'a>)>,
}

/// Which kind of fault is reported before which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// A required AVP is absent.
    Missing,
    /// An instance too many.
    Repeated,
    /// An AVP that must not be there.
    Forbidden,
    /// An unknown AVP with the M bit.
    Unsupported,
}

impl<'a> Findings<'a> {
    /// Takes note of a fault.
    fn note(&mut self, rank: Rank, fault: Fault<'a>) {
        if self.worst.is_none_or(|(worst, _)| rank < worst) {
            self.worst = Some((rank, fault));
        }
    }

    /// Joins the findings of a group with those of the message around it,
    /// which come first within each kind.
    #[must_use]
    pub fn and(mut self, group: Self) -> Self {
        if let Some((rank, fault)) = group.worst {
            self.note(rank, fault);
        }
        self
    }

    /// `Ok` if nothing was wrong.
    ///
    /// # Errors
    ///
    /// The one fault to report: missing before repeated before forbidden
    /// before unsupported.
    pub const fn check(&self) -> Result<(), Fault<'a>> {
        match self.worst {
            Some((_, fault)) => Err(fault),
            None => Ok(()),
        }
    }
}

/// Whether an AVP is known and of no consequence to an EIR, so that neither a
/// stray M bit nor an odd length of it costs a subscriber the service. Tables
/// name such an AVP only where its command does make use of it.
#[must_use]
pub const fn is_ignored(key: AvpKey) -> bool {
    const IGNORED: &[AvpDefinition] = &[
        dictionary::PROXY_STATE,
        dictionary::EVENT_TIMESTAMP,
        dictionary::AUTH_APPLICATION_ID,
        dictionary::ACCT_APPLICATION_ID,
        dictionary::VENDOR_SPECIFIC_APPLICATION_ID,
        dictionary::ORIGIN_STATE_ID,
        dictionary::PROXY_HOST,
        dictionary::ROUTE_RECORD,
        dictionary::PROXY_INFO,
        dictionary::DRMP,
        dictionary::OC_SUPPORTED_FEATURES,
        dictionary::OC_FEATURE_VECTOR,
        dictionary::OC_OLR,
        dictionary::OC_SEQUENCE_NUMBER,
        dictionary::OC_VALIDITY_DURATION,
        dictionary::OC_REPORT_TYPE,
        dictionary::OC_REDUCTION_PERCENTAGE,
        dictionary::SOURCE_ID,
        dictionary::LOAD,
        dictionary::LOAD_TYPE,
        dictionary::LOAD_VALUE,
        dictionary::SUPPORTED_FEATURES,
        dictionary::FEATURE_LIST_ID,
        dictionary::FEATURE_LIST,
        dictionary::TGPP2_MEID,
        // What some MMEs tell an EIR besides, for bindings of other vendors.
        dictionary::MSISDN,
        dictionary::TGPP_USER_LOCATION_INFO,
        dictionary::E_UTRAN_CELL_GLOBAL_IDENTITY,
        dictionary::TRACKING_AREA_IDENTITY,
    ];
    let mut rest = IGNORED;
    while let [avp, behind @ ..] = rest {
        if avp.key.code.0 == key.code.0 && avp.key.vendor.0 == key.vendor.0 {
            return true;
        }
        rest = behind;
    }
    false
}

/// The slot of `key` under `multiplier`.
const fn slot(key: AvpKey, multiplier: u32) -> usize {
    let mixed = (key.code.0 ^ key.vendor.0.rotate_left(16)).wrapping_mul(multiplier);
    (mixed >> 24) as usize
}

/// The slot table of `rules` under `multiplier`, if no two share a slot.
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "evaluated at compile time, for fewer than 255 rules"
)]
const fn place<const N: usize>(rules: &[Rule; N], multiplier: u32) -> Option<[u8; SLOTS]> {
    assert!(N < 255);
    let mut slots = [0; SLOTS];
    let mut position = 0;
    while position < N {
        let at = slot(rules[position].0.key, multiplier);
        if slots[at] != 0 {
            return None;
        }
        slots[at] = position as u8 + 1;
        position += 1;
    }
    Some(slots)
}

/// Declares a grammar together with the positions of its AVPs, so that both
/// always agree.
macro_rules! grammar {
    ($(#[$meta:meta])* $grammar:ident, $position:ident { $($name:ident: $occurs:ident,)* }) => {
        /// Positions of the AVPs in the grammar.
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "named like the AVPs")]
        #[allow(dead_code, reason = "some AVPs need only be there")]
        #[derive(Clone, Copy)]
        enum $position { $($name,)* }

        $(#[$meta])*
        static $grammar: $crate::base::Grammar<{ [$(stringify!($name)),*].len() }> =
            $crate::base::Grammar::new([
                $((&$crate::wire::dictionary::$name, $crate::base::Occurs::$occurs),)*
            ]);
    };
}
pub(crate) use grammar;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::compose::precompose;

    grammar! {
        /// A table with every kind of rule.
        SAMPLE, Position {
            SESSION_ID: Once,
            USER_NAME: AtMostOnce,
            HOST_IP_ADDRESS: AtLeastOnce,
            ROUTE_RECORD: Any,
            RESULT_CODE: Never,
        }
    }

    const UNKNOWN: AvpDefinition = AvpDefinition {
        key: AvpKey::ietf(9999),
        name: "unknown",
        data_type: crate::wire::DataType::OctetString,
        flags: crate::wire::AvpFlags::MANDATORY,
    };

    /// Composes the named AVPs and returns the fault that the walk reports.
    fn fault_of(avps: &[(&AvpDefinition, &[u8])]) -> Option<String> {
        let bytes = precompose(|out| avps.iter().for_each(|(avp, data)| out.octets(avp, data)));
        // The AVPs are read as members of a group of unlimited kind.
        let outer = precompose(|out| out.octets(&dictionary::FAILED_AVP, &bytes));
        let message = message_with(&outer);
        let crate::wire::Deframed::Message(message) = crate::wire::deframe(&message, 1 << 20)
        else {
            panic!("composed a message");
        };
        let group = message.avps().next().unwrap().unwrap();
        let result = SAMPLE
            .read(group.members().unwrap(), None)
            .and_then(|f| f.findings.check());
        result.err().map(|fault| {
            let text = format!("{fault:?}");
            text.split(['(', ' ']).next().unwrap_or_default().to_owned()
        })
    }

    fn message_with(avps: &[u8]) -> bytes::BytesMut {
        let mut out = bytes::BytesMut::new();
        let header = crate::wire::Header {
            length: 0,
            flags: crate::wire::CommandFlags::REQUEST,
            command: crate::wire::CommandCode(257),
            application: crate::wire::ApplicationId::COMMON,
            hop_by_hop: 0,
            end_to_end: 0,
        };
        let mut composer = crate::wire::Composer::begin(&mut out, &header);
        composer.precomposed(avps);
        composer.finish();
        out
    }

    #[test]
    fn each_kind_of_fault_in_its_order() {
        let session = (&dictionary::SESSION_ID, &b"s"[..]);
        let host = (&dictionary::HOST_IP_ADDRESS, &[0, 1, 127, 0, 0, 1][..]);
        let user = (&dictionary::USER_NAME, &b"1"[..]);
        let result = (&dictionary::RESULT_CODE, &[0, 0, 7, 0xd1][..]);
        let unknown = (&UNKNOWN, &b""[..]);
        let short = (&dictionary::HOST_IP_ADDRESS, &b"\0"[..]);
        let want = |name: &str| Some(name.to_owned());

        assert_eq!(fault_of(&[session, host, host, user]), None);
        assert_eq!(fault_of(&[host]), want("MissingAvp"));
        assert_eq!(fault_of(&[session]), want("MissingAvp"));
        assert_eq!(fault_of(&[session, host, session]), want("RepeatedAvp"));
        assert_eq!(fault_of(&[session, host, user, user]), want("RepeatedAvp"));
        assert_eq!(fault_of(&[session, host, result]), want("ForbiddenAvp"));
        assert_eq!(fault_of(&[session, host, unknown]), want("UnsupportedAvp"));
        assert_eq!(fault_of(&[session, short]), want("WrongLength"));
        // Several at once: the order is fixed.
        assert_eq!(fault_of(&[unknown, user, user, result]), want("MissingAvp"));
        assert_eq!(
            fault_of(&[unknown, result, session, host, host, user, user]),
            want("RepeatedAvp")
        );
        assert_eq!(
            fault_of(&[unknown, result, session, host]),
            want("ForbiddenAvp")
        );
        assert_eq!(fault_of(&[unknown, short]), want("WrongLength"));
    }

    #[test]
    fn too_many_avps_end_the_walk() {
        let session = (&dictionary::SESSION_ID, &b"s"[..]);
        let host = (&dictionary::HOST_IP_ADDRESS, &[0, 1, 127, 0, 0, 1][..]);
        let mut avps = vec![session, host];
        avps.resize(AVPS_MAX, (&dictionary::ROUTE_RECORD, &b"dra"[..]));
        assert_eq!(fault_of(&avps), None);
        avps.push(host);
        assert_eq!(fault_of(&avps), Some("TooManyAvps".to_owned()));
    }

    #[test]
    fn positions_and_rules_agree() {
        let (rule, _) = SAMPLE.rule(Position::ROUTE_RECORD as usize).unwrap();
        assert_eq!(rule.name, "Route-Record");
        for (position, (rule, _)) in SAMPLE.rules.iter().enumerate() {
            assert_eq!(SAMPLE.position(rule.key), Some(position));
        }
        assert_eq!(SAMPLE.position(AvpKey::tgpp(263)), None);
    }
}
