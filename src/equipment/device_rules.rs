//! The rules for single devices, of which there may be a billion.
//!
//! Most devices of a register have the same said of them: the list, status and
//! dates ([`Terms`](super::Terms)), and the file and reason. All that is said
//! of a device is its *class*, kept once for all devices that share it, so that
//! a device itself costs a few bits in a [`Devices`] table. Only the line of
//! the file is its own.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use super::Device;
use super::devices::{Devices, DevicesBuilder};
use super::record::{NONE, Records};
use super::stored::{Column, Damage, Flaw, Octets, Parts, Section, octets};

//----------- DeviceRules -----------------------------------------------------

/// The rules for single devices, by device.
#[derive(Clone, Debug, Default)]
pub(super) struct DeviceRules {
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

/// Classes of devices.
#[derive(Clone, Debug, Default)]
struct Classes {
    /// What is said, class by class, in the order of loading.
    members: Vec<DeviceRule>,
    /// Where each class ends.
    ends: Vec<u32>,
    /// So many of the first classes say one thing each, as most do: of these
    /// class and member have the same place.
    single: u32,
}

/// What a rule says of the devices of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

impl Classes {
    /// What is said of a class, with the number of the first.
    #[inline(never)]
    fn find(&self, class: u32) -> (u32, &[DeviceRule]) {
        let end = |class: u32| self.ends.get(class as usize).copied();
        // Classes are counted from 1.
        let last = class.wrapping_sub(1);
        let from = last.checked_sub(1).and_then(end).unwrap_or(0);
        let to = end(last).unwrap_or(from);
        let members = self.members.get(from as usize..to as usize);
        (from, members.unwrap_or_default())
    }
}

//----------- Storing ---------------------------------------------------------

/// What is said of each class.
const MEMBERS: &str = "devices.members";
/// Where each class ends in it.
const ENDS: &str = "devices.ends";
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

/// What the bijections of the table begin with: any number will do, and the
/// same one makes the same table of the same devices.
const SEED: u64 = 0x5713_a1e1;

impl DeviceRules {
    /// The rules of chains of records, each with its device.
    pub(super) fn build(records: &Records, heads: impl Iterator<Item = (u64, u32)>) -> Self {
        let mut heads: Vec<(u64, u32)> = heads.collect();
        heads.sort_unstable();
        let mut said = Vec::new();
        let mut known = Known::default();
        let mut classes: Vec<u32> = Vec::with_capacity(heads.len());
        for &(_, head) in &heads {
            classes.push(match single(records, head) {
                Some((rule, _)) => known.number_of_one(rule),
                None => {
                    collect(records, head, &mut said, |_| {});
                    known.number_of_several(&said)
                }
            });
        }
        let (order, ranked) = known.rank();
        let mut builder = DevicesBuilder::new(SEED);
        builder.expect(heads.len());
        for (&(device, _), &class) in heads.iter().zip(&classes) {
            let rank = order.get(class as usize).copied().unwrap_or_default();
            // Classes are counted from 1.
            builder.push(device, rank.saturating_add(1));
        }
        drop(classes);
        let table = builder.finish();
        let mut column = Octets::zeroed(table.places() * size_of::<u32>());
        let lines: &mut [u32] = bytemuck::cast_slice_mut(column.as_mut_slice());
        let mut more_lines = Vec::new();
        let mut own = Vec::new();
        for &(device, head) in &heads {
            let line = match single(records, head) {
                Some((_, line)) => line,
                None => {
                    own.clear();
                    collect(records, head, &mut said, |line| own.push(line));
                    own.reverse();
                    // Rules are counted by 32 bits, and these are their lines.
                    let place = u32::try_from(more_lines.len()).unwrap_or(NONE);
                    more_lines.extend_from_slice(&own);
                    place
                }
            };
            if let Some(place) = table.place(device).and_then(|place| lines.get_mut(place)) {
                *place = line;
            }
        }
        more_lines.shrink_to_fit();
        Self {
            table,
            classes: ranked,
            lines: Column::here(column),
            more_lines,
        }
    }
}

impl DeviceRules {
    /// The rules of a table that was made elsewhere; of its classes is said what
    /// these records say, one each.
    pub(super) fn of_table(table: Devices, said: &Records) -> Self {
        let records = (0..said.len()).filter_map(|number| said.find(u32::try_from(number).ok()?));
        let members: Vec<DeviceRule> = records
            .map(|record| DeviceRule {
                terms: record.terms,
                source: record.source,
            })
            .collect();
        let ends: Vec<u32> = (1..).zip(&members).map(|(end, _)| end).collect();
        Self {
            table,
            classes: Classes {
                single: ends.last().copied().unwrap_or_default(),
                members,
                ends,
            },
            lines: None,
            more_lines: Vec::new(),
        }
    }
}

/// What the one record of a chain says, and its line; `None` if there are more.
#[inline]
fn single(records: &Records, head: u32) -> Option<(DeviceRule, u32)> {
    let record = records.find(head).filter(|record| record.next == NONE)?;
    let rule = DeviceRule {
        terms: record.terms,
        source: record.source,
    };
    Some((rule, record.line))
}

/// What the records of a chain say, in the order of loading; their lines come
/// in the opposite one.
fn collect(records: &Records, head: u32, said: &mut Vec<DeviceRule>, mut line: impl FnMut(u32)) {
    said.clear();
    for (_, record) in records.chain(head) {
        said.push(DeviceRule {
            terms: record.terms,
            source: record.source,
        });
        line(record.line);
    }
    // The last that was added is the first of the chain.
    said.reverse();
}

/// The classes that there are so far.
#[derive(Debug, Default)]
struct Known {
    /// Classes of which one thing is said.
    single: FxHashMap<DeviceRule, u32>,
    /// Classes of which several are.
    several: FxHashMap<Box<[DeviceRule]>, u32>,
    /// How many devices each class has.
    counts: Vec<u64>,
    /// The last one asked for: lists repeat themselves, device by device.
    last: Option<(DeviceRule, u32)>,
}

impl Known {
    /// The number of a class of which one thing is said; it is counted.
    #[inline]
    fn number_of_one(&mut self, rule: DeviceRule) -> u32 {
        let number = match self.last {
            Some((last, number)) if last == rule => number,
            _ => {
                let next = self.counts.len() as u32;
                let number = *self.single.entry(rule).or_insert(next);
                self.last = Some((rule, number));
                number
            }
        };
        self.count(number)
    }

