//! The state that answers are made from, and the ways to read it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use serde_json::Value;
use tokio::sync::{Semaphore, oneshot};
use vip::Observed;
use vip::controller::LocalFacts;

use super::answer::Unavailable;
use super::hold::HoldFiles;
use super::reader::{Reader, Recent, Traffic};
use super::untaken::UntakenAnswers;
use crate::agent::event_loop::Handle;
use crate::agent::status::counts::VipCounts;
use crate::agent::status::health::Liveness;
use crate::agent::status::{Request, Table, View};
use crate::clock::Timestamp;
use crate::report::agent::AgentReport;

/// The kernel is not read for answers when it has not answered the agent for this long.
const SILENT: Duration = Duration::from_secs(5);
/// The most clients that may follow the changes, so that others are still served.
const FOLLOWERS: usize = 8;

/// The state that answers are made from.
#[derive(Debug)]
pub(super) struct AdminState {
    pub(super) handle: Handle,
    pub(super) sync_period: Duration,
    pub(super) hold_files: HoldFiles,
    /// The configuration without its secrets.
    pub(super) config: Value,
    /// The TCP address is on the loopback interface.
    pub(super) is_local: bool,
    /// This node's name.
    pub(super) node: String,
    pub(super) followers: Arc<Semaphore>,
    pub(super) untaken: UntakenAnswers,
    reader: Reader,
    table: Recent<Table>,
    counts: Recent<VipCounts>,
}

/// The state, as handlers take it.
pub(super) type SharedState = State<Arc<AdminState>>;

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
            hold_files: HoldFiles::new(&config.agent),
            config: shown,
            is_local: config.agent.listen.ip().is_loopback(),
            node: config.node_name.clone(),
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
            untaken: UntakenAnswers::default(),
            reader,
            table: Recent::default(),
            counts: Recent::default(),
        })
    }

    pub(super) fn latest_view(&self) -> Arc<View> {
        self.handle.view.borrow().clone()
    }

    pub(super) fn liveness(&self) -> Liveness {
        Liveness::from_view(&self.latest_view(), self.handle.last_beat(), self.sync_period)
    }

    pub(super) fn agent_report(&self) -> AgentReport {
        let since_start = self.handle.last_beat().now;
        AgentReport::new(&self.latest_view(), self.liveness(), since_start, Timestamp::now())
    }

    /// Asks the event loop. None: it does not answer.
    pub(super) async fn ask_loop<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Option<T> {
        self.handle.ask(request).await
    }

    /// Reads everything that the agent has decided and knows, at most a moment old.
    pub(super) async fn read_table(&self) -> Result<Arc<Table>, Unavailable> {
        let table = async { Ok(*self.ask_live_loop(Request::Table).await?) };
        self.table.get_or_read(table).await
    }

    /// Reads the facts that only this agent knows.
    pub(super) async fn read_local_facts(&self) -> Result<LocalFacts, Unavailable> {
        self.ask_live_loop(Request::LocalFacts).await
    }

    /// Reads the counts for the metrics, at most a moment old.
    pub(super) async fn read_counts(&self) -> Result<Arc<VipCounts>, Unavailable> {
        self.counts.get_or_read(self.ask_live_loop(Request::VipCounts)).await
    }

    /// Reads the kernel's counters, at most a moment old.
    pub(super) async fn read_traffic(&self) -> Result<Arc<Traffic>, Unavailable> {
        self.check_kernel_answers()?;
        self.reader.read_traffic().await
    }

    /// Reads the kernel, at most a moment old.
    pub(super) async fn read_kernel(&self) -> Result<Arc<Observed>, Unavailable> {
        self.check_kernel_answers()?;
        self.reader.read_everything().await
    }

    async fn ask_live_loop<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Unavailable> {
        if self.handle.last_beat().is_stuck() {
            return Err(Unavailable::StuckLoop);
        }
        self.ask_loop(request).await.ok_or(Unavailable::StuckLoop)
    }

    /// Refuses a read of the kernel while the kernel or the event loop seems to be stuck.
    fn check_kernel_answers(&self) -> Result<(), Unavailable> {
        let beat = self.handle.last_beat();
        if beat.is_stuck() {
            return Err(Unavailable::UnreadKernel);
        }
        let asked = self.latest_view().status.asked_since;
        if asked.is_some_and(|since| beat.now.saturating_sub(since) > SILENT) {
            return Err(Unavailable::SilentKernel);
        }
        Ok(())
    }
}
