//! One look at both sides: what the sources want and what the kernel has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use marathon::{Coverage, Time};
use node::{Kernel, LinuxKernel};
use vip::controller::{self, AppClaims, Change, Decision, LocalFacts, Parting};
use vip::naming::NameFacts;
use vip::{AppId, Controller, Desired, Observed, Plan};

use crate::config::Config;
use crate::sources::facts::{ClusterContext, Contribution};
use crate::sources::marathon::claims::{WorkloadClaims, claim_workload};
use crate::sources::marathon::translate::{app_id, run_time_at, snapshot_hosts, task_versions};
use crate::sources::once::{DefinitionSource, Definitions};
use crate::sources::resolve::{all_addresses, resolve_hosts};
use crate::sources::unread::UnreadLabel;

const NO_PODS: &str = "the sources don't tell of pods, so VIPs that no app claims stay: add --from \
                       with the answer of /v2/pods/::status, or say --no-pods";

const RESOLVE_WITHIN: Duration = Duration::from_secs(10);

/// The kernel, the definitions and the way from the one to the other, as a command found them.
#[derive(Debug)]
pub struct Survey {
    /// The kernel.
    pub observed: Arc<Observed>,
    /// The table that the sources want.
    pub desired: Desired,
    /// The plan from the one to the other.
    pub plan: Plan,
    /// Parts of the sources that could not be read, each a sentence.
    pub findings: Vec<String>,
    /// Facts that only a running agent knows and none told, each a sentence.
    pub missing: Vec<String>,
}

/// What decides beside the sources and the kernel.
#[derive(Debug)]
pub enum Beside {
    /// An agent runs on this node and tells what only it knows.
    Agent(LocalFacts),
    /// No agent answers: what only an agent knows is missing.
    Nobody {
        /// The reason.
        why: String,
        /// The addresses that served, as the last agent saved them.
        served: BTreeSet<IpAddr>,
    },
    /// No agent may run meanwhile: there is nothing that only it could know.
    Alone,
}

/// The claims of all sources, before the kernel is known.
#[derive(Debug)]
pub struct GatheredClaims {
    /// Apps by source.
    apps: BTreeMap<String, BTreeMap<AppId, Option<AppClaims>>>,
    /// Labels that make no claim.
    reports: Vec<vip::LabelReport>,
    context: ClusterContext,
    masters: BTreeSet<IpAddr>,
    /// What the sources cover together.
    coverage: Coverage,
    /// A Marathon or a file could not be read whole: no VIP is removed.
    incomplete: bool,
    /// A part of one could not be read: nothing is removed.
    partial: bool,
    findings: Vec<String>,
    /// Versions of tasks, by task id.
    versions: BTreeMap<Arc<str>, String>,
}

impl GatheredClaims {
    /// Versions of tasks, by task id.
    #[must_use]
    pub fn task_versions(&self) -> &BTreeMap<Arc<str>, String> {
        &self.versions
    }

    /// Reads every source. With `no_pods` there are no pods to be told of.
    ///
    /// # Errors
    /// When there is none, or one of them can't be read completely.
    pub fn read_sources(
        sources: &[DefinitionSource],
        no_pods: bool,
        config: &Config,
    ) -> Result<Self> {
        if sources.is_empty() {
            bail!(
                "nothing to read: give --from FILE or --marathon URL, or set [[marathon]] in the \
                 configuration"
            );
        }
        let mut gathered = Self {
            apps: BTreeMap::new(),
            reports: Vec::new(),
            context: ClusterContext::default(),
            masters: BTreeSet::new(),
            coverage: Coverage { apps: false, pods: no_pods },
            incomplete: false,
            partial: false,
            findings: Vec::new(),
            versions: BTreeMap::new(),
        };
        let now = marathon::Timestamp::now();
        for source in sources {
            gathered.add_source(source, &source.read_definitions()?, now, config);
        }
        Ok(gathered)
    }

