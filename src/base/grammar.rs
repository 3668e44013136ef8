//! Command grammars: which AVPs a command needs, permits and forbids, as one
//! table per command, and the single walk that checks a message against it.
//!
//! The walk finds the first instance of each AVP named in the table, and the
//! first fault of each kind. Which fault is reported when there are several is
//! fixed: a broken or wrong length first (nothing behind it can be trusted),
//! then missing, surplus, forbidden, unknown mandatory AVPs. Flags are never a
//! fault: an M bit that differs from the standard's is accepted, and a V bit
//! that differs makes it another AVP.

use super::key_table::KeyTable;
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
    /// The same, found by code and vendor.
    lines: KeyTable<Line>,
    /// A bit for each AVP that must be there, by position.
    required: u32,
}

/// One line of a command's table as the walk needs it.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// How often the AVP may occur.
    occurs: Occurs,
    /// Its position in the table.
    position: u8,
    /// Fewest octets of its data.
    len_min: u8,
    /// Most octets of its data, as far as there are octets in a message.
    len_max: u32,
}

impl<const N: usize> Grammar<N> {
    /// A grammar of these rules. Evaluated at compile time.
    ///
    /// # Panics
    ///
    /// When two rules name the same AVP, or there are more than 32. As grammars
    /// are constants, that is a compile error.
    #[must_use]
    #[allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        reason = "evaluated at compile time, for at most 32 rules"
    )]
    pub const fn new(rules: [Rule; N]) -> Self {
        assert!(N <= 32, "a bit for each rule");
        let mut required = 0;
        let mut lines = [(
            AvpKey::ietf(0),
            Line {
                occurs: Occurs::Any,
                position: 0,
                len_min: 0,
                len_max: 0,
            },
        ); N];
        let mut position = 0;
        while position < N {
            let (avp, occurs) = rules[position];
            if matches!(occurs, Occurs::Once | Occurs::AtLeastOnce) {
                required |= 1 << position;
            }
            let (len_min, len_max) = match occurs {
                // Must not be there, however long it is.
                Occurs::Never => (0, u32::MAX),
                _ => avp.data_type.lengths(),
            };
            lines[position] = (
                avp.key,
                Line {
                    occurs,
                    position: position as u8,
                    len_min,
                    len_max,
                },
            );
            position += 1;
        }
        Self {
            rules,
            lines: KeyTable::new(&lines),
            required,
        }
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
        let mut fields = Fields::default();
        self.read_into(&mut fields, avps, within)?;
        Ok(fields)
    }

    /// The same into new fields that stand where they are used: they are too
    /// large to be handed on for each request.
    ///
    /// # Errors
    ///
    /// The same.
    #[inline]
    pub fn read_into<'a>(
        &self,
        fields: &mut Fields<'a, N>,
        avps: Avps<'a>,
        within: Option<&'static AvpDefinition>,
    ) -> Result<(), Fault<'a>> {
        let mut seen = 0u32;
        let mut left = AVPS_MAX;
        for avp in avps {
            left = match left.checked_sub(1) {
                Some(left) => left,
                None => return Err(Fault::TooManyAvps),
            };
            let avp = match avp {
                Ok(avp) => avp,
                Err(broken) => return Err(Fault::BrokenAvp(broken, within)),
            };
            let Some(line) = self.lines.find(avp.key()) else {
                if avp.is_mandatory() && !is_ignored(avp.key()) {
                    let culprit = Culprit { avp, within };
                    fields.findings.unsupported(culprit);
                }
                continue;
            };
            let len = u32::try_from(avp.data().len()).unwrap_or(u32::MAX);
            if len < u32::from(line.len_min) || len > line.len_max {
                return Err(Fault::WrongLength(Culprit { avp, within }));
            }
            // Positions are below 32.
            let bit = 1u32.wrapping_shl(u32::from(line.position));
            if seen & bit == 0 && line.occurs != Occurs::Never {
                seen |= bit;
                if let Some(first) = fields.first.get_mut(usize::from(line.position)) {
                    *first = Some(avp);
                }
            } else {
                fields
                    .findings
                    .surplus(line.occurs, Culprit { avp, within });
            }
        }
        if seen & self.required != self.required {
            self.note_missing(seen, within, &mut fields.findings);
        }
        Ok(())
    }

    /// Takes note of the first AVP that must be there and was not seen.
    #[cold]
    fn note_missing(
        &self,
        seen: u32,
        within: Option<&'static AvpDefinition>,
        findings: &mut Findings<'_>,
    ) {
        let position = (self.required & !seen).trailing_zeros();
        if let Some((avp, _)) = self.rules.get(position as usize) {
            findings.note(Rank::Missing, Fault::MissingAvp(avp, within));
        }
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

/// Of no AVPs.
impl<const N: usize> Default for Fields<'_, N> {
    #[inline]
    fn default() -> Self {
        Self {
            first: [None; N],
            findings: Findings { worst: None },
        }
    }
}

