//! Descriptions of plans for people: VIP by VIP, with the app and task behind each real server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use nl_ipvs::{DestinationSettings, ServiceFlags, ServiceSettings};

pub(crate) use super::op::{route_changes, route_text, timeout_changes};
use super::rules::describe_rules;
use super::tables::describe_tables;
use super::{Op, Plan};
use crate::line::{Line, Sign, push_section};
use crate::naming::named;
use crate::nft::Element;
use crate::ownership::MARK;
use crate::{Desired, LabelReport, Member, Vip};

impl Plan {
    /// Describes the plan, VIP by VIP with conflicts; the interface comes last.
    #[must_use]
    pub fn describe(&self, desired: &Desired) -> Vec<Line> {
        let mut by_vip: BTreeMap<Vip, Vec<&Op>> = BTreeMap::new();
        for op in &self.ops {
            if let Some(vip) = op.vip() {
                by_vip.entry(vip).or_default().push(op);
            }
        }
        let vips: BTreeSet<_> =
            by_vip.keys().copied().chain(self.conflicts.iter().map(|c| c.vip)).collect();
        let mut lines = Vec::new();
        for vip in &vips {
            if let Some(conflict) = self.conflicts.iter().find(|conflict| conflict.vip == *vip) {
                let apps = claiming_apps(desired, vip);
                lines.push(Line::new(
                    0,
                    Sign::Warn,
                    format!("{}{apps}: {conflict}", desired.names.title(vip)),
                ));
            }
            if let Some(ops) = by_vip.get(vip) {
                describe_vip(&mut lines, vip, ops, desired);
            }
        }
        describe_timeouts(&mut lines, &self.ops);
        describe_interface(&mut lines, &self.ops, desired);
        describe_tables(&mut lines, &self.ops);
        describe_rules(&mut lines, &self.ops);
        lines
    }
}

/// Effects of adding an element to set `empty`, and of deleting it.
pub(crate) const REFUSED: &str = "new clients are refused: no real server takes them";
pub(crate) const LET_IN: &str = "new clients are accepted again";

fn claiming_apps(desired: &Desired, vip: &Vip) -> String {
    desired
        .services
        .get(vip)
        .map_or_else(String::new, |service| format!("  {}", service.apps.join(", ")))
}

fn describe_vip(lines: &mut Vec<Line>, vip: &Vip, ops: &[&Op], desired: &Desired) {
    let apps = claiming_apps(desired, vip);
    let title = desired.names.title(vip);
    let (sign, text) = match ops.iter().find(|op| op.step() == super::Step::Services) {
        Some(Op::AddService { settings, .. }) => {
            (Sign::Add, format!("{title}  {}{apps}", settings_text(settings)))
        }
        _ if ops.iter().any(|op| matches!(op, Op::DeleteService { .. })) => {
            (Sign::Remove, format!("{title}{}", removal_reason(desired, vip)))
        }
        _ => (Sign::Change, format!("{title}{apps}")),
    };
    lines.push(Line::new(0, sign, text));
    let mut servers: Vec<(SocketAddr, Line)> = Vec::new();
    for op in ops {
        match op {
            Op::SetService { before, settings, .. } => {
                lines.extend(
                    settings_changes(before, settings).map(|text| Line::new(1, Sign::Change, text)),
                );
            }
            Op::AddServer { server, settings, .. } => {
                let text = format!("{server}  {}", weight_text(settings));
                servers.push((*server, Line::new(1, Sign::Add, text)));
            }
            Op::SetServer { server, before, settings, .. } => {
                let text = format!("{server}  {}", server_change(before, settings));
                servers.push((*server, Line::new(1, Sign::Change, text)));
            }
            Op::DeleteServer { server, .. } => {
                servers.push((*server, Line::new(1, Sign::Remove, server.to_string())));
            }
            Op::AddElement { element: Element::Refused(_) } if sign == Sign::Change => {
                lines.push(Line::new(1, Sign::Change, REFUSED.into()));
            }
            Op::DeleteElement { element: Element::Refused(_) } if ops.len() == 1 => {
                lines.push(Line::new(1, Sign::Change, LET_IN.into()));
            }
            Op::ForgetFlows { flows, .. } if sign == Sign::Change => {
                lines.push(Line::new(1, Sign::Change, flows.to_string()));
            }
            Op::DeleteService { servers: gone, .. } => servers.extend(
                gone.iter().map(|server| (*server, Line::new(1, Sign::Remove, server.to_string()))),
            ),
            _ => {}
        }
    }
    servers.sort_by_key(|(server, _)| *server);
    let service = desired.services.get(vip);
    for (server, mut entry) in servers {
        if let Some(member) = service.and_then(|service| service.selection.members.get(&server)) {
            entry.text += &task_behind(member);
        }
        lines.push(entry);
    }
    if sign == Sign::Add
        && let Some(service) = service
        && service.selection.members.is_empty()
    {
        lines.push(Line::new(1, Sign::Plain, "no real server yet: clients are refused".into()));
    }
    if let Some(service) = service {
        let waiting = service.selection.waiting_tasks();
        lines.extend(waiting.map(|out| Line::new(1, Sign::Plain, format!("left out: {out}"))));
    }
}

