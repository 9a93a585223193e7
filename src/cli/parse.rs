//! The command line as it is parsed, together with the variables of the environment.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, ColorChoice, Command, CommandFactory, Error, FromArgMatches};

/// The flags that name sources of definitions, which an agent that is named by `--url` doesn't read.
const SOURCES: [&str; 2] = ["from", "marathon"];

/// Parses a command line. A variable that is set to nothing counts as unset.
pub(super) fn parse_words<C: CommandFactory + FromArgMatches>(
    words: &[OsString],
) -> Result<C, Error> {
    let color = choose_color(words, std::env::var_os("VIPD_COLOR").as_deref());
    let mut command = ignore_empty_variables(C::command()).color(color);
    let matches = command.try_get_matches_from_mut(words);
    let matches = matches.map_err(|error| name_variable(error, &mut command, words))?;
    refuse_ignored_sources(&mut command, &matches)?;
    C::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Leaves out the variables that are set to nothing, as `VIPD_LOCK=` in a file of variables.
fn ignore_empty_variables(command: Command) -> Command {
    let is_empty = |arg: &Arg| arg.get_env().is_some_and(|name| is_set_to(name, OsStr::is_empty));
    let unset = |arg: Arg| if is_empty(&arg) { arg.env(None).hide_env(true) } else { arg };
    command.mut_args(unset).mut_subcommands(ignore_empty_variables)
}

fn is_set_to(name: &OsStr, is_so: impl FnOnce(&OsStr) -> bool) -> bool {
    std::env::var_os(name).is_some_and(|value| is_so(&value))
}

/// Returns the use of colours for errors of the command line itself, which `--color` can't be parsed
/// from.
fn choose_color(words: &[OsString], variable: Option<&OsStr>) -> ColorChoice {
    let mut chosen = variable.and_then(OsStr::to_str);
    let mut words = words.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        match word.strip_prefix("--color") {
            Some("") => chosen = words.next(),
            Some(value) => chosen = value.strip_prefix('=').or(chosen),
            None => {}
        }
    }
    match chosen {
        Some("never") => ColorChoice::Never,
        Some("always") => ColorChoice::Always,
        _ => ColorChoice::Auto,
    }
}

/// Refuses flags that the agent at `--url` would not be asked with. A variable stays without effect.
fn refuse_ignored_sources(command: &mut Command, matches: &ArgMatches) -> Result<(), Error> {
    let Some((name, given)) = matches.subcommand() else { return Ok(()) };
    let is_given = |wanted: &str| {
        let is_it = given.ids().any(|id| id == wanted);
        is_it && given.value_source(wanted) == Some(ValueSource::CommandLine)
    };
    let source = SOURCES.into_iter().find(|source| is_given(source));
    let Some(source) = source.filter(|_| is_given("url")) else { return Ok(()) };
    let text = format!(
        "the argument '--url' cannot be used with '--{source}': the agent at the URL tells what it \
         reads itself"
    );
    let command = command.find_subcommand_mut(name);
    Err(command.map_or_else(
        || Error::raw(ErrorKind::ArgumentConflict, &text),
        |command| command.error(ErrorKind::ArgumentConflict, &text),
    ))
}

/// Adds the name of the variable that a wrong value came from: the error itself names the flag.
fn name_variable(mut error: Error, command: &mut Command, words: &[OsString]) -> Error {
    let (Some(ContextValue::String(flag)), ErrorKind::InvalidValue | ErrorKind::ValueValidation) =
        (error.get(ContextKind::InvalidArg), error.kind())
    else {
        return error;
    };
    // Only a flag of a command that is built can be written.
    command.build();
    let variable = find_variable(command, flag);
    let is_given = |long: &str| {
        let words = words.iter().filter_map(|word| word.to_str());
        words
            .filter_map(|word| word.strip_prefix("--")?.strip_prefix(long))
            .any(|rest| rest.is_empty() || rest.starts_with('='))
    };
    if let Some((variable, long)) = variable
        && !is_given(&long)
    {
        let tip = format!("the value is that of the variable {variable}");
        let tips = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tips);
    }
    error
}

/// Finds the variable of a flag as errors write it, if that is set, and the flag's name.
fn find_variable(command: &Command, flag: &str) -> Option<(String, String)> {
    let is_it = |arg: &&Arg| arg.to_string() == flag;
    let found = command.get_arguments().find(is_it).and_then(|arg| {
        let variable = arg.get_env().filter(|name| is_set_to(name, |value| !value.is_empty()))?;
        Some((variable.to_string_lossy().into_owned(), arg.get_long()?.to_owned()))
    });
    found.or_else(|| command.get_subcommands().find_map(|command| find_variable(command, flag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_decides_the_colours_before_the_variable() {
        let choose = |words: &[&str], variable: Option<&str>| {
            let words: Vec<_> = words.iter().map(OsString::from).collect();
            choose_color(&words, variable.map(OsStr::new))
        };
        assert_eq!(choose(&["vipd", "status"], None), ColorChoice::Auto);
        assert_eq!(choose(&["vipd", "status"], Some("never")), ColorChoice::Never);
        assert_eq!(choose(&["vipd", "--color", "always"], Some("never")), ColorChoice::Always);
        assert_eq!(choose(&["vipd", "x", "--color=never"], None), ColorChoice::Never);
        assert_eq!(choose(&["vipd", "hold", "--", "--color=never"], None), ColorChoice::Auto);
    }
}
