//! Imagined tasks, for tests: they have no process, and a test decides their fate.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Fate of an imagined task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fate {
    /// All checks pass.
    #[default]
    Well,
    /// All checks fail.
    Ill,
    /// The task ends by itself.
    Over,
}

/// The living imagined tasks, by id.
#[derive(Debug, Default)]
pub(crate) struct Imagined(Mutex<BTreeMap<String, watch::Sender<Fate>>>);

impl Imagined {
    fn lock_tasks(&self) -> MutexGuard<'_, BTreeMap<String, watch::Sender<Fate>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_fate(&self, task: &str, fate: Fate) {
        if let Some(known) = self.lock_tasks().get(task) {
            known.send_replace(fate);
        }
    }

    /// Adds a task that is well, and returns the fate that it has to follow.
    pub(crate) fn insert(&self, task: &str) -> watch::Receiver<Fate> {
        let (sender, fate) = watch::channel(Fate::Well);
        self.lock_tasks().insert(task.to_owned(), sender);
        fate
    }

    pub(crate) fn remove(&self, task: &str) {
        self.lock_tasks().remove(task);
    }
}
