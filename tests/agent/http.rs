//! What the agent answers over HTTP is what its documents say.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use vip::controller::{DrainFacts, LocalFacts, TaskName};

use crate::metrics::{assert_documented, families};
use crate::schema::Document;
use crate::site::{Site, run, traffic};
use crate::world::{World, app, eventually, vip};

const WEB: &str = "3.3.0.6:80";

async fn serving() -> Site {
    let site = Site::new(World::serving(2).await).await;
    let mut refused = app("/refused", "127.0.0.1:80", 1);
    refused["container"]["portMappings"][0]["labels"]["VIP_1"] = json!("256.1.1.1:80");
    site.world.run_app(&refused).await;
    let two = async || site.json("/v1/labels").await.as_array().unwrap().len() == 2;
    eventually(two).await;
    traffic(&site.world.kernel, WEB, 10);
    site
}

#[test]
fn every_answer_is_as_the_document_says() {
    run(async {
        let site = serving().await;
        let document = Document::new(site.json("/openapi.json").await);
        let mut asked = BTreeSet::new();
        for (path, template) in [
            ("/healthz", "/healthz"),
            ("/readyz", "/readyz"),
            ("/version", "/version"),
            ("/v1/status", "/v1/status"),
            ("/v1/vips", "/v1/vips"),
            ("/v1/vips/3.3.0.6:80", "/v1/vips/{vip}"),
            ("/v1/vips/9.9.9.9:80", "/v1/vips/{vip}"),
            ("/v1/vips/3.3.0.6:80/tcp", "/v1/vips/{vip}/{protocol}"),
            ("/v1/vips/3.3.0.6:80/udp", "/v1/vips/{vip}/{protocol}"),
            ("/v1/labels", "/v1/labels"),
            ("/v1/explain?what=/web", "/v1/explain"),
            ("/v1/explain?what=/nobody", "/v1/explain"),
            ("/v1/diff", "/v1/diff"),
            ("/v1/local-facts", "/v1/local-facts"),
            ("/v1/events", "/v1/events"),
            ("/v1/config", "/v1/config"),
            ("/openapi.json", "/openapi.json"),
            ("/metrics", "/metrics"),
            ("/", "/"),
        ] {
            let request = site.http.get(format!("{}{path}", site.url));
            let answer = request.header("accept", "application/json, */*").send().await.unwrap();
            let status = answer.status().as_u16();
            let mime = answer.headers()["content-type"].to_str().unwrap().to_owned();
            let body = answer.text().await.unwrap();
            document.check(template, status, &mime, &body);
            asked.insert(template.to_owned());
        }
        assert_eq!(asked, document.paths(), "every path is asked for");
        site.end().await;
    });
}

#[test]
fn an_operation_and_a_conflict_are_as_the_document_says_too() {
    run(async {
        let site = serving().await;
        let document = Document::new(site.json("/openapi.json").await);
        // The agent repairs it soon: it is looked at in between.
        let damaged = async || {
            site.world.kernel.with_kernel(|kernel| {
                let service = kernel.state.services.get_mut(&vip(WEB).into());
                service.unwrap().servers.clear();
            });
            let (status, body) = site.get("/v1/diff").await;
            document.check("/v1/diff", status, "application/json", &body);
            let plan: Value = serde_json::from_str(&body).unwrap();
            let op = &plan["operations"][0];
            op["op"] == "add-server" && op["app"] == "/web"
        };
        eventually(damaged).await;
        site.world.kernel.with_kernel(|kernel| {
            kernel.refuse_nth(0, 12);
            kernel.state.addresses.clear();
        });
        let failed = async || {
            let events = site.json("/v1/events").await;
            events.as_array().unwrap().iter().any(|event| event["what"] == "trouble")
        };
        eventually(failed).await;
        let (status, body) = site.get("/v1/events").await;
        document.check("/v1/events", status, "application/json", &body);
        site.end().await;
    });
}

#[test]
fn a_drain_is_as_the_document_says() {
    let document = include_str!("../../src/admin/openapi.json");
    let document = Document::new(serde_json::from_str(document).unwrap());
    let task = TaskName {
        source: "m".to_owned(),
        app: "/web".into(),
        kind: vip::AppKind::Pod,
        task: "web.1".into(),
    };
    let begun = DrainFacts {
        vip: vip(WEB),
        server: "10.0.0.1:31001".parse().unwrap(),
        weight_before: 1,
        left_ms: Some(90_000),
        idle_ms: Some(0),
        task: Some(task),
    };
    let due = DrainFacts { left_ms: None, idle_ms: None, task: None, ..begun.clone() };
    let lingering = [("3.3.0.7".parse().unwrap(), 60_000)].into();
    let facts = LocalFacts { drains: vec![begun, due], lingering, ..LocalFacts::default() };
    let body = serde_json::to_string(&facts).unwrap();
    document.check("/v1/local-facts", 200, "application/json", &body);
}

