use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use super::*;

const BOB: u32 = 4711;
const ALICE: u32 = 4712;

/// A directory, and a file elsewhere that nobody may touch.
struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("run")).unwrap();
        fs::write(root.path().join("victim"), "precious").unwrap();
        Self { root }
    }

    fn run(&self) -> PathBuf {
        self.root.path().join("run")
    }

    fn folder(&self) -> Folder {
        Folder::open(&self.run()).unwrap()
    }

    /// Gives the directory to another user. `false`: this process may not.
    fn give_to_bob(&self) -> bool {
        let given = chown(self.run(), Some(BOB), Some(BOB)).is_ok();
        if !given {
            eprintln!("not root: a directory can't be given away");
        }
        given
    }

    fn assert_untouched(&self) {
        let victim = self.root.path().join("victim");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(victim.metadata().unwrap().uid(), rustix::process::geteuid().as_raw());
    }
}

fn name(name: &str) -> &OsStr {
    OsStr::new(name)
}

#[test]
fn only_a_regular_file_with_one_name_is_opened() {
    let place = Place::new();
    let (run, victim) = (place.run(), place.root.path().join("victim"));
    symlink(&victim, run.join("link")).unwrap();
    symlink(place.root.path().join("missing"), run.join("dangling")).unwrap();
    fs::hard_link(&victim, run.join("hard")).unwrap();
    fs::create_dir(run.join("directory")).unwrap();
    nix::unistd::mkfifo(&run.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _listener = UnixListener::bind(run.join("socket")).unwrap();
    let folder = place.folder();
    for (each, why) in [
        ("link", "symbolic link"),
        ("dangling", "symbolic link"),
        ("hard", "hard links"),
        ("directory", "irectory"),
        ("fifo", "FIFO"),
        ("socket", "not a regular file"),
    ] {
        for access in [Access::Read, Access::ReadWrite] {
            let error = folder.open_file(name(each), access).unwrap_err().to_string();
            assert!(error.contains(why), "{each}: {error}");
        }
        assert!(folder.open_or_create(name(each), 0o600).is_err(), "{each}");
        let new = folder.create_new_file(name(each), 0o600).unwrap();
        assert!(new.put_in_place(name(each)).is_err(), "{each}");
    }
    assert!(!place.root.path().join("missing").exists());
    assert_eq!(fs::read_dir(&run).unwrap().count(), 6);
    place.assert_untouched();
}

#[test]
fn a_file_of_a_third_user_is_not_opened() {
    let place = Place::new();
    if !place.give_to_bob() {
        return;
    }
    let folder = place.folder();
    for (uid, is_opened) in [(0, true), (BOB, true), (ALICE, false)] {
        let file = place.run().join("file");
        fs::write(&file, "").unwrap();
        chown(&file, Some(uid), None).unwrap();
        assert_eq!(folder.open_or_create(name("file"), 0o600).is_ok(), is_opened, "{uid}");
        let new = folder.create_new_file(name("file"), 0o600).unwrap();
        assert_eq!(new.put_in_place(name("file")).is_ok(), is_opened, "{uid}");
    }
}

#[test]
fn only_a_new_file_is_given_to_the_owner_of_the_directory() {
    let place = Place::new();
    if !place.give_to_bob() {
        return;
    }
    let old = place.run().join("old");
    fs::write(&old, "").unwrap();
    drop(place.folder().open_or_create(name("old"), 0o600).unwrap());
    assert_eq!(old.metadata().unwrap().uid(), 0);
    drop(place.folder().open_or_create(name("new"), 0o600).unwrap());
    let new = place.run().join("new").metadata().unwrap();
    assert_eq!((new.uid(), new.gid(), new.mode() & 0o7777), (BOB, BOB, 0o600));
}

#[test]
fn a_link_on_the_way_is_followed_only_if_nobody_else_can_have_made_it() {
    let place = Place::new();
    let (run, elsewhere) = (place.run(), place.root.path().join("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, run.join("link")).unwrap();
    let of_link = |folder: Folder| FileId::of_file(&folder.fd).unwrap().inode();
    let inode = elsewhere.metadata().unwrap().ino();
    assert_eq!(of_link(Folder::open(&run.join("link")).unwrap()), inode);
    assert!(open_named_file(&run.join("link/../victim")).is_ok());
    if !place.give_to_bob() {
        return;
    }
    for path in ["link", "link/deeper", "link/.."] {
        let error = Folder::create(&run.join(path), 0o700).unwrap_err().to_string();
        assert!(error.contains("link of another user"), "{path}: {error}");
    }
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    // Nor one of another user in a directory of root's, as in /tmp.
    chown(&run, Some(0), Some(0)).unwrap();
    fs::set_permissions(&run, fs::Permissions::from_mode(0o1777)).unwrap();
    std::os::unix::fs::lchown(run.join("link"), Some(BOB), None).unwrap();
    assert!(Folder::open(&run.join("link")).is_err());
}

#[test]
fn a_regular_file_is_opened_through_a_link_and_nothing_else_is_waited_for() {
    let place = Place::new();
    let (link, victim) = (place.run().join("link"), place.root.path().join("victim"));
    symlink(&victim, &link).unwrap();
    assert!(open_regular_file(&link).is_ok());
    let fifo = place.run().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (path, kind) in [(fifo.as_path(), "a FIFO"), (Path::new("/dev/zero"), "a device")] {
        let error = open_regular_file(path).unwrap_err().to_string();
        assert_eq!(error, format!("is {kind}, not a regular file"));
    }
    assert!(open_regular_file(&place.run()).is_err(), "a directory");
}

#[test]
fn what_a_person_names_may_be_a_link_or_a_pipe_but_not_one_of_another_user() {
    let place = Place::new();
    let (link, victim) = (place.run().join("link"), place.root.path().join("victim"));
    symlink(&victim, &link).unwrap();
    assert!(open_named_file(&link).is_ok());
    assert!(open_named_file(Path::new("/dev/null")).is_ok());
    assert!(open_named_file(Path::new("..")).is_err());
    let missing = open_named_file(&place.run().join("missing/file")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    if place.give_to_bob() {
        assert!(open_named_file(&link).is_err());
        let fifo = place.run().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        chown(&fifo, Some(BOB), None).unwrap();
        assert!(open_named_file(&fifo).is_err());
    }
}

#[test]
fn a_new_file_is_whole_in_its_place_or_nowhere() {
    let place = Place::new();
    let folder = Folder::create(&place.run().join("a/b"), 0o700).unwrap();
    for text in ["one", "two"] {
        let first = folder.create_new_file(name("file"), 0o600).unwrap();
        let second = folder.create_new_file(name("file"), 0o600).unwrap();
        first.file().write_all(text.as_bytes()).unwrap();
        drop(second);
        first.put_in_place(name("file")).unwrap();
        folder.sync().unwrap();
        assert_eq!(folder.read_file(name("file"), 3).unwrap(), text.as_bytes());
    }
    assert_eq!(folder.read_file(name("file"), 2).unwrap_err().kind(), ErrorKind::FileTooLarge);
    std::mem::forget(folder.create_new_file(name("file"), 0o600).unwrap());
    fs::write(place.run().join("a/b/foreign.new"), "").unwrap();
    let count = || fs::read_dir(place.run().join("a/b")).unwrap().count();
    assert_eq!(count(), 3);
    folder.remove_leftovers(&[]).unwrap();
    assert_eq!(count(), 2);
}

#[test]
fn only_new_files_of_the_names_are_left_over() {
    let place = Place::new();
    let folder = place.folder();
    for each in ["hold", "zone", "other"] {
        std::mem::forget(folder.create_new_file(name(each), 0o600).unwrap());
    }
    folder.remove_leftovers(&["hold", "zone"]).unwrap();
    let left = fs::read_dir(place.run()).unwrap().map(|each| each.unwrap().file_name());
    let left: Vec<_> = left.map(|name| name.to_string_lossy().into_owned()).collect();
    assert!(left.len() == 1 && left[0].starts_with("other."), "{left:?}");
}

/// A password that only the agent's user may read lies in a directory of root's.
#[test]
fn a_named_file_of_another_user_is_read_and_no_other_is() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    let path = place.run().join("password");
    fs::write(&path, "secret").unwrap();
    std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
    assert_eq!(std::io::read_to_string(open_named_file(&path).unwrap()).unwrap(), "secret");
    let folder = Folder::open(&place.run()).unwrap();
    assert!(folder.open_file(name("password"), Access::ReadWrite).is_err());
    fs::hard_link(&path, place.run().join("again")).unwrap();
    assert!(open_named_file(&path).is_err());
}

#[test]
fn only_a_socket_is_found_as_one() {
    let place = Place::new();
    let folder = place.folder();
    assert!(folder.find_socket(name("socket")).unwrap().is_none());
    let _listener = UnixListener::bind(place.run().join("socket")).unwrap();
    let socket = folder.find_socket(name("socket")).unwrap().unwrap();
    assert_eq!(socket.id(), folder.identify(name("socket")).unwrap());
    std::os::unix::net::UnixStream::connect(socket.connect_path()).unwrap();
    symlink(place.run().join("socket"), place.run().join("link")).unwrap();
    fs::write(place.run().join("file"), "").unwrap();
    for (each, why) in [("link", "a symbolic link, not"), ("file", "a regular file, not")] {
        let error = folder.find_socket(name(each)).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}
