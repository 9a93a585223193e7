//! Plans, outcomes and labels as JSON.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};
use vip::naming::VipName;
use vip::plan::StaleFlows;
use vip::plan::{OpResult, ipvsadm_args};
use vip::{Desired, LabelReport, Op, Outcome, Plan, Timeouts};

/// Formats a plan for `diff --output json` and `/v1/diff`.
pub(crate) fn plan_json(plan: &Plan, desired: &Desired, findings: &[String]) -> Value {
    let operations: Vec<_> = plan.ops.iter().map(|op| operation_json(op, desired)).collect();
    whole_json(plan, desired, findings, &operations)
}

/// Formats a plan with the result of each operation for `apply --output json`.
pub(crate) fn outcome_json(outcome: &Outcome, desired: &Desired, findings: &[String]) -> Value {
    let operations = outcome.results().map(|(op, result)| {
        let mut value = operation_json(op, desired);
        let (word, error) = match result {
            OpResult::Done => ("done", None),
            OpResult::AlreadySo => ("already-so", None),
            OpResult::Failed(error) => ("failed", Some(error.to_string())),
            OpResult::Skipped => ("skipped", None),
        };
        value["result"] = word.into();
        value["error"] = error.into();
        value
    });
    whole_json(&outcome.plan, desired, findings, &operations.collect::<Vec<_>>())
}

fn whole_json(plan: &Plan, desired: &Desired, findings: &[String], operations: &[Value]) -> Value {
    json!({
        "operations": operations,
        "conflicts": plan.conflicts.iter().map(|conflict| json!({
            "vip": conflict.vip,
            "with": conflict.with.to_string(),
            "reason": conflict.to_string(),
        })).collect::<Vec<_>>(),
        "labels": labels_json(&desired.reports),
        "findings": findings,
        "summary": plan.summary(),
        "lines": plan.describe(desired).iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// A label of an app, with the verdict.
#[derive(Debug, Serialize)]
struct Label<'a> {
    app: &'a str,
    port: Option<usize>,
    path: &'a str,
    key: &'a str,
    value: &'a str,
    vip: Option<vip::Vip>,
    name: Option<&'a VipName>,
    ok: bool,
    verdict: &'static str,
    reason: Option<Cow<'a, str>>,
}

/// Formats labels with their verdicts.
pub(crate) fn labels_json(reports: &[LabelReport]) -> Value {
    let labels = reports.iter().map(|report| Label {
        app: &report.place.app,
        port: report.place.port,
        path: &report.place.path,
        key: &report.place.key,
        value: &report.place.value,
        vip: report.vip,
        name: report.name.as_ref(),
        ok: report.verdict.is_ok(),
        verdict: report.verdict.word(),
        reason: report.verdict.reason(),
    });
    json!(labels.collect::<Vec<_>>())
}

fn table_name(family: vip::nft::Family) -> String {
    format!("{} vipd", vip::nft::family_name(family))
}

fn operation_json(op: &Op, desired: &Desired) -> Value {
    let mut value = json!({ "op": op.name(), "ipvsadm": ipvsadm_args(op) });
    if let Some(vip) = op.vip() {
        value["vip"] = json!(vip);
    }
    if let Some(name) = op.address().and_then(|address| desired.names.name_at(address)) {
        value["name"] = json!(name);
    }
    match op {
        Op::AddServer { server, settings, .. } => {
            value["server"] = json!(server);
            value["weight"] = json!(settings.weight);
        }
        Op::SetServer { server, before, settings, .. } => {
            value["server"] = json!(server);
            value["weight"] = json!(settings.weight);
            value["weight-before"] = json!(before.weight);
        }
        Op::DeleteServer { server, .. } => value["server"] = json!(server),
        Op::DeleteService { servers, .. } => value["servers"] = json!(servers),
        Op::Bind { address, route, .. } | Op::SetRoute { address, route, .. } => {
            value["address"] = json!(address);
            value["source"] = json!(route.source);
            value["mtu"] = json!(route.mtu);
        }
        Op::Rebind { address } | Op::Unbind { address } => value["address"] = json!(address),
        Op::SetTimeouts { before, timeouts } => {
            value["timeouts"] = timeouts_json(timeouts);
            value["timeouts-before"] = timeouts_json(before);
        }
        Op::SetTable { family, rules, .. } => {
            value["table"] = json!(table_name(*family));
            let masquerade =
                rules.nat.map_or("none".to_owned(), |masquerade| masquerade.to_string());
            value["masquerade"] = json!(masquerade);
            value["guard"] = json!(rules.guard);
        }
        Op::InsertRule { place, prefix, .. } | Op::DeleteRule { place, prefix } => {
            value["chain"] = json!(place.to_string());
            value["prefix"] = json!(prefix);
        }
        Op::DeleteTable { family } => value["table"] = json!(table_name(*family)),
        Op::AddElement { element } | Op::DeleteElement { element } => {
            value["table"] = json!(table_name(element.family()));
            value["set"] = json!(element.set_name());
            value["element"] = json!(element.to_string());
        }
        Op::ForgetFlows { flows: StaleFlows::Unanswered { by }, .. } => {
            value["unanswered-by"] = json!(by);
        }
        Op::AddService { .. }
        | Op::SetService { .. }
        | Op::ForgetFlows {
            flows:
                StaleFlows::Older { .. }
                | StaleFlows::Translated { .. }
                | StaleFlows::Masqueraded { .. },
            ..
        }
        | Op::CreateLink
        | Op::RaiseLink
        | Op::DeleteLink => {}
    }
    let service = op.vip().and_then(|vip| desired.services.get(&vip));
    if let Some(service) = service {
        value["apps"] = json!(service.apps);
    }
    let server = match op {
        Op::AddServer { server, .. } | Op::SetServer { server, .. } => Some(server),
        _ => None,
    };
    let member = service.zip(server).and_then(|(all, server)| all.selection.members.get(server));
    if let Some(member) = member {
        value["app"] = json!(member.app.id);
        value["task"] = json!(member.task);
        value["why"] = json!(member.reason());
    }
    value
}

/// Formats timeouts in seconds; 0 leaves a timeout unchanged.
pub(crate) fn timeouts_json(timeouts: &Timeouts) -> Value {
    json!({ "tcp": timeouts.tcp, "tcp-fin": timeouts.tcp_fin, "udp": timeouts.udp })
}
