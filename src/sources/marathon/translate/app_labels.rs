//! Reports on labels that stand in the wrong place, and on bad options of an app.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::SocketAddr;

use marathon::{NetworkMode, Port, Workload};
use vip::label::{LabelRefusal, VipLabel, VipRef, read_port, stray_app_labels};
use vip::{LabelPlace, LabelReport, Verdict};

use super::app_id::app_id;
use super::translation::Translation;

/// Reports bad options of the app itself: once, not for each port, and only if a port has a VIP.
pub(super) fn report_bad_options(workload: &Workload, translation: &mut Translation) {
    let spec = &workload.spec;
    let on_app: Vec<_> = spec.labels.iter().collect();
    let bad = read_port(&[], &on_app).bad_options;
    let has_vip = |port: &Port| {
        let labels: Vec<_> = port.labels.iter().collect();
        read_port(&labels, &[]).vip_labels.iter().any(VipLabel::is_vip)
    };
    if bad.is_empty() || !spec.ports.iter().any(has_vip) {
        return;
    }
    for option in bad {
        let report = refused_app_label(workload, option.key, option.value, option.error.into());
        translation.reports.push(report);
    }
}

/// Reports VIP labels of the app itself: they don't say which port they mean.
pub(super) fn report_stray_labels(workload: &Workload, translation: &mut Translation) {
    for (key, value) in stray_app_labels(workload.spec.labels.iter()) {
        let why = "a VIP label belongs on a port (portMappings, portDefinitions or endpoints), \
                   not on the app";
        let why = LabelRefusal::Misplaced(why.into());
        translation.reports.push(refused_app_label(workload, key.into(), value.into(), why));
    }
}

/// Reports VIP labels in a list of ports that the app's network doesn't use, unless a port of the
/// right list has the same VIP: there are tools that write both.
pub(super) fn report_unused_port_labels(workload: &Workload, translation: &mut Translation) {
    let spec = &workload.spec;
    if spec.unused_ports.is_empty() {
        return;
    }
    let on_ports = spec.ports.iter().flat_map(|port| stray_app_labels(port.labels.iter()));
    let in_use: HashSet<_> = on_ports.map(|(_, value)| meaning_of(value)).collect();
    let (network, list) = match &spec.network {
        NetworkMode::Host => {
            ("the host's network, as one without `networks` is", "portDefinitions")
        }
        NetworkMode::Bridge => ("a bridge", "container.portMappings"),
        NetworkMode::Container { .. } => ("a container network", "container.portMappings"),
        NetworkMode::Other(mode) => (mode.as_str(), "container.portMappings"),
    };
    let why =
        format!("this list is not used: the app is on {network}, so its ports are those of {list}");
    let why = LabelRefusal::Misplaced(why);
    for entry in &spec.unused_ports {
        let strays = stray_app_labels(entry.labels.iter());
        for (key, value) in strays.filter(|(_, value)| !in_use.contains(&meaning_of(value))) {
            let at = format!("{}.labels", entry.path);
            translation.reports.push(refused_label(
                workload,
                &at,
                key.into(),
                value.into(),
                why.clone(),
            ));
        }
    }
}

/// Returns a value in the form in which equal VIPs are equal.
fn meaning_of(value: &str) -> Cow<'_, str> {
    match value.parse() {
        Ok(VipRef::Address(address, port)) => {
            SocketAddr::new(address, port.get()).to_string().into()
        }
        Ok(VipRef::Named(..)) | Err(_) => value.into(),
    }
}

/// Makes the report on a refused label of the app itself.
fn refused_app_label(
    workload: &Workload,
    key: String,
    value: String,
    why: LabelRefusal,
) -> LabelReport {
    refused_label(workload, &workload.spec.labels_path, key, value, why)
}

/// Makes the report on a refused label that is no port's. `at` is its path within the workload.
fn refused_label(
    workload: &Workload,
    at: &str,
    key: String,
    value: String,
    why: LabelRefusal,
) -> LabelReport {
    let path = format!("{}.{at}", workload.path);
    let app = app_id(&workload.key());
    let place = LabelPlace { app, port: None, path, key, occurrence: 0, value };
    LabelReport { source: None, place, vip: None, name: None, verdict: Verdict::refused(why) }
}
