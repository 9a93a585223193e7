//! Problems of the configuration file: where they are, and what is left of the file without them.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use anyhow::{Error, Result, anyhow};
use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::file::ConfigFile;
use super::key_error::{KeyError, is_denied, split_error};

/// A problem of the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigProblem {
    /// The line, if it is about one.
    pub line: Option<usize>,
    /// The column in that line.
    pub column: Option<usize>,
    /// The key with its table, such as `agent.listen`, if it is about one.
    pub key: Option<String>,
    /// Why the value isn't taken, and what to do. It repeats no value that may be secret.
    pub reason: String,
    /// This process may not read what it is about, so there may be no problem at all.
    #[serde(rename = "denied", skip_serializing_if = "std::ops::Not::not")]
    pub is_denied: bool,
    /// A reload refuses it, and a start takes it.
    #[serde(rename = "reload_only", skip_serializing_if = "std::ops::Not::not")]
    pub is_reload_only: bool,
}

impl ConfigProblem {
    /// Creates the problem of the file as a whole.
    #[must_use]
    pub fn of_file(error: &Error) -> Self {
        let (reason, is_denied) = (format!("{error:#}"), is_denied(error));
        Self { line: None, column: None, key: None, reason, is_denied, is_reload_only: false }
    }

    /// Creates the problem that an error is about, at its key in the text of the file.
    #[must_use]
    pub fn of_error(text: &str, error: &Error) -> Self {
        let (document, _) = DeTable::parse_recoverable(text);
        let place = error.downcast_ref().and_then(|at| Place::of_key(document.get_ref(), at));
        match place {
            Some(place) => Self::at_place(text, &place, error),
            None => Self::of_file(error),
        }
    }

    /// Returns whether what is known of the Marathons may be incomplete with it.
    #[must_use]
    pub fn may_concern_marathons(&self) -> bool {
        self.key.as_ref().is_none_or(|key| key.starts_with("marathon"))
    }

    /// Returns whether labels may be judged otherwise with it: which VIPs are allowed, and whose they are.
    #[must_use]
    pub fn may_concern_labels(&self) -> bool {
        let is_such = |key: &String| {
            let table = key.split_once('.').map_or("", |(table, _)| table);
            !matches!(table, "marathon" | "agent" | "ipvs" | "probe" | "firewall" | "log" | "relay")
        };
        self.line.is_some() && self.key.as_ref().is_none_or(is_such)
    }

    /// Returns whether another interface or lock may be meant than is known with it.
    #[must_use]
    pub fn may_concern_node(&self) -> bool {
        const OTHERS: [&str; 10] = [
            "marathon", "agent", "ipvs", "probe", "firewall", "names", "cluster", "vip", "log",
            "relay",
        ];
        let is_other = |key: &String| {
            let table = key.split_once('.').map_or(key.as_str(), |(table, _)| table);
            OTHERS.contains(&table)
        };
        !self.key.as_ref().is_some_and(is_other)
    }

    fn at_place(text: &str, place: &Place, error: &Error) -> Self {
        let reason = format!("{error:#}");
        let problem = Self::at_offset(text, place.span.start, Some(place.name()), reason);
        Self { is_denied: is_denied(error), ..problem }
    }

    fn at_offset(text: &str, offset: usize, key: Option<String>, reason: String) -> Self {
        let before = text.get(..offset).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let (line, column) = (Some(line), Some(column));
        Self { line, column, key, reason, is_denied: false, is_reload_only: false }
    }
}

/// Writes `line 2, column 1: ...`.
impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.reason)
    }
}

