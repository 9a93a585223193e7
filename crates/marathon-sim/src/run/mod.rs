//! The reconciler: starts the processes that the store wants, supervises them and checks their
//! health.

mod check;
mod endpoint;
mod imagined;
mod netns;
mod process;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::shared::Shared;

/// Runs until `stop` turns true; then ends every process and waits for it.
pub(crate) async fn run_reconciler(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut tasks = JoinSet::new();
    loop {
        let (jobs, wake) = shared.with_store(|store| store.reconcile(Instant::now()));
        for job in jobs {
            tasks.spawn(process::run_process(Arc::clone(&shared), job, stop.clone()));
        }
        let back_off = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.wait_for_change() => {}
            () = back_off => {}
            Some(_) = tasks.join_next() => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    while tasks.join_next().await.is_some() {}
}
