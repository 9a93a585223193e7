//! The files of the names: the zone file that the name server reads, and the state file by which a
//! name keeps its address over a restart.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::{self, ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dns::ZoneFile;
use node::error_chain;
use node::folder::{Folder, split_path};
use serde::{Deserialize, Serialize};
use vip::naming::NameFacts;

use super::state_file::StateFiles;
use super::stopping::{PATIENCE, join_until};
use crate::clock::Timestamp;

/// The mode of the zone file: the name server is of vipd's group.
const ZONE_MODE: u32 = 0o640;

/// The largest zone file that is looked at before it is replaced.
const MAX_ZONE: u64 = 512 << 20;

/// The pause before files that could not be written are written again.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

/// The names as of a moment.
#[derive(Debug, Clone, Default)]
pub struct NamesUpdate {
    /// What the name server answers; `None` while nothing is known.
    pub zone: Option<ZoneFile>,
    /// What a later run should know; `None` while nothing is, or that is as it was.
    pub saved: Option<SavedNames>,
    /// The addresses that serve, with and without names.
    pub served: Option<BTreeSet<IpAddr>>,
}

/// The content of the state file of the names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SavedNames {
    /// The time at which they were saved.
    pub(crate) saved_at: Timestamp,
    /// The names.
    pub(crate) names: Vec<NameFacts>,
}

/// A thread that writes the latest update, so that no other waits for the disk.
#[derive(Debug)]
pub(crate) struct NameFiles {
    mailbox: Arc<Mailbox>,
    thread: Option<JoinHandle<()>>,
}

/// Holds the latest update for the thread.
#[derive(Debug, Default)]
struct Mailbox {
    content: Mutex<Content>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Content {
    latest: Option<Box<NamesUpdate>>,
    is_closed: bool,
}

impl NamesUpdate {
    /// Tells whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { zone, saved, served } = self;
        zone.is_none() && saved.is_none() && served.is_none()
    }

    /// Keeps what an earlier update has, that isn't written yet, and this one lacks.
    fn after(mut self, before: Option<Box<Self>>) -> Self {
        if let Some(before) = before {
            self.zone = self.zone.or(before.zone);
            self.saved = self.saved.or(before.saved);
            self.served = self.served.or(before.served);
        }
        self
    }
}

impl SavedNames {
    /// Returns the names as of now: the time that an address is still kept has gone on meanwhile.
    pub(crate) fn names_at(self, now: Timestamp) -> Vec<NameFacts> {
        let passed = Duration::try_from(now.duration_since(self.saved_at)).unwrap_or_default();
        let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        let mut names = self.names;
        for facts in &mut names {
            facts.age_ms = facts.age_ms.saturating_add(passed);
            facts.kept_ms = facts.kept_ms.map(|left| left.saturating_sub(passed));
        }
        names
    }
}

impl NameFiles {
    /// Starts the thread. Without `zone` no zone file is written, without `state_files` no state.
    pub(crate) fn start(
        zone: Option<PathBuf>,
        state_files: Option<Arc<StateFiles>>,
    ) -> io::Result<Self> {
        let mailbox = Arc::new(Mailbox::default());
        let taken = mailbox.clone();
        let write = move || {
            let mut unwritten = None;
            while let Some(update) = taken.take_update(unwritten.take()) {
                let is_written = write_update(&update, zone.as_deref(), state_files.as_deref());
                unwritten = (!is_written).then_some(update);
            }
        };
        let thread = thread::Builder::new().name("names".into()).spawn(write)?;
        Ok(Self { mailbox, thread: Some(thread) })
    }

    /// Has an update written, in place of an earlier one that isn't yet.
    pub(crate) fn send_update(&self, update: NamesUpdate) {
        let mut content = self.mailbox.lock_content();
        content.latest = Some(Box::new(update.after(content.latest.take())));
        drop(content);
        self.mailbox.changed.notify_one();
    }

    /// Waits until the last update is written, or was tried to be, or until `deadline`.
    pub(crate) fn finish(&mut self, deadline: Instant) {
        self.mailbox.lock_content().is_closed = true;
        self.mailbox.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && !join_until(thread, deadline)
        {
            tracing::warn!("the disk is slow: stops before the names are saved");
        }
    }
}

/// An agent that is dropped leaves no thread behind.
impl Drop for NameFiles {
    fn drop(&mut self) {
        self.finish(Instant::now() + PATIENCE);
    }
}

