//! Checks of Marathon: its servers, and whether it can be read.

use anyhow::Result;
use marathon::client::ServerInfo;

use super::diagnosis::Check;

/// Answer of one server of a Marathon.
#[derive(Debug)]
pub struct ServerAnswer {
    /// The URL, without secrets.
    pub url: String,
    /// Its version and leader, or why there is no answer.
    pub info: Result<ServerInfo>,
}

/// Checks one Marathon. `workloads` is the number of apps and pods that were read, or why reading
/// failed.
#[must_use]
pub fn check_marathon(
    name: &str,
    servers: &[ServerAnswer],
    workloads: &Result<usize>,
) -> Vec<Check> {
    let one_works = workloads.is_ok();
    let mut checks: Vec<_> = servers.iter().map(|server| check_server(server, one_works)).collect();
    checks.push(match workloads {
        Ok(count) => Check::ok(format!("{name}: read {count} apps and pods")),
        Err(why) => Check::error(
            format!("{name}: cannot read apps: {why:#}"),
            "until this works, vipd keeps its VIPs as they are",
        ),
    });
    checks
}

fn check_server(server: &ServerAnswer, one_works: bool) -> Check {
    let url = &server.url;
    match &server.info {
        Ok(ServerInfo { version, leader: Some(leader), .. }) => {
            let version = version.as_deref().unwrap_or("of unknown version");
            Check::ok(format!("{url} is Marathon {version}, led by {leader}"))
        }
        Ok(_) => Check::warning(
            format!("{url} knows no leader"),
            "see the logs of Marathon and ZooKeeper: without a leader no task is started or stopped",
        ),
        // The text of the error ends with what to do.
        Err(why) if one_works => Check::warning(format!("{why:#}"), "another of its URLs works"),
        Err(why) => Check::error(format!("{why:#}"), "see [[marathon]] in the configuration"),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::super::diagnosis::Level;
    use super::*;

    #[test]
    fn one_dead_server_of_two_is_a_warning_and_both_are_an_error() {
        let answer = |info| ServerAnswer { url: "http://m1:8080".into(), info };
        let good = || {
            let (version, leader) = (Some("1.8.222".into()), Some("m1:8080".into()));
            answer(Ok(ServerInfo { version, leader, ..ServerInfo::default() }))
        };
        let dead = || answer(Err(anyhow!("http://m2:8080: no connection")));
        let levels = |servers: &[ServerAnswer], workloads| -> Vec<_> {
            check_marathon("m", servers, &workloads).iter().map(|check| check.level).collect()
        };
        assert_eq!(levels(&[good(), dead()], Ok(3)), [Level::Ok, Level::Warning, Level::Ok]);
        assert_eq!(levels(&[dead()], Err(anyhow!("all failed"))), [Level::Error, Level::Error]);
        let leaderless = answer(Ok(ServerInfo::default()));
        assert_eq!(levels(&[leaderless], Ok(0)), [Level::Warning, Level::Ok]);
    }
}
