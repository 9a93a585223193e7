//! One look at both sides: what the sources want and what the kernel has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use marathon::Coverage;
use node::{Kernel, LinuxKernel};
use vip::{ClusterFacts, Desired, Observed, Plan, Scope};

use crate::config::Config;
use crate::sources::marathon::translate::{hosts_of, translate, versions_of};
use crate::sources::once::{DefinitionSource, Definitions};
use crate::sources::resolve::{addresses, resolve};

const NO_PODS: &str = "the sources don't tell of pods, so VIPs that no app claims stay: add --from \
                       with the answer of /v2/pods/::status, or say --no-pods";

const RESOLVE_WITHIN: Duration = Duration::from_secs(10);

/// What one look found.
#[derive(Debug)]
pub struct Survey {
    /// The kernel.
    pub observed: Observed,
    /// What the sources want of it.
    pub desired: Desired,
    /// Whether the sources are the whole truth.
    pub scope: Scope,
    /// What in the sources could not be read, each a sentence.
    pub findings: Vec<String>,
}

impl Survey {
    /// The plan from the one to the other.
    #[must_use]
    pub fn plan(&self, config: &Config) -> Plan {
        Plan::new(&self.observed, &self.desired, self.scope, &config.node_name)
    }
}

/// What the sources want, before the kernel is known.
#[derive(Debug)]
pub struct GatheredClaims {
    claims: Vec<vip::Claim>,
    reports: Vec<vip::LabelReport>,
    cluster: ClusterFacts,
    uncertain: BTreeSet<IpAddr>,
    /// What the sources cover together.
    coverage: Coverage,
    /// Something isn't known of running tasks.
    gaps: bool,
    findings: Vec<String>,
    /// Versions of tasks, by task id.
    versions: BTreeMap<Arc<str>, String>,
}

impl GatheredClaims {
    /// Versions of tasks, by task id.
    #[must_use]
    pub fn versions(&self) -> &BTreeMap<Arc<str>, String> {
        &self.versions
    }

    /// Reads every source. With `no_pods` there are no pods to be told of.
    ///
    /// # Errors
    /// When there is none, or one of them can't be read completely.
    pub fn read(sources: &[DefinitionSource], no_pods: bool) -> Result<Self> {
        if sources.is_empty() {
            bail!(
                "nothing to read: give --from FILE or --marathon URL, or set [[marathon]] in the \
                 configuration"
            );
        }
        let mut wishes = Self {
            claims: Vec::new(),
            reports: Vec::new(),
            cluster: ClusterFacts::default(),
            uncertain: BTreeSet::new(),
            coverage: Coverage { apps: false, pods: no_pods },
            gaps: false,
            findings: Vec::new(),
            versions: BTreeMap::new(),
        };
        let now = marathon::Timestamp::now();
        for source in sources {
            wishes.add(source, &source.read()?, now);
        }
        Ok(wishes)
    }

    fn add(&mut self, source: &DefinitionSource, reading: &Definitions, now: marathon::Timestamp) {
        let snapshot = &reading.snapshot;
        self.coverage.apps |= snapshot.coverage.apps;
        self.coverage.pods |= snapshot.coverage.pods;
        let findings = snapshot.findings.iter();
        self.findings.extend(findings.map(|finding| format!("{}: {finding}", reading.name)));
        let whole = Coverage { apps: true, pods: true };
        if matches!(source, DefinitionSource::Marathon(_)) && snapshot.coverage != whole {
            self.gaps = true;
            let gap = "some of its apps or pods can't be read, so no VIP is removed";
            self.findings.push(format!("{}: {gap}", reading.name));
        }

        self.versions.extend(versions_of(&snapshot.workloads));
        let hosts = resolve(hosts_of(snapshot), RESOLVE_WITHIN);
        let translation = translate(snapshot, &hosts, now);
        tracing::info!(
            source = reading.name,
            workloads = snapshot.workloads.len(),
            claims = translation.claims.len(),
            "read definitions"
        );
        // A part of the truth removes nothing anyway.
        if snapshot.coverage.apps {
            self.gaps |= !translation.gaps.is_empty();
            self.findings.extend(translation.gaps.iter().map(|gap| {
                format!("{}: {gap}; no VIP and none of its real servers are removed", reading.name)
            }));
        }
        self.uncertain.extend(translation.uncertain);
        self.claims.extend(translation.claims);
        self.reports.extend(translation.reports);
        self.cluster.nodes.extend(addresses(&hosts));
        self.cluster.tasks.extend(translation.tasks);

        let servers =
            source.servers().into_iter().chain(reading.servers.iter().map(String::as_str));
        let servers = resolve(servers, RESOLVE_WITHIN);
        self.cluster.masters.extend(addresses(&servers));
    }

    /// Looks at the kernel and decides.
    ///
    /// # Errors
    /// When the kernel can't be read.
    pub fn survey(mut self, config: &Config, kernel: &mut LinuxKernel) -> Result<Survey> {
        let observed = kernel.observe()?;
        tracing::info!(services = observed.services.len(), link = ?observed.link, "read the kernel");
        let mut desired = vip::decide(self.claims, &observed, &config.policy, &self.cluster);
        desired.reports.splice(0..0, self.reports);
        desired.source = source_address(config, &desired, &self.cluster.nodes, kernel)?;
        tracing::info!(source = ?desired.source, vips = desired.services.len(), "decided");
        desired.uncertain = self.uncertain;
        desired.timeouts = config.timeouts;
        desired.modes = config.modes;
        desired.let_in = config.let_in();
        let scope = match self.coverage {
            Coverage { apps: true, pods: true } if !self.gaps => Scope::Complete,
            Coverage { apps: true, .. } => Scope::Servers,
            Coverage { apps: false, .. } => Scope::Partial,
        };
        let unclaimed = || observed.ours().any(|(vip, _)| !desired.services.contains_key(&vip));
        if !self.gaps && self.coverage.apps && !self.coverage.pods && unclaimed() {
            self.findings.push(NO_PODS.into());
        }
        Ok(Survey { observed, desired, scope, findings: self.findings })
    }
}

/// The source of the node's own connections to VIPs: as set, or the node's own address towards
/// the real servers; those on agents first, since a container's bridge has an address of its own.
fn source_address(
    config: &Config,
    desired: &Desired,
    agents: &BTreeSet<IpAddr>,
    kernel: &mut LinuxKernel,
) -> Result<Option<IpAddr>> {
    if let Some(address) = config.node_address {
        return Ok(Some(address.into()));
    }
    let servers = desired.services.values().flat_map(|service| service.selection.members.keys());
    let (on_agents, others): (BTreeSet<_>, BTreeSet<_>) =
        servers.map(SocketAddr::ip).partition(|server| agents.contains(server));
    let servers: Vec<_> = on_agents.into_iter().chain(others).collect();
    Ok(kernel.source_address(&servers)?.map(Into::into))
}
