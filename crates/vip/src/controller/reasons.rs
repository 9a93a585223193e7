//! Reasons for operations: the app and task behind each, and why it is done.

use std::net::SocketAddr;
use std::sync::Arc;

use super::tenant::Tenant;
use super::{Controller, Job, LogEntry};
use crate::nft::{Element, TableState, family_name};
use crate::plan::text;
use crate::{DesiredService, LabelReport, Op, SourceId, Vip};

impl Controller {
    /// Explains why an operation of the last plan was, or would be, done.
    pub(super) fn explain_op(&self, op: &Op) -> LogEntry {
        let (vip, address) = (op.vip(), op.address());
        let server = server_of(op);
        let service = vip.and_then(|vip| self.decided.service(&vip));
        let reports = address.map_or(&[][..], |address| self.decided.reports_on(address));
        let TaskBehind { source, app, task } = self.task_behind(vip, server, service);
        let why = match op {
            Op::DeleteServer { vip, server } => {
                self.reason_to_leave(vip, server, task.as_deref(), service)
            }
            _ => reason_for(op, service, reports),
        };
        let since = match &self.job {
            Some(Job::Apply { addresses, .. }) => match address {
                Some(address) => addresses.get(&address).copied(),
                None => addresses.values().min().copied(),
            },
            _ => None,
        };
        let name = address.and_then(|address| self.name_at(address)).cloned();
        LogEntry { op: op.kind(), name, vip, address, server, source, app, task, why, since }
    }

    /// Returns the operations that are due, but held back by the mode.
    pub fn withheld_entries(&self) -> impl Iterator<Item = LogEntry> {
        self.withheld.iter().map(|op| self.explain_op(op))
    }

    /// Returns the app and task behind the object of an operation.
    fn task_behind(
        &self,
        vip: Option<Vip>,
        server: Option<SocketAddr>,
        service: Option<&DesiredService>,
    ) -> TaskBehind {
        let claimed = || TaskBehind {
            app: service.map_or_else(Arc::default, |service| service.apps.join(", ").into()),
            ..TaskBehind::default()
        };
        let (Some(vip), Some(server)) = (vip, server) else { return claimed() };
        let member = service.and_then(|service| service.selection.members.get(&server));
        let of_member = member.map(|member| (&member.source, &member.app, &member.task));
        let known = of_member.filter(|(.., task)| !task.is_empty()).or_else(|| {
            let Tenant { app: (source, app), task } = self.drains.find_tenant(&vip, &server)?;
            Some((source, app, task))
        });
        known.map_or_else(claimed, |(source, app, task)| TaskBehind {
            source: self.has_several_sources().then(|| source.clone()),
            app: app.id.clone(),
            task: Some(task.clone()),
        })
    }

    /// Returns why a real server is removed.
    fn reason_to_leave(
        &self,
        vip: &Vip,
        server: &SocketAddr,
        task: Option<&str>,
        service: Option<&DesiredService>,
    ) -> String {
        let left_out = service.map(|service| service.selection.left_out.as_slice());
        let mut left_out = left_out.unwrap_or_default().iter();
        let drained = self.drains.has_drained(vip, server);
        match (task, left_out.find(|out| Some(&*out.task) == task)) {
            (_, Some(out)) => out.why.to_string(),
            (None, None) => "no task is known to be there".to_owned(),
            (Some(_), None) if drained => "drained".to_owned(),
            (Some(_), None) if service.is_none() => "no app claims the VIP".to_owned(),
            (Some(_), None) if self.drains.is_ended(vip, server, &self.claims) => {
                "task gone".to_owned()
            }
            (Some(_), None) => "its app claims the VIP for other tasks".to_owned(),
        }
    }
}

/// The app and task behind the object of an operation, as [`LogEntry`] has them.
#[derive(Default)]
struct TaskBehind {
    source: Option<SourceId>,
    app: Arc<str>,
    task: Option<Arc<str>>,
}

fn server_of(op: &Op) -> Option<SocketAddr> {
    match op {
        Op::AddServer { server, .. }
        | Op::SetServer { server, .. }
        | Op::DeleteServer { server, .. } => Some(*server),
        _ => None,
    }
}

/// Returns the effect and reason of an operation, worded as in a plan's description.
fn reason_for(op: &Op, service: Option<&DesiredService>, reports: &[LabelReport]) -> String {
    let member = |server| {
        let why = service.and_then(|service| service.selection.members.get(server));
        why.map(|member| format!("{}, ", member.reason())).unwrap_or_default()
    };
    match op {
        Op::AddService { settings, .. } => text::settings_text(settings),
        Op::SetService { before, settings, .. } => {
            text::settings_changes(before, settings).collect::<Vec<_>>().join(", ")
        }
        Op::AddServer { server, settings, .. } => {
            format!("{}{}", member(server), text::weight_text(settings))
        }
        Op::SetServer { server, before, settings, .. } => {
            format!("{}{}", member(server), text::server_change(before, settings))
        }
        Op::DeleteService { vip, .. } => {
            let why = text::refusal_text(reports, vip);
            why.unwrap_or_else(|| "no app claims it".to_owned())
        }
        Op::Bind { route, .. } => match text::route_text(route) {
            None => "bound".to_owned(),
            Some(route) => format!("bound, {route}"),
        },
        Op::Rebind { .. } => "no longer a source for other connections".to_owned(),
        Op::SetRoute { before, route, .. } => text::route_changes(before, route),
        Op::ForgetFlows { flows, .. } => flows.to_string(),
        Op::Unbind { .. } => "unbound, no virtual service is on it".to_owned(),
        Op::SetTimeouts { before, timeouts } => text::timeout_changes(before, timeouts).join(", "),
        Op::SetTable { family, before, rules } => {
            let name = family_name(*family);
            let how = match before {
                TableState::Missing => "created",
                TableState::Damaged => "restored after another program changed it",
                TableState::Whole(_) => "changed",
            };
            format!("table {name} vipd {how}: {rules}")
        }
        Op::DeleteTable { family } => format!("table {} vipd deleted", family_name(*family)),
        Op::InsertRule { place, prefix, .. } => format!("{place} lets {prefix} in"),
        Op::DeleteRule { place, prefix } => {
            format!("{place} no longer lets {prefix} in by vipd's rule")
        }
        Op::AddElement { element: Element::Guarded(_) } => "guarded".to_owned(),
        Op::DeleteElement { element: Element::Guarded(_) } => "no longer guarded".to_owned(),
        Op::AddElement { element: Element::Open(_) } => "open for the name server".to_owned(),
        Op::DeleteElement { element: Element::Open(_) } => "no longer open".to_owned(),
        Op::AddElement { element: Element::Source(translation) } => {
            format!("clients reach {} from {}", translation.server, translation.source)
        }
        Op::DeleteElement { element: Element::Source(translation) } => {
            format!("clients no longer reach {} from {}", translation.server, translation.source)
        }
        Op::AddElement { element: Element::Refused(_) } => text::REFUSED.to_owned(),
        Op::DeleteElement { element: Element::Refused(_) } => text::LET_IN.to_owned(),
        Op::CreateLink => "created".to_owned(),
        Op::RaiseLink => "brought up".to_owned(),
        Op::DeleteLink => "deleted with its addresses".to_owned(),
        // The reason is that of its task.
        Op::DeleteServer { .. } => String::new(),
    }
}
