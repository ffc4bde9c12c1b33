//! A session and its store in memory: a batch of 50 requests from bytes to bytes, without sockets.
//!
//! `NUTHATCH_BENCH_LARGE=1` adds four million items, which are in no cache of the processor.
#![forbid(unsafe_code)]

#[allow(dead_code, reason = "each bench uses a part of it")]
mod kit;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use kit::client::Client;
use kit::script::{Kind, Script, Shape};
use kit::{VALUE, fill, keys};

const BATCH: usize = 50;

/// Requests of a script, after which it begins again.
const REQUESTS: usize = 400_000;

fn batches(c: &mut Criterion) {
    for (count, memory_mb) in kit::sizes() {
        let shared = kit::shared(kit::config(&["-m", &memory_mb.to_string()]));
        fill(&shared.store, &keys(count));
        let mut group = c.benchmark_group(format!("session, {count} items of 16+100"));
        group.throughput(Throughput::Elements(BATCH as u64));
        let kinds = [
            ("get x 50", Kind::Get),
            ("multiget of 50", Kind::MultiGet),
            ("mg x 50", Kind::MetaGet),
            ("binary get x 50", Kind::BinaryGet),
            ("miss x 50", Kind::Miss),
            ("set x 50", Kind::Set),
            ("ms x 50", Kind::MetaSet),
            ("binary set x 50", Kind::BinarySet),
        ];
        for (name, kind) in kinds {
            let shape = Shape { first: 0, keys: count, value_len: VALUE.len(), depth: BATCH };
            let script = Script::new(kind, &shape, REQUESTS.min(count));
            let sends: Vec<(&[u8], usize)> = script.sends().collect();
            let mut client = Client::new(&shared);
            let mut sends = sends.iter().cycle();
            group.bench_function(BenchmarkId::from_parameter(name), |b| {
                b.iter(|| {
                    let (bytes, answer_len) = sends.next().expect("it has no end");
                    assert_eq!(client.send(bytes), *answer_len);
                });
            });
        }
        group.finish();
    }
}

criterion_group! { name = benches; config = kit::criterion(); targets = batches }
criterion_main!(benches);
