//! The number space of devices, cut wherever a verdict may change.
//!
//! ```text
//! old   ──────[ TAC ───────────────]──────────────────
//! new   ──────────────[range]────────────•device──────
//!       0────|────────|──────|─────|─────||───────10¹⁴
//! ```
//!
//! Within a segment every rule and binding of both registers covers either
//! all devices or none, so that one device stands for all of them.

use crate::equipment::{Device, Scope, Special, Svn, Tac, TacPrefix};

/// All devices that there can be.
pub(super) const DEVICES: u64 = 100_000_000_000_000;

/// How many serial numbers there are in one TAC.
const SERIALS_PER_TAC: u64 = DEVICES / 100_000_000;

/// How many devices there are of one Reporting Body Identifier.
const REPORTING_BODY: u64 = DEVICES / 100;

/// Fourteen ones.
const ONES: u64 = DEVICES / 9;

//----------- Space -----------------------------------------------------------

/// The segments between the edges of many scopes.
#[derive(Debug)]
pub(super) struct Space {
    /// The first device of each segment, in order.
    starts: Vec<u64>,
    /// The first device that no scope covers, if there is one.
    uncovered: Option<Device>,
}

impl Space {
    /// Cuts the space at the edges of these scopes, and of models, as rules for
    /// unallocated TACs have no other edges.
    pub(super) fn cut(
        scopes: impl Iterator<Item = Scope>,
        models: impl Iterator<Item = Tac>,
    ) -> Self {
        let mut intervals = Vec::new();
        for scope in scopes {
            visit_intervals(scope, |from, to| intervals.push((from, to)));
        }
        intervals.sort_unstable();
        intervals.dedup();
        let mut covered = 0;
        for &(from, to) in &intervals {
            if from > covered {
                break;
            }
            covered = covered.max(to + 1);
        }
        let mut starts = Vec::with_capacity(2 * intervals.len() + 1);
        starts.push(0);
        for tac in models {
            let (from, to) = block(tac.number(), Tac::DIGITS);
            starts.extend([from, to + 1]);
        }
        for (from, to) in intervals {
            starts.extend([from, to + 1]);
        }
        starts.retain(|&start| start < DEVICES);
        starts.sort_unstable();
        starts.dedup();
        Self {
            starts,
            uncovered: Device::from_number(covered),
        }
    }

    /// The first and last device of each segment.
    pub(super) fn segments(&self) -> impl Iterator<Item = (Device, Device)> {
        let ends = self.starts.iter().skip(1).copied().chain([DEVICES]);
        self.starts.iter().zip(ends).filter_map(|(&from, end)| {
            let to = end.checked_sub(1)?;
            Some((Device::from_number(from)?, Device::from_number(to)?))
        })
    }

    /// A device that none of these scopes covers; if it can be, one that no
    /// scope at all does.
    pub(super) fn outside(&self, scopes: &[Scope]) -> Option<Device> {
        let is_outside = |device: &Device| {
            let mut covers = scopes.iter().map(|scope| scope.covers(*device, None));
            covers.all(|covered| covered == Some(false))
        };
        let starts = self.starts.iter().copied().filter_map(Device::from_number);
        self.uncovered.into_iter().chain(starts).find(is_outside)
    }
}

/// Calls `visitor` with the numbers of the first and last device of each
/// unbroken part of a scope.
fn visit_intervals(scope: Scope, mut visitor: impl FnMut(u64, u64)) {
    let (from, to) = match scope {
        Scope::DeviceSvn(device, _) | Scope::Device(device) => (device.number(), device.number()),
        Scope::Range { from, to } => (from.number(), to.number()),
        Scope::Tac(tac) => block(tac.number(), Tac::DIGITS),
        Scope::TacPrefix(prefix) => block(prefix.number(), prefix.digits()),
        Scope::Special(Special::Zero) => (0, 0),
        Scope::Special(Special::Test) => {
            // All reporting bodies of one leading zero but 01.
            visitor(0, REPORTING_BODY - 1);
            (2 * REPORTING_BODY, 10 * REPORTING_BODY - 1)
        }
        Scope::Special(Special::Repeated) => {
            (0..9).for_each(|digit| visitor(digit * ONES, digit * ONES));
            (9 * ONES, 9 * ONES)
        }
        // Its edges are those of the models.
        Scope::Special(Special::UnallocatedTac) => return,
    };
    // With its ends the wrong way round a range covers nothing.
    if from <= to {
        visitor(from, to);
    }
}

/// The devices whose first digits are these.
fn block(number: u32, digits: usize) -> (u64, u64) {
    let size = (digits..=TacPrefix::MAX_DIGITS).fold(SERIALS_PER_TAC, |size, _| size * 10);
    let from = u64::from(number) * size;
    (from, from + size - 1)
}

/// A device of a scope, with the software version if the scope has one.
pub(super) fn representative(scope: Scope) -> Option<(Device, Option<Svn>)> {
    if let Scope::DeviceSvn(device, svn) = scope {
        return Some((device, Some(svn)));
    }
    let mut first = None;
    visit_intervals(scope, |from, _| {
        first = first.or_else(|| Device::from_number(from))
    });
    Some((first?, None))
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    /// Digits as a device, the missing ones zeros.
    fn device(front: &str) -> Device {
        Device::from_digits(format!("{front:0<14}").as_bytes()).unwrap()
    }

    #[test]
    fn segments_fill_the_space_and_never_straddle_a_scope() {
        let scopes = [
            Scope::Device(device("")),
            Scope::Device(device("001")),
            Scope::Tac(Tac::from_digits(b"00100000").unwrap()),
            Scope::TacPrefix(TacPrefix::from_digits(b"00").unwrap()),
            Scope::TacPrefix(TacPrefix::from_digits(b"9999999").unwrap()),
            Scope::Range {
                from: device("0010000000005"),
                to: device("00100001"),
            },
            Scope::Range {
                from: device("7"),
                to: device("6"),
            },
        ];
        let space = Space::cut(scopes.into_iter(), core::iter::empty());
        let mut next = 0;
        for (from, to) in space.segments() {
            assert_eq!(from.number(), next);
            for scope in scopes {
                assert_eq!(scope.covers(from, None), scope.covers(to, None), "{scope}");
            }
            next = to.number() + 1;
        }
        assert_eq!(next, DEVICES);
        assert_eq!(space.segments().count(), 9);
        assert_eq!(space.outside(&scopes), Some(device("01")));
    }

    #[test]
    fn where_everything_is_covered_somebody_elses_device_is_outside() {
        let halves = [("", "50"), ("5", "99999999999999")].map(|(from, to)| Scope::Range {
            from: device(from),
            to: device(to),
        });
        let space = Space::cut(halves.into_iter(), core::iter::empty());
        assert_eq!(space.outside(&halves[..1]), Some(device("50000000000001")));
        assert_eq!(space.outside(&halves), None);
        assert_eq!(
            Space::cut(core::iter::empty(), core::iter::empty()).outside(&[]),
            Some(device(""))
        );
    }
}
