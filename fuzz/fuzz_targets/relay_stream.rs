//! The target `relay_stream` of the crate `fuzz-targets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::run_target("relay_stream", input));
