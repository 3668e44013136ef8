//! Journals as octets: read back, cut off, and damaged.

use proptest::prelude::*;
use weir::changes::{Composer, Header, Live, Replay, Step, replay};
use weir::time::UnixTime;

use crate::steps::{black, in_force, steps};

/// A journal of these records, and where each of them ends.
fn journal(records: &[Vec<Step>]) -> (Vec<u8>, Vec<usize>) {
    let header = Header {
        file: 0x0123_4567_89ab_cdef,
        last: 0,
        created: UnixTime(1),
        fold: None,
    };
    let mut octets = Vec::new();
    let mut composer = Composer::begin(&header, &mut octets);
    let mut ends = vec![octets.len()];
    for steps in records {
        assert!(composer.record(steps, &mut octets));
        ends.push(octets.len());
    }
    (octets, ends)
}

/// All steps of a journal.
fn read(octets: &[u8]) -> Result<(Vec<Step>, Replay), String> {
    let mut steps = Vec::new();
    let replayed = replay(octets, |step| steps.push(step));
    replayed
        .map(|replayed| (steps, replayed))
        .map_err(|damage| damage.to_string())
}

/// Some records, of different lengths.
fn records() -> Vec<Vec<Step>> {
    let mut number = 0;
    let mut next = || {
        number += 1;
        black(number, number * 7)
    };
    [1, 2, 1, 12]
        .map(|count| (0..count).map(|_| next()).collect())
        .to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// What was written is read, and comes to what a scan of it comes to. With
    /// its steps this is some hundred thousand operations.
    #[test]
    fn what_was_written_is_read(steps in steps(0..400), at in prop::collection::vec(1..50usize, 1..20)) {
        let mut records = Vec::new();
        let mut rest = &steps[..];
        for length in at.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (record, more) = rest.split_at((*length).min(rest.len()));
            records.push(record.to_vec());
            rest = more;
        }
        prop_assert!(steps.iter().all(Step::is_storable));
        let (octets, _) = journal(&records);
        let (found, replayed) = read(&octets).unwrap();
        prop_assert_eq!(&found, &steps);
        prop_assert_eq!((replayed.length, replayed.torn), (octets.len(), 0));
        prop_assert_eq!(replayed.records, records.len() as u64);
        let mut live = Live::default();
        for (place, step) in steps.iter().enumerate() {
            live.take(step);
            if place % 97 == 0 {
                prop_assert!(live.in_order().eq(&in_force(&steps[..=place])));
            }
        }
        let expected = in_force(&steps);
        prop_assert_eq!(live.len(), expected.len());
        prop_assert_eq!(live.last(), steps.len() as u64);
        for change in &expected {
            prop_assert_eq!(live.find(&change.subject), Some(change));
        }
        prop_assert!(live.in_order().eq(&expected));
    }
}

/// Cut off at any octet, the whole records before it are read, and writing goes
/// on as if the rest had never been.
#[test]
fn a_journal_cut_anywhere_is_read_up_to_there() {
    let records = records();
    let (octets, ends) = journal(&records);
    for length in 0..octets.len() {
        let read = read(&octets[..length]);
        let Some(whole) = ends.iter().rposition(|&end| end <= length) else {
            // Its header is on the disk before it has its name.
            assert!(read.unwrap_err().starts_with("octet 0: "));
            continue;
        };
        let (steps, replayed) = read.unwrap();
        assert_eq!(steps, records[..whole].concat(), "{length}");
        assert_eq!(
            (replayed.length, replayed.torn),
            (ends[whole], length - ends[whole])
        );
        let mut mended = octets[..replayed.length].to_vec();
        let mut composer = replayed.composer;
        for record in &records[whole..] {
            assert!(composer.record(record, &mut mended));
        }
        assert_eq!(mended, octets);
    }
}

/// Every bit counts, also those of the last record.
#[test]
fn every_flipped_bit_is_found() {
    let (octets, ends) = journal(&records());
    for place in 0..octets.len() {
        for bit in 0..8 {
            let mut damaged = octets.clone();
            damaged[place] ^= 1 << bit;
            let why = read(&damaged).unwrap_err();
            let record = ends.iter().rposition(|&end| end <= place);
            let at = record.map_or(0, |record| ends[record]);
            assert!(
                why.starts_with(&format!("octet {at}: ")),
                "{place}.{bit}: {why}"
            );
        }
    }
}

/// What a loss of power leaves of one write: any of its sectors, the others
/// zero or not there at all.
#[test]
fn any_sectors_of_the_last_write_may_be_missing() {
    const SECTOR: usize = 512;
    let mut records = records();
    records.push((100..160).map(|number| black(number, number)).collect());
    let (octets, ends) = journal(&records);
    let begin = ends[ends.len() - 2];
    let expected = records[..records.len() - 1].concat();
    let first = begin / SECTOR;
    let sectors = octets.len().div_ceil(SECTOR) - first;
    assert!((4..14).contains(&sectors));
    for there in 0..(1u32 << sectors) - 1 {
        for length in [octets.len(), octets.len() + SECTOR] {
            let mut torn = octets.clone();
            torn.resize(length, 0);
            let written = torn.iter_mut().enumerate().take(octets.len());
            for (place, octet) in written.skip(begin) {
                if there & 1 << (place / SECTOR - first) == 0 {
                    *octet = 0;
                }
            }
            let (steps, replayed) = read(&torn).unwrap();
            assert_eq!(steps, expected);
            assert_eq!(replayed.length, begin);
        }
    }
    // Before the last write the same is damage.
    let mut damaged = octets;
    damaged[ends[2]..ends[3]].fill(0);
    assert!(
        read(&damaged)
            .unwrap_err()
            .starts_with(&format!("octet {}: ", ends[2]))
    );
}

/// Records of other journals, of other places, and twice.
#[test]
fn records_stay_where_they_were_written() {
    let (octets, ends) = journal(&records());
    let record = |number: usize| &octets[ends[number]..ends[number + 1]];
    for order in [&[1, 0][..], &[0, 0], &[0, 2], &[1]] {
        let mut other = octets[..ends[0]].to_vec();
        order
            .iter()
            .for_each(|&number| other.extend(record(number)));
        assert!(read(&other).unwrap_err().contains("not of this place"));
    }
    let mut header = Vec::new();
    let other = Header {
        file: 2,
        last: 0,
        created: UnixTime(1),
        fold: None,
    };
    let _ = Composer::begin(&other, &mut header);
    header.extend(record(0));
    assert!(read(&header).unwrap_err().contains("damaged"));
}
