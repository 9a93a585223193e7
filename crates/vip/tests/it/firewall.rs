//! What the node's own firewall does with VIPs, as a table.

use std::collections::BTreeMap;

use ipnet::IpNet;
use vip::Firewall;
use vip::firewall::{
    Backend, Base, Chain, ChainPlace, ESTABLISHED, Families, Fate, Hook, NEW, OwnRules, Rule,
    RuleCondition, RuleVerdict, prefixes_to_check, remedy_commands, split_admissible,
};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn place(families: Families, table: &str, chain: &str) -> ChainPlace {
    ChainPlace { backend: Backend::Nftables, families, table: table.into(), chain: chain.into() }
}

fn rule(conditions: &[RuleCondition], verdict: RuleVerdict) -> Rule {
    Rule { conditions: conditions.to_vec(), verdict, ..Rule::default() }
}

fn to(chain: &str) -> RuleVerdict {
    RuleVerdict::Jump(chain.into())
}

/// A chain `in` at a hook, and others that it may lead to.
fn firewall(hook: Hook, drops: bool, rules: &[Rule], others: &[(&str, &[Rule])]) -> Firewall {
    let base = Chain { base: Some(Base { hook, drops }), rules: rules.to_vec() };
    let others = others.iter().map(|(name, rules)| {
        (place(Families::Both, "f", name), Chain { base: None, rules: rules.to_vec() })
    });
    let chains: BTreeMap<_, _> = others.chain([(place(Families::Both, "f", "in"), base)]).collect();
    Firewall { chains, ..Firewall::default() }
}

fn fate(firewall: &Firewall, prefix: &str) -> Fate {
    firewall.chain_fate(&place(Families::Both, "f", "in"), &net(prefix), OwnRules::All)
}

#[test]
fn a_chain_is_judged_by_what_its_rules_say_of_vips() {
    let accept = |conditions: &[RuleCondition]| rule(conditions, RuleVerdict::Accept);
    let established = accept(&[RuleCondition::State(ESTABLISHED | 4)]);
    let of_interface = accept(&[RuleCondition::Other]);
    let dropped = rule(&[], RuleVerdict::Drop);
    let vips = accept(&[RuleCondition::To(net("3.0.0.0/8"))]);
    let part = accept(&[RuleCondition::To(net("3.3.0.0/16"))]);
    let others = accept(&[RuleCondition::To(net("4.0.0.0/8"))]);
    let port = accept(&[RuleCondition::To(net("3.0.0.0/8")), RuleCondition::Other]);
    let new = accept(&[RuleCondition::State(NEW), RuleCondition::To(net("0.0.0.0/0"))]);
    let v6 = accept(&[RuleCondition::IsV4(false)]);
    for (hook, drops, rules, expected) in [
        (Hook::Input, false, vec![], Fate::Passes),
        (Hook::Input, true, vec![], Fate::Dropped),
        (Hook::Input, false, vec![&dropped], Fate::Dropped),
        (Hook::Input, false, vec![&established, &dropped], Fate::Dropped),
        (Hook::Input, true, vec![&established, &others, &v6], Fate::Dropped),
        (Hook::Input, true, vec![&of_interface], Fate::Depends),
        (Hook::Input, true, vec![&port], Fate::Depends),
        (Hook::Input, true, vec![&part], Fate::Depends),
        (Hook::Input, true, vec![&vips], Fate::Passes),
        (Hook::Input, true, vec![&new], Fate::Passes),
        (Hook::Input, true, vec![&dropped, &vips], Fate::Dropped),
        // One that drops for a reason of its own, such as an invalid state, isn't about VIPs.
        (Hook::Input, false, vec![&rule(&[RuleCondition::Other], RuleVerdict::Drop)], Fate::Passes),
        (Hook::Forward, true, vec![&established], Fate::Passes),
        (Hook::Forward, true, vec![&of_interface], Fate::Depends),
        // Answers go to clients, not to VIPs.
        (Hook::Forward, true, vec![&vips], Fate::Depends),
        (Hook::Output, true, vec![&established], Fate::Dropped),
    ] {
        let rules: Vec<_> = rules.into_iter().cloned().collect();
        let judged = fate(&firewall(hook, drops, &rules, &[]), "3.0.0.0/8");
        assert_eq!(judged, expected, "{hook:?} {drops} {rules:?}");
    }
}

