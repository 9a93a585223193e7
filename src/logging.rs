//! The log on standard error: one line per event, for people, for journald, or as JSON.

use std::fmt::{self, Write};
use std::io;
use std::os::unix::fs::MetadataExt;

use marathon::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use vip::{Printable, escape_json};

use crate::agent::journal::log::CHANGE;

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Lines for people, or for journald if standard error is its socket.
    Text,
    /// One JSON object per line.
    Json,
}

/// The targets that stand for everything below them without a level: vipd's own crates.
const OWN_TARGETS: [&str; 9] =
    ["vipd", "vip", "marathon", "node", "dns", "relay", "caps", "nl_ipvs", "nl_pipeline"];

/// Why a text is no filter of the log.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The parser refuses it.
    #[error(transparent)]
    Malformed(#[from] tracing_subscriber::filter::ParseError),
    /// A word is neither a level nor a target that logs anything.
    #[error("{word:?} is no level: write {}", match near {
        Some(level) => format!("{level}"),
        None => "error, warn, info, debug, trace or off, or TARGET=LEVEL such as vipd=debug".into(),
    })]
    NoLevel {
        /// The word.
        word: String,
        /// The level that is probably meant.
        near: Option<LevelFilter>,
    },
}

/// Takes a filter that means something: one with an unknown level would log nothing.
///
/// # Errors
/// When a part of it is no filter, or a word that would be taken for a target that nothing has.
pub fn parse_filter(text: &str) -> Result<String, FilterError> {
    EnvFilter::builder().parse(text)?;
    // A part with brackets names spans and fields, which may have commas. Who writes that means it.
    let words = text.split(',').map(str::trim).filter(|_| !text.contains(['[', '{']));
    for word in words.filter(|word| !word.is_empty() && !word.contains('=')) {
        let own = word.split("::").next().unwrap_or_default();
        if word.parse::<LevelFilter>().is_err() && !OWN_TARGETS.contains(&own) {
            let lower = word.to_ascii_lowercase();
            let levels = ["error", "warn", "info", "debug", "trace", "off"];
            let is_near = |level: &&str| lower.starts_with(level) || level.starts_with(&lower);
            let near = levels.into_iter().find(is_near).and_then(|level| level.parse().ok());
            return Err(FilterError::NoLevel { word: word.to_owned(), near });
        }
    }
    Ok(text.to_owned())
}

/// Silences rustls-platform-verifier. It warns about each certificate directory that is missing, even
/// if nothing uses HTTPS, and about each certificate that fails verification: vipd reports that itself,
/// with the request that failed, and only once.
const QUIET: &str = "rustls_platform_verifier=off";

/// Sends the log of this process to standard error.
pub fn start_logging(filter: &str, format: Format) {
    let filter = EnvFilter::builder().parse_lossy(format!("{QUIET},{filter}"));
    // An error of the log would go to standard error by `eprintln!`, which panics where the log itself
    // can't be written, as on a full disk.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .log_internal_errors(false);
    // Tests start it more than once in a process, which is an error that doesn't matter.
    let _ = match format {
        Format::Json => {
            let builder = builder.with_writer(|| EscapeJson(io::stderr()));
            builder.json().flatten_event(true).try_init()
        }
        Format::Text => {
            let builder = builder.with_writer(io::stderr);
            builder.event_format(Lines { journal: is_journal() }).try_init()
        }
    };
}

/// Escapes events in JSON as [`Printable`] escapes lines. Each event is written at once.
#[derive(Debug)]
struct EscapeJson<W>(W);

impl<W: io::Write> io::Write for EscapeJson<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(escape_json(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Returns true if standard error is journald's socket: `$JOURNAL_STREAM` in systemd.exec(5).
fn is_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").ok();
    let own =
        std::fs::metadata("/proc/self/fd/2").map(|own| format!("{}:{}", own.dev(), own.ino()));
    stream.is_some_and(|stream| own.is_ok_and(|own| own == stream))
}

/// Writes an event as one line: time, level and message, then the fields. journald adds the time
/// itself, and takes the level as a prefix, as in sd-daemon(3).
#[derive(Debug, Clone, Copy)]
pub struct Lines {
    /// Write lines for journald.
    pub journal: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut parts = Parts { is_change: metadata.target() == CHANGE, ..Parts::default() };
        event.record(&mut parts);
        if self.journal {
            write!(writer, "<{}>", syslog_priority(*metadata.level()))?;
        } else {
            write!(writer, "{:.3} {:5} ", Timestamp::now(), metadata.level())?;
        }
        writeln!(writer, "{}{}", Printable(&parts.message), Printable(&parts.fields))
    }
}

