//! Generates docs/configuration.md from the types that the file is parsed into and their doc
//! comments.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::file::ConfigFile;

/// A pattern of a duration, such as `90s` or `1h 30m`.
pub(super) const DURATION: &str = r"^([0-9]+ ?[a-zA-Z]+ ?)+$";

/// A pattern of an address to listen on.
pub(super) const LISTENER: &str = r"^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[1-9][0-9]{0,4}$";

/// The `[vip]` section, which is parsed as `vip::Policy`.
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its description is used")]
pub(super) struct PolicySection {
    /// Prefixes that VIPs must lie in. Unless set, any address that is free may be a VIP. A VIP in
    /// one of these prefixes is accepted even if it collides with a route of this node.
    #[schemars(default)]
    allow: Vec<String>,
    /// Table from a prefix to a path: only apps at or below the path may claim VIPs in the prefix. In
    /// place of the prefix, a name such as `mysql.marathon`, or the beginning of names such as `shop-*`,
    /// reserves these. In place of the path, a table with `source`, the name of a Marathon, and `path` means the apps
    /// of that Marathon only.
    #[schemars(default)]
    owner: BTreeMap<String, Reservation>,
}

/// The apps that may claim VIPs in a prefix: `vip::Reservation`.
#[derive(schemars::JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "only its description is used")]
enum Reservation {
    /// The path of apps of any Marathon.
    AnySource(String),
    /// The path of apps of one Marathon.
    OneSource {
        /// The name of the Marathon.
        source: String,
        /// The path.
        path: String,
    },
}

const HEAD: &str = "# Configuration

vipd reads `/etc/vipd/vipd.toml`, or the file named by `--config`. Every key is optional; an unknown
key is an error, reported with its line and column. A command-line flag takes precedence over the
environment, and the environment over the file: `vipd run --help` lists both. `deploy/vipd.toml` is
the file that packages install; it has every key, commented out. `vipd config check FILE` shows every
problem of a file, and `vipd config schema` prints its JSON schema (`deploy/vipd.schema.json`), for
editors. `systemctl reload vipd` applies a changed file without disturbing connections; an invalid one
is refused. `/v1/config` shows the configuration in force, without secrets.

Commands that need only the socket, the lock and the interface, such as `vipd hold`, `vipd status` and
`vipd cleanup`, work whatever the file says: they warn about a key that is invalid and leave it out.

This page is generated: run `VIPD_WRITE_DOCS=1 cargo test reference` after a change in `src/config/`.
";

/// Returns the schema of the file.
fn file_schema() -> Value {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<ConfigFile>();
    let mut schema = schema.to_value();
    schema["title"] = "Configuration of vipd (vipd.toml)".into();
    schema
}

/// Returns the schema of each section of the file, by name.
fn sections() -> Map<String, Value> {
    file_schema()["properties"].as_object().unwrap().clone()
}

/// Returns the schema of each key of a section; that of a repeated section is an array's.
fn section_keys(section: &Value) -> &Map<String, Value> {
    let schema = section.get("items").unwrap_or(section);
    schema["properties"].as_object().unwrap()
}

fn reference_page() -> String {
    let mut page = HEAD.to_owned();
    for (name, section) in &sections() {
        let title = if section.get("items").is_some() {
            format!("[[{name}]]")
        } else {
            format!("[{name}]")
        };
        let about = description(section);
        let table = "| key | type | default | description |\n|---|---|---|---|";
        write!(page, "\n## `{title}`\n\n{about}\n\n{table}\n").unwrap();
        for (key, schema) in section_keys(section) {
            let default = default_value(schema).map(|value| format!("`{value}`"));
            let (kind, default) = (toml_type(schema), default.unwrap_or_default());
            writeln!(page, "| `{key}` | {kind} | {default} | {} |", description(schema)).unwrap();
        }
    }
    page
}

fn description(schema: &Value) -> String {
    schema["description"].as_str().unwrap().replace('\n', " ")
}

/// Returns the default as it is written in TOML. A key that may be unset, and an empty list, have
/// none.
fn default_value(schema: &Value) -> Option<String> {
    match &schema["default"] {
        Value::Null => None,
        Value::Array(items) if items.is_empty() => None,
        value => Some(value.to_string()),
    }
}

/// Names the type as TOML does.
fn toml_type(schema: &Value) -> &'static str {
    let name = match &schema["type"] {
        Value::Array(names) => names[0].as_str(),
        name => name.as_str(),
    };
    match name.unwrap() {
        "string" => "string",
        "integer" => "integer",
        "boolean" => "boolean",
        "array" => "array of strings",
        "object" => "table",
        other => panic!("{other}"),
    }
}

#[test]
fn the_reference_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = reference_page();
    if std::env::var_os("VIPD_WRITE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap();
    assert!(found == page, "VIPD_WRITE_DOCS=1 cargo test reference writes docs/configuration.md");
}

/// The schema as editors and linters read it, which `vipd config schema` prints.
#[test]
fn the_schema_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/vipd.schema.json");
    let schema = format!("{:#}\n", file_schema());
    if std::env::var_os("VIPD_WRITE_DOCS").is_some() {
        std::fs::write(path, &schema).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap();
    assert!(
        found == schema,
        "VIPD_WRITE_DOCS=1 cargo test reference writes deploy/vipd.schema.json"
    );
}