#[test]
fn chains_are_followed_into_others() {
    let vips = rule(&[RuleCondition::To(net("3.0.0.0/8"))], RuleVerdict::Accept);
    let back = rule(&[], RuleVerdict::Return);
    let dropped = rule(&[], RuleVerdict::Drop);
    let jump = rule(&[], to("a"));
    let perhaps = rule(&[RuleCondition::Other], to("a"));
    let leave = rule(&[], RuleVerdict::Goto("a".into()));
    for (rules, a, expected) in [
        (vec![&jump], vec![&vips], Fate::Passes),
        (vec![&jump], vec![&back, &vips], Fate::Dropped),
        (vec![&jump, &vips], vec![&back], Fate::Passes),
        (vec![&jump, &vips], vec![&dropped], Fate::Dropped),
        (vec![&perhaps], vec![&vips], Fate::Depends),
        (vec![&perhaps, &vips], vec![&dropped], Fate::Passes),
        (vec![&leave, &vips], vec![], Fate::Dropped),
        (vec![&leave, &vips], vec![&vips], Fate::Passes),
        // The kernel takes no circle; one that is read half-way is not understood.
        (vec![&jump], vec![&jump], Fate::Depends),
    ] {
        let own = |rules: Vec<&Rule>| rules.into_iter().cloned().collect::<Vec<_>>();
        let (rules, a) = (own(rules), own(a));
        let judged = fate(&firewall(Hook::Input, true, &rules, &[("a", &a)]), "3.0.0.0/8");
        assert_eq!(judged, expected, "{rules:?} {a:?}");
    }
    let unread = firewall(Hook::Input, true, &[jump], &[]);
    assert_eq!(fate(&unread, "3.0.0.0/8"), Fate::Depends);
}

#[test]
fn vipds_rules_are_held_only_as_vipd_makes_them_and_are_wanted_where_others_dont_do() {
    let prefix = net("3.0.0.0/8");
    let ours = Rule::letting_in(prefix, Hook::Input);
    let closed = |rules: &[Rule]| firewall(Hook::Input, true, rules, &[]);
    let there = (place(Families::Both, "f", "in"), prefix);
    let with = closed(std::slice::from_ref(&ours));
    assert_eq!(fate(&with, "3.0.0.0/8"), Fate::Passes);
    assert_eq!(with.rules_in_place(), [there.clone()].into());
    assert_eq!(with.wanted_rules(&[prefix]), [there.clone()].into(), "stays wanted");
    let more = Rule { conditions: vec![], ..ours.clone() };
    let late = vec![rule(&[], RuleVerdict::Drop), ours.clone()];
    for changed in [vec![more], vec![ours.clone(), ours.clone()], late] {
        let changed = closed(&changed);
        assert_eq!(
            (changed.rules_in_place(), changed.marked_rules()),
            ([].into(), [there.clone()].into())
        );
    }
    let own = rule(&[RuleCondition::MadeTo(prefix)], RuleVerdict::Accept);
    assert_eq!(closed(&[ours, own]).wanted_rules(&[prefix]), [].into(), "the operator did it");
    assert_eq!(closed(&[]).wanted_rules(&[net("fd03::/16")]).len(), 1, "an inet chain sees both");
}

#[test]
fn a_rule_of_vipd_counts_for_its_own_chain_and_prefix_only() {
    let (prefix, wider) = (net("3.3.0.0/16"), net("3.0.0.0/8"));
    let ours = Rule::letting_in(prefix, Hook::Input);
    let there = (place(Families::Both, "f", "in"), prefix);
    // Its rule comes too late, and what lets the packets pass before is a rule of vipd's that the
    // same plan may delete: in another chain, or for another prefix.
    let moved = [rule(&[], to("a")), ours.clone()];
    let chain = [ours.clone(), rule(&[], RuleVerdict::Drop)];
    let moved = firewall(Hook::Input, false, &moved, &[("a", &chain)]);
    assert_eq!(fate(&moved, "3.3.0.0/16"), Fate::Passes);
    assert_eq!(moved.wanted_rules(&[prefix]), [there.clone()].into());
    assert_eq!(moved.rules_in_place(), [].into());
    let wide = [Rule::letting_in(wider, Hook::Input), rule(&[], RuleVerdict::Drop), ours];
    let wide = firewall(Hook::Input, false, &wide, &[]);
    assert!(!wide.rules_in_place().contains(&there));
}

