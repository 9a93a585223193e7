//! A web server of a few lines on loopback, which does exactly what a test says.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use marathon::client::Url;

/// One request, as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// The lines of the head, in lower case.
    pub(crate) headers: Vec<String>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A running server and what it was asked.
pub(crate) struct Server {
    pub(crate) url: Url,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers each request, one a connection, with whatever `answer` writes.
    pub(crate) fn start(
        answer: impl Fn(&Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                thread::spawn(move || {
                    let mut stream = stream;
                    let request = read_head(&stream);
                    log.lock().unwrap().push(request.clone());
                    // A client that had enough closes early, and that is fine.
                    let _ = answer(&request, &mut stream);
                });
            }
        });
        Self { url, asked }
    }

    /// Answers `/v2/apps` so, and has no pods and nothing else.
    pub(crate) fn with_apps(apps: Vec<u8>) -> Self {
        Self::start(move |request, stream| {
            if request.path.starts_with("/v2/apps?") {
                stream.write_all(&apps)
            } else {
                stream.write_all(&answer("404 Not Found", "", "{\"message\":\"no\"}"))
            }
        })
    }

    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|request| request.path).collect()
    }
}

fn read_head(stream: &TcpStream) -> Request {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut lines = lines.take_while(|line| !line.is_empty());
    let path = lines.next().and_then(|line| line.split(' ').nth(1).map(str::to_owned));
    let headers = lines.map(|line| match line.split_once(": ") {
        Some((name, value)) => format!("{}: {value}", name.to_ascii_lowercase()),
        None => line,
    });
    Request { path: path.unwrap_or_default(), headers: headers.collect() }
}

/// A whole answer. `headers` are lines that each end in CRLF.
pub(crate) fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let mut answer = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// A good answer of JSON.
pub(crate) fn json(body: impl AsRef<[u8]>) -> Vec<u8> {
    answer("200 OK", "Content-Type: application/json\r\n", body)
}
