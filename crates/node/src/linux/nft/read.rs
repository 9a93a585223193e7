//! Readings of our tables from the kernel.

use netlink_packet_core::{
    DecodeError, NetlinkDeserializable, NetlinkMessage, NetlinkSerializable,
};
use netlink_packet_netfilter::nftables::{GenAttribute, NfTablesMessage, TableAttribute};
use netlink_packet_netfilter::{NetfilterMessage, NetfilterMessageInner};
use nl_ipvs::Family;
use nl_pipeline::{Error, KernelError as Refusal, errno};
use vip::nft::{Element, Table, TableState};

use super::compare::{self, Shapes};
use super::message;
use super::{elements, key, layout};
use crate::KernelError;
use crate::linux::netlink::{Entries, Pipeline};
use crate::linux::raw_attributes::Raw;

/// An object of nftables, or the error of parsing it.
type NftObject = Result<NetfilterMessage, DecodeError>;

/// Reads the number of the last change of anything in nftables. The inner error is the refusal of a
/// kernel without nftables.
pub(super) fn read_generation(socket: &mut Pipeline) -> Result<Result<u32, Refusal>, KernelError> {
    let doing = "read the generation";
    let entries = match socket.get(&message::get_generation()).map_err(nft_error(doing))? {
        Ok(entries) => entries,
        Err(refusal) if refusal.errno() == errno::EPERM => {
            return Err(refusal_error(doing)(refusal));
        }
        Err(refusal) => return Ok(Err(refusal)),
    };
    let id = entries.into_iter().find_map(|entry| match nftables_message(entry)? {
        NfTablesMessage::NewGen(message) => message.attributes.into_iter().find_map(|a| match a {
            GenAttribute::Id(id) => Some(id),
            _ => None,
        }),
        _ => None,
    });
    id.map(Ok)
        .ok_or_else(|| nft_error(doing)(Error::Malformed("it has no generation number".into())))
}

/// Reads our table of a family: the rules it stands for, and its elements.
pub(super) fn read_table(socket: &mut Pipeline, family: Family) -> Result<Table, KernelError> {
    let mut table = Table::default();
    let doing = "read the table";
    let found = match socket.get(&message::get_table(family)).map_err(nft_error(doing))? {
        Ok(entries) => entries,
        Err(refusal) if matches!(refusal.errno(), errno::ENOENT | errno::EAFNOSUPPORT) => {
            return Ok(table);
        }
        Err(refusal) => return Err(refusal_error(doing)(refusal)),
    };
    let flagged = found.into_iter().filter_map(nftables_message).any(|message| match message {
        NfTablesMessage::NewTable(message) => message.attributes.iter().any(
            |attribute| matches!(attribute, TableAttribute::Flags(flags) if !flags.is_empty()),
        ),
        _ => false,
    });
    let (elements, usual) = read_elements(socket, family)?;
    let shapes = read_shapes(socket, family)?;
    let rules = shapes.and_then(|shapes| shapes.recognise_rules(family));
    let whole = usual && !flagged;
    table.state = match rules.filter(|_| whole) {
        Some(rules) => TableState::Whole(rules),
        None => TableState::Damaged,
    };
    for element in elements {
        table.insert(element);
    }
    Ok(table)
}

/// Reads the chains of our table with their rules; `None` if some can't be parsed.
fn read_shapes(socket: &mut Pipeline, family: Family) -> Result<Option<Shapes>, KernelError> {
    let mut shapes = Shapes::default();
    for entry in dump_objects(socket, &message::get_chains(family), "list the chains")? {
        // A chain that can't be parsed is somebody else's: ours have nothing unusual.
        if let Some(NfTablesMessage::NewChain(chain)) = nftables_message(entry) {
            shapes.add_chain(&chain);
        }
    }
    for entry in dump_objects(socket, &message::get_rules(family), "list the rules")? {
        match nftables_message(entry) {
            Some(NfTablesMessage::NewRule(rule)) => shapes.add_rule(&rule),
            _ => return Ok(None),
        }
    }
    Ok(Some(shapes))
}

/// Reads the elements of all sets. The flag is true if vipd could have made everything in them.
fn read_elements(
    socket: &mut Pipeline,
    family: Family,
) -> Result<(Vec<Element>, bool), KernelError> {
    let (mut sets, mut usual) = (Vec::new(), true);
    for entry in dump_objects(socket, &message::get_sets(family), "list the sets")? {
        match nftables_message(entry) {
            Some(NfTablesMessage::NewSet(set)) => match compare::recognise_set(family, &set) {
                Some(set) => sets.push(set),
                None => usual = false,
            },
            _ => usual = false,
        }
    }
    usual &= sets.len() == layout::set_layouts(family).len();
    let mut elements = Vec::new();
    for set in sets.into_iter().filter(|set| !set.is_filled_by_rules) {
        let query = message::get_elements(family, set.name);
        for entry in dump_objects(socket, &Raw::query(query), "list the elements")? {
            let Ok(entries) = entry.and_then(|answer| elements::element_entries(answer.bytes()))
            else {
                usual = false;
                continue;
            };
            let read = entries
                .iter()
                .map(|(key, value)| key::decode_element(family, set.name, key, value.as_deref()));
            let (known, unknown): (Vec<_>, Vec<_>) = read
                .partition(|element| element.is_some_and(|element| element.set_name() == set.name));
            usual &= unknown.is_empty();
            elements.extend(known.into_iter().flatten());
        }
    }
    Ok((elements, usual))
}

pub(super) fn dump_objects<I>(
    socket: &mut Pipeline,
    query: &NetlinkMessage<I>,
    doing: &'static str,
) -> Result<Entries<I>, KernelError>
where
    I: NetlinkSerializable + NetlinkDeserializable + Clone,
{
    socket.dump(query).map_err(nft_error(doing))?.map_err(refusal_error(doing))
}

fn nftables_message(entry: NftObject) -> Option<NfTablesMessage> {
    match entry.ok()?.inner {
        NetfilterMessageInner::NfTables(message) => Some(message),
        _ => None,
    }
}

fn refusal_error(doing: &'static str) -> impl FnOnce(Refusal) -> KernelError {
    move |source| nft_error(doing)(Error::Refused { doing, source })
}

pub(super) fn nft_error(doing: impl Into<String>) -> impl FnOnce(Error) -> KernelError {
    let doing = doing.into();
    move |error| KernelError::Nft { doing, error }
}
