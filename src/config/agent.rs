//! `[agent]`: the behaviour of `vipd run`.
//!
//! Drain times are not here: an app sets its own by label, and `vip::label` has the default.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::key_error::KeyError;
#[cfg(test)]
use super::reference::{DURATION, LISTENER};

/// The `[agent]` section of the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AgentSection {
    /// Directory for the last good snapshot, which lets the agent start while Marathon is down.
    pub state: PathBuf,
    /// Unix socket for `vipd hold`, `vipd release`, `vipd accept` and `vipd status`.
    pub socket: PathBuf,
    /// Address of the HTTP server: the status page, `/metrics`, `/healthz` and the API.
    #[cfg_attr(test, schemars(regex(pattern = LISTENER)))]
    pub listen: SocketAddr,
    /// Seconds between full comparisons with the kernel, 1 to 3600.
    #[cfg_attr(test, schemars(range(min = 1, max = 3600)))]
    pub sync_period: u64,
    /// Seconds to keep an address after its last service is removed. Until then the kernel resets
    /// connections of late clients.
    #[cfg_attr(test, schemars(range(min = 0, max = MAX_LINGER)))]
    pub linger: u64,
    /// Number of nodes that run vipd; together they limit the load on Marathon. Unless set, one per
    /// Mesos agent.
    pub agents: Option<u32>,
    /// Longest time to doubt an answer of Marathon that lacks more than half of the VIPs or real
    /// servers, as `90s`, `15m` or `1h`. Meanwhile these stay; `0s` believes every answer.
    #[cfg_attr(test, schemars(regex(pattern = DURATION)))]
    pub doubt: String,
}

impl Default for AgentSection {
    fn default() -> Self {
        let controller = vip::controller::Config::default();
        Self {
            state: "/var/lib/vipd".into(),
            socket: "/run/vipd/agent.sock".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 9614)),
            sync_period: controller.sync_period.as_secs(),
            linger: controller.linger.as_secs(),
            agents: None,
            doubt: "15m".to_owned(),
        }
    }
}

/// Settings of the running agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSettings {
    /// Directory for the last good snapshot.
    pub state: PathBuf,
    /// Unix socket for `vipd hold`, `vipd release` and `vipd status`.
    pub socket: PathBuf,
    /// Address of the HTTP server.
    pub listen: SocketAddr,
    /// Time between full comparisons with the kernel.
    pub sync_period: Duration,
    /// Time to keep an address after its last service is removed.
    pub linger: Duration,
    /// Number of nodes that run vipd. `None`: one per host that runs tasks.
    pub agents: Option<u32>,
    /// Longest time to doubt an answer that lacks most of what was there.
    pub doubt: Duration,
}

impl AgentSettings {
    /// Returns the path of the zone file that the name server reads, next to the socket.
    #[must_use]
    pub fn zone_file(&self) -> PathBuf {
        self.socket.with_file_name("zone")
    }

    /// Returns the path of the file that is there while systemd-resolved may have settings of vipd.
    #[must_use]
    pub fn resolved_marker(&self) -> PathBuf {
        self.socket.with_file_name("resolved")
    }
}

impl AgentSection {
    /// Checks the values.
    ///
    /// # Errors
    /// When one is out of range.
    pub fn resolve(self) -> Result<AgentSettings> {
        let Self { state, socket, listen, sync_period, linger, agents, doubt } = self;
        ensure!(
            (1..=3600).contains(&sync_period),
            KeyError::new(
                "agent",
                "sync-period",
                format!("[agent] sync-period is {sync_period} seconds: use 1 to 3600")
            )
        );
        let refuse = |key: &'static str, why: String| -> Result<AgentSettings> {
            Err(KeyError::new("agent", key, format!("[agent] {key} {why}")).into())
        };
        if linger > MAX_LINGER {
            return refuse(
                "linger",
                format!("is {linger} seconds: use at most {MAX_LINGER}, a day"),
            );
        }
        if agents == Some(0) {
            return refuse("agents", "is 0: leave it out, or use the number of nodes".to_owned());
        }
        if listen.port() == 0 {
            return refuse("listen", format!("is {listen}: use a port from 1 to 65535"));
        }
        if state.as_os_str().is_empty() {
            return refuse("state", "is empty: name a directory".to_owned());
        }
        let socket = match check_socket(socket) {
            Ok(socket) => socket,
            Err(why) => return refuse("socket", why.to_string()),
        };
        let [sync_period, linger] = [sync_period, linger].map(Duration::from_secs);
        let doubt = parse_doubt(&doubt)?;
        Ok(AgentSettings { state, socket, listen, sync_period, linger, agents, doubt })
    }
}

