//! The whole service without sockets: bytes of requests in, bytes of answers
//! out, over batches and register sizes. Requests are copied into a buffer
//! before they are handled, as the system's read does it. The baseline `copy`
//! moves the same bytes in and out and does nothing else.
//!
//! `WEIR_BENCH_DEVICES` names one more size of the register.

#![allow(missing_docs, reason = "criterion's macro makes an undocumented main")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use support::{client, node, requests, rulebook};
use weir::connection::Connection;
use weir::time::{Now, UnixTime, Uptime};
use weir::wire::compose::HostAddress;
use weir::wire::{Deframed, deframe};

/// Requests prepared, so that what they look up is not all in the cache.
const PREPARED: u32 = 128 * 1024;

/// The time of all requests.
const NOW: Now = Now {
    uptime: Uptime(Duration::from_secs(1)),
    unix: UnixTime(1_800_000_000),
};

/// Ends of the batches of `batch` requests in `bytes`.
fn batches(bytes: &[u8], batch: usize) -> Vec<(usize, usize)> {
    let mut ends = vec![0];
    let mut at = 0;
    let mut count = 0;
    while let Deframed::Message(message) = deframe(&bytes[at..], 65_536) {
        at += message.len();
        count += 1;
        if count % batch == 0 {
            ends.push(at);
        }
    }
    ends.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

/// Batches and registers of different sizes.
fn service(criterion: &mut Criterion) {
    let client = client("mme.epc.mnc001.mcc001.3gppnetwork.org");
    let mut group = criterion.benchmark_group("service");
    // A hundred million devices take minutes to build: only if asked for.
    let more = std::env::var("WEIR_BENCH_DEVICES").ok();
    let more = more.map(|devices| devices.parse().expect("a number of devices"));
    let sizes = [1_000u64, 10_000, 100_000, 1_000_000, 10_000_000];
    for devices in sizes.into_iter().chain(more) {
        let rulebook = rulebook(devices);
        let bytes = requests(&client, devices, PREPARED);
        for batch in [1usize, 8, 32] {
            let batches = batches(&bytes, batch);
            let mut out = BytesMut::with_capacity(256 * 1024);
            let mut connection = Connection::already_open(
                Arc::new(node()),
                &[HostAddress::V4([127, 0, 0, 1])],
                NOW.uptime,
            );

            // The answers before the time: 90 % blacklisted, 10 % unknown.
            let mut black = 0;
            for (from, to) in &batches {
                let taken =
                    connection.handle_input(NOW, &bytes[*from..*to], &rulebook, &mut out, &mut ());
                assert_eq!(taken, to - from);
                let mut rest = &out[..];
                while let Deframed::Message(answer) = deframe(rest, 65_536) {
                    black += u32::from(
                        answer.bytes().ends_with(&[0, 0, 0, 1])
                            && answer
                                .bytes()
                                .windows(8)
                                .any(|avp| avp == [0, 0, 5, 0xa5, 0xc0, 0, 0, 16]),
                    );
                    rest = &rest[answer.len()..];
                }
                assert!(rest.is_empty());
                out.clear();
            }
            let share = f64::from(black) / f64::from(PREPARED);
            assert!(
                (0.89..0.91).contains(&share),
                "{share} of the answers are blacklisted"
            );

            group.throughput(Throughput::Elements(batch as u64));
            let name = format!("batch of {batch}");
            let mut input = Vec::with_capacity(256 * 1024);
            let mut turn = 0;
            group.bench_function(BenchmarkId::new(&name, devices), |bench| {
                bench.iter(|| {
                    let (from, to) = batches[turn];
                    turn = (turn + 1) % batches.len();
                    // As the system's read does: what is handled is in the
                    // cache, and what comes next is not.
                    input.clear();
                    input.extend_from_slice(&bytes[from..to]);
                    out.clear();
                    connection.handle_input(NOW, &input, &rulebook, &mut out, &mut ())
                });
            });
            let mut turn = 0;
            group.bench_function(
                BenchmarkId::new(format!("copy of {batch}"), devices),
                |bench| {
                    bench.iter(|| {
                        let (from, to) = batches[turn];
                        turn = (turn + 1) % batches.len();
                        input.clear();
                        input.extend_from_slice(&bytes[from..to]);
                        out.clear();
                        out.extend_from_slice(&input);
                        out.len()
                    });
                },
            );
        }
    }
    group.finish();
}

criterion_group!(benches, service);
criterion_main!(benches);
