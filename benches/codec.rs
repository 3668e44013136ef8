//! The codec alone: framing and reading an ECR, composing an ECA.

#![allow(missing_docs, reason = "criterion's macro makes an undocumented main")]

mod support;

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use support::{client, node, request, stranger};
use weir::s13::{EquipmentStatus, IdentityCheckRequest, answer};
use weir::wire::{Deframed, Message, deframe};

/// The one message in `bytes`.
fn message(bytes: &[u8]) -> Message<'_> {
    match deframe(bytes, 65_536) {
        Deframed::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

/// Each step of the codec.
fn codec(criterion: &mut Criterion) {
    let node = node();
    let mut bytes = BytesMut::new();
    request(
        &client("mme.epc.mnc001.mcc001.3gppnetwork.org"),
        1,
        stranger(1),
        &mut bytes,
    );
    let mut out = BytesMut::with_capacity(4096);

    // The answer before the time.
    let read = IdentityCheckRequest::read(&message(&bytes), &node).unwrap();
    assert_eq!(read.imei(), stranger(1).to_string().as_bytes());
    answer::compose(&mut out, &node, &read, Some(EquipmentStatus::BLACKLISTED));
    assert_eq!(&out[out.len() - 4..], [0, 0, 0, 1]);

    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(1));
    group.bench_function("deframe", |bench| {
        bench.iter(|| message(black_box(&bytes)).len());
    });
    group.bench_function("read ECR", |bench| {
        bench.iter(|| {
            let message = message(black_box(&bytes));
            IdentityCheckRequest::read(&message, &node)
                .unwrap()
                .imei()
                .len()
        });
    });
    group.bench_function("compose ECA", |bench| {
        bench.iter(|| {
            out.clear();
            answer::compose(
                &mut out,
                &node,
                black_box(&read),
                Some(EquipmentStatus::BLACKLISTED),
            );
            out.len()
        });
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
