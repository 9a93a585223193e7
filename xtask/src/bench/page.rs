//! The figures in docs/performance.md, between its markers.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::figures::Figures;
use crate::machine::Machine;

/// Writes the figures of this machine's run into the page.
pub(crate) fn write_page(
    root: &Path,
    machine: Machine,
    figures: &Figures,
    table: &str,
) -> Result<()> {
    let path = root.join("docs/performance.md");
    let page = fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
    let marker = format!("figures on {}", machine.title());
    let page = replace_between(&page, &marker, &figures_section(figures, table))
        .with_context(|| format!("{} has no lines <!-- {marker} -->", path.display()))?;
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    println!("written to {}", path.display());
    Ok(())
}

fn figures_section(figures: &Figures, table: &str) -> String {
    let mut text = format!("On {}.\n\n{table}\n", figures.kernel);
    let _ = writeln!(text, "vipd is linked with {}.\n", figures.libraries.join(", "));
    text.push_str("Everything that was measured, times in milliseconds:\n\n");
    text.push_str("| figure | median | measurements |\n|---|---|---|\n");
    for (name, value, times) in figures.all_medians() {
        let _ = writeln!(text, "| {name} | {value:.3} | {times} |");
    }
    text
}

/// Returns the page with `text` between the two lines of a marker.
pub(super) fn replace_between(page: &str, marker: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {marker} -->\n"), format!("<!-- end of {marker} -->"));
    let from = page.find(&begin)? + begin.len();
    let to = from + page[from..].find(&end)?;
    Some(format!("{}\n{}\n{}", &page[..from], text.trim_end(), &page[to..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let page = "one\n<!-- figures on x -->\nold\n<!-- end of figures on x -->\ntwo\n";
        let new = replace_between(page, "figures on x", "new\n").unwrap();
        assert_eq!(new, "one\n<!-- figures on x -->\n\nnew\n<!-- end of figures on x -->\ntwo\n");
        assert_eq!(replace_between(page, "figures on y", "new"), None);
    }
}
