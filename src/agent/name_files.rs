//! The files of the names: the zone file that the name server reads, and the state file by which a
//! name keeps its address over a restart.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dns::ZoneFile;
use node::error_chain;
use serde::{Deserialize, Serialize};
use vip::naming::NameFacts;

use super::state_file::StateFiles;
use crate::clock::Timestamp;

/// The mode of the zone file: the name server is of vipd's group.
const ZONE_MODE: u32 = 0o640;

/// The pause before files that could not be written are written again.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

/// The names as of a moment.
#[derive(Debug, Clone, Default)]
pub struct NamesUpdate {
    /// What the name server answers; `None` while nothing is known.
    pub zone: Option<ZoneFile>,
    /// What a later run should know.
    pub saved: Option<SavedNames>,
}

/// The content of the state file of the names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SavedNames {
    /// The time at which they were saved.
    saved_at: Timestamp,
    /// The names.
    names: Vec<NameFacts>,
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

impl SavedNames {
    pub(crate) fn new(names: Vec<NameFacts>, saved_at: Timestamp) -> Self {
        Self { saved_at, names }
    }

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
        self.mailbox.lock_content().latest = Some(Box::new(update));
        self.mailbox.changed.notify_one();
    }

    /// Waits until the last update is written, or was tried to be.
    pub(crate) fn finish(&mut self) {
        self.mailbox.lock_content().is_closed = true;
        self.mailbox.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An agent that is dropped leaves no thread behind.
impl Drop for NameFiles {
    fn drop(&mut self) {
        self.finish();
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
        content.latest.take().or(unwritten.filter(|_| !is_closed))
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
    is_written
}

/// Replaces the zone file. It lies in memory (`/run`), so nothing is synchronized.
pub(crate) fn write_zone(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let options =
        OpenOptions::new().write(true).create(true).truncate(true).mode(ZONE_MODE).clone();
    let mut file = options.open(&temporary)?;
    // The unit's umask takes the group's right to read away.
    file.set_permissions(Permissions::from_mode(ZONE_MODE))?;
    file.write_all(text.as_bytes())?;
    drop(file);
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
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
            let saved = Some(SavedNames::new(Vec::new(), Timestamp::now()));
            files.send_update(NamesUpdate { zone: Some(zone), saved });
        }
        files.finish();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(ZoneFile::parse(&text).unwrap().zones, ["zone2.example"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        let parse = |json: &[u8]| serde_json::from_slice::<SavedNames>(json);
        assert!(states.load_names(parse).unwrap().is_some());
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
        let saved = SavedNames::new(vec![facts], at("2026-11-23T04:00:00Z"));
        let later = saved.clone().names_at(at("2026-11-23T04:00:02Z"));
        assert_eq!((later[0].age_ms, later[0].kept_ms), (3000, Some(3000)));
        // A clock that was set back prolongs, and never wraps.
        let before = saved.names_at(at("2026-11-23T03:00:00Z"));
        assert_eq!((before[0].age_ms, before[0].kept_ms), (1000, Some(5000)));
    }
}
