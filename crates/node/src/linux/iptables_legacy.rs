//! The kernel's older firewall (`x_tables`), which is read and changed by running `iptables-legacy`.
//!
//! The tool is run only for tables that the kernel has, since running it creates one. It needs root.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ipnet::IpNet;
use nl_pipeline::errno;
use vip::firewall::{
    Backend, Base, Chain, ChainPlace, ESTABLISHED, Families, Firewall, Hook, NEW, Rule,
    RuleCondition, RuleVerdict, iptables_match,
};
use vip::plan::OpError;

use super::answer::{Answer, failed_op};
use crate::error_chain;

/// Seconds to wait for other users of the tool, which takes a lock.
const PATIENCE: &str = "5";

/// A failure of the tool.
#[derive(Debug, thiserror::Error)]
enum ToolError {
    /// The tool can't be run.
    #[error("can't run it")]
    Run(#[source] io::Error),
    /// The tool failed, with this line on standard error.
    #[error("{0}")]
    Failed(String),
}

/// Adds the chains of the older firewall to those of nftables.
pub(super) fn read_legacy_rules(firewall: &mut Arc<Firewall>) {
    for families in [Families::V4, Families::V6] {
        for table in ["filter", "raw"] {
            if !has_table(families, table) {
                continue;
            }
            let firewall = Arc::make_mut(firewall);
            match run_tool(families, &["-t", table, "-S"]) {
                Ok(text) => {
                    let into =
                        if table == "raw" { &mut firewall.raw } else { &mut firewall.chains };
                    into.extend(parse_rules(families, table, &text));
                }
                Err(error) => {
                    let (tool, why) = (tool_name(families), error_chain(&error));
                    firewall.unread.insert(format!(
                        "the rules of {tool} can't be read, and may drop traffic to VIPs: {why}"
                    ));
                }
            }
        }
    }
}

/// Inserts a rule at the head of a chain that accepts the VIPs of a prefix, in place of other
/// rules with the same mark.
pub(super) fn insert_legacy_rule(place: &ChainPlace, hook: Hook, prefix: &IpNet) -> Answer {
    remove_marked(place, prefix)?;
    let comment = Rule::comment_for(prefix);
    let matched = iptables_match(hook, prefix);
    let head = ["-I", &place.chain];
    let tail = ["-m", "comment", "--comment", &comment, "-j", "ACCEPT"];
    let args: Vec<_> = head.into_iter().chain(matched.split(' ')).chain(tail).collect();
    run_tool(place.families, &args).map(drop).map_err(|error| failed_op(&error))
}

/// Deletes the rules with the mark of a prefix; `ENOENT` if there are none.
pub(super) fn delete_legacy_rule(place: &ChainPlace, prefix: &IpNet) -> Answer {
    match remove_marked(place, prefix)? {
        0 => Err(OpError::new(errno::ENOENT, "the rule is gone".to_owned())),
        _ => Ok(()),
    }
}

fn remove_marked(place: &ChainPlace, prefix: &IpNet) -> Result<usize, OpError> {
    let run = |args: &[&str]| run_tool(place.families, args).map_err(|error| failed_op(&error));
    let text = run(&["-S", &place.chain])?;
    let mut removed = 0;
    for mut words in text.lines().map(split_words) {
        if parse_rule(&words, &BTreeSet::new()).mark == Some(*prefix) && words[0] == "-A" {
            "-D".clone_into(&mut words[0]);
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            run(&words)?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn has_table(families: Families, table: &str) -> bool {
    let name = if families == Families::V6 { "ip6_tables_names" } else { "ip_tables_names" };
    // Only root may read this file, and only root can use the tool.
    let names = std::fs::read_to_string(Path::new("/proc/thread-self/net").join(name));
    names.is_ok_and(|names| names.lines().any(|name| name == table))
}

fn tool_name(families: Families) -> &'static str {
    if families == Families::V6 { "ip6tables-legacy" } else { "iptables-legacy" }
}

fn run_tool(families: Families, args: &[&str]) -> Result<String, ToolError> {
    let output = Command::new(tool_name(families)).args(["-w", PATIENCE]).args(args).output();
    let output = output.map_err(ToolError::Run)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().next().unwrap_or("it failed without a message");
    Err(ToolError::Failed(line.to_owned()))
}

/// Parses the output of `-S` for a table.
fn parse_rules(
    families: Families,
    table: &str,
    text: &str,
) -> impl Iterator<Item = (ChainPlace, Chain)> {
    let lines: Vec<_> = text.lines().map(split_words).collect();
    let names: BTreeSet<_> = lines.iter().filter_map(|line| line.get(1).cloned()).collect();
    let mut chains: Vec<(String, Chain)> =
        names.iter().map(|name| (name.clone(), Chain::default())).collect();
    for line in &lines {
        let (Some(what), Some(name)) = (line.first(), line.get(1)) else { continue };
        let Some((_, chain)) = chains.iter_mut().find(|(chain, _)| chain == name) else { continue };
        match what.as_str() {
            "-P" => chain.base = parse_policy(line),
            "-A" => chain.rules.push(parse_rule(line, &names)),
            _ => {}
        }
    }
    chains.into_iter().map(move |(chain, rules)| {
        let table = table.to_owned();
        (ChainPlace { backend: Backend::Legacy, families, table, chain }, rules)
    })
}

fn parse_policy(line: &[String]) -> Option<Base> {
    let hook = match line.get(1)?.as_str() {
        // The latter is in the table `raw`.
        "INPUT" | "PREROUTING" => Hook::Input,
        "FORWARD" => Hook::Forward,
        "OUTPUT" => Hook::Output,
        _ => return None,
    };
    Some(Base { hook, drops: line.get(2)? == "DROP" })
}

/// Splits a line into words; text in quotes is one word, without the quotes.
fn split_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in line.split('"').enumerate() {
        if number % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_ascii_whitespace().map(str::to_owned));
        }
    }
    words
}

