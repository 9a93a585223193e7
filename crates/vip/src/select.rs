//! Selection of real servers among tasks, and their weights.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use nl_ipvs::{DestinationSettings, Family};

use crate::liveness::SilentServer;
use crate::local;
use crate::observed::ObservedServer;
use crate::special_address::SpecialAddress;
use crate::{
    AppId, Candidate, Claim, Condition, Local, LocalServers, NodeFacts, Protocol, Reach, SourceId,
    Vip, Why,
};

/// A task that is a real server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The share of new connections; 0 takes none and keeps the present ones.
    pub weight: u32,
    /// The source of the app ([`Claim::source`]).
    pub source: SourceId,
    /// The app whose label claims the VIP.
    pub app: AppId,
    /// The task.
    pub task: Arc<str>,
    /// The reason for the weight.
    pub why: Why,
    /// The reason for the choice of endpoint; `None` if there was no choice.
    pub local: Option<Box<Local>>,
    /// The verdict of this node about it, if there is one; set by a controller.
    pub silent: Option<SilentServer>,
}

impl Member {
    /// Returns the settings of the real server in the IPVS table.
    #[must_use]
    pub fn settings(&self) -> DestinationSettings {
        DestinationSettings::masquerade(self.weight)
    }

    /// Describes the reasons for weight and endpoint.
    #[must_use]
    pub fn reason(&self) -> String {
        let mut reason = self.why.to_string();
        if let Some(local) = &self.local {
            reason += &format!("; {local}");
        }
        if let Some(silent) = &self.silent {
            reason += &format!("; {silent}");
        }
        reason
    }
}

/// A task that isn't a real server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The source of the app.
    pub source: SourceId,
    /// The app.
    pub app: AppId,
    /// The task.
    pub task: Arc<str>,
    /// The reason.
    pub why: Why,
}

/// The real servers of one virtual service, and the tasks that are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// The real servers by address and port.
    pub members: BTreeMap<SocketAddr, Member>,
    /// The tasks that are left out, in the order of the claims.
    pub left_out: Vec<LeftOut>,
    /// Real servers whose tasks have ended for certain: they are removed whatever else is unknown.
    pub ended: BTreeSet<SocketAddr>,
    /// Real servers that are removed, too, since their hosts are silent; set by a controller. They come
    /// back when the hosts answer.
    pub silenced: BTreeSet<SocketAddr>,
}

impl Selection {
    /// Tells whether a real server is removed whatever else is unknown.
    pub(crate) fn is_over(&self, server: &SocketAddr) -> bool {
        self.ended.contains(server) || self.silenced.contains(server)
    }

    /// Returns the left-out tasks that may still become real servers; ended ones can't.
    pub fn waiting_tasks(&self) -> impl Iterator<Item = &LeftOut> {
        self.left_out.iter().filter(|out| !matches!(out.why, Why::Terminal(_)))
    }
}

/// Writes `mysql.1 of /mysql: not running yet`.
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}: {}", self.task, self.app, self.why)
    }
}

/// The consequence of a task's condition.
enum Verdict {
    /// Takes new connections.
    Serve(Why),
    /// Keeps its connections; takes new ones only if no task is healthy.
    Spare(Why),
    /// Keeps its connections; never takes new ones.
    Retire(Why),
    /// Is no real server.
    Out(Why),
}

/// Selects the real servers among the candidates of all claims to one VIP.
///
/// `current` are the real servers in the kernel: a task with unknown health keeps the verdict that
/// its weight there shows. `node` and `mode` determine the endpoints of real servers on this node.
#[must_use]
pub fn select_servers(
    vip: &Vip,
    claims: &[Claim],
    fail_open: bool,
    current: &BTreeMap<SocketAddr, ObservedServer>,
    (node, mode): (&NodeFacts, LocalServers),
) -> Selection {
    let family = Family::from(vip.address);
    let mut judged = Vec::with_capacity(claims.iter().map(|claim| claim.candidates.len()).sum());
    for claim in claims {
        for candidate in &claim.candidates {
            let (place, verdict) = match find_place(candidate, family) {
                Ok(reach) => {
                    let held = |at: &SocketAddr| current.contains_key(at);
                    let choice =
                        local::choose_way(reach.1, vip, candidate.condition, held, node, mode);
                    let (address, other, local) = match choice {
                        Some((address, other, local)) => (address, Some(other), Some(local)),
                        None => (reach.0, None, None),
                    };
                    // A server whose endpoint changes keeps the verdict of its old one.
                    let weight = current.get(&address).or_else(|| current.get(&other?));
                    let weight = weight.map(|server| server.settings.weight);
                    let verdict = match candidate.remembered && !current.is_empty() {
                        true => judge_remembered(candidate.condition, weight),
                        false => judge_condition(candidate.condition, weight),
                    };
                    (Some((address, local)), verdict)
                }
                Err(why) => (None, Verdict::Out(why)),
            };
            judged.push((claim, candidate, place, verdict));
        }
    }
    let all_down = !judged.iter().any(|(.., verdict)| matches!(verdict, Verdict::Serve(_)));
    let open = fail_open && all_down;

    let mut selection = Selection::default();
    for (claim, candidate, place, verdict) in judged {
        let (source, app) = (claim.source.clone(), claim.label.app.clone());
        let task = candidate.task.clone();
        let weight = claim.options.weight;
        let (weight, why) = match verdict {
            Verdict::Serve(why) => (Some(weight), why),
            Verdict::Spare(_) if open => (Some(weight), Why::FailOpen),
            Verdict::Spare(why) | Verdict::Retire(why) => (idle_weight(vip.protocol), why),
            Verdict::Out(why) => (None, why),
        };
        let why = if candidate.unlisted && weight.is_some() { Why::Unlisted } else { why };
        match (place, weight) {
            (Some((address, local)), Some(weight)) => {
                add_member(
                    &mut selection,
                    address,
                    Member {
                        weight,
                        source,
                        app,
                        task,
                        why,
                        local: local.map(Box::new),
                        silent: None,
                    },
                );
            }
            _ => selection.left_out.push(LeftOut { source, app, task, why }),
        }
    }
    selection
}

