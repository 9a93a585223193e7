//! Keeps systemd-resolved asking the name server for names in the zones of VIPs.
//!
//! A task of its own, which the event loop never waits for: it is nudged when the kernel has changed,
//! and says whether names are asked for. systemd-resolved forgets the settings of a link with the
//! link, so they are set again whenever the interface was made anew.

use std::future::pending;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use node::folder::{Folder, split_path};
use node::resolved::{LinkDns, Resolved, ResolvedError, find_link};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};
use vip::Observed;

/// The time after which the settings are compared, in case somebody else changed them.
const COMPARE_AFTER: Duration = Duration::from_secs(60);

/// The first pause after a failure, and the longest.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(15)];

/// The longest marker that is read, in bytes. Names of interfaces are shorter.
const MAX_MARKER: u64 = 64;

/// What systemd-resolved is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverConfig {
    /// The interface that holds the VIPs.
    pub interface: String,
    /// The name servers on it, and the zones.
    pub dns: LinkDns,
    /// A file that is there while systemd-resolved may have the settings, with the interface, so that
    /// a later run without this configuration undoes them.
    pub marker: PathBuf,
}

/// The task. It ends with this.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// The address of the name server that the interface must have.
    server: Option<IpAddr>,
    wanted: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Resolver {
    /// Starts the task. `report` is told what prevents it, and `None` when that is over.
    pub(crate) fn start(
        config: ResolverConfig,
        report: impl Fn(Option<String>) + Send + Sync + 'static,
    ) -> Self {
        let (wanted, nudges) = watch::channel(false);
        let server = config.dns.servers.first().map(SocketAddr::ip);
        let keeper = Keeper { config, nudges, link: None, told: None, trouble: None, report };
        Self { server, wanted, task: tokio::spawn(keeper.run()) }
    }

    /// Nudges the task: the kernel has changed to this.
    pub(crate) fn nudge(&self, observed: &Observed) {
        let is_bound = self.server.is_some_and(|server| observed.addresses.contains_key(&server));
        self.wanted.send_replace(is_bound);
    }
}

struct Keeper<R> {
    config: ResolverConfig,
    /// Whether the settings are wanted.
    nudges: watch::Receiver<bool>,
    /// The link that has the settings.
    link: Option<u32>,
    /// The link that systemd-resolved was told of, by this run or an earlier one, and that isn't undone.
    told: Option<u32>,
    /// The last report.
    trouble: Option<String>,
    report: R,
}