/// Resolves a file key by key: a key with a problem is left out, so that each problem is found, and
/// the others count.
///
/// # Errors
/// When `resolve` fails for another reason than a key of the file.
pub fn resolve_keys<T>(
    text: &str,
    resolve: impl Fn(ConfigFile) -> Result<T>,
) -> Result<(T, Vec<ConfigProblem>)> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut tables = document.into_inner();
    let mut problems = Vec::new();
    // What was removed, each with the start of its table: that it is missing is no other problem.
    let mut removed = BTreeSet::new();
    for error in errors {
        let offset = error.span().unwrap_or_default().start;
        // What the parser makes of a line that is no TOML is a guess.
        removed.extend(remove_line(&mut tables, text, offset));
        let reason = hide_values(error.message());
        problems.push(ConfigProblem::at_offset(text, offset, None, reason));
    }
    loop {
        let errors = match parse_tables(&tables) {
            Ok(file) => match resolve(file) {
                Ok(resolved) => return Ok((resolved, problems)),
                Err(error) => split_error(error),
            },
            Err(error) => {
                let Some(place) = Place::of_parse_error(&tables, &error) else {
                    return Err(anyhow!(hide_values(error.message())));
                };
                let reason = describe_parse_error(text, &place, &error);
                let inner = place.find_inner(&tables, &error);
                removed.extend(place.remove_from(&mut tables));
                let (at, name) = match inner {
                    Some((at, key)) => (at, format!("{}.{key:?}", place.name())),
                    None => (place.span.start, place.name()),
                };
                problems.push(ConfigProblem::at_offset(text, at, Some(name), reason));
                continue;
            }
        };
        let mut at_fault = Vec::new();
        for error in errors {
            let found = error.downcast_ref::<KeyError>();
            let found = found.and_then(|at| Some((Place::of_key(&tables, at)?, at.key.to_owned())));
            let Some((place, key)) = found else { return Err(error) };
            if !removed.contains(&(place.start, key)) {
                problems.push(ConfigProblem::at_place(text, &place, &error));
            }
            at_fault.push(place);
        }
        removed.extend(at_fault.iter().flat_map(|place| place.remove_from(&mut tables)));
    }
}

fn parse_tables(tables: &DeTable<'_>) -> Result<ConfigFile, toml::de::Error> {
    let length = tables.values().map(|value| value.span().end).max().unwrap_or_default();
    let document = Spanned::new(0..length, tables.clone());
    ConfigFile::deserialize(toml::Deserializer::from(document))
}

/// Says what is wrong with a value, and what to write.
fn describe_parse_error(text: &str, place: &Place, error: &toml::de::Error) -> String {
    let message = error.message();
    // A URL, a user or a proxy may hold a secret, and so may a key that isn't known.
    let is_secret = matches!(place.table.as_str(), "marathon" | "relay") || place.key.is_none();
    let remedy = if message.starts_with("invalid type: map, expected a sequence") {
        format!(": write [[{}]], in two pairs of brackets", place.name())
    } else if message.starts_with("invalid type: string") {
        let expected = message.rsplit("expected ").next().unwrap_or_default();
        match expected {
            "a sequence" => ": write a list, as [\"...\"]".to_owned(),
            "a boolean" => ": write true or false, without quotes".to_owned(),
            _ if is_whole_number(expected) => ": write a whole number, without quotes".to_owned(),
            _ => String::new(),
        }
    } else {
        String::new()
    };
    if is_secret {
        return format!("{}{remedy}", hide_values(message));
    }
    // What the parser doesn't quote, such as an entry of a list that is no prefix.
    let written = error.span().and_then(|span| text.get(span)).unwrap_or_default();
    let is_told = written.is_empty() || written.contains('\n') || message.contains(written);
    let is_entry = written.starts_with('"') && !is_told;
    let entry = if is_entry { format!("{written}: ") } else { String::new() };
    format!("{entry}{message}{remedy}")
}

