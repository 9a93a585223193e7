//! The desired state of the kernel, decided from claims.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;

use ipnet::IpNet;
use nl_ipvs::{DestinationSettings, ServiceSettings, Timeouts};

use crate::label::{LabelRefusal, Options};
use crate::naming::{Names, VipName};
use crate::nft::{Modes, Translation};
use crate::policy::AddressRefusal;
use crate::select::{Selection, select_servers};
use crate::{
    AppId, Claim, ClusterFacts, LabelReport, Observed, ObservedService, Past, Policy, Protocol,
    TableDoubt, Verdict, Vip,
};

/// The virtual services that should exist, and a report on every label.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// The virtual services by VIP.
    pub services: BTreeMap<Vip, DesiredService>,
    /// The reports on labels, in the order of the documents.
    pub reports: Vec<LabelReport>,
    /// Agents with tasks whose ports are unknown: no real server on them is removed.
    pub uncertain: BTreeSet<IpAddr>,
    /// The doubt about services that no app claims, if there is one.
    pub doubt: Option<TableDoubt>,
    /// The source of the node's own connections, by virtual address, where nftables can't translate
    /// addresses ([`Ways`](crate::Ways)).
    pub sources: BTreeMap<IpAddr, IpAddr>,
    /// The MTU of the paths of the node's own connections, by virtual address, unless packets may be as
    /// large as on `lo` ([`Way`](crate::Way)).
    pub mtus: BTreeMap<IpAddr, u32>,
    /// The source of connections to a real server, by virtual address and real server, where
    /// nftables translates addresses and masquerading would choose another one.
    pub translated: BTreeMap<(IpAddr, IpAddr), IpAddr>,
    /// The IPVS connection timeouts; 0 leaves one unchanged.
    pub timeouts: Timeouts,
    /// The modes of our nftables rules.
    pub modes: Modes,
    /// The names of virtual addresses.
    pub names: Names,
    /// The addresses and ports at which the node's name server answers. Their addresses are bound and
    /// guarded like those of VIPs.
    pub listeners: BTreeSet<SocketAddr>,
    /// The prefixes of VIPs that our rules in the node's own firewall let in.
    pub let_in: Vec<IpNet>,
    /// Whether there are several sources, so that an id may be that of several apps.
    pub several_sources: bool,
}

/// A virtual service that should exist.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredService {
    /// The options in force: those of the claim with the lowest app id.
    pub options: Options,
    /// The apps that claim it, sorted.
    pub apps: Vec<Arc<str>>,
    /// Whether some of the real servers may be unknown: then none is removed.
    pub incomplete: bool,
    /// Whether every app that claims it is scaled to 0 instances.
    pub suspended: bool,
    /// The real servers, and the tasks that are left out.
    pub selection: Selection,
}

impl Desired {
    /// Returns the ports at which the node's name server answers.
    pub(crate) fn open_ports(&self) -> impl Iterator<Item = Vip> {
        let protocols = [Protocol::Tcp, Protocol::Udp];
        self.listeners.iter().flat_map(move |at| {
            let port = NonZeroU16::new(at.port());
            let vip = move |protocol| Some(Vip { address: at.ip(), port: port?, protocol });
            protocols.into_iter().filter_map(vip)
        })
    }

    /// Gives every IPv4 address the same source, or none.
    pub fn set_source(&mut self, source: Option<Ipv4Addr>) {
        let addresses = self.services.keys().map(|vip| vip.address).filter(IpAddr::is_ipv4);
        self.sources = source
            .map(|source| addresses.map(|address| (address, source.into())).collect())
            .unwrap_or_default();
        let pairs = self.server_pairs().filter(|(address, _)| address.is_ipv4());
        self.translated = source
            .map(|source| pairs.map(|pair| (pair, source.into())).collect())
            .unwrap_or_default();
    }

