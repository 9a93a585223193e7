//! The load on a Marathon from thousands of agents, by the model in `crates/marathon/tests/fleet`,
//! for docs/scale.md.

mod model;
mod relays;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::page::replace_between;
use model::run_model;
use relays::model_relays;

/// The model's cases: its own name of each, and one for people.
const CASES: [(&str, &str); 3] = [
    ("calm", "calm"),
    ("upgrade", "rolling upgrade of 100 apps"),
    ("leader", "leader change, 10 s without one"),
];

/// The page to start from if there is none.
const PAGE: &str = "\
# Scale

The load on a Marathon from 1,000 and 5,000 agents, by a model: vipd's own state machines, which decide
what is read and when, one Marathon and a simulated clock. `cargo xtask bench --scale` runs it.

![Requests a second at the Marathon leader](scale.svg)

<!-- figures -->
<!-- end of figures -->

## Relays

<!-- figures of relays -->
<!-- end of figures of relays -->
";

/// The load of one second: reads, requests, bytes, bytes with gzip.
type Second = [f64; 4];

type Series = BTreeMap<(String, u32), BTreeMap<u64, Second>>;

/// Runs the model and writes the page and its chart.
pub(crate) fn model_fleet(root: &Path) -> Result<bool> {
    let said = run_model(
        "running the model of 1,000 and 5,000 agents",
        &["-p", "marathon", "--no-default-features", "--test", "fleet", "series_of_all"],
        root,
    )?;
    let series = parse_series(&said);
    ensure!(!series.is_empty(), "the model printed no series");
    let table = load_table(&series);
    println!("\n{table}");
    let page = root.join("docs/scale.md");
    let text = fs::read_to_string(&page).unwrap_or_else(|_| PAGE.to_owned());
    let text = replace_between(&text, "figures", &table).context("docs/scale.md has no markers")?;
    let relays = model_relays(root)?;
    println!("\n{relays}");
    let text = replace_between(&text, "figures of relays", &relays)
        .context("docs/scale.md has no markers for relays")?;
    fs::write(&page, text).context("cannot write docs/scale.md")?;
    fs::write(root.join("docs/scale.svg"), draw_chart(&series))
        .context("cannot write the picture")?;
    println!("written to docs/scale.md and docs/scale.svg");
    Ok(true)
}

/// Parses the lines `series CASE AGENTS SECOND READS REQUESTS BYTES GZIPPED`.
fn parse_series(text: &str) -> Series {
    let mut series = Series::new();
    for line in text.lines().filter_map(|line| line.split_once("series ")) {
        let words: Vec<&str> = line.1.split_whitespace().collect();
        let [what, agents, second, values @ ..] = words.as_slice() else { continue };
        let (Ok(agents), Ok(second)) = (agents.parse(), second.parse()) else { continue };
        let values: Vec<f64> = values.iter().filter_map(|value| value.parse().ok()).collect();
        let Ok(values) = values.try_into() else { continue };
        series.entry(((*what).to_owned(), agents)).or_default().insert(second, values);
    }
    series
}

/// The load in one case with one number of nodes.
type Line<'a> = (&'a (String, u32), &'a BTreeMap<u64, Second>);

/// Duration of each case in seconds.
const WATCHED: u64 = 300;

/// Returns the mean over the whole case and over its busiest ten seconds.
fn mean_and_peak(seconds: &BTreeMap<u64, Second>, index: usize) -> (f64, f64) {
    let all: Vec<f64> =
        (0..WATCHED).map(|s| seconds.get(&s).map_or(0.0, |second| second[index])).collect();
    let mean = all.iter().sum::<f64>() / WATCHED as f64;
    let busiest = all.windows(10.min(all.len())).map(|ten| ten.iter().sum::<f64>() / 10.0);
    (mean, busiest.fold(0.0, f64::max))
}

