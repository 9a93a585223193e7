//! The Marathon that means harm: an honest one, until it is told to play a trick.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The time of every definition and task, and of the events, which are later.
const VERSION: &str = "2026-01-01T00:00:00.000Z";

/// The number of events of a flood, before and after the one that counts.
const FLOOD: usize = 135_000;

/// A trick. Those of the first group are played with answers, the others with events.
#[derive(Clone)]
pub(crate) enum Trick {
    None,
    EndlessHeader,
    EndlessChunks,
    /// One byte a second.
    DripBody,
    /// 10 GB of blanks, compressed to 10 MB.
    Bomb,
    EndlessRedirect,
    Silence,
    WrongLength,
    WebPage,
    /// An answer about something else.
    OtherApp,
    /// Apps without their tasks.
    NoTasks,
    /// Bytes that are no HTTP.
    Noise,
    HugeErrorPage,
    Body(Arc<[u8]>),

    UnknownIds,
    HugeEvents,
    EndlessEvent,
    /// Events that name 50,000 apps each.
    ManyNames,
    /// Streams that end at once.
    ShortStreams,
}

impl Trick {
    pub(crate) fn is_of_answers(&self) -> bool {
        !matches!(
            self,
            Self::None
                | Self::UnknownIds
                | Self::HugeEvents
                | Self::EndlessEvent
                | Self::ManyNames
                | Self::ShortStreams
        )
    }
}

impl fmt::Debug for Trick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::EndlessHeader => "EndlessHeader",
            Self::EndlessChunks => "EndlessChunks",
            Self::DripBody => "DripBody",
            Self::Bomb => "Bomb",
            Self::EndlessRedirect => "EndlessRedirect",
            Self::Silence => "Silence",
            Self::WrongLength => "WrongLength",
            Self::WebPage => "WebPage",
            Self::OtherApp => "OtherApp",
            Self::NoTasks => "NoTasks",
            Self::Noise => "Noise",
            Self::HugeErrorPage => "HugeErrorPage",
            Self::Body(_) => "Body",
            Self::UnknownIds => "UnknownIds",
            Self::HugeEvents => "HugeEvents",
            Self::EndlessEvent => "EndlessEvent",
            Self::ManyNames => "ManyNames",
            Self::ShortStreams => "ShortStreams",
        })
    }
}

struct State {
    trick: Trick,
    /// The last bytes of the addresses of the tasks of `/web`.
    tasks: BTreeSet<u8>,
    /// The number of answers that the trick was played with.
    played: usize,
    streams: Vec<mpsc::Sender<Vec<u8>>>,
}

pub(crate) struct HostileMarathon {
    state: Arc<Mutex<State>>,
    address: String,
    server: JoinHandle<()>,
}