impl<'a, const N: usize> Fields<'a, N> {
    /// The first instance of the AVP at this position of the table.
    #[inline]
    #[must_use]
    pub fn avp(&self, position: usize) -> Option<Avp<'a>> {
        self.first.get(position).copied().flatten()
    }

    /// Its data; empty when it is absent.
    #[inline]
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
    /// Takes note of an unknown AVP with the M bit.
    #[cold]
    fn unsupported(&mut self, culprit: Culprit<'a>) {
        self.note(Rank::Unsupported, Fault::UnsupportedAvp(culprit));
    }

    /// Takes note of an AVP that is there once more, or at all, where it may
    /// not be.
    #[cold]
    fn surplus(&mut self, occurs: Occurs, culprit: Culprit<'a>) {
        match occurs {
            Occurs::Never => self.note(Rank::Forbidden, Fault::ForbiddenAvp(culprit)),
            Occurs::Once | Occurs::AtMostOnce => {
                self.note(Rank::Repeated, Fault::RepeatedAvp(culprit));
            }
            Occurs::AtLeastOnce | Occurs::Any => {}
        }
    }

    /// Takes note of a fault.
    fn note(&mut self, rank: Rank, fault: Fault<'a>) {
        if self.worst.is_none_or(|(worst, _)| rank < worst) {
            self.worst = Some((rank, fault));
        }
    }

    /// Whether nothing was wrong.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.worst.is_none()
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
#[inline]
#[must_use]
pub fn is_ignored(key: AvpKey) -> bool {
    IGNORED.find(key).is_some()
}

/// The AVPs that are ignored.
static IGNORED: KeyTable<()> = KeyTable::new(&[
    (dictionary::PROXY_STATE.key, ()),
    (dictionary::EVENT_TIMESTAMP.key, ()),
    (dictionary::AUTH_APPLICATION_ID.key, ()),
    (dictionary::ACCT_APPLICATION_ID.key, ()),
    (dictionary::VENDOR_SPECIFIC_APPLICATION_ID.key, ()),
    (dictionary::ORIGIN_STATE_ID.key, ()),
    (dictionary::PROXY_HOST.key, ()),
    (dictionary::ROUTE_RECORD.key, ()),
    (dictionary::PROXY_INFO.key, ()),
    (dictionary::DRMP.key, ()),
    (dictionary::OC_SUPPORTED_FEATURES.key, ()),
    (dictionary::OC_FEATURE_VECTOR.key, ()),
    (dictionary::OC_OLR.key, ()),
    (dictionary::OC_SEQUENCE_NUMBER.key, ()),
    (dictionary::OC_VALIDITY_DURATION.key, ()),
    (dictionary::OC_REPORT_TYPE.key, ()),
    (dictionary::OC_REDUCTION_PERCENTAGE.key, ()),
    (dictionary::SOURCE_ID.key, ()),
    (dictionary::LOAD.key, ()),
    (dictionary::LOAD_TYPE.key, ()),
    (dictionary::LOAD_VALUE.key, ()),
    (dictionary::SUPPORTED_FEATURES.key, ()),
    (dictionary::FEATURE_LIST_ID.key, ()),
    (dictionary::FEATURE_LIST.key, ()),
    (dictionary::TGPP2_MEID.key, ()),
    // What some MMEs tell an EIR besides, for bindings of other vendors.
    (dictionary::MSISDN.key, ()),
    (dictionary::TGPP_USER_LOCATION_INFO.key, ()),
    (dictionary::E_UTRAN_CELL_GLOBAL_IDENTITY.key, ()),
    (dictionary::TRACKING_AREA_IDENTITY.key, ()),
]);

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
            let found = SAMPLE.lines.find(rule.key);
            assert_eq!(found.map(|line| usize::from(line.position)), Some(position));
        }
        assert!(SAMPLE.lines.find(AvpKey::tgpp(263)).is_none());
    }
}
