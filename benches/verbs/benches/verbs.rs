//! Single verbs: a message in and out again in one thread, copied and in place, one by one and in batches, and the verbs
//! that find nothing to do. Every message that comes out is checked.

use std::hint::black_box;
use std::io::{Read, Write};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use slipring::adapters::{pipe, posix_mq};
use slipring::spsc::{Consumer, Producer};
use slipring::{Options, RecvError, Ring, SendError, mpmc};
use slipring_verbs::{check, write};

/// Bytes of a message.
const SIZES: [usize; 4] = [8, 56, 1024, 65536];
/// Messages of a batch.
const BATCH: usize = 16;

fn spsc_ends() -> (Producer, Consumer) {
    let ring = Ring::anonymous(&Options::new().capacity(1 << 20)).expect("a ring can be made");
    (ring.producer().expect("it has no producer yet"), ring.consumer().expect("it has no consumer yet"))
}

fn mpmc_ends(size: usize) -> (mpmc::Sender, mpmc::Receiver) {
    let ring = Ring::anonymous(&Options::mpmc(64, size)).expect("a ring can be made");
    (ring.sender().expect("there is room for a sender"), ring.receiver().expect("and for a receiver"))
}

fn per_message(group: &mut BenchmarkGroup<'_, WallTime>, size: usize) {
    group.throughput(Throughput::Bytes(size as u64));
}

fn spsc(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spsc");
    for size in SIZES {
        per_message(&mut group, size);
        group.bench_function(BenchmarkId::new("try_send, try_recv", size), |bench| {
            let (mut producer, mut consumer) = spsc_ends();
            let (mut message, mut room, mut seq) = (vec![0; size], vec![0; size], 0);
            bench.iter(|| {
                write(&mut message, seq);
                producer.try_send(black_box(&message)).expect("there is room");
                let len = consumer.try_recv(&mut room).expect("there is a message");
                check(&room[..len], size, seq);
                seq += 1;
            });
        });
        group.bench_function(BenchmarkId::new("try_reserve, try_frame", size), |bench| {
            let (mut producer, mut consumer) = spsc_ends();
            let mut seq = 0;
            bench.iter(|| {
                let mut grant = producer.try_reserve(size).expect("there is room");
                write(&mut grant, seq);
                grant.commit_all();
                let frame = consumer.try_frame().expect("there is a message");
                check(&frame, size, seq);
                frame.release();
                seq += 1;
            });
        });
    }
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("batch of 16 x 8", |bench| {
        let (mut producer, mut consumer) = spsc_ends();
        let mut seq = 0;
        bench.iter(|| {
            let mut batch = producer.batch().expect("the ring is sound");
            for k in 0..BATCH as u64 {
                batch.push(&(seq + k).to_ne_bytes()).expect("there is room");
            }
            assert_eq!(batch.commit(), BATCH);
            let mut batch = consumer.try_batch(BATCH).expect("there are messages");
            let mut taken = 0;
            while let Some(message) = batch.next().expect("the ring is sound") {
                check(message, 8, seq + taken);
                taken += 1;
            }
            assert_eq!(taken, BATCH as u64);
            seq += taken;
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("try_recv, empty", |bench| {
        let (_producer, mut consumer) = spsc_ends();
        bench.iter(|| assert_eq!(consumer.try_recv(&mut [0; 8]), Err(RecvError::Empty)));
    });
    group.bench_function("try_send, full", |bench| {
        let (mut producer, _consumer) = spsc_ends();
        while producer.try_send(&[0; 1024]).is_ok() {}
        bench.iter(|| assert_eq!(producer.try_send(&[0; 1024]), Err(SendError::Full)));
    });
    group.finish();
}

fn mpmc_verbs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mpmc");
    for size in [8, 48, 1024] {
        per_message(&mut group, size);
        group.bench_function(BenchmarkId::new("try_send, try_recv", size), |bench| {
            let (mut sender, mut receiver) = mpmc_ends(size);
            let (mut message, mut room, mut seq) = (vec![0; size], vec![0; size], 0);
            bench.iter(|| {
                write(&mut message, seq);
                sender.try_send(black_box(&message)).expect("there is room");
                let len = receiver.try_recv(&mut room).expect("there is a message");
                check(&room[..len], size, seq);
                seq += 1;
            });
        });
        group.bench_function(BenchmarkId::new("try_send, try_peek, ack", size), |bench| {
            let (mut sender, mut receiver) = mpmc_ends(size);
            let (mut message, mut seq) = (vec![0; size], 0);
            bench.iter(|| {
                write(&mut message, seq);
                sender.try_send(black_box(&message)).expect("there is room");
                let delivery = receiver.try_peek().expect("there is a message");
                check(&delivery, size, seq);
                delivery.ack();
                seq += 1;
            });
        });
    }
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("batch of 16 x 48", |bench| {
        let (mut sender, mut receiver) = mpmc_ends(48);
        let (mut messages, mut seq) = (vec![[0; 48]; BATCH], 0);
        bench.iter(|| {
            messages.iter_mut().zip(seq..).for_each(|(message, seq)| write(message, seq));
            assert_eq!(sender.try_send_batch(black_box(&messages)), Ok(BATCH));
            let mut taken = 0;
            while taken < BATCH as u64 {
                let got = receiver.try_recv_batch(BATCH, |message| {
                    check(message, 48, seq + taken);
                    taken += 1;
                });
                got.expect("there are messages");
            }
            seq += taken;
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("try_recv, empty", |bench| {
        let (_sender, mut receiver) = mpmc_ends(48);
        bench.iter(|| assert_eq!(receiver.try_recv(&mut [0; 48]), Err(RecvError::Empty)));
    });
    group.bench_function("try_send, full", |bench| {
        let (mut sender, _receiver) = mpmc_ends(48);
        while sender.try_send(&[0; 48]).is_ok() {}
        bench.iter(|| assert_eq!(sender.try_send(&[0; 48]), Err(SendError::Full)));
    });
    group.finish();
}

fn adapters(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("adapters");
    for size in [8, 4096] {
        per_message(&mut group, size);
        group.bench_function(BenchmarkId::new("pipe: write, read", size), |bench| {
            let (mut reader, mut writer) = pipe::pipe().expect("a pipe can be made");
            let (mut message, mut room, mut seq) = (vec![0; size], vec![0; size], 0);
            bench.iter(|| {
                write(&mut message, seq);
                assert_eq!(writer.write(black_box(&message)).expect("there is room"), size);
                let len = reader.read(&mut room).expect("there are bytes");
                check(&room[..len], size, seq);
                seq += 1;
            });
        });
        group.bench_function(BenchmarkId::new("posix mq: send, receive", size), |bench| {
            let name = format!("/slipring-verbs-{}-{size}", std::process::id());
            let room = posix_mq::Options::new().message_size(size);
            let open = posix_mq::Open::existing(posix_mq::Access::Both).create(&room).exclusive(true);
            let mut queue = open.open(&name).expect("a queue can be made");
            posix_mq::unlink(&name).expect("its name can be removed");
            let (mut message, mut room, mut seq) = (vec![0; size], vec![0; size], 0);
            bench.iter(|| {
                write(&mut message, seq);
                queue.send(black_box(&message), 0).expect("there is room");
                let (len, _) = queue.receive(&mut room).expect("there is a message");
                check(&room[..len], size, seq);
                seq += 1;
            });
        });
    }
    group.finish();
}

criterion_group!(verbs, spsc, mpmc_verbs, adapters);
criterion_main!(verbs);
