//! A cluster for one test, and ways to talk to it and to its tasks.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use marathon_sim::{Agent, Config, Generation, Handle, Sim};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_marathon-sim");

pub(crate) const GENERATIONS: [Generation; 4] =
    [Generation::V1_1, Generation::V1_4, Generation::V1_5, Generation::V1_6];

/// How long anything is waited for before the test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Cluster {
    handle: Handle,
    client: Client,
    /// Begins every agent's address, and no other test's.
    net: [u8; 3],
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

/// A net no other test of this or another run has now, in 127.0.0.0/8.
pub(crate) fn own_net() -> [u8; 3] {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let run = u8::try_from(std::process::id() % 250 + 2).unwrap();
    [127, run, NEXT.fetch_add(1, Ordering::Relaxed)]
}

pub(crate) fn ip([a, b, c]: [u8; 3], last: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, last)
}

impl Cluster {
    /// Two agents, and intervals a twentieth as long as they are written.
    pub(crate) async fn start(generation: Generation) -> Self {
        Self::with(generation, |_| {}).await
    }

    pub(crate) async fn with(generation: Generation, change: impl FnOnce(&mut Config)) -> Self {
        let net = own_net();
        let mut config = Config::new(PROGRAM);
        config.generation = generation;
        config.agents = [11, 12].map(|last| Agent::new(ip(net, last))).into();
        config.time_scale = 0.05;
        config.first_check = Duration::from_millis(10);
        change(&mut config);
        Self { handle: Sim::start(config).await.unwrap(), client: Client::new(), net }
    }

    pub(crate) fn ip(&self, last: u8) -> String {
        ip(self.net, last).to_string()
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(crate) fn url(&self) -> String {
        self.handle.url()
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: impl Into<String>) -> Reply {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("{}{path}", self.handle.url());
        let sent = self.client.request(method, url).body(body.into()).send().await.unwrap();
        let (status, headers) = (sent.status().as_u16(), sent.headers().clone());
        let text = sent.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Reply { status, headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let reply = self.send("GET", path, "").await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.body
    }

    /// Posts or puts JSON that must be accepted.
    pub(crate) async fn put(&self, method: &str, path: &str, body: &Value) -> Reply {
        let reply = self.send(method, path, body.to_string()).await;
        assert!((200..300).contains(&reply.status), "{method} {path}: {reply:?}");
        reply
    }

    /// Posts an app and waits until it runs as wanted.
    pub(crate) async fn run(&self, app: &Value) -> Value {
        self.put("POST", "/v2/apps", app).await;
        self.settled().await;
        self.app(app["id"].as_str().unwrap()).await
    }

    pub(crate) async fn app(&self, id: &str) -> Value {
        self.get(&format!("/v2/apps/{id}")).await["app"].take()
    }

    pub(crate) async fn tasks(&self, id: &str) -> Vec<Value> {
        self.app(id).await["tasks"].as_array().unwrap().clone()
    }

    /// Waits until no deployment is under way.
    pub(crate) async fn settled(&self) {
        self.until("/v2/deployments", |deployments| *deployments == json!([])).await;
    }

    /// Waits until the answer to a GET is as wanted, and returns it.
    pub(crate) async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let body = self.send("GET", path, "").await.body;
            if wanted(&body) {
                return body;
            }
            assert!(tokio::time::Instant::now() < deadline, "{path} is still {body:#}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends the cluster; no process of it may be left.
    pub(crate) async fn end(self) {
        self.handle.shutdown().await;
        let [a, b, c] = self.net;
        assert_eq!(processes(&format!("{a}.{b}.{c}.")), Vec::<i32>::new());
    }
}

/// The ids of the running processes whose command line has `part` in it. Tests look for ids and
/// addresses only they have.
pub(crate) fn processes(part: &str) -> Vec<i32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    ids.filter(|id| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(part)
    })
    .collect()
}

/// Waits for what no answer of the API tells.
pub(crate) async fn eventually(is_so: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "it is still not so");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Where the first port of a task is.
pub(crate) fn address(task: &Value) -> SocketAddr {
    let host = task["host"].as_str().unwrap().parse().unwrap();
    SocketAddr::new(host, u16::try_from(task["ports"][0].as_u64().unwrap()).unwrap())
}

/// What a client that keeps silent is greeted with, and the echo of a line it sends then.
pub(crate) async fn greeting_and_echo(address: SocketAddr, line: &str) -> (String, String) {
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    let (mut greeting, mut echo) = (String::new(), String::new());
    stream.read_line(&mut greeting).await.unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    stream.read_line(&mut echo).await.unwrap();
    (greeting.trim_end().to_owned(), echo.trim_end().to_owned())
}

/// The JSON an HTTP client gets.
pub(crate) async fn http(address: SocketAddr) -> Value {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    serde_json::from_str(body).unwrap()
}

/// A docker app on a bridge with one port.
pub(crate) fn bridge_app(id: &str, instances: usize) -> Value {
    json!({"id": id, "instances": instances, "container": {"type": "DOCKER", "docker": {
        "image": "x", "network": "BRIDGE", "portMappings": [{"containerPort": 80}]}}})
}

/// Asserts that `actual` has everything `expected` has: objects may have more.
pub(crate) fn assert_has(actual: &Value, expected: &Value) {
    if let Err(path) = has(actual, expected, String::new()) {
        panic!("{path} differs\nexpected: {expected:#}\nactual: {actual:#}");
    }
}

fn has(actual: &Value, expected: &Value, path: String) -> Result<(), String> {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            expected.iter().try_for_each(|(key, value)| {
                let path = format!("{path}/{key}");
                actual.get(key).ok_or(path.clone()).and_then(|actual| has(actual, value, path))
            })
        }
        (Value::Array(actual), Value::Array(expected)) if actual.len() == expected.len() => actual
            .iter()
            .zip(expected)
            .enumerate()
            .try_for_each(|(index, (a, e))| has(a, e, format!("{path}/{index}"))),
        _ if actual == expected => Ok(()),
        _ => Err(path),
    }
}
