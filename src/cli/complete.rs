//! `vipd complete-values`: what completions of shells ask for the words that only the agent knows.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::{Arg, Args, Command};

use super::end::End;
use super::global::Global;
use super::output;
use crate::admin::client::{AgentClient, NoAgent};
use crate::config::Secrets;
use crate::report::vips::VipReport;

/// The most values that are offered.
const MOST: usize = 2000;

/// What a word of a command line may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A VIP, as `ADDRESS:PORT`.
    Vip,
    /// A VIP that a service of another program blocks.
    BlockedVip,
    /// An app or a pod.
    App,
    /// The DNS name of a VIP.
    DnsName,
    /// The name of a VIP without its DNS zone.
    Name,
    /// A task. There are many: only those that begin with what was typed are offered.
    Task,
    /// A real server, as `ADDRESS:PORT`; as with tasks.
    Server,
    /// A Marathon.
    Marathon,
}

/// The arguments whose values the agent knows: command, argument, kinds.
const KNOWN: &[(&str, &str, &[Kind])] = &[
    ("explain", "what", &[Kind::App, Kind::Vip, Kind::DnsName, Kind::Task, Kind::Server]),
    ("status", "what", &[Kind::App, Kind::Vip, Kind::Name, Kind::Server]),
    ("try", "what", &[Kind::Vip, Kind::DnsName, Kind::App]),
    ("names", "what", &[Kind::Name, Kind::App]),
    ("names", "reassign", &[Kind::Name]),
    ("adopt", "vips", &[Kind::BlockedVip]),
    ("accept", "source", &[Kind::Marathon]),
];

/// Print what the last word of a command line may be, one value a line; nothing if no agent answers
#[derive(Debug, Args)]
pub(super) struct CompleteValues {
    /// The time that the agent has to answer, in milliseconds: a shell waits for it at each press of the key
    #[arg(long, value_name = "MILLISECONDS", default_value = "200")]
    patience: u64,
    /// The words after `vipd`
    #[arg(last = true)]
    words: Vec<String>,
}

/// The word to complete.
#[derive(Debug, Default, PartialEq, Eq)]
struct Place {
    /// What it may be.
    kinds: &'static [Kind],
    /// The flags before it that every command has.
    global: Vec<String>,
    /// The agent that `--url` names.
    url: Option<String>,
}

impl CompleteValues {
    /// `parse` reads the options of every command from a command line.
    pub(super) fn run(
        &self,
        mut command: Command,
        parse: fn(Vec<String>) -> Option<Global>,
    ) -> Result<End> {
        command.build();
        let Some((word, before)) = self.words.split_last() else { return Ok(End::Fine) };
        let place = find_place(&command, before, word);
        if place.kinds.is_empty() {
            return Ok(End::Fine);
        }
        let Some(global) = parse(place.global.clone()) else { return Ok(End::Fine) };
        let word = word.clone();
        let (sender, receiver) = mpsc::channel();
        // Whatever it waits for, nobody waits for it.
        thread::spawn(move || sender.send(ask_agent(&global, &place, &word)));
        let values = receiver
            .recv_timeout(Duration::from_millis(self.patience))
            .ok()
            .flatten()
            .unwrap_or_default();
        output::print_with(|out| {
            values.iter().take(MOST).try_for_each(|value| writeln!(out, "{value}"))
        })?;
        Ok(End::Fine)
    }
}

/// Finds what the last word may be, by the words before it.
fn find_place(root: &Command, before: &[String], word: &str) -> Place {
    let mut place = Place::default();
    let mut command = root;
    let mut positional = 0;
    // The option whose value comes next.
    let mut open: Option<&Arg> = None;
    let mut are_flags_over = false;
    // Bash takes `=` for a word of its own.
    for text in before.iter().filter(|text| *text != "=") {
        if let Some(option) = open.take() {
            place.note(option, text);
        } else if are_flags_over || !text.starts_with('-') {
            match command.find_subcommand(text).filter(|_| positional == 0 && !are_flags_over) {
                Some(found) => command = found,
                None => positional += 1,
            }
        } else if text == "--" {
            are_flags_over = true;
        } else if let Some(long) = text.strip_prefix("--") {
            let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
            let option = command.get_arguments().find(|arg| arg.get_long() == Some(name));
            let option = option.filter(|option| option.get_action().takes_values());
            match (option, value) {
                (Some(option), Some(value)) => place.note(option, value),
                (option, _) => open = option,
            }
        }
    }
    let is_flag = word.starts_with('-') && !are_flags_over;
    let argument = match open {
        None if is_flag => None,
        None => {
            let many = || command.get_positionals().find(|argument| takes_many(argument));
            command.get_positionals().nth(positional).or_else(many)
        }
        option => option,
    };
    let id = argument.map(|argument| argument.get_id().as_str());
    let known = KNOWN.iter().find(|known| known.0 == command.get_name() && Some(known.1) == id);
    place.kinds = known.map(|known| known.2).unwrap_or_default();
    place
}

fn takes_many(argument: &Arg) -> bool {
    argument.get_num_args().is_some_and(|count| count.max_values() > 1)
}

impl Place {
    /// Keeps the value of an option that says which agent is meant.
    fn note(&mut self, option: &Arg, value: &str) {
        let Some(long) = option.get_long() else { return };
        if long == "url" {
            self.url = Some(value.to_owned());
        } else if option.is_global_set() {
            self.global.push(format!("--{long}={value}"));
        }
    }
}