/// Takes the path that a Unix socket can have.
///
/// # Errors
/// When it is empty or too long.
pub fn check_socket(path: PathBuf) -> Result<PathBuf> {
    let length = path.as_os_str().len();
    ensure!(
        (1..=MAX_SOCKET_PATH).contains(&length),
        "is a path of {length} bytes: use 1 to {MAX_SOCKET_PATH} for a Unix socket"
    );
    Ok(path)
}

/// The longest time that an address may stay, in seconds.
const MAX_LINGER: u64 = 24 * 3600;

/// The longest path of a Unix socket: `sun_path` of `linux/un.h`, less the byte that ends it.
const MAX_SOCKET_PATH: usize = 107;

/// The longest time that may be set. Ports are given to other tasks long before.
const MAX_DOUBT: Duration = Duration::from_secs(24 * 3600);

fn parse_doubt(text: &str) -> Result<Duration> {
    let doubt = humantime::parse_duration(text).ok().filter(|doubt| *doubt <= MAX_DOUBT);
    doubt.with_context(|| {
        let limits = "use a time of at most 24h with its unit, such as \"15m\"";
        KeyError::new("agent", "doubt", format!("[agent] doubt is {text:?}: {limits}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_period_out_of_range_is_refused_by_name() {
        let resolve = |sync_period| AgentSection { sync_period, ..Default::default() }.resolve();
        for seconds in [0, 3601] {
            let error = resolve(seconds).unwrap_err().to_string();
            assert!(error.starts_with(&format!("[agent] sync-period is {seconds}")), "{error}");
        }
        assert_eq!(resolve(3600).unwrap().sync_period, Duration::from_secs(3600));
        let default = AgentSection::default().resolve().unwrap();
        assert_eq!(default.sync_period, Duration::from_secs(30));
        assert_eq!(default.doubt, Duration::from_secs(900));
    }

    #[test]
    fn a_value_that_no_agent_could_use_is_refused_by_name() {
        let default = AgentSection::default;
        for (key, section) in [
            ("linger", AgentSection { linger: u64::MAX, ..default() }),
            ("agents", AgentSection { agents: Some(0), ..default() }),
            ("listen", AgentSection { listen: ([127, 0, 0, 1], 0).into(), ..default() }),
            ("socket", AgentSection { socket: "/a".repeat(60).into(), ..default() }),
        ] {
            let error = section.resolve().unwrap_err();
            assert!(error.to_string().starts_with(&format!("[agent] {key} is ")), "{error}");
            assert_eq!(error.downcast_ref::<KeyError>().unwrap().key, key);
        }
    }

    #[test]
    fn a_doubt_is_a_time_with_its_unit() {
        let resolve =
            |doubt: &str| AgentSection { doubt: doubt.to_owned(), ..Default::default() }.resolve();
        for (text, seconds) in [("15m", 900), ("90s", 90), ("1h 30m", 5400), ("0s", 0)] {
            assert_eq!(resolve(text).unwrap().doubt, Duration::from_secs(seconds), "{text}");
        }
        for text in ["", "15", "soon", "-1s", "25h", "9999999999999999h"] {
            let error = resolve(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("[agent] doubt is {text:?}")), "{error}");
        }
    }
}