#[test]
fn the_schema_takes_what_the_code_takes_and_refuses_what_it_refuses() {
    let schema: Value = serde_json::from_str(super::SCHEMA).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let is_valid = |text: &str| {
        let file: Value = toml::from_str(text).unwrap();
        let (_, problems) = super::resolve_keys(text, Ok).unwrap();
        assert_eq!(validator.is_valid(&file), problems.is_empty(), "{text}: {problems:?}");
        problems.is_empty()
    };
    for valid in [
        "",
        super::file::tests::INSTALLED,
        &super::file::tests::with_every_key(),
        "[vip.owner]\n'3.3.0.0/16' = {source = 'main', path = '/shop'}\n",
    ] {
        assert!(is_valid(valid), "{valid}");
    }
    for invalid in [
        "[agnet]\n",
        "[node]\ninterfase = 'vipd0'\n",
        "[agent]\nsync-period = '30'\n",
        "[agent]\nagents = -1\n",
        "[vip]\nno-such-key = 1\n",
        "[vip.owner]\n'3.3.0.0/16' = {source = 'main'}\n",
        "[[marathon]]\nurls = 'http://m1:8080'\n",
    ] {
        assert!(!is_valid(invalid), "{invalid}");
    }
}

/// Values of the right type that no node can have.
#[test]
fn the_schema_refuses_values_that_are_refused_at_the_start() {
    let schema: Value = serde_json::from_str(super::SCHEMA).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let is_valid = |text: &str| validator.is_valid(&toml::from_str::<Value>(text).unwrap());
    for (section, invalid, valid) in [
        ("node", "guard = 'ON'", "guard = 'off'"),
        ("node", "masquerade = 'on'", "masquerade = 'always'"),
        ("node", "local-servers = 'host'", "local-servers = 'host-port'"),
        ("node", "interface = 'a/b'", "interface = 'vipd0'"),
        ("log", "level = 'INFO'", "level = 'trace'"),
        ("probe", "mode = 'on'", "mode = 'observe'"),
        ("probe", "interval = '99'", "interval = '250ms'"),
        ("firewall", "allow = 'on'", "allow = 'insert'"),
        ("names", "resolver = 'dnsmasq'", "resolver = 'resolved'"),
        ("agent", "sync-period = 0", "sync-period = 3600"),
        ("agent", "linger = 86401", "linger = 86400"),
        ("agent", "doubt = '15'", "doubt = '1h 30m'"),
        ("agent", "listen = '127.0.0.1:0'", "listen = '[::1]:9614'"),
        ("ipvs", "tcp-timeout = 2678401", "tcp-timeout = 2678400"),
        ("relay", "max-clients = 0", "max-clients = 16384"),
        ("relay", "relays = 0", "relays = 1"),
        ("relay", "listen = 'x'", "listen = '0.0.0.0:9615'"),
        ("[marathon]", "name = 'a'", "urls = ['http://m1:8080']"),
        ("[marathon]", "urls = []", "urls = ['http://m1:8080']"),
    ] {
        assert!(!is_valid(&format!("[{section}]\n{invalid}\n")), "{section} {invalid}");
        assert!(is_valid(&format!("[{section}]\n{valid}\n")), "{section} {valid}");
    }
}

/// serde's error names the words that it knows.
#[test]
fn the_schema_has_every_word_of_a_key() {
    for (name, section) in &sections() {
        for (key, schema) in section_keys(section) {
            let Some(words) = schema["enum"].as_array() else { continue };
            let text = format!("[{name}]\n{key} = 'no-such-word'\n");
            let (_, problems) = super::resolve_keys(&text, Ok).unwrap();
            let known: Vec<_> = problems[0].reason.split('`').skip(3).step_by(2).collect();
            assert_eq!(&known, words, "{text}");
        }
    }
}

/// serde's error names the keys that it knows. For `[vip]` they come from another type than the
/// reference does.
#[test]
fn the_reference_has_every_key_of_vip() {
    let (_, problems) = super::resolve_keys("[vip]\nno-such-key = 1\n", Ok).unwrap();
    let error = &problems[0].reason;
    let known: Vec<_> = error.split('`').skip(3).step_by(2).collect();
    let described = sections();
    assert_eq!(known, section_keys(&described["vip"]).keys().collect::<Vec<_>>(), "{error}");
}

#[test]
fn the_file_that_is_installed_shows_the_defaults() {
    let installed = include_str!("../../deploy/vipd.toml");
    for (name, section) in &sections() {
        let heads = [format!("[{name}]"), format!("#[[{name}]]")];
        let lines = installed.lines().skip_while(|line| !heads.iter().any(|head| head == line));
        let lines: Vec<_> = lines.skip(1).take_while(|line| !line.starts_with('[')).collect();
        for (key, schema) in section_keys(section) {
            if let Some(default) = default_value(schema) {
                let expected = format!("#{key} = {default}");
                assert!(lines.contains(&expected.as_str()), "[{name}] lacks {expected}: {lines:?}");
            }
        }
    }
}

#[test]
fn the_api_shows_every_key() {
    let api: Value = serde_json::from_str(include_str!("../admin/openapi.json")).unwrap();
    let shown = &api["components"]["schemas"]["Config"]["properties"];
    for (name, section) in &sections() {
        // Of a Marathon only what isn't secret is shown.
        if name == "marathon" {
            continue;
        }
        for key in section_keys(section).keys() {
            let known = &shown[name]["properties"][key];
            assert!(known.is_object(), "/v1/config lacks {name}.{key}");
        }
    }
}
