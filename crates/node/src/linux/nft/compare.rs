//! Comparison of a table in the kernel with the tables that vipd makes. Pure.
//!
//! The kernel shows more than it was given: defaults, and flags that it sets itself. Two expressions
//! are equal if they have the same name and the same attributes, ignoring those that are zero.

use std::collections::BTreeMap;

use netlink_packet_core::{Emitable, NlasIterator};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, ExpressionAttribute, Hook, ListAttribute, RuleAttribute,
    RuleMessage, SetAttribute, SetMessage,
};
use nl_ipvs::Family;
use vip::nft::Rules;

use super::expression::ACCEPT;
use super::layout::{self, Set, TABLE};

/// `NFTA_NAT_FLAGS` of `linux/netfilter/nf_tables.h`, and those of its flags that kernels since 5.7
/// derive from the other attributes: `NF_NAT_RANGE_MAP_IPS`, `NF_NAT_RANGE_PROTO_SPECIFIED`.
const NFTA_NAT_FLAGS: u16 = 7;
const DERIVED_NAT_FLAGS: u32 = 1 | 2;

/// The bits of an attribute's kind without its flags (`NLA_TYPE_MASK`).
const KIND: u16 = 0x3fff;

type Expression = (String, BTreeMap<u16, Vec<u8>>);

/// A chain in the form in which it is compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Shape {
    kind: String,
    /// Hook and priority.
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
            let shape = Shape {
                kind: chain.kind.to_owned(),
                place: Some((chain.hook.into(), chain.priority)),
                policy: ACCEPT,
                rules: rules.collect(),
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
    attributes.retain(|_, value| value.iter().any(|byte| *byte != 0));
    (name, attributes)
}

/// Recognises a set of our table; `None` for one that vipd doesn't make. The caller checks that no
/// set is missing.
pub(super) fn recognise_set(family: Family, message: &SetMessage) -> Option<Set> {
    let (mut name, mut length, mut usual) = ("", 0, true);
    for attribute in &message.attributes {
        match attribute {
            SetAttribute::Name(text) => name = text,
            SetAttribute::KeyLen(number) => length = *number,
            SetAttribute::Flags(flags) => usual &= flags.is_empty(),
            SetAttribute::Timeout(time) => usual &= *time == 0,
            SetAttribute::Expression(_) | SetAttribute::ListExpressions(_) => usual = false,
            _ => {}
        }
    }
    let ours = layout::set_layouts(family).into_iter().find(|set| set.name == name);
    ours.filter(|set| set.key_length == length && usual)
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::DefaultNla;
    use netlink_packet_netfilter::nftables::Expressions;
    use vip::nft::{Guard, Masquerade};

    #[test]
    fn each_kind_of_table_is_told_from_the_others() {
        for family in [Family::Inet, Family::Inet6] {
            for rules in Rules::ALL {
                assert_eq!(
                    Shapes::expected_for(family, rules).recognise_rules(family),
                    Some(rules)
                );
            }
            let rules = Rules { nat: Some(Masquerade::Always), guard: Guard::On };
            let mut changed = Shapes::expected_for(family, rules);
            changed.0.get_mut("guard").unwrap().rules.pop();
            assert_eq!(changed.recognise_rules(family), None);
            let mut moved = Shapes::expected_for(family, rules);
            moved.0.get_mut("refuse").unwrap().place = Some((1, 99));
            assert_eq!(moved.recognise_rules(family), None);
            let mut more = Shapes::expected_for(family, rules);
            more.0.insert("x".to_owned(), Shape::default());
            assert_eq!(more.recognise_rules(family), None);
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
