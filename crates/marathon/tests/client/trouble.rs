//! Servers that fail, each in its way, and what is said of it.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use marathon::DocumentError;
use marathon::client::{Client, ClientError, Stage, Url};

use crate::server::{Server, answer, json};
use crate::{block_on, config, error, fixture, read};

/// A URL where nobody listens.
fn nobody() -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap()).parse().unwrap()
}

/// An error with its sources, as a command prints it.
fn with_sources(error: &(dyn Error + 'static)) -> String {
    let sources = std::iter::successors(Some(error), |error| (*error).source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Waits for the client to give up.
fn hang(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.read_to_end(&mut Vec::new()).map(drop)
}

#[test]
fn a_useless_answer_says_what_it_is() {
    let html = "<html><head><title>Error 502 Connection to leader refused.</title>";
    let cases = [
        (json(r#"{"apps":[{"id":"/a","tas"#), "cut off at line 1"),
        (json(""), "it is empty, which never means \"no apps\""),
        (json("[]"), "not an answer of /v2/apps"),
        (json(r#"{"apps":{"id":3}}"#), "whose apps are not a list"),
        (json(r#"{"apps":[{"id":"/a"}]}"#), "app /a comes without the requested tasks"),
        (json(html), "a web page titled \"Error 502"),
        (
            answer("502 Bad Gateway", "", html),
            "status 502: Error 502 Connection to leader refused.; Marathon has no leader",
        ),
        (
            answer("500 Oops", "", r#"{"message":"while retrieving health counts for app [/x]"}"#),
            "status 500: while retrieving health",
        ),
        (answer("401 Unauthorized", "", ""), "status 401; give a user and password"),
        (answer("404 Not Found", "", ""), "status 404; check that the URL is Marathon's"),
        (answer("204 No Content", "", ""), "it is empty"),
        (answer("304 Not Modified", "", ""), "status 304"),
        (answer("302 Found", "", ""), "it redirects without saying where to"),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "broke off"),
    ];
    for (answer, expected) in cases {
        let server = Server::with_apps(answer);
        let error = with_sources(&error(&server.url));
        assert!(error.contains(expected), "{error}");
        assert!(error.starts_with(server.url.as_str()), "{error}");
    }
}

#[test]
fn wrong_types_and_nulls_in_a_live_answer_cost_only_themselves() {
    let apps = r#"{"apps":[{"id":"/a","tasks":[null,{"id":7}],"labels":3,"networks":null},
        {"id":"/b","tasks":[],"container":null}]}"#;
    let snapshot = read(&config(vec![Server::with_apps(json(apps)).url])).unwrap();
    assert_eq!(snapshot.workloads.len(), 2);
    assert!(snapshot.coverage.apps && !snapshot.findings.is_empty());
}

#[test]
fn an_answer_that_breaks_off_is_no_answer() {
    let gzip = fixture("apps.json.gz");
    let headers = "Content-Encoding: gzip\r\n";
    let mut short = json(r#"{"apps":[]}"#);
    short.pop();
    for answer in [
        answer("200 OK", headers, &gzip[..gzip.len() / 2]),
        answer("200 OK", headers, &gzip[..gzip.len() - 1]),
        answer("200 OK", headers, r#"{"apps":[]}"#),
        short,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"app".to_vec(),
    ] {
        let error = error(&Server::with_apps(answer).url);
        assert!(matches!(error, ClientError::BrokenOff { .. }), "{error}");
    }
}

#[test]
fn an_answer_over_the_limit_is_not_read_to_its_end() {
    let too_large = |server: &Server| {
        let error = error(&server.url);
        assert!(matches!(error, ClientError::TooLarge { limit: 0x10_0000, .. }), "{error}");
    };
    too_large(&Server::with_apps(json(vec![b' '; (1 << 20) + 1])));
    // 8 MiB in 8 KiB: what counts is the length after decompression.
    let bomb = answer("200 OK", "Content-Encoding: gzip\r\n", fixture("bomb.json.gz"));
    too_large(&Server::with_apps(bomb));
    // Without end. The server goes on until the client hangs up.
    too_large(&Server::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"apps\":[")?;
        let page = [b' '; 4096];
        loop {
            stream.write_all(&page)?;
        }
    }));
}

#[test]
fn an_error_page_without_end_is_cut_off() {
    let server = Server::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 500 Oops\r\n\r\n<title>endless</title>")?;
        loop {
            stream.write_all(&[b' '; 4096])?;
        }
    });
    assert!(error(&server.url).to_string().contains("status 500: endless"));
}

#[test]
fn redirects_are_followed_a_few_times_only() {
    let server = Server::start(|request, stream| {
        let location = format!("Location: {}\r\n", request.path);
        stream.write_all(&answer("307 Temporary Redirect", &location, ""))
    });
    let error = error(&server.url);
    assert!(
        matches!(&error, ClientError::Redirect { reason, .. } if reason.to_string().contains("more than 5 times")),
        "{error}"
    );
    assert_eq!(server.asked().len(), 6);
}

#[test]
fn a_refused_connection_is_told_from_a_silent_server() {
    let refused = error(&nobody());
    assert!(
        matches!(&refused, ClientError::NoConnection { cause, .. } if cause.to_string().contains("refused")),
        "{refused}"
    );

    let silent = |server: &Server, idle: u64| {
        let mut config = config(vec![server.url.clone()]);
        config.idle_timeout = Duration::from_millis(idle);
        match read(&config).unwrap_err() {
            ClientError::Silent { stage, .. } => stage,
            other => panic!("{other}"),
        }
    };
    assert_eq!(silent(&Server::start(|_, stream| hang(stream)), 50), Stage::Answering);
    let half = Server::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"apps\":[")?;
        hang(stream)
    });
    // Long enough for the part that does come, on a machine that is busy with other things.
    assert_eq!(silent(&half, 3000), Stage::Sending);
}

#[test]
fn a_read_is_bounded_as_a_whole_too() {
    let server = Server::start(|_, stream| hang(stream));
    let mut config = config(vec![server.url.clone()]);
    config.read_timeout = Duration::from_millis(50);
    assert!(matches!(read(&config).unwrap_err(), ClientError::Silent { .. }));
}

#[test]
fn a_url_that_fails_leaves_it_to_the_next() {
    let good = Server::with_apps(json(r#"{"apps":[]}"#));
    assert!(read(&config(vec![nobody(), good.url])).is_ok());
}

#[test]
fn when_no_url_works_each_one_is_told_of_without_its_password() {
    let mut first = nobody();
    first.set_username("u").unwrap();
    first.set_password(Some("hunter2")).unwrap();
    let second = Server::with_apps(json(""));
    let error = read(&config(vec![first, second.url.clone()])).unwrap_err();
    let ClientError::All(errors) = &error else { panic!("{error}") };
    assert!(matches!(errors[0], ClientError::NoConnection { .. }));
    assert!(matches!(&errors[1], ClientError::Document { error: DocumentError::Empty, .. }));
    let text = error.to_string();
    assert!(text.contains("refused") && text.contains("it is empty"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn pods_that_fail_are_not_taken_for_none() {
    let server = Server::start(|request, stream| {
        stream.write_all(&match request.path.as_str() {
            "/v2/pods/::status" => answer("403 Forbidden", "", ""),
            _ => json(r#"{"apps":[]}"#),
        })
    });
    let client = Client::new(&config(vec![server.url.clone()])).unwrap();
    let error = block_on(client.read_snapshot()).unwrap_err();
    assert!(error.to_string().contains("status 403; this user may not read"), "{error}");
}
