//! The map as it is stored: its arrays as they are in memory, and what scatters
//! keys over them.
//!
//! Whatever the parts say, a map of them neither panics nor searches without
//! end; that it gives the right answers is what the checksums of the file are
//! for.

use bytemuck::{Pod, Zeroable};

use super::directory::Directory;
use super::entry::{Dense, Extent};
use super::exact::{Exact, ExactParts};
use super::line::Line;
use super::mix::Mix;
use super::pages::Lines;
use super::quotient::Table;
use super::table::{CHUNK_LINES, Chunk, Devices, MIXES, Rest, SERIALS};
use crate::equipment::Tac;
use crate::equipment::stored::{Damage, Flaw, Parts, Section, octets};

/// What there is to know besides the arrays.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Head {
    /// How many devices there are.
    len: u64,
    /// The bits of a slot in the table of the rest: 0 if there is none, 64 of
    /// words with whole keys.
    slot_bits: u64,
    /// Where searches in the directory begin.
    homes: u64,
    /// Homes and devices of the exact table.
    exact: [u64; 2],
    /// The same of the rest, if it is one.
    rest: [u64; 2],
    /// The factors of the bijections: of the directory, the exact table, the
    /// rest, and for the serial numbers of hashed TACs.
    factors: [[u64; 2]; 3 + MIXES],
}

/// A device whose class stands beside an exact table.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Large {
    /// The device.
    key: u64,
    /// Its class.
    class: u64,
}

/// See [`Head`].
const HEAD: &str = "devices";
/// The directory of TACs.
const TACS: &str = "devices.tacs";
/// Where the lines of dense TACs are.
const CHUNKS: &str = "devices.chunks";
/// The lines of dense TACs.
pub(in crate::equipment) const DENSE: &str = "devices.dense";
/// The lines of hashed TACs.
pub(in crate::equipment) const HASHED: &str = "devices.hashed";
/// The lines of the rest.
pub(in crate::equipment) const REST: &str = "devices.rest";
/// See [`Large`]; of the rest.
const REST_LARGE: &str = "devices.rest_large";
/// The lines of the exact table.
const EXACT: &str = "devices.exact";
/// See [`Large`]; of the exact table.
const EXACT_LARGE: &str = "devices.exact_large";

impl Devices {
    /// The sections of the map.
    pub(in crate::equipment) fn store<'a>(&'a self, sections: &mut Vec<Section<'a>>) {
        let mut rest_counts = [0; 2];
        let mut rest_large = Vec::new();
        let (slot_bits, (rest, rest_mix)) = match &self.rest {
            Rest::Empty => (0, (&[][..], Mix::default())),
            Rest::Slots24(table) => (24, table.parts()),
            Rest::Slots28(table) => (28, table.parts()),
            Rest::Slots32(table) => (32, table.parts()),
            Rest::Words(words) => {
                let parts = words.parts();
                rest_counts = [parts.homes, parts.len as u64];
                rest_large = large(&parts);
                (64, (parts.lines, parts.mix))
            }
        };
        let exact = self.exact.parts();
        let (directory, homes, directory_mix) = self.directory.parts();
        let mut factors = [[0; 2]; 3 + MIXES];
        let [of_directory, of_exact, of_rest, of_serials @ ..] = &mut factors;
        *of_directory = directory_mix.factors();
        *of_exact = exact.mix.factors();
        *of_rest = rest_mix.factors();
        for (factors, mix) in of_serials.iter_mut().zip(self.mixes) {
            *factors = mix.factors();
        }
        let head = Head {
            len: self.len as u64,
            slot_bits,
            homes,
            exact: [exact.homes, exact.len as u64],
            rest: rest_counts,
            factors,
        };
        let lines = |lines: &'a [Line]| bytemuck::cast_slice::<Line, u8>(lines);
        sections.extend([
            Section::new(HEAD, octets(&[head])),
            Section::new(TACS, lines(directory)),
            Section::new(CHUNKS, bytemuck::cast_slice::<Chunk, u8>(&self.chunks)),
            Section::new(DENSE, lines(&self.dense)),
            Section::new(HASHED, lines(&self.hashed)),
            Section::new(REST, lines(rest)),
            Section::new(REST_LARGE, octets(&rest_large)),
            Section::new(EXACT, lines(exact.lines)),
            Section::new(EXACT_LARGE, octets(&large(&exact))),
        ]);
    }

    /// The map of stored sections.
    pub(in crate::equipment) fn restore(parts: &mut Parts) -> Result<Self, Flaw> {
        let head = parts.take(HEAD)?;
        let &[head] = head.records::<Head>().map_err(|damage| damage.of(HEAD))? else {
            return Err(Damage("is not one entry").of(HEAD));
        };
        let [of_directory, of_exact, of_rest, of_serials @ ..] = head.factors;
        let directory = lines(parts, TACS)?;
        let directory =
            Directory::from_parts(directory, head.homes, Mix::from_factors(of_directory))
                .ok_or_else(|| TOO_LARGE.of(HEAD))?;
        let chunks = parts.take(CHUNKS)?;
        let chunks = chunks.records::<Chunk>();
        let chunks = chunks.map_err(|damage| damage.of(CHUNKS))?.to_vec();
        let dense = lines(parts, DENSE)?;
        let hashed = lines(parts, HASHED)?;
        check(&directory, [chunks.len(), dense.len(), hashed.len()])
            .map_err(|damage| damage.of(TACS))?;
        let rest_mix = Mix::from_factors(of_rest);
        let rest_large = restore_large(parts, REST_LARGE)?;
        let rest = lines(parts, REST)?;
        let rest = match (head.slot_bits, rest.len()) {
            (0, 0) => Rest::Empty,
            (24, 1..) => Rest::Slots24(Table::from_parts(rest, rest_mix)),
            (28, 1..) => Rest::Slots28(Table::from_parts(rest, rest_mix)),
            (32, 1..) => Rest::Slots32(Table::from_parts(rest, rest_mix)),
            (64, _) => {
                let counts = counts(head.rest)?;
                Rest::Words(Exact::from_parts(
                    rest,
                    counts,
                    rest_large.into_iter(),
                    rest_mix,
                ))
            }
            _ => return Err(Damage("has slots of a width that is not known").of(HEAD)),
        };
        let exact_large = restore_large(parts, EXACT_LARGE)?.into_iter();
        let exact_mix = Mix::from_factors(of_exact);
        let exact = lines(parts, EXACT)?;
        Ok(Self {
            directory,
            chunks: chunks.into_boxed_slice(),
            dense,
            hashed,
            mixes: of_serials.map(Mix::from_factors),
            rest,
            exact: Exact::from_parts(exact, counts(head.exact)?, exact_large, exact_mix),
            len: usize::try_from(head.len).map_err(|_| TOO_LARGE.of(HEAD))?,
        })
    }
}

