//! Settings of the data path, and address families.

use serde_json::json;

use super::cells::{Network, Server};
use super::marathon::app_at;
use super::promise::Mode;
use super::say;
use super::serve::{Protocol, ask};
use super::topology::{Family, address};
use super::world::{FAMILIES, PROTOCOLS, apply, apply_with, mode, network};

const SERVER: Server = Server { namespace: "n2", network: Network::Host };

fn vip(family: Family) -> &'static str {
    if family == Family::V4 { "3.3.9.1:80" } else { "[fd03::9:1]:80" }
}

#[test]
fn without_masquerading_servers_see_who_asks_and_the_nodes_own_clients_still_get_replies() {
    let net = network();
    let apps = PROTOCOLS
        .into_iter()
        .flat_map(|protocol| FAMILIES.map(|family| app_at(vip(family), SERVER, protocol, family)));
    let apps = json!({"apps": apps.collect::<Vec<_>>()});
    apply(&net, &apps);
    if mode(&net) == Mode::Reduced {
        say("not on this kernel: masquerading, on or off");
        return;
    }
    // Source addresses of the node itself, and of a container that n2 reaches through n1. Docker's
    // containers have the node's address in any case: Docker masquerades them.
    let seen = |client: &str, masquerade: &str| match (client, masquerade) {
        ("n1r", "off") => "n1r",
        _ => "n1",
    };
    for masquerade in ["off", "always"] {
        apply_with(&net, &["--masquerade", masquerade], &apps);
        for client in ["n1", "n1b", "n1r"] {
            for (protocol, family) in
                PROTOCOLS.into_iter().flat_map(|protocol| FAMILIES.map(|family| (protocol, family)))
            {
                let at = vip(family).parse().unwrap();
                let answer = net.seat(client).run(move || ask(at, protocol));
                let source = answer.map(|answer| answer.source.to_string()).ok();
                let expected = address(seen(client, masquerade), family);
                assert_eq!(
                    source,
                    Some(expected),
                    "{client} {protocol:?} {family:?}, masquerade {masquerade}"
                );
            }
        }
    }
}

#[test]
fn a_vip_gets_no_server_of_the_other_family() {
    let net = network();
    let app = |vip: &str, family: Family| app_at(vip, SERVER, Protocol::Tcp, family);
    // Two apps whose task has an address of the other family only, and one app with VIPs and a task
    // in both families.
    let mut both = app("3.3.9.4:80", Family::V4);
    both["id"] = json!("/both");
    both["tasks"][0]["appId"] = json!("/both");
    both["tasks"][0]["id"] = json!("both.1");
    both["networks"] = json!([{"mode": "container", "name": "routed"}]);
    let labels = json!({"VIP_0": "3.3.9.4:80", "VIP_1": "[fd03::9:4]:80"});
    both["container"] = json!({"portMappings": [
        {"containerPort": 80, "hostPort": null, "protocol": "tcp", "labels": labels},
    ]});
    both.as_object_mut().unwrap().remove("portDefinitions");
    both["tasks"][0]["ports"] = json!([]);
    both["tasks"][0]["ipAddresses"] = json!([
        {"ipAddress": address("n2t", Family::V4), "protocol": "IPv4"},
        {"ipAddress": address("n2t", Family::V6), "protocol": "IPv6"},
    ]);
    let (to_v6, to_v4) = (app("3.3.9.2:80", Family::V6), app("[fd03::9:3]:80", Family::V4));
    apply(&net, &json!({"apps": [both, to_v6, to_v4]}));
    let table = net.on("n1", "ipvsadm -Sn");
    let servers: Vec<_> =
        table.lines().filter(|line| line.starts_with("-a")).map(str::trim).collect();
    let mut expected = vec![
        "-a -t 3.3.9.4:80 -r 10.88.2.3:80 -m -w 1",
        "-a -t [fd03::9:4]:80 -r [fd88:2::3]:80 -m -w 1",
    ];
    expected.sort_by_key(|line| servers.iter().position(|other| other == line));
    assert_eq!(servers, expected, "{table}");
    for vip in ["-A -t 3.3.9.2:80", "-A -t [fd03::9:3]:80"] {
        assert!(table.contains(vip), "{vip} in {table}");
    }
    if mode(&net) == Mode::Full {
        for (vip, answers) in [
            ("3.3.9.2:80", false),
            ("[fd03::9:3]:80", false),
            ("3.3.9.4:80", true),
            ("[fd03::9:4]:80", true),
        ] {
            let at = vip.parse().unwrap();
            let answer = net.seat("n1").run(move || ask(at, Protocol::Tcp));
            let who = answer.map(|answer| answer.who).map_err(|error| error.kind());
            let expected = match answers {
                true => Ok("n2t".to_owned()),
                false => Err(std::io::ErrorKind::ConnectionRefused),
            };
            assert_eq!(who, expected, "{vip}");
        }
    }
}
