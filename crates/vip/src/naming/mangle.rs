//! How DC/OS writes labels and framework names as DNS names (`mesos_state.erl`, `domain_frag` and
//! `label`).

/// The longest part of a DNS name (RFC 1035, 2.3.4).
const PART: usize = 63;

/// Writes a label or the name of a framework as parts of a DNS name, as DC/OS does: the parts
/// between dots, without empty ones, each in small letters, digits and `-`.
///
/// A part of which nothing is left is empty in the result, as it is in DC/OS.
#[must_use]
pub fn mangle(text: &str) -> String {
    let parts = text.split('.').filter(|part| !part.is_empty());
    parts.map(mangle_part).collect::<Vec<_>>().join(".")
}

/// Writes a text as one part of a DNS name, as DC/OS does for the names of tasks: a dot is a `-`.
pub(super) fn mangle_label(text: &str) -> String {
    mangle_part(&text.replace('.', "-"))
}

/// Writes one part: from its first letter or digit on, with `_` as `-`, without other characters,
/// and without a `-` at its end. At the greatest length trailing `-` give way to letters and digits
/// that follow.
fn mangle_part(part: &str) -> String {
    let kept = part.bytes().filter_map(|byte| match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'-' => Some(char::from(byte)),
        b'A'..=b'Z' => Some(char::from(byte.to_ascii_lowercase())),
        b'_' => Some('-'),
        _ => None,
    });
    let mut mangled = String::new();
    let mut was_full = false;
    for c in kept.skip_while(|c| *c == '-') {
        if mangled.len() == PART {
            was_full = true;
            mangled.truncate(mangled.trim_end_matches('-').len());
        }
        if mangled.len() < PART && !(was_full && c == '-') {
            mangled.push(c);
        }
    }
    mangled.truncate(mangled.trim_end_matches('-').len());
    mangled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_part_is_cut_as_dc_os_cuts_it() {
        let a = |count| "a".repeat(count);
        assert_eq!(mangle(&a(70)), a(63));
        assert_eq!(mangle(&format!("{}-b", a(62))), format!("{}b", a(62)));
        assert_eq!(mangle(&format!("{}-----", a(60))), a(60));
        assert_eq!(mangle(&format!("{}--xyz", a(60))), format!("{}--x", a(60)));
        assert_eq!(mangle(&format!("{}---x-y-z", a(60))), format!("{}xyz", a(60)));
    }

    #[test]
    fn empty_parts_go_before_mangling_and_stay_after() {
        assert_eq!(mangle("/.a..b."), ".a.b");
        assert_eq!(mangle("/a._.b"), "a..b");
        assert_eq!(mangle("."), "");
    }
}
