//! Checks of the node's own firewall: whether it drops traffic to VIPs.

use ipnet::IpNet;
use vip::Observed;
use vip::firewall::{Fate, LetIn, describe_remedy, prefixes_to_check, split_admissible};

use super::diagnosis::Check;

/// Checks the firewall. `allow` are the prefixes of `[vip] allow`.
#[must_use]
pub fn check_firewall(observed: &Observed, allow: &[IpNet], let_in: LetIn) -> Vec<Check> {
    let firewall = &observed.firewall;
    let vips = prefixes_to_check(allow, observed.addresses.keys());
    let mut checks: Vec<_> = firewall
        .find_drops(&vips)
        .iter()
        .map(|finding| {
            let lines = describe_remedy(firewall, finding);
            let remedy = match let_in {
                LetIn::Off => format!(
                    "{lines}, and make it persistent as you do your other rules; or set \
                     `[firewall] allow = \"insert\"`, and the agent does it"
                ),
                LetIn::Insert => format!("the agent fixes it when it runs; by hand: {lines}"),
            };
            match finding.fate {
                Fate::Dropped => Check::error(finding.to_string(), remedy),
                _ => Check::warning(finding.to_string(), remedy),
            }
        })
        .collect();
    checks.extend(firewall.find_offloaded(&vips).iter().map(|found| {
        let text = format!(
            "{found}: later ones bypass IPVS, and containers and clients elsewhere get them from the real \
             server's address"
        );
        Check::warning(text, found.describe_remedy(firewall))
    }));
    let (_, open) = split_admissible(allow, &observed.node.own);
    if let_in == LetIn::Insert {
        checks.extend(open.iter().map(|prefix| {
            Check::warning(
                format!(
                    "{prefix} of [vip] allow contains an address of this node: vipd adds no accept \
                     rule for it, since that would open all of the node"
                ),
                "list narrower prefixes in [vip] allow",
            )
        }));
    }
    let unread = firewall.unread.iter();
    checks.extend(unread.map(|why| Check::warning(why.clone(), "run `vipd doctor` as root")));
    if checks.is_empty() {
        let text = "no chain of this node's firewall drops traffic to VIPs";
        let held = firewall.rules_in_place().len();
        checks.push(Check::ok(match (vips.is_empty(), held) {
            (true, _) => "no VIP and no [vip] allow to check the firewall with".to_owned(),
            (false, 0) => text.to_owned(),
            (false, 1) => format!("{text}; 1 rule of vipd accepts it"),
            (false, _) => format!("{text}; {held} rules of vipd accept it"),
        }));
    }
    checks
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vip::Firewall;
    use vip::firewall::{Backend, Base, Chain, ChainPlace, Families, Hook, Rule};

    use super::super::diagnosis::Level;
    use super::*;

    fn observed(rules: Vec<Rule>) -> Observed {
        let place = ChainPlace {
            backend: Backend::Nftables,
            families: Families::V4,
            table: "filter".into(),
            chain: "INPUT".into(),
        };
        let chain = Chain { base: Some(Base { hook: Hook::Input, drops: true }), rules };
        let firewall = Firewall { chains: [(place, chain)].into(), ..Firewall::default() };
        Observed { firewall: Arc::new(firewall), ..Observed::default() }
    }

    #[test]
    fn a_chain_that_drops_is_an_error_with_the_line_to_add() {
        let allow = ["3.0.0.0/8".parse().unwrap()];
        let checks = check_firewall(&observed(Vec::new()), &allow, LetIn::Off);
        assert_eq!((checks.len(), checks[0].level), (1, Level::Error));
        assert_eq!(checks[0].text, "ip filter INPUT drops traffic to 3.0.0.0/8 (its policy)");
        let line = "`iptables -I INPUT -m conntrack --ctorigdst 3.0.0.0/8 -j ACCEPT`";
        assert!(checks[0].remedy.as_ref().unwrap().starts_with(line), "{checks:?}");
        let let_in = observed(vec![Rule::letting_in(allow[0], Hook::Input)]);
        let checks = check_firewall(&let_in, &allow, LetIn::Insert);
        assert_eq!((checks.len(), checks[0].level), (1, Level::Ok));
        assert!(checks[0].text.ends_with("1 rule of vipd accepts it"), "{checks:?}");
    }

    #[test]
    fn a_prefix_that_would_open_the_node_is_reported() {
        let mut node = observed(Vec::new());
        node.node.own.insert([10, 0, 0, 7].into());
        let checks = check_firewall(&node, &["10.0.0.0/8".parse().unwrap()], LetIn::Insert);
        assert!(checks[1].text.contains("open all of the node"), "{checks:?}");
    }

    #[test]
    fn a_flowtable_that_takes_replies_is_a_warning_with_the_line_to_add() {
        let place = ChainPlace {
            backend: Backend::Nftables,
            families: Families::Both,
            table: "filter".into(),
            chain: "forward".into(),
        };
        let rules = vec![Rule { offloads: true, ..Rule::default() }];
        let chain = Chain { base: Some(Base { hook: Hook::Forward, drops: false }), rules };
        let firewall = Firewall { chains: [(place, chain)].into(), ..Firewall::default() };
        let node = Observed { firewall: Arc::new(firewall), ..Observed::default() };
        let checks = check_firewall(&node, &["3.0.0.0/8".parse().unwrap()], LetIn::Off);
        assert_eq!((checks.len(), checks[0].level), (1, Level::Warning), "{checks:?}");
        assert!(checks[0].text.starts_with("inet filter forward gives replies of 3.0.0.0/8"));
        let line = "`nft insert rule inet filter forward ct direction reply ct original ip daddr \
                    3.0.0.0/8 accept`";
        assert_eq!(checks[0].remedy.as_deref(), Some(line));
    }
}
