//! docs/configuration.md, made from the types that the file is read into and what they say of
//! their keys.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use serde_json::Value;

/// `[vip]`, as `vip::Policy` reads it.
#[derive(schemars::JsonSchema)]
#[allow(dead_code, reason = "it is only described")]
pub(super) struct PolicyFile {
    /// Prefixes. If there are any, every VIP must lie in one of them; and one that does is admitted
    /// even where it collides with a route of this node.
    allow: Vec<String>,
    /// A table from a prefix to a path: only apps at or below the path may claim VIPs in the prefix.
    owner: BTreeMap<String, String>,
}

const HEAD: &str = "# Configuration

`/etc/vipd/vipd.toml`, or the file that `--config` names. Every key may be left out; one that is not
known is an error with its line and column. A flag of the command line goes before the same key.
`systemctl reload vipd` takes a changed file without touching a connection. `vipd run --help` tells
of the flags and their environment variables; the file that is installed, `deploy/vipd.toml`, has
every key, commented out. What is in force, without secrets, is at `/v1/config`.

This page is made from the code: `VIPD_WRITE_DOCS=1 cargo test reference` writes it anew.
";

/// The tables of the file, by their names.
fn tables() -> serde_json::Map<String, Value> {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<super::File>();
    schema.as_value()["properties"].as_object().unwrap().clone()
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (name, table) in &tables() {
        let (title, keys) = match table.get("items") {
            Some(item) => (format!("[[{name}]]"), &item["properties"]),
            None => (format!("[{name}]"), &table["properties"]),
        };
        write!(page, "\n## `{title}`\n\n{}\n\n| key | type | |\n|---|---|---|\n", says(table))
            .unwrap();
        for (key, value) in keys.as_object().unwrap() {
            writeln!(page, "| `{key}` | {} | {} |", kind(value), says(value)).unwrap();
        }
    }
    page
}

fn says(described: &Value) -> String {
    described["description"].as_str().unwrap().replace('\n', " ")
}

/// In words of TOML.
fn kind(value: &Value) -> &'static str {
    let named = match &value["type"] {
        Value::Array(kinds) => kinds[0].as_str(),
        kind => kind.as_str(),
    };
    match named.unwrap() {
        "string" => "string",
        "integer" => "integer",
        "boolean" => "boolean",
        "array" => "array of strings",
        "object" => "table",
        other => panic!("{other}"),
    }
}

#[test]
fn the_reference_says_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = page();
    if std::env::var_os("VIPD_WRITE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap();
    assert!(found == page, "VIPD_WRITE_DOCS=1 cargo test reference writes docs/configuration.md");
}

/// serde names the keys it would have taken; they come from the same types, but for `[vip]`.
#[test]
fn the_reference_has_every_key_of_vip() {
    let error = super::File::parse("[vip]\nno-such-key = 1\n").unwrap_err().to_string();
    let keys = error.split('`').skip(3).step_by(2);
    for key in keys {
        assert!(page().contains(&format!("| `{key}` |")), "{key}: {error}");
    }
}

#[test]
fn what_is_shown_of_a_running_agent_has_every_key() {
    let api: Value = serde_json::from_str(include_str!("../admin/openapi.json")).unwrap();
    let shown = &api["components"]["schemas"]["Config"]["properties"];
    for (name, table) in &tables() {
        // Of a Marathon it shows what it may.
        let Some(keys) = table["properties"].as_object() else { continue };
        for key in keys.keys() {
            let known = &shown[name]["properties"][key];
            assert!(known.is_object(), "/v1/config lacks {name}.{key}");
        }
    }
}
