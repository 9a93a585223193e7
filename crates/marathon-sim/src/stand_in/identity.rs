//! The identity of a task.

/// The names by which a server identifies itself to clients.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) app: String,
    pub(super) task: String,
    pub(super) host: String,
}

impl Identity {
    /// Formats the greeting of the server at `port`.
    pub(super) fn greeting(&self, port: u16) -> String {
        format!("{} {} {}:{port}", self.app, self.task, self.host)
    }
}
