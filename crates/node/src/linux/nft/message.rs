//! Messages of nftables (nfnetlink). Pure.

use std::collections::BTreeSet;

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NetlinkMessage};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, DataAttribute, GenMessage, Hook, ListAttribute, NfTablesMessage,
    RuleAttribute, RuleMessage, SetAttribute, SetDescription, SetElementAttribute, SetElementList,
    SetElementMessage, SetMessage, TableAttribute, TableMessage,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use nl_ipvs::Family;
use vip::firewall::{ChainPlace, Families};
use vip::nft::{Element, Rules};

use super::expression::ACCEPT;
use super::key;
use super::layout::{self, Chain, Set, TABLE};

pub(super) type Message = NetlinkMessage<NetfilterMessage>;

/// `NFNL_SUBSYS_NFTABLES` of `linux/netfilter/nfnetlink.h`.
const SUBSYSTEM: u16 = 10;
/// Elements in one message: their attribute has at most 64 KiB, and the longest takes 72 bytes.
const ELEMENTS: usize = 600;

fn family_protocol(family: Family) -> NetfilterProtoFamily {
    match family {
        Family::Inet => NetfilterProtoFamily::IPv4,
        Family::Inet6 => NetfilterProtoFamily::IPv6,
    }
}

fn family_message(family: Family, flags: u16, inner: impl Into<NetfilterMessageInner>) -> Message {
    protocol_message(family_protocol(family), flags, inner)
}

fn protocol_message(
    protocol: NetfilterProtoFamily,
    flags: u16,
    inner: impl Into<NetfilterMessageInner>,
) -> Message {
    let header = NetfilterHeader::new(protocol, 0, 0);
    let mut message = Message::from(NetfilterMessage::new(header, inner));
    message.header.flags = flags;
    message
}

fn control_message(what: ControlMessage) -> Message {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, SUBSYSTEM);
    Message::from(NetfilterMessage::new(header, what))
}

pub(super) fn begin_batch() -> Message {
    control_message(ControlMessage::BatchBegin)
}

pub(super) fn end_batch() -> Message {
    control_message(ControlMessage::BatchEnd)
}

fn our_table() -> TableMessage {
    TableMessage { attributes: vec![TableAttribute::Name(TABLE.to_owned())] }
}

/// Lists the messages that replace a table, each with the name of what it makes.
pub(super) fn rebuild_table(
    family: Family,
    rules: Rules,
    elements: impl IntoIterator<Item = Element>,
) -> Vec<(String, Message)> {
    let new_table = || family_message(family, NLM_F_CREATE, NfTablesMessage::NewTable(our_table()));
    // Deleting a missing table is an error, so create it first; within a transaction nobody sees it.
    let mut messages = vec![
        ("the table".to_owned(), new_table()),
        ("the end of the old table".to_owned(), delete_table(family)),
        ("the table".to_owned(), new_table()),
    ];
    for (id, set) in (1..).zip(layout::set_layouts(family)) {
        messages.push((format!("set {}", set.name), new_set(family, &set, id)));
    }
    let elements: Vec<_> = elements.into_iter().collect();
    let elements = add_elements(&elements).map(|message| ("elements".to_owned(), message));
    messages.extend(elements);
    for chain in layout::chain_layouts(family, rules) {
        messages.push((format!("chain {}", chain.name), new_chain(family, &chain)));
        for (number, rule) in (1..).zip(&chain.rules) {
            let what = format!("rule {number} of chain {}", chain.name);
            messages.push((what, new_rule(family, &chain, rule)));
        }
    }
    messages
}

pub(super) fn delete_table(family: Family) -> Message {
    family_message(family, 0, NfTablesMessage::DeleteTable(our_table()))
}

