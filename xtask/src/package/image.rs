//! The image of `deploy/container`, built and run. Its single file must be enough, even for
//! resolving Marathon's name.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::cargo::Workspace;
use crate::tools::{self, output_of};

const TOOLS: &[tools::Tool] = &[tools::tool("buildah", "buildah")];

/// Host name that no name server knows.
const MARATHON: &str = "marathon.test";

/// Time limit for the first request from the image.
const PATIENCE: Duration = Duration::from_secs(60);

/// Builds the image from the program in `folder`, and has vipd in it send a request to a Marathon
/// that only the container's `/etc/hosts` knows. Leaves nothing outside of `folder`.
pub(crate) fn try_image(workspace: &Workspace, folder: &Path) -> Result<()> {
    tools::ensure_installed(TOOLS)?;
    let buildah = Buildah::in_folder(folder);
    buildah.build_image(workspace, folder)?;

    let marathon = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
    marathon.set_nonblocking(true).context("cannot listen")?;
    let port = marathon.local_addr().context("cannot listen")?.port();
    let host = format!("{MARATHON}:{}", Ipv4Addr::LOCALHOST);
    let container = output_of(&mut buildah.command(&["from", "--add-host", &host, "vipd"]))?;
    let url = format!("http://{MARATHON}:{port}");
    let mut run = buildah.command(&["run", "--isolation", "chroot", container.trim(), "--"]);
    let mut running = run
        .args(["/vipd", "doctor", "--marathon", &url])
        .stdout(std::process::Stdio::null())
        .spawn()
        .context("cannot start buildah")?;
    let asked = first_request(&marathon);
    // vipd itself fails, since this Marathon doesn't answer.
    running.kill().and_then(|()| running.wait()).context("cannot stop buildah")?;
    let asked = asked.context("vipd in the image did not find Marathon by its name")?;
    ensure!(asked.starts_with("GET "), "vipd in the image asked {asked:?}");
    buildah.remove()
}

/// Waits for the first request and returns its first line.
fn first_request(marathon: &TcpListener) -> Result<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Ok((client, _)) = marathon.accept() {
            client.set_nonblocking(false)?;
            client.set_read_timeout(Some(PATIENCE))?;
            let mut line = String::new();
            BufReader::new(client).read_line(&mut line)?;
            return Ok(line);
        }
        ensure!(Instant::now() < end, "no request within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// buildah with a store of its own, which needs no privilege that a container lacks.
pub(super) struct Buildah {
    folder: PathBuf,
}

impl Buildah {
    /// Has its store under this folder.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.join("image") }
    }

    /// Builds the image `vipd` from the program in `folder`.
    pub(super) fn build_image(&self, workspace: &Workspace, folder: &Path) -> Result<()> {
        let recipe = workspace.workspace_root.join("deploy/container/Containerfile");
        let mut build = self.command(&["bud", "--isolation", "chroot", "--tag", "vipd"]);
        output_of(build.arg("--file").arg(recipe).arg(folder)).map(drop)
    }

    /// Removes its store with all images.
    pub(super) fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.folder).context("cannot remove the image")
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("buildah");
        command.env("PATH", tools::search_path()).args(["--storage-driver", "vfs", "--root"]);
        command.arg(self.folder.join("store")).arg("--runroot").arg(self.folder.join("run"));
        command.args(args);
        command
    }
}
