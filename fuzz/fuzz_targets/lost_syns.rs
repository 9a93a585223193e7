//! The target `lost_syns` of the crate `fuzz-targets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::run_target("lost_syns", input));