fn new_set(family: Family, set: &Set, id: u32) -> Message {
    let mut attributes = vec![
        SetAttribute::Table(TABLE.to_owned()),
        SetAttribute::Name(set.name.to_owned()),
        SetAttribute::KeyType(set.key_type),
        SetAttribute::KeyLen(set.key_length),
        SetAttribute::Id(id),
    ];
    let flags = layout::set_flags(set);
    if !flags.is_empty() {
        attributes.push(SetAttribute::Flags(flags));
    }
    if let Some((value_type, length)) = set.value {
        attributes.extend([SetAttribute::DataType(value_type), SetAttribute::DataLen(length)]);
    }
    if set.is_filled_by_rules {
        attributes.extend([
            SetAttribute::Timeout(layout::set_timeout(set)),
            SetAttribute::Description(vec![SetDescription::Size(layout::FILLED_SIZE)]),
        ]);
    }
    family_message(family, NLM_F_CREATE, NfTablesMessage::NewSet(SetMessage { attributes }))
}

fn new_chain(family: Family, chain: &Chain) -> Message {
    let mut attributes =
        vec![ChainAttribute::Table(TABLE.to_owned()), ChainAttribute::Name(chain.name.to_owned())];
    if let Some(base) = chain.base {
        let hook =
            vec![Hook::Number(base.hook.into()), Hook::Priority(base.priority.cast_unsigned())];
        attributes.extend([
            ChainAttribute::Hook(hook),
            ChainAttribute::Policy(ACCEPT),
            ChainAttribute::Type(base.kind.to_owned()),
        ]);
    }
    family_message(family, NLM_F_CREATE, NfTablesMessage::NewChain(ChainMessage { attributes }))
}

fn new_rule(family: Family, chain: &Chain, rule: &layout::Rule) -> Message {
    let attributes = vec![
        RuleAttribute::Table(TABLE.to_owned()),
        RuleAttribute::Chain(chain.name.to_owned()),
        RuleAttribute::Expressions(rule.iter().cloned().map(ListAttribute::from).collect()),
    ];
    let flags = NLM_F_CREATE | NLM_F_APPEND;
    family_message(family, flags, NfTablesMessage::NewRule(RuleMessage { attributes }))
}

/// Adds elements, many in one message; `EEXIST` if one exists.
pub(super) fn add_elements(elements: &[Element]) -> impl Iterator<Item = Message> {
    elements_by_set(elements).map(|(family, list)| {
        let inner = NfTablesMessage::NewSetElement(list);
        family_message(family, NLM_F_CREATE | NLM_F_EXCL, inner)
    })
}

/// Deletes elements, many in one message; `ENOENT` if one doesn't exist.
pub(super) fn delete_elements(elements: &[Element]) -> impl Iterator<Item = Message> {
    elements_by_set(elements)
        .map(|(family, list)| family_message(family, 0, NfTablesMessage::DeleteSetElement(list)))
}

fn elements_by_set(elements: &[Element]) -> impl Iterator<Item = (Family, SetElementMessage)> {
    let of = |element: &Element| (element.family(), element.set_name());
    let mut elements = elements.to_vec();
    elements.sort_by_key(of);
    let chunks = elements.chunk_by(|one, next| of(one) == of(next));
    let messages = chunks.flat_map(|same| same.chunks(ELEMENTS)).map(|some| {
        let keys = some.iter().map(|element| {
            let key = DataAttribute::Value(key::encode_key(*element));
            let value = key::encode_value(*element).map(DataAttribute::Value);
            let key = [SetElementAttribute::Key(key)].into_iter();
            ListAttribute::Element(key.chain(value.map(SetElementAttribute::Data)).collect())
        });
        let attributes = vec![
            SetElementList::Table(TABLE.to_owned()),
            SetElementList::Set(some[0].set_name().to_owned()),
            SetElementList::Elements(keys.collect()),
        ];
        (some[0].family(), SetElementMessage { attributes })
    });
    messages.collect::<Vec<_>>().into_iter()
}

/// Requests the number of the last change.
pub(super) fn get_generation() -> Message {
    let inner = NfTablesMessage::GetGen(GenMessage { attributes: Vec::new() });
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
    Message::from(NetfilterMessage::new(header, inner))
}

