//! Servers that answer as Marathon does.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use marathon::client::{Auth, BasicAuth, Client};
use marathon::{Coverage, InstanceSpec};

use crate::server::{Server, answer, json};
use crate::{block_on, config, fixture, read};

const BOTH: Coverage = Coverage { apps: true, pods: true };

#[test]
fn a_snapshot_is_one_read_of_apps_and_one_of_pods() {
    let server = Server::start(|request, stream| {
        stream.write_all(&json(match request.path.as_str() {
            "/p/v2/pods/::status" => fixture("pods.json"),
            _ => fixture("apps-1.6-host.json"),
        }))
    });
    let snapshot = read(&config(vec![server.url.join("/p/").unwrap()])).unwrap();
    let ids: Vec<_> = snapshot.workloads.iter().map(|workload| &*workload.id).collect();
    assert_eq!((ids, snapshot.coverage), (vec!["/web", "/productpage"], BOTH));
    let asked = server.asked();
    assert_eq!(
        server.paths(),
        ["/p/v2/apps?embed=apps.tasks&embed=apps.readiness", "/p/v2/pods/::status"]
    );
    assert_eq!(asked[0].header("accept"), Some("application/json"));
    assert_eq!(asked[0].header("accept-encoding"), Some("gzip"));
    assert!(asked[0].header("user-agent").unwrap().starts_with("vipd/"));
    assert_eq!(asked[0].header("authorization"), None);
}

#[test]
fn a_compressed_answer_is_read() {
    let headers = "Content-Encoding: gzip\r\nContent-Type: application/json\r\n";
    let server = Server::with_apps(answer("200 OK", headers, fixture("apps.json.gz")));
    assert_eq!(read(&config(vec![server.url])).unwrap().workloads[0].id.as_ref(), "/web");
}

