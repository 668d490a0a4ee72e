//! See `verify/src/adapters.rs`, which is also run as a stable test.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    (slipring_verify::target("adapters").run)(input);
});
