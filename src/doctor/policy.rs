//! Checks of what keeps an app from claiming an address that others use.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use vip::Policy;

use super::diagnosis::Check;

/// The number of nodes that are named.
const NAMED: usize = 5;

/// The nodes of the cluster, as far as Mesos masters tell them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterNodes {
    /// The addresses of all nodes.
    pub known: BTreeSet<IpAddr>,
    /// Why a master couldn't be asked.
    pub unread: Vec<String>,
}

/// Checks the policy on addresses.
#[must_use]
pub fn check_policy(policy: &Policy, nodes: &ClusterNodes) -> Vec<Check> {
    let allow = match policy.allow.as_slice() {
        [] => Check::warning(
            "vip.allow is empty: an app may claim any address that vipd doesn't know to be in use",
            "set [vip] allow to the prefixes that VIPs are given from",
        ),
        prefixes => {
            let prefixes: Vec<_> = prefixes.iter().map(ToString::to_string).collect();
            Check::ok(format!("VIPs lie in {} (vip.allow)", prefixes.join(", ")))
        }
    };
    let cluster = match policy.cluster.len() {
        0 => Check::warning(
            "of the cluster's servers only those are known that Marathon names: nodes with tasks, \
             its leader, its configured URLs, ZooKeeper. Not known are idle nodes, standby servers \
             of Marathon, and Mesos masters",
            "set [cluster] addresses to the addresses or prefixes of all servers, so that no app \
             can claim one",
        ),
        known => {
            Check::ok(format!("{known} addresses and prefixes of the cluster's servers are set"))
        }
    };
    let mut checks = vec![allow, cluster];
    checks.extend(check_nodes(policy, nodes));
    checks
}

/// Compares the policy with the nodes that Mesos knows.
fn check_nodes(policy: &Policy, nodes: &ClusterNodes) -> Vec<Check> {
    let lies_in = |prefixes: &[IpNet], address: &IpAddr| {
        prefixes.iter().any(|prefix| prefix.contains(address))
    };
    let is_open = |address: &&IpAddr| {
        let is_allowed = policy.allow.is_empty() || lies_in(&policy.allow, address);
        is_allowed && !lies_in(&policy.cluster, address)
    };
    let open: Vec<_> = nodes.known.iter().filter(is_open).collect();
    let all = nodes.known.len();
    let mut checks = Vec::new();
    if !open.is_empty() {
        let mut names: Vec<_> = open.iter().take(NAMED).map(ToString::to_string).collect();
        if open.len() > NAMED {
            names.push(format!("and {} more", open.len() - NAMED));
        }
        checks.push(Check::warning(
            format!(
                "an app may claim the address of a node that has no task: {} of the {all} that \
                 Mesos knows ({})",
                open.len(),
                names.join(", "),
            ),
            "add their addresses, or a prefix that holds them, to [cluster] addresses",
        ));
    } else if all > 0 {
        checks.push(Check::ok(format!(
            "no app can claim the address of one of the {all} nodes that Mesos knows"
        )));
    }
    if policy.cluster.is_empty() {
        checks.extend(nodes.unread.iter().map(|why| {
            Check::ok(format!("which nodes there are is not known, Mesos was not read: {why}"))
        }));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn levels(policy: &Policy, nodes: &[&str]) -> Vec<(Level, String)> {
        let known = nodes.iter().map(|node| node.parse().unwrap()).collect();
        let nodes = ClusterNodes { known, unread: vec!["no answer".into()] };
        let checks = check_policy(policy, &nodes).into_iter();
        checks.map(|check| (check.level, check.text)).collect()
    }

    #[test]
    fn what_leaves_addresses_open_is_a_warning() {
        let found = levels(&Policy::default(), &[]);
        let levels_of = |found: &[(Level, String)]| -> Vec<_> {
            found.iter().map(|(level, _)| *level).collect()
        };
        assert_eq!(levels_of(&found), [Level::Warning, Level::Warning, Level::Ok]);
        assert!(found[2].1.ends_with("Mesos was not read: no answer"), "{found:?}");
        let policy = Policy {
            allow: vec!["3.0.0.0/8".parse().unwrap()],
            cluster: vec!["10.0.0.0/24".parse().unwrap()],
            ..Policy::default()
        };
        assert_eq!(levels_of(&levels(&policy, &[])), [Level::Ok, Level::Ok]);
    }

    #[test]
    fn nodes_that_an_app_could_claim_are_named() {
        let nodes = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "fd00::1"];
        let policy = |allow: &[&str], cluster: &[&str]| {
            let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
            Policy { allow: parse(allow), cluster: parse(cluster), ..Policy::default() }
        };
        for (allow, cluster, expected) in [
            (
                &[][..],
                &["10.0.0.0/24"][..],
                Some("2 of the 4 that Mesos knows (10.0.1.1, fd00::1)"),
            ),
            (&["10.0.1.0/24"], &["10.0.0.0/24"], Some("1 of the 4 that Mesos knows (10.0.1.1)")),
            (&["3.0.0.0/8"], &["10.0.0.0/24"], None),
            (&[], &["10.0.0.0/16", "fd00::/64"], None),
        ] {
            let (level, text) = levels(&policy(allow, cluster), &nodes).pop().unwrap();
            match expected {
                Some(expected) => assert!(text.ends_with(expected), "{text}"),
                None => assert_eq!(level, Level::Ok, "{text}"),
            }
        }
        let many: Vec<_> = (1..=9).map(|last| format!("10.0.0.{last}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let (_, text) = levels(&policy(&[], &["10.1.0.0/16"]), &many).pop().unwrap();
        assert!(text.ends_with("10.0.0.4, 10.0.0.5, and 4 more)"), "{text}");
    }
}