/// Returns whether serde's name of a type is that of a whole number.
fn is_whole_number(name: &str) -> bool {
    name.strip_prefix(['u', 'i']).is_some_and(|bits| {
        bits == "size" || !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Replaces the quoted parts of a TOML error: these are values, and a secret may have landed in the
/// wrong place. Keys are in backticks.
fn hide_values(message: &str) -> String {
    let parts = message.split('"').enumerate();
    parts.map(|(number, part)| if number % 2 == 0 { part } else { "\"...\"" }).collect()
}

/// The place of a table or of a key.
#[derive(Debug)]
struct Place {
    table: String,
    /// The number of the table, where it may be repeated; `None`: all of them.
    index: Option<usize>,
    /// The key; `None`: the table itself.
    key: Option<String>,
    /// Where the table begins, whatever is removed.
    start: usize,
    /// The bytes from the name to the end of the value.
    span: Range<usize>,
}

impl Place {
    /// Finds the key around an offset; without one there, the table.
    fn at_offset(tables: &DeTable<'_>, offset: usize) -> Option<Self> {
        let places = list_places(tables).into_iter();
        let around = places.filter(|place| (place.span.start..=place.span.end).contains(&offset));
        around.max_by_key(|place| (place.key.is_some(), place.span.start))
    }

    /// Finds the key of an error of the parser. One whose place isn't that of a key is about a key
    /// without which the error is another one.
    fn of_parse_error(tables: &DeTable<'_>, error: &toml::de::Error) -> Option<Self> {
        if let Some(place) = error.span().and_then(|span| Self::at_offset(tables, span.start)) {
            return Some(place);
        }
        let is_at_fault = |place: &Self| {
            let mut others = tables.clone();
            place.remove_from(&mut others);
            parse_tables(&others).err().is_none_or(|other| other.message() != error.message())
        };
        let mut places = list_places(tables);
        // Keys before whole tables.
        places.sort_by_key(|place| place.key.is_none());
        places.into_iter().find(is_at_fault)
    }

    /// Finds the key in a table that is a value, as in `[vip.owner]`, which an error is about. Returns
    /// where it is, and its text.
    fn find_inner(&self, tables: &DeTable<'_>, error: &toml::de::Error) -> Option<(usize, String)> {
        let value = tables.get(self.table.as_str())?.get_ref().as_table()?;
        let inner = value.get(self.key.as_deref()?)?.get_ref().as_table()?;
        let offset = error.span()?.start;
        let (key, _) = inner
            .iter()
            .find(|(key, value)| (key.span().start..=value.span().end).contains(&offset))?;
        Some((key.span().start, key.get_ref().to_string()))
    }

    /// Finds the key of an error; where it isn't in the file, its table.
    fn of_key(tables: &DeTable<'_>, error: &KeyError) -> Option<Self> {
        let is_meant = |place: &Self| {
            place.table == error.table
                && place.index.is_none_or(|index| index == error.index.unwrap_or_default())
                && place.key.as_ref().is_none_or(|key| key == error.key)
        };
        let found = list_places(tables).into_iter().filter(is_meant);
        found.max_by_key(|place| (place.key.is_some(), place.index))
    }

    fn name(&self) -> String {
        match &self.key {
            Some(key) => format!("{}.{key}", self.table),
            None => self.table.clone(),
        }
    }

    /// Removes it, and with a key those that mean something else without it. Returns the keys, each with
    /// the start of its table.
    fn remove_from(&self, tables: &mut DeTable<'_>) -> Vec<(usize, String)> {
        let Some(index) = self.index else {
            tables.remove(self.table.as_str());
            return Vec::new();
        };
        let place = match tables.get_mut(self.table.as_str()).map(Spanned::get_mut) {
            Some(DeValue::Array(items)) if self.key.is_none() => {
                let mut others = DeArray::new();
                let all = items.iter().enumerate().filter(|(number, _)| *number != index);
                all.for_each(|(_, item)| others.push(item.clone()));
                *items = others;
                return Vec::new();
            }
            Some(DeValue::Array(items)) => items.get_mut(index).map(Spanned::get_mut),
            table => table,
        };
        let (Some(DeValue::Table(table)), Some(key)) = (place, &self.key) else {
            return Vec::new();
        };
        table.remove(key.as_str());
        let partners = list_partners(&self.table, key);
        partners.iter().for_each(|partner| drop(table.remove(*partner)));
        let keys = partners.iter().map(|partner| (*partner).to_owned()).chain([key.clone()]);
        keys.map(|key| (self.start, key)).collect()
    }
}

/// Lists the keys that without `key` would be wrong or mean something else, though they are right.
fn list_partners(table: &str, key: &str) -> &'static [&'static str] {
    match (table, key) {
        ("marathon", "user" | "user-file" | "password-file") => {
            &["user", "user-file", "password-file"]
        }
        ("marathon", "client-cert-file" | "client-key-file") => {
            &["client-cert-file", "client-key-file"]
        }
        ("marathon", "relay-cert-file" | "relay-key-file") => {
            &["relay-cert-file", "relay-key-file"]
        }
        ("relay", "token-file") => &["listen"],
        ("relay", "cert-file" | "key-file" | "client-ca-file") => {
            &["cert-file", "key-file", "client-ca-file", "listen"]
        }
        _ => &[],
    }
}

/// Lists every table and every key.
fn list_places(tables: &DeTable<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for (name, value) in tables {
        let table = name.get_ref().to_string();
        let span = name.span().start..value.span().end;
        places.push(Place {
            table: table.clone(),
            index: None,
            key: None,
            start: span.start,
            span,
        });
        let repeated = value.get_ref().as_array();
        let single = value.get_ref().is_table().then_some(value);
        for (index, item) in repeated.into_iter().flatten().chain(single).enumerate() {
            let Some(keys) = item.get_ref().as_table() else { continue };
            let place = |key: Option<String>, span: Range<usize>| Place {
                table: table.clone(),
                index: Some(index),
                key,
                start: item.span().start,
                span,
            };
            if repeated.is_some() {
                places.push(place(None, item.span()));
            }
            places.extend(keys.iter().map(|(key, value)| {
                place(Some(key.get_ref().to_string()), key.span().start..value.span().end)
            }));
        }
    }
    places
}

/// Removes the keys that lie at least partly on the line at an offset. Returns them as
/// [`Place::remove_from`] does.
fn remove_line(tables: &mut DeTable<'_>, text: &str, offset: usize) -> Vec<(usize, String)> {
    let mut removed = Vec::new();
    let start = text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let end =
        text.get(offset..).and_then(|after| after.find('\n')).map_or(text.len(), |at| offset + at);
    for place in list_places(tables) {
        if place.key.is_some() && place.span.start <= end && place.span.end >= start {
            removed.extend(place.remove_from(tables));
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::super::{Secrets, parse_urls};
    use super::*;

    /// Resolves a file, and returns its socket, its interface and its problems.
    fn resolve(text: &str) -> (String, String, Vec<String>) {
        let (resolved, problems) = resolve_keys(text, |file| {
            for (index, section) in file.marathon.iter().enumerate() {
                section.resolve(Secrets::Read).map_err(|mut error| {
                    KeyError::set_index(&mut error, index);
                    error
                })?;
            }
            file.names.resolve()?;
            let socket = file.agent.resolve()?.socket.display().to_string();
            Ok((socket, file.node.interface))
        })
        .unwrap();
        let (socket, interface) = resolved;
        let describe = |problem: &ConfigProblem| {
            format!("{} {problem}", problem.key.as_deref().unwrap_or_default())
        };
        (socket, interface, problems.iter().map(describe).collect())
    }

    #[test]
    fn each_problem_is_found_and_every_other_key_counts() {
        let (socket, interface, problems) = resolve(
            "[[marathon]]\nurls = [\"http://m1:8080\"]\n\n[[marathon]]\nurls = [\"nowhere\"]\n\
             user = \"vipd\"\n[agent]\nsync-period = 0\nsocket = \"/run/s\"\ndoubt = \"soon\"\n\
             [node]\ninterfase = \"x\"\ninterface = \"vip7\"\nstrict-arp = \"yes\"\n\
             [agnet]\nlisten = 1\n[vip.owner]\n\"3.3.0.0/16\" = 5\n",
        );
        assert_eq!((socket.as_str(), interface.as_str()), ("/run/s", "vip7"));
        let starts: Vec<_> = problems.iter().map(|it| it.split(": ").next().unwrap()).collect();
        let expected = [
            "agnet line 15, column 2",
            "node.interfase line 12, column 1",
            "node.strict-arp line 14, column 1",
            "marathon.user line 6, column 1",
            "marathon.urls line 5, column 1",
            "agent.sync-period line 8, column 1",
            "agent.doubt line 10, column 1",
            "vip.owner.\"3.3.0.0/16\" line 18, column 1",
        ];
        assert_eq!(starts.len(), expected.len(), "{problems:#?}");
        assert!(expected.iter().all(|place| starts.contains(place)), "{problems:#?}");
    }

    #[test]
    fn a_line_that_is_no_toml_costs_no_other_key() {
        let (socket, interface, problems) = resolve(
            "[agent]\nsocket = \"/run/s\"\nlisten = \n[node]\ninterface = vip7\nname = \"n\"\n",
        );
        assert_eq!((socket.as_str(), interface.as_str()), ("/run/s", "vipd0"));
        assert!(problems.iter().any(|problem| problem.contains("line 3")), "{problems:#?}");
        assert!(problems.iter().any(|problem| problem.contains("line 5")), "{problems:#?}");
        for text in ["[agent", "=", "[agent]\n[agent]\n", "agent = 5\n", "\"", "marathon = [1]\n"] {
            let (socket, _, problems) = resolve(text);
            assert_eq!(
                (socket.as_str(), problems.is_empty()),
                ("/run/vipd/agent.sock", false),
                "{text}"
            );
        }
    }

    #[test]
    fn no_problem_repeats_a_value() {
        for text in [
            "[[marathon]]\nurls = \"http://vipd:hunter2@m1:8080\"\n",
            "[[marathon]]\nurls = [\"http://vipd:hunter2@m1:8080\"]\n",
            "[[marathon]]\nproxy = \"vipd:hunter2@p\"\n",
            "[[marathon]]\npassword = \"hunter2\"\n",
            "[[marathon]]\nname = hunter2\n",
        ] {
            let (.., problems) = resolve(text);
            let told = problems.join("\n");
            assert!(told.contains("line 2") && !told.contains("hunter2"), "{told}");
        }
        let error = parse_urls(["http://m1:8080", "http://vipd:hunter2@m1:8080"]).unwrap_err();
        assert!(!format!("{error:#}").contains("hunter2"), "{error:#}");
    }

    #[test]
    fn a_problem_says_what_to_write_and_which_entry_it_is_about() {
        for (text, expected) in [
            ("[marathon]\nurls = [\"http://m1:8080\"]\n", "write [[marathon]]"),
            ("[[marathon]]\nurls = \"http://m1:8080\"\n", "write a list, as [\"...\"]"),
            (
                "[agent]\nsync-period = \"30\"\n",
                "string \"30\", expected u64: write a whole number",
            ),
            ("[node]\nstrict-arp = \"yes\"\n", "write true or false, without quotes"),
            ("[vip]\nallow = [\"3.0.0.0/8\", \"x\"]\n", "line 2, column 1: \"x\": "),
            ("[vip.owner]\n\"shop-*\" = \"/shop\"\n\"x y\" = \"/a\"\n", "line 3, column 1: "),
            ("[vip.owner]\n\"shop-*\" = \"/shop\"\n\"x y\" = \"/a\"\n", "\"x y\""),
        ] {
            let (.., problems) = resolve(text);
            assert_eq!(problems.len(), 1, "{problems:#?}");
            assert!(problems[0].contains(expected), "{expected}: {}", problems[0]);
        }
    }

    #[test]
    fn each_table_concerns_what_it_is_about() {
        let schema: serde_json::Value = serde_json::from_str(crate::config::SCHEMA).unwrap();
        let tables = schema["properties"].as_object().unwrap();
        assert!(tables.contains_key("relay"));
        for table in tables.keys() {
            let key = Some(format!("{table}.any"));
            let problem =
                ConfigProblem { key, ..ConfigProblem::at_offset("", 0, None, String::new()) };
            assert_eq!(problem.may_concern_node(), table == "node", "{table}");
            let is_of_labels = ["node", "vip", "names", "cluster"].contains(&table.as_str());
            assert_eq!(problem.may_concern_labels(), is_of_labels, "{table}");
        }
    }

    #[test]
    fn a_key_on_a_line_that_is_no_toml_is_not_said_to_be_missing() {
        let (.., problems) = resolve("[[marathon]]\nurls = [http://m1]\n");
        assert_eq!(problems.len(), 1, "{problems:#?}");
    }

    #[test]
    fn an_error_of_no_key_is_an_error() {
        let refused =
            resolve_keys("", |_| Err::<(), _>(anyhow!("--firewall insert needs prefixes")));
        assert!(refused.is_err());
    }
}
