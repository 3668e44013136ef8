//! What one line of a list says: which devices, which status, and when.

use core::fmt;

use super::{Device, Imsi, Special, Status, Svn, Tac, TacPrefix};
use crate::time::UnixTime;

//----------- Scope -----------------------------------------------------------

/// The devices that a rule or a binding speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One device while it runs one software version.
    DeviceSvn(Device, Svn),
    /// One device.
    Device(Device),
    /// All devices from one to another, both included. With its ends the wrong
    /// way round it covers nothing.
    Range {
        /// The first device.
        from: Device,
        /// The last device.
        to: Device,
    },
    /// All devices of one model.
    Tac(Tac),
    /// All devices of the models whose TACs begin alike.
    TacPrefix(TacPrefix),
    /// All devices with a peculiarity.
    Special(Special),
}

impl Scope {
    /// Which kind of rule this scope makes.
    #[must_use]
    pub const fn kind(self) -> RuleKind {
        match self {
            Self::DeviceSvn(..) => RuleKind::DeviceSvn,
            Self::Device(_) => RuleKind::Device,
            Self::Range { .. } => RuleKind::Range,
            Self::Tac(_) => RuleKind::Tac,
            Self::TacPrefix(_) => RuleKind::TacPrefix,
            Self::Special(_) => RuleKind::Special,
        }
    }

    /// Whether the scope covers a device; `None` if that depends on the
    /// software version, and none is known, or on which TACs are allocated,
    /// for which see [`Snapshot::covers`](super::Snapshot::covers).
    #[must_use]
    pub fn covers(self, device: Device, svn: Option<Svn>) -> Option<bool> {
        match self {
            Self::DeviceSvn(own, _) if own != device => Some(false),
            Self::DeviceSvn(_, own) => svn.map(|svn| svn == own),
            Self::Device(own) => Some(own == device),
            Self::Range { from, to } => Some((from..=to).contains(&device)),
            Self::Tac(tac) => Some(tac == device.tac()),
            Self::TacPrefix(prefix) => Some(prefix.covers(device.tac())),
            Self::Special(special) => special.covers(device),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeviceSvn(device, svn) => write!(f, "device {device} with SVN {svn}"),
            Self::Device(device) => write!(f, "device {device}"),
            Self::Range { from, to } => write!(f, "devices {from} to {to}"),
            Self::Tac(tac) => write!(f, "TAC {tac}"),
            Self::TacPrefix(prefix) => write!(f, "TAC prefix {prefix}"),
            Self::Special(special) => write!(f, "special {special}"),
        }
    }
}

//----------- RuleKind --------------------------------------------------------

/// The kinds of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleKind {
    /// See [`Scope::DeviceSvn`].
    DeviceSvn,
    /// See [`Scope::Device`].
    Device,
    /// See [`Scope::Range`].
    Range,
    /// See [`Scope::Tac`].
    Tac,
    /// See [`Scope::TacPrefix`]. Prefixes of all lengths are one kind.
    TacPrefix,
    /// See [`Scope::Special`]. All peculiarities are one kind.
    Special,
}

impl RuleKind {
    /// All kinds, the most specific first: the order in which they are asked.
    pub const ALL: [Self; 6] = [
        Self::DeviceSvn,
        Self::Device,
        Self::Range,
        Self::Tac,
        Self::TacPrefix,
        Self::Special,
    ];

    /// What the kind is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeviceSvn => "device and SVN",
            Self::Device => "device",
            Self::Range => "range",
            Self::Tac => "TAC",
            Self::TacPrefix => "TAC prefix",
            Self::Special => "special",
        }
    }
}

impl fmt::Display for RuleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

//----------- Validity --------------------------------------------------------

/// When a rule, binding or exception is in effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Validity {
    /// The first second; `None`: since ever.
    pub from: Option<UnixTime>,
    /// The last second; `None`: for ever.
    pub until: Option<UnixTime>,
}

impl Validity {
    /// No limits.
    pub const ALWAYS: Self = Self {
        from: None,
        until: None,
    };

    /// Whether the time lies within both limits.
    #[must_use]
    pub fn contains(self, now: UnixTime) -> bool {
        self.standing(now) == Standing::Effective
    }

    /// Whether there is a second within the limits of both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let ends_before = |a: Self, b: Self| match (a.until, b.from) {
            (Some(until), Some(from)) => until < from,
            _ => false,
        };
        !ends_before(self, other) && !ends_before(other, self)
    }

    /// Where the time stands.
    #[must_use]
    pub fn standing(self, now: UnixTime) -> Standing {
        if self.until.is_some_and(|until| until < now) {
            Standing::Expired
        } else if self.from.is_some_and(|from| now < from) {
            Standing::NotYet
        } else {
            Standing::Effective
        }
    }
}

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.until) {
            (None, None) => f.write_str("always"),
            (Some(from), None) => write!(f, "from {from}"),
            (None, Some(until)) => write!(f, "until {until}"),
            (Some(from), Some(until)) => write!(f, "from {from} until {until}"),
        }
    }
}

