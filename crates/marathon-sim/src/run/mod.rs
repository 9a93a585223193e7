//! Makes true what the store wants: starts processes, watches them, checks their health.

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

/// Runs until `stop` turns true; then every process is ended and has been waited for.
pub(crate) async fn reconcile(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut tasks = JoinSet::new();
    loop {
        let (jobs, wake) = shared.with(|store| store.reconcile(Instant::now()));
        for job in jobs {
            tasks.spawn(process::run(Arc::clone(&shared), job, stop.clone()));
        }
        let back_off = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.changed() => {}
            () = back_off => {}
            Some(_) = tasks.join_next() => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    while tasks.join_next().await.is_some() {}
}
