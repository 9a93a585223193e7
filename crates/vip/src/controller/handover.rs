//! Handover of facts that only the agent's controller knows to a command's controller.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Controller;
use super::local_facts::{KeptServer, LocalFacts, TaskName, milliseconds};
use crate::label::Options;
use crate::{AppId, Desired, DesiredService, Member, Observed, Vip, Why};

impl Controller {
    /// Returns the facts that only this controller knows, as of `now`.
    #[must_use]
    pub fn local_facts(&self, now: Duration) -> LocalFacts {
        LocalFacts {
            drains: self.drains.drain_facts(now),
            lingering: self
                .lingering
                .iter()
                .map(|(address, until)| (address, milliseconds(until.saturating_sub(now))))
                .collect(),
            kept: self.services().flat_map(kept_servers).collect(),
            names: self.name_facts(now),
            served: self.served.clone(),
            silence: self.silent_hosts.to_facts(),
            doubted: self.facts.doubted,
            lapsed: if self.facts.doubted { self.claims.lapsed.clone() } else { BTreeSet::new() },
            taken: self.facts.taken.clone(),
        }
    }

    /// Takes over facts from the node's agent. Must be called before any other input.
    pub fn take_over(&mut self, facts: &LocalFacts, now: Duration) {
        for drain in &facts.drains {
            self.drains.take_over(drain, now);
        }
        for (address, left) in &facts.lingering {
            self.lingering.extend_until(*address, now + Duration::from_millis(*left));
        }
        self.kept.clone_from(&facts.kept);
        self.claims.lapsed.clone_from(&facts.lapsed);
        self.restore_names(&facts.names, now);
        self.restore_served(facts.served.iter().copied());
        self.silent_hosts.take_over(&facts.silence);
    }

    /// Adds the real servers that the node's agent keeps to the desired state of `addresses`.
    pub(super) fn add_kept(
        &self,
        desired: &mut Desired,
        observed: &Observed,
        addresses: &BTreeSet<IpAddr>,
    ) {
        for kept in self.kept.iter().filter(|kept| addresses.contains(&kept.vip.address)) {
            let Some(held) = observed.service(&kept.vip) else { continue };
            let service = desired.services.entry(kept.vip).or_insert_with(|| {
                let options = Options::from_settings(&held.settings);
                DesiredService { options, ..DesiredService::default() }
            });
            let TaskName { source, app, kind, task } = kept.task.clone();
            if let Err(place) = service.apps.binary_search(&app) {
                service.apps.insert(place, Arc::clone(&app));
            }
            let app = AppId { id: app, kind };
            let (source, weight, why) = (source.as_str().into(), kept.weight, Why::Unlisted);
            let member = Member { weight, source, app, task, why, local: None, silent: None };
            service.selection.members.entry(kept.server).or_insert(member);
        }
    }
}

/// Returns the real servers of a service that are kept although their source doesn't list them.
fn kept_servers((vip, service): (&Vip, &DesiredService)) -> Vec<KeptServer> {
    let members = service.selection.members.iter();
    let kept = members.filter(|(_, member)| member.why == Why::Unlisted);
    kept.map(|(server, member)| KeptServer {
        vip: *vip,
        server: *server,
        weight: member.weight,
        task: TaskName {
            source: member.source.to_string(),
            app: Arc::clone(&member.app.id),
            kind: member.app.kind,
            task: Arc::clone(&member.task),
        },
    })
    .collect()
}
