//! Starting and stopping a simulated cluster.

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

/// Why a cluster doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The API can't listen.
    #[error("cannot listen on {address} for the API: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing to run tasks on.
    #[error("the cluster has no agents: give at least one")]
    NoAgents,
    /// `time_scale` is no positive number.
    #[error("the time scale is {0}: give a positive number, 1 for real time")]
    TimeScale(f64),
}

impl Sim {
    /// Starts a cluster. It serves when this returns.
    ///
    /// # Errors
    /// An address that can't be listened on, or a `config` that makes no sense.
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
                    // Serving ends with an error only; tasks without an API are of no use.
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
    /// Its id.
    pub task: String,
    /// Its app's or pod's id.
    pub app: String,
    /// The definition it was started by, as Marathon 1.5 stores it; maybe an old one.
    pub definition: Value,
    /// The address of its agent.
    pub host: Ipv4Addr,
    /// Its host ports.
    pub ports: Vec<u16>,
    /// `TASK_RUNNING` and the like.
    pub state: &'static str,
    /// It runs, and every check has passed lately; in a pod, of all its containers.
    pub healthy: bool,
}

/// A running cluster. When it is dropped, its processes are killed.
#[derive(Debug)]
pub struct Handle {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    main: JoinHandle<()>,
}

impl Handle {
    /// Where the first member listens, which leads at first.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The first member's address as a URL, with no slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The URLs of all members, with no slashes at their ends.
    pub fn urls(&self) -> &[String] {
        &self.shared.members
    }

    /// Makes the member with this index lead, or nobody. Every event stream ends; results of the
    /// health checks Marathon makes itself are forgotten. An index of no member is nobody.
    pub fn set_leader(&self, leader: Option<usize>) {
        self.shared.set_leader(leader.filter(|leader| *leader < self.shared.members.len()));
    }

    /// Switches a fault on; after 1000 the rest is ignored.
    pub fn inject_fault(&self, rule: Rule) {
        self.shared.inject_fault(rule);
    }

    /// Switches every fault off.
    pub fn clear_faults(&self) {
        self.shared.faults.clear_rules();
    }

    /// The faults that are switched on and not used up, the oldest first.
    pub fn list_faults(&self) -> Vec<Rule> {
        self.shared.faults.list_rules()
    }

    /// Forgets the results of the health checks Marathon makes itself, with no election.
    pub fn forget_health(&self) {
        self.shared.update_store(Store::forget_health);
    }

    /// Whether the tasks that deployments start of this app pass its readiness checks. They do
    /// unless it is said here that they don't.
    pub fn set_ready(&self, app: &str, ready: bool) {
        self.shared.update_store(|store| match ready {
            true => drop(store.unready.remove(app)),
            false => drop(store.unready.insert(app.to_owned())),
        });
    }

    /// What really runs, whatever the API says of it: what hasn't ended, the oldest first.
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

    /// The definitions of the apps and pods that are wanted, by id, as Marathon 1.5 stores them.
    pub fn definitions(&self) -> BTreeMap<String, Value> {
        let store = self.shared.lock_store();
        let all = store.apps().chain(store.pods());
        all.map(|entry| (entry.spec.id.clone(), Value::Object(entry.spec.source.clone()))).collect()
    }

    /// What becomes of a task that is only imagined, by its id. One that isn't is left alone.
    pub fn set_fate(&self, task: &str, fate: Fate) {
        self.shared.imagined.set_fate(task, fate);
    }

    /// The requests since this was called last, the last 10,000 of them at most, each as
    /// `GET /v2/apps?embed=apps.tasks`. A standby's are as it got them.
    pub fn take_requests(&self) -> Vec<String> {
        self.shared.take_requests()
    }

    /// Ends every token at once.
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