/// What is wrong with a number that is out of bounds.
const TOO_LARGE: Damage = Damage("has a number that is too large");

/// Homes and devices of an exact table.
fn counts([homes, len]: [u64; 2]) -> Result<(u64, usize), Flaw> {
    let len = usize::try_from(len).map_err(|_| TOO_LARGE.of(HEAD))?;
    Ok((homes, len))
}

/// The classes that stand beside an exact table.
fn large(parts: &ExactParts<'_>) -> Vec<Large> {
    let large = parts.large.iter().map(|&(key, class)| Large {
        key,
        class: class.into(),
    });
    large.collect()
}

/// The same from their section.
fn restore_large(parts: &mut Parts, name: &'static str) -> Result<Vec<(u64, u32)>, Flaw> {
    let section = parts.take(name)?;
    let large = section
        .records::<Large>()
        .map_err(|damage| damage.of(name))?;
    let large = large.iter().map(|&Large { key, class }| {
        let class = u32::try_from(class).map_err(|_| TOO_LARGE.of(name))?;
        Ok((key, class))
    });
    large.collect()
}

/// The lines of a section, not copied.
fn lines(parts: &mut Parts, name: &'static str) -> Result<Lines, Flaw> {
    let section = parts.take(name)?;
    section.into_lines().map_err(|damage| damage.of(name))
}

/// Checks that the entries of the directory are of TACs, and of parts that
/// there are.
fn check(directory: &Directory, [chunks, dense, hashed]: [usize; 3]) -> Result<(), Damage> {
    let lies_within = |base: u64, count: u32, all: usize| base + u64::from(count) <= all as u64;
    // How many lines with cells, or chunks of them, a TAC has at most.
    let has = |own: Dense, cells: u64| {
        u64::from(own.first) + u64::from(own.count) <= SERIALS.div_ceil(cells)
    };
    for entry in directory.decoded() {
        let Some(entry) = entry else {
            return Err(Damage("has an entry of no known kind"));
        };
        if Tac::from_number(entry.tac).is_none() {
            return Err(Damage("has a TAC that is none"));
        }
        let base = u64::from(entry.base);
        let is_there = match entry.extent() {
            Extent::Hashed(lines, mix) => {
                u64::from(lines) <= SERIALS
                    && lies_within(base, lines, hashed)
                    && (mix as usize) < MIXES
            }
            Extent::Solid(own) => {
                has(own, own.cells.count().into()) && lies_within(base, own.count, dense)
            }
            Extent::Chunked(own) => {
                has(own, u64::from(own.cells.count()) * CHUNK_LINES)
                    && lies_within(base, own.count, chunks)
            }
        };
        if !is_there {
            return Err(Damage("points beyond the end of another section"));
        }
    }
    Ok(())
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::super::DevicesBuilder;
    use super::*;

    /// Whatever octet of the directory is another one, the map is refused, or
    /// it is searched to an end and read back within its TACs.
    #[test]
    fn a_damaged_directory_is_refused_or_harmless() {
        let mut builder = DevicesBuilder::new(5);
        for serial in 0..3000 {
            builder.push(7 * SERIALS + serial, 1);
        }
        for serial in (0..SERIALS).step_by(400) {
            builder.push(8 * SERIALS + serial, 2);
        }
        for serial in (0..300_000).filter(|serial| serial / 9000 % 2 == 0) {
            builder.push(9 * SERIALS + serial, 1);
        }
        let devices = builder.finish();
        let mut sections = Vec::new();
        devices.store(&mut sections);
        let place = sections.iter().position(|own| own.name == TACS).unwrap();
        let octets = sections[place].octets.to_vec();
        let fate = |octets: Vec<u8>| {
            let mut sections = sections.clone();
            sections[place] = Section::new(TACS, octets);
            Devices::restore(&mut Parts::of(&sections))
        };
        let again = fate(octets.clone()).unwrap();
        assert!(again.iter().eq(devices.iter()));
        let mut refused = 0;
        for at in 0..octets.len() {
            for flip in [1, 0x10, 0x80, 0xff] {
                let mut octets = octets.clone();
                octets[at] ^= flip;
                let Ok(map) = fate(octets) else {
                    refused += 1;
                    continue;
                };
                for serial in (0..SERIALS).step_by(50_000) {
                    (6..10).for_each(|tac| assert!(map.find(tac * SERIALS + serial) < Some(3)));
                }
                assert!(map.iter().all(|(device, _)| device < 100_000_000 * SERIALS));
            }
        }
        assert!(refused > 20, "{refused}");
    }
}