fn parse_rule(line: &[String], chains: &BTreeSet<String>) -> Rule {
    let mut rule = Rule::default();
    let mut words = line.iter().map(String::as_str).skip(2).peekable();
    let mut inverted = false;
    while let Some(word) = words.next() {
        let value = words.peek().copied().unwrap_or_default();
        let condition = match word {
            "!" => {
                inverted = true;
                continue;
            }
            "-j" | "-g" => {
                rule.untracks =
                    value == "NOTRACK" || value == "CT" && words.any(|word| word == "--notrack");
                rule.offloads = value == "FLOWOFFLOAD";
                rule.verdict = parse_verdict(word, value, chains);
                break;
            }
            "-m" => {
                words.next();
                continue;
            }
            "--comment" => {
                rule.mark = Rule::mark_in(value);
                words.next();
                continue;
            }
            "-d" => value.parse().ok().map(RuleCondition::To),
            "--ctorigdst" => value.parse().ok().map(RuleCondition::MadeTo),
            "--ctdir" => Some(RuleCondition::Answers(value == "REPLY")),
            "--ctstate" | "--state" => Some(RuleCondition::State(parse_states(value))),
            word if word.starts_with('-') => None,
            // A value of an option that isn't understood.
            _ => continue,
        };
        rule.conditions.push(condition.filter(|_| !inverted).unwrap_or(RuleCondition::Other));
        inverted = false;
    }
    rule
}

fn parse_states(list: &str) -> u32 {
    let bit = |state| match state {
        "NEW" => NEW,
        "ESTABLISHED" => ESTABLISHED,
        _ => 0,
    };
    list.split(',').map(bit).fold(0, |all, bit| all | bit)
}