    /// The number of a class of which several things are said; it is counted.
    fn number_of_several(&mut self, said: &[DeviceRule]) -> u32 {
        let number = match self.several.get(said) {
            Some(&number) => number,
            None => {
                let next = self.counts.len() as u32;
                self.several.insert(said.into(), next);
                next
            }
        };
        self.count(number)
    }

    /// Counts a device of a class, which may be the next new one.
    #[inline]
    fn count(&mut self, number: u32) -> u32 {
        match self.counts.get_mut(number as usize) {
            Some(count) => *count += 1,
            None => self.counts.push(1),
        }
        number
    }

    /// The rank of each class, the most common first, and the classes in that
    /// order.
    fn rank(self) -> (Vec<u32>, Classes) {
        let mut said: Vec<(u32, &[DeviceRule])> = Vec::with_capacity(self.counts.len());
        let single = self.single.iter();
        said.extend(single.map(|(rule, &number)| (number, core::slice::from_ref(rule))));
        let several = self.several.iter();
        said.extend(several.map(|(rules, &number)| (number, &**rules)));
        let count = |number: u32| self.counts.get(number as usize).copied();
        said.sort_unstable_by_key(|&(number, _)| (core::cmp::Reverse(count(number)), number));
        let mut order = vec![0; self.counts.len()];
        let mut classes = Classes::default();
        for (rank, (number, rules)) in (0..).zip(said) {
            if let Some(place) = order.get_mut(number as usize) {
                *place = rank;
            }
            if rules.len() == 1 && classes.single == rank {
                classes.single += 1;
            }
            classes.members.extend_from_slice(rules);
            classes.ends.push(classes.members.len() as u32);
        }
        (order, classes)
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::super::Scope;
    use super::*;

    /// The records themselves are the oracle.
    #[test]
    fn every_rule_comes_back_with_its_line() {
        let mut records = Records::default();
        let mut heads: FxHashMap<u64, u32> = FxHashMap::default();
        let mut expected: Vec<(u64, u32, u32, u32)> = Vec::new();
        let mut word = 1u64;
        for line in 1..5000 {
            word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let device = 49_015_420_000_000 + (word >> 40) % 3000;
            let (terms, source) = ((word >> 33) as u32 % 3, (word >> 20) as u32 % 2);
            let scope = Scope::Device(Device::from_number(device).unwrap());
            let number = records.push(scope, terms, source, line).unwrap();
            if let Some(next) = heads.insert(device, number) {
                records.link(number, next);
            }
            expected.push((device, terms, source, line));
        }
        let rules = DeviceRules::build(&records, heads.iter().map(|(&key, &head)| (key, head)));
        let mut found = Vec::new();
        for (device, number) in rules.iter() {
            let (rule, line) = rules.find(device, number).unwrap();
            found.push((device.number(), rule.terms, rule.source, line.unwrap()));
        }
        found.sort_unstable_by_key(|rule| rule.3);
        assert_eq!(found, expected);
        for device in 49_015_420_000_000..49_015_420_003_100 {
            let mut visited = Vec::new();
            rules.visit(Device::from_number(device).unwrap(), |_, terms| {
                visited.push(terms)
            });
            let own = expected.iter().filter(|rule| rule.0 == device);
            assert_eq!(visited, own.map(|rule| rule.1).collect::<Vec<_>>());
        }
    }
}
