//! `cargo xtask picture`: draws the status page for the README.

use std::fs;

use anyhow::{Context, Result};

use crate::cargo::{Workspace, cargo_command};
use crate::tools;

/// The picture in the README. The others stay in the target directory, for work on the page.
const SHOWN: &str = "status-page.png";

/// Draws the pictures and returns whether that succeeded.
pub(crate) fn draw_status_page() -> Result<bool> {
    tools::ensure_installed(tools::BROWSER)?;
    let workspace = Workspace::read_metadata()?;
    let folder = workspace.target_directory.join("pictures");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut test = cargo_command();
    test.args(["test", "--package", "vipd", "--test", "page", "--", "--ignored", "picture"]);
    let status = test.env("VIPD_PICTURES", &folder).status().context("cannot start cargo")?;
    if !status.success() {
        return Ok(false);
    }
    let place = workspace.workspace_root.join("docs").join(SHOWN);
    fs::copy(folder.join(SHOWN), &place)
        .with_context(|| format!("cannot write {}", place.display()))?;
    println!("{}; in dark, on a phone and with an alarm: {}", place.display(), folder.display());
    Ok(true)
}
