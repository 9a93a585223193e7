//! nftables: our own tables, and our rules in the chains of others.

pub(super) mod announced;
mod compare;
mod elements;
mod expression;
mod firewall;
mod foreign;
mod key;
mod layout;
mod message;
mod read;
mod transaction;
mod xt;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nl_ipvs::Family;
use nl_pipeline::{Error, Protocol, errno};
use vip::firewall::Firewall;
use vip::nft::{Element, Guard, LostSyns, Masquerade, NftSupport, Rules, Table, TableState};
use vip::plan::OpError;
use vip::{Nft as Tables, Op};

use super::answer::{Answer, failed_op};
use super::netlink::Pipeline;
use crate::{KernelError, error_chain};
pub(super) use layout::{LOG_GROUP, REFUSED_PREFIX};
use message::Message;
use read::nft_error;
use transaction::commit_messages;

/// The pause after which the abilities of a kernel that lacks something are tried again: its module
/// may have been loaded meanwhile.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// The attempts at reading tables that change while they are read.
const ATTEMPTS: u32 = 10;

/// All rules that vipd makes, those without a log, and those that need no NAT either.
const ALL: Rules = Rules { lost_syns: LostSyns::Logged, ..WHOLE };
const WHOLE: Rules =
    Rules { nat: Some(Masquerade::Always), guard: Guard::On, lost_syns: LostSyns::Ignored };
const FILTER: Rules = Rules { nat: None, ..WHOLE };

/// The ability of a kernel, as far as it isn't [`ALL`].
#[derive(Debug)]
struct Ability {
    support: NftSupport,
    /// Its first refusal if it lacks something.
    lacks: Option<String>,
    /// The same for the rule that logs.
    cannot_log: Option<String>,
}

/// The kernel's nftables: our tables `ip vipd` and `ip6 vipd`, and the chains of others that packets
/// of VIPs pass, which may hold rules of ours. Blocking.
///
/// It belongs to the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Nft {
    /// `Err`: the kernel has no netfilter at all.
    socket: Result<Pipeline, Error>,
    /// The tables as last read, and their generation.
    known: Option<(u32, Tables)>,
    tried_at: Option<Instant>,
    /// The node's own firewall as last read, and its generation.
    firewall: Option<(u32, Arc<Firewall>)>,
}

/// Parses an object of a dump of nftables, after its netlink header, as each kind that is asked for.
pub fn parse_nft_object(answer: &[u8]) {
    let _ = foreign::parse_base_chain(answer);
    let _ = foreign::parse_rule(answer, &mut |_| Some(2));
    let _ = elements::element_keys(answer);
}

impl Nft {
    /// Opens the socket. A kernel without netfilter counts as one without any ability.
    #[must_use]
    pub fn open() -> Self {
        let socket = Pipeline::open(Protocol::NETFILTER);
        Self { socket, known: None, tried_at: None, firewall: None }
    }

