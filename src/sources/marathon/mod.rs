//! One Marathon as a source: the watch decides what to read and what to believe, the translation
//! turns each workload that it believes in into claims. Pure: `connection.rs` does the I/O.

pub mod claims;
pub(crate) mod connection;
mod contributions;
pub(crate) mod kept;
pub mod messages;
mod outbox;
mod settling;
mod source_quota;
pub mod translate;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use marathon::client::{Url, with_sources};
use marathon::watch::{self, Action, ReadOutcome, State};
use marathon::{Finding, Instance, WorkloadKey};
use vip::controller::AppClaims;
use vip::label::LabelRefusal;
use vip::naming::NamedClaim;
use vip::plan::Losses;
use vip::{AppId, Claim, LabelReport, Verdict};

use super::config::NameConfig;
use super::hosts::HostCache;
use super::kept::Saved;
use super::step::{AppChanges, Availability, Place, SourceContext, SourceStep};
use super::view::{SourceDoubt, SourceView};
use crate::clock::Moment;
use claims::{WorkloadClaims, claim_workload};
use contributions::Contributions;
use kept::KeptWorkloads;
use messages::{Message, ReadError};
use settling::Settling;
use source_quota::{Load, SourceQuota};
use translate::{Naming, app_id, task_versions, workload_hosts};

/// One Marathon, as far as the agent knows it.
#[derive(Debug)]
pub(crate) struct MarathonSource {
    watch: State,
    watch_wakes_at: Duration,
    view: SourceView,
    contributions: Contributions,
    quota: SourceQuota,
    /// Workloads from the state file that were not read since.
    remembered: BTreeSet<WorkloadKey>,
    /// The time at which the health checks of a workload's tasks should have reported.
    settling: Settling,
    names: NameConfig,
    /// The framework's name, as Marathon told it last.
    framework_name: Option<Arc<str>>,
}

impl MarathonSource {
    pub(crate) fn new(config: &watch::Config, names: NameConfig, now: Duration) -> Self {
        Self {
            watch: State::new(config, now),
            watch_wakes_at: now,
            view: SourceView::default(),
            contributions: Contributions::default(),
            quota: SourceQuota::default(),
            remembered: BTreeSet::new(),
            settling: Settling::default(),
            names,
            framework_name: None,
        }
    }

    pub(crate) fn view(&self) -> &SourceView {
        &self.view
    }

    /// Takes in a message from the connection.
    pub(crate) fn on_message(
        &mut self,
        message: Message,
        context: &mut SourceContext<'_>,
    ) -> SourceStep<Action> {
        let mut servers = BTreeSet::new();
        let mut availability = None;
        let (mut renamed, mut told_name) = (false, None);
        let input = match message {
            Message::Servers(servers) => return SourceStep { servers, ..SourceStep::default() },
            Message::Opened { stream, leader, relay } => {
                self.view.relay = relay;
                servers.extend(leader.as_deref().and_then(host_of_leader));
                self.view.unheard = None;
                watch::Input::Opened { stream, leader }
            }
            Message::Bytes { stream } => watch::Input::Bytes { stream },
            Message::Event { stream, event } => watch::Input::Event { stream, event },
            Message::Ended { stream, why } => {
                self.view.unheard = Some(cut_reason(&why));
                watch::Input::Ended { stream }
            }
            Message::Told { stream, key, workload } => watch::Input::Told { stream, key, workload },
            Message::ToldAll { stream } => watch::Input::ToldAll { stream },
            Message::Accepted => watch::Input::Accept,
            Message::ReadEverything { answer, leader } => {
                availability = self.note_answer(&answer);
                if let Ok(snapshot) = &answer {
                    told_name.clone_from(&snapshot.framework_name);
                    // The first one is as good as any; a later one is believed with the answer.
                    if self.framework_name.is_none() {
                        renamed = self.note_framework_name(told_name.as_ref());
                    }
                    self.view.unread_parts = describe_findings(&snapshot.findings);
                }
                watch::Input::ReadEverything { answer: answer.ok(), leader }
            }
            Message::Read { key, answer, leader } => {
                availability = self.note_answer(&answer);
                let answer = match answer {
                    Ok(Some(workload)) => ReadOutcome::Found(workload),
                    Ok(None) => ReadOutcome::Missing,
                    Err(_) => ReadOutcome::Failed,
                };
                watch::Input::Read { key, answer, leader }
            }
        };
        let mut step = SourceStep { servers, availability, ..self.advance_watch(input, context) };
        renamed |= self.watch.doubt().is_none() && self.note_framework_name(told_name.as_ref());
        if renamed {
            let all = self.watch.workloads().map(|workload| workload.key()).collect();
            step.apps.extend(self.translate_workloads(&all, context));
        }
        step
    }