    /// Returns each virtual address with the address of each of its real servers.
    pub(crate) fn server_pairs(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        self.services.iter().flat_map(|(vip, service)| {
            let servers = service.selection.members.keys();
            servers.map(|server| (vip.address, server.ip()))
        })
    }

    /// Tells whether one of the services of a virtual address has a real server of this address.
    pub(crate) fn has_server(&self, address: IpAddr, server: IpAddr) -> bool {
        let from = SocketAddr::new(server, 0);
        self.services.range(Vip::all_on(address)).any(|(_, service)| {
            let next = service.selection.members.range(from..).next();
            next.is_some_and(|(at, _)| at.ip() == server)
        })
    }

    /// Returns the sources that nftables translates clients to.
    pub(crate) fn translations(&self) -> impl Iterator<Item = Translation> {
        let translation = |(&(address, server), &source)| Translation { address, server, source };
        self.translated.iter().map(translation)
    }

    /// Tells whether a real server may belong to a task with unknown ports: it is on the agent of
    /// such a task.
    pub(crate) fn is_uncertain(&self, server: &SocketAddr) -> bool {
        self.uncertain.contains(&server.ip())
    }

    /// Tells whether a service that no app claims stays, since the table is doubted.
    pub(crate) fn keeps(&self, vip: &Vip, held: &ObservedService) -> bool {
        self.doubt.as_ref().is_some_and(|doubt| doubt.keeps(vip, held))
    }

    /// Returns the report on a label for this VIP that is refused.
    #[must_use]
    pub fn refused_label(&self, vip: &Vip) -> Option<&LabelReport> {
        self.reports.iter().find(|report| report.vip == Some(*vip) && !report.verdict.is_ok())
    }

    /// Tells whether the place of a real server that stays in doubt belongs to a task that is
    /// listed.
    pub(crate) fn is_taken(&self, server: &SocketAddr) -> bool {
        self.doubt.as_ref().is_some_and(|doubt| doubt.taken.contains(server))
    }
}

impl DesiredService {
    /// Returns the settings of the virtual service.
    #[must_use]
    pub fn settings(&self) -> ServiceSettings {
        self.options.service_settings()
    }

    /// Returns the real servers with their settings.
    pub fn servers(
        &self,
    ) -> impl Iterator<Item = (std::net::SocketAddr, DestinationSettings)> + '_ {
        self.selection.members.iter().map(|(address, member)| (*address, member.settings()))
    }
}

