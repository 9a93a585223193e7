//! What the agent does when its lock file is gone.

use std::path::Path;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use anyhow::Result;
use node::{Lock, LockError};

/// The time between two looks at the lock file.
const CHECK: Duration = Duration::from_millis(500);

/// The same once a configuration was refused, which takes a while to check.
const CHECK_AGAIN: Duration = Duration::from_secs(10);

/// The lock of the agent, which can be taken anew.
#[derive(Debug)]
pub(super) struct AgentLock(RwLock<Lock>);

impl AgentLock {
    /// Takes over the lock of the program before this one in the same process, or takes it.
    pub(super) fn take_over(path: &Path) -> Result<Self, LockError> {
        Ok(Self(RwLock::new(Lock::take_over(path)?)))
    }

    /// Returns whether the file at its path is still the one that is held.
    pub(super) fn is_in_place(&self) -> bool {
        self.with(Lock::is_in_place)
    }

    /// Leaves the lock to the program that this process executes next.
    pub(super) fn hand_over(&self) -> std::io::Result<()> {
        self.with(Lock::hand_over)
    }

    fn is_lost(&self) -> bool {
        self.with(Lock::is_lost)
    }

    /// Takes the lock at its path in the place of the one whose file is gone.
    fn retake(&self, path: &Path) -> Result<(), LockError> {
        let taken = Lock::take(path)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = taken;
        Ok(())
    }

    fn with<T>(&self, ask: impl FnOnce(&Lock) -> T) -> T {
        ask(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Waits until the lock file at a path is gone or replaced, as with the directory that it is in: then
/// another process may take a lock too, and the socket is gone as well. The agent starts again then, once
/// it has kept its hold, and only with a configuration that a reload would take. Until there is one, it
/// goes on as it is, with a new lock if it can have one.
pub(super) async fn wait_for_lost_lock(
    lock: &AgentLock,
    path: &Path,
    save_hold: impl Fn() -> Result<(), String>,
    check_config: impl AsyncFn() -> Result<()>,
    tell_refused: impl AsyncFn(anyhow::Error),
) {
    let mut told = String::new();
    // Each look finds the same.
    let mut is_news = |what: String| {
        let is_news = what != told;
        if is_news {
            tracing::error!("the lock file {} was removed or replaced, {what}", path.display());
        }
        told = what;
        is_news
    };
    let mut pause = CHECK;
    loop {
        tokio::time::sleep(pause).await;
        if !lock.is_lost() {
            continue;
        }
        // A held agent changes nothing, so it does no harm.
        if let Err(error) = save_hold() {
            is_news(format!(
                "and the hold can't be saved anew, so the agent goes on, held: {error}"
            ));
            continue;
        }
        let Err(error) = check_config().await else {
            tracing::warn!("the lock file {} is gone: starting again", path.display());
            return;
        };
        pause = CHECK_AGAIN;
        let why = format!("{error:#}");
        let is_news = match lock.retake(path) {
            Ok(()) => is_news(format!(
                "and the agent doesn't start again with a configuration that a reload refuses, so it has \
                 taken the lock anew; if its socket is gone too, mend the configuration and reload: {why}"
            )),
            Err(error) => is_news(format!(
                "and the agent can't start again with a configuration that a reload refuses, nor take the \
                 lock anew ({error}), so it changes nothing until one of them is mended: {why}"
            )),
        };
        if is_news {
            tell_refused(error).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use anyhow::bail;
    use tokio::time::timeout;

    use super::*;

    /// One whose configuration is as good as told, and which notes what it tells.
    struct Agent {
        path: std::path::PathBuf,
        lock: AgentLock,
        is_valid: Cell<bool>,
        told: RefCell<Vec<String>>,
    }

    impl Agent {
        fn new(folder: &Path) -> Self {
            let path = folder.join("run/lock");
            let lock = AgentLock::take_over(&path).unwrap();
            Self { path, lock, is_valid: Cell::new(false), told: RefCell::default() }
        }

        /// Waits for a while. Returns whether the agent starts again.
        async fn starts_again(&self) -> bool {
            let check = async || match self.is_valid.get() {
                true => Ok(()),
                false => bail!("4 of 4 VIPs would be refused"),
            };
            let tell = async |error: anyhow::Error| self.told.borrow_mut().push(error.to_string());
            let waited = wait_for_lost_lock(&self.lock, &self.path, || Ok(()), check, tell);
            timeout(3 * CHECK, waited).await.is_ok()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_reload_refused_is_not_taken_for_want_of_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let agent = Agent::new(folder.path());
        assert!(!agent.starts_again().await);
        std::fs::remove_file(&agent.path).unwrap();
        assert!(!agent.starts_again().await && agent.lock.is_in_place());
        assert_eq!(*agent.told.borrow(), ["4 of 4 VIPs would be refused"]);
        // With its directory, where another file is in the way.
        std::fs::remove_dir_all(folder.path().join("run")).unwrap();
        std::fs::write(folder.path().join("run"), "").unwrap();
        assert!(!agent.starts_again().await && !agent.lock.is_in_place());
        std::fs::remove_file(folder.path().join("run")).unwrap();
        assert!(!agent.starts_again().await && agent.lock.is_in_place());
        // It counts once it is valid.
        std::fs::remove_file(&agent.path).unwrap();
        agent.is_valid.set(true);
        assert!(agent.starts_again().await);
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_whose_hold_is_nowhere_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let agent = Agent::new(folder.path());
        std::fs::remove_file(&agent.path).unwrap();
        let save = || Err("read-only".to_owned());
        let waited =
            wait_for_lost_lock(&agent.lock, &agent.path, save, async || Ok(()), async |_| {});
        assert!(timeout(3 * CHECK, waited).await.is_err());
    }
}
