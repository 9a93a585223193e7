//! Reading files as another user, to learn what that one may read.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Uid, geteuid, setfsgid, setfsuid};

/// While it lives, this thread opens files with the rights of another user. Linux takes the capabilities
/// over files from a thread of root that gives up root's `fsuid` (`setfsuid(2)`, `capabilities(7)`).
#[derive(Debug)]
pub(super) struct FileUser {
    uid: Uid,
    before: (Uid, Gid),
}

impl FileUser {
    /// Becomes the owner of a directory. None: that is root, or this process isn't, or there is none.
    pub(super) fn owner_of(folder: &Path) -> Option<Self> {
        let owner = fs::metadata(folder).ok()?;
        if !geteuid().is_root() || owner.uid() == 0 {
            return None;
        }
        let (uid, gid) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
        // The group first: only root may change it.
        let gid_before = setfsgid(gid);
        let uid_before = setfsuid(uid);
        Some(Self { uid, before: (uid_before, gid_before) })
    }

    /// Returns the user's number.
    pub(super) fn uid(&self) -> Uid {
        self.uid
    }
}

impl Drop for FileUser {
    fn drop(&mut self) {
        let (uid, gid) = self.before;
        setfsuid(uid);
        setfsgid(gid);
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;

    #[test]
    fn files_are_read_as_the_owner_of_a_directory_for_a_while() {
        if !geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (state, secret) = (folder.path().join("state"), folder.path().join("secret"));
        fs::create_dir(&state).unwrap();
        fs::write(&secret, "s").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(FileUser::owner_of(&state).is_none(), "root's");
        assert!(FileUser::owner_of(&folder.path().join("none")).is_none());
        chown(&state, Some(54321), Some(54322)).unwrap();
        let user = FileUser::owner_of(&state).unwrap();
        assert_eq!(user.uid().as_raw(), 54321);
        assert_eq!(fs::read(&secret).unwrap_err().kind(), ErrorKind::PermissionDenied);
        drop(user);
        assert!(fs::read(&secret).is_ok());
        chown(&secret, None, Some(54322)).unwrap();
        let user = FileUser::owner_of(&state).unwrap();
        assert!(fs::read(&secret).is_ok(), "by its group");
        drop(user);
    }
}