impl HostileMarathon {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let tasks = (11..15).collect();
        let state = State { trick: Trick::None, tasks, played: 0, streams: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let server = tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                // An error is the agent hanging up, which is its right.
                tokio::spawn(answer_connection(connection, Arc::clone(&shared)));
            }
        });
        Self { state, address, server }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The addresses of the tasks of `/web`.
    pub(crate) fn servers(&self) -> Vec<String> {
        self.state.lock().unwrap().tasks.iter().map(|task| format!("10.1.0.{task}:31000")).collect()
    }

    /// Plays a trick from now on. One with answers begins before this returns.
    pub(crate) async fn play(&self, trick: Trick) {
        {
            let mut state = self.state.lock().unwrap();
            state.played = 0;
            state.trick = trick.clone();
            if matches!(trick, Trick::ShortStreams) {
                state.streams.clear();
            }
        }
        if trick.is_of_answers() {
            self.ask_for_a_read().await;
            while self.state.lock().unwrap().played == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Sends an event that can't be read, so that anything may have changed.
    pub(crate) async fn ask_for_a_read(&self) {
        self.send(frame(&json!({"eventType": "status_update_event"}))).await;
    }

    /// Lets a task of `/web` die, with its event in the midst of the trick's events. Another task
    /// takes its place. Returns where it was.
    pub(crate) async fn kill_one(&self) -> String {
        let (dead, trick) = {
            let mut state = self.state.lock().unwrap();
            let dead = state.tasks.pop_first().unwrap();
            let new = state.tasks.last().unwrap() + 1;
            state.tasks.insert(new);
            (dead, state.trick.clone())
        };
        for bytes in flood(&trick) {
            self.send(bytes).await;
        }
        self.send(frame(&json!({
            "eventType": "status_update_event", "timestamp": jiff_now(), "slaveId": "s1",
            "taskId": format!("web.{dead}"), "taskStatus": "TASK_FAILED", "appId": "/web",
            "host": format!("10.1.0.{dead}"), "ports": [31000], "version": VERSION,
        })))
        .await;
        let state = Arc::clone(&self.state);
        tokio::spawn(async move {
            for bytes in flood(&trick) {
                send_to_all(&state, bytes).await;
            }
        });
        format!("10.1.0.{dead}:31000")
    }

    async fn send(&self, bytes: Vec<u8>) {
        send_to_all(&self.state, bytes).await;
    }
}

impl Drop for HostileMarathon {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn send_to_all(state: &Mutex<State>, bytes: Vec<u8>) {
    let streams = state.lock().unwrap().streams.clone();
    for stream in streams {
        let _ = stream.send(bytes.clone()).await;
    }
}

fn jiff_now() -> String {
    format!("{:.3}", marathon::Timestamp::now())
}

fn frame(event: &Value) -> Vec<u8> {
    let kind = event["eventType"].as_str().unwrap();
    format!("event: {kind}\r\ndata: {event}\r\n\r\n").into_bytes()
}

/// The events of a trick that come before the one that counts, and after it.
fn flood(trick: &Trick) -> Vec<Vec<u8>> {
    let event = |id: &str| {
        frame(&json!({
            "eventType": "status_update_event", "timestamp": VERSION, "taskId": format!("{id}.1"),
            "taskStatus": "TASK_FAILED", "appId": id, "version": VERSION,
        }))
    };
    match trick {
        Trick::UnknownIds => {
            let chunks = (0..FLOOD).step_by(1000);
            chunks
                .map(|first| {
                    (first..first + 1000).flat_map(|n| event(&format!("/unknown/{n}"))).collect()
                })
                .collect()
        }
        Trick::HugeEvents => vec![event(&format!("/{}", "x".repeat(900_000))); 60],
        Trick::EndlessEvent => {
            let mut chunks = vec![vec![b'x'; 1 << 20]; 100];
            chunks.insert(0, b"data: ".to_vec());
            chunks.push(b"\r\n\r\n".to_vec());
            chunks
        }
        Trick::ManyNames => {
            let actions: Vec<_> = (0..30_000).map(|n| json!({"app": format!("/{n}")})).collect();
            let event = json!({
                "eventType": "deployment_success", "timestamp": VERSION, "id": "d",
                "plan": {"steps": [{"actions": actions}]},
            });
            vec![frame(&event); 50]
        }
        _ => Vec::new(),
    }
}

/// The honest answer of all apps.
fn honest_apps(state: &State) -> Value {
    let task = |app: &str, last: u8| {
        json!({
            "id": format!("{app}.{last}"), "appId": format!("/{app}"), "ports": [31000],
            "host": format!("10.1.0.{last}"), "state": "TASK_RUNNING", "startedAt": VERSION,
            "stagedAt": VERSION, "version": VERSION, "slaveId": "s1", "ipAddresses": [],
        })
    };
    let app = |app: &str, vip: &str, tasks: Vec<Value>| {
        json!({
            "id": format!("/{app}"), "version": VERSION, "networks": [{"mode": "host"}],
            "instances": tasks.len(), "tasks": tasks,
            "portDefinitions": [{"port": 0, "protocol": "tcp", "labels": {"VIP_0": vip}}],
        })
    };
    let web = state.tasks.iter().map(|last| task("web", *last)).collect();
    json!([app("web", crate::WEB, web), app("db", crate::DB, vec![task("db", 9)])])
}

async fn answer_connection(connection: TcpStream, state: Arc<Mutex<State>>) -> std::io::Result<()> {
    let mut connection = BufReader::new(connection);
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    while line.trim() != "" {
        line.clear();
        connection.read_line(&mut line).await?;
    }
    let out = connection.get_mut();
    if path.starts_with("/v2/info") {
        return send_json(out, &json!({"version": "1.9.109"})).await;
    }
    if path.starts_with("/v2/pods") {
        return send_json(out, &json!([])).await;
    }
    if path.starts_with("/v2/events") {
        return stream_events(out, &state).await;
    }
    let (trick, apps) = {
        let mut state = state.lock().unwrap();
        state.played += 1;
        (state.trick.clone(), honest_apps(&state))
    };
    let path = path.split('?').next().unwrap_or_default();
    let one = path.strip_prefix("/v2/apps").filter(|id| !id.is_empty());
    let honest = match one {
        None => json!({ "apps": apps }),
        Some(id) => match apps.as_array().unwrap().iter().find(|app| app["id"] == *id) {
            Some(app) => json!({ "app": app }),
            None => return send_missing(out, id).await,
        },
    };
    match trick {
        Trick::Body(_) if one.is_some() => send_json(out, &honest).await,
        trick => play_trick(out, trick, honest).await,
    }
}

async fn send_json(out: &mut TcpStream, body: &Value) -> std::io::Result<()> {
    send_body(out, "200 OK", "application/json", body.to_string().as_bytes()).await
}

async fn send_missing(out: &mut TcpStream, id: &str) -> std::io::Result<()> {
    let message = json!({"message": format!("App '{id}' does not exist")}).to_string();
    send_body(out, "404 Not Found", "application/json", message.as_bytes()).await
}

async fn send_body(
    out: &mut TcpStream,
    status: &str,
    kind: &str,
    body: &[u8],
) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    out.write_all(head.as_bytes()).await?;
    out.write_all(body).await
}

async fn stream_events(out: &mut TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    out.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n",
    )
    .await?;
    let (sender, mut events) = mpsc::channel(4);
    if let Trick::ShortStreams = state.lock().unwrap().trick {
        return Ok(());
    }
    state.lock().unwrap().streams = vec![sender];
    while let Some(bytes) = events.recv().await {
        out.write_all(&bytes).await?;
    }
    Ok(())
}

