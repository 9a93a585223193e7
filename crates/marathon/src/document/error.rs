const KNOWN_SHAPES: &str = "an app, a pod, a list of them, or an answer of /v2/apps, \
     /v2/groups or /v2/pods/::status";

/// Why a document can't be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Nothing, or white space only. Old proxies turn a broken answer into this.
    #[error("it is empty, and that is never \"no apps\"; something on the way lost the content")]
    Empty,
    /// A web page: an error page of a proxy or of Marathon's web server, a login page.
    #[error(
        "it is a web page{}, not JSON; see that the URL is Marathon's own and needs no login",
        title_clause(.title)
    )]
    Html {
        /// The page's title, if it has one.
        title: Option<String>,
    },
    /// It ends too soon.
    #[error("the JSON is cut off at line {line}, column {column}; get or save it again")]
    Truncated {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
    },
    /// It isn't JSON.
    #[error("it is not JSON: {reason} at line {line}, column {column}")]
    Syntax {
        /// What is wrong there.
        reason: String,
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
    },
    /// JSON of something else.
    #[error("it is {found}; expected {KNOWN_SHAPES}")]
    Unrecognised {
        /// What it looks like.
        found: String,
    },
    /// An answer to a question for tasks that has an app without.
    #[error(
        "app {app} comes without the tasks that were asked for, which is not the same as having \
         none; see that nothing between here and Marathon drops the query"
    )]
    MissingTasks {
        /// The app's id.
        app: String,
    },
    /// Lists of next to nothing would take many times the document's length in memory.
    #[error("its lists would take far more memory than any answer of Marathon's of that length")]
    Outgrown,
}

impl DocumentError {
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