pub(super) fn get_table(family: Family) -> Message {
    family_message(family, 0, NfTablesMessage::GetTable(our_table()))
}

/// Requests the sets of our table.
pub(super) fn get_sets(family: Family) -> Message {
    let attributes = vec![SetAttribute::Table(TABLE.to_owned())];
    family_message(family, 0, NfTablesMessage::GetSet(SetMessage { attributes }))
}

/// Requests the chains of all tables of the family.
pub(super) fn get_chains(family: Family) -> Message {
    family_message(family, 0, NfTablesMessage::GetChain(ChainMessage { attributes: Vec::new() }))
}

/// Requests the rules of our table.
pub(super) fn get_rules(family: Family) -> Message {
    let attributes = vec![RuleAttribute::Table(TABLE.to_owned())];
    family_message(family, 0, NfTablesMessage::GetRule(RuleMessage { attributes }))
}

pub(super) fn get_elements(family: Family, set: &str) -> Message {
    family_message(family, 0, elements_of(TABLE, set))
}

fn elements_of(table: &str, set: &str) -> NfTablesMessage {
    let attributes =
        vec![SetElementList::Table(table.to_owned()), SetElementList::Set(set.to_owned())];
    NfTablesMessage::GetSetElement(SetElementMessage { attributes })
}

fn place_protocol(place: &ChainPlace) -> NetfilterProtoFamily {
    match place.families {
        Families::V4 => NetfilterProtoFamily::IPv4,
        Families::V6 => NetfilterProtoFamily::IPv6,
        Families::Both => NetfilterProtoFamily::Inet,
    }
}

/// Requests the chains of all tables of all families.
pub(super) fn get_all_chains() -> Message {
    let inner = NfTablesMessage::GetChain(ChainMessage { attributes: Vec::new() });
    protocol_message(NetfilterProtoFamily::Unspec, 0, inner)
}

fn rule_of(place: &ChainPlace) -> Vec<RuleAttribute> {
    vec![RuleAttribute::Table(place.table.clone()), RuleAttribute::Chain(place.chain.clone())]
}

/// Requests the rules of somebody else's chain.
pub(super) fn get_rules_of(place: &ChainPlace) -> Message {
    let inner = NfTablesMessage::GetRule(RuleMessage { attributes: rule_of(place) });
    protocol_message(place_protocol(place), 0, inner)
}

/// Requests the elements of somebody else's set.
pub(super) fn get_elements_of(place: &ChainPlace, set: &str) -> Message {
    protocol_message(place_protocol(place), 0, elements_of(&place.table, set))
}

/// Inserts a rule before all others of a chain.
pub(super) fn insert_rule(place: &ChainPlace, rule: &layout::Rule, comment: &str) -> Message {
    let mut attributes = rule_of(place);
    let expressions = rule.iter().cloned().map(ListAttribute::from).collect();
    attributes.push(RuleAttribute::Expressions(expressions));
    // As nft keeps comments: the type of a comment, its length, and its text with a NUL.
    let mut data = vec![0, u8::try_from(comment.len() + 1).unwrap_or(u8::MAX)];
    data.extend(comment.bytes().chain([0]));
    attributes.push(RuleAttribute::UserData(data));
    let inner = NfTablesMessage::NewRule(RuleMessage { attributes });
    protocol_message(place_protocol(place), NLM_F_CREATE, inner)
}

/// Deletes rules by their handles.
pub(super) fn delete_rules(place: &ChainPlace, handles: &BTreeSet<u64>) -> Vec<Message> {
    let delete = |handle: &u64| {
        let mut attributes = rule_of(place);
        attributes.push(RuleAttribute::Handle(*handle));
        let inner = NfTablesMessage::DeleteRule(RuleMessage { attributes });
        protocol_message(place_protocol(place), 0, inner)
    };
    handles.iter().map(delete).collect()
}
