//! The image of `deploy/container`, built and run: one file has to be enough, also to find Marathon by
//! its name.

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

/// A name that no name server knows.
const MARATHON: &str = "marathon.test";

/// How long the program in the image has to come and ask.
const PATIENCE: Duration = Duration::from_secs(60);

/// Builds it in the folder that holds the program, as the recipe says, and has vipd in it ask a
/// Marathon that only the image's own `/etc/hosts` knows. All it leaves behind is under `folder`.
pub(crate) fn try_image(workspace: &Workspace, folder: &Path) -> Result<()> {
    tools::ensure_installed(TOOLS)?;
    let buildah = Buildah { folder: folder.join("image") };
    let recipe = workspace.workspace_root.join("deploy/container/Containerfile");
    let mut build = buildah.buildah_command(&["bud", "--isolation", "chroot", "--tag", "vipd"]);
    output_of(build.arg("--file").arg(recipe).arg(folder))?;

    let marathon = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
    marathon.set_nonblocking(true).context("cannot listen")?;
    let port = marathon.local_addr().context("cannot listen")?.port();
    let host = format!("{MARATHON}:{}", Ipv4Addr::LOCALHOST);
    let container =
        output_of(&mut buildah.buildah_command(&["from", "--add-host", &host, "vipd"]))?;
    let url = format!("http://{MARATHON}:{port}");
    let mut run =
        buildah.buildah_command(&["run", "--isolation", "chroot", container.trim(), "--"]);
    let mut running = run
        .args(["/vipd", "doctor", "--marathon", &url])
        .stdout(std::process::Stdio::null())
        .spawn()
        .context("cannot start buildah")?;
    let asked = first_request(&marathon);
    // It fails: what it got from this Marathon is no answer.
    running.kill().and_then(|()| running.wait()).context("cannot stop buildah")?;
    let asked = asked.context("vipd in the image did not find Marathon by its name")?;
    ensure!(asked.starts_with("GET "), "vipd in the image asked {asked:?}");
    fs::remove_dir_all(&buildah.folder).context("cannot remove the image")
}

/// The first line of the first request.
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
        ensure!(Instant::now() < end, "nobody asked within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// buildah with a store of its own, which takes no right that a container lacks.
struct Buildah {
    folder: PathBuf,
}

impl Buildah {
    fn buildah_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("buildah");
        command.env("PATH", tools::search_path()).args(["--storage-driver", "vfs", "--root"]);
        command.arg(self.folder.join("store")).arg("--runroot").arg(self.folder.join("run"));
        command.args(args);
        command
    }
}
