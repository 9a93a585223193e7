//! Summaries of plans in one sentence.

use std::collections::BTreeSet;

use super::{Op, Plan};

impl Plan {
    /// Summarises the plan, such as `1 VIP to add, 2 real servers to add, 1 to change`.
    #[must_use]
    pub fn summary(&self) -> String {
        self.summarize(|verb| format!("to {}", verb.0))
    }

    /// Summarises the plan when it is done, such as `1 VIP added, 2 real servers added, 1 changed`.
    #[must_use]
    pub fn summary_done(&self) -> String {
        self.summarize(|verb| verb.1.to_owned())
    }

    /// Summarises a plan without a change of a VIP, a real server or an address.
    fn describe_rest(&self) -> String {
        let does = |what: fn(&Op) -> bool, name| self.ops.iter().any(what).then_some(name);
        let is_link: fn(&Op) -> bool =
            |op| matches!(op, Op::CreateLink | Op::RaiseLink | Op::DeleteLink);
        let is_timeouts: fn(&Op) -> bool = |op| matches!(op, Op::SetTimeouts { .. });
        let is_nft: fn(&Op) -> bool = |op| {
            matches!(
                op,
                Op::SetTable { .. }
                    | Op::DeleteTable { .. }
                    | Op::AddElement { .. }
                    | Op::DeleteElement { .. }
            )
        };
        let is_rule: fn(&Op) -> bool =
            |op| matches!(op, Op::InsertRule { .. } | Op::DeleteRule { .. });
        let parts = [
            does(is_timeouts, "timeouts of connections"),
            does(is_link, "the interface"),
            does(is_nft, "nftables"),
            does(is_rule, "the node's firewall"),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        match parts.is_empty() {
            true => "nothing to do".to_owned(),
            false => format!("{} only", parts.join(" and ")),
        }
    }

    fn summarize(&self, word: impl Fn(Verb) -> String) -> String {
        let count = |wanted: fn(&Op) -> bool| self.ops.iter().filter(|op| wanted(op)).count();
        let changed: BTreeSet<_> = self
            .ops
            .iter()
            .filter(|op| matches!(op, Op::SetService { .. }))
            .filter_map(Op::vip)
            .collect();
        let vips = count_phrase(
            "VIP",
            [
                (count(|op| matches!(op, Op::AddService { .. })), ADD),
                (changed.len(), CHANGE),
                (count(|op| matches!(op, Op::DeleteService { .. })), REMOVE),
            ],
            &word,
        );
        let with_services = self.ops.iter().map(|op| match op {
            Op::DeleteServer { .. } => 1,
            Op::DeleteService { servers, .. } => servers.len(),
            _ => 0,
        });
        let servers = count_phrase(
            "real server",
            [
                (count(|op| matches!(op, Op::AddServer { .. })), ADD),
                (count(|op| matches!(op, Op::SetServer { .. })), CHANGE),
                (with_services.sum(), REMOVE),
            ],
            &word,
        );
        let addresses = count_phrase(
            "address",
            [
                (count(|op| matches!(op, Op::Bind { .. })), ("bind", "bound")),
                (count(|op| matches!(op, Op::Rebind { .. })), ("bind again", "bound again")),
                (count(|op| matches!(op, Op::SetRoute { .. })), ("re-route", "re-routed")),
                (count(|op| matches!(op, Op::Unbind { .. })), ("unbind", "unbound")),
            ],
            &word,
        );
        let mut parts: Vec<_> = [vips, servers, addresses].into_iter().flatten().collect();
        if parts.is_empty() {
            parts.push(self.describe_rest());
        }
        if !self.conflicts.is_empty() {
            parts.push(format!("{} left alone", count_noun(self.conflicts.len(), "VIP")));
        }
        parts.join("; ")
    }
}

/// A verb and its past participle.
type Verb = (&'static str, &'static str);

const ADD: Verb = ("add", "added");
const CHANGE: Verb = ("change", "changed");
const REMOVE: Verb = ("remove", "removed");

fn count_noun(number: usize, noun: &str) -> String {
    match (number, noun) {
        (1, _) => format!("1 {noun}"),
        (_, "address") => format!("{number} addresses"),
        _ => format!("{number} {noun}s"),
    }
}

/// Writes `2 VIPs to add, 1 to remove`; `None` if all counts are 0.
fn count_phrase<const N: usize>(
    noun: &str,
    counts: [(usize, Verb); N],
    word: impl Fn(Verb) -> String,
) -> Option<String> {
    let mut text = String::new();
    for (number, verb) in counts.into_iter().filter(|(number, _)| *number > 0) {
        if text.is_empty() {
            text = format!("{} {}", count_noun(number, noun), word(verb));
        } else {
            text += &format!(", {number} {}", word(verb));
        }
    }
    (!text.is_empty()).then_some(text)
}
