//! Names that are near one that nothing has: `did you mean /mysql?`. Pure.

use std::fmt;

/// The most names that are suggested.
const MOST: usize = 3;
/// Longer texts are no names that somebody has mistyped, and would take long to compare.
const LONGEST: usize = 128;
/// How alike two texts must be, from 0 to 1.
const ALIKE: f64 = 0.6;

/// A name that nothing has, with those that are near.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    name: String,
    near: Vec<String>,
}

impl std::error::Error for UnknownName {}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no app, group, VIP, name, task or real server {:?}", self.name)?;
        match self.near.as_slice() {
            [] => f.write_str(": `vipd status` lists what there is"),
            [only] => write!(f, ": did you mean {only}?"),
            [first @ .., last] => write!(f, ": did you mean {} or {last}?", first.join(", ")),
        }
    }
}

impl UnknownName {
    /// Chooses the known names that are nearest.
    #[must_use]
    pub fn of(name: &str, known: impl IntoIterator<Item = String>) -> Self {
        let rate = |known: String| rate_likeness(name, &known).map(|likeness| (likeness, known));
        let mut rated: Vec<_> = known.into_iter().filter_map(rate).collect();
        rated.sort_by(|(a, at), (b, bt)| b.total_cmp(a).then_with(|| at.cmp(bt)));
        rated.dedup();
        let near = rated.into_iter().take(MOST).map(|(_, known)| known).collect();
        Self { name: name.to_owned(), near }
    }
}

/// Rates how alike two names are. None: not at all.
fn rate_likeness(name: &str, known: &str) -> Option<f64> {
    if name.len() > LONGEST || known.len() > LONGEST {
        return None;
    }
    let (name, known) = (simplify(name), simplify(known));
    if name.is_empty() {
        return None;
    }
    let parts = known.split(['/', '.', ':']).chain([known.as_str()]);
    let likeness = parts.map(|part| strsim::normalized_damerau_levenshtein(&name, part));
    let best = likeness.fold(0.0, f64::max);
    // A part of a longer name says much less than a whole one.
    let best = if name.len() > 2 && known.contains(&name) { best.max(ALIKE) } else { best };
    (best >= ALIKE).then_some(best)
}

fn simplify(name: &str) -> String {
    name.trim_matches('/').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(name: &str) -> Vec<String> {
        let known = ["/shop/mysql", "/shop/web", "/mail", "3.3.0.6:3306", "mysql.marathon.l4lb"];
        UnknownName::of(name, known.map(str::to_owned)).near
    }

    #[test]
    fn what_is_near_is_suggested_and_nothing_else() {
        assert_eq!(near("/mysqll"), ["/shop/mysql", "mysql.marathon.l4lb"]);
        assert_eq!(near("/shop/wbe"), ["/shop/web"]);
        assert_eq!(near("3.3.0.6:3307"), ["3.3.0.6:3306"]);
        assert_eq!(near("sql"), ["/shop/mysql", "mysql.marathon.l4lb"]);
        for far in ["", "/", "/nobody", "10.0.0.1", &"m".repeat(1000)] {
            assert!(near(far).is_empty(), "{far}");
        }
    }

    #[test]
    fn it_reads_as_a_question() {
        let text = |known: &[&str]| {
            UnknownName::of("mysq", known.iter().map(|known| (*known).to_owned())).to_string()
        };
        assert!(text(&["/mysql"]).ends_with("\"mysq\": did you mean /mysql?"));
        assert!(text(&["/mysql", "/mysq1"]).ends_with("did you mean /mysq1 or /mysql?"));
        assert!(text(&[]).ends_with("`vipd status` lists what there is"));
    }
}