#[test]
fn the_shape_of_dcos_is_kept_and_more_is_told() {
    run(async {
        let site = serving().await;
        let vips = site.json("/v1/vips").await;
        let tasks = site.world.tasks("/web").await;
        assert_eq!(vips.as_array().unwrap().len(), 1, "{vips}");
        let web = &vips[0];
        assert_eq!((&web["vip"], &web["protocol"]), (&json!(WEB), &json!("tcp")));
        assert_eq!((&web["state"], &web["apps"]), (&json!("serving"), &json!(["/web"])));
        assert_eq!(web["stats"]["connections"], 10);
        let backend = web["backend"].as_array().unwrap();
        assert_eq!(backend.len(), 2);
        for server in backend {
            let is_it = |task: &&Value| task["id"] == server["task"];
            let task = tasks.iter().find(is_it).unwrap();
            assert_eq!(server["ip"], task["host"]);
            assert_eq!(server["port"], task["ports"][0]);
            assert_eq!(server["version"], task["version"]);
            assert_eq!((&server["health"], &server["weight"]), (&json!("healthy"), &json!(1)));
            assert_eq!((&server["state"], &server["active"]), (&json!("serving"), &json!(5)));
        }
        let labels = site.json("/v1/labels").await;
        let reasons: Vec<_> =
            labels.as_array().unwrap().iter().map(|label| label["reason"].to_string()).collect();
        assert_eq!(reasons.len(), 2, "{labels}");
        assert!(
            reasons.iter().any(|reason| reason.contains("127.0.0.1 is a loopback address")),
            "{labels}"
        );
        let config = site.json("/v1/config").await;
        assert_eq!(config["marathon"][0]["auth"], "basic", "{config}");
        assert!(!config.to_string().contains("hunter2"), "{config}");
        site.end().await;
    });
}

#[test]
fn nothing_can_be_changed_over_tcp_and_no_page_of_others_can_ask() {
    run(async {
        let site = serving().await;
        for path in ["/v1/hold", "/v1/release", "/v1/accept"] {
            let request = site.http.post(format!("{}{path}", site.url));
            let request = request.header("content-type", "application/json").body("{}");
            assert_eq!(request.send().await.unwrap().status(), 404, "{path}");
        }
        let posted = site.http.post(format!("{}/v1/vips", site.url)).send().await.unwrap();
        assert_eq!(posted.status(), 405);
        let request = site.http.get(format!("{}/v1/vips", site.url));
        let rebound = request.header("host", "evil.example").send().await.unwrap();
        assert_eq!(rebound.status(), 421);
        assert!(rebound.text().await.unwrap().contains("evil.example is not this node"));
        let page = site.http.get(format!("{}/", site.url)).send().await.unwrap();
        let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
        assert!(page.text().await.unwrap().contains(&format!("<script nonce=\"{nonce}\">")));
        site.end().await;
    });
}

#[test]
fn changes_can_be_followed_from_where_one_left_off() {
    run(async {
        let site = serving().await;
        let events = site.json("/v1/events").await;
        let last = events.as_array().unwrap().last().unwrap()["number"].as_u64().unwrap();
        assert_eq!(site.json(&format!("/v1/events?after={last}")).await, json!([]));
        let follow = site.http.get(format!("{}/v1/events", site.url));
        let follow = follow.header("accept", "text/event-stream");
        let follow = follow.header("last-event-id", (last - 1).to_string());
        let mut stream = follow.send().await.unwrap();
        let mut text = String::new();
        let mut until = async |what: String| {
            while !text.contains(&what) {
                let bytes = stream.chunk().await.unwrap().expect(&what);
                text.push_str(str::from_utf8(&bytes).unwrap());
            }
        };
        until(format!("id: {last}\n")).await;
        site.world.send("PUT", "/v2/apps/web?force=true", &json!({"instances": 3})).await;
        until(format!("id: {}\n", last + 1)).await;
        until("\"what\":\"add-server\"".to_owned()).await;
        assert!(!text.contains(&format!("id: {}\n", last - 2)), "{text}");
        site.end().await;
    });
}

/// The metrics in `OpenMetrics`.
async fn openmetrics(site: &Site, path: &str) -> String {
    let request = site.http.get(format!("{}{path}", site.url));
    let answer = request.header("accept", "application/openmetrics-text").send().await.unwrap();
    let mime = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(mime.starts_with("application/openmetrics-text; version=1.0.0"), "{mime}");
    answer.text().await.unwrap()
}

#[test]
fn the_metrics_are_those_that_are_documented() {
    run(async {
        let site = serving().await;
        let text = openmetrics(&site, "/metrics").await;
        assert_documented(&text, |name| !name.starts_with("vipd_relay_"));
        site.end().await;
    });
}