    /// Returns both tables, read again if anything in nftables has changed since the last time.
    ///
    /// # Errors
    /// When a table can't be read completely, or the caller lacks `CAP_NET_ADMIN`.
    pub fn observe_tables(&mut self) -> Result<Tables, KernelError> {
        let socket = match &mut self.socket {
            Ok(socket) => socket,
            Err(error) => return Ok(unavailable_tables(&error_chain(error))),
        };
        for _ in 0..ATTEMPTS {
            let before = match read::read_generation(socket)? {
                Ok(generation) => generation,
                Err(refusal) => return Ok(unavailable_tables(&refusal.to_string())),
            };
            let try_again = self.tried_at.is_none_or(|tried| tried.elapsed() >= TRY_AGAIN);
            if let Some((generation, tables)) = &self.known
                && *generation == before
                && (!try_again
                    || tables.describe_lacks().is_empty() && tables.cannot_log().is_none())
            {
                return Ok(tables.clone());
            }
            let known = self.known.take().filter(|_| !try_again).map(|(_, tables)| tables);
            let mut tables = Tables::default();
            let mut unsure = Vec::new();
            for family in [Family::Inet, Family::Inet6] {
                let table = tables.table_mut(family);
                *table = read::read_table(socket, family)?;
                match (table.state, &known) {
                    (TableState::Whole(Rules { lost_syns: LostSyns::Logged, .. }), _) => {
                        table.support = NftSupport::Nat;
                    }
                    (_, Some(known)) => {
                        let Table { support, lacks, cannot_log, .. } = known.table(family);
                        (table.support, table.lacks) = (*support, lacks.clone());
                        table.cannot_log.clone_from(cannot_log);
                    }
                    (_, None) => unsure.push(family),
                }
            }
            if !unsure.is_empty() {
                self.tried_at = Some(Instant::now());
                let abilities =
                    rehearse_rules(socket, &unsure).map_err(nft_error("try the rules"))?;
                for (family, ability) in unsure.into_iter().zip(abilities) {
                    let table = tables.table_mut(family);
                    (table.support, table.lacks) = (ability.support, ability.lacks);
                    table.cannot_log = ability.cannot_log;
                }
            }
            if read::read_generation(socket)? == Ok(before) {
                self.known = Some((before, tables.clone()));
                return Ok(tables);
            }
        }
        Err(nft_error("read the tables")(Error::Interrupted { attempts: ATTEMPTS }))
    }

    /// Returns the chains of others that packets of VIPs pass, read again if anything in nftables
    /// has changed since the last time. The result tells what couldn't be read.
    pub fn observe_firewall(&mut self) -> Arc<Firewall> {
        let Ok(socket) = &mut self.socket else { return Arc::default() };
        let mut read = Ok(Arc::default());
        for _ in 0..ATTEMPTS {
            let Ok(Ok(before)) = read::read_generation(socket) else { return Arc::default() };
            if let Some((generation, firewall)) = &self.firewall
                && *generation == before
            {
                return Arc::clone(firewall);
            }
            read = firewall::read_firewall(socket).map(Arc::new);
            match (&read, read::read_generation(socket)) {
                (Ok(firewall), Ok(Ok(after))) if before == after => {
                    self.firewall = Some((before, Arc::clone(firewall)));
                    break;
                }
                _ => self.firewall = None,
            }
        }
        read.unwrap_or_else(|error| {
            let why = error_chain(&error);
            let unread = format!("the node's own rules of nftables can't be read: {why}");
            Arc::new(Firewall { unread: BTreeSet::from([unread]), ..Firewall::default() })
        })
    }

    /// Performs operations on tables and rules in order, consecutive elements in one transaction.
    /// Operations of other kinds are refused.
    pub fn perform(&mut self, ops: &[&Op]) -> Vec<Answer> {
        let socket = match &mut self.socket {
            Ok(socket) => socket,
            Err(error) => {
                let error = OpError::new(errno::EOPNOTSUPP, error_chain(error));
                return ops.iter().map(|_| Err(error.clone())).collect();
            }
        };
        let mut answers = Vec::with_capacity(ops.len());
        for run in ops
            .chunk_by(|one, next| changed_element(one).is_some() && changed_element(next).is_some())
        {
            answers.extend(match *run[0] {
                Op::SetTable { family, rules, .. } => {
                    vec![set_table(socket, family, rules)]
                }
                Op::DeleteTable { family } => {
                    vec![commit_messages(socket, vec![message::delete_table(family)])]
                }
                Op::InsertRule { ref place, hook, ref prefix } => {
                    vec![firewall::insert_nft_rule(socket, place, hook, prefix)]
                }
                Op::DeleteRule { ref place, ref prefix } => {
                    vec![firewall::delete_nft_rule(socket, place, prefix)]
                }
                _ if changed_element(run[0]).is_some() => change_elements(socket, run),
                _ => {
                    let message = format!("{} doesn't concern nftables", run[0].name());
                    vec![Err(OpError::new(errno::EOPNOTSUPP, message))]
                }
            });
        }
        answers
    }
}

/// Returns the tables of a kernel without nftables.
fn unavailable_tables(why: &str) -> Tables {
    let table = || Table { lacks: Some(why.to_owned()), ..Table::default() };
    Tables { v4: table(), v6: table() }
}

