//! x
use slipring_protocol::{explore::explore, table};
fn main() {
    let only = std::env::args().nth(1);
    for c in table::SHORT {
        if only.as_ref().is_some_and(|o| o != c.name) { continue; }
        let r = explore(c, 100_000_000);
        println!("{:<30} {} {} {} alone {} {:?} cut {} {:?}", c.name, r.states, r.transitions, r.depth, r.alone, r.time, r.cut, r.fault.as_ref().map(|f| f.0));
        if let Some((_, t)) = r.fault { for l in t { println!("   {l}"); } }
    }
}
