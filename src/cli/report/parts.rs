//! What is in a report. Everything is named here: nothing else gets in.

use anyhow::{Context, Result, anyhow, bail};
use marathon::client::Url;
use reqwest::StatusCode;
use serde_json::json;

use super::collect::{MAX_PART, Part, run_program};
use crate::cli::agent::reach_agent;
use crate::cli::doctor::ask_relay::RelayAsker;
use crate::cli::global::Global;
use crate::config::{Config, ConfigProblem, Relays};
use crate::version::BUILD;

/// What the running agent says, as file and path.
const OF_AGENT: &[(&str, &str)] = &[
    ("agent/version.json", "/version"),
    ("agent/healthz.txt", "/healthz"),
    ("agent/readyz.txt", "/readyz"),
    ("agent/status.json", "/v1/status"),
    ("agent/vips.json", "/v1/vips"),
    ("agent/labels.json", "/v1/labels"),
    ("agent/diff.json", "/v1/diff"),
    ("agent/local-facts.json", "/v1/local-facts"),
    ("agent/events.json", "/v1/events?after=0"),
    ("agent/config.json", "/v1/config"),
    ("agent/metrics.txt", "/metrics"),
];

/// What a relay says, as file and path. All but the first three need its token.
const OF_RELAY: &[(&str, &str)] = &[
    ("version.json", "/version"),
    ("healthz.txt", "/healthz"),
    ("readyz.txt", "/readyz"),
    ("status.json", "/v1/status"),
    ("metrics.txt", "/metrics"),
];

/// Commands of vipd, which work without an agent.
const COMMANDS: &[(&str, &[&str])] = &[
    ("commands/status.txt", &["status"]),
    ("commands/diff.txt", &["diff"]),
    ("commands/doctor.txt", &["doctor"]),
    ("commands/config-check.txt", &["config", "check"]),
    ("commands/names.txt", &["names"]),
];

/// Files of the kernel and of the distribution.
const FILES: &[(&str, &str)] = &[
    ("kernel/release.txt", "/proc/version"),
    ("kernel/os-release.txt", "/etc/os-release"),
    ("kernel/uptime.txt", "/proc/uptime"),
    ("kernel/modules.txt", "/proc/modules"),
    ("kernel/ip_vs.txt", "/proc/net/ip_vs"),
    ("kernel/ip_vs_stats.txt", "/proc/net/ip_vs_stats"),
    ("kernel/addresses.txt", "/proc/net/fib_trie"),
    ("kernel/addresses-v6.txt", "/proc/net/if_inet6"),
    ("kernel/routes.txt", "/proc/net/route"),
    ("kernel/routes-v6.txt", "/proc/net/ipv6_route"),
    ("kernel/interfaces.txt", "/proc/net/dev"),
];

/// Programs that a node may have. Of the firewall, only vipd's own tables.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("tools/ip-address.txt", &["ip", "-d", "address"]),
    ("tools/ip-rule.txt", &["ip", "rule"]),
    ("tools/ip-route.txt", &["ip", "route", "show", "table", "all"]),
    ("tools/ip-route-v6.txt", &["ip", "-6", "route", "show", "table", "all"]),
    ("tools/nft-ip.txt", &["nft", "list", "table", "ip", "vipd"]),
    ("tools/nft-ip6.txt", &["nft", "list", "table", "ip6", "vipd"]),
    (
        "tools/systemctl.txt",
        &[
            "systemctl",
            "status",
            "--no-pager",
            "--lines=0",
            "vipd",
            "vipd-setup",
            "vipd-dns",
            "vipd-relay",
        ],
    ),
    (
        "log.txt",
        &[
            "journalctl",
            "--no-pager",
            // What is cut off is the oldest.
            "--reverse",
            "--output=short-iso-precise",
            "--lines=20000",
            "--unit=vipd",
            "--unit=vipd-setup",
            "--unit=vipd-dns",
            "--unit=vipd-relay",
        ],
    ),
];

/// Lists the parts. `relays` are those that the agent follows, with their secrets.
pub(super) fn list_parts(
    global: &Global,
    config: &Config,
    problems: &[ConfigProblem],
    relays: &[Relays],
) -> Vec<Part> {
    let mut parts = vec![
        Part::new("version.json", || Ok(serde_json::to_vec_pretty(&BUILD)?)),
        configuration(config, problems),
    ];
    parts.extend(OF_AGENT.iter().map(|(name, path)| {
        let agent = config.agent.clone();
        Part::new(*name, move || reach_agent(&agent)?.fetch_raw(path))
    }));
    // This node's own one, and those that its agent follows.
    let own = config.relay.to_client(relays);
    parts.extend(own.urls.iter().flat_map(|url| parts_of_relay("relay", &own, url)));
    parts.extend(parts_of_relays(relays));
    let flags = global.to_flags();
    parts.extend(COMMANDS.iter().map(|(name, words)| {
        let words = words.iter().map(|word| (*word).to_owned());
        let args: Vec<_> = words.chain(flags.iter().cloned()).collect();
        Part::new(*name, move || run_program("/proc/self/exe", &args))
    }));
    parts.extend(FILES.iter().map(|(name, path)| Part::new(*name, || read_file(path))));
    parts.extend(PROGRAMS.iter().map(|(name, words)| {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        Part::new(*name, move || {
            let (program, args) = words.split_first().context("no program")?;
            run_program(program, args)
        })
    }));
    parts
}

/// What the relays say that the agent follows, each in a folder of its own.
fn parts_of_relays(relays: &[Relays]) -> Vec<Part> {
    let each = relays.iter().flat_map(|relays| relays.urls.iter().map(move |url| (relays, url)));
    let mut parts = Vec::new();
    for (number, (relays, url)) in (1..).zip(each) {
        let text = format!("{url}\n").into_bytes();
        parts.push(Part::new(format!("relay-{number}/url.txt"), move || Ok(text)));
        parts.extend(parts_of_relay(&format!("relay-{number}"), relays, url));
    }
    parts
}

/// The answers of a relay, in a folder of its own.
fn parts_of_relay(folder: &str, relays: &Relays, url: &Url) -> Vec<Part> {
    let part = |(name, path): &(&'static str, &'static str)| {
        let (relays, url, path) = (relays.clone(), url.clone(), *path);
        Part::new(format!("{folder}/{name}"), move || ask_relay(&relays, &url, path))
    };
    OF_RELAY.iter().map(part).collect()
}

fn ask_relay(relays: &Relays, url: &Url, path: &str) -> Result<Vec<u8>> {
    let asker = RelayAsker::new(relays)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(asker.get(url, path, MAX_PART + 1));
    let (status, body) = answer.map_err(|why| anyhow!("the relay {url} doesn't answer: {why}"))?;
    match status {
        StatusCode::NOT_FOUND => bail!("the relay is of another version"),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            bail!("it doesn't tell: {}", String::from_utf8_lossy(&body))
        }
        // A relay that isn't ready says why.
        _ => Ok(body),
    }
}

/// The configuration in force: of each key that is known to hold no secret, the value.
fn configuration(config: &Config, problems: &[ConfigProblem]) -> Part {
    let text = json!({
        "in-force": config.redacted_json(&config.marathons),
        "problems": problems,
    });
    Part::new("config.json", move || Ok(serde_json::to_vec_pretty(&text)?))
}

fn read_file(path: &str) -> Result<Vec<u8>> {
    use std::io::Read;
    let mut content = Vec::new();
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {path}"))?;
    file.take(MAX_PART as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}