/// Returns the weight of a real server out of use; `None` if it is removed. UDP clients with a
/// fixed 5-tuple would stay on a weight-0 server for good.
fn idle_weight(protocol: Protocol) -> Option<u32> {
    match protocol {
        Protocol::Tcp => Some(0),
        Protocol::Udp => None,
    }
}

/// Adds a real server. Of two tasks on one address and port the one that takes new connections
/// wins, else the first.
fn add_member(selection: &mut Selection, address: SocketAddr, member: Member) {
    let (winner, loser) = match selection.members.entry(address) {
        Entry::Vacant(place) => {
            place.insert(member);
            return;
        }
        Entry::Occupied(held) => {
            let winner = held.into_mut();
            let loser = match winner.weight == 0 && member.weight > 0 {
                true => std::mem::replace(winner, member),
                false => member,
            };
            (winner, loser)
        }
    };
    if loser.task != winner.task {
        let why = Why::SameServer(winner.task.clone());
        selection.left_out.push(LeftOut {
            source: loser.source,
            app: loser.app,
            task: loser.task,
            why,
        });
    }
}

/// Finds the endpoint of a candidate that every node can reach.
fn find_place(candidate: &Candidate, family: Family) -> Result<(SocketAddr, &Reach), Why> {
    // Checked first: an ended task has no ports, which is not worth reporting.
    if let Condition::Terminal(ending) = candidate.condition {
        return Err(Why::Terminal(ending));
    }
    let reach = candidate.reach.as_ref().map_err(|why| match candidate.condition {
        Condition::Starting => Why::Starting,
        _ => Why::Unroutable(Arc::clone(why)),
    })?;
    if reach.place.port == 0 {
        return Err(Why::Port0);
    }
    let server = reach.place.in_family(family).ok_or(Why::NoAddress(family))?;
    match SpecialAddress::from_address(server.ip()) {
        Some(special) if !special.may_be_real_server() => Err(Why::NotUnicast(server.ip())),
        _ => Ok((server, reach)),
    }
}

/// Judges a task that is only remembered, for a service that is in the kernel: an earlier run put
/// the service there after it knew the task's condition. A task that it took out of use may be dead
/// by now.
fn judge_remembered(condition: Condition, current_weight: Option<u32>) -> Verdict {
    match (condition, current_weight) {
        (Condition::Killing | Condition::Terminal(_), _) => {
            judge_condition(condition, current_weight)
        }
        (_, Some(0)) => Verdict::Spare(Why::KeptUnhealthy),
        (_, Some(1..)) => Verdict::Serve(Why::KeptHealthy),
        (_, None) => Verdict::Out(Why::OnlyRemembered),
    }
}

fn judge_condition(condition: Condition, current_weight: Option<u32>) -> Verdict {
    match condition {
        Condition::Healthy => Verdict::Serve(Why::Healthy),
        Condition::Unchecked => Verdict::Serve(Why::Unchecked),
        Condition::Unhealthy => Verdict::Spare(Why::Unhealthy),
        Condition::Unknown { settled } => match current_weight {
            Some(0) => Verdict::Spare(Why::KeptUnhealthy),
            Some(1..) => Verdict::Serve(Why::KeptHealthy),
            None if settled => Verdict::Serve(Why::NeverReported),
            None => Verdict::Out(Why::NotYetChecked),
        },
        // Readiness checks restart when Marathon's leader changes: a server in use stays in use.
        Condition::NotReady if current_weight > Some(0) => Verdict::Serve(Why::KeptReady),
        Condition::NotReady => Verdict::Out(Why::NotReady),
        Condition::Starting => Verdict::Out(Why::Starting),
        Condition::Killing => Verdict::Retire(Why::Killing),
        Condition::Unreachable if current_weight.is_some() => Verdict::Spare(Why::Unreachable),
        Condition::Unreachable => Verdict::Out(Why::UnreachableStranger),
        Condition::Terminal(ending) => Verdict::Out(Why::Terminal(ending)),
    }
}
