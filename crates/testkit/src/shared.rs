//! A kernel in memory that a test shares with a running agent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use node::{Kernel, KernelError, SysctlReport};
use vip::plan::OpError;
use vip::{Observed, Op, Stats, Vip, Ways};

use crate::FakeKernel;

/// A [`FakeKernel`] that a test shares with a running agent.
#[derive(Debug, Clone, Default)]
pub struct SharedKernel(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    kernel: FakeKernel,
    history: Vec<(Instant, Observed)>,
}

impl SharedKernel {
    fn lock_inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives access to the kernel, to look at it or change it behind the agent's back.
    pub fn with_kernel<T>(&self, what: impl FnOnce(&mut FakeKernel) -> T) -> T {
        what(&mut self.lock_inner().kernel)
    }

    /// Returns the kernel's state.
    #[must_use]
    pub fn current_state(&self) -> Observed {
        self.lock_inner().kernel.state.clone()
    }

    /// Returns the states after each batch of operations since this was called last, and the
    /// current state.
    #[must_use]
    pub fn take_history(&self) -> Vec<(Instant, Observed)> {
        let mut inner = self.lock_inner();
        let now = (Instant::now(), inner.kernel.state.clone());
        let mut history = std::mem::take(&mut inner.history);
        history.push(now);
        history
    }
}

impl Kernel for SharedKernel {
    fn observe(&mut self) -> Result<Observed, KernelError> {
        self.lock_inner().kernel.observe()
    }

    fn read_traffic(&mut self) -> Result<BTreeMap<Vip, Stats>, KernelError> {
        self.lock_inner().kernel.read_traffic()
    }

    fn perform(&mut self, ops: &[&Op]) -> Vec<Result<(), OpError>> {
        let mut inner = self.lock_inner();
        let answers = inner.kernel.perform(ops);
        let state = inner.kernel.state.clone();
        inner.history.push((Instant::now(), state));
        answers
    }

    fn find_ways(&mut self, servers: &BTreeSet<IpAddr>) -> Result<Ways, KernelError> {
        self.lock_inner().kernel.find_ways(servers)
    }

    fn tune_sysctls(&mut self, mend: bool) -> Vec<SysctlReport> {
        self.lock_inner().kernel.tune_sysctls(mend)
    }
}
