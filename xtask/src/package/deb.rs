//! The Debian package: a tree of files and its control files, packed by `dpkg-deb`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::Workspace;
use crate::tools::{self, output_of};

/// Files of this repository, with the paths at which they are installed.
const FILES: &[(&str, &str)] = &[
    ("deploy/vipd.toml", "etc/vipd/vipd.toml"),
    ("deploy/vipd.schema.json", "usr/share/vipd/vipd.schema.json"),
    ("deploy/systemd/vipd.service", "lib/systemd/system/vipd.service"),
    ("deploy/systemd/vipd-setup.service", "lib/systemd/system/vipd-setup.service"),
    ("deploy/systemd/vipd-dns.service", "lib/systemd/system/vipd-dns.service"),
    ("deploy/systemd/vipd-relay.service", "lib/systemd/system/vipd-relay.service"),
    ("deploy/systemd/vipd-dns.socket", "lib/systemd/system/vipd-dns.socket"),
    ("deploy/systemd/modules-load.conf", "usr/lib/modules-load.d/vipd.conf"),
    ("deploy/systemd/networkmanager.conf", "usr/lib/NetworkManager/conf.d/vipd.conf"),
    ("deploy/systemd/networkd.network", "lib/systemd/network/10-vipd.network"),
    ("deploy/polkit/vipd.rules", "usr/share/polkit-1/rules.d/vipd.rules"),
    ("deploy/polkit/vipd.pkla", "var/lib/polkit-1/localauthority/10-vendor.d/vipd.pkla"),
    ("README.md", "usr/share/doc/vipd/README.md"),
    ("LICENSE", "usr/share/doc/vipd/copyright"),
    ("CHANGELOG.md", "usr/share/doc/vipd/changelog"),
];

/// Shells, with the path of the completions that each reads.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "usr/share/bash-completion/completions/vipd"),
    ("zsh", "usr/share/zsh/vendor-completions/_vipd"),
    ("fish", "usr/share/fish/vendor_completions.d/vipd.fish"),
];

/// Scripts in `deploy/debian` that dpkg runs.
const SCRIPTS: &[&str] = &["postinst", "prerm", "postrm"];

const TOOLS: &[tools::Tool] = &[tools::tool("dpkg-deb", "dpkg"), tools::tool("gzip", "gzip")];

/// Makes the package under `target/package` and returns its file.
pub(crate) fn make_package(workspace: &Workspace, program: &Path) -> Result<PathBuf> {
    tools::ensure_installed(TOOLS)?;
    let folder = workspace.target_directory.join("package");
    let tree = folder.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    let root = &workspace.workspace_root;
    for (from, to) in FILES {
        copy_file(&root.join(from), &tree.join(to), 0o644)?;
    }
    copy_file(program, &tree.join("usr/bin/vipd"), 0o755)?;
    generate_documents(program, &tree)?;

    let architecture = output_of(Command::new("dpkg").arg("--print-architecture"))?;
    let architecture = architecture.trim();
    let version = workspace.package_version("vipd")?;
    let control = fs::read_to_string(root.join("deploy/debian/control"))?
        .replace("@VERSION@", version)
        .replace("@ARCHITECTURE@", architecture)
        .replace("@SIZE@", &size_in_kib(&tree)?.to_string());
    let about = tree.join("DEBIAN");
    fs::create_dir_all(&about)?;
    fs::write(about.join("control"), control)?;
    copy_file(&root.join("deploy/debian/conffiles"), &about.join("conffiles"), 0o644)?;
    for script in SCRIPTS {
        copy_file(&root.join("deploy/debian").join(script), &about.join(script), 0o755)?;
    }
    let package = folder.join(format!("vipd_{version}_{architecture}.deb"));
    output_of(
        Command::new("dpkg-deb").args(["--build", "--root-owner-group"]).arg(&tree).arg(&package),
    )?;
    Ok(package)
}

/// Has the program generate its man pages and completions.
fn generate_documents(program: &Path, tree: &Path) -> Result<()> {
    let man = tree.join("usr/share/man/man1");
    fs::create_dir_all(&man)?;
    output_of(Command::new(program).args(["generate", "man"]).arg(&man))?;
    let of_file = tree.join("usr/share/man/man5/vipd.toml.5");
    make_parent(&of_file)?;
    fs::rename(man.join("vipd.toml.5"), &of_file)?;
    let pages = fs::read_dir(&man)?.map(|page| Ok(page?.path()));
    let pages = pages.chain([Ok(of_file)]).collect::<Result<Vec<_>>>()?;
    output_of(Command::new("gzip").args(["--best", "--no-name"]).args(pages))?;
    for (shell, to) in COMPLETIONS {
        let text = output_of(Command::new(program).args(["generate", "completions", shell]))?;
        let to = tree.join(to);
        make_parent(&to)?;
        fs::write(to, text)?;
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path, mode: u32) -> Result<()> {
    make_parent(to)?;
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))?;
    Ok(())
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))
}

fn size_in_kib(tree: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(tree)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        total += match metadata.is_dir() {
            true => size_in_kib(&entry.path())?,
            false => metadata.len().div_ceil(1024),
        };
    }
    Ok(total)
}