impl Mailbox {
    /// Waits for the next update. One that could not be written is due again after a pause. `None` at
    /// the end.
    fn take_update(&self, unwritten: Option<Box<NamesUpdate>>) -> Option<Box<NamesUpdate>> {
        let is_waiting = |content: &mut Content| content.latest.is_none() && !content.is_closed;
        let content = self.lock_content();
        let mut content = match unwritten {
            None => {
                self.changed.wait_while(content, is_waiting).unwrap_or_else(PoisonError::into_inner)
            }
            Some(_) => {
                let waited = self.changed.wait_timeout_while(content, RETRY_PAUSE, is_waiting);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        let is_closed = content.is_closed;
        match content.latest.take() {
            Some(latest) => Some(Box::new(latest.after(unwritten))),
            None => unwritten.filter(|_| !is_closed),
        }
    }

    fn lock_content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes an update. Returns whether all of it was written.
fn write_update(
    update: &NamesUpdate,
    zone: Option<&Path>,
    state_files: Option<&StateFiles>,
) -> bool {
    let mut is_written = true;
    if let (Some(path), Some(zone)) = (zone, &update.zone)
        && let Err(error) = write_zone(path, &zone.render())
    {
        let error = error_chain(&error);
        tracing::warn!("the zone file {} can't be written: {error}", path.display());
        is_written = false;
    }
    if let (Some(files), Some(saved)) = (state_files, &update.saved)
        && let Err(error) = files.save_names(saved)
    {
        tracing::warn!("the state file of names can't be written: {}", error_chain(&error));
        is_written = false;
    }
    if let (Some(files), Some(served)) = (state_files, &update.served)
        && let Err(error) = files.save_served(served)
    {
        let error = error_chain(&error);
        tracing::warn!("the state file of addresses that serve can't be written: {error}");
        is_written = false;
    }
    is_written
}

/// Replaces the zone file, but no file of something else. It lies in memory (`/run`), so nothing is
/// synchronized.
pub(crate) fn write_zone(path: &Path, text: &str) -> io::Result<()> {
    let (folder, name) = split_path(path)?;
    let folder = Folder::open(folder)?;
    match folder.read_file(name, MAX_ZONE) {
        Ok(before) if !ZoneFile::has_header(&before) => {
            return Err(io::Error::other("the file is there and is not a zone file of vipd"));
        }
        // One that root's run left can't be read, but it is replaced like any other.
        Err(error)
            if ![ErrorKind::NotFound, ErrorKind::PermissionDenied].contains(&error.kind()) =>
        {
            return Err(error);
        }
        _ => {}
    }
    let new = folder.create_new_file(name, ZONE_MODE)?;
    // The unit's umask takes the group's right to read away.
    new.file().set_permissions(Permissions::from_mode(ZONE_MODE))?;
    new.file().write_all(text.as_bytes())?;
    new.put_in_place(name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_last_update_is_written_before_the_thread_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zone");
        let states = Arc::new(StateFiles::new(folder.path().join("state")));
        let mut files = NameFiles::start(Some(path.clone()), Some(states.clone())).unwrap();
        for number in 0..3 {
            let mut zone = ZoneFile::default();
            zone.zones.push(format!("zone{number}.example"));
            let saved = Some(SavedNames { saved_at: Timestamp::now(), names: Vec::new() });
            let served = Some([[3, 3, 0, 6].into()].into());
            files.send_update(NamesUpdate { zone: Some(zone), saved, served });
        }
        files.finish(Instant::now() + PATIENCE);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(ZoneFile::parse(&text).unwrap().zones, ["zone2.example"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        let parse = |json: &[u8]| serde_json::from_slice::<SavedNames>(json);
        assert!(states.load_names(parse).unwrap().is_some());
        assert_eq!(states.load_served().unwrap(), [IpAddr::from([3, 3, 0, 6])].into());
    }

    #[test]
    fn a_file_of_something_else_is_not_replaced_by_the_zone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zone");
        let zone = ZoneFile::default().render();
        for _ in 0..2 {
            write_zone(&path, &zone).unwrap();
        }
        fs::write(&path, "zone \"example\" {}").unwrap();
        assert!(write_zone(&path, &zone).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "zone \"example\" {}");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(write_zone(&link, &zone).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn an_update_of_tasks_alone_loses_nothing_that_is_not_written_yet() {
        let mailbox = Mailbox::default();
        let files = NameFiles { mailbox: Arc::new(mailbox), thread: None };
        let (saved_at, names) = (Timestamp::now(), Vec::new());
        let saved = || Some(SavedNames { saved_at, names: names.clone() });
        files.send_update(NamesUpdate {
            zone: Some(ZoneFile::default()),
            saved: saved(),
            served: None,
        });
        files
            .send_update(NamesUpdate { zone: Some(ZoneFile::default()), ..NamesUpdate::default() });
        let taken = files.mailbox.take_update(None).unwrap();
        assert!(taken.saved.is_some());
        // Nor one that could not be written.
        files
            .send_update(NamesUpdate { zone: Some(ZoneFile::default()), ..NamesUpdate::default() });
        assert!(files.mailbox.take_update(Some(taken)).unwrap().saved.is_some());
    }

    #[test]
    fn the_time_that_an_address_is_kept_goes_on_while_no_agent_runs() {
        let facts = NameFacts {
            name: "mysql.marathon".parse().unwrap(),
            addresses: [[11, 1, 2, 3].into()].into(),
            pinned: [].into(),
            choice: vip::naming::Choice::Hash,
            apps: Vec::new(),
            age_ms: 1000,
            kept_ms: Some(5000),
        };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let saved_at = at("2026-11-23T04:00:00Z");
        let saved = SavedNames { saved_at, names: vec![facts] };
        let later = saved.clone().names_at(at("2026-11-23T04:00:02Z"));
        assert_eq!((later[0].age_ms, later[0].kept_ms), (3000, Some(3000)));
        // A clock that was set back prolongs, and never wraps.
        let before = saved.names_at(at("2026-11-23T03:00:00Z"));
        assert_eq!((before[0].age_ms, before[0].kept_ms), (1000, Some(5000)));
    }
}
