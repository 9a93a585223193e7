//! The man pages: of each command from its definition, and of the configuration from its schema.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use clap::{Arg, Command};
use clap_mangen::Man;
use serde_json::{Map, Value};

use crate::config::SCHEMA;
use crate::version::BUILD;

/// Files that the page of every command names.
const FILES: &[(&str, &str)] = &[
    ("/etc/vipd/vipd.toml", "The configuration: see vipd.toml(5)."),
    ("/run/vipd/lock", "Keeps two writers apart."),
    ("/run/vipd/agent.sock", "The socket of the running agent, for commands."),
    ("/run/vipd/hold", "The hold of this node, if there is one."),
    ("/run/vipd/zone", "The names of VIPs, written by the agent for the name server."),
    ("/run/vipd-setup/ipv6-forwarding", "How IPv6 forwarding was, for vipd doctor --undo."),
    ("/var/lib/vipd", "Saved answers of Marathon, for a start without it."),
];

/// Variables that no flag has.
const VARIABLES: &[(&str, &str)] = &[
    ("CREDENTIALS_DIRECTORY", "Where systemd has put the credentials that credential:NAME means."),
    ("NO_COLOR", "If it is set and not empty, there are no colours."),
    ("TERM", "With dumb, or without it, there are neither colours nor a screen of --watch."),
];

/// What begins the part of a command's description that is a section of its own.
const EXIT_STATUS: &str = "Exit status: ";

/// Writes the pages of a command, of all below it, and of the configuration to a directory.
pub(super) fn write_pages(command: Command, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut command = show_all_flags(command.disable_help_subcommand(true));
    command.build();
    write_commands(&command, folder)?;
    fs::write(folder.join("vipd.toml.5"), configuration_page())
}

/// Shows the flags that the short help leaves out: a page would have them without their description.
fn show_all_flags(command: Command) -> Command {
    let command = command.mut_args(|arg| arg.hide_short_help(false));
    command.mut_subcommands(show_all_flags)
}

fn write_commands(command: &Command, folder: &Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        write_commands(below, folder)?;
    }
    let mut page = Vec::new();
    let name = render_page(command, &mut page)?;
    fs::write(folder.join(name), page)
}

/// Renders the page of a command, and returns the name of its file.
fn render_page(command: &Command, page: &mut Vec<u8>) -> io::Result<String> {
    let about = command.get_long_about().or(command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    let (description, status) = split_exit_status(&about);
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let plain = command.clone().long_about(description).after_help("");
    let man = Man::new(plain).source(format!("vipd {}", BUILD.version)).manual("vipd");
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if command.get_subcommands().next().is_some() {
        man.render_subcommands_section(page)?;
    }
    let mut rest = String::new();
    if let Some(lines) = examples.strip_prefix("Examples:\n") {
        section(&mut rest, "EXAMPLES");
        let _ = writeln!(rest, ".nf\n{}\n.fi", escape(lines));
    }
    let variables = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let variables = variables.filter_map(|arg| Some((arg.get_env()?.to_str()?, meaning(arg)?)));
    let others = VARIABLES.iter().map(|(name, text)| (*name, (*text).to_owned()));
    section(&mut rest, "ENVIRONMENT");
    variables.chain(others).for_each(|(name, text)| item(&mut rest, name, &text));
    section(&mut rest, "FILES");
    FILES.iter().for_each(|(name, text)| item(&mut rest, name, text));
    section(&mut rest, "EXIT STATUS");
    let status = status.unwrap_or("0 done, 2 error. Each command's page says more.");
    let _ = writeln!(rest, "{}", escape(status));
    section(&mut rest, "SEE ALSO");
    rest.push_str(".BR vipd (1),\n.BR vipd.toml (5),\n.BR ipvsadm (8),\n.BR nft (8)\n");
    page.write_all(rest.as_bytes())?;
    Ok(man.get_filename())
}

/// Splits a description into what the command does and what its exit status means.
fn split_exit_status(about: &str) -> (String, Option<&str>) {
    let paragraphs = about.split("\n\n");
    let (status, others): (Vec<_>, Vec<_>) =
        paragraphs.partition(|paragraph| paragraph.starts_with(EXIT_STATUS));
    let status = status.first().and_then(|status| status.strip_prefix(EXIT_STATUS));
    (others.join("\n\n"), status)
}

fn meaning(arg: &Arg) -> Option<String> {
    let flag = arg.get_long()?;
    Some(format!("The value of --{flag}, unless that is given."))
}

/// Renders vipd.toml(5), from the types that the file is parsed into.
fn configuration_page() -> String {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap_or_default();
    let mut page = format!(
        ".TH vipd.toml 5 \"\" \"vipd {}\" vipd\n.SH NAME\nvipd.toml \\- configuration of vipd\n\
         .SH SYNOPSIS\n/etc/vipd/vipd.toml\n.SH DESCRIPTION\n",
        BUILD.version
    );
    page.push_str(
        "The file is TOML. Every key is optional; an unknown key is an error, reported with its line\n\
         and column. A flag takes precedence over the environment, and the environment over the\n\
         file.\n.PP\n\
         .B vipd config check\nshows every problem of a file, and\n.B vipd config schema\n\
         prints its JSON schema.\n.B systemctl reload vipd\n\
         applies a changed file without disturbing connections; an invalid one is refused.\n",
    );
    let sections = schema["properties"].as_object().cloned().unwrap_or_default();
    for (name, about) in &sections {
        let items = about.get("items");
        let title = if items.is_some() { format!("[[{name}]]") } else { format!("[{name}]") };
        section(&mut page, &title);
        let _ = writeln!(page, "{}", escape(&description(about)));
        let keys = items.unwrap_or(about)["properties"].as_object();
        for (key, value) in keys.unwrap_or(&Map::new()) {
            item(&mut page, key, &describe_key(value));
        }
    }
    section(&mut page, "FILES");
    page.push_str(
        "/etc/vipd/vipd.toml\n.PP\n/usr/share/vipd/vipd.schema.json\n.SH \"SEE ALSO\"\n\
         .BR vipd (1),\n.BR vipd\\-config\\-check (1)\n",
    );
    page
}

fn description(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ")
}

/// Describes a key with its type and its default.
fn describe_key(schema: &Value) -> String {
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        kind => kind.as_str(),
    };
    let kind = match kind {
        Some("array") => "array of strings",
        Some("object") => "table",
        Some(kind) => kind,
        None => "value",
    };
    let default = match &schema["default"] {
        Value::Null => String::new(),
        Value::Array(items) if items.is_empty() => String::new(),
        value => format!(", default {value}"),
    };
    format!("{} ({kind}{default})", description(schema))
}

fn section(page: &mut String, title: &str) {
    let _ = writeln!(page, ".SH \"{title}\"");
}

fn item(page: &mut String, name: &str, text: &str) {
    let _ = writeln!(page, ".TP\n.B {}\n{}", escape(name), escape(text));
}

/// Escapes text: a backslash, a minus sign, and what begins a line of requests.
fn escape(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_a_request() {
        assert_eq!(escape(".so /etc/passwd\n'a \\ --b"), "\\&.so /etc/passwd\n\\&'a \\e \\-\\-b");
    }

    #[test]
    fn the_exit_status_is_a_section_of_its_own() {
        let (rest, status) = split_exit_status("One.\n\nExit status: 0 done,\n2 error.\n\nTwo.");
        assert_eq!((rest.as_str(), status), ("One.\n\nTwo.", Some("0 done,\n2 error.")));
        assert_eq!(split_exit_status("One."), ("One.".to_owned(), None));
    }
}
