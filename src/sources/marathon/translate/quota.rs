//! The caps of one app or pod: of its virtual services, its real servers and its reports.

use std::collections::BTreeSet;

use marathon::{Port, Workload};
use vip::label::LabelRefusal;
use vip::naming::VipName;
use vip::{LabelPlace, LabelReport, Verdict, Vip};

use super::app_id::app_id;

/// A virtual service that a label claims. With a name its address isn't known yet.
pub(super) type ClaimedService = (Option<VipName>, Vip);

/// The virtual services that a workload has so far, and their instances.
#[derive(Debug, Default)]
pub(super) struct Quota {
    /// An older version of the definition, which some tasks still run, has mostly the same ones.
    services: BTreeSet<ClaimedService>,
    servers: usize,
}

impl Quota {
    /// Takes one virtual service with so many instances, or returns the reason why there are too many.
    pub(super) fn take_service(
        &mut self,
        service: ClaimedService,
        port: &Port,
        instances: usize,
    ) -> Result<(), LabelRefusal> {
        let reason = if port.index >= caps::PORTS {
            format!("only the first {} ports of an app or pod can have VIPs", caps::PORTS)
        } else if !self.services.contains(&service) && self.services.len() >= caps::WORKLOAD_VIPS {
            let most = caps::WORKLOAD_VIPS;
            format!("this app or pod has {most} VIPs already, and more are not served")
        } else if self.servers + instances > caps::WORKLOAD_SERVERS {
            format!(
                "its {instances} instances would make more than {} real servers of this app or pod",
                caps::WORKLOAD_SERVERS
            )
        } else {
            self.services.insert(service);
            self.servers += instances;
            return Ok(());
        };
        Err(LabelRefusal::Capped(reason))
    }
}

/// Caps the reports of a workload: the last one stands for the others.
pub(in crate::sources::marathon) fn cap_reports(reports: &mut Vec<LabelReport>) {
    let Some(first) = reports.get(caps::WORKLOAD_REPORTS - 1) else { return };
    if reports.len() > caps::WORKLOAD_REPORTS {
        let left_out = reports.len() - caps::WORKLOAD_REPORTS + 1;
        let why = format!(
            "{left_out} labels of this app or pod are refused from here on, and only the first {} \
             are reported",
            caps::WORKLOAD_REPORTS - 1
        );
        let last = LabelReport {
            source: None,
            place: first.place.clone(),
            vip: None,
            name: None,
            verdict: Verdict::refused(LabelRefusal::Capped(why)),
        };
        reports.truncate(caps::WORKLOAD_REPORTS - 1);
        reports.push(last);
    }
    reports.shrink_to_fit();
}

/// Reports that a workload has more labels than are read.
pub(super) fn report_capped_labels(workload: &Workload, reports: &mut Vec<LabelReport>) {
    let spec = &workload.spec;
    let of_app = (None, &spec.labels_path, &spec.labels);
    let of_ports = spec.ports.iter().map(|port| (Some(port.index), &port.path, &port.labels));
    for (port, path, labels) in std::iter::once(of_app).chain(of_ports) {
        if !labels.is_capped() {
            continue;
        }
        let why = format!("only the first {} labels of this object are read", caps::LABELS);
        let path = match port {
            None => format!("{}.{path}", workload.path),
            Some(_) => format!("{}.{path}.labels", workload.path),
        };
        let app = app_id(&workload.key());
        let place = LabelPlace {
            app,
            port,
            path,
            key: "labels".into(),
            occurrence: 0,
            value: "...".into(),
        };
        let verdict = Verdict::refused(LabelRefusal::Capped(why));
        reports.push(LabelReport { source: None, place, vip: None, name: None, verdict });
    }
}
