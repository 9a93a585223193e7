//! `[agent]`: how `vipd run` behaves.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Deserialize;

/// `[agent]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AgentFile {
    /// Folder of what is known, for a start without Marathon; `/var/lib/vipd` unless set.
    pub state: Option<PathBuf>,
    /// Unix socket for `vipd hold`, `vipd release` and `vipd status`; `/run/vipd/agent.sock` unless
    /// set.
    pub socket: Option<PathBuf>,
    /// Where the status page, `/metrics`, `/healthz` and the API answer; `127.0.0.1:9614` unless set.
    pub listen: Option<SocketAddr>,
    /// Seconds between full comparisons with the kernel, 1 to 3600; 30 unless set.
    pub sync_period: Option<u64>,
    /// Seconds that an address stays after its last service, so that old clients are reset; 60
    /// unless set.
    pub linger: Option<u64>,
    /// How many nodes run vipd, if not one on each agent of Mesos: they share what Marathon can
    /// bear.
    pub agents: Option<u32>,
}

/// `[agent]`, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Folder of the last good snapshot.
    pub state: PathBuf,
    /// Unix socket for `vipd hold`, `vipd release` and `vipd status`.
    pub socket: PathBuf,
    /// Where the status page, `/metrics`, `/healthz` and the API answer.
    pub listen: SocketAddr,
    /// Time between full comparisons with the kernel.
    pub sync_period: Duration,
    /// How long an address stays after its last service.
    pub linger: Duration,
    /// How many nodes run vipd. None: one on each host that runs something.
    pub agents: Option<u32>,
}

impl AgentFile {
    /// Fills in the defaults.
    ///
    /// # Errors
    /// When the time between comparisons is none that vipd keeps to.
    pub fn resolve(self) -> Result<Agent> {
        let sync_period = self.sync_period.unwrap_or(30);
        ensure!(
            (1..=3600).contains(&sync_period),
            "[agent] sync-period is {sync_period} seconds: it can be 1 to 3600"
        );
        Ok(Agent {
            state: self.state.unwrap_or_else(|| "/var/lib/vipd".into()),
            socket: self.socket.unwrap_or_else(|| "/run/vipd/agent.sock".into()),
            listen: self.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9614))),
            sync_period: Duration::from_secs(sync_period),
            linger: Duration::from_secs(self.linger.unwrap_or(60)),
            agents: self.agents,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_between_comparisons_that_it_would_not_keep_to_is_refused_by_name() {
        let resolve = |seconds| AgentFile { sync_period: seconds, ..Default::default() }.resolve();
        for seconds in [0, 3601] {
            let error = resolve(Some(seconds)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("[agent] sync-period is {seconds}")), "{error}");
        }
        assert_eq!(resolve(Some(3600)).unwrap().sync_period, Duration::from_secs(3600));
        assert_eq!(resolve(None).unwrap().sync_period, Duration::from_secs(30));
    }
}
