//! The Python client `marathon` from the Python Package Index, which many deployment tools use. `cargo xtask test`
//! installs it where pip is available.

use std::ffi::OsStr;

use marathon_sim::Generation;
use tokio::process::Command;

use crate::support::*;

const SCRIPT: &str = include_str!("python_client.py");

async fn make_all_calls(client: &OsStr, generation: Generation, name: &str) {
    let cluster = Cluster::start(generation).await;
    let mut python = Command::new("python3");
    python.args(["-c", SCRIPT]).arg(client).arg(cluster.url()).arg(name);
    let output = python.kill_on_drop(true).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.trim(), "all calls passed", "{name}\n{errors}");
    cluster.end().await;
}

#[tokio::test]
async fn the_python_client_passes_all_calls_in_every_generation() {
    let Some(client) = std::env::var_os("MARATHON_PYTHON_CLIENT") else {
        println!("skipped: MARATHON_PYTHON_CLIENT names no directory with the client");
        return;
    };
    tokio::join!(
        make_all_calls(&client, Generation::V1_1, "1.1"),
        make_all_calls(&client, Generation::V1_4, "1.4"),
        make_all_calls(&client, Generation::V1_5, "1.5"),
        make_all_calls(&client, Generation::V1_6, "1.6"),
    );
}
