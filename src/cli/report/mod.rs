//! `vipd report`.

mod archive;
mod collect;
mod parts;

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::Args;

use super::end::End;
use super::global::Global;
use super::output;
use crate::config::{Config, Relays, Secrets};
use archive::Archive;
use collect::{Collected, collect_parts};

/// Write what somebody needs to help into one file
///
/// State, changes and metrics of the agent and of relays, `status`, `diff` and `doctor`, the configuration,
/// the kernel's tables of IPVS, addresses and routes, vipd's own nftables tables, versions, and the log if
/// journald has it. What can't be read is named in `contents.txt`, and the rest is there all the same.
///
/// It holds no password, key or certificate: of the configuration only keys that have none. It does
/// hold names of apps and addresses of the cluster. Only the file's owner can read it.
///
/// Exit status: 0 written, 2 error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd report
  vipd report /tmp/node7.tar.gz")]
pub(super) struct Report {
    /// File to write, which must not exist yet [default: vipd-report-NODE-TIME.tar.gz]
    file: Option<PathBuf>,
}

impl Report {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        // Without secrets, so that none is in what is written of it.
        let (config, problems) = global.resolve_leniently(Secrets::Skip)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let top = format!("vipd-report-{}-{now}", file_name_part(&config));
        let path = self.file.clone().unwrap_or_else(|| format!("{top}.tar.gz").into());
        let file = create_file(&path)?;
        let relays = relays_with_secrets(global, &config);
        let collected = collect_parts(parts::list_parts(global, &config, &problems, &relays));
        let cannot = || format!("cannot write {}", path.display());
        let written = write_archive(file, &top, now, &collected);
        if written.is_err() {
            // A half of it is of no use.
            let _ = std::fs::remove_file(&path);
        }
        written.with_context(cannot)?;
        let failed = collected.iter().filter(|part| part.content.is_err()).count();
        output::print_note(&format!(
            "{} has {} of {} parts; contents.txt in it says what is missing",
            path.display(),
            collected.len() - failed,
            collected.len()
        ));
        Ok(End::Fine)
    }
}

/// Returns the relays that the agent follows, with the secrets that they want. Where these can't be read, the
/// relays still tell of their health.
fn relays_with_secrets(global: &Global, config: &Config) -> Vec<Relays> {
    let with_secrets = global.resolve_leniently(Secrets::ReadPresent);
    let marathons = with_secrets.map(|(config, _)| config.marathons).unwrap_or_default();
    let marathons = if marathons.is_empty() { &config.marathons } else { &marathons };
    marathons.iter().map(|marathon| marathon.relays.clone()).collect()
}

/// Returns the name of the node, as far as it can be a part of a file's name.
fn file_name_part(config: &Config) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "-.".contains(*c);
    let name: String = config.node_name.chars().filter(is_plain).take(40).collect();
    if name.is_empty() { "node".to_owned() } else { name }
}

/// Creates a file that nobody had, for its owner alone. A link in its place isn't followed.
fn create_file(path: &Path) -> Result<std::fs::File> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.with_context(|| format!("cannot create {}: name a new file", path.display()))
}

fn write_archive(
    file: std::fs::File,
    top: &str,
    now: u64,
    collected: &[Collected],
) -> std::io::Result<()> {
    let mut archive = Archive::new(std::io::BufWriter::new(file), now);
    archive.add_file(&format!("{top}/contents.txt"), contents(collected).as_bytes())?;
    for Collected { name, content, .. } in collected {
        if let Ok(content) = content {
            archive.add_file(&format!("{top}/{name}"), content)?;
        }
    }
    archive.finish()?.flush()
}

/// Lists the parts, and why those are missing that are.
fn contents(collected: &[Collected]) -> String {
    let mut text = String::new();
    for Collected { name, content, is_cut } in collected {
        let how = match content {
            Ok(content) if *is_cut => format!("{} bytes (cut off)", content.len()),
            Ok(content) => format!("{} bytes", content.len()),
            Err(why) => format!("missing: {}", vip::Printable(why)),
        };
        let _ = writeln!(text, "{name}: {how}");
    }
    text
}
