//! Start and control of a simulated cluster.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::api;
use crate::config::Config;
use crate::fault::Rule;
use crate::imagined::Fate;
use crate::run;
use crate::shared::Shared;
use crate::store::{Store, Task};
use crate::stream::{Front, Peer};

/// A simulated cluster.
#[derive(Debug)]
pub struct Sim;

/// Why a cluster can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address of the API can't be bound.
    #[error("cannot listen on {address} for the API")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
    /// There are no agents.
    #[error("the cluster has no agents: give at least one")]
    NoAgents,
    /// `time_scale` is not a positive number.
    #[error("the time scale is {0}: give a positive number, 1 for real time")]
    TimeScale(f64),
}

impl Sim {
    /// Starts a cluster, which serves when this returns.
    ///
    /// # Errors
    /// When an address can't be bound, or `config` is invalid.
    pub async fn start(config: Config) -> Result<Handle, StartError> {
        if config.agents.is_empty() {
            return Err(StartError::NoAgents);
        }
        if !(config.time_scale.is_finite() && config.time_scale > 0.0) {
            return Err(StartError::TimeScale(config.time_scale));
        }
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        for member in 0..=config.standbys {
            let port = if member == 0 { config.listen.port() } else { 0 };
            let address = SocketAddr::new(config.listen.ip(), port);
            let failed = |source| StartError::Listen { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            addresses.push(listener.local_addr().map_err(failed)?);
            listeners.push(listener);
        }
        let (stop, stopped) = watch::channel(false);
        let members = addresses.iter().map(|address| format!("http://{address}")).collect();
        let shared = Arc::new(Shared::new(config, members, stopped.clone()));
        let mut servers = JoinSet::new();
        for (member, listener) in listeners.into_iter().enumerate() {
            let service = api::build_router(Arc::clone(&shared));
            let service = service.into_make_service_with_connect_info::<Peer>();
            let front = Front { listener, member };
            servers.spawn(axum::serve(front, service).into_future());
        }
        let main = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                tokio::select! {
                    // Serving ends only with an error; tasks without an API are useless.
                    _ = servers.join_next() => {}
                    () = run::run_reconciler(shared, stopped) => {}
                }
            }
        });
        Ok(Handle { addr: addresses[0], shared, stop, main })
    }
}

/// One task that hasn't ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// The id of the task.
    pub task: String,
    /// The id of its app or pod.
    pub app: String,
    /// The definition it was started by, as Marathon 1.5 stores it; it may be an old one.
    pub definition: Value,
    /// The address of its agent.
    pub host: Ipv4Addr,
    /// The host ports.
    pub ports: Vec<u16>,
    /// `TASK_RUNNING` and the like.
    pub state: &'static str,
    /// True if it is running and all checks have passed; in a pod, those of all containers.
    pub healthy: bool,
}

/// A running cluster. Dropping it kills its processes.
#[derive(Debug)]
pub struct Handle {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    main: JoinHandle<()>,
}

impl Handle {
    /// Returns the address of the first member, which is the first leader.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the URL of the first member, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Returns the URLs of all members, without a slash at the end.
    pub fn urls(&self) -> &[String] {
        &self.shared.members
    }

    /// Makes the member with this index the leader, or nobody. Every event stream ends, and the
    /// results of the health checks that Marathon makes itself are forgotten. An index out of range
    /// means nobody.
    pub fn set_leader(&self, leader: Option<usize>) {
        self.shared.set_leader(leader.filter(|leader| *leader < self.shared.members.len()));
    }

    /// Changes the name of the framework that `/v2/info` tells, at first `marathon`; `None`: it tells
    /// none.
    pub fn set_framework_name(&self, name: Option<&str>) {
        self.shared.set_framework_name(name);
    }

    /// Enables a fault. More than 1000 are ignored.
    pub fn inject_fault(&self, rule: Rule) {
        self.shared.inject_fault(rule);
    }

    /// Disables all faults.
    pub fn clear_faults(&self) {
        self.shared.faults.clear_rules();
    }

    /// Returns the enabled faults, the oldest first.
    pub fn list_faults(&self) -> Vec<Rule> {
        self.shared.faults.list_rules()
    }

    /// Forgets the results of the health checks that Marathon makes itself, without an election.
    pub fn forget_health(&self) {
        self.shared.update_store(Store::forget_health);
    }

    /// Steps the leader's clock: from now on it is ahead of the true time by so many milliseconds,
    /// or behind. Every time that Marathon tells follows it, versions too.
    pub fn set_clock(&self, ahead_ms: i64) {
        self.shared.set_clock(ahead_ms);
    }

    /// Sends an event that nothing has caused, with these fields. Without a `timestamp` it is of
    /// this moment.
    pub fn send_event(&self, kind: &str, fields: &Value) {
        let fields = fields.as_object().cloned().unwrap_or_default();
        self.shared.send_event(kind.to_owned(), fields);
    }

    /// Sets whether the tasks that deployments start of this app pass its readiness checks. The
    /// default is true.
    pub fn set_ready(&self, app: &str, ready: bool) {
        self.shared.update_store(|store| match ready {
            true => drop(store.unready.remove(app)),
            false => drop(store.unready.insert(app.to_owned())),
        });
    }

    /// Returns the tasks that have not ended, whatever the API shows, the oldest first.
    pub fn running_tasks(&self) -> Vec<Running> {
        let store = self.shared.lock_store();
        let tasks = store.instances().iter().flat_map(|instance| {
            let running = |task: &Task| Running {
                task: task.id.clone(),
                app: instance.spec.id.clone(),
                definition: Value::Object(instance.spec.source.clone()),
                host: store.agents[instance.agent].address,
                ports: task.host_ports.clone(),
                state: task.state.name(),
                healthy: instance.is_healthy(),
            };
            instance.tasks.iter().map(running)
        });
        tasks.collect()
    }

    /// Returns the current definitions of apps and pods by id, as Marathon 1.5 stores them.
    pub fn definitions(&self) -> BTreeMap<String, Value> {
        let store = self.shared.lock_store();
        let all = store.apps().chain(store.pods());
        all.map(|entry| (entry.spec.id.clone(), Value::Object(entry.spec.source.clone()))).collect()
    }

    /// Sets the fate of an imagined task by its id. Other tasks are not affected.
    pub fn set_fate(&self, task: &str, fate: Fate) {
        self.shared.imagined.set_fate(task, fate);
    }

    /// Removes and returns the requests since the last call, at most the last 10,000, each like
    /// `GET /v2/apps?embed=apps.tasks`. Those to a standby are included as it got them.
    pub fn take_requests(&self) -> Vec<String> {
        self.shared.take_requests()
    }

    /// Expires all tokens.
    pub fn expire_tokens(&self) {
        self.shared.access.expire_all();
    }

    /// Ends every process and waits until they have ended.
    pub async fn shutdown(mut self) {
        // Errors mean that the cluster has ended already.
        let _ = self.stop.send(true);
        let _ = (&mut self.main).await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.main.abort();
    }
}
