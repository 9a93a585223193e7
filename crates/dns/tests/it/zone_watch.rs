//! The zone file under the eyes of the name server: it changes, goes, and comes again.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use dns::{Zone, ZoneWatch};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::client::own_zones;

/// Replaces the file as the agent does.
fn replace_file(path: &Path, records: usize) {
    let lines: String = (0..records).map(|n| format!("name a{n:02} 11.0.0.{n}\n")).collect();
    let text = format!("vipd-zone 1\nzone z\n{lines}end {records}\n");
    let next = path.with_extension("new");
    fs::write(&next, text).unwrap();
    fs::rename(&next, path).unwrap();
}

/// Waits until the zone has this many names.
fn wait_for(zone: &RwLock<Zone>, records: usize) {
    let mut seen = 0;
    for _ in 0..3000 {
        seen = zone.read().unwrap_or_else(PoisonError::into_inner).count_records();
        if seen == records {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{seen} names, not {records}");
}

#[test]
fn the_zone_follows_its_file_and_outlives_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let path = run.join("vipd/zone");
    let zone = Arc::new(RwLock::new(Zone::unknown(&own_zones())));
    let watch = ZoneWatch::open(path.clone(), own_zones()).unwrap();
    let followed = zone.clone();
    std::thread::spawn(move || watch.follow_changes(&followed));

    // Two directories of its path come first, one by one.
    fs::create_dir(&run).unwrap();
    fs::create_dir(run.join("vipd")).unwrap();
    replace_file(&path, 3);
    wait_for(&zone, 3);
    for records in [4, 60, 59] {
        replace_file(&path, records);
        wait_for(&zone, records);
    }
    // One that was cut off is not used.
    fs::write(path.with_extension("new"), "vipd-zone 1\nzone z\nname a 11.0.0.1\n").unwrap();
    fs::rename(path.with_extension("new"), &path).unwrap();
    replace_file(&path, 7);
    wait_for(&zone, 7);

    // As `systemctl stop vipd` and `start` do with the directory.
    fs::remove_dir_all(run.join("vipd")).unwrap();
    fs::create_dir(run.join("vipd")).unwrap();
    assert_eq!(zone.read().unwrap_or_else(PoisonError::into_inner).count_records(), 7);
    replace_file(&path, 8);
    wait_for(&zone, 8);
}

/// Whoever can write the directory has neither another file read nor the reader wait for good.
#[test]
fn only_a_regular_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zone");
    let secret = folder.path().join("secret");
    replace_file(&secret, 5);
    let zone = RwLock::new(Zone::unknown(&own_zones()));
    let mut watch = ZoneWatch::open(path.clone(), own_zones()).unwrap();
    let mut load = || {
        watch.load_zone(&zone);
        zone.read().unwrap_or_else(PoisonError::into_inner).count_records()
    };
    std::os::unix::fs::symlink(&secret, &path).unwrap();
    assert_eq!(load(), 0, "a link");
    fs::remove_file(&path).unwrap();
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert_eq!(load(), 0, "a pipe");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(load(), 0, "a directory");
    fs::remove_dir(&path).unwrap();
    replace_file(&path, 3);
    assert_eq!(load(), 3);
}

/// The log of all threads.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Takes what is logged from now on. A subscriber of one thread alone misses lines whose place in the
    /// source another thread came by first.
    fn start() -> Self {
        let log = Self::default();
        let written = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false);
        let subscriber = subscriber.with_max_level(tracing::Level::WARN);
        subscriber.with_writer(move || written.clone()).init();
        log
    }

    /// Returns the lines that name this file.
    fn lines_of(&self, path: &Path) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let path = path.to_str().unwrap();
        text.lines().filter(|line| line.contains(path)).map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// systemd creates the directory as root's, and gives it to its user a moment later.
#[test]
fn only_a_file_that_stays_unreadable_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("vipd");
    let path = run.join("zone");
    let zone = Arc::new(RwLock::new(Zone::unknown(&own_zones())));
    let mut watch = ZoneWatch::open(path.clone(), own_zones()).unwrap();
    let (followed, log) = (zone.clone(), Log::start());
    let create_closed = || fs::DirBuilder::new().mode(0o000).create(&run).unwrap();
    let open = || fs::set_permissions(&run, Permissions::from_mode(0o700)).unwrap();
    std::thread::spawn(move || {
        // Of this thread: root reads what has no mode at all.
        let mut held = capabilities(None).unwrap();
        let reads_all = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
        held.effective.remove(reads_all);
        set_capabilities(None, held).unwrap();
        watch.load_zone(&followed);
        watch.follow_changes(&followed)
    });

    for records in [1, 2, 3] {
        create_closed();
        std::thread::sleep(Duration::from_millis(50));
        open();
        replace_file(&path, records);
        wait_for(&zone, records);
        fs::remove_dir_all(&run).unwrap();
    }
    assert_eq!(log.lines_of(&path), [""; 0]);

    create_closed();
    for _ in 0..3000 {
        if !log.lines_of(&path).is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let lines = log.lines_of(&path);
    assert!(
        lines[0].contains("can't be used, names answer as before: Permission denied"),
        "{lines:?}"
    );
    open();
    replace_file(&path, 5);
    wait_for(&zone, 5);
}
