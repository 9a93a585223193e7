//! A relay as its clients see it: rights, limits, TLS, and what it says of itself.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

#[path = "support/metrics.rs"]
mod metrics;

use std::path::PathBuf;

use futures_util::StreamExt;
use marathon::client::{ClientConfig, Identity, Url, plain_client};
use marathon::events::sse::{Decoder, Frame};
use marathon_sim::{Config as SimConfig, Handle as Sim};
use relay::{Change, Mirror};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use vipd::config::{Access, Marathon, RelaySection, RelaySettings};
use vipd::relay::Relay;

/// A Marathon with an app that has a VIP and one that has none, and a relay of it.
struct World {
    sim: Sim,
    url: Url,
    task: JoinHandle<()>,
    http: reqwest::Client,
}

fn fixture(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/marathon/tests/fixtures/tls");
    PathBuf::from(folder).join(name)
}

impl World {
    async fn new(section: RelaySection) -> Self {
        let sim = marathon_sim::Sim::start(SimConfig::without_processes()).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        for (id, labels) in [("/web", json!({"VIP_0": "3.3.0.6:80"})), ("/batch", json!({}))] {
            let app = json!({"id": id, "cmd": "x", "instances": 1,
                "portDefinitions": [{"port": 0, "labels": labels}]});
            let posted = http.post(format!("{}/v2/apps", sim.url())).body(app.to_string());
            assert!(posted.send().await.unwrap().status().is_success());
        }
        let marathon = Marathon::new(vec![sim.url().parse().unwrap()], Access::default());
        let scheme = if section.cert_file.is_some() { "https" } else { "http" };
        let listen = ([127, 0, 0, 1], 0).into();
        let settings = RelaySettings { listen, ..section.resolve().unwrap() };
        let relay = Relay::bind(settings, &marathon, "node", 1).await.unwrap();
        let url = format!("{scheme}://{}", relay.address().unwrap()).parse().unwrap();
        Self { sim, url, task: tokio::spawn(relay.run()), http }
    }

