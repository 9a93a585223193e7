//! Apps and pods that are scaled to 0 instances, and apps whose every task is unhealthy.

use marathon_sim::Fate;
use serde_json::{Value, json};

use crate::site::{Site, run};
use crate::workloads::{POD, pod};
use crate::world::{World, app, eventually};

const WEB: &str = "3.3.0.6:80";

async fn state(site: &Site, vip: &str) -> Value {
    site.json(&format!("/v1/vips/{vip}/tcp")).await["state"].clone()
}

async fn until_state(site: &Site, vip: &str, expected: &str) {
    eventually(async || state(site, vip).await == expected).await;
}

async fn until_scraped(site: &Site, series: &str) {
    eventually(async || site.get("/metrics").await.1.contains(series)).await;
}

#[test]
fn an_app_scaled_to_0_is_suspended_until_it_is_scaled_up_even_after_a_restart() {
    run(async {
        let site = Site::new(World::serving(2).await).await;
        until_state(&site, WEB, "serving").await;
        until_scraped(&site, "vipd_vip_suspended{vip=\"3.3.0.6:80\",protocol=\"tcp\"} 0").await;
        let scale = async |site: &Site, instances: usize| {
            let body = json!({"instances": instances});
            site.world.send("PUT", "/v2/apps/web?force=true", &body).await;
        };
        scale(&site, 0).await;
        until_state(&site, WEB, "suspended").await;
        let since = async || site.json("/v1/vips/3.3.0.6:80/tcp").await["since"].clone();
        let first = since().await;
        assert!(first.is_string(), "{first}");
        until_scraped(&site, "vipd_vip_suspended{vip=\"3.3.0.6:80\",protocol=\"tcp\"} 1").await;
        until_scraped(&site, "vipd_vips{state=\"suspended\"} 1").await;
        until_scraped(&site, "vipd_vips{state=\"refusing\"} 0").await;
        assert_eq!(since().await, first, "it stays in its state");

        // Known from the state file as well, before Marathon answers.
        let mut world = site.end_admin();
        world.stop().await;
        world.sim().set_leader(None);
        world.start().await;
        let site = Site::new(world).await;
        eventually(async || site.world.agent().view.borrow().sources["m0"].from_disk).await;
        until_state(&site, WEB, "suspended").await;
        site.world.sim().set_leader(Some(0));
        scale(&site, 1).await;
        until_state(&site, WEB, "serving").await;
        site.end().await;
    });
}

#[test]
fn a_vip_of_two_apps_is_suspended_only_when_both_are() {
    run(async {
        let site = Site::new(World::serving(1).await).await;
        site.world.run_app(&app("/other", WEB, 1)).await;
        site.world.until_served(WEB, 2).await;
        let none = json!({"instances": 0});
        site.world.send("PUT", "/v2/apps/web?force=true", &none).await;
        site.world.until_served(WEB, 1).await;
        until_state(&site, WEB, "serving").await;
        site.world.send("PUT", "/v2/apps/other?force=true", &none).await;
        until_state(&site, WEB, "suspended").await;
        site.world.send("PUT", "/v2/apps/web?force=true", &json!({"instances": 1})).await;
        until_state(&site, WEB, "serving").await;
        site.end().await;
    });
}

#[test]
fn a_pod_scaled_to_0_is_suspended() {
    run(async {
        let mut world = World::new().await;
        world.start().await;
        world.send("POST", "/v2/pods", &pod(1)).await;
        world.until_served(POD, 1).await;
        let site = Site::new(world).await;
        until_state(&site, POD, "serving").await;
        site.world.send("PUT", "/v2/pods/pod?force=true", &pod(0)).await;
        until_state(&site, POD, "suspended").await;
        site.end().await;
    });
}

#[test]
fn an_app_whose_every_task_is_unhealthy_is_degraded_and_counted_apart() {
    run(async {
        let mut world = World::new().await;
        let mut lasting = app("/web", WEB, 2);
        // Marathon leaves ill tasks alone.
        lasting["healthChecks"][0]["maxConsecutiveFailures"] = json!(0);
        world.run_app(&lasting).await;
        world.start().await;
        world.until_served(WEB, 2).await;
        let site = Site::new(world).await;
        for task in site.world.sim().running_tasks() {
            site.world.sim().set_fate(&task.task, Fate::Ill);
        }
        until_state(&site, WEB, "degraded").await;
        let series = |state: &str, count: usize| {
            format!(
                "vipd_vip_servers{{vip=\"3.3.0.6:80\",protocol=\"tcp\",state=\"{state}\"}} {count}"
            )
        };
        until_scraped(&site, &series("fail-open", 2)).await;
        until_scraped(&site, &series("serving", 0)).await;
        until_scraped(&site, "vipd_vips{state=\"degraded\"} 1").await;
        site.end().await;
    });
}