/// Finds out which rules the kernel accepts, by sending a transaction without its end. The kernel
/// waits for all of its processors when it discards one, so both families share one.
fn rehearse_rules(socket: &mut Pipeline, families: &[Family]) -> Result<Vec<Ability>, Error> {
    let refused = first_refusals(socket, families, ALL)?;
    let ability = |(family, refused): (&Family, Option<String>)| {
        let support = NftSupport::Nat;
        let Some(cannot_log) = refused else {
            return Ok(Ability { support, lacks: None, cannot_log: None });
        };
        let Some(why) = first_refusals(socket, &[*family], WHOLE)?.remove(0) else {
            return Ok(Ability { support, lacks: None, cannot_log: Some(cannot_log) });
        };
        let without = first_refusals(socket, &[*family], FILTER)?.remove(0);
        let support = if without.is_none() { NftSupport::Filter } else { NftSupport::Nothing };
        // The first refusal tells more than those that follow from it.
        Ok(Ability { support, lacks: Some(why), cannot_log: None })
    };
    families.iter().zip(refused).map(ability).collect()
}

/// Returns the first refusal among the rules of each family.
fn first_refusals(
    socket: &mut Pipeline,
    families: &[Family],
    rules: Rules,
) -> Result<Vec<Option<String>>, Error> {
    let rebuild = |family: &Family| message::rebuild_table(*family, rules, []);
    let parts: Vec<_> = families.iter().map(rebuild).collect();
    let messages: Vec<_> = parts.iter().flatten().map(|(_, message)| message.clone()).collect();
    let outcomes = match socket.transaction(message::begin_batch(), messages, None)? {
        Err(refusal) => return Ok(vec![Some(refusal.to_string()); families.len()]),
        Ok(outcomes) => outcomes,
    };
    let mut outcomes = outcomes.into_iter();
    let first = |part: &Vec<(_, _)>| {
        let refusals = part.iter().zip(outcomes.by_ref()).filter_map(|((name, _), outcome)| {
            outcome.err().map(|refusal| format!("{name}: {refusal}"))
        });
        refusals.fold(None, |first: Option<String>, refusal| first.or(Some(refusal)))
    };
    Ok(parts.iter().map(first).collect())
}

/// Replaces a table but keeps its elements; nobody sees the table without them.
fn set_table(socket: &mut Pipeline, family: Family, rules: Rules) -> Answer {
    let there = read::read_table(socket, family);
    let there = there.map_err(|error| failed_op(&error))?;
    let messages = message::rebuild_table(family, rules, there.elements());
    commit_messages(socket, messages.into_iter().map(|(_, message)| message).collect())
}

fn change_elements(socket: &mut Pipeline, ops: &[&Op]) -> Vec<Answer> {
    match (commit_messages(socket, element_messages(ops)), ops) {
        (Ok(()), _) => ops.iter().map(|_| Ok(())).collect(),
        (Err(error), [_]) => vec![Err(error)],
        // The transaction did nothing. Find the refused operations by halves, in order.
        (Err(_), _) => {
            let (first, second) = ops.split_at(ops.len() / 2);
            let mut answers = change_elements(socket, first);
            answers.extend(change_elements(socket, second));
            answers
        }
    }
}

fn element_messages(ops: &[&Op]) -> Vec<Message> {
    let mut messages = Vec::new();
    let deletes = |op: &Op| matches!(op, Op::DeleteElement { .. });
    for run in ops.chunk_by(|one, next| deletes(one) == deletes(next)) {
        let elements: Vec<_> = run.iter().filter_map(|op| changed_element(op)).collect();
        match deletes(run[0]) {
            true => messages.extend(message::delete_elements(&elements)),
            false => messages.extend(message::add_elements(&elements)),
        }
    }
    messages
}

fn changed_element(op: &Op) -> Option<Element> {
    match op {
        Op::AddElement { element } | Op::DeleteElement { element } => Some(*element),
        _ => None,
    }
}
