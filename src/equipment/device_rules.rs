//! The rules for single devices, of which there may be a billion.
//!
//! Most devices of a register have the same said of them: the list, status and
//! dates ([`Terms`](super::Terms)), and the file and reason. All that is said
//! of a device is its *class*, kept once for all devices that share it, so that
//! a device itself costs a few bits in a [`Devices`] table. Only the line of
//! the file is its own.

use std::borrow::Cow;

use super::Device;
use super::bulk::Classes;
use super::devices::{DENSE, Devices, HASHED, Lines, REST};
use super::rule::OF_CHANGE;
use super::stored::{Column, Damage, Flaw, Octets, Parts, Section, octets};

//----------- DeviceRules -----------------------------------------------------

/// The rules for single devices, by device.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeviceRules {
    /// From a device to its class, counted from 1.
    table: Devices,
    /// What is said of the devices of each class.
    classes: Classes,
    /// The line of each place of the table; where a class says several things,
    /// the place of the first of as many lines in `more_lines`. Without it the
    /// lines are not known: it takes more memory than all else together.
    lines: Option<Column<u32>>,
    /// Lines of devices of which several things are said.
    more_lines: Vec<u32>,
}

/// What a rule says of the devices of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct DeviceRule {
    /// The number of its terms.
    pub(super) terms: u32,
    /// The number of its source.
    pub(super) source: u32,
}

impl DeviceRules {
    /// Calls `visitor` with the number of each rule for a device and that of
    /// its terms, in the order of loading.
    #[inline(always)]
    pub(super) fn visit(&self, device: Device, mut visitor: impl FnMut(u32, u32)) {
        let Some(class) = self.table.find(device.number()) else {
            return;
        };
        // Classes are counted from 1.
        let place = class.wrapping_sub(1);
        if place < self.classes.single {
            // Without a loop: hardly any class says more than one thing.
            if let Some(member) = self.classes.members.get(place as usize) {
                visitor(place, member.terms);
            }
            return;
        }
        let (first, members) = self.classes.find(class);
        for (number, member) in (first..).zip(members) {
            visitor(number, member.terms);
        }
    }

    /// Has the memory fetched that looking these devices up begins with; see
    /// [`Devices::prefetch`].
    #[inline]
    pub(super) fn prefetch(&self, devices: impl Iterator<Item = Device> + Clone) {
        self.table.prefetch(devices.map(Device::number));
    }

    /// What a rule says, and its line if that is known, if it is one for this
    /// device.
    pub(super) fn find(&self, device: Device, number: u32) -> Option<(DeviceRule, Option<u32>)> {
        let class = self.table.find(device.number())?;
        let (first, members) = self.classes.find(class);
        let place = number.checked_sub(first)? as usize;
        let &rule = members.get(place)?;
        let Some(lines) = &self.lines else {
            return Some((rule, None));
        };
        let Some(line) = lines.find(self.table.place(device.number())?) else {
            // What says where the lines are cannot be read any more.
            return Some((rule, None));
        };
        let line = match members.len() {
            1 => line,
            _ => *self.more_lines.get((line as usize).checked_add(place)?)?,
        };
        Some((rule, Some(line)))
    }

    /// How often a line could not be read where it was left.
    pub(super) fn failures(&self) -> u64 {
        self.lines.as_ref().map_or(0, Column::failures)
    }

    /// Whether lines are known, or would be if there were any.
    pub(super) fn has_lines(&self) -> bool {
        self.lines.is_some() || self.is_empty()
    }

    /// All devices, in no particular order.
    pub(super) fn devices(&self) -> impl Iterator<Item = Device> {
        let devices = self.table.iter();
        devices.filter_map(|(device, _)| Device::from_number(device))
    }

    /// All rules: the device, the number, and what they say; in no particular
    /// order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Device, u32)> {
        self.table.iter().flat_map(|(device, class)| {
            let (first, members) = self.classes.find(class);
            let device = Device::from_number(device);
            let numbers = (first..).zip(members).map(|(number, _)| number);
            numbers.filter_map(move |number| Some((device?, number)))
        })
    }
}

/// How many different things may be said of devices, each counted once for each
/// class that says it: above, numbers of rules are those of changes.
pub(super) const MEMBERS_MAX: usize = OF_CHANGE as usize;

