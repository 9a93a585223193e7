//! A client of the event stream that looks at every byte.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A raw connection to the event stream.
pub(crate) struct Stream {
    pub(crate) head: String,
    pub(crate) reader: BufReader<TcpStream>,
}

impl Stream {
    /// Asks for the stream and reads the head of the answer.
    pub(crate) async fn open(url: &str, query: &str) -> Self {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
        Self::on(stream, query, "").await
    }

    /// The same with an `Authorization`.
    pub(crate) async fn open_as(url: &str, query: &str, authorization: &str) -> Self {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
        Self::on(stream, query, &format!("Authorization: {authorization}\r\n")).await
    }

    pub(crate) async fn on(mut stream: TcpStream, query: &str, headers: &str) -> Self {
        let request = format!(
            "GET /v2/events{query} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).await.unwrap(), 0, "{head}");
        }
        Self { head, reader }
    }

    /// The next event, or nothing at the end of the stream. Heartbeats are passed over.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let mut event = self.line().await?;
        while event == "\r\n" {
            event = self.line().await?;
        }
        let (data, end) = (self.line().await?, self.line().await?);
        assert_eq!(end, "\r\n");
        let kind = event.strip_prefix("event: ").unwrap().strip_suffix("\r\n").unwrap();
        let data = data.strip_prefix("data: ").unwrap().strip_suffix("\r\n").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["eventType"], kind);
        assert!(data["timestamp"].is_string());
        Some(data)
    }

    pub(crate) async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line);
        let read = tokio::time::timeout(std::time::Duration::from_secs(30), read).await;
        (read.expect("the stream says something").unwrap_or(0) > 0).then_some(line)
    }

    /// Everything up to and with the first event of a type.
    pub(crate) async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("no {kind} in {events:#?}"));
            let found = event["eventType"] == kind;
            events.push(event);
            if found {
                return events;
            }
        }
    }

    pub(crate) async fn byte(&mut self) -> std::io::Result<u8> {
        self.reader.read_u8().await
    }

    /// Reads to the end.
    pub(crate) async fn ends(&mut self) {
        while self.next().await.is_some() {}
    }
}