/// Groups the claims by VIP, refuses those that the policy forbids, and selects the real servers.
///
/// A refused claim never affects another one. Addresses that serve already, in the kernel or by what
/// is remembered of them in `served`, stay although something new speaks against them.
#[must_use]
pub fn decide(
    claims: Vec<Claim>,
    observed: &Observed,
    served: &BTreeSet<IpAddr>,
    policy: &Policy,
    cluster: &ClusterFacts,
) -> Desired {
    let mut desired = Desired::default();
    let ours: BTreeSet<_> = observed.our_services().map(|(vip, _)| vip.address).collect();
    let mut objections = BTreeMap::new();
    let (mut permitted, mut admitted) = (Vec::new(), BTreeMap::<Vip, Vec<Claim>>::new());
    for claim in claims {
        let app = (&claim.source, &*claim.label.app.id);
        let at = (claim.vip.address, claim.name.as_ref());
        let has_served = ours.contains(&at.0) || served.contains(&at.0);
        let past = match (has_served, observed.addresses.contains_key(&at.0)) {
            (false, _) => Past::New,
            (true, false) => Past::Served,
            (true, true) => Past::Bound,
        };
        match policy.admit(app, at, past, &observed.node, cluster) {
            Ok(objection) => {
                objections.extend(objection.map(|objection| (at.0, objection)));
                permitted.push(claim);
            }
            Err(refusal) => {
                desired.reports.extend(label_report(&claim, Verdict::refused(refusal)));
            }
        }
    }
    let names = named_addresses(&permitted);
    for claim in permitted {
        match names.get(&claim.vip.address) {
            Some((name, owner)) if claim.name.is_none() => {
                let (address, name, owner) = (claim.vip.address, name.clone(), owner.clone());
                let taken = LabelRefusal::NamedAddress(address, name, owner);
                desired.reports.extend(label_report(&claim, Verdict::refused(taken)));
            }
            _ => admitted.entry(claim.vip).or_default().push(claim),
        }
    }
    for (vip, mut claims) in admitted {
        claims.sort_by(|a, b| {
            (&a.label.app, a.superseded, &a.label).cmp(&(&b.label.app, b.superseded, &b.label))
        });
        let objection = objections.get(&vip.address);
        let verdict = |claim| obeyed_verdict(claim, &claims[0], objection);
        let reports = claims.iter().filter_map(|claim| label_report(claim, verdict(claim)));
        desired.reports.extend(reports);
        let nobody = BTreeMap::new();
        let current = observed.service(&vip).map_or(&nobody, |service| &service.servers);
        let options = claims[0].options.clone();
        let selection = select_servers(
            &vip,
            &claims,
            options.fail_open,
            current,
            (&observed.node, policy.local_servers),
        );
        let incomplete = claims.iter().any(|claim| claim.incomplete);
        let suspended = claims.iter().all(|claim| claim.suspended);
        // A new allocation: reusing that of the claims would keep many times the memory.
        let mut apps: Vec<_> = claims.iter().map(|claim| Arc::clone(&claim.label.app.id)).collect();
        apps.dedup();
        let service = DesiredService { options, apps, incomplete, suspended, selection };
        desired.services.insert(vip, service);
    }
    desired
}

/// Returns the addresses that are of names, with the name and its first app.
fn named_addresses(claims: &[Claim]) -> BTreeMap<IpAddr, (VipName, AppId)> {
    let mut named: BTreeMap<IpAddr, (VipName, AppId)> = BTreeMap::new();
    for claim in claims {
        let Some(name) = &claim.name else { continue };
        let app = &claim.label.app;
        match named.entry(claim.vip.address) {
            Entry::Occupied(mut known) if *app < known.get().1 => known.get_mut().1 = app.clone(),
            Entry::Occupied(_) => {}
            Entry::Vacant(vacant) => {
                vacant.insert((name.clone(), app.clone()));
            }
        }
    }
    named
}

fn label_report(claim: &Claim, verdict: Verdict) -> Option<LabelReport> {
    // A controller fills it in.
    let source = Some(claim.source.clone()).filter(|source| !source.as_str().is_empty());
    let place = claim.label.clone();
    let name = claim.name.clone();
    let report = LabelReport { source, place, vip: Some(claim.vip), name, verdict };
    (!claim.superseded).then_some(report)
}

/// Notes for an owner whose options are overruled, since those of the lowest app id are in force, and
/// whose VIP would be refused if it were new.
fn obeyed_verdict(claim: &Claim, first: &Claim, objection: Option<&AddressRefusal>) -> Verdict {
    let overruled = !claim.superseded && !claim.options.same_service(&first.options);
    let overruled = overruled.then(|| {
        let (app, source) = (&first.label.app, &first.source);
        if (app, source) == (&claim.label.app, &claim.source) {
            "another port of this app has the same VIP; its IPVS options are in force".to_owned()
        } else if *source == claim.source {
            format!("shares this VIP with {app}, whose IPVS options are in force")
        } else {
            format!("shares this VIP with {app} of {source}, whose IPVS options are in force")
        }
    });
    let objection = objection.map(|objection| {
        format!("it serves already and stays, but a node where it is new refuses it: {objection}")
    });
    let notes: Vec<_> = claim.note.iter().cloned().chain(overruled).chain(objection).collect();
    if notes.is_empty() { Verdict::Obeyed } else { Verdict::Noted(notes.join("; ")) }
}
