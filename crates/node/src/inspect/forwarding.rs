//! IPv6 forwarding, switched on and back. It has a trap: an interface of a node that forwards ignores
//! router advertisements, and loses its address and its default route, unless its `accept_ra` is 2.

use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::folder::{Folder, split_path};

const CONF: &str = "net/ipv6/conf";

/// The largest record that is read: 4096 interfaces with two values each.
const MAX_RECORD: u64 = 512 << 10;

/// Reads whether this network namespace forwards IPv6. `None`: the kernel has no IPv6.
#[must_use]
pub fn read_ipv6_forwarding() -> Option<bool> {
    Ipv6Forwarding::new(PathBuf::new()).is_on()
}

/// IPv6 forwarding of this network namespace, with the file that records how it was before.
#[derive(Debug, Clone)]
pub struct Ipv6Forwarding {
    proc_sys: PathBuf,
    record: PathBuf,
}

impl Ipv6Forwarding {
    /// The record of the packaged set-up. It is gone after a boot, as the values are.
    pub const DEFAULT_RECORD: &str = "/run/vipd-setup/ipv6-forwarding";

    /// Uses a file as the record.
    #[must_use]
    pub fn new(record: PathBuf) -> Self {
        Self { proc_sys: "/proc/sys".into(), record }
    }

    /// Switches forwarding on. Every interface that heeds router advertisements, and every later one,
    /// goes on heeding them. Returns a sentence for each change; none if forwarding was on.
    ///
    /// # Errors
    /// When the record can't be read or written, or a sysctl can't be written. Forwarding isn't switched on
    /// then.
    pub fn turn_on(&self) -> io::Result<Vec<String>> {
        if self.is_on() != Some(false) {
            return Ok(Vec::new());
        }
        let before = self.read_settings()?;
        // Whoever switched forwarding off since the last time left `accept_ra` as vipd had set it: what
        // was recorded then still holds.
        let mut record = self.load_record()?.unwrap_or_default();
        record.retain(|old| self.is_still_set(old));
        let is_new = |it: &&Setting| !record.iter().any(|old| old.is_of_same(it));
        let new: Vec<_> = before.iter().filter(is_new).cloned().collect();
        record.extend(new);
        self.save_record(&record)?;
        let heeding: Vec<_> = before.iter().filter(|it| it.name == "accept_ra").collect();
        for setting in &heeding {
            self.write(&Setting { value: 2, ..(*setting).clone() })?;
        }
        self.write(&Setting::forwarding(1))?;
        let interfaces: Vec<_> = heeding.iter().map(|it| it.interface.as_str()).collect();
        let mut done = Vec::new();
        if !interfaces.is_empty() {
            done.push(format!(
                "net.ipv6.conf.*.accept_ra is 2 now, so that router advertisements still count, on {}",
                interfaces.join(", ")
            ));
        }
        done.push("net.ipv6.conf.all.forwarding is 1 now, was 0".to_owned());
        Ok(done)
    }

    /// Takes back what [`Ipv6Forwarding::turn_on`] did. Returns a sentence if it did anything.
    ///
    /// # Errors
    /// When the record can't be read, or a sysctl can't be written.
    pub fn turn_back(&self) -> io::Result<Option<String>> {
        let Some(before) = self.load_record()? else { return Ok(None) };
        for setting in before.iter().filter(|setting| self.is_still_set(setting)) {
            match self.write(setting) {
                // The interface is gone.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                written => written?,
            }
        }
        fs::remove_file(&self.record)?;
        Ok(Some(
            "net.ipv6.conf.all.forwarding is 0 again, as before `vipd doctor --fix`".to_owned(),
        ))
    }

    /// Returns whether there is a record, so that something may be taken back.
    #[must_use]
    pub fn has_record(&self) -> bool {
        self.record.exists()
    }

    fn is_on(&self) -> Option<bool> {
        Some(self.read("all", "forwarding")? != 0)
    }

    /// Reads what switching forwarding on changes, in the order in which it is written back:
    /// forwarding of all interfaces resets that of each.
    fn read_settings(&self) -> io::Result<Vec<Setting>> {
        let mut settings = vec![Setting::forwarding(0)];
        for entry in fs::read_dir(self.proc_sys.join(CONF))? {
            let Ok(interface) = entry?.file_name().into_string() else { continue };
            if interface == "all" {
                continue;
            }
            // One that forwards heeds advertisements with 2 only: with 1, it doesn't now.
            let name = match self.read(&interface, "forwarding") {
                Some(1) => "forwarding",
                _ if self.read(&interface, "accept_ra") == Some(1) => "accept_ra",
                _ => continue,
            };
            settings.push(Setting { interface, name, value: 1 });
        }
        Ok(settings)
    }