impl<R: Fn(Option<String>) + Send + Sync> Keeper<R> {
    async fn run(mut self) {
        self.told = self.find_told().await;
        // Before the first reading nobody knows what is wanted: a restart must not undo anything.
        if self.nudges.changed().await.is_err() {
            return;
        }
        let [shortest, longest] = RETRY_PAUSES;
        let mut pause = shortest;
        loop {
            // Nobody needs the bus before there is a name, or misses it when there is none any more,
            // unless something is to be undone.
            if !*self.nudges.borrow() {
                self.report_trouble(None);
            }
            let awaits = self.told.is_none();
            if self.nudges.wait_for(|wanted| *wanted || !awaits).await.is_err() {
                return;
            }
            let (ended, resolved) = match Resolved::connect().await {
                Err(error) => (Err(error), None),
                Ok(mut resolved) => {
                    (self.keep_link(&mut resolved, &mut pause).await, Some(resolved))
                }
            };
            self.link = None;
            if let Err(error) = &ended
                && *self.nudges.borrow()
            {
                self.report_trouble(Some(error.to_string()));
            }
            if self.told.is_none() && !*self.nudges.borrow() {
                continue;
            }
            let restart = async {
                if let Some(mut resolved) = resolved
                    && resolved.wait_for_restart().await.is_some()
                {
                    return;
                }
                pending::<()>().await;
            };
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(longest),
                () = restart => {}
            }
        }
    }

    fn report_trouble(&mut self, trouble: Option<String>) {
        if self.trouble != trouble {
            self.trouble.clone_from(&trouble);
            (self.report)(trouble);
        }
    }

    /// Finds the link that an earlier run told systemd-resolved of. Undoes what it told of another
    /// interface.
    async fn find_told(&self) -> Option<u32> {
        let interface = read_marker(&self.config.marker).ok()?;
        if interface != self.config.interface {
            undo_earlier(&self.config.marker).await;
            return None;
        }
        find_link(&interface)
    }

    /// Keeps the settings of the link until there is an error. Ends without one when the connection
    /// has ended, or when nothing is wanted and nothing is to be undone.
    async fn keep_link(
        &mut self,
        resolved: &mut Resolved,
        pause: &mut Duration,
    ) -> Result<(), ResolvedError> {
        let mut compare = interval(COMPARE_AFTER);
        compare.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wanted = *self.nudges.borrow_and_update();
            let link = find_link(&self.config.interface).filter(|_| wanted);
            if let Some(before) = self.told.filter(|before| Some(*before) != link) {
                self.link = None;
                match resolved.revert_link(before).await {
                    // A link that was deleted has taken its settings along.
                    Ok(()) | Err(ResolvedError::NoSuchLink) => self.told = None,
                    Err(error) => return Err(error),
                }
            }
            if !wanted && self.told.is_none() {
                return Ok(());
            }
            if let Some(index) = link
                && self.link.is_none()
            {
                match self.set_link(resolved, index).await {
                    // Deleted meanwhile, which the next nudge is about, or not known there yet.
                    Err(ResolvedError::NoSuchLink) => compare.reset(),
                    Err(error) => return Err(error),
                    Ok(()) => {
                        (self.link, self.told) = (link, link);
                        compare.reset();
                        *pause = RETRY_PAUSES[0];
                        self.report_trouble(None);
                    }
                }
            }
            tokio::select! {
                changed = self.nudges.changed() => if changed.is_err() { return Ok(()) },
                restarted = resolved.wait_for_restart() => {
                    self.link = None;
                    if restarted.is_none() {
                        return Ok(());
                    }
                }
                _ = compare.tick(), if link.is_some() => {
                    self.link = self.compare_link(resolved).await?;
                }
            }
        }
    }

    /// Returns the link that has the settings, unless it lost them.
    async fn compare_link(&self, resolved: &Resolved) -> Result<Option<u32>, ResolvedError> {
        let Some(index) = self.link else { return Ok(None) };
        match resolved.read_link(index).await {
            Err(ResolvedError::NoSuchLink) => Ok(None),
            found => Ok((found? == self.config.dns).then_some(index)),
        }
    }

    async fn set_link(&self, resolved: &Resolved, index: u32) -> Result<(), ResolvedError> {
        let ResolverConfig { interface, dns, marker } = &self.config;
        // Before the settings: a run that ends in between must not leave them behind unmarked.
        if let Err(error) = write_marker(marker, interface) {
            tracing::warn!("cannot write {}: {error}", marker.display());
        }
        resolved.set_link(index, dns).await?;
        let zones = dns.zones.join(", ");
        tracing::info!("systemd-resolved asks the name server on {interface} for {zones}");
        Ok(())
    }
}

/// Undoes what an earlier run told systemd-resolved, if there was one that did.
pub(crate) async fn undo_earlier(marker: &Path) {
    let Ok(interface) = read_marker(marker) else { return };
    // A link that was deleted has taken its settings along.
    if let Some(index) = find_link(&interface) {
        let undo = async { Resolved::connect().await?.revert_link(index).await };
        match undo.await {
            Ok(()) => tracing::info!("systemd-resolved no longer asks on {interface}"),
            // The next run tries again.
            Err(error) => {
                let undo = format!("resolvectl revert {interface}");
                return tracing::warn!("`{undo}` must be run by hand: {error}");
            }
        }
    }
    if let Err(error) = remove_marker(marker) {
        tracing::warn!("{} can't be removed: {error}", marker.display());
    }
}

fn remove_marker(marker: &Path) -> io::Result<()> {
    let (folder, name) = split_path(marker)?;
    Folder::open(folder)?.remove_file(name)
}

fn write_marker(marker: &Path, interface: &str) -> io::Result<()> {
    let (folder, name) = split_path(marker)?;
    let folder = Folder::open(folder)?;
    let new = folder.create_new_file(name, 0o600)?;
    new.file().write_all(interface.as_bytes())?;
    new.put_in_place(name)
}

fn read_marker(marker: &Path) -> io::Result<String> {
    let (folder, name) = split_path(marker)?;
    let interface = Folder::open(folder)?.read_file(name, MAX_MARKER)?;
    String::from_utf8(interface).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_as_written_and_leads_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let marker = folder.path().join("resolved");
        assert!(read_marker(&marker).is_err());
        write_marker(&marker, "longer0").unwrap();
        write_marker(&marker, "vipd0").unwrap();
        assert_eq!(read_marker(&marker).unwrap(), "vipd0");

        let other = folder.path().join("other");
        std::fs::write(&other, "secret").unwrap();
        std::fs::remove_file(&marker).unwrap();
        std::os::unix::fs::symlink(&other, &marker).unwrap();
        assert!(read_marker(&marker).is_err());
        assert!(write_marker(&marker, "vipd0").is_err());
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "secret");
    }
}
