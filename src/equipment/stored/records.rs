//! What one entry of a section looks like.

use bytemuck::{Pod, Zeroable};

use super::{Damage, UNKNOWN_KIND, status};
use crate::equipment::{
    Counts, Device, Imsi, ListId, Scope, Special, Subscribers, Svn, Tac, TacPrefix, Terms, Validity,
};
use crate::time::UnixTime;

//----------- StoredTerms -----------------------------------------------------

/// List, status and dates.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct StoredTerms {
    /// The list.
    list: u16,
    /// The status.
    status: u8,
    /// Which of the dates there are.
    dates: u8,
    /// Zero.
    reserved: u32,
    /// The first second.
    from: i64,
    /// The last second.
    until: i64,
}

/// There is a first second.
const HAS_FROM: u8 = 1;
/// There is a last second.
const HAS_UNTIL: u8 = 2;

impl StoredTerms {
    /// As they are stored.
    pub(super) fn of(terms: &Terms) -> Self {
        let Validity { from, until } = terms.validity;
        let has = |date: Option<UnixTime>, flag| date.map_or(0, |_| flag);
        Self {
            list: terms.list.number(),
            status: terms.status.number(),
            dates: has(from, HAS_FROM) | has(until, HAS_UNTIL),
            reserved: 0,
            from: from.map_or(0, |from| from.0),
            until: until.map_or(0, |until| until.0),
        }
    }

    /// As they were.
    pub(super) fn restore(&self) -> Result<Terms, Damage> {
        if self.dates > HAS_FROM | HAS_UNTIL || self.reserved != 0 {
            return Err(UNKNOWN_KIND);
        }
        let date = |flag, date| (self.dates & flag != 0).then_some(UnixTime(date));
        Ok(Terms {
            list: ListId(self.list),
            status: status(self.status)?,
            validity: Validity {
                from: date(HAS_FROM, self.from),
                until: date(HAS_UNTIL, self.until),
            },
        })
    }
}

//----------- StoredRule ------------------------------------------------------

/// A rule or binding, with all that is known of it but who is bound.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(in crate::equipment) struct StoredRule {
    /// The device, TAC, prefix, or first device of the scope.
    first: u64,
    /// The software version, length of the prefix, or last device.
    second: u64,
    /// The number of its terms.
    pub(in crate::equipment) terms: u32,
    /// The number of its source.
    pub(in crate::equipment) source: u32,
    /// The line of the file.
    pub(in crate::equipment) line: u32,
    /// The kind of the scope.
    kind: u32,
}

/// A [`Scope::DeviceSvn`].
const DEVICE_SVN: u32 = 0;
/// A [`Scope::Device`].
const DEVICE: u32 = 1;
/// A [`Scope::Range`].
const RANGE: u32 = 2;
/// A [`Scope::Tac`].
const TAC: u32 = 3;
/// A [`Scope::TacPrefix`].
const TAC_PREFIX: u32 = 4;
/// A [`Scope::Special`].
const SPECIAL: u32 = 5;

impl StoredRule {
    /// As it is stored.
    pub(in crate::equipment) fn new(scope: Scope, (terms, source, line): (u32, u32, u32)) -> Self {
        let (kind, first, second) = match scope {
            Scope::DeviceSvn(device, svn) => (DEVICE_SVN, device.number(), svn.number().into()),
            Scope::Device(device) => (DEVICE, device.number(), 0),
            Scope::Range { from, to } => (RANGE, from.number(), to.number()),
            Scope::Tac(tac) => (TAC, tac.number().into(), 0),
            Scope::TacPrefix(prefix) => {
                (TAC_PREFIX, prefix.number().into(), prefix.digits() as u64)
            }
            Scope::Special(special) => (SPECIAL, special.number() as u64, 0),
        };
        Self {
            first,
            second,
            terms,
            source,
            line,
            kind,
        }
    }

    /// Which devices.
    pub(in crate::equipment) fn scope(&self) -> Result<Scope, Damage> {
        self.known_scope()
            .ok_or(Damage("has an entry that is of no device"))
    }

    /// The same, or nothing.
    fn known_scope(&self) -> Option<Scope> {
        let first = || Device::from_number(self.first);
        let small = || u32::try_from(self.first).ok();
        Some(match self.kind {
            DEVICE_SVN => {
                Scope::DeviceSvn(first()?, Svn::from_number(self.second.try_into().ok()?)?)
            }
            DEVICE => Scope::Device(first()?),
            RANGE => Scope::Range {
                from: first()?,
                to: Device::from_number(self.second)?,
            },
            TAC => Scope::Tac(Tac::from_number(small()?)?),
            TAC_PREFIX => {
                let length = usize::try_from(self.second).ok()?;
                Scope::TacPrefix(TacPrefix::from_number(length, small()?)?)
            }
            SPECIAL => Scope::Special(*Special::ALL.get(small()? as usize)?),
            _ => return None,
        })
    }
}

//----------- StoredSubscribers -----------------------------------------------

/// The subscriber with this key.
fn imsi(key: u64) -> Result<Imsi, Damage> {
    Imsi::from_stored(key).ok_or(Damage("has an IMSI that is none"))
}

/// Whom a binding binds.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(in crate::equipment) struct StoredSubscribers {
    /// The only or the first subscriber.
    first: u64,
    /// The last; 0 if there is just one.
    last: u64,
}

impl StoredSubscribers {
    /// As they are stored.
    pub(in crate::equipment) fn new(subscribers: Subscribers) -> Self {
        let (first, last) = match subscribers {
            Subscribers::One(imsi) => (imsi.key(), 0),
            Subscribers::Range { from, to } => (from.key(), to.key()),
        };
        Self { first, last }
    }

    /// As they were.
    pub(in crate::equipment) fn restore(&self) -> Result<Subscribers, Damage> {
        let from = imsi(self.first)?;
        Ok(match self.last {
            0 => Subscribers::One(from),
            last => Subscribers::Range {
                from,
                to: imsi(last)?,
            },
        })
    }
}

//----------- StoredModel -----------------------------------------------------

/// The model of a TAC: the TAC, the number of the make, that of the model.
pub(in crate::equipment) type StoredModel = [u32; 3];

//----------- StoredCounts ----------------------------------------------------

/// How many entries there are of each kind.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct StoredCounts([u64; 8]);

impl StoredCounts {
    /// As they are stored.
    pub(super) fn of(mut counts: Counts) -> Self {
        Self(counts.fields().map(|count| *count as u64))
    }

    /// As they were.
    pub(super) fn restore(&self) -> Option<Counts> {
        let mut counts = Counts::default();
        for (count, &stored) in counts.fields().into_iter().zip(&self.0) {
            *count = usize::try_from(stored).ok()?;
        }
        Some(counts)
    }
}
