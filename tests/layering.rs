//! Dependencies point one way.
#![allow(clippy::unwrap_used, reason = "a test that cannot run its tools should stop")]

use std::path::Path;
use std::process::Command;

/// The crates that `package` is built from.
fn tree(package: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "-p", package, "-e", "normal", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn assert_without(package: &str, unwanted: &[&str]) {
    let tree = tree(package);
    for name in unwanted {
        let found = tree.lines().any(|line| line.split(' ').next() == Some(name));
        assert!(!found, "{package} is built from {name}:\n{tree}");
    }
}

#[test]
fn the_heart_does_no_io() {
    assert_without("vip", &["tokio", "reqwest", "netlink-sys", "marathon", "node"]);
}

#[test]
fn marathon_and_the_kernel_know_nothing_of_each_other() {
    assert_without("marathon", &["vip", "node", "nl-ipvs", "netlink-sys"]);
    assert_without("node", &["marathon", "reqwest"]);
    assert_without("nl-ipvs", &["vip", "tokio"]);
    assert_without("nl-pipeline", &["nl-ipvs", "vip", "tokio"]);
}

#[test]
fn the_name_server_knows_nothing_of_vips_and_the_kernel() {
    assert_without("dns", &["vip", "marathon", "node", "nl-ipvs", "netlink-sys", "reqwest"]);
}

#[test]
fn no_files_of_a_crate_import_each_other_in_a_circle() {
    let crates = style::read_workspace(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    assert!(crates.len() > 8, "only {} crates were read", crates.len());
    let circles: Vec<_> = crates.iter().flat_map(style::find_circles).collect();
    assert!(circles.is_empty(), "{circles:#?}");
}