    fn add_source(
        &mut self,
        source: &DefinitionSource,
        reading: &Definitions,
        now: marathon::Timestamp,
        config: &Config,
    ) {
        let snapshot = &reading.snapshot;
        self.coverage.apps |= snapshot.coverage.apps;
        self.coverage.pods |= snapshot.coverage.pods;
        let findings = snapshot.findings.iter();
        self.findings.extend(findings.map(|finding| format!("{}: {finding}", reading.name)));
        self.findings.extend(reading.unread.iter().map(|label| {
            let UnreadLabel { path, key, value, line, reason, .. } = label;
            format!("{}:{line}: {path} {key}={value:?}: {reason}", reading.name)
        }));
        let whole = Coverage { apps: true, pods: true };
        // A version record that can't be read is a gap, see below, and has no path in the answer.
        let lost = snapshot.findings.iter().any(|finding| finding.path != "$");
        let gap = match source {
            DefinitionSource::Marathon(_) if snapshot.coverage != whole || lost => {
                Some("some of its apps or pods can't be read, so no VIP is removed")
            }
            DefinitionSource::File(_) if reading.has_unread_part() => {
                Some("a part of it can't be read, so it adds and changes, but removes nothing")
            }
            _ => None,
        };
        if let Some(gap) = gap {
            self.incomplete = true;
            self.partial |= reading.has_unread_part();
            self.findings.push(format!("{}: {gap}", reading.name));
        }

        self.versions.extend(task_versions(snapshot.workloads.iter().map(Arc::as_ref)));
        let hosts = resolve_hosts(snapshot_hosts(snapshot), RESOLVE_WITHIN);
        let apps = self.apps.entry(reading.name.clone()).or_default();
        // Marathon's clock, as far as it shows.
        let now = snapshot.latest_success().map_or(now, Time::to_timestamp);
        let run_time = run_time_at(now);
        for workload in &snapshot.workloads {
            let WorkloadClaims { app, mut contribution, settles_in: _ } =
                claim_workload(workload, &hosts, &run_time, reading.naming(config));
            let reports = contribution.reports.iter_mut();
            reports.for_each(|report| report.source = Some(reading.name.as_str().into()));
            self.reports.append(&mut contribution.reports);
            // A part of the truth removes nothing anyway.
            if !snapshot.coverage.apps {
                contribution.gaps.clear();
            }
            self.findings.extend(contribution.gaps.iter().map(|gap| {
                format!("{}: {gap}; no VIP and none of its real servers are removed", reading.name)
            }));
            self.context.replace_contribution(&Contribution::default(), &contribution);
            // A file may hold a definition twice.
            let known = apps.entry(app_id(&workload.key())).or_default().get_or_insert_default();
            known.claims.extend(app.claims);
            known.named.extend(app.named);
            known.alive.extend(app.alive);
        }
        tracing::info!(
            source = reading.name,
            workloads = snapshot.workloads.len(),
            claims = apps.values().flatten().map(|app| app.claims.len()).sum::<usize>(),
            "read definitions"
        );

        let named = source.server_names();
        let servers = named.iter().chain(&reading.servers).map(String::as_str);
        let servers = resolve_hosts(servers, RESOLVE_WITHIN);
        self.masters.extend(all_addresses(&servers));
    }

    /// Looks at the kernel and decides, by the same rules as the agent.
    ///
    /// # Errors
    /// When the kernel can't be read.
    pub fn survey_kernel(
        mut self,
        config: &Config,
        kernel: &mut LinuxKernel,
        beside: Beside,
    ) -> Result<Survey> {
        let observed = kernel.observe()?;
        tracing::info!(services = observed.services.len(), link = ?observed.link, "read the kernel");
        let controller = self.build_controller(config, &beside);
        let Decision { observed, mut desired, plan, scope } =
            controller.decide_once(observed, |servers| kernel.find_ways(servers))?;
        tracing::info!(vips = desired.services.len(), ?scope, "decided");
        if !desired.several_sources {
            self.reports.iter_mut().for_each(|report| report.source = None);
        }
        desired.reports.splice(0..0, self.reports);
        let unclaimed =
            || observed.our_services().any(|(vip, _)| !desired.services.contains_key(&vip));
        let Coverage { apps, pods } = self.coverage;
        if !self.incomplete && apps && !pods && unclaimed() {
            self.findings.push(NO_PODS.into());
        }
        let missing = match beside {
            Beside::Nobody { why, .. } => vec![format!(
                "{why}, so what only an agent knows is left out: which real servers drain, and \
                 which addresses linger"
            )],
            Beside::Agent(_) | Beside::Alone => Vec::new(),
        };
        self.findings.extend(observed.node.unread.iter().cloned());
        Ok(Survey { observed, desired, plan, findings: self.findings, missing })
    }

    /// Gives names their addresses as a node without memory does, without a look at the kernel. Returns
    /// them with the parts of the sources that could not be read.
    #[must_use]
    pub fn place_names(mut self, config: &Config) -> (Vec<NameFacts>, Vec<String>) {
        let controller = self.build_controller(config, &Beside::Alone);
        (controller.name_facts(Duration::ZERO), self.findings)
    }