/// Where a moment stands against a [`Validity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Within.
    Effective,
    /// Before.
    NotYet,
    /// After; also when the limits are the wrong way round and it is after
    /// the last second.
    Expired,
}

//----------- RuleSpec --------------------------------------------------------

/// One rule, as a list hands it to the [`Builder`](super::Builder).
#[derive(Clone, Copy, Debug)]
pub struct RuleSpec<'a> {
    /// Which devices.
    pub scope: Scope,
    /// What they are.
    pub status: Status,
    /// When.
    pub validity: Validity,
    /// Why, for people.
    pub reason: Option<&'a str>,
    /// Who may use the devices although they are blacklisted. Of no effect on
    /// a rule with another status.
    pub exceptions: &'a [Imsi],
    /// The file that the rule stands in.
    pub file: FileId,
    /// The line of the file, from 1.
    pub line: u32,
}

/// One exception without a rule of its own, as a list hands it to the
/// [`Builder`](super::Builder).
#[derive(Clone, Copy, Debug)]
pub struct ExceptionSpec<'a> {
    /// Who may use the devices.
    pub imsi: Imsi,
    /// Which devices, whatever list has blacklisted them.
    pub scope: Scope,
    /// When.
    pub validity: Validity,
    /// Why, for people.
    pub reason: Option<&'a str>,
    /// The file that the exception stands in.
    pub file: FileId,
    /// The line of the file, from 1.
    pub line: u32,
}

/// One binding, as a list hands it to the [`Builder`](super::Builder).
#[derive(Clone, Copy, Debug)]
pub struct BindingSpec<'a> {
    /// Who is bound.
    pub subscribers: Subscribers,
    /// Devices that the subscribers may use.
    pub scope: Scope,
    /// When.
    pub validity: Validity,
    /// Why, for people.
    pub reason: Option<&'a str>,
    /// The file that the binding stands in.
    pub file: FileId,
    /// The line of the file, from 1.
    pub line: u32,
}

//----------- Subscribers -----------------------------------------------------

/// Whom a binding binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subscribers {
    /// One subscriber.
    One(Imsi),
    /// Each subscriber from one to another, both included, such as the SIMs
    /// of a fleet. It holds IMSIs with as many digits as its ends have; with
    /// ends of different lengths, or the wrong way round, it holds none.
    Range {
        /// The first subscriber.
        from: Imsi,
        /// The last subscriber.
        to: Imsi,
    },
}

impl Subscribers {
    /// Whether a subscriber is one of them.
    #[must_use]
    pub fn contains(self, imsi: Imsi) -> bool {
        match self {
            Self::One(own) => own == imsi,
            // IMSIs are ordered by their lengths first, then by their digits.
            Self::Range { from, to } => from.digits() == to.digits() && (from..=to).contains(&imsi),
        }
    }
}

impl fmt::Display for Subscribers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(imsi) => write!(f, "IMSI {imsi}"),
            Self::Range { from, to } => write!(f, "IMSIs {from} to {to}"),
        }
    }
}

//----------- Terms -----------------------------------------------------------

/// What the rules of a register share: a few thousand different ones serve
/// any number of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Terms {
    /// The list that the rule stands in.
    pub(crate) list: ListId,
    /// The status of the rule; for a binding that of a mismatch.
    pub(crate) status: Status,
    /// When the rule is in effect.
    pub(crate) validity: Validity,
}

//----------- Identifiers -----------------------------------------------------

