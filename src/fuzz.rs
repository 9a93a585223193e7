//! Parsers of files on the node, open to the fuzz targets.

use crate::config::resolve_keys;

pub use crate::sources::kept::rewrite_state;

/// Checks the first line of a state file, and returns the rest if it is whole.
#[must_use]
pub fn check_state_header(bytes: &[u8]) -> Option<&[u8]> {
    crate::agent::state_file::check_header(bytes).ok()
}

/// Parses a configuration file, and resolves the sections that name no other file.
pub fn parse_config(text: &str) {
    // Whatever is wrong with a key, the others are resolved without it.
    let resolved = resolve_keys(text, |file| {
        file.agent.resolve()?;
        file.ipvs.resolve()?;
        file.probe.resolve()?;
        file.names.resolve()?;
        file.cluster.resolve()?;
        file.firewall.resolve(None, &file.vip).map(drop)
    });
    assert!(resolved.is_ok(), "{resolved:?}");
}