    /// Makes one whose relay wants `the-token`.
    async fn with_token() -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "the-token\n").unwrap();
        Self::new(RelaySection { token_file: Some(file.path().into()), ..RelaySection::default() })
            .await
    }

    fn at(&self, path: &str) -> Url {
        self.url.join(path).unwrap()
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(self.at(path)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn until_ready(&self) {
        while self.get("/readyz").await.0 != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    async fn end(self) {
        self.task.abort();
        self.sim.shutdown().await;
    }
}

/// Reads a stream until its snapshot is complete.
async fn snapshot(response: reqwest::Response) -> Mirror {
    let mut mirror = Mirror::default();
    let mut decoder = Decoder::default();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        for frame in decoder.push_bytes(&chunk.unwrap()) {
            if matches!(mirror.apply(&frame).unwrap(), Change::Whole(_)) {
                return mirror;
            }
        }
    }
    panic!("the stream ended");
}

fn ids(mirror: &Mirror) -> Vec<String> {
    mirror.workloads().map(|workload| workload.id.to_string()).collect()
}

#[tokio::test]
async fn the_stream_is_the_same_with_gzip_and_without() {
    let world = World::new(RelaySection::default()).await;
    world.until_ready().await;
    for encoding in ["gzip", "identity"] {
        let gzip = encoding == "gzip";
        let http = reqwest::Client::builder().no_proxy().gzip(gzip).build().unwrap();
        let get = async |query: &str| {
            let mut url = world.at("/v1/stream");
            url.set_query(Some(query));
            http.get(url).send().await.unwrap()
        };
        assert_eq!(ids(&snapshot(get("").await).await), ["/web"], "{encoding}");
        assert_eq!(ids(&snapshot(get("scope=all").await).await), ["/batch", "/web"], "{encoding}");
    }
    world.end().await;
}

#[tokio::test]
async fn whoever_comes_back_soon_gets_what_was_missed() {
    let world = World::new(RelaySection::default()).await;
    world.until_ready().await;
    let request = || world.http.get(world.at("/v1/stream"));
    let mirror = snapshot(request().send().await.unwrap()).await;
    let position = mirror.position().unwrap().to_string();
    let scaled = world.http.put(format!("{}/v2/apps/web?force=true", world.sim.url()));
    let scaled = scaled.body(json!({"instances": 2}).to_string());
    assert!(scaled.send().await.unwrap().status().is_success());
    let response = request().header("last-event-id", position).send().await.unwrap();
    let mut decoder = Decoder::default();
    let mut frames: Vec<Frame> = Vec::new();
    let mut chunks = response.bytes_stream();
    let is_told =
        |frames: &[Frame]| frames.iter().any(|frame| frame.event.as_deref() == Some("workload"));
    while !is_told(&frames) {
        frames.extend(decoder.push_bytes(&chunks.next().await.unwrap().unwrap()));
    }
    assert_eq!(frames[0].event.as_deref(), Some("hello"));
    assert!(frames[0].data.contains(r#""resumed":true"#), "{}", frames[0].data);
    assert!(frames.iter().all(|frame| frame.event.as_deref() != Some("complete")));
    world.end().await;
}

#[tokio::test]
async fn without_the_token_only_health_is_told() {
    let world = World::with_token().await;
    world.until_ready().await;
    assert_eq!(world.get("/healthz").await.0, 200);
    let build: Value = serde_json::from_str(&world.get("/version").await.1).unwrap();
    assert_eq!(build["version"], env!("CARGO_PKG_VERSION"));
    for path in ["/", "/metrics", "/v1/status", "/v1/stream"] {
        for token in [None, Some("another"), Some("the-toke"), Some("the-token ")] {
            let mut request = world.http.get(world.at(path));
            if let Some(token) = token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let answer = request.send().await.unwrap();
            // Spaces at the end of a header are no part of it.
            let expected = if token == Some("the-token ") { 200 } else { 401 };
            assert_eq!(answer.status().as_u16(), expected, "{path} {token:?}");
        }
    }
    let answer = world.http.post(world.at("/v1/accept")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 401);
    let challenges = answer.headers().get_all("www-authenticate");
    let challenges: Vec<_> = challenges.iter().map(|each| each.to_str().unwrap()).collect();
    assert_eq!(challenges.len(), 2, "{challenges:?}");
    assert!(
        challenges[0] == "Bearer" && challenges[1].starts_with("Basic realm="),
        "{challenges:?}"
    );
    let answer = world.http.get(world.at("/v1/stream")).bearer_auth("the-token").send().await;
    assert_eq!(ids(&snapshot(answer.unwrap()).await), ["/web"]);
    world.end().await;
}

#[tokio::test]
async fn tls_lets_in_whoever_has_a_certificate_of_the_authority() {
    let section = RelaySection {
        cert_file: Some(fixture("server.pem")),
        key_file: Some(fixture("server.key")),
        client_ca_file: Some(fixture("ca.pem")),
        ..RelaySection::default()
    };
    let world = World::new(section).await;
    // As a health check of TCP, which is no trouble of an agent.
    drop(tokio::net::TcpStream::connect(&*world.url.socket_addrs(|| None).unwrap()).await.unwrap());
    let read = |name: &str| std::fs::read(fixture(name)).unwrap();
    let nobody =
        ClientConfig { ca: Some(read("ca.pem")), ..ClientConfig::new(vec![world.url.clone()]) };
    let refused = plain_client(&nobody).unwrap().get(world.at("/readyz")).send().await;
    assert!(refused.is_err());
    let identity = Some(Identity::new(&read("client.pem"), &read("client.key")));
    let known = plain_client(&ClientConfig { identity, ..nobody }).unwrap();
    while !known.get(world.at("/readyz")).send().await.unwrap().status().is_success() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let answer = known.get(world.at("/v1/stream")).send().await.unwrap();
    assert_eq!(ids(&snapshot(answer).await), ["/web"]);
    let metrics = known.get(world.at("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("vipd_relay_failed_handshakes_total 1"), "{metrics}");
    world.end().await;
}

#[tokio::test]
async fn one_address_gets_so_many_connections_and_no_more() {
    let section = RelaySection { clients_per_address: 3, ..RelaySection::default() };
    let world = World::new(section).await;
    world.until_ready().await;
    // Without the connection that was used until now.
    let http = || reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(http().get(world.at("/v1/stream")).send().await.unwrap());
    }
    assert!(http().get(world.at("/v1/stream")).send().await.is_err());
    let (_, metrics) = world.get("/metrics").await;
    assert!(metrics.contains("vipd_relay_clients 2"), "{metrics}");
    assert!(metrics.contains("vipd_relay_connections 3"), "{metrics}");
    assert!(metrics.contains("vipd_relay_snapshots_total 2"), "{metrics}");
    assert!(metrics.contains("vipd_relay_refused_requests_total 1"), "{metrics}");
    drop(open);
    // The relay notices at the next record.
    while http().get(world.at("/v1/stream")).send().await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    world.end().await;
}

#[tokio::test]
async fn metrics_come_in_the_format_that_the_client_accepts() {
    let world = World::new(RelaySection::default()).await;
    for (accept, kind, ends) in [
        ("application/openmetrics-text", "application/openmetrics-text", true),
        ("text/plain", "text/plain; version=0.0.4", false),
    ] {
        let answer = world.http.get(world.at("/metrics")).header("accept", accept).send();
        let answer = answer.await.unwrap();
        let told = answer.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(told.starts_with(kind), "{told}");
        let text = answer.text().await.unwrap();
        assert!(text.contains("# TYPE vipd_relay_clients gauge\n"), "{text}");
        assert_eq!(text.ends_with("# EOF\n"), ends, "{text}");
    }
    world.end().await;
}

#[tokio::test]
async fn the_metrics_are_those_that_are_documented() {
    let world = World::new(RelaySection::default()).await;
    let request = world.http.get(world.at("/metrics"));
    let answer = request.header("accept", "application/openmetrics-text").send().await.unwrap();
    metrics::assert_documented(&answer.text().await.unwrap(), |name| {
        ["vipd_relay_", "process_", "vipd_build_info"].iter().any(|each| name.starts_with(each))
    });
    world.end().await;
}

#[tokio::test]
async fn a_relay_says_how_it_is() {
    let world = World::new(RelaySection::default()).await;
    world.until_ready().await;
    let (status, text) = world.get("/v1/status").await;
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &told["workloads"], &told["all_workloads"]), (200, &json!(1), &json!(2)));
    assert_eq!(told["complete"], true);
    let (_, metrics) = world.get("/metrics").await;
    assert!(metrics.contains("vipd_relay_ready 1"), "{metrics}");
    let (status, page) = world.get("/").await;
    assert!(status == 200 && page.contains("<td>1 of 2</td>"), "{page}");
    assert_eq!(world.get("/nothing").await.0, 404);
    world.sim.inject_fault(marathon_sim::Fault::HalfOpen.always());
    world.end().await;
}

#[tokio::test]
async fn what_is_accepted_at_a_relay_is_announced_to_its_agents() {
    let world = World::new(RelaySection::default()).await;
    world.until_ready().await;
    let response = world.http.get(world.at("/v1/stream")).send().await.unwrap();
    let answer = world.http.post(world.at("/v1/accept")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 403, "any page in a browser could send that");
    let answer = world.http.post(world.at("/v1/accept")).header("x-vipd-accept", "1");
    let answer = answer.send().await.unwrap();
    let told: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(told["announced_to"], 1);
    let (mut mirror, mut decoder) = (Mirror::default(), Decoder::default());
    let mut chunks = response.bytes_stream();
    'told: loop {
        for frame in decoder.push_bytes(&chunks.next().await.unwrap().unwrap()) {
            if mirror.apply(&frame).unwrap() == Change::Accepted {
                break 'told;
            }
        }
    }
    world.end().await;
}

/// A name of another site may lead to this host: to its browser, its page is then of the relay's site.
#[tokio::test]
async fn a_page_whose_name_leads_to_a_relay_gets_nothing_of_it() {
    let world = World::new(RelaySection::default()).await;
    world.until_ready().await;
    for path in ["/", "/v1/status", "/metrics", "/v1/stream"] {
        let answer = world.http.get(world.at(path)).header("host", "evil.example");
        assert_eq!(answer.send().await.unwrap().status().as_u16(), 421, "{path}");
    }
    let accept = world.http.post(world.at("/v1/accept")).header("x-vipd-accept", "1");
    let answer = accept.header("host", "evil.example:9615").send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 421);
    let page = world.http.get(world.at("/")).send().await.unwrap();
    assert_eq!(page.status().as_u16(), 200);
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    world.end().await;
}