#[test]
fn a_generation_without_pods_has_none() {
    for status in ["404 Not Found", "405 Method Not Allowed", "501 Not Implemented"] {
        let server = Server::start(move |request, stream| {
            stream.write_all(&match request.path.as_str() {
                "/v2/pods/::status" => answer(status, "", "<html>"),
                _ => json(r#"{"apps":[]}"#),
            })
        });
        assert_eq!(read(&config(vec![server.url])).unwrap().coverage, BOTH, "{status}");
    }
}

/// A Marathon with an app whose answers about pods, about itself and about versions are these.
fn answering(pods: Vec<u8>, info: Vec<u8>, version: Vec<u8>) -> Server {
    Server::start(move |request, stream| {
        stream.write_all(match request.path.as_str() {
            "/v2/pods/::status" => &pods,
            "/v2/info" => &info,
            path if path.contains("versions") => &version,
            _ => return stream.write_all(&json(DEPLOYED)),
        })
    })
}

#[test]
fn a_marathon_without_pods_is_told_from_a_proxy_by_its_version() {
    let page = || answer("404 Not Found", "", "<html>");
    let own = || answer("404 Not Found", "", r#"{"message":"HTTP 404 Not Found"}"#);
    let version = |version: &str| json(format!(r#"{{"version":"{version}"}}"#));
    for (pods, info, is_read) in [
        (page(), version("1.1.1"), true),
        (page(), version("1.3.13"), true),
        (page(), version("1.4.0"), false),
        (own(), version("1.8.222-86475ddac"), false),
        (answer("501 Not Implemented", "", ""), version("1.9.109"), false),
        // Nothing is known of it.
        (page(), page(), false),
        (own(), page(), true),
        (own(), answer("500 Internal Server Error", "", ""), true),
    ] {
        let shown = String::from_utf8_lossy(&info).into_owned();
        let server = answering(pods, info, json("{}"));
        assert_eq!(read(&config(vec![server.url])).is_ok(), is_read, "{shown}");
    }
}

#[test]
fn a_page_in_the_place_of_a_version_record_is_no_answer_and_asked_for_again() {
    let pages = ["<html>", "", "{}", r#"{"message":"no Route matched with those values"}"#];
    for page in pages.map(|body| answer("404 Not Found", "", body)) {
        let server = answering(json("[]"), json(r#"{"version":"1.8.222"}"#), page);
        let client = Client::new(&config(vec![server.url.clone()])).unwrap();
        for _ in 0..2 {
            let snapshot = block_on(client.read_snapshot()).unwrap();
            let first = &snapshot.workloads[0].instances[0];
            assert!(matches!(first.spec, InstanceSpec::Unknown(_)), "{first:?}");
            assert!(snapshot.findings[0].reason.contains("404"), "{:?}", snapshot.findings);
        }
    }
}

#[test]
fn the_framework_id_is_that_of_the_info() {
    let info = json(r#"{"version":"1.8.222","frameworkId":"f-1"}"#);
    let server = answering(json("[]"), info, json("{}"));
    let client = Client::new(&config(vec![server.url])).unwrap();
    let snapshot = block_on(client.read_everything()).result.unwrap();
    assert_eq!(snapshot.framework.as_deref(), Some("f-1"));
}

#[test]
fn a_page_in_the_place_of_pods_that_were_there_is_no_answer() {
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |request, stream| {
        stream.write_all(&match request.path.as_str() {
            "/v2/pods/::status" if asked.fetch_add(1, Ordering::Relaxed) > 0 => {
                answer("404 Not Found", "", "<html>")
            }
            "/v2/pods/::status" => json("[]"),
            _ => json(r#"{"apps":[]}"#),
        })
    });
    let client = Client::new(&config(vec![server.url])).unwrap();
    block_on(async {
        assert_eq!(client.read_snapshot().await.unwrap().coverage, BOTH);
        let error = client.read_snapshot().await.unwrap_err().to_string();
        assert!(error.contains("404"), "{error}");
    });
}

#[test]
fn credentials_are_sent_to_the_configured_server_and_not_where_it_redirects() {
    let stranger = Server::with_apps(json(r#"{"apps":[]}"#));
    let elsewhere = stranger.url.clone();
    let server = Server::start(move |request, stream| {
        let location = format!("Location: {}\r\n", elsewhere.join(&request.path).unwrap());
        stream.write_all(&answer("302 Found", &location, ""))
    });
    let mut config = config(vec![server.url.clone()]);
    config.auth = Some(Auth::Basic(BasicAuth { user: "u".into(), password: "p".into() }));
    assert!(read(&config).is_ok());
    assert!(
        server.asked().iter().all(|request| request.header("authorization") == Some("Basic dTpw"))
    );
    let paths = stranger.paths().into_iter().map(|path| path[..8].to_owned());
    assert_eq!(paths.collect::<Vec<_>>(), ["/v2/apps", "/v2/pods", "/v2/info"]);
    assert!(stranger.asked().iter().all(|request| request.header("authorization").is_none()));
}

/// An app with two tasks of one earlier version, and one of another.
const DEPLOYED: &str = r#"{"apps":[{"id":"/x","version":"2020-01-03T00:00:00.000Z","tasks":[
    {"id":"1","version":"2020-01-01T00:00:00.000Z","host":"h","ports":[7],"startedAt":"2020-01-01T00:00:00Z"},
    {"id":"2","version":"2020-01-01T00:00:00.000Z","host":"h","ports":[8],"startedAt":"2020-01-01T00:00:00Z"},
    {"id":"3","version":"2020-01-02T00:00:00.000Z","host":"h","ports":[9],"startedAt":"2020-01-01T00:00:00Z"}]}]}"#;

#[test]
fn version_records_are_read_once_and_a_purged_one_at_each_read_of_everything() {
    let server = Server::start(|request, stream| {
        stream.write_all(&match request.path.as_str() {
            "/v2/pods/::status" => json("[]"),
            "/v2/apps/x/versions/2020-01-01T00:00:00.000Z" => {
                json(r#"{"id":"/x","version":"2020-01-01T00:00:00.000Z","portDefinitions":[{}]}"#)
            }
            path if path.contains("versions") => {
                answer("404 Not Found", "", r#"{"message":"App '/x' does not exist in version"}"#)
            }
            _ => json(DEPLOYED),
        })
    });
    let client = Client::new(&config(vec![server.url.clone()])).unwrap();
    let (first, second) = block_on(async {
        (client.read_snapshot().await.unwrap(), client.read_snapshot().await.unwrap())
    });
    assert_eq!(first, second);
    assert_eq!(first.findings, []);
    let [one, two, three] = &first.workloads[0].instances[..] else { panic!("three tasks") };
    assert!(
        matches!(one.spec, InstanceSpec::Older(_)) && matches!(two.spec, InstanceSpec::Older(_))
    );
    assert_eq!((one.endpoints.len(), two.endpoints.len()), (1, 1));
    assert!(matches!(three.spec, InstanceSpec::Gone(_)));
    let versions = server.paths().into_iter().filter(|path| path.contains("versions")).count();
    assert_eq!(versions, 3);
}

#[test]
fn a_version_record_that_fails_does_not_cost_the_snapshot() {
    let server = Server::start(|request, stream| {
        stream.write_all(&match request.path.as_str() {
            "/v2/pods/::status" => json("[]"),
            path if path.contains("versions") => answer("500 Oops", "", "{\"message\":\"busy\"}"),
            _ => json(DEPLOYED),
        })
    });
    let snapshot = read(&config(vec![server.url])).unwrap();
    assert_eq!(snapshot.missing_versions().len(), 2);
    let reason = &snapshot.findings[0].reason;
    assert!(reason.contains("of app /x could not be read") && reason.contains("busy"), "{reason}");
}

#[test]
fn the_url_that_worked_last_is_asked_first() {
    let bad = Server::with_apps(answer("503 Service Unavailable", "", "<title>no leader</title>"));
    let good = Server::with_apps(json(r#"{"apps":[]}"#));
    let client = Client::new(&config(vec![bad.url.clone(), good.url.clone()])).unwrap();
    block_on(async {
        client.read_snapshot().await.unwrap();
        client.read_snapshot().await.unwrap();
    });
    // It has no pods, so it is asked for its version too.
    let reads = good.paths().into_iter().filter(|path| path != "/v2/info").count();
    assert_eq!((bad.asked().len(), reads), (1, 4));
}
