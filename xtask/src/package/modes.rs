//! Modes of the files of a package, whatever the umask of who makes it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

/// Lets everybody read what is in a folder and the folder itself, and its owner alone write.
pub(super) fn set_modes(folder: &Path) -> Result<()> {
    set_mode(folder, 0o755)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            set_modes(&entry.path())?;
        } else if kind.is_file() {
            let is_program = entry.metadata()?.permissions().mode() & 0o100 != 0;
            set_mode(&entry.path(), if is_program { 0o755 } else { 0o644 })?;
        }
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the mode of {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_do_not_depend_on_who_made_the_files() {
        let folder = std::env::temp_dir().join(format!("xtask-modes-{}", std::process::id()));
        let inner = folder.join("inner");
        fs::create_dir_all(&inner).unwrap();
        let cases = [("text", 0o664, 0o644), ("secret", 0o600, 0o644), ("program", 0o775, 0o755)];
        for (name, made, _) in cases {
            fs::write(inner.join(name), "").unwrap();
            set_mode(&inner.join(name), made).unwrap();
        }
        set_mode(&inner, 0o2775).unwrap();
        set_modes(&folder).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&folder), mode(&inner)), (0o755, 0o755));
        for (name, _, set) in cases {
            assert_eq!(mode(&inner.join(name)), set, "{name}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
