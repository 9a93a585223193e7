//! Comparison of a table in the kernel with the tables that vipd makes. Pure.
//!
//! The kernel shows more than it was given: defaults, and flags that it sets itself. Two expressions
//! are equal if they have the same name and the same attributes, ignoring those that are zero.

use std::collections::BTreeMap;

use netlink_packet_core::{Emitable, NlasIterator};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, ExpressionAttribute, Hook, ListAttribute, RuleAttribute,
    RuleMessage, SetAttribute, SetFlags, SetMessage,
};
use nl_ipvs::Family;
use vip::nft::Rules;

use super::expression::{ACCEPT, NFTA_DYNSET_EXPR};
use super::layout::{self, Set, TABLE};

/// `NFTA_NAT_FLAGS` of `linux/netfilter/nf_tables.h`, and those of its flags that kernels since 5.7
/// derive from the other attributes: `NF_NAT_RANGE_MAP_IPS`, `NF_NAT_RANGE_PROTO_SPECIFIED`.
const NFTA_NAT_FLAGS: u16 = 7;
const DERIVED_NAT_FLAGS: u32 = 1 | 2;

/// `NFTA_EXPR_DATA`, the attributes of an expression.
const NFTA_EXPR_DATA: u16 = 2;

/// The bits of an attribute's kind without its flags (`NLA_TYPE_MASK`).
const KIND: u16 = 0x3fff;

type Expression = (String, BTreeMap<u16, Vec<u8>>);

/// A chain in the form in which it is compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Shape {
    kind: String,
    /// Hook and priority; `None` for a chain that others jump to.
    place: Option<(u32, i32)>,
    policy: u32,
    rules: Vec<Vec<Expression>>,
}

/// The chains of a table by name, with their rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Shapes(BTreeMap<String, Shape>);

impl Shapes {
    /// Adds a chain if it belongs to our table.
    pub(super) fn add_chain(&mut self, chain: &ChainMessage) {
        let (mut name, mut shape, mut ours) = (String::new(), Shape::default(), false);
        for attribute in &chain.attributes {
            match attribute {
                ChainAttribute::Table(table) => ours = table == TABLE,
                ChainAttribute::Name(text) => name.clone_from(text),
                ChainAttribute::Type(text) => shape.kind.clone_from(text),
                ChainAttribute::Policy(policy) => shape.policy = *policy,
                ChainAttribute::Hook(hook) => shape.place = hook_and_priority(hook),
                _ => {}
            }
        }
        if ours {
            self.0.insert(name, shape);
        }
    }

    /// Adds a rule if it belongs to our table. Its chain must have been added before.
    pub(super) fn add_rule(&mut self, rule: &RuleMessage) {
        let (mut chain, mut expressions, mut ours) = ("", Vec::new(), false);
        for attribute in &rule.attributes {
            match attribute {
                RuleAttribute::Table(table) => ours = table == TABLE,
                RuleAttribute::Chain(name) => chain = name,
                RuleAttribute::Expressions(list) => {
                    expressions = list.iter().map(normalise_expression).collect();
                }
                _ => {}
            }
        }
        if ours && let Some(shape) = self.0.get_mut(chain) {
            shape.rules.push(expressions);
        }
    }

    /// Recognises the rules as one of the sets that vipd makes.
    pub(super) fn recognise_rules(&self, family: Family) -> Option<Rules> {
        Rules::ALL.into_iter().find(|rules| *self == Self::expected_for(family, *rules))
    }

    fn expected_for(family: Family, rules: Rules) -> Self {
        let chains = layout::chain_layouts(family, rules).into_iter().map(|chain| {
            let rules = chain.rules.into_iter().map(|rule| {
                rule.into_iter()
                    .map(|each| normalise_expression(&ListAttribute::from(each)))
                    .collect()
            });
            let rules = rules.collect();
            let shape = match chain.base {
                Some(base) => Shape {
                    kind: base.kind.to_owned(),
                    place: Some((base.hook.into(), base.priority)),
                    policy: ACCEPT,
                    rules,
                },
                None => Shape { rules, ..Shape::default() },
            };
            (chain.name.to_owned(), shape)
        });
        Self(chains.collect())
    }
}

fn hook_and_priority(hook: &[Hook]) -> Option<(u32, i32)> {
    let number = hook.iter().find_map(|attribute| match attribute {
        Hook::Number(number) => Some((*number).into()),
        _ => None,
    });
    let priority = hook.iter().find_map(|attribute| match attribute {
        Hook::Priority(priority) => Some(priority.cast_signed()),
        _ => None,
    });
    Some((number?, priority?))
}

