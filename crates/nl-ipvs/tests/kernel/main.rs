//! Against a kernel that has IPVS, as root, checked with `ipvsadm`.
//!
//! Every test runs in a network namespace of its own. Run with `--test-threads=1`.

mod changes;
mod conversions;
mod destinations;
mod fake;
mod harness;
mod matrix;
mod namespaces;
mod refusals;
mod scale;
mod services;
mod table;
