//! Relays and their agents by the model in `src/relay/fleet`, for docs/scale.md.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::model::run_model;

/// The model's cases: its own name of each, and one for people.
const CASES: [(&str, &str); 7] = [
    ("calm", "calm"),
    ("upgrade", "rolling upgrade of 100 apps"),
    ("leader", "leader change, 10 s without one"),
    ("killed", "a relay's process is killed"),
    ("silent", "a relay's machine is gone"),
    ("cut", "a relay is cut off from Marathon"),
    ("none", "all relays are killed"),
];

/// Runs the model and returns its table.
pub(super) fn model_relays(root: &Path) -> Result<String> {
    let said = run_model(
        "running the model of 1,000 to 20,000 agents behind relays",
        &["-p", "vipd", "--lib", "relay::fleet::table_of_"],
        root,
    )?;
    let table = relay_table(&said);
    ensure!(table.lines().count() > 2, "the model printed no outcomes");
    Ok(table)
}

/// Makes a table of the lines `relays CASE AGENTS {OUTCOME}`.
fn relay_table(text: &str) -> String {
    let mut table = String::from(
        "| | agents | requests by relays | most in 1 s | MB with gzip | requests by agents | most in 1 s | \
         MB with gzip | agents reading at once | without stream | stream again: half, all | \
         a dead server is out: half, all | VIPs touched |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (case, name) in CASES {
        let lines = text.lines().filter_map(|line| line.split_once("relays "));
        let lines = lines.filter_map(|(_, line)| line.strip_prefix(case)?.strip_prefix(' '));
        for (agents, outcome) in lines.filter_map(|line| line.split_once(' ')) {
            let Ok(outcome) = serde_json::from_str::<Value>(outcome) else { continue };
            let _ = writeln!(table, "| {name} | {agents} | {} |", cells(&outcome).join(" | "));
        }
    }
    table
}

fn cells(outcome: &Value) -> Vec<String> {
    let pair = |key: &str| match outcome[key].as_array() {
        Some(pair) if pair.len() == 2 => {
            let seconds = pair.iter().filter_map(Value::as_f64);
            let seconds: Vec<_> = seconds.map(|each| format!("{each:.1} s")).collect();
            seconds.join(", ")
        }
        _ => String::new(),
    };
    let number = |key: &str, index: usize| outcome[key][index].to_string();
    let megabytes =
        |index: usize| format!("{:.1}", outcome["bytes"][index].as_f64().unwrap_or_default() / 1e6);
    vec![
        number("by_relays", 0),
        number("by_relays", 1),
        megabytes(0),
        number("by_agents", 0),
        number("by_agents", 1),
        megabytes(1),
        outcome["readers"].to_string(),
        number("lost", 0),
        pair("streams"),
        match outcome["unaware"].as_u64() {
            None | Some(0) => pair("learnt"),
            Some(agents) => format!("{}, {agents} not yet", pair("learnt")),
        },
        outcome["touched"].to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_outcomes_become_a_table() {
        let text = "test x ... relays silent 1000 {\"by_relays\":[4,1],\"by_agents\":[0,0],\
                    \"bytes\":[2000000,0],\"streams\":[6.25,8.0],\"lost\":[333,0],\"touched\":0,\
                    \"readers\":0,\"learnt\":null,\"unaware\":0}\nrelays other 1 {}\n";
        let table = relay_table(text);
        let row = "| a relay's machine is gone | 1000 | 4 | 1 | 2.0 | 0 | 0 | 0.0 | 0 | 333 | \
                   6.2 s, 8.0 s |  | 0 |";
        assert!(table.contains(row), "{table}");
        assert_eq!(table.lines().count(), 3);
    }
}