fn parse_verdict(how: &str, to: &str, chains: &BTreeSet<String>) -> RuleVerdict {
    match to {
        "ACCEPT" => RuleVerdict::Accept,
        "DROP" | "REJECT" => RuleVerdict::Drop,
        "RETURN" => RuleVerdict::Return,
        "NFQUEUE" | "QUEUE" => RuleVerdict::Other,
        _ if !chains.contains(to) => RuleVerdict::None,
        _ if how == "-g" => RuleVerdict::Goto(to.to_owned()),
        _ => RuleVerdict::Jump(to.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vip::firewall::{Fate, OwnRules};

    fn firewall(text: &str) -> Firewall {
        Firewall {
            chains: parse_rules(Families::V4, "filter", text).collect(),
            ..Firewall::default()
        }
    }

    fn fate(text: &str, chain: &str) -> Fate {
        let place = ChainPlace {
            backend: Backend::Legacy,
            families: Families::V4,
            table: "filter".into(),
            chain: chain.into(),
        };
        firewall(text).chain_fate(&place, &"3.0.0.0/8".parse().unwrap(), OwnRules::All)
    }

    #[test]
    fn what_the_tool_prints_is_understood_as_far_as_it_matters() {
        let input = "-P INPUT DROP\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n-N web\n\
                     -A INPUT -i lo -j ACCEPT\n\
                     -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n";
        // Packets on lo are no clients elsewhere, but that isn't known of `-i lo`.
        assert_eq!(fate(input, "INPUT"), Fate::Depends);
        assert_eq!(fate(&input.replace("-i lo ", "-d 9.9.9.9/32 "), "INPUT"), Fate::Dropped);
        assert_eq!(fate(input, "FORWARD"), Fate::Passes);
        for rule in [
            "-A INPUT -d 3.0.0.0/8 -j ACCEPT",
            "-A INPUT -m conntrack --ctorigdst 3.0.0.0/8 -j ACCEPT",
            "-A INPUT -j web\n-A web -d 0.0.0.0/1 -m comment --comment \"a b -j DROP\" -j ACCEPT",
        ] {
            assert_eq!(fate(&format!("{input}{rule}\n"), "INPUT"), Fate::Passes, "{rule}");
        }
        for rule in [
            "-A INPUT -d 3.0.0.0/8 -p tcp -m tcp --dport 80 -j ACCEPT",
            "-A INPUT ! -d 4.0.0.0/8 -j ACCEPT",
            "-A INPUT -d 3.3.0.0/16 -j ACCEPT",
            "-A INPUT -d 3.0.0.0/8 -j LOG",
        ] {
            assert_eq!(fate(&format!("{input}{rule}\n"), "INPUT"), Fate::Depends, "{rule}");
        }
        let reject =
            "-P FORWARD ACCEPT\n-A FORWARD -j REJECT --reject-with icmp-port-unreachable\n";
        assert_eq!(fate(reject, "FORWARD"), Fate::Dropped);
    }

    #[test]
    fn a_rule_of_vipds_is_recognised_as_the_tool_prints_it() {
        let text = "-P FORWARD DROP\n-A FORWARD -m conntrack --ctorigdst 3.0.0.0/8 --ctdir REPLY \
                    -m comment --comment \"vipd:3.0.0.0/8\" -j ACCEPT\n";
        for text in [text.to_owned(), text.replace('"', "")] {
            assert_eq!(firewall(&text).rules_in_place().len(), 1, "{text}");
            assert_eq!(fate(&text, "FORWARD"), Fate::Passes);
        }
    }

    #[test]
    fn a_rule_that_gives_connections_to_a_flowtable_is_known() {
        let text = "-P FORWARD ACCEPT\n-A FORWARD -m comment --comment \"fast path\" -m conntrack \
                    --ctstate RELATED,ESTABLISHED -j FLOWOFFLOAD --hw\n";
        let found = firewall(text).find_offloaded(&["3.0.0.0/8".parse().unwrap()]);
        assert_eq!((found.len(), found[0].is_certain), (1, true), "{found:?}");
    }
}