#[tokio::test]
async fn a_client_gets_the_encoding_that_it_takes() {
    let world = World::new(RelaySection::default()).await;
    world.until_ready().await;
    // One that takes the answer as it is.
    let http = reqwest::Client::builder().no_proxy().no_gzip().build().unwrap();
    for (accepted, is_zipped) in
        [("gzip", true), ("br, GZIP;q=0.5", true), ("gzip;q=0", false), ("x-gzipped", false)]
    {
        let request = http.get(world.at("/v1/stream")).header("accept-encoding", accepted);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers().contains_key("content-encoding"), is_zipped, "{accepted}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_browser_sends_the_token_as_a_password_and_can_accept_nothing_unasked() {
    let world = World::with_token().await;
    world.until_ready().await;
    for (user, password, expected) in [
        ("anybody", Some("the-token"), 200),
        ("", Some("the-token"), 200),
        ("anybody", Some("the-toke"), 401),
        ("the-token", Some(""), 401),
        ("the-token", None, 401),
    ] {
        let page = world.http.get(world.at("/")).basic_auth(user, password).send().await.unwrap();
        assert_eq!(page.status().as_u16(), expected, "{user} {password:?}");
        assert_eq!(page.text().await.unwrap().contains("<h1>vipd relay</h1>"), expected == 200);
    }
    let accept = world.http.post(world.at("/v1/accept")).basic_auth("anybody", Some("the-token"));
    assert_eq!(accept.send().await.unwrap().status().as_u16(), 403);
    world.end().await;
}

/// As docs/scale.md says, whatever address it listens on.
#[tokio::test]
async fn a_relay_with_a_token_takes_an_acceptance_with_it() {
    let world = World::with_token().await;
    world.until_ready().await;
    let accept = || world.http.post(world.at("/v1/accept")).header("x-vipd-accept", "1");
    assert_eq!(accept().send().await.unwrap().status().as_u16(), 401);
    let answer = accept().bearer_auth("the-token").send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    world.end().await;
}

#[tokio::test]
async fn an_address_gets_so_many_snapshots_within_a_time() {
    let world =
        World::new(RelaySection { clients_per_address: 4, ..RelaySection::default() }).await;
    world.until_ready().await;
    let mut refused = false;
    // Where the machine stands still they may be spread over more than one time.
    for _ in 0..100 {
        let answer = world.http.get(world.at("/v1/stream")).send().await.unwrap();
        refused |= answer.status().as_u16() == 429;
        if refused {
            break;
        }
        snapshot(answer).await;
    }
    assert!(refused);
    world.end().await;
}

#[test]
fn a_relay_for_everybody_is_refused_before_it_starts() {
    let everywhere =
        RelaySection { listen: ([0, 0, 0, 0], 9615).into(), ..RelaySection::default() };
    let error = everywhere.check().unwrap_err().to_string();
    assert!(error.contains("token-file"), "{error}");
    let half = RelaySection { client_ca_file: Some(fixture("ca.pem")), ..RelaySection::default() };
    let error = format!("{:#}", half.resolve().unwrap_err());
    assert!(error.contains("cert-file and key-file"), "{error}");
    let wrong = RelaySection {
        cert_file: Some(fixture("server.pem")),
        key_file: Some(fixture("client.key")),
        ..RelaySection::default()
    };
    let error = format!("{:#}", wrong.resolve().unwrap_err());
    assert!(error.contains("don't belong together"), "{error}");
    let none = RelaySection { relays: 0, ..RelaySection::default() };
    assert!(none.check().is_err());
}