//----------- Storing ---------------------------------------------------------

/// What is said of each class.
const MEMBERS: &str = "devices.members";
/// Where each class ends in it.
const ENDS: &str = "devices.ends";
/// The sections of what may be too large for memory while a register is built:
/// dense and hashed lines, those of the rest, and the line of the list for each
/// place.
pub(crate) const ARRAYS: [&str; 4] = [DENSE, HASHED, REST, LINES];
/// Those of the map itself.
pub(super) const ARRAYS_OF_LINES: [&str; 3] = [DENSE, HASHED, REST];

/// The line of each place.
pub(super) const LINES: &str = "devices.lines";
/// The lines of devices of which several things are said.
const MORE_LINES: &str = "devices.more_lines";

impl DeviceRules {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The sections of them.
    /// `None` if the lines cannot be read.
    pub(super) fn store<'a>(&'a self, sections: &mut Vec<Section<'a>>) -> Option<()> {
        self.table.store(sections);
        let members = self.classes.members.iter();
        let members: Vec<[u32; 2]> = members.map(|rule| [rule.terms, rule.source]).collect();
        let lines = match &self.lines {
            Some(lines) => lines.octets()?,
            None => Cow::default(),
        };
        sections.extend([
            Section::new(MEMBERS, octets(&members)),
            Section::new(ENDS, octets(&self.classes.ends)),
            Section::new(LINES, lines),
            Section::new(MORE_LINES, octets(&self.more_lines)),
        ]);
        Some(())
    }

    /// The rules of stored sections, which refer to so many terms and sources.
    pub(super) fn restore(parts: &mut Parts, terms: usize, sources: usize) -> Result<Self, Flaw> {
        let table = Devices::restore(parts)?;
        let numbers = |parts: &mut Parts, name| {
            let section = parts.take(name)?;
            let numbers = section.records::<u32>();
            Ok::<_, Flaw>(numbers.map_err(|damage| damage.of(name))?.to_vec())
        };
        let members = parts.take(MEMBERS)?;
        let members = members.records::<[u32; 2]>();
        let members = members.map_err(|damage| damage.of(MEMBERS))?;
        let are_there =
            |&[own, source]: &[u32; 2]| (own as usize) < terms && (source as usize) < sources;
        if !members.iter().all(are_there) {
            return Err(Damage("refers to something that is not in the file").of(MEMBERS));
        }
        if members.len() > MEMBERS_MAX {
            return Err(Damage("has more entries than can be numbered").of(MEMBERS));
        }
        let ends = numbers(parts, ENDS)?;
        if !ends.is_sorted() || ends.last().map_or(0, |&end| end as usize) != members.len() {
            return Err(Damage("does not divide section `devices.members`").of(ENDS));
        }
        // Where lines are not known there are none.
        let lines = Some(parts.column(LINES)?).filter(|lines| lines.len() > 0);
        if (lines.as_ref()).is_some_and(|lines| lines.len() != table.places()) {
            return Err(Damage("has another length than there are places").of(LINES));
        }
        let single = (1..).zip(&ends).take_while(|&(count, &end)| end == count);
        let members = members.iter();
        let members = members.map(|&[terms, source]| DeviceRule { terms, source });
        Ok(Self {
            table,
            classes: Classes {
                members: members.collect(),
                single: single.count() as u32,
                ends,
            },
            lines,
            more_lines: numbers(parts, MORE_LINES)?,
        })
    }
}

//----------- Building --------------------------------------------------------

impl DeviceRules {
    /// The rules of a table whose large arrays are not there yet.
    pub(super) fn new(table: Devices, classes: Classes, more_lines: Vec<u32>) -> Self {
        Self {
            table,
            classes,
            lines: None,
            more_lines,
        }
    }

    /// Puts the arrays in, and the line of each place if lines are known.
    pub(super) fn fill(
        &mut self,
        dense: Lines,
        hashed: Lines,
        rest: Option<Lines>,
        lines: Option<Octets>,
    ) {
        self.table.fill(dense, hashed);
        if let Some(rest) = rest {
            self.table.fill_rest(rest);
        }
        self.lines = lines.and_then(Column::here);
    }
}
