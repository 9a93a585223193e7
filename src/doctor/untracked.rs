//! Checks for rules that keep packets of VIPs from conntrack.

use ipnet::IpNet;
use vip::Observed;
use vip::firewall::{Backend, Hook, Untracked, UntrackedPackets, prefixes_to_check};

use super::diagnosis::Check;

/// Checks the chains before conntrack. `allow` are the prefixes of `[vip] allow`.
#[must_use]
pub fn check_untracked(observed: &Observed, allow: &[IpNet]) -> Vec<Check> {
    let vips = prefixes_to_check(allow, observed.addresses.keys());
    if vips.is_empty() {
        return Vec::new();
    }
    let own = observed.node.own.iter().filter(|address| !address.is_loopback());
    let own: Vec<_> = own.map(|address| IpNet::from(*address)).collect();
    let found = observed.firewall.find_untracked(&vips, &own);
    let warn = |found: &Untracked| {
        let text = format!("{found}: vipd can't translate them, and the guard doesn't see them");
        Check::warning(text, describe_remedy(found))
    };
    found.iter().map(warn).collect()
}

fn describe_remedy(found: &Untracked) -> String {
    let prefixes = match &found.packets {
        UntrackedPackets::ToNode(_) => {
            return "except packets from real servers from the rule".to_owned();
        }
        UntrackedPackets::ToVips(prefixes) | UntrackedPackets::PerhapsToVips(prefixes) => prefixes,
    };
    let lines: Vec<_> = prefixes.iter().map(|prefix| exception(found, prefix)).collect();
    let replies = match found.hook {
        Hook::Output => "",
        _ => ", and except packets from real servers too",
    };
    format!("{}, in front of the rule{replies}", lines.join(" and "))
}

/// Returns the command that excepts packets to a prefix.
fn exception(found: &Untracked, prefix: &IpNet) -> String {
    let place = &found.place;
    let is_v4 = prefix.addr().is_ipv4();
    if place.is_of_iptables() {
        let tool = if is_v4 { "iptables" } else { "ip6tables" };
        let tool = match place.backend {
            Backend::Nftables => tool.to_owned(),
            Backend::Legacy => format!("{tool}-legacy"),
        };
        return format!("`{tool} -t {} -I {} -d {prefix} -j ACCEPT`", place.table, place.chain);
    }
    let family = if is_v4 { "ip" } else { "ip6" };
    format!(
        "`nft insert rule {} {} {} {family} daddr {prefix} accept`",
        place.families.family_name(),
        place.table,
        place.chain
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vip::Firewall;
    use vip::firewall::{Base, Chain, ChainPlace, Families, Rule, RuleCondition, RuleVerdict};

    use super::super::diagnosis::Level;
    use super::*;

    fn observed(families: Families, names: [&str; 2], rules: Vec<Rule>) -> Observed {
        let [table, chain] = names.map(str::to_owned);
        let place = ChainPlace { backend: Backend::Nftables, families, table, chain };
        let chain = Chain { base: Some(Base { hook: Hook::Input, drops: false }), rules };
        let firewall = Firewall { raw: [(place, chain)].into(), ..Firewall::default() };
        let mut observed = Observed { firewall: Arc::new(firewall), ..Observed::default() };
        observed.node.own = [[127, 0, 0, 1].into(), [10, 0, 0, 7].into()].into();
        observed
    }

    fn rule(conditions: &[RuleCondition], untracks: bool, verdict: RuleVerdict) -> Rule {
        Rule { conditions: conditions.to_vec(), untracks, verdict, ..Rule::default() }
    }

    fn to(prefix: &str) -> RuleCondition {
        RuleCondition::To(prefix.parse().unwrap())
    }

    #[test]
    fn rules_that_hide_vips_from_conntrack_are_told_with_the_way_around_them() {
        let untrack = |conditions: &[_]| rule(conditions, true, RuleVerdict::None);
        let accept = rule(&[to("3.0.0.0/8")], false, RuleVerdict::Accept);
        let back = rule(&[to("3.0.0.0/8")], false, RuleVerdict::Return);
        let part = rule(&[to("3.3.0.0/16")], false, RuleVerdict::Accept);
        for (rules, expected) in [
            (vec![untrack(&[])], Some("leaves packets to 3.0.0.0/8 untracked:")),
            (vec![untrack(&[to("0.0.0.0/1")])], Some("leaves packets to 3.0.0.0/8 untracked:")),
            (
                vec![untrack(&[to("3.4.0.0/16")])],
                Some("may leave packets to 3.0.0.0/8 untracked, by"),
            ),
            (vec![untrack(&[RuleCondition::Other])], Some("may leave packets to 3.0.0.0/8")),
            (vec![untrack(&[to("10.0.0.7/32")])], Some("leaves replies to 10.0.0.7/32 untracked:")),
            (vec![part, untrack(&[])], Some("leaves packets to 3.0.0.0/8 untracked:")),
            (vec![accept.clone(), untrack(&[to("0.0.0.0/5")])], None),
            (vec![back, untrack(&[to("0.0.0.0/5")])], None),
            // Their replies are still hidden.
            (vec![accept, untrack(&[])], Some("leaves replies to 10.0.0.7/32 untracked:")),
            (vec![untrack(&[to("9.0.0.0/8")])], None),
            (vec![untrack(&[RuleCondition::IsV4(false)])], None),
        ] {
            let seen = observed(Families::Both, ["raw", "prerouting"], rules.clone());
            let checks = check_untracked(&seen, &["3.0.0.0/8".parse().unwrap()]);
            let texts: Vec<_> = checks.iter().map(|check| check.text.as_str()).collect();
            match expected {
                None => assert_eq!(texts, [""; 0], "{rules:?}"),
                Some(text) => assert!(
                    texts.len() == 1
                        && texts[0].starts_with(&format!("inet raw prerouting {text}")),
                    "{rules:?}: {texts:?}"
                ),
            }
            assert!(checks.iter().all(|check| check.level == Level::Warning));
        }
    }

    #[test]
    fn the_way_around_is_in_the_words_of_the_tool_that_made_the_chain() {
        let untrack = || vec![rule(&[], true, RuleVerdict::None)];
        for (families, names, line) in [
            (
                Families::Both,
                ["raw", "prerouting"],
                "`nft insert rule inet raw prerouting ip daddr 3.0.0.0/8 accept`",
            ),
            (
                Families::V4,
                ["raw", "PREROUTING"],
                "`iptables -t raw -I PREROUTING -d 3.0.0.0/8 -j ACCEPT`",
            ),
        ] {
            let seen = observed(families, names, untrack());
            let checks = check_untracked(&seen, &["3.0.0.0/8".parse().unwrap()]);
            let remedy = checks[0].remedy.as_deref().unwrap();
            assert!(remedy.starts_with(line) && remedy.contains("real servers"), "{remedy}");
        }
    }
}