/// Returns why a VIP is removed: its label is refused now, or gone. A plan without a desired state
/// (`cleanup`) has no such reason.
fn removal_reason(desired: &Desired, vip: &Vip) -> String {
    match refusal_text(&desired.reports, vip) {
        Some(report) => format!("  {report}"),
        None if *desired == Desired::default() => String::new(),
        None => "  no app claims it".into(),
    }
}

/// Returns the refusal of a VIP's label.
pub(crate) fn refusal_text(reports: &[LabelReport], vip: &Vip) -> Option<String> {
    let mut reports = reports.iter().filter(|report| report.vip == Some(*vip));
    Some(reports.find(|report| !report.verdict.is_ok())?.to_string())
}

/// Describes the app and task behind a real server, and the reason for its weight.
fn task_behind(member: &Member) -> String {
    format!("  {} {} ({})", member.app, member.task, member.reason())
}

pub(crate) fn weight_text(settings: &DestinationSettings) -> String {
    format!("weight {}", settings.weight)
}

pub(crate) fn server_change(before: &DestinationSettings, after: &DestinationSettings) -> String {
    let mut parts = Vec::new();
    if before.weight != after.weight {
        parts.push(format!("weight {} -> {}", before.weight, after.weight));
    }
    if before.forward != after.forward || before.tunnel != after.tunnel {
        parts.push(format!("forwarding {} -> {}", before.forward, after.forward));
    }
    if (before.upper_threshold, before.lower_threshold)
        != (after.upper_threshold, after.lower_threshold)
    {
        parts.push("thresholds restored".into());
    }
    parts.join(", ")
}

fn scheduler_name(settings: &ServiceSettings) -> &str {
    settings.scheduler.as_ref().map_or("none", nl_ipvs::Scheduler::as_str)
}

pub(crate) fn settings_text(settings: &ServiceSettings) -> String {
    let mut text = scheduler_name(settings).to_owned();
    if settings.flags.contains(ServiceFlags::SCHED_2) {
        text += " by client port";
    }
    if settings.flags.contains(ServiceFlags::PERSISTENT) {
        text += &format!(" persistent {} s", settings.timeout);
    }
    text
}

pub(crate) fn settings_changes(
    before: &ServiceSettings,
    after: &ServiceSettings,
) -> impl Iterator<Item = String> {
    let mut changes = Vec::new();
    if before.scheduler != after.scheduler {
        changes.push(format!("scheduler {} -> {}", scheduler_name(before), scheduler_name(after)));
    }
    let persistence =
        |settings: &ServiceSettings| match settings.flags.contains(ServiceFlags::PERSISTENT) {
            true => format!("{} s", settings.timeout),
            false => "none".into(),
        };
    if persistence(before) != persistence(after) {
        changes.push(format!("persistence {} -> {}", persistence(before), persistence(after)));
    }
    if !before.flags.contains(MARK) {
        changes.push("vipd's mark is missing: restored".into());
    }
    let own = !(MARK | ServiceFlags::PERSISTENT);
    if before.flags & own != after.flags & own {
        changes.push(format!("flags {:#x} -> {:#x}", before.flags.bits(), after.flags.bits()));
    }
    if changes.is_empty() {
        changes.push("persistence mask, engine or timeout restored".into());
    }
    changes.into_iter()
}

fn describe_timeouts(lines: &mut Vec<Line>, ops: &[Op]) {
    let changes = ops.iter().filter_map(|op| match op {
        Op::SetTimeouts { before, timeouts } => Some(timeout_changes(before, timeouts)),
        _ => None,
    });
    let changes = changes.flatten().map(|text| (Sign::Change, text));
    push_section(lines, "timeouts of connections", changes);
}

fn describe_interface(lines: &mut Vec<Line>, ops: &[Op], desired: &Desired) {
    let title = |address: &IpAddr| named(desired.names.name_at(*address), address);
    let entries = ops.iter().filter_map(|op| {
        Some(match op {
            Op::CreateLink => (Sign::Add, "create it".to_owned()),
            Op::RaiseLink => (Sign::Change, "bring it up".to_owned()),
            Op::DeleteLink => (Sign::Remove, "delete it with its addresses".to_owned()),
            Op::Bind { address, route, .. } => {
                let route = route_text(route).map(|route| format!("  {route}"));
                (Sign::Add, title(address) + &route.unwrap_or_default())
            }
            Op::Rebind { address } => (
                Sign::Change,
                format!("{}  no longer a source for other connections", title(address)),
            ),
            Op::SetRoute { address, before, route } => {
                (Sign::Change, format!("{}  {}", title(address), route_changes(before, route)))
            }
            Op::Unbind { address } => (Sign::Remove, title(address)),
            _ => return None,
        })
    });
    push_section(lines, "interface", entries);
}
