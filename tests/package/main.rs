//! The Debian package on a machine that systemd runs: installed, used, upgraded, removed, purged.
//!
//! It changes the machine, so it is for a guest of `cargo xtask package --test` alone: its process 1
//! is systemd, and everything it writes is gone with it.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod lifecycle;
mod machine;
mod queries;
mod scratch;
mod unit;

/// The package that `cargo xtask package` made.
fn package() -> std::path::PathBuf {
    std::env::var_os("VIPD_PACKAGE").expect("`cargo xtask package --test` names the package").into()
}
