//! `vipd report` beside relays that want a token over TLS.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::path::PathBuf;
use std::process::Command;

use marathon_sim::{Config as SimConfig, Sim};
use vipd::config::{Access, Marathon, RelaySection, RelaySettings};
use vipd::relay::Relay;

fn fixture(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/marathon/tests/fixtures/tls");
    PathBuf::from(folder).join(name)
}

#[tokio::test]
async fn a_report_has_what_a_relay_with_tls_and_a_token_says_and_not_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("token"), "the-token\n").unwrap();
    let section = RelaySection {
        token_file: Some(at("token")),
        cert_file: Some(fixture("server.pem")),
        key_file: Some(fixture("server.key")),
        ..RelaySection::default()
    };
    let sim = Sim::start(SimConfig::without_processes()).await.unwrap();
    let marathon = Marathon::new(vec![sim.url().parse().unwrap()], Access::default());
    let listen = ([127, 0, 0, 1], 0).into();
    let settings = RelaySettings { listen, ..section.resolve().unwrap() };
    let relay = Relay::bind(settings, &marathon, "node", 1).await.unwrap();
    let config = format!(
        "[agent]\nsocket = {:?}\n[[marathon]]\nurls = [{:?}]\nrelay = [\"https://{}\"]\n\
         relay-token-file = {:?}\nrelay-ca-file = {:?}\n\
         [relay]\nlisten = \"{}\"\ntoken-file = {:?}\ncert-file = {:?}\nkey-file = {:?}\n",
        at("agent.sock"),
        sim.url(),
        relay.address().unwrap(),
        at("token"),
        fixture("ca.pem"),
        relay.address().unwrap(),
        at("token"),
        fixture("server.pem"),
        fixture("server.key")
    );
    let relay = tokio::spawn(relay.run());
    std::fs::write(at("vipd.toml"), config).unwrap();
    let mut vipd = Command::new(env!("CARGO_BIN_EXE_vipd"));
    vipd.arg("report").arg(at("a.tar.gz")).arg("--config").arg(at("vipd.toml"));
    let ran = tokio::task::spawn_blocking(move || vipd.output().unwrap()).await.unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let tar = Command::new("tar").arg("-xzOf").arg(at("a.tar.gz")).output().unwrap();
    let all = String::from_utf8_lossy(&tar.stdout);
    assert!(tar.status.success() && !all.contains("the-token"), "{all}");
    for part in
        ["url.txt", "version.json", "healthz.txt", "readyz.txt", "status.json", "metrics.txt"]
    {
        assert!(all.contains(&format!("\nrelay-1/{part}: ")), "{part}: {all}");
        assert!(!all.contains(&format!("\nrelay-1/{part}: missing")), "{part}: {all}");
    }
    // The relay runs on this node, too.
    for part in ["version.json", "healthz.txt", "readyz.txt", "status.json", "metrics.txt"] {
        assert!(all.contains(&format!("\nrelay/{part}: ")), "{part}: {all}");
        assert!(!all.contains(&format!("\nrelay/{part}: missing")), "{part}: {all}");
    }
    assert!(all.contains("\"left_out\":0") && all.contains("vipd_relay_clients 0"), "{all}");
    relay.abort();
    sim.shutdown().await;
}