async fn play_trick(out: &mut TcpStream, trick: Trick, honest: Value) -> std::io::Result<()> {
    let json_head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
    match trick {
        Trick::EndlessHeader => {
            out.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                out.write_all(&b"X-More: and more of it\r\n".repeat(1000)).await?;
            }
        }
        Trick::EndlessChunks => {
            out.write_all(json_head).await?;
            out.write_all(b"Transfer-Encoding: chunked\r\n\r\n").await?;
            let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
            loop {
                out.write_all(&chunk).await?;
            }
        }
        Trick::DripBody => {
            out.write_all(json_head).await?;
            out.write_all(b"\r\n").await?;
            for byte in honest.to_string().bytes() {
                out.write_all(&[byte]).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Ok(())
        }
        Trick::Bomb => {
            out.write_all(json_head).await?;
            out.write_all(b"Content-Encoding: gzip\r\n\r\n").await?;
            out.write_all(&crate::bombs::gzip_of_blanks(10 << 30)).await
        }
        Trick::EndlessRedirect => {
            let head = b"HTTP/1.1 302 Found\r\nLocation: /v2/apps\r\nContent-Length: 0\r\n\
                         Connection: close\r\n\r\n";
            out.write_all(head).await
        }
        Trick::Silence => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            Ok(())
        }
        Trick::WrongLength => {
            out.write_all(json_head).await?;
            out.write_all(b"Content-Length: 1000000000000\r\n\r\n").await?;
            out.write_all(honest.to_string().as_bytes()).await
        }
        Trick::WebPage => send_body(out, "200 OK", "text/html", b"<html>Sign in</html>").await,
        Trick::OtherApp => send_json(out, &json!({"app": {"id": "/other", "tasks": []}})).await,
        Trick::NoTasks => send_json(out, &json!({"apps": [{"id": "/web"}, {"id": "/db"}]})).await,
        Trick::Noise => out.write_all(&[0x80; 1 << 20]).await,
        Trick::HugeErrorPage => {
            let page = vec![b'<'; 100 << 20];
            send_body(out, "500 Internal Server Error", "text/html", &page).await
        }
        Trick::Body(rest) => {
            // The honest apps come first: what is tried is whether the others cost them anything.
            let honest = honest["apps"].to_string();
            let body =
                [b"{\"apps\":", honest.trim_end_matches(']').as_bytes(), b",", &rest].concat();
            send_body(out, "200 OK", "application/json", &body).await
        }
        Trick::None
        | Trick::UnknownIds
        | Trick::HugeEvents
        | Trick::EndlessEvent
        | Trick::ManyNames
        | Trick::ShortStreams => send_json(out, &honest).await,
    }
}
