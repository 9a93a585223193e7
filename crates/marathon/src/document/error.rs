//! Errors of parsing a document.

use super::foreign::Foreign;

const KNOWN_SHAPES: &str = "an app, a pod, a list of them, or an answer of /v2/apps, \
     /v2/groups or /v2/pods/::status";

/// Why a document can't be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Nothing but white space. Old proxies make this of a broken answer.
    #[error("it is empty, which never means \"no apps\"; something in between lost the content")]
    Empty,
    /// A web page: an error page of a proxy or of Marathon's web server, a login page.
    #[error(
        "it is a web page{}, not JSON; check that the URL is Marathon's and needs no login",
        title_clause(.title)
    )]
    Html {
        /// The title of the page.
        title: Option<String>,
    },
    /// JSON that is cut off.
    #[error("the JSON is cut off at line {line}, column {column}; get or save it again")]
    Truncated {
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1.
        column: usize,
    },
    /// Not JSON.
    #[error("it is not JSON: {reason} at line {line}, column {column}")]
    Syntax {
        /// The syntax error.
        reason: String,
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1.
        column: usize,
    },
    /// Something that is recognised, and isn't JSON.
    #[error("it is not JSON: {what} (line {line}, column {column})")]
    Foreign {
        /// What it is.
        what: Foreign,
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1.
        column: usize,
    },
    /// JSON of an unknown shape.
    #[error("it is {found}; expected {KNOWN_SHAPES}")]
    Unrecognised {
        /// A description of the document.
        found: String,
    },
    /// An answer that lacks the requested tasks of an app.
    #[error(
        "app {} comes without the requested tasks, which is not the same as having none; check \
         that nothing between here and Marathon drops the query",
        .app.escape_debug()
    )]
    MissingTasks {
        /// The id of the app.
        app: String,
    },
    /// More apps and pods than any Marathon can run.
    #[error("it lists more than {limit} apps and pods, which is more than any Marathon can run")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// Lists that would take many times the document's length in memory.
    #[error("its lists would take far more memory than those of any real answer of this length")]
    Outgrown,
}

impl DocumentError {
    /// Says more of a syntax error: what stands in the text where it was met.
    pub(super) fn recognise_foreign(self, text: &str) -> Self {
        let Self::Syntax { reason, line, column } = &self else { return self };
        let (line, column) = (*line, *column);
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        let start = std::iter::once(0).chain(starts).nth(line.saturating_sub(1)).unwrap_or(0);
        let end = text.len().min(start + column.saturating_sub(1));
        let place = (0..=end).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let what = match reason.as_str() {
            "trailing characters" => text.get(place..).and_then(Foreign::after_document),
            _ => Foreign::at_place(text, place),
        };
        what.map_or(self, |what| Self::Foreign { what, line, column })
    }

    pub(super) fn unrecognised(found: impl Into<String>) -> Self {
        Self::Unrecognised { found: found.into() }
    }
}

impl From<serde_json::Error> for DocumentError {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        if error.is_eof() {
            return Self::Truncated { line, column };
        }
        let mut reason = error.to_string();
        if let Some(place) = reason.rfind(" at line ") {
            reason.truncate(place);
        }
        Self::Syntax { reason, line, column }
    }
}

fn title_clause(title: &Option<String>) -> String {
    title.as_ref().map(|title| format!(" titled {title:?}")).unwrap_or_default()
}