    /// Notes what Marathon tells of its framework's name. Returns whether the names of VIPs change.
    fn note_framework_name(&mut self, told: Option<&Arc<str>>) -> bool {
        let Some(told) = told.filter(|told| !vip::naming::mangle(told).is_empty()) else {
            return false;
        };
        let before = self.framework_name.replace(Arc::clone(told));
        self.names.framework.is_none() && self.framework_name != before
    }

    /// What the names of its VIPs depend on.
    fn naming(&self) -> Naming<'_> {
        let framework = self.names.framework.as_ref().or(self.framework_name.as_ref());
        Naming {
            framework: framework.map(|name| &**name),
            zone_len: self.names.zone_len,
            task_zone: self.names.task_zone.as_deref(),
        }
    }

    /// Does what is due at this time.
    pub(crate) fn handle_due(&mut self, context: &mut SourceContext<'_>) -> SourceStep<Action> {
        let now = context.now.since_start;
        let mut step = match self.watch_wakes_at <= now {
            true => self.advance_watch(watch::Input::Tick, context),
            false => SourceStep::default(),
        };
        let settled = self.settling.take_due(now);
        step.apps.extend(self.translate_workloads(&settled, context));
        step
    }

    /// The time of the next [`MarathonSource::tick`].
    pub(crate) fn wake_at(&self) -> Duration {
        self.settling.first().into_iter().fold(self.watch_wakes_at, Duration::min)
    }

    /// Doubts that it lists everything, since the kernel has more; `None`: no longer.
    pub(crate) fn doubt_answers(
        &mut self,
        losses: Option<Losses>,
        context: &mut SourceContext<'_>,
    ) -> SourceStep<Action> {
        let input = match losses {
            Some(Losses { services, of_services, servers, of_servers }) => {
                let (vips, of_vips) = (services, of_services);
                watch::Input::Doubt(watch::Loss { vips, of_vips, servers, of_servers })
            }
            None => watch::Input::Trust,
        };
        self.advance_watch(input, context)
    }

    /// Drops the tasks that it keeps in doubt where tasks of another source are.
    pub(crate) fn evict_kept(
        &mut self,
        places: BTreeSet<Place>,
        context: &mut SourceContext<'_>,
    ) -> SourceStep<Action> {
        self.advance_watch(watch::Input::Taken(places), context)
    }

    /// The places of the tasks that it lists.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.watch.places()
    }

    /// Accepts what its last answer lacks: that goes at once.
    pub(crate) fn accept_loss(&mut self, context: &mut SourceContext<'_>) -> SourceStep<Action> {
        self.advance_watch(watch::Input::Accept, context)
    }

    /// Works out the claims of the workloads on a host whose addresses changed.
    pub(crate) fn update_host(
        &mut self,
        host: &str,
        context: &mut SourceContext<'_>,
    ) -> SourceStep<Action> {
        let keys = self.contributions.workloads_on_host(host);
        SourceStep { apps: self.translate_workloads(&keys, context), ..SourceStep::default() }
    }

    /// Takes over what an earlier run knew. It counts for less than anything read: nothing is
    /// removed because of it.
    pub(crate) fn restore_state(
        &mut self,
        saved: Saved<KeptWorkloads>,
        context: &mut SourceContext<'_>,
    ) -> SourceStep<Action> {
        let Saved { read_at, what } = saved;
        let KeptWorkloads { workloads, hosts, framework, framework_name, doubted_since } = what;
        if let Some(since) = doubted_since {
            // Only the clock on the wall goes on between two runs. If it was set back, the doubt
            // begins anew.
            let lasted = context.now.wall.duration_since(since);
            self.watch.restore_doubt(Duration::try_from(lasted).unwrap_or_default());
        }
        self.framework_name = framework_name;
        if let Some(framework) = framework {
            self.watch.restore_framework(framework);
        }
        let hosts = hosts.into_iter().map(|(name, addresses)| (name, addresses.into()));
        context.hosts.restore_hosts(hosts, context.now.since_start);
        let keys = self.watch.restore(workloads);
        self.remembered.extend(keys.iter().cloned());
        self.view.read_at = Some(read_at);
        self.view.from_disk = true;
        SourceStep { apps: self.translate_workloads(&keys, context), ..SourceStep::default() }
    }

    /// Returns what a later run should know.
    pub(crate) fn state_to_save(&self, hosts: &HostCache, now: Moment) -> Saved<KeptWorkloads> {
        let kept_hosts = self.contributions.hosts().filter_map(|host| {
            let addresses = hosts.known_hosts().get(host)?.as_ref().ok()?;
            Some((host.to_owned(), Arc::clone(addresses).into()))
        });
        let what = KeptWorkloads {
            workloads: self.watch.workloads().cloned().collect(),
            hosts: kept_hosts.collect(),
            framework: self.watch.framework().cloned(),
            doubted_since: self.view.doubt.as_ref().map(|doubt| doubt.since),
            framework_name: self.framework_name.clone(),
        };
        // While events come it is as good as read now.
        let read_at = if self.view.streaming { Some(now.wall) } else { self.view.read_at };
        Saved { read_at: read_at.unwrap_or(now.wall), what }
    }

    /// Apps and pods were read as a whole at least once.
    pub(crate) fn is_complete(&self) -> bool {
        let coverage = self.watch.coverage();
        coverage.apps && coverage.pods
    }

    /// The names of all apps and pods.
    pub(crate) fn app_ids(&self) -> BTreeSet<AppId> {
        self.watch.workloads().map(|workload| app_id(&workload.key())).collect()
    }

    /// The version that each task runs, by task id.
    pub(crate) fn task_versions(&self) -> impl Iterator<Item = (Arc<str>, String)> {
        task_versions(self.watch.workloads().map(|workload| &**workload))
    }

    /// The hosts that its tasks run on.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.contributions.hosts()
    }

    /// Returns whether one of its tasks runs on this host.
    pub(crate) fn has_host(&self, host: &str) -> bool {
        self.contributions.has_host(host)
    }

    /// Reports on labels that make no claim.
    pub(crate) fn label_reports(&self) -> impl Iterator<Item = &LabelReport> {
        self.contributions.label_reports()
    }

    /// Notes whether a read succeeded.
    fn note_answer<T>(&mut self, answer: &Result<T, ReadError>) -> Option<Availability> {
        match answer {
            Ok(_) => self.view.error.take().map(|_| Availability::Restored),
            Err(error) => {
                let why = cut_reason(&with_sources(error));
                self.view.error = Some(why.clone());
                Some(Availability::Lost { why })
            }
        }
    }

    fn advance_watch(
        &mut self,
        input: watch::Input,
        context: &mut SourceContext<'_>,
    ) -> SourceStep<Action> {
        // Its claims change even if the workload did not: its candidates are no longer remembered.
        let read = match &input {
            watch::Input::Read {
                key,
                answer: ReadOutcome::Found(_) | ReadOutcome::Missing,
                ..
            } => self.remembered.take(key),
            _ => None,
        };
        let mut step = self.watch.handle_input(input, context.now.since_start);
        step.changed.extend(read);
        let relisted = !step.relisted.is_empty();
        step.changed.append(&mut step.relisted);
        if self.is_complete() {
            let doubt = self.watch.doubt();
            let is_kept = |key: &_| doubt.is_some_and(|doubt| doubt.concerns(key));
            let remembered = std::mem::take(&mut self.remembered);
            let (kept, read) = remembered.into_iter().partition::<BTreeSet<_>, _>(is_kept);
            step.changed.extend(read);
            self.remembered = kept;
        }
        self.watch_wakes_at = step.wake_at;
        self.view.streaming = self.watch.is_streaming();
        if !self.view.streaming {
            self.view.relay = None;
        }
        if self.view.framework.as_ref() != self.watch.framework() {
            self.view.framework = self.watch.framework().cloned();
        }
        self.show_doubt(context.now);
        let apps = self.translate_workloads(&step.changed, context);
        if step.whole {
            self.view.read_at = Some(context.now.wall);
            self.view.from_disk = false;
        }
        let (requests, read_whole, claimed) = (step.actions, step.whole, step.claimed);
        SourceStep { requests, apps, read_whole, claimed, relisted, ..SourceStep::default() }
    }

    /// Updates what the view says of the doubt.
    fn show_doubt(&mut self, now: Moment) {
        self.view.doubt = self.watch.doubt().map(|doubt| {
            let watch::Loss { vips, of_vips, servers, of_servers } = doubt.loss;
            let (services, of_services) = (vips, of_vips);
            let since = self.view.doubt.as_ref().map(|known| known.since);
            SourceDoubt {
                since: since
                    .unwrap_or_else(|| now.wall.checked_sub(doubt.before).unwrap_or(now.wall)),
                losses: Losses { services, of_services, servers, of_servers },
            }
        });
    }

    fn translate_workloads(
        &mut self,
        keys: &BTreeSet<WorkloadKey>,
        context: &mut SourceContext<'_>,
    ) -> AppChanges {
        let apps = keys.iter().map(|key| (app_id(key), self.translate_workload(key, context)));
        let mut apps: AppChanges = apps.collect();
        for key in self.quota.take_admissible() {
            let claims = self.translate_workload(&key, context);
            apps.insert(app_id(&key), claims);
        }
        self.view.workloads = self.contributions.workload_count();
        apps
    }

    /// Works out the claims of a workload; `None` if it is gone.
    fn translate_workload(
        &mut self,
        key: &WorkloadKey,
        context: &mut SourceContext<'_>,
    ) -> Option<AppClaims> {
        let now = context.now;
        self.settling.replace(key, None);
        let Some(workload) = self.watch.get(key) else {
            self.contributions.remove(key, context.cluster);
            self.quota.release(key);
            return None;
        };
        let hosts = workload_hosts(workload).map(|host| &**host);
        context.hosts.request_hosts(hosts, now.since_start);
        let run_time =
            |instance: &Instance| self.watch.run_time(key, &instance.id, now.since_start);
        let WorkloadClaims { mut app, mut contribution, settles_in } =
            claim_workload(workload, context.hosts.known_hosts(), &run_time, self.naming());
        if workload.damaged {
            let id = &workload.id;
            contribution.gaps.insert(format!("the definition of {id} can't be read as a whole"));
            app.claims.iter_mut().for_each(|claim| claim.incomplete = true);
            app.named.iter_mut().for_each(NamedClaim::mark_incomplete);
        }
        let load = Load::new(&app, contribution.reports.len());
        let admission = self.quota.admit(key, load);
        if !admission.reports {
            contribution.reports.clear();
        }
        if !admission.claims {
            let named = app.named.first().map(NamedClaim::unplaced);
            contribution.reports.extend(app.claims.first().or(named).map(unadmitted_report));
            app.claims.clear();
            app.named.clear();
        }
        if let Some(wait) = settles_in {
            self.settling.replace(key, Some(now.since_start.saturating_add(wait)));
        }
        let doubt = self.watch.doubt().filter(|doubt| doubt.concerns(key));
        let remembered = self.remembered.contains(key);
        let is_complete = self.is_complete();
        let named = app.named.iter_mut().flat_map(NamedClaim::candidates_mut);
        let unnamed = app.claims.iter_mut().flat_map(|claim| &mut claim.candidates);
        for candidate in unnamed.chain(named) {
            candidate.unlisted = doubt.is_some_and(|doubt| doubt.keeps(key, &candidate.task));
            candidate.remembered = remembered && (candidate.unlisted || !is_complete);
        }
        self.contributions.replace(key, contribution, context.cluster);
        Some(app)
    }
}