/// Asks the agent for the values that begin with a text. `None`: it doesn't answer.
fn ask_agent(global: &Global, place: &Place, word: &str) -> Option<BTreeSet<String>> {
    let agent = match &place.url {
        Some(url) => AgentClient::at_url(url),
        None => {
            let (config, _) = global.resolve_leniently(Secrets::Skip).ok()?;
            match AgentClient::connect(&config.agent.socket) {
                Err(NoAgent::Denied { .. }) => AgentClient::connect_tcp(config.agent.listen),
                found => found,
            }
            .ok()?
        }
    };
    let values: Vec<String> = match place.kinds {
        [Kind::Marathon] => agent.fetch_status().ok()?.sources.into_keys().collect(),
        kinds => {
            let vips = agent.fetch_vips().ok()?;
            kinds.iter().flat_map(|kind| list_values(*kind, &vips, word)).collect()
        }
    };
    Some(values.into_iter().filter(|value| value.starts_with(word) && is_plain(value)).collect())
}

/// Lists the values of a kind.
fn list_values(kind: Kind, vips: &[VipReport], word: &str) -> Vec<String> {
    let port = |vip: &VipReport| vip.vip.rsplit_once(':').map(|(_, port)| port.to_owned());
    let tasks = || vips.iter().flat_map(|vip| vip.backend.iter().chain(&vip.left_out));
    let is_begun = !word.is_empty();
    match kind {
        Kind::Vip => vips.iter().map(|vip| vip.vip.clone()).collect(),
        Kind::BlockedVip => {
            let blocked = vips.iter().filter(|vip| vip.summary.conflict.is_some());
            blocked.map(|vip| format!("{}/{}", vip.vip, vip.protocol)).collect()
        }
        Kind::App => {
            let apps = vips.iter().flat_map(|vip| &vip.summary.apps);
            apps.map(ToString::to_string).collect()
        }
        Kind::DnsName => {
            let name =
                |vip: &VipReport| Some(format!("{}:{}", vip.summary.dns.as_ref()?, port(vip)?));
            vips.iter().filter_map(name).collect()
        }
        Kind::Name => vips.iter().filter_map(|vip| vip.summary.name.clone()).collect(),
        Kind::Task if is_begun => {
            tasks().filter_map(|task| task.task.as_ref().map(ToString::to_string)).collect()
        }
        Kind::Server if is_begun => {
            tasks().filter_map(|task| task.server.map(|server| server.to_string())).collect()
        }
        Kind::Task | Kind::Server | Kind::Marathon => Vec::new(),
    }
}

/// Whether a shell and this program take the text for what it is, and no option: an app's id is what somebody
/// has posted. Shells quote the brackets of IPv6 addresses, which are patterns of file names to them.
fn is_plain(value: &str) -> bool {
    !value.is_empty()
        && !value.starts_with('-')
        && value.chars().all(|each| each.is_ascii_alphanumeric() || "-._:/,[]".contains(each))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    /// Finds the place of the last word of a line, in which `_` is an empty one.
    fn place(line: &str) -> Place {
        let words: Vec<_> = line.split(' ').map(|word| word.replace('_', "")).collect();
        let (word, before) = words.split_last().unwrap();
        let mut command = Cli::command();
        command.build();
        find_place(&command, before, word)
    }

    #[test]
    fn every_argument_in_the_table_exists() {
        for (command, argument, _) in KNOWN {
            let root = Cli::command();
            let command = root.find_subcommand(command).unwrap();
            assert!(command.get_arguments().any(|it| it.get_id() == argument), "{argument}");
        }
    }

    #[test]
    fn the_word_is_found_wherever_it_stands() {
        let explain = KNOWN[0].2;
        for line in [
            "explain _",
            "explain 3.3",
            "--color never explain _",
            "explain --output json --url=http://n:1 _",
            "explain --output = json _",
            "explain -- _",
            "explain -- -x",
        ] {
            assert_eq!(place(line).kinds, explain, "{line}");
        }
        for line in
            ["_", "exp", "explain --o", "explain --output _", "explain /a _", "hold _", "run _"]
        {
            assert_eq!(place(line).kinds, [], "{line}");
        }
        assert_eq!(place("status /a 3.3.0.6 _").kinds, KNOWN[1].2);
        assert_eq!(place("names --reassign _").kinds, [Kind::Name]);
        assert_eq!(place("names import _").kinds, []);
        assert_eq!(place("adopt 3.3.0.6:80 _").kinds, [Kind::BlockedVip]);
        assert_eq!(place("accept _").kinds, [Kind::Marathon]);
    }

    #[test]
    fn the_agent_is_the_one_that_the_line_names() {
        let place = place("--socket /a/b explain --config=/c --url http://n:1 _");
        assert_eq!(place.global, ["--socket=/a/b", "--config=/c"]);
        assert_eq!(place.url.as_deref(), Some("http://n:1"));
    }

    #[test]
    fn a_shell_is_given_nothing_that_it_would_run() {
        for plain in ["/shop/web", "3.3.0.6:80", "[fd01::6]:80", "http://m1:8080,http://m2:8080"] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in [
            "",
            "-o/etc",
            "/$(reboot)",
            "/a;b",
            "/a b",
            "/`a`",
            "/a'",
            "/a\n",
            "/a\u{1b}[2J",
            "~",
            "/é",
        ] {
            assert!(!is_plain(other), "{other:?}");
        }
    }
}
