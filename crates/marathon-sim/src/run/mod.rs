//! Makes true what the store wants: starts processes, watches them, checks their health.

mod check;
mod endpoint;
mod process;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::store::Store;

/// What the API, the reconciler and the processes share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// Where the API is, as it tells others.
    pub(crate) url: String,
    store: Mutex<Store>,
    changed: Notify,
}

impl Shared {
    pub(crate) fn new(config: Config, url: String) -> Self {
        let store = Store::new(config.generation, config.agents.clone(), config.time_scale);
        Self { config, url, store: Mutex::new(store), changed: Notify::new() }
    }

    /// The store, to read. Nobody holds it across an await.
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        // Each change leaves the store consistent, so a panic elsewhere does not spoil it.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the store and has the reconciler look at it.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let result = change(&mut self.store());
        self.changed.notify_one();
        result
    }
}

/// Runs until `stop` turns true; then every process is ended and has been waited for.
pub(crate) async fn reconcile(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut tasks = JoinSet::new();
    loop {
        let (jobs, wake) = shared.store().reconcile(Instant::now());
        for job in jobs {
            tasks.spawn(process::run(Arc::clone(&shared), job, stop.clone()));
        }
        let back_off = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.changed.notified() => {}
            () = back_off => {}
            Some(_) = tasks.join_next() => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    while tasks.join_next().await.is_some() {}
}