    /// Whether a sysctl is as [`Ipv6Forwarding::turn_on`] has set it. What somebody has set since is theirs.
    fn is_still_set(&self, before: &Setting) -> bool {
        before.name != "accept_ra" || self.read(&before.interface, before.name) == Some(2)
    }

    fn read(&self, interface: &str, name: &str) -> Option<u8> {
        let path = self.proc_sys.join(CONF).join(interface).join(name);
        fs::read_to_string(path).ok()?.trim().parse().ok()
    }

    fn write(&self, setting: &Setting) -> io::Result<()> {
        let path = self.proc_sys.join(CONF).join(&setting.interface).join(setting.name);
        // Without O_CREAT: an interface may be gone.
        fs::OpenOptions::new()
            .write(true)
            .open(path)?
            .write_all(setting.value.to_string().as_bytes())
    }

    fn save_record(&self, settings: &[Setting]) -> io::Result<()> {
        let (folder, name) = split_path(&self.record)?;
        let folder = Folder::create(folder, 0o755)?;
        let new = folder.create_new_file(name, 0o600)?;
        let lines: String = settings.iter().map(|setting| format!("{setting}\n")).collect();
        new.file().write_all(lines.as_bytes())?;
        new.file().set_permissions(Permissions::from_mode(0o600))?;
        new.put_in_place(name)
    }

    /// Reads the record. `None`: there is none.
    fn load_record(&self) -> io::Result<Option<Vec<Setting>>> {
        let (folder, name) = split_path(&self.record)?;
        let text = match Folder::open(folder).and_then(|it| it.read_file(name, MAX_RECORD)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let text = String::from_utf8_lossy(&text);
        let settings: Option<Vec<_>> = text.lines().map(Setting::parse).collect();
        let invalid = || io::Error::new(ErrorKind::InvalidData, "it isn't a record of sysctls");
        settings.map(Some).ok_or_else(invalid)
    }
}

/// A sysctl of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    interface: String,
    name: &'static str,
    value: u8,
}

impl Setting {
    fn forwarding(value: u8) -> Self {
        Self { interface: "all".to_owned(), name: "forwarding", value }
    }

    fn is_of_same(&self, other: &Self) -> bool {
        self.interface == other.interface && self.name == other.name
    }

    /// Parses a line of the record.
    fn parse(line: &str) -> Option<Self> {
        let (path, value) = line.split_once(" = ")?;
        let (interface, name) = path.strip_prefix(CONF)?.strip_prefix('/')?.split_once('/')?;
        let name = ["forwarding", "accept_ra"].into_iter().find(|known| *known == name)?;
        let is_interface = !matches!(interface, "" | "." | "..");
        let value = value.parse().ok().filter(|value| *value <= 2)?;
        is_interface.then(|| Self { interface: interface.to_owned(), name, value })
    }
}