#[test]
fn the_cure_is_in_the_words_of_who_keeps_the_chain() {
    let lines = |place: ChainPlace, hook: Hook, rules: Vec<Rule>| {
        let base = Some(Base { hook, drops: true });
        let chains = [(place, Chain { base, rules })].into();
        let firewall = Firewall { chains, ..Firewall::default() };
        let findings = firewall.find_drops(&[net("3.0.0.0/8"), net("fd03::/16")]);
        remedy_commands(&firewall, &findings[0])
    };
    assert_eq!(
        lines(place(Families::Both, "filter", "input"), Hook::Input, vec![]),
        [
            "nft insert rule inet filter input ct original ip daddr 3.0.0.0/8 accept",
            "nft insert rule inet filter input ct original ip6 daddr fd03::/16 accept",
        ]
    );
    assert_eq!(
        lines(place(Families::V4, "t", "fwd"), Hook::Forward, vec![]),
        ["nft insert rule ip t fwd ct direction reply ct original ip daddr 3.0.0.0/8 accept"]
    );
    assert_eq!(
        lines(place(Families::V6, "filter", "FORWARD"), Hook::Forward, vec![]),
        ["ip6tables -I FORWARD -m conntrack --ctorigdst fd03::/16 --ctdir REPLY -j ACCEPT"]
    );
    let legacy = ChainPlace { backend: Backend::Legacy, ..place(Families::V4, "filter", "INPUT") };
    assert_eq!(
        lines(legacy, Hook::Input, vec![]),
        ["iptables-legacy -I INPUT -m conntrack --ctorigdst 3.0.0.0/8 -j ACCEPT"]
    );
    let ufw = rule(&[], to("ufw-before-input"));
    assert_eq!(
        lines(place(Families::V4, "filter", "INPUT"), Hook::Input, vec![ufw]),
        ["ufw allow to 3.0.0.0/8"]
    );
    let firewalld = lines(place(Families::Both, "firewalld", "filter_INPUT"), Hook::Input, vec![]);
    assert_eq!(
        firewalld,
        [
            "firewall-cmd --permanent --new-policy vipd",
            "firewall-cmd --permanent --policy vipd --add-ingress-zone ANY",
            "firewall-cmd --permanent --policy vipd --add-egress-zone HOST",
            "firewall-cmd --permanent --policy vipd --add-rich-rule 'rule family=\"ipv4\" \
             destination address=\"3.0.0.0/8\" accept'",
            "firewall-cmd --permanent --policy vipd --add-rich-rule 'rule family=\"ipv6\" \
             destination address=\"fd03::/16\" accept'",
            "firewall-cmd --reload",
        ]
    );
}

#[test]
fn a_prefix_with_an_address_of_the_node_is_not_let_in() {
    let own = ["10.0.0.7".parse().unwrap(), "::1".parse().unwrap()].into();
    let prefixes = [net("3.3.3.3/8"), net("10.0.0.0/8"), net("::/0")];
    let (fine, open) = split_admissible(&prefixes, &own);
    assert_eq!(fine, [net("3.0.0.0/8")]);
    assert_eq!(open, [net("10.0.0.0/8"), net("::/0")]);
}

#[test]
fn without_prefixes_the_bound_addresses_are_what_counts() {
    let bound = ["3.3.0.6".parse().unwrap(), "fd03::1".parse().unwrap()];
    assert_eq!(prefixes_to_check(&[], bound.iter()), [net("3.3.0.6/32"), net("fd03::1/128")]);
    assert_eq!(prefixes_to_check(&[net("3.0.0.0/8")], bound.iter()), [net("3.0.0.0/8")]);
    let many: Vec<_> = (0..20).map(|last| net(&format!("3.3.0.{last}/32"))).collect();
    let complaints = firewall(Hook::Input, true, &[], &[]).describe_problems(&many);
    assert!(complaints[0].contains("3.3.0.2/32 and 17 more"), "{complaints:?}");
    assert!(complaints[0].ends_with("with a prefix in [vip] allow one line is enough"));
    let offloads = Rule { offloads: true, ..rule(&[], RuleVerdict::None) };
    let complaints = firewall(Hook::Forward, false, &[offloads], &[]).describe_problems(&many);
    assert!(complaints[0].contains("3.3.0.2/32 and 17 more"), "{complaints:?}");
}

