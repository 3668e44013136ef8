//! What holds for any bytes: nothing panics, nothing loops, each well-framed
//! request gets exactly one sound answer, and what is composed can be parsed.

mod support;

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use ::bytes::BytesMut;
use support::bench::{ADDRESS, BLACK, UNKNOWN, WHITE, settings};
use support::bytes::{MME, Request, S13, avp, base, number, raw_avp};
use support::vectors::{self, octets};
use support::{Bench, Read, ReadAvp, assert_answer_obeys_rules};
use weir::base::Node;
use weir::base::node::is_identity;
use weir::base::peer::State;
use weir::connection::{Callee, Connection, Decision, Refusal};
use weir::wire::{
    ApplicationId, AvpDefinition, Avps, CommandCode, CommandFlags, Composer, Deframed, Header,
    Message, deframe, dictionary,
};

//----------- Strategies ------------------------------------------------------

/// The client's messages of the worked example, and some that are at fault.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [
        vectors::CER,
        vectors::DWR,
        vectors::ECR,
        vectors::ECR_PROXIED,
        vectors::ECR_INCOMPLETE,
        vectors::ULR,
        vectors::DPR,
        vectors::DWA,
        vectors::ECA_UNKNOWN,
    ]
    .map(octets)
    .into();
    seeds.extend([
        Request::ecr(WHITE).bytes(),
        Request::ecr(BLACK)
            .with(avp(9999, 0x40, None, b"x"))
            .bytes(),
        Request::ecr(UNKNOWN)
            .with(raw_avp(258, 0x40, None, 3, b""))
            .bytes(),
    ]);
    seeds
}

/// One change to a message.
#[derive(Clone, Debug)]
enum Mutation {
    /// Another octet somewhere.
    Octet(Index, u8),
    /// One bit turned over.
    Bit(Index, u8),
    /// Octets removed.
    Cut(Index, usize),
    /// Octets put in.
    Insert(Index, Vec<u8>),
    /// A piece repeated.
    Repeat(Index, usize),
}

/// Any change. Small octets are likely, as most fields that matter hold such.
fn mutation() -> impl Strategy<Value = Mutation> {
    let octet = prop_oneof![any::<u8>(), 0..16_u8, select(vec![0x40, 0x80, 0xc0, 0xff])];
    let place = any::<Index>;
    prop_oneof![
        4 => (place(), octet).prop_map(|(at, octet)| Mutation::Octet(at, octet)),
        2 => (place(), 0..8_u8).prop_map(|(at, bit)| Mutation::Bit(at, bit)),
        1 => (place(), 1..40_usize).prop_map(|(at, len)| Mutation::Cut(at, len)),
        1 => (place(), vec(any::<u8>(), 1..24)).prop_map(|(at, with)| Mutation::Insert(at, with)),
        1 => (place(), 1..80_usize).prop_map(|(at, len)| Mutation::Repeat(at, len)),
    ]
}

/// `message` with the changes.
fn mutated(mut message: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        if message.is_empty() {
            break;
        }
        let size = message.len();
        match mutation {
            Mutation::Octet(at, octet) => message[at.index(size)] = *octet,
            Mutation::Bit(at, bit) => message[at.index(size)] ^= 1 << bit,
            Mutation::Cut(at, len) => {
                let at = at.index(size);
                message.drain(at..(at + len).min(size));
            }
            Mutation::Insert(at, with) => {
                let at = at.index(size);
                message.splice(at..at, with.iter().copied());
            }
            Mutation::Repeat(at, len) => {
                let at = at.index(size);
                let piece = message[at..(at + len).min(size)].to_vec();
                message.splice(at..at, piece);
            }
        }
    }
    message
}

/// `message` as one well-framed message: padded, Version and Message Length
/// put right.
fn framed(mut message: Vec<u8>) -> Vec<u8> {
    message.resize(message.len().max(20).next_multiple_of(4), 0);
    let length = u32::try_from(message.len()).expect("short");
    message[..4].copy_from_slice(&length.to_be_bytes());
    message[0] = 1;
    message
}

/// A message of the examples with up to `most` changes.
fn near_message(most: usize) -> impl Strategy<Value = Vec<u8>> {
    (select(seeds()), vec(mutation(), 0..=most)).prop_map(|(seed, changes)| mutated(seed, &changes))
}

/// A message whose AVPs have codes and flags that mean something, in any
/// combination, and any data.
fn plausible_message() -> impl Strategy<Value = Vec<u8>> {
    let codes: Vec<(u32, u32)> = dictionary::ALL
        .iter()
        .map(|known| (known.key.code.0, known.key.vendor.0))
        .chain([(9999, 0), (9999, 99), (0, 0)])
        .collect();
    let one = (select(codes), any::<u8>(), vec(any::<u8>(), 0..20)).prop_map(
        |((code, vendor), flags, data)| {
            let vendor = (flags & 0x80 != 0).then_some(vendor);
            avp(code, flags, vendor, &data)
        },
    );
    let command = select(vec![257, 280, 282, 324, 316, 0]);
    let application = select(vec![0, S13, S13 - 1]);
    (any::<u8>(), command, application, vec(one, 0..12)).prop_map(
        |(flags, command, application, avps)| {
            let mut request = Request::new(flags, command, application);
            request.avps = avps;
            request.bytes()
        },
    )
}