/// Writes a line as sysctl.conf(5) has it.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{CONF}/{}/{} = {}", self.interface, self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a /proc/sys with these values of `INTERFACE/NAME`.
    fn node(values: &[(&str, &str)]) -> (tempfile::TempDir, Ipv6Forwarding) {
        let folder = tempfile::tempdir().unwrap();
        let proc_sys = folder.path().join("sys");
        for (path, value) in values {
            let path = proc_sys.join(CONF).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{value}\n")).unwrap();
        }
        let record = folder.path().join("run/record");
        (folder, Ipv6Forwarding { proc_sys, record })
    }

    const BEFORE: [(&str, &str); 11] = [
        ("all/forwarding", "0"),
        ("all/accept_ra", "1"),
        ("default/forwarding", "0"),
        ("default/accept_ra", "1"),
        ("eth0/forwarding", "0"),
        ("eth0/accept_ra", "1"),
        ("eth3.10/forwarding", "1"),
        ("eth3.10/accept_ra", "2"),
        ("eth4/accept_ra", "0"),
        ("eth5/forwarding", "1"),
        ("eth5/accept_ra", "1"),
    ];

    fn values(of: &Ipv6Forwarding) -> Vec<u8> {
        let read = |(path, _): (&str, &str)| {
            let (interface, name) = path.split_once('/').unwrap();
            of.read(interface, name).unwrap()
        };
        BEFORE.into_iter().map(read).collect()
    }

    #[test]
    fn every_interface_that_heeds_advertisements_still_does_and_later_ones_too() {
        let (_folder, node) = node(&BEFORE);
        let done = node.turn_on().unwrap();
        assert_eq!(done.len(), 2, "{done:?}");
        assert_eq!(values(&node), [1, 1, 0, 2, 0, 2, 1, 2, 0, 1, 1]);
        assert!(node.turn_on().unwrap().is_empty());
    }

    #[test]
    fn it_is_taken_back_once() {
        let (_folder, node) = node(&BEFORE);
        assert_eq!(node.turn_back().unwrap(), None);
        node.turn_on().unwrap();
        // The kernel sets forwarding of each interface with that of all.
        for interface in ["default", "eth0", "eth3.10", "eth5"] {
            node.write(&Setting { interface: interface.into(), ..Setting::forwarding(0) }).unwrap();
        }
        fs::remove_dir_all(node.proc_sys.join(CONF).join("eth4")).unwrap();
        assert!(node.turn_back().unwrap().is_some());
        for (path, value) in BEFORE.iter().filter(|(path, _)| !path.starts_with("eth4")) {
            let (interface, name) = path.split_once('/').unwrap();
            assert_eq!(node.read(interface, name).unwrap().to_string(), *value, "{path}");
        }
        assert_eq!(node.turn_back().unwrap(), None);
    }

    #[test]
    fn what_was_before_the_first_time_is_restored_after_the_second() {
        let (_folder, node) = node(&BEFORE);
        node.turn_on().unwrap();
        // Somebody switches it off, and an interface comes.
        node.write(&Setting::forwarding(0)).unwrap();
        let late = node.proc_sys.join(CONF).join("eth9");
        fs::create_dir_all(&late).unwrap();
        fs::write(late.join("accept_ra"), "1\n").unwrap();
        assert!(!node.turn_on().unwrap().is_empty());
        assert_eq!(node.read("eth9", "accept_ra"), Some(2));
        node.turn_back().unwrap();
        for (interface, value) in [("default", 1), ("eth0", 1), ("eth3.10", 2), ("eth9", 1)] {
            assert_eq!(node.read(interface, "accept_ra"), Some(value), "{interface}");
        }
        assert_eq!(node.is_on(), Some(false));
    }

    #[test]
    fn an_interface_that_somebody_has_set_since_stays_as_it_is() {
        let (_folder, node) = node(&BEFORE);
        node.turn_on().unwrap();
        let set = |value| {
            node.write(&Setting { interface: "eth0".into(), name: "accept_ra", value }).unwrap();
        };
        set(0);
        node.write(&Setting::forwarding(0)).unwrap();
        node.turn_on().unwrap();
        // It is somebody's own 2 by now.
        set(2);
        node.turn_back().unwrap();
        assert_eq!(node.read("eth0", "accept_ra"), Some(2));

        node.turn_on().unwrap();
        node.write(&Setting { interface: "default".into(), name: "accept_ra", value: 0 }).unwrap();
        node.turn_back().unwrap();
        assert_eq!(node.read("default", "accept_ra"), Some(0));
    }

    #[test]
    fn forwarding_that_was_on_is_nobodys_to_take_back() {
        let (_folder, node) = node(&[("all/forwarding", "1"), ("eth0/accept_ra", "1")]);
        assert!(node.turn_on().unwrap().is_empty());
        assert_eq!(node.turn_back().unwrap(), None);
        assert_eq!(node.is_on(), Some(true));
    }

    #[test]
    fn a_record_of_anything_else_writes_nothing() {
        for line in [
            "net/ipv6/conf/../../../kernel/core_pattern = 1",
            "net/ipv6/conf/a/../forwarding = 1",
            "net/ipv6/conf/../forwarding = 1",
            "net/ipv6/conf/eth0/mtu = 1",
            "net/ipv6/conf/eth0/forwarding = 9",
            "kernel/forwarding = 1",
            "",
        ] {
            let (_folder, node) = node(&BEFORE);
            fs::create_dir_all(node.record.parent().unwrap()).unwrap();
            fs::write(&node.record, format!("net/ipv6/conf/all/forwarding = 1\n{line}\n")).unwrap();
            assert!(node.turn_back().is_err(), "{line}");
            assert_eq!(node.is_on(), Some(false), "{line}");
        }
    }

    #[test]
    fn without_a_record_nothing_is_switched_on() {
        let (_folder, mut node) = node(&BEFORE);
        node.record = "/dev/null/record".into();
        assert!(node.turn_on().is_err());
        assert_eq!(node.is_on(), Some(false));
    }

    #[test]
    fn a_kernel_without_ipv6_has_nothing_to_switch_on() {
        let (_folder, empty) = node(&[]);
        assert_eq!(empty.is_on(), None);
        assert!(empty.turn_on().unwrap().is_empty());
    }
}
