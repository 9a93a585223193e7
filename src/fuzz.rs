//! Parsers of files on the node, open to the fuzz targets.

use crate::config::ConfigFile;

pub use crate::sources::kept::rewrite_state;

/// Checks the first line of a state file, and returns the rest if it is whole.
#[must_use]
pub fn check_state_header(bytes: &[u8]) -> Option<&[u8]> {
    crate::agent::state_file::check_header(bytes).ok()
}

/// Parses a configuration file, and resolves the sections that name no other file.
pub fn parse_config(text: &str) {
    let Ok(file) = ConfigFile::parse(text) else { return };
    let _ = file.agent.resolve();
    let _ = file.ipvs.resolve();
    let _ = file.names.clone().resolve();
    let _ = file.firewall.resolve(None, &file.vip);
}
