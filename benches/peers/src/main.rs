//! Peers.
mod arena;
mod engine;
#[global_allocator]
static HEAP: arena::SharedWhileLending = arena::SharedWhileLending;
use slipring_harness::rounds::{self,Cell,Reading};
use slipring_harness::measure::*;
use slipring_harness::mechanism::*;
use slipring_harness::{clock::Clock,cores::Cores,process::Pair};
use std::time::Duration;
fn main() {
    use engine::rtrb::{PushPop,InPlace,Lined,Packed,Chunks};
    use engine::iceoryx2::PubSub; use engine::shmem_ipc::Shmem; use engine::array_queue::Array; use engine::slipring::*;
    let r=PayloadSource::Registers; let m=PayloadSource::Memory;
    let cells=vec![
      Cell::latency::<Spsc<Spin>>(56,r), Cell::latency::<PushPop<Lined<56>>>(56,r), Cell::latency::<InPlace<Lined<56>>>(56,r), Cell::latency::<Array<56>>(56,r), Cell::latency::<Shmem<7,1>>(56,r), Cell::latency::<PubSub<7,1>>(56,r),
      Cell::throughput::<Spsc<Spin>>(56,r), Cell::throughput::<PushPop<Lined<56>>>(56,r), Cell::throughput::<InPlace<Lined<56>>>(56,r), Cell::throughput::<Array<56>>(56,r), Cell::throughput::<Shmem<7,1>>(56,r), Cell::throughput::<PubSub<7,1>>(56,r),
      Cell::throughput::<Spsc<Spin>>(56,m), Cell::throughput::<Spsc<Copied>>(56,m), Cell::throughput::<PushPop<Lined<56>>>(56,m),
      Cell::throughput::<Spsc<Dense>>(64,r), Cell::throughput::<PushPop<Lined<64>>>(64,r),
      Cell::throughput::<Spsc<Dense>>(8,r), Cell::throughput::<PushPop<Packed>>(8,r),
      Cell::batched::<Spsc<Dense>,64>(8), Cell::batched::<Chunks,64>(8),
      Cell::throughput::<Spsc<Dense>>(512,r), Cell::throughput::<Chunks>(512,r),
      Cell::throughput::<Spsc<Dense>>(4096,r), Cell::throughput::<Chunks>(4096,r),
      Cell::throughput::<Spsc<Spin>>(4096,r), Cell::throughput::<Shmem<512,1>>(4096,r), Cell::throughput::<PubSub<512,1>>(4096,r),
      Cell::throughput::<Spsc<Spin>>(65536,r), Cell::throughput::<Shmem<512,16>>(65536,r), Cell::throughput::<PubSub<512,16>>(65536,r),
    ];
    let clock=Clock::calibrate();
    let s=Setting{pair:Pair{cores:Cores::choose().unwrap(),limit:Duration::from_secs(10)},clock,budget:Duration::from_millis(20)};
    for c in &cells { match rounds::run(&s,std::slice::from_ref(c),3,|_|()) { Err(e)=>println!("{} {} {}: {e}",c.mechanism,c.kind(),c.size), Ok(v)=>for v in v { let x=&v.readings[0]; let b=x.bracket(); println!("{:28} {:10} {:6} {} line {:.0} stream {:.1} {}",c.mechanism,c.kind(),c.size,b.placement().name(),b.line_ns(),b.stream_gb_per_s(), match x { Reading::Latency(l)=>format!("p50/line {:.2}", l.one_way_ticks(0.5)*clock.ns(1)/b.line_ns()), Reading::Throughput(t)=>format!("{:.1} M/s {:.2} GB/s {:.2} stream",t.per_second()/1e6, t.per_second()*c.size as f64/1e9,t.per_second()*c.size as f64/1e9/b.stream_gb_per_s()), _=>String::new()})}}}
}