/// Feeds `bytes` in chunks as the `cuts` say; claims are granted or not.
fn feed_in_chunks(bench: &mut Bench, bytes: &[u8], cuts: &[usize], grant: bool) {
    let mut rest = bytes;
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let cut = cuts.next().map_or(rest.len(), |cut| (*cut).min(rest.len()));
        let (now, later) = rest.split_at(cut);
        rest = later;
        bench.feed(now);
        if bench.connection.claim().is_some() {
            bench.connection.resolve_claim(match grant {
                true => Decision::Granted,
                false => Decision::Refused(Refusal::AlreadyConnected),
            });
            bench.feed(&[]);
            assert!(bench.connection.claim().is_none(), "a claim claims again");
        }
    }
}

//----------- Properties ------------------------------------------------------

proptest! {
    // A counterexample becomes a case in another file; it is not stored here.
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Bytes of any kind, at any time of a connection's life: what is composed
    /// is sound, and what is left is a piece of a message.
    #[test]
    fn no_bytes_do_harm(
        parts in vec(prop_oneof![vec(any::<u8>(), 0..64), near_message(6)], 0..6),
        cuts in vec(1..200_usize, 1..6),
        open: bool,
        grant: bool,
    ) {
        let mut bench = if open { Bench::open() } else { Bench::accepted() };
        feed_in_chunks(&mut bench, &parts.concat(), &cuts, grant);
        for message in bench.taken() {
            prop_assert!(Read::strictly(&message).is_ok());
        }
        if bench.connection.ending().is_none() {
            let rest = deframe(&bench.input, 65_536);
            let waits = matches!(rest, Deframed::Incomplete { .. });
            prop_assert!(waits, "{rest:?}");
        }
    }

    /// A CEA of any content, to a CER of ours: it opens the connection or ends
    /// it, nothing is sent, and the peer's name is one that can be printed.
    #[test]
    fn no_cea_does_harm(mut cea in near_message(6), good: bool) {
        let mut bench = Bench::accepted();
        let callee = Callee { origin_host: MME.to_owned(), origin_realm: None };
        let node = Arc::new(Node::new(settings()));
        let now = bench.now.uptime;
        let out = &mut bench.out;
        bench.connection = Connection::initiate(node, &[ADDRESS], 1, now, callee, out);
        let cer = bench.taken().remove(0);
        if cea.len() >= 20 {
            cea[4..12].copy_from_slice(&[0, 0, 1, 1, 0, 0, 0, 0]);
            cea[12..20].copy_from_slice(&cer[12..20]);
        }
        if good {
            // A part of what a good one has, in front of anything else.
            let good = [number(268, 2001), base(264, MME), number(258, S13)].concat();
            cea.splice(20.min(cea.len())..20.min(cea.len()), good);
            let length = u32::try_from(cea.len()).unwrap().to_be_bytes();
            cea[1..4].copy_from_slice(&length[1..]);
        }
        bench.feed(&cea);
        prop_assert!(bench.out.is_empty());
        let opened = bench.connection.was_opened();
        let ended = bench.connection.ending().is_some();
        prop_assert!(opened != ended || !bench.input.is_empty());
        if let (true, Some(peer)) = (opened, bench.connection.peer()) {
            prop_assert!(is_identity(peer.origin_host.as_bytes()));
            prop_assert!(is_identity(peer.origin_realm.as_bytes()));
        }
    }

    /// The same bytes in chunks give the same answers as all at once.
    #[test]
    fn chunks_do_not_matter(
        parts in vec(near_message(3), 1..5),
        cuts in vec(1..100_usize, 1..6),
    ) {
        let bytes = parts.concat();
        let mut whole = Bench::open();
        feed_in_chunks(&mut whole, &bytes, &[bytes.len()], true);
        let mut pieces = Bench::open();
        feed_in_chunks(&mut pieces, &bytes, &cuts, true);
        prop_assert_eq!(&whole.out, &pieces.out);
        prop_assert_eq!(whole.connection.ending(), pieces.connection.ending());
        if whole.connection.ending().is_none() {
            prop_assert_eq!(&whole.input, &pieces.input);
        }
    }

    /// Every well-framed request on an open connection gets exactly one
    /// answer, which obeys the rules of all answers; no answer gets any.
    #[test]
    fn one_request_one_answer(
        messages in vec(prop_oneof![
            2 => near_message(5).prop_map(framed),
            2 => plausible_message(),
            1 => vec(any::<u8>(), 20..80).prop_map(framed),
        ], 1..8),
    ) {
        let mut bench = Bench::open();
        for message in messages {
            if bench.connection.ending().is_some() {
                break;
            }
            bench.feed(&message);
            prop_assert!(bench.input.is_empty());
            let answers = bench.taken();
            if message[4] & 0x80 == 0 {
                prop_assert!(answers.is_empty());
            } else {
                prop_assert_eq!(answers.len(), 1);
                assert_answer_obeys_rules(&message, &answers[0]);
            }
            // Only a CER ends an open connection from within a message.
            if bench.connection.ending().is_some() {
                prop_assert_eq!(&message[5..12], [0, 1, 1, 0, 0, 0, 0]);
            } else {
                let state = bench.connection.state();
                prop_assert!(matches!(state, State::Open | State::DpaSent));
            }
        }
    }

    /// Weir's walk finds the AVPs that the strict parser finds, and breaks
    /// where it cannot be continued.
    #[test]
    fn both_parsers_agree(message in prop_oneof![
        near_message(4).prop_map(framed),
        plausible_message(),
    ]) {
        let Deframed::Message(view) = deframe(&message, 65_536) else {
            return Err(TestCaseError::fail("a framed message"));
        };
        let own: Vec<_> = view.avps().collect();
        let (sound, broken) = ReadAvp::walk(&message[20..]);
        let walked: Vec<_> = own.iter().flatten().collect();
        prop_assert_eq!(own.len() - walked.len(), usize::from(broken));
        prop_assert_eq!(walked.len(), sound.len());
        for (own, other) in walked.iter().zip(&sound) {
            prop_assert_eq!(own.key().code.0, other.code);
            prop_assert_eq!(own.key().vendor.0, other.vendor.unwrap_or(0));
            prop_assert_eq!(own.flags().0, other.flags);
            prop_assert_eq!(own.data(), &other.data[..]);
            prop_assert_eq!(own.raw(), &other.raw[..]);
        }
    }

    /// What the composer writes, both parsers read back.
    #[test]
    fn composed_then_parsed_is_the_same(
        header in any::<(u8, u32, u32, u32, u32)>(),
        avps in vec((select(dictionary::ALL), vec(any::<u8>(), 0..40)), 0..20),
        depth in 0..9_usize,
        before in vec(any::<u8>(), 0..10),
    ) {
        let (flags, command, application, hop_by_hop, end_to_end) = header;
        let header = Header {
            length: 0,
            flags: CommandFlags(flags),
            command: CommandCode(command & 0x00ff_ffff),
            application: ApplicationId(application),
            hop_by_hop,
            end_to_end,
        };
        let mut out = BytesMut::from(&before[..]);
        let mut composer = Composer::begin(&mut out, &header);
        nest(&mut composer, depth, &avps);
        composer.finish();
        prop_assert_eq!(&out[..before.len()], &before[..]);
        let bytes = &out[before.len()..];

        let read = Read::strictly(bytes).map_err(TestCaseError::fail)?;
        prop_assert_eq!(read.flags, flags);
        prop_assert_eq!(read.command, command & 0x00ff_ffff);
        prop_assert_eq!(read.application, application);
        prop_assert_eq!((read.hop_by_hop, read.end_to_end), (hop_by_hop, end_to_end));
        let mut members = read.avps;
        for _ in 0..depth {
            prop_assert_eq!(members.len(), 1);
            members = members[0].members();
        }
        prop_assert_eq!(members.len(), avps.len());
        for (member, (definition, data)) in members.iter().zip(&avps) {
            prop_assert_eq!(member.code, definition.key.code.0);
            prop_assert_eq!(member.vendor.unwrap_or(0), definition.key.vendor.0);
            prop_assert_eq!(&member.data, data);
        }

        let Deframed::Message(view) = deframe(bytes, 65_536) else {
            return Err(TestCaseError::fail("a message"));
        };
        prop_assert_eq!(view.header(), Header { length: view.header().length, ..header });
        prop_assert_eq!(recomposed(&view), bytes);
    }
}

/// Composes `avps` within `depth` groups.
fn nest(out: &mut Composer<'_>, depth: usize, avps: &[(AvpDefinition, Vec<u8>)]) {
    match depth.checked_sub(1) {
        Some(depth) => out.group(&dictionary::FAILED_AVP, |out| nest(out, depth, avps)),
        None => avps.iter().for_each(|(avp, data)| out.octets(avp, data)),
    }
}

/// A copy of a message, AVP by AVP.
fn recomposed(message: &Message<'_>) -> Vec<u8> {
    let mut out = BytesMut::new();
    let mut composer = Composer::begin(&mut out, &message.header());
    let avps: Avps<'_> = message.avps();
    avps.map_while(Result::ok)
        .for_each(|avp| composer.copy(&avp));
    composer.finish();
    out.to_vec()
}
