//! Proptest strategies for the node's own firewall.

use std::sync::Arc;

use ipnet::IpNet;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use vip::Firewall;
use vip::firewall::{
    Backend, Base, Chain, ChainPlace, Families, Hook, Rule, RuleCondition, RuleVerdict,
};

/// Returns the prefixes of the VIPs of [`super::any_address`], one of them for each family.
fn prefixes() -> Vec<IpNet> {
    let net = |text: &str| text.parse().unwrap_or_default();
    vec![net("3.0.0.0/8"), net("fd01::/64")]
}

/// Generates the prefixes that vipd lets in, or none.
pub fn any_let_in() -> impl Strategy<Value = Vec<IpNet>> {
    select(vec![Vec::new(), prefixes(), prefixes()[..1].to_vec()])
}

fn any_place() -> impl Strategy<Value = ChainPlace> {
    let families = select(vec![Families::V4, Families::V6, Families::Both]);
    let chain = select(vec!["INPUT", "FORWARD", "more"]);
    (families, chain).prop_map(|(families, chain)| ChainPlace {
        backend: Backend::Nftables,
        families,
        table: "filter".to_owned(),
        chain: chain.to_owned(),
    })
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let condition = prop_oneof![
        select(prefixes()).prop_map(RuleCondition::To),
        select(vec![8, 6]).prop_map(RuleCondition::State),
        Just(RuleCondition::Other),
    ];
    let verdict = prop_oneof![
        Just(RuleVerdict::Accept),
        Just(RuleVerdict::Drop),
        Just(RuleVerdict::Return),
        Just(RuleVerdict::Jump("more".to_owned())),
    ];
    let own = (vec(condition, 0..2), verdict);
    let marked = (select(prefixes()), select(vec![Hook::Input, Hook::Forward]));
    prop_oneof![
        2 => own.prop_map(|(conditions, verdict)| Rule { conditions, verdict, ..Rule::default() }),
        1 => marked.prop_map(|(prefix, hook)| Rule::letting_in(prefix, hook)),
    ]
}

/// Generates a firewall with few chains, some with rules of vipd's.
pub fn any_firewall() -> impl Strategy<Value = Arc<Firewall>> {
    let chain = (any::<bool>(), vec(any_rule(), 0..4));
    btree_map(any_place(), chain, 0..4).prop_map(|chains| {
        let chains = chains.into_iter().map(|(place, (drops, rules))| {
            let hook = match place.chain.as_str() {
                "INPUT" => Some(Hook::Input),
                "FORWARD" => Some(Hook::Forward),
                _ => None,
            };
            let base = hook.map(|hook| Base { hook, drops });
            (place, Chain { base, rules })
        });
        Arc::new(Firewall { chains: chains.collect(), ..Firewall::default() })
    })
}