    /// A controller that has heard all of this.
    fn build_controller(&mut self, config: &Config, beside: &Beside) -> Controller {
        let apps = std::mem::take(&mut self.apps);
        let parting = match beside {
            Beside::Agent(_) => Parting::Gradual,
            Beside::Nobody { .. } | Beside::Alone => Parting::AtOnce,
        };
        let mut controller = Controller::new(controller::Config {
            node: config.node_name.clone(),
            table: config.table_settings(),
            sources: apps.keys().map(|name| name.as_str().into()).collect(),
            linger: config.agent.linger,
            observe_only: true,
            parting,
            ..controller::Config::default()
        });
        match beside {
            Beside::Agent(facts) => controller.take_over(facts, Duration::ZERO),
            Beside::Nobody { served, .. } => controller.restore_served(served.iter().copied()),
            Beside::Alone => {}
        }
        let mut facts = self.context.to_facts(std::mem::take(&mut self.masters));
        facts.gaps |= self.incomplete || !self.coverage.pods;
        if let Beside::Agent(of_agent) = beside {
            facts.doubted = of_agent.doubted;
            facts.taken.clone_from(&of_agent.taken);
        }
        controller.learn_input(controller::Input::Facts(facts));
        for (source, apps) in apps {
            let all = apps.keys().cloned().collect();
            let mut hear = |change| {
                let source = source.as_str().into();
                controller.learn_input(controller::Input::Claims { source, change });
            };
            hear(Change::Apps(apps));
            // Only the whole truth says that there are no other apps.
            if self.coverage.apps && !self.partial {
                hear(Change::Only(all));
            }
        }
        controller
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use vip::{Scope, Ways};

    use super::*;

    fn config() -> Config {
        Config {
            relay: crate::config::RelaySection::default(),
            marathons: Vec::new(),
            interface: "vipd0".into(),
            node_address: None,
            modes: vip::nft::Modes::default(),
            node_name: "node1".into(),
            lock: "lock".into(),
            strict_arp: false,
            ipv6_forwarding: None,
            log_level: crate::config::LogLevel::Info,
            timeouts: vip::Timeouts::default(),
            firewall: vip::firewall::LetIn::Off,
            policy: vip::Policy::default(),
            names: crate::config::Names::default(),
            probe: crate::config::ProbeSettings::default(),
            agent: crate::config::AgentSection::default().resolve().unwrap(),
        }
    }

    /// Reads files as `--from` does with `--no-pods`: how much may be removed, and what is said.
    fn scope_of(texts: &[&str]) -> (Scope, String) {
        let folder = tempfile::tempdir().unwrap();
        let write = |(index, text): (usize, &&str)| {
            let path = folder.path().join(index.to_string());
            std::fs::write(&path, text).unwrap();
            DefinitionSource::File(path.display().to_string())
        };
        let sources: Vec<_> = texts.iter().enumerate().map(write).collect();
        let mut gathered = GatheredClaims::read_sources(&sources, true, &config()).unwrap();
        let controller = gathered.build_controller(&config(), &Beside::Alone);
        let ways = |_: &_| Ok::<_, Infallible>(Ways::default());
        let Ok(decision) = controller.decide_once(Observed::default(), ways);
        (decision.scope, gathered.findings.join("\n"))
    }

    const WHOLE: &str = r#"{"apps":[],"groups":[{"id":"/g","apps":[{"id":"/g/d","tasks":[],
        "portDefinitions":[{"labels":{"VIP_0":"3.3.0.4:80"}}]}],"groups":[]}],"id":"/"}"#;

    #[test]
    fn a_file_with_an_unread_part_removes_nothing_and_that_is_said() {
        assert_eq!(scope_of(&[WHOLE]), (Scope::Complete, String::new()));
        for text in [
            WHOLE.replace("]}],\"groups\"", "]},{}],\"groups\""),
            WHOLE.replace("\"groups\":[]", "\"groups\":{}"),
            WHOLE.replace("\"labels\":{", "\"lables\":{"),
            WHOLE.replace("\"3.3.0.4:80\"", "80"),
            WHOLE.replace("\"/g/d\"", "null"),
            WHOLE.replace("\"/\"}", "null}"),
            WHOLE.replace("\"tasks\":[]", "\"tasks\":[7]"),
        ] {
            assert_ne!(text, WHOLE);
            // Nor does a whole list of another source.
            for texts in [&[text.as_str()][..], &[&text, r#"{"apps":[]}"#]] {
                let (scope, said) = scope_of(texts);
                assert_eq!(scope, Scope::Partial, "{text}");
                assert!(said.contains("so it adds and changes, but removes nothing"), "{said}");
            }
        }
    }
}
