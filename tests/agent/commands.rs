//! Commands that ask an agent over HTTP: one on another node, or the one of this node whose socket they
//! may not use.

use std::path::Path;

use crate::site::{Site, run};
use crate::support::{ForNobody, http, serve, vipd};
use crate::world::{World, app, eventually};

/// Does it beside an agent that serves 3.3.0.6:80 with two tasks of `/web`: with the agent's URL and its
/// folder.
fn beside_an_agent(ask: impl FnOnce(&str, &Path) + Send + 'static) {
    run(async {
        let site = Site::new(World::serving(2).await).await;
        let (url, folder) = (site.url.clone(), site.world.folder.path().to_owned());
        tokio::task::spawn_blocking(move || ask(&url, &folder)).await.unwrap();
        site.end().await;
    });
}

#[test]
fn an_agent_is_asked_at_its_url_for_everything_that_is_read() {
    beside_an_agent(|url, _| {
        let ask = |args: &[&str]| vipd(&[args, &["--url", url]].concat());
        let status = ask(&["status"]);
        assert!(status.out.contains("agent: acting"), "{}{}", status.out, status.err);
        for part in ["3.3.0.6:80/tcp  serving", "/web web.", "(healthy)", "VIPs: 1 (1 serving)"] {
            assert!(status.out.contains(part), "{part}: {}", status.out);
        }
        let summary = ask(&["status", "--summary", "--output", "json"]);
        let summary: serde_json::Value = serde_json::from_str(&summary.out).unwrap();
        assert_eq!((&summary["vips"], &summary["serving_servers"]), (&1.into(), &2.into()));
        assert!(ask(&["status", "web"]).out.contains("3.3.0.6:80/tcp"));
        assert!(ask(&["status", "--state", "refusing"]).out.contains("VIPs: 0"));
        let nothing = ask(&["status", "/wbe"]);
        assert_eq!(nothing.code, Some(2));
        assert!(nothing.err.contains("did you mean /web?"), "{}", nothing.err);

        let task = status.out.split_whitespace().find(|word| word.starts_with("web.")).unwrap();
        for what in ["/web", "web", "3.3.0.6", task] {
            let explained = ask(&["explain", what]);
            assert_eq!(explained.code, Some(0), "{what}: {}", explained.err);
            assert!(explained.out.contains(task), "{what}: {}", explained.out);
        }
        let unknown = ask(&["explain", "/wbe"]);
        assert_eq!(unknown.code, Some(2));
        assert!(unknown.err.contains("did you mean /web?"), "{}", unknown.err);

        let events = ask(&["events"]);
        assert!(events.out.contains("3.3.0.6:80/tcp"), "{}{}", events.out, events.err);
        let diff = ask(&["diff"]);
        assert_eq!((diff.code, diff.out.as_str()), (Some(0), "nothing to do\n"), "{}", diff.err);
        assert_eq!(ask(&["names"]).code, Some(0));
    });
}

#[test]
fn an_app_whose_only_label_is_refused_is_found_by_every_command() {
    run(async {
        let site = Site::new(World::serving(2).await).await;
        let bad = app("/shop/badlabel", "3.3.0.8", 1);
        site.world.run_app(&bad).await;
        eventually(async || site.get("/v1/labels").await.1.contains("/shop/badlabel")).await;
        let url = site.url.clone();
        let work = move || {
            let ask = |args: &[&str]| vipd(&[args, &["--url", &url]].concat());
            let status = ask(&["status"]);
            assert_eq!(status.code, Some(0), "an owner's mistake is no trouble of the node's");
            let refused = "! refused: /shop/badlabel 3.3.0.8: ";
            assert!(status.out.contains(refused), "{}", status.out);
            let found = ask(&["status", "badlabel"]);
            assert!(found.out.contains(refused) && found.code == Some(0), "{found:?}");
            assert!(!found.out.contains("3.3.0.6:80/tcp"), "{}", found.out);
            assert!(!ask(&["status", "web"]).out.contains("badlabel"));
            let near = ask(&["status", "/shop/badlable"]);
            assert!(near.err.contains("did you mean /shop/badlabel?"), "{}", near.err);
            let summary = ask(&["status", "--summary"]);
            assert!(summary.out.contains("! 1 label is refused: "), "{}", summary.out);
            let json = |args: &[&str]| -> serde_json::Value {
                serde_json::from_str(&ask(&[args, &["--output", "json"]].concat()).out).unwrap()
            };
            assert_eq!(json(&["status", "--summary"])["refused_labels"], 1);
            let status = json(&["status"]);
            assert_eq!(status["refused_labels"][0]["app"], "/shop/badlabel", "{status}");

            let tried = ask(&["try", "/shop/badlabel"]);
            assert_eq!(tried.code, Some(1), "{tried:?}");
            assert!(tried.out.contains("! policy: /shop/badlabel 3.3.0.8: "), "{}", tried.out);
            assert!(tried.out.starts_with("  /shop/badlabel from this node"), "{}", tried.out);
            let near = ask(&["try", "/shop/badlable"]);
            assert!(near.err.contains("did you mean /shop/badlabel?"), "{}", near.err);
        };
        tokio::task::spawn_blocking(work).await.unwrap();
        site.end().await;
    });
}

