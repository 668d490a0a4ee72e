use std::time::Duration;
use slipring_harness::{clock::Clock,cores::Cores,measure::*,mechanism::*,process::Pair,reference::reference};
fn main(){
 let pair=Pair{cores:Cores::choose().unwrap(),limit:Duration::from_secs(20)};
 let clock=Clock::calibrate();
 println!("{clock:?}");
 let s=Setting{pair,clock,budget:Duration::from_millis(30)};
 for _ in 0..5 { let t=std::time::Instant::now(); let r=reference(&pair,&clock).unwrap(); println!("{r:?} {:?}",t.elapsed()); }
 fn l<M:Mechanism>(s:&Setting,n:usize){let t=std::time::Instant::now();let r=latency::<M>(s,n,PayloadSource::Registers).unwrap();
  println!("{} {n}: trips {} p50 {:.0} p99 {:.0} max {:.0} {:?} {:?}",M::NAME,r.trips,s.clock.ns(1)*r.one_way_ticks(0.5),s.clock.ns(1)*r.one_way_ticks(0.99),s.clock.ns(1)*r.one_way_ticks(1.0),r.usage,t.elapsed());}
 fn t<M:Mechanism>(s:&Setting,n:usize,p:PayloadSource){let t=std::time::Instant::now();let r=throughput::<M>(s,n,p).unwrap();
  println!("{} {n} {p:?}: {} msgs {:.3e}/s {:.3} GB/s {:?} {:?}",M::NAME,r.messages,r.per_second(),r.per_second()*n as f64/1e9,r.usage,t.elapsed());}
 for n in [8,4096]{l::<Futex>(&s,n);l::<Pipe>(&s,n);l::<UnixStream>(&s,n);}
 for n in [8,56,1024,4096,65536]{for p in [PayloadSource::Registers,PayloadSource::Memory]{t::<Pipe>(&s,n,p);t::<UnixStream>(&s,n,p);}}
 t::<Futex>(&s,65536,PayloadSource::Registers);
}
