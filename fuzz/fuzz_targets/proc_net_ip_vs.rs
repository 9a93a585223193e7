//! The target `proc_net_ip_vs` of the crate `fuzz-targets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::run_target("proc_net_ip_vs", input));