#[test]
fn a_rule_of_ours_keeps_replies_from_a_flowtable() {
    let prefix = net("3.0.0.0/8");
    let offloads = Rule { offloads: true, ..rule(&[], RuleVerdict::None) };
    let ours = Rule { mark: Some(prefix), ..Rule::letting_in(prefix, Hook::Forward) };
    let open = |rules: &[Rule]| firewall(Hook::Forward, false, rules, &[]);
    let without = open(std::slice::from_ref(&offloads));
    let there = without.chains.keys().next().unwrap().clone();
    assert_eq!(without.wanted_rules(&[prefix]), [(there.clone(), prefix)].into());
    let with = open(&[ours.clone(), offloads.clone()]);
    assert_eq!(with.wanted_rules(&[prefix]), [(there.clone(), prefix)].into(), "stays wanted");
    assert_eq!(with.rules_in_place(), [(there, prefix)].into());
    assert!(with.find_offloaded(&[prefix]).is_empty());
    assert!(open(&[offloads, ours]).rules_in_place().is_empty(), "behind it");
    assert!(open(&[]).wanted_rules(&[prefix]).is_empty());
}

#[test]
fn replies_that_a_flowtable_takes_are_told_with_the_rule_that_keeps_them_from_it() {
    let offload = |conditions: &[RuleCondition]| Rule {
        offloads: true,
        ..rule(conditions, RuleVerdict::None)
    };
    let (all, some) = (offload(&[]), offload(&[RuleCondition::Other]));
    let established = rule(&[RuleCondition::State(ESTABLISHED)], RuleVerdict::Accept);
    let new = rule(&[RuleCondition::State(NEW)], RuleVerdict::Accept);
    let vips = Rule::letting_in(net("3.0.0.0/8"), Hook::Forward);
    let part = Rule::letting_in(net("3.3.0.0/16"), Hook::Forward);
    let back = rule(&[RuleCondition::MadeTo(net("3.0.0.0/8"))], RuleVerdict::Return);
    let requests = offload(&[RuleCondition::Answers(false)]);
    let (jump, sub) = (rule(&[], to("sub")), std::slice::from_ref(&all));
    for (hook, rules, expected) in [
        (Hook::Forward, vec![&all], Some(true)),
        (Hook::Forward, vec![&some, &established], Some(false)),
        (Hook::Forward, vec![&new, &all], Some(true)),
        (Hook::Forward, vec![&part, &all], Some(true)),
        (Hook::Forward, vec![&jump], Some(true)),
        (Hook::Forward, vec![&back, &jump], None),
        (Hook::Forward, vec![&established, &all], None),
        (Hook::Forward, vec![&vips, &all], None),
        (Hook::Forward, vec![&requests], None),
        (Hook::Forward, vec![], None),
        // The kernel refuses such a rule there.
        (Hook::Input, vec![&all], None),
    ] {
        let rules: Vec<_> = rules.into_iter().cloned().collect();
        let found = firewall(hook, false, &rules, &[("sub", sub)]);
        let found = found.find_offloaded(&[net("3.0.0.0/8")]);
        let told: Vec<_> = found.iter().map(|found| found.is_certain).collect();
        assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "{rules:?}");
    }
    let told = firewall(Hook::Forward, false, &[some], &[]).describe_problems(&[net("3.0.0.0/8")]);
    assert_eq!(
        told,
        [
            "inet f in may give replies of 3.0.0.0/8 to a flowtable, so that they bypass IPVS: keep them \
          from it with `nft insert rule inet f in ct direction reply ct original ip daddr 3.0.0.0/8 \
          accept`"
        ]
    );
    let mut chains = firewall(Hook::Forward, false, &[all], &[]).chains;
    let (_, chain) = chains.pop_first().unwrap();
    let chains = [(place(Families::Both, "firewalld", "filter_FORWARD"), chain)].into();
    let firewalld = Firewall { chains, ..Firewall::default() };
    let told = firewalld.describe_problems(&[net("3.0.0.0/8")]);
    assert!(told[0].contains("`NftablesFlowtable=off`"), "{told:?}");
}
