//! Tasks with persistent volumes, and a leader's clock that steps.

use marathon_sim::Generation;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn a_task_with_a_persistent_volume_is_started_again_on_its_agent() {
    for generation in GENERATIONS {
        let cluster = Cluster::start(generation).await;
        let mut app = bridge_app("/db", 1);
        app["container"]["volumes"] =
            json!([{"containerPath": "data", "mode": "RW", "persistent": {"size": 10}}]);
        let before = cluster.run(&app).await["tasks"][0].take();
        let id = before["id"].as_str().unwrap();
        let [process] = processes(id)[..] else { panic!("one process for {id}") };
        kill(Pid::from_raw(process), Signal::SIGKILL).unwrap();

        let again = cluster.until("/v2/apps/db", |body| {
            let started = &body["app"]["tasks"][0]["startedAt"];
            started.is_string() && *started != before["startedAt"]
        });
        let after = again.await["app"]["tasks"][0].take();
        assert_eq!(after["host"], before["host"]);
        assert_ne!(address(&after), address(&before));
        // Until 1.4.6 under the same id.
        assert_eq!(after["id"] == before["id"], generation == Generation::V1_1);
        cluster.end().await;
    }
}

#[tokio::test]
async fn versions_and_times_follow_the_clock_of_the_leader() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let before = cluster.run(&bridge_app("/before", 1)).await;
    let set = cluster.put("PUT", "/_sim/clock", &json!({"ahead_ms": -3_600_000})).await;
    assert_eq!(set.status, 200);
    let after = cluster.run(&bridge_app("/after", 1)).await;
    // All times are of one format.
    assert!(after["version"].as_str() < before["version"].as_str());
    let started = |app: &serde_json::Value| app["tasks"][0]["startedAt"].to_string();
    assert!(started(&after) < started(&before));
    cluster.end().await;
}
