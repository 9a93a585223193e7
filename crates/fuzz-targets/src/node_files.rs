//! Files on the node.

/// Reads the first line of a state file and, whether it fits or not, the JSON after it. What can be
/// read is the same after it was written again.
pub(crate) fn read_state_file(input: &[u8]) {
    let checked = vipd::fuzz::check_state_header(input);
    let end = input.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let json = checked.unwrap_or(&input[end..]);
    if let Some(written) = vipd::fuzz::rewrite_state(json) {
        assert_eq!(vipd::fuzz::rewrite_state(&written), Some(written));
    }
}

/// Reads a configuration file, with everything that it refers to.
pub(crate) fn read_config(input: &[u8]) {
    if let Ok(text) = str::from_utf8(input) {
        vipd::fuzz::parse_config(text);
    }
}
