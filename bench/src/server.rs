//! A simulated Marathon: it answers reads and keeps event streams open.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;

/// The server, shared by its connections.
#[derive(Debug)]
pub(crate) struct Server {
    cluster: Mutex<Cluster>,
    /// The event streams of those who listen.
    streams: Mutex<Vec<TcpStream>>,
    opened: Condvar,
    /// The number of events, which are a second apart by Marathon's clock.
    seconds: AtomicUsize,
    /// Cached answer for `/v2/apps`, made anew after a change.
    everything: Mutex<Option<Arc<Vec<u8>>>>,
}

impl Server {
    /// Starts the server on a free port and returns its URL.
    pub(crate) fn start(cluster: Cluster) -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(Self {
            cluster: Mutex::new(cluster),
            streams: Mutex::default(),
            opened: Condvar::new(),
            seconds: AtomicUsize::new(0),
            everything: Mutex::new(None),
        });
        let shared = server.clone();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let server = shared.clone();
                thread::spawn(move || server.serve_connection(connection));
            }
        });
        // Keep the stream alive as Marathon does, with empty lines.
        let shared = server.clone();
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_secs(10));
                write_to_all(&mut shared.streams.lock().unwrap(), b"\r\n");
            }
        });
        (server, url)
    }

    /// Sends an event to all who listen, at least one, and returns the time at which it was sent.
    pub(crate) fn send_event(&self, bytes: &str) -> Instant {
        let mut streams = self.streams.lock().unwrap();
        loop {
            while streams.is_empty() {
                streams = self.opened.wait(streams).unwrap();
            }
            let at = Instant::now();
            write_to_all(&mut streams, bytes.as_bytes());
            if !streams.is_empty() {
                return at;
            }
        }
    }

    /// Returns a later second than before, for an event.
    pub(crate) fn next_second(&self) -> usize {
        self.seconds.fetch_add(1, Ordering::Relaxed)
    }

    /// Sets a task's health for later reads.
    pub(crate) fn set_healthy(&self, app: usize, task: usize, healthy: bool) {
        self.cluster.lock().unwrap().set_healthy(app, task, healthy);
        *self.everything.lock().unwrap() = None;
    }

    fn serve_connection(&self, connection: TcpStream) {
        let _ = connection.set_nodelay(true);
        let mut reader = BufReader::new(connection.try_clone().unwrap());
        let mut connection = connection;
        loop {
            let Some(path) = read_request(&mut reader) else { return };
            if path.starts_with("/v2/events") {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n\r\n";
                if connection.write_all(head.as_bytes()).is_ok() {
                    self.streams.lock().unwrap().push(connection);
                    self.opened.notify_all();
                }
                return;
            }
            let body = self.answer_request(&path);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            if connection.write_all(head.as_bytes()).and(connection.write_all(&body)).is_err() {
                return;
            }
        }
    }

    fn answer_request(&self, path: &str) -> Arc<Vec<u8>> {
        let path = path.split('?').next().unwrap_or_default();
        match path {
            "/v2/info" => Arc::new(br#"{"version":"1.9.109"}"#.to_vec()),
            "/v2/pods/::status" => Arc::new(b"[]".to_vec()),
            "/v2/apps" => {
                let cluster = self.cluster.lock().unwrap();
                let mut kept = self.everything.lock().unwrap();
                let made = || Arc::new(cluster.apps_body().into_bytes());
                kept.get_or_insert_with(made).clone()
            }
            _ => {
                let number = path.trim_end_matches('/').rsplit("app").next().unwrap_or_default();
                let app = number.parse().unwrap_or_else(|_| panic!("asked for {path}"));
                Arc::new(self.cluster.lock().unwrap().app_body(app).into_bytes())
            }
        }
    }
}

/// Writes to all streams, and drops those that nobody reads any more.
fn write_to_all(streams: &mut Vec<TcpStream>, bytes: &[u8]) {
    streams.retain_mut(|stream| stream.write_all(bytes).is_ok());
}

/// Reads the next request and returns its path.
fn read_request(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    while reader
        .read_line({
            line.clear();
            &mut line
        })
        .ok()?
        > 2
    {}
    Some(path)
}
