//! The tasks behind real servers.

use std::sync::Arc;

use super::claims::{AppKey, Claims};
use super::local_facts::TaskName;
use crate::{AppId, Member};

/// The task behind a former real server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tenant {
    /// The app, by source and name.
    pub(crate) app: AppKey,
    /// The task.
    pub(crate) task: Arc<str>,
}

impl Tenant {
    /// Returns the task of a member, if it is known.
    pub(super) fn of_member(member: &Member) -> Option<Self> {
        let app = (member.source.clone(), member.app.clone());
        (!member.task.is_empty()).then(|| Self { app, task: member.task.clone() })
    }

    pub(super) fn has_ended(&self, claims: &Claims) -> bool {
        claims.task_has_ended(&self.app.0, &self.app.1, &self.task)
    }

    /// Returns the task as a command is told of it.
    pub(super) fn to_name(&self) -> TaskName {
        let (source, app) = &self.app;
        TaskName {
            source: source.to_string(),
            app: Arc::clone(&app.id),
            kind: app.kind,
            task: Arc::clone(&self.task),
        }
    }

    pub(super) fn from_name(name: &TaskName) -> Self {
        let TaskName { source, app, kind, task } = name;
        let app = AppId { id: Arc::clone(app), kind: *kind };
        Self { app: (source.as_str().into(), app), task: Arc::clone(task) }
    }
}
