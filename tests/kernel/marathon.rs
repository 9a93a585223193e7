//! From a live Marathon, over HTTP, to the kernel.

use serde_json::{Value, json};

use crate::support::{http, read_request, serve_with};
use crate::world::{app, apps, healthy, node, table, vipd};

/// Serves a Marathon with these apps and pods.
pub(crate) fn marathon(apps: &Value, pods: &Value) -> String {
    let (apps, pods) = (apps.to_string(), pods.to_string());
    serve_with(move |mut stream| {
        let request = read_request(&mut stream);
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let answer = match path.split('?').next().unwrap_or_default() {
            "/v2/apps" => http("200 OK", "application/json", apps.as_bytes()),
            "/v2/pods/::status" => http("200 OK", "application/json", pods.as_bytes()),
            "/v2/info" => http("200 OK", "application/json", br#"{"version":"1.8.222"}"#),
            _ => http("404 Not Found", "application/json", br#"{"message":"no"}"#),
        };
        let _ = std::io::Write::write_all(&mut stream, &answer);
    })
}

#[test]
fn apps_and_pods_of_a_live_marathon_and_the_second_url_when_the_first_is_down() {
    node();
    let apps = apps([app(
        "/mysql",
        "tcp",
        &json!({ "VIP_0": "3.3.0.6:3306" }),
        &[healthy("10.9.0.11", 31001)],
    )]);
    let pods = json!([{
        "id": "/web", "status": "STABLE",
        "spec": { "id": "/web", "version": "2026-01-01T00:00:00.000Z",
            "networks": [{ "name": "dcos", "mode": "container" }],
            "containers": [{ "name": "nginx", "endpoints": [{
                "name": "http", "containerPort": 80, "hostPort": 0, "protocol": ["tcp"],
                "labels": { "VIP_0": "4.4.0.7:80" } }] }] },
        "instances": [{ "id": "web.instance-1", "status": "STABLE", "agentHostname": "10.9.0.12",
            "specReference": "/v2/pods/web::versions/2026-01-01T00:00:00.000Z",
            "containers": [{ "name": "nginx", "status": "TASK_RUNNING",
                "endpoints": [{ "name": "http", "allocatedHostPort": 31080 }] }] }],
    }]);
    let url = marathon(&apps, &pods);
    let urls = format!("http://127.0.0.1:9,{url}");
    let ran = vipd(&["apply", "--marathon", &urls], "");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        table(),
        [
            "-A -t 3.3.0.6:3306 -s wlc -b flag-3",
            "-A -t 4.4.0.7:80 -s wlc -b flag-3",
            "-a -t 3.3.0.6:3306 -r 10.9.0.11:31001 -m -w 1",
            "-a -t 4.4.0.7:80 -r 10.9.0.12:31080 -m -w 1",
        ]
    );
    assert_eq!(vipd(&["diff", "--marathon", &url], "").code, Some(0));
}
