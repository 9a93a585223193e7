//! Commands that let VIPs in, for the tool that manages the firewall.

use ipnet::IpNet;

use super::{Backend, ChainPlace, Finding, Firewall, Hook, RuleVerdict};

/// The tool that manages the rules of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FirewallManager {
    /// firewalld.
    Firewalld,
    /// ufw.
    Ufw,
    /// No known tool.
    Nobody,
}

/// Finds the tool that manages a chain.
#[must_use]
pub fn find_manager(firewall: &Firewall, place: &ChainPlace) -> FirewallManager {
    let Some(chain) = firewall.chains.get(place) else { return FirewallManager::Nobody };
    let of_ufw =
        |verdict: &RuleVerdict| matches!(verdict, RuleVerdict::Jump(to) if to.starts_with("ufw-"));
    match place.table.as_str() {
        "firewalld" => FirewallManager::Firewalld,
        _ if chain.rules.iter().any(|rule| of_ufw(&rule.verdict)) => FirewallManager::Ufw,
        _ => FirewallManager::Nobody,
    }
}

impl Firewall {
    /// Describes what drops packets of these VIPs or has them bypass IPVS, one sentence each with the
    /// commands that fix it.
    #[must_use]
    pub fn describe_problems(&self, vips: &[IpNet]) -> Vec<String> {
        let findings = self.find_drops(vips).into_iter();
        let findings = findings.map(|finding| {
            format!("{finding}: let it in with {}", describe_remedy(self, &finding))
        });
        let offloaded = self.find_offloaded(vips).into_iter().map(|found| {
            let remedy = found.describe_remedy(self);
            format!("{found}, so that they bypass IPVS: keep them from it with {remedy}")
        });
        findings.chain(offloaded).chain(self.unread.iter().cloned()).collect()
    }
}

/// The number of VIPs to print commands for. There are more if no prefix is configured for VIPs.
const LINES: usize = 8;

/// Describes the commands that fix a finding, for people.
#[must_use]
pub fn describe_remedy(firewall: &Firewall, finding: &Finding) -> String {
    let lines = remedy_commands(firewall, finding).into_iter().map(|line| format!("`{line}`"));
    let lines = lines.collect::<Vec<_>>().join("; ");
    match finding.prefixes.len() > LINES {
        true => format!("{lines} and so on; with a prefix in [vip] allow one line is enough"),
        false => lines,
    }
}

/// Returns the commands that let the first VIPs of a finding in, ready to run.
#[must_use]
pub fn remedy_commands(firewall: &Firewall, finding: &Finding) -> Vec<String> {
    let Finding { place, base, prefixes, .. } = finding;
    let prefixes = &prefixes[..prefixes.len().min(LINES)];
    match (find_manager(firewall, place), base.hook) {
        // A policy for all zones, as clients may be in any. It lets replies pass by itself.
        (FirewallManager::Firewalld, Hook::Input) => {
            let policy = "firewall-cmd --permanent --policy vipd";
            let rules = prefixes.iter().map(|prefix| {
                let family = if prefix.addr().is_ipv4() { "ipv4" } else { "ipv6" };
                format!(
                    "{policy} --add-rich-rule \
                     'rule family=\"{family}\" destination address=\"{prefix}\" accept'"
                )
            });
            let mut lines = vec![
                "firewall-cmd --permanent --new-policy vipd".to_owned(),
                format!("{policy} --add-ingress-zone ANY"),
                format!("{policy} --add-egress-zone HOST"),
            ];
            lines.extend(rules);
            lines.push("firewall-cmd --reload".to_owned());
            lines
        }
        (FirewallManager::Ufw, Hook::Input) => {
            prefixes.iter().map(|prefix| format!("ufw allow to {prefix}")).collect()
        }
        _ => prefixes.iter().map(|prefix| rule_command(place, base.hook, prefix)).collect(),
    }
}

fn rule_command(place: &ChainPlace, hook: Hook, prefix: &IpNet) -> String {
    let forward = hook == Hook::Forward;
    let ChainPlace { backend, families, table, chain } = place;
    let v4 = prefix.addr().is_ipv4();
    if *backend == Backend::Nftables && !place.is_of_iptables() {
        let answers = if forward { "ct direction reply " } else { "" };
        let ip = if v4 { "ip" } else { "ip6" };
        return format!(
            "nft insert rule {} {table} {chain} {answers}ct original {ip} daddr {prefix} accept",
            families.family_name()
        );
    }
    let tool = if v4 { "iptables" } else { "ip6tables" };
    let legacy = if *backend == Backend::Legacy { "-legacy" } else { "" };
    let of_table = if table == "filter" { String::new() } else { format!(" -t {table}") };
    format!("{tool}{legacy}{of_table} -I {chain} {} -j ACCEPT", iptables_match(hook, prefix))
}

/// Returns the iptables match of a rule that lets VIPs in.
#[must_use]
pub fn iptables_match(hook: Hook, prefix: &IpNet) -> String {
    let answers = if hook == Hook::Forward { " --ctdir REPLY" } else { "" };
    format!("-m conntrack --ctorigdst {prefix}{answers}")
}