fn normalise_expression(element: &ListAttribute<ExpressionAttribute>) -> Expression {
    let (mut name, mut attributes) = (String::new(), BTreeMap::new());
    let ListAttribute::Element(parts) = element else { return (name, attributes) };
    for part in parts {
        match part {
            ExpressionAttribute::Name(text) => name.clone_from(text),
            ExpressionAttribute::Data(data) => {
                let mut bytes = vec![0; data.buffer_len()];
                data.emit(&mut bytes);
                let read = NlasIterator::new(bytes.as_slice()).map_while(Result::ok);
                attributes = read.map(|nla| (nla.kind() & KIND, nla.value().to_vec())).collect();
            }
            _ => {}
        }
    }
    if name == "nat"
        && let Some(flags) = attributes.get_mut(&NFTA_NAT_FLAGS)
        && let Some(number) = flags.first_chunk::<4>()
    {
        *flags = (u32::from_be_bytes(*number) & !DERIVED_NAT_FLAGS).to_be_bytes().to_vec();
    }
    if let Some(limit) = attributes.get_mut(&NFTA_DYNSET_EXPR).filter(|_| name == "dynset") {
        *limit = normalise_inner(limit);
    }
    attributes.retain(|_, value| value.iter().any(|byte| *byte != 0));
    (name, attributes)
}

/// Normalises an expression within another one: its name, and those of its attributes that aren't zero.
fn normalise_inner(bytes: &[u8]) -> Vec<u8> {
    let mut parts = Vec::new();
    for part in NlasIterator::new(bytes).map_while(Result::ok) {
        match part.kind() & KIND {
            NFTA_EXPR_DATA => {
                let data = NlasIterator::new(part.value()).map_while(Result::ok);
                let told = data.filter(|nla| nla.value().iter().any(|byte| *byte != 0));
                parts.extend(told.map(|nla| (nla.kind() & KIND, nla.value().to_vec())));
            }
            _ => parts.push((0, part.value().to_vec())),
        }
    }
    parts.sort_unstable();
    let bytes = parts.into_iter().map(|(kind, value)| [&kind.to_be_bytes()[..], &value].concat());
    bytes.flatten().collect()
}

/// Recognises a set of our table; `None` for one that vipd doesn't make. The caller checks that no
/// set is missing.
pub(super) fn recognise_set(family: Family, message: &SetMessage) -> Option<Set> {
    let (mut name, mut length, mut usual) = ("", 0, true);
    let (mut value_length, mut shown, mut timeout) = (None, SetFlags::empty(), 0);
    for attribute in &message.attributes {
        match attribute {
            SetAttribute::Name(text) => name = text,
            SetAttribute::KeyLen(number) => length = *number,
            SetAttribute::DataLen(number) => value_length = Some(*number),
            SetAttribute::Flags(flags) => shown = *flags,
            SetAttribute::Timeout(milliseconds) => timeout = *milliseconds,
            SetAttribute::Expression(_) | SetAttribute::ListExpressions(_) => usual = false,
            _ => {}
        }
    }
    let ours = layout::set_layouts(family).into_iter().find(|set| set.name == name);
    let fits = |set: &Set| {
        set.key_length == length
            && set.value.map(|(_, length)| length) == value_length
            && layout::set_flags(set) == shown
            && layout::set_timeout(set) == timeout
    };
    ours.filter(|set| usual && fits(set))
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::DefaultNla;
    use netlink_packet_netfilter::nftables::Expressions;
    use vip::nft::{Guard, LostSyns, Masquerade};

    #[test]
    fn each_kind_of_table_is_told_from_the_others() {
        for family in [Family::Inet, Family::Inet6] {
            let expected = |rules| Shapes::expected_for(family, rules);
            let recognised = |shapes: Shapes| shapes.recognise_rules(family);
            for rules in Rules::ALL {
                assert_eq!(recognised(expected(rules)), Some(rules));
            }
            let (guard, lost_syns) = (Guard::On, LostSyns::Logged);
            let rules = Rules { nat: Some(Masquerade::Always), guard, lost_syns };
            let mut changed = expected(rules);
            changed.0.get_mut("guard").unwrap().rules.pop();
            assert_eq!(recognised(changed), None);
            let mut moved = expected(rules);
            moved.0.get_mut("guard").unwrap().place = Some((1, 99));
            assert_eq!(recognised(moved), None);
            let mut more = expected(rules);
            more.0.insert("x".to_owned(), Shape::default());
            assert_eq!(recognised(more), None);
        }
    }

    #[test]
    fn what_the_kernel_adds_of_its_own_accord_is_no_difference() {
        let told = super::super::expression::dnat(Family::Inet);
        let shown = |flags: u32| {
            let Expressions::Other { expression_type, mut attributes } = told.clone() else {
                panic!("{told:?}")
            };
            attributes.push(DefaultNla::new(NFTA_NAT_FLAGS, flags.to_be_bytes().to_vec()));
            normalise_expression(&Expressions::Other { expression_type, attributes }.into())
        };
        let told = normalise_expression(&told.clone().into());
        for derived in [0, 1, 2, 3] {
            assert_eq!(shown(derived), told);
        }
        // NF_NAT_RANGE_PERSISTENT
        assert_ne!(shown(8), told);
    }
}