/// Describes the parts of an answer that could not be read. The order of an answer means nothing, so
/// the description doesn't depend on it.
fn describe_findings(findings: &[Finding]) -> Option<String> {
    let first = findings.iter().map(|finding| &finding.reason).min()?;
    Some(cut_reason(&format!(
        "{} parts of its answer can't be read, such as: {first}; `vipd diff` lists them",
        findings.len()
    )))
}

/// Cuts a reason that has texts of Marathon's in it.
fn cut_reason(why: &str) -> String {
    caps::cut_text(why, caps::REASON).into_owned()
}

/// Makes the report on a workload that there is no room for, at its first VIP label.
fn unadmitted_report(claim: &Claim) -> LabelReport {
    let why = format!(
        "no VIP of this app or pod is served: all apps and pods together would have more than {} \
         virtual services or {} real servers",
        caps::SOURCE_VIPS,
        caps::SOURCE_SERVERS
    );
    let verdict = Verdict::refused(LabelRefusal::Capped(why));
    let vip = claim.name.is_none().then_some(claim.vip);
    LabelReport { source: None, place: claim.label.clone(), vip, name: claim.name.clone(), verdict }
}

/// Returns the host in `http://host:port`, as `X-Marathon-Leader` has it.
fn host_of_leader(leader: &str) -> Option<String> {
    let url = Url::parse(leader).ok()?;
    Some(url.host_str()?.to_owned())
}
