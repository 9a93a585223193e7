//! Whether Marathon can be read.

use super::Check;

/// What one server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its URL, without secrets.
    pub url: String,
    /// Its version and leader, or why it doesn't tell.
    pub answer: Result<(Option<String>, Option<String>), String>,
}

/// Checks one Marathon: its servers, and what a reading of everything gave: how many apps and
/// pods, or why it can't be read.
#[must_use]
pub fn marathon(name: &str, servers: &[Server], everything: &Result<usize, String>) -> Vec<Check> {
    let one_works = everything.is_ok();
    let mut checks: Vec<_> = servers.iter().map(|each| server(each, one_works)).collect();
    checks.push(match everything {
        Ok(count) => Check::ok(format!("{name}: {count} apps and pods are read")),
        Err(why) => Check::error(
            format!("{name}: apps can't be read: {why}"),
            "until they can, vipd keeps the VIPs that it has and learns of no change",
        ),
    });
    checks
}

fn server(server: &Server, one_works: bool) -> Check {
    let url = &server.url;
    match &server.answer {
        Ok((version, Some(leader))) => {
            let version = version.as_deref().unwrap_or("of unknown version");
            Check::ok(format!("{url} is Marathon {version}, its leader {leader}"))
        }
        Ok((_, None)) => Check::warning(
            format!("{url} has no leader now"),
            "see its log and ZooKeeper's; without a leader Marathon starts and stops nothing",
        ),
        // The error's own text ends with what to do.
        Err(why) if one_works => Check::warning(why.clone(), "another of its URLs works"),
        Err(why) => Check::error(why.clone(), "see [[marathon]] in the configuration"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn one_dead_server_of_two_is_a_warning_and_both_are_an_error() {
        let server = |answer| Server { url: "http://m1:8080".into(), answer };
        let good = server(Ok((Some("1.8.222".into()), Some("m1:8080".into()))));
        let dead = server(Err("http://m2:8080: no connection".into()));
        let levels = |servers: &[Server], everything| -> Vec<_> {
            marathon("m", servers, &everything).iter().map(|check| check.level).collect()
        };
        assert_eq!(levels(&[good, dead.clone()], Ok(3)), [Level::Ok, Level::Warning, Level::Ok]);
        assert_eq!(levels(&[dead], Err("all failed".into())), [Level::Error, Level::Error]);
        assert_eq!(levels(&[server(Ok((None, None)))], Ok(0)), [Level::Warning, Level::Ok]);
    }
}
