//! What every answer is made of.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use marathon::Timestamp;
use serde_json::Value;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use vip::Observed;
use vip::controller::LocalFacts;

use super::reader::{Reader, Recent, Traffic};
use crate::agent::event_loop::Handle;
use crate::agent::status::counts::VipCounts;
use crate::agent::status::health::Liveness;
use crate::agent::status::{Request, Table, View};
use crate::report::agent::AgentReport;

/// The loop answers within milliseconds, if at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// An agent whose kernel is silent for so long doesn't have it asked more.
const SILENT: Duration = Duration::from_secs(5);
/// So many may follow the changes. They must not keep others from asking.
const FOLLOWERS: usize = 8;

/// What every answer is made of.
#[derive(Debug)]
pub(super) struct AdminState {
    pub(super) handle: Handle,
    pub(super) sync_period: Duration,
    pub(super) socket: PathBuf,
    /// The configuration without its secrets.
    pub(super) config: Value,
    /// Nobody but this node can ask.
    pub(super) is_local: bool,
    /// This node's name.
    pub(super) node: String,
    pub(super) followers: Arc<Semaphore>,
    reader: Reader,
    table: Recent<Table>,
    census: Recent<VipCounts>,
}

pub(super) type Ask = State<Arc<AdminState>>;

impl AdminState {
    pub(super) fn new(
        config: &crate::config::Config,
        shown: Value,
        handle: Handle,
        reader: Reader,
    ) -> Arc<Self> {
        Arc::new(Self {
            handle,
            sync_period: config.agent.sync_period,
            socket: config.agent.socket.clone(),
            config: shown,
            is_local: config.agent.listen.ip().is_loopback(),
            node: config.node_name.clone(),
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
            reader,
            table: Recent::default(),
            census: Recent::default(),
        })
    }

    pub(super) fn view(&self) -> Arc<View> {
        self.handle.view.borrow().clone()
    }

    pub(super) fn alive(&self) -> Liveness {
        Liveness::from_view(&self.view(), self.handle.last_beat(), self.sync_period)
    }

    pub(super) fn report(&self) -> AgentReport {
        let since_start = self.handle.last_beat().now;
        AgentReport::of(&self.view(), self.alive(), since_start, Timestamp::now())
    }

    /// Asks the loop, which may stand still.
    pub(super) async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.handle.requests.send(request(answer)).await.ok()?;
            answered.await.ok()
        };
        timeout(PATIENCE, asked).await.ok().flatten()
    }

    /// Everything the agent has decided and knows, as of a moment ago.
    pub(super) async fn table(&self) -> Result<Arc<Table>, String> {
        let table = async { Ok(*self.ask_if_it_goes_round(Request::Table).await?) };
        self.table.get(table).await
    }

    /// Facts that only this agent knows.
    pub(super) async fn local_facts(&self) -> Result<LocalFacts, String> {
        self.ask_if_it_goes_round(Request::LocalFacts).await
    }

    /// How many there are of each, as of a moment ago.
    pub(super) async fn census(&self) -> Result<Arc<VipCounts>, String> {
        self.census.get(self.ask_if_it_goes_round(Request::VipCounts)).await
    }

    /// The counters of the kernel, as of a moment ago.
    pub(super) async fn traffic(&self) -> Result<Arc<Traffic>, String> {
        self.kernel_answers()?;
        self.reader.traffic().await
    }

    /// The kernel, as of a moment ago.
    pub(super) async fn kernel(&self) -> Result<Arc<Observed>, String> {
        self.kernel_answers()?;
        self.reader.everything().await
    }

    async fn ask_if_it_goes_round<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, String> {
        let stuck = || "the agent's loop doesn't answer: see /healthz".to_owned();
        if self.handle.last_beat().is_stopped() {
            return Err(stuck());
        }
        self.ask(request).await.ok_or_else(stuck)
    }

    /// The kernel is asked nothing more while it or the loop seems to be stuck.
    fn kernel_answers(&self) -> Result<(), String> {
        let beat = self.handle.last_beat();
        if beat.is_stopped() {
            return Err("the agent's loop stands still, so the kernel isn't asked".to_owned());
        }
        let asked = self.view().status.asked_since;
        if asked.is_some_and(|since| beat.now.saturating_sub(since) > SILENT) {
            return Err("the kernel hasn't answered the agent for a while".to_owned());
        }
        Ok(())
    }
}