#[test]
fn a_second_hold_keeps_the_time_of_the_first_and_tells_its_reason() {
    beside_an_agent(|_, folder| {
        let socket = folder.join("agent.sock");
        let ask = |args: &[&str]| vipd(&[args, &["--socket", socket.to_str().unwrap()]].concat());
        let first = ask(&["hold", "ask", "anna"]);
        assert!(first.code == Some(0) && !first.err.contains("was held"), "{first:?}");
        let since = first.err.trim().rsplit(' ').next().unwrap().to_owned();
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let again: serde_json::Value =
            serde_json::from_str(&ask(&["hold", "--output", "json"]).out).unwrap();
        assert_eq!(
            (&again["since"], &again["reason"]),
            (&since.clone().into(), &"ask anna".into())
        );
        let other = ask(&["hold", "ask", "ben"]);
        let before = format!("note: was held since {since}: ask anna");
        assert!(other.err.contains(&before), "{}", other.err);
        assert!(other.err.contains(&format!("changes nothing since {since}")), "{}", other.err);
        let ended = ask(&["release"]);
        assert!(ended.err.contains(&format!("was held since {since}: ask ben (for ")), "{ended:?}");
        let idle = ask(&["release"]);
        assert!(idle.code == Some(0) && !idle.err.contains("was held"), "{idle:?}");
    });
}

#[test]
fn what_nothing_matches_and_what_is_no_vipd_is_an_error() {
    beside_an_agent(|url, _| {
        let nothing = vipd(&["names", "/wbe", "--url", url]);
        assert_eq!((nothing.code, nothing.out.as_str()), (Some(2), ""), "{nothing:?}");
        assert!(nothing.err.contains("there is no app, "), "{}", nothing.err);
        for (status, body) in [("404 Not Found", "not here"), ("200 OK", "<html>")] {
            let other = serve(http(status, "text/html", body.as_bytes()));
            let ran = vipd(&["status", "--url", &other]);
            assert_eq!(ran.code, Some(2), "{ran:?}");
            assert!(ran.err.contains(&format!("no vipd answers at {other}")), "{}", ran.err);
        }
    });
}

/// The folder of the socket is its owner's alone, as `/run/vipd` is on a packaged node.
#[test]
fn who_may_not_use_the_socket_is_told_so_and_asks_over_http() {
    beside_an_agent(|url, folder| {
        let Some(nobody) = ForNobody::new() else { return };
        let write_config = |listen: &str| {
            let file = nobody.at("vipd.toml");
            let socket = folder.join("agent.sock");
            let text = format!("[agent]\nlisten = {listen:?}\nsocket = {socket:?}\n");
            std::fs::write(&file, text).unwrap();
            file
        };
        let config = write_config(url.strip_prefix("http://").unwrap());
        for (command, expected) in [
            (&["status"][..], "3.3.0.6:80/tcp  serving"),
            (&["explain", "/web"], "is the real server"),
            (&["events"], "3.3.0.6:80/tcp"),
            (&["diff"], "nothing to do"),
            (&["names"], "name"),
        ] {
            let ran = nobody.run(&config, command);
            assert_eq!(ran.code, Some(0), "{command:?}: {}{}", ran.out, ran.err);
            assert!(ran.out.contains(expected), "{command:?}: {}", ran.out);
            assert!(ran.err.contains("permission denied on "), "{command:?}: {}", ran.err);
        }
        let unused = "127.0.0.1:1";
        for command in [&["hold"][..], &["explain", "/web"], &["events"], &["names"]] {
            let ran = nobody.run(&write_config(unused), command);
            assert_eq!(ran.code, Some(2), "{command:?}");
            let said = &ran.err;
            assert!(
                said.contains("permission denied on ") && said.contains("run as root"),
                "{said}"
            );
            assert!(!said.contains("no agent listens"), "{said}");
        }
    });
}