fn load_table(series: &Series) -> String {
    let mut text = String::from(
        "| | nodes | requests/s, mean | busiest 10 s | MB/s with gzip, mean | busiest 10 s | \
         MB/s of JSON, busiest 10 s |\n|---|---|---|---|---|---|---|\n",
    );
    for (what, name) in CASES {
        for ((_, agents), seconds) in series.iter().filter(|((of, _), _)| of == what) {
            let (requests, busiest) = mean_and_peak(seconds, 1);
            let (packed, most) = mean_and_peak(seconds, 3);
            let (_, plain) = mean_and_peak(seconds, 2);
            let _ = writeln!(
                text,
                "| {name} | {agents} | {requests:.1} | {busiest:.0} | {:.2} | {:.1} | {:.0} |",
                packed / 1e6,
                most / 1e6,
                plain / 1e6,
            );
        }
    }
    text
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 34.0;

/// Draws a panel for each case: requests a second over five minutes, a line for each number of
/// nodes.
fn draw_chart(series: &Series) -> String {
    let whole = (TOP + HEIGHT + 34.0) * CASES.len() as f64 + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {whole}\" width=\"{0}\" \
         height=\"{whole}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Requests a second at the Marathon leader</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        LEFT + WIDTH + 20.0
    );
    for (number, (what, name)) in CASES.into_iter().enumerate() {
        let top = TOP + (TOP + HEIGHT + 34.0) * number as f64;
        draw_panel(
            &mut svg,
            top,
            name,
            &series.iter().filter(|((of, _), _)| of == what).collect::<Vec<_>>(),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_panel(svg: &mut String, top: f64, name: &str, lines: &[Line<'_>]) {
    let most = lines.iter().flat_map(|(_, line)| line.values()).map(|second| second[1]);
    let most = most.fold(10.0, f64::max);
    let (bottom, right) = (top + HEIGHT, LEFT + WIDTH);
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{name}: requests a second at the leader</text>\n\
         <path d=\"M{LEFT} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"#444\"/>",
        top - 10.0
    );
    for share in [0.0, 0.5, 1.0] {
        let y = bottom - share * HEIGHT;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{:.0}</text>",
            LEFT - 6.0,
            y + 4.0,
            most * share
        );
    }
    for minute in 0..=5 {
        let x = LEFT + WIDTH * f64::from(minute) / 5.0;
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{minute} min</text>",
            bottom + 16.0
        );
    }
    // Dashes as well, for those who can't tell the colours apart.
    let styles = [("#1f6f8b", ""), ("#c2571a", "6 3")];
    for (((_, agents), line), (colour, dash)) in lines.iter().zip(styles) {
        let mut path = String::new();
        for second in 0..WATCHED {
            let value = line.get(&second).map_or(0.0, |second| second[1]);
            let x = LEFT + WIDTH * second as f64 / WATCHED as f64;
            let y = bottom - value / most * HEIGHT;
            let _ = write!(path, "{}{x:.1} {y:.1}", if second == 0 { "M" } else { "L" });
        }
        let _ = writeln!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" \
             stroke-dasharray=\"{dash}\"/>"
        );
        let y = top + 12.0 + if dash.is_empty() { 0.0 } else { 18.0 };
        let _ = writeln!(
            svg,
            "<path d=\"M{0} {y}h30\" stroke=\"{colour}\" stroke-width=\"2\" \
             stroke-dasharray=\"{dash}\"/><text x=\"{1}\" y=\"{2}\">{agents} nodes</text>",
            right - 130.0,
            right - 94.0,
            y + 4.0
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_lines_become_a_table_and_a_picture() {
        let text =
            "series calm 1000 0 1 2 8000000 1000000\ntest x ... series calm 1000 10 2 4 0 0\n";
        let series = parse_series(text);
        let seconds = &series[&("calm".to_owned(), 1000)];
        assert_eq!(mean_and_peak(seconds, 1), (6.0 / 300.0, 0.4));
        assert!(load_table(&series).contains("| calm | 1000 | 0.0 |"), "{}", load_table(&series));
        let picture = draw_chart(&series);
        assert!(picture.starts_with("<svg") && picture.contains("1000 nodes"));
    }
}