#[test]
fn a_scrape_without_the_series_of_each_vip_has_all_else() {
    run(async {
        let site = serving().await;
        let all = openmetrics(&site, "/metrics").await;
        let text = openmetrics(&site, "/metrics?vips=none").await;
        let rest = families(&all).into_iter().filter(|(name, _)| !name.starts_with("vipd_vip_"));
        assert_eq!(families(&text), rest.collect());
        assert!(text.contains("vipd_vips{state=\"serving\"} 1"), "{text}");
        assert_eq!(site.get("/metrics?vips=some").await.0, 400);
        site.end().await;
    });
}

#[test]
fn the_metrics_say_what_is() {
    run(async {
        let site = serving().await;
        site.world.send("PUT", "/v2/apps/web?force=true", &json!({"instances": 3})).await;
        site.world.until_served(WEB, 3).await;
        site.world.kernel.with_kernel(|kernel| kernel.state.addresses.clear());
        eventually(async || !site.world.kernel.current_state().addresses.is_empty()).await;
        let text = async || site.get("/metrics").await.1;
        let repaired = "vipd_drift_repaired_total{kind=\"address\"} 1\n";
        eventually(async || text().await.contains(repaired)).await;
        let text = text().await;
        let value = |name: &str| {
            let line = text.lines().find(|line| {
                line.split_once("} ").map_or(line.split(' ').next().unwrap(), |(labelled, _)| {
                    &line[..=labelled.len()]
                }) == name
            });
            let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
        };
        for (name, expected) in [
            ("vipd_healthy", 1.0),
            ("vipd_ready", 1.0),
            ("vipd_mode{mode=\"acting\"}", 1.0),
            ("vipd_mode{mode=\"held\"}", 0.0),
            ("vipd_vips{state=\"serving\"}", 1.0),
            ("vipd_vips{state=\"refusing\"}", 0.0),
            ("vipd_traffic_readable", 1.0),
            ("vipd_source_up{source=\"m0\"}", 1.0),
            ("vipd_source_streaming{source=\"m0\"}", 1.0),
            ("vipd_source_workloads{source=\"m0\"}", 2.0),
            ("vipd_refused_labels{reason=\"policy\"}", 1.0),
            ("vipd_refused_labels{reason=\"syntax\"}", 1.0),
            ("vipd_vip_servers{vip=\"3.3.0.6:80\",protocol=\"tcp\",state=\"serving\"}", 3.0),
            ("vipd_vip_connections_total{vip=\"3.3.0.6:80\",protocol=\"tcp\"}", 10.0),
            ("vipd_vip_packets_total{vip=\"3.3.0.6:80\",protocol=\"tcp\",direction=\"in\"}", 50.0),
            (
                "vipd_vip_bytes_total{vip=\"3.3.0.6:80\",protocol=\"tcp\",direction=\"out\"}",
                90000.0,
            ),
            ("vipd_operations_total{op=\"add-server\",result=\"done\"}", 3.0),
        ] {
            assert_eq!(value(name), expected, "{name}");
        }
        assert!(value("vipd_event_to_kernel_seconds_count") >= 1.0, "{text}");
        assert!(value("vipd_sync_last_success_timestamp_seconds") > 1.7e9, "{text}");
        assert!(openmetrics(&site, "/metrics").await.ends_with("# EOF\n"));
        site.end().await;
    });
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    run(async {
        let site = serving().await;
        let (_, text) = site.get("/metrics").await;
        let child = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        match child {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                println!("not run: this machine has no promtool");
            }
            child => {
                let mut child = child.unwrap();
                child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
                let said = child.wait_with_output().unwrap();
                assert!(said.status.success() && said.stderr.is_empty(), "{said:?}\n{text}");
            }
        }
        site.end().await;
    });
}

#[test]
fn a_kernel_that_cannot_be_read_costs_the_counters_and_nothing_else() {
    run(async {
        let site = serving().await;
        site.world.kernel.with_kernel(|kernel| kernel.unreadable = Some("no".into()));
        let unread = "vipd_traffic_readable 0.0\n";
        eventually(async || site.get("/metrics").await.1.contains(unread)).await;
        let (_, text) = site.get("/metrics").await;
        assert!(
            text.contains("vipd_vip_servers{") && !text.contains("vipd_vip_connections_total{")
        );
        let vips = async || site.json("/v1/vips").await;
        eventually(async || vips().await[0]["stats"].is_null()).await;
        assert_eq!(vips().await[0]["backend"].as_array().unwrap().len(), 2);
        let note = "the kernel can't be read: ";
        eventually(async || site.get("/readyz").await.1.contains(note)).await;
        site.end().await;
    });
}
