//! The Debian package: a tree of files and its control files, packed by `dpkg-deb` and checked by `lintian`.

mod documents;
mod lint;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::Workspace;
use crate::package::changelog::now;
use crate::package::modes::set_modes;
use crate::tools::{self, output_of};

/// Files of this repository, with the paths at which they are installed.
const FILES: &[(&str, &str)] = &[
    ("deploy/vipd.toml", "etc/vipd/vipd.toml"),
    ("deploy/vipd.schema.json", "usr/share/vipd/vipd.schema.json"),
    ("deploy/systemd/vipd.service", "usr/lib/systemd/system/vipd.service"),
    ("deploy/systemd/vipd-setup.service", "usr/lib/systemd/system/vipd-setup.service"),
    ("deploy/systemd/vipd-dns.service", "usr/lib/systemd/system/vipd-dns.service"),
    ("deploy/systemd/vipd-relay.service", "usr/lib/systemd/system/vipd-relay.service"),
    ("deploy/systemd/vipd-dns.socket", "usr/lib/systemd/system/vipd-dns.socket"),
    ("deploy/systemd/modules-load.conf", "usr/lib/modules-load.d/vipd.conf"),
    ("deploy/systemd/networkmanager.conf", "usr/lib/NetworkManager/conf.d/vipd.conf"),
    ("deploy/systemd/networkd.network", "usr/lib/systemd/network/10-vipd.network"),
    ("deploy/polkit/vipd.rules", "usr/share/polkit-1/rules.d/vipd.rules"),
    ("deploy/polkit/vipd.pkla", "var/lib/polkit-1/localauthority/10-vendor.d/vipd.pkla"),
    ("README.md", "usr/share/doc/vipd/README.md"),
    ("CHANGELOG.md", "usr/share/doc/vipd/CHANGELOG.md"),
    ("deploy/debian/lintian-overrides", "usr/share/lintian/overrides/vipd"),
];

/// Shells, with the path of the completions that each reads.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "usr/share/bash-completion/completions/vipd"),
    ("zsh", "usr/share/zsh/vendor-completions/_vipd"),
    ("fish", "usr/share/fish/vendor_completions.d/vipd.fish"),
];

/// Scripts in `deploy/debian` that dpkg runs.
const SCRIPTS: &[&str] = &["preinst", "postinst", "prerm", "postrm"];

const TOOLS: &[tools::Tool] = &[
    tools::tool("dpkg-deb", "dpkg"),
    tools::tool("gzip", "gzip"),
    tools::tool("lintian", "lintian"),
];

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
    write_debian_documents(workspace, &tree)?;

    let architecture = output_of(Command::new("dpkg").arg("--print-architecture"))?;
    let architecture = architecture.trim();
    let version = workspace.package_version("vipd")?;
    let about = workspace.about("vipd")?;
    let template = |name: &str| fs::read_to_string(root.join("deploy/debian").join(name));
    let size = size_in_kib(&tree)?;
    let control =
        documents::fill_control(&template("control")?, about, version, architecture, size);
    let controls = tree.join("DEBIAN");
    fs::create_dir_all(&controls)?;
    fs::write(controls.join("control"), control)?;
    copy_file(&root.join("deploy/debian/conffiles"), &controls.join("conffiles"), 0o644)?;
    for script in SCRIPTS {
        copy_file(&root.join("deploy/debian").join(script), &controls.join(script), 0o755)?;
    }
    set_modes(&tree)?;
    let package = folder.join(format!("vipd_{version}_{architecture}.deb"));
    output_of(
        Command::new("dpkg-deb").args(["--build", "--root-owner-group"]).arg(&tree).arg(&package),
    )?;
    lint::check_package(&package, about)?;
    Ok(package)
}

/// Writes what Debian wants of every package: its own changelog, and the copyright.
fn write_debian_documents(workspace: &Workspace, tree: &Path) -> Result<()> {
    let root = &workspace.workspace_root;
    let about = workspace.about("vipd")?;
    let folder = tree.join("usr/share/doc/vipd");
    let copyright = fs::read_to_string(root.join("deploy/debian/copyright"))?;
    fs::write(folder.join("copyright"), documents::fill_copyright(&copyright, about))?;
    let changelog = fs::read_to_string(root.join("CHANGELOG.md"))?;
    let changelog = documents::write_changelog(&changelog, about, &now())?;
    fs::write(folder.join("changelog"), changelog)?;
    compress(["changelog", "CHANGELOG.md"].map(|name| folder.join(name)))
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
    compress(pages.chain([Ok(of_file)]).collect::<Result<Vec<_>>>()?)?;
    for (shell, to) in COMPLETIONS {
        let text = output_of(Command::new(program).args(["generate", "completions", shell]))?;
        let to = tree.join(to);
        make_parent(&to)?;
        fs::write(to, text)?;
    }
    Ok(())
}

/// Compresses files as Debian wants it: the same text gives the same file.
fn compress(files: impl IntoIterator<Item = PathBuf>) -> Result<()> {
    output_of(Command::new("gzip").args(["--best", "--no-name"]).args(files)).map(drop)
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