/// Declares a number that names one entry of a snapshot.
macro_rules! identifiers {
    ($($(#[$meta:meta])* $name:ident($number:ty);)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(super) $number);

        impl $name {
            /// The number; of two entries that cover the same device, the
            /// one that was added first has the lower one.
            #[must_use]
            pub const fn number(self) -> $number {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    )*};
}

identifiers! {
    /// Names a list, of rules or of bindings, within its snapshot.
    ListId(u16);
    /// Names a file within its snapshot.
    FileId(u32);
    /// Names a rule within its snapshot, together with the device that it was
    /// found for.
    RuleId(u32);
    /// Names a binding within its snapshot.
    BindingId(u32);
}

impl RuleId {
    /// The rule with a number that [`Self::number`] told.
    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The rule of a record.
    pub(super) const fn of_record(number: u32) -> Self {
        Self(number)
    }

    /// A rule for single devices.
    pub(super) const fn of_device(number: u32) -> Self {
        Self(OF_DEVICE | number)
    }

    /// What the change at this place says of a device.
    pub(super) const fn of_device_change(place: u32) -> Self {
        Self(OF_DEVICE | OF_CHANGE | place)
    }

    /// What the change at this place among the others says.
    pub(super) const fn of_wide_change(place: usize) -> Self {
        // There are far fewer than numbers for them.
        Self(OF_DEVICE | OF_CHANGE | OF_WIDE | place as u32)
    }

    /// Where it stands.
    pub(super) const fn place(self) -> Place {
        match (self.0 & OF_DEVICE, self.0 & OF_CHANGE, self.0 & OF_WIDE) {
            (0, _, _) => Place::Record(self.0),
            (_, 0, _) => Place::Device(self.0 & !OF_DEVICE),
            (_, _, 0) => Place::DeviceChange(self.0 & (OF_WIDE - 1)),
            (_, _, _) => Place::WideChange(self.0 & (OF_WIDE - 1)),
        }
    }
}

/// Marks the numbers of rules for single devices; records have those below.
pub(super) const OF_DEVICE: u32 = 1 << 31;

/// Marks, together with [`OF_DEVICE`], the numbers of rules that changes make.
pub(super) const OF_CHANGE: u32 = 1 << 30;

/// Marks those of them that are not about one device.
const OF_WIDE: u32 = 1 << 29;

/// Where a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Among the records.
    Record(u32),
    /// Among what is said of single devices.
    Device(u32),
    /// Among what changes say of the device.
    DeviceChange(u32),
    /// Among the other changes.
    WideChange(u32),
}

impl BindingId {
    /// What the change at this place says of a subscriber.
    pub(super) const fn of_change_at(place: u32) -> Self {
        Self(BINDING_OF_CHANGE | place)
    }

    /// The place, if it is a change's.
    pub(super) const fn of_change(self) -> Option<u32> {
        match self.0 & BINDING_OF_CHANGE {
            0 => None,
            _ => Some(self.0 & !BINDING_OF_CHANGE),
        }
    }

    /// The binding with a number that [`Self::number`] told.
    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// Marks the numbers of bindings that changes make; records have those below.
const BINDING_OF_CHANGE: u32 = 1 << 31;

impl ListId {
    /// The number as a place in an array or a set.
    pub(crate) const fn place(self) -> usize {
        self.0 as usize
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    /// The device of this number.
    fn device(number: u64) -> Device {
        Device::from_number(number).unwrap()
    }

    #[test]
    fn validity_includes_both_ends() {
        let at = |seconds| Some(UnixTime(seconds));
        for (from, until, expected) in [
            (None, None, [Standing::Effective; 4]),
            (
                at(1),
                at(2),
                [
                    Standing::NotYet,
                    Standing::Effective,
                    Standing::Effective,
                    Standing::Expired,
                ],
            ),
            (
                at(2),
                at(1),
                [
                    Standing::NotYet,
                    Standing::NotYet,
                    Standing::Expired,
                    Standing::Expired,
                ],
            ),
        ] {
            let validity = Validity { from, until };
            let standings = [0, 1, 2, 3].map(|now| validity.standing(UnixTime(now)));
            assert_eq!(standings, expected, "{validity}");
        }
    }

    #[test]
    fn scopes_cover_what_they_say() {
        let svn = Svn::from_number(7).unwrap();
        let own = device(49_015_420_323_751);
        let next = device(49_015_420_323_752);
        let far = device(35_209_900_176_148);
        let tac = own.tac();
        let prefix = TacPrefix::from_digits(b"4901").unwrap();
        for (scope, expected) in [
            (Scope::Device(own), [true, false, false]),
            (
                Scope::Range {
                    from: own,
                    to: next,
                },
                [true, true, false],
            ),
            (
                Scope::Range {
                    from: next,
                    to: own,
                },
                [false, false, false],
            ),
            (Scope::Tac(tac), [true, true, false]),
            (Scope::TacPrefix(prefix), [true, true, false]),
            (Scope::Special(Special::Test), [false, false, false]),
        ] {
            for svn in [None, Some(svn)] {
                let covered = [own, next, far].map(|device| scope.covers(device, svn));
                assert_eq!(covered, expected.map(Some), "{scope}");
            }
        }
        let scope = Scope::DeviceSvn(own, svn);
        assert_eq!(scope.covers(own, Some(svn)), Some(true));
        assert_eq!(scope.covers(own, Svn::from_number(8)), Some(false));
        assert_eq!(scope.covers(own, None), None);
        assert_eq!(scope.covers(next, None), Some(false));
    }
}