/// Converts to the priorities of syslog(3).
fn syslog_priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// The message and the fields of an event.
#[derive(Debug, Default)]
struct Parts {
    is_change: bool,
    message: String,
    fields: String,
}

impl Parts {
    /// Returns true for a field whose value the message contains. The message of a change contains
    /// more of them.
    fn is_in_message(&self, field: &Field) -> bool {
        field.name() == "what"
            || self.is_change && ["vip", "address", "server", "app", "why"].contains(&field.name())
    }
}

impl Visit for Parts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string doesn't fail.
        let _ = match field.name() {
            // The place in the source of a library that logs with the `log` crate.
            name if name.starts_with("log.") => Ok(()),
            "message" => write!(self.message, "{value:?}"),
            _ if self.is_in_message(field) => Ok(()),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::fmt::MakeWriter;

    #[test]
    fn a_word_that_would_silence_the_log_is_no_filter() {
        let refused = |text: &str| parse_filter(text).unwrap_err().to_string();
        for text in ["warning", "info,warning", " WARNING "] {
            assert!(refused(text).ends_with("is no level: write warn"), "{}", refused(text));
        }
        assert!(refused("err").ends_with("is no level: write error"));
        assert!(refused("loud").contains("write error, warn, info"), "{}", refused("loud"));
        assert!(refused("hyper").contains("TARGET=LEVEL"), "{}", refused("hyper"));
        assert!(parse_filter("vipd=warning").is_err());
        for text in
            ["warn", "WARN", "off", "3", "vipd", "vipd::agent,info", "hyper=debug,warn", "[a{b=1}]"]
        {
            assert_eq!(parse_filter(text).unwrap(), text);
        }
    }

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Buffer {
        type Writer = Self;
        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// Returns a log of two events.
    fn logged(journal: bool) -> String {
        let buffer = Buffer::default();
        let builder = tracing_subscriber::fmt().with_writer(buffer.clone()).with_ansi(false);
        let subscriber = builder.event_format(Lines { journal }).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(
                target: CHANGE,
                what = "delete-server",
                vip = "3.3.0.6:3306/tcp",
                task = Some("mysql.1"),
                after_ms = 3,
                "3.3.0.6:3306/tcp -10.0.0.7:31001 /mysql task killed"
            );
            tracing::warn!(source = "m", "not obeyed: {}", "a\n<0>forged \u{1b}[31mline");
        });
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_has_time_level_and_message_and_the_fields_that_the_message_lacks() {
        let text = logged(false);
        let lines: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap()).collect();
        assert!(lines.iter().all(|(time, _)| time.len() == 24 && time.ends_with('Z')), "{text}");
        let lines: Vec<_> = lines.into_iter().map(|(_, rest)| rest).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        INFO  3.3.0.6:3306/tcp -10.0.0.7:31001 /mysql task killed task=mysql.1 after_ms=3
        WARN  not obeyed: a\n<0>forged \u{1b}[31mline source=m
        ");
    }

    #[test]
    fn journald_gets_the_level_and_no_time() {
        insta::assert_snapshot!(logged(true), @r"
        <6>3.3.0.6:3306/tcp -10.0.0.7:31001 /mysql task killed task=mysql.1 after_ms=3
        <4>not obeyed: a\n<0>forged \u{1b}[31mline source=m
        ");
    }

    #[test]
    fn json_is_one_line_that_shows_no_text_raw() {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let builder = tracing_subscriber::fmt().with_ansi(false);
        let builder = builder.with_writer(move || EscapeJson(writer.clone()));
        let subscriber = builder.json().flatten_event(true).finish();
        let text = "a\nb \u{202e}evil\u{9b}0m\u{85} ##vso[task] \u{2028}";
        tracing::subscriber::with_default(subscriber, || tracing::warn!(app = text, "{text}"));
        let bytes = buffer.0.lock().unwrap().clone();
        let line = String::from_utf8(bytes).unwrap();
        let line = line.strip_suffix('\n').unwrap();
        assert!(!line.contains(vip::is_unprintable) && !line.contains("##"), "{line}");
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&event["message"], &event["app"]), (&text.into(), &text.into()));
    }

    #[test]
    fn the_place_in_the_source_of_a_library_is_left_out() {
        let buffer = Buffer::default();
        let builder = tracing_subscriber::fmt().with_writer(buffer.clone()).with_ansi(false);
        let subscriber = builder.event_format(Lines { journal: true }).finish();
        tracing::subscriber::with_default(subscriber, || {
            let file = "/root/.cargo/registry/src/a/lib.rs";
            tracing::warn!("log.file" = file, "log.line" = 7, "log.target" = "a", "it failed");
        });
        let bytes = buffer.0.lock().unwrap().clone();
        assert_eq!(String::from_utf8(bytes).unwrap(), "<4>it failed\n");
    }
}
