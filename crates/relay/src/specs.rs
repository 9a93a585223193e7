//! Earlier definitions, each once in a record however many instances run by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use marathon::{InstanceSpec, Spec, Timestamp, Workload};

/// Takes the earlier definitions out of a workload. Its instances name them by version, as if they
/// were unknown. None: there is nothing to take out.
pub(crate) fn take_out_specs(workload: &Workload) -> Option<(Workload, Vec<Arc<Spec>>)> {
    let all = || workload.instances.iter().map(|instance| &instance.spec);
    // A version that is really unknown to an instance must stay so.
    let unknown: BTreeSet<Timestamp> = all()
        .filter_map(|spec| match spec {
            InstanceSpec::Unknown(version) => Some(*version),
            InstanceSpec::Current | InstanceSpec::Older(_) | InstanceSpec::Gone(_) => None,
        })
        .collect();
    let mut table: BTreeMap<Timestamp, Arc<Spec>> = BTreeMap::new();
    for spec in all() {
        if let InstanceSpec::Older(spec) = spec
            && let Some(version) = spec.version
            && !unknown.contains(&version)
        {
            table.entry(version).or_insert_with(|| Arc::clone(spec));
        }
    }
    if table.is_empty() {
        return None;
    }
    let mut rest = workload.clone();
    for instance in &mut rest.instances {
        if let InstanceSpec::Older(spec) = &instance.spec
            && let Some(version) = spec.version
            && table.get(&version) == Some(spec)
        {
            instance.spec = InstanceSpec::Unknown(version);
        }
    }
    Some((rest, table.into_values().collect()))
}

/// Puts back what [`take_out_specs`] has taken out.
pub(crate) fn put_back_specs(workload: &mut Workload, specs: Vec<Arc<Spec>>) {
    let by_version = specs.into_iter().filter_map(|spec| Some((spec.version?, spec)));
    let table: BTreeMap<Timestamp, Arc<Spec>> = by_version.collect();
    for instance in &mut workload.instances {
        if let InstanceSpec::Unknown(version) = &instance.spec
            && let Some(spec) = table.get(version)
        {
            instance.spec = InstanceSpec::Older(Arc::clone(spec));
        }
    }
}

#[cfg(test)]
mod tests {
    use marathon::{Document, Records};

    use super::*;

    /// Makes an app whose instances run by these definitions.
    fn app(specs: &[InstanceSpec]) -> Workload {
        let tasks: Vec<_> = (0..specs.len())
            .map(|task| {
                format!(
                    r#"{{"id":"web.{task}","appId":"/web","state":"TASK_RUNNING","host":"h",
                        "ports":[31000]}}"#
                )
            })
            .collect();
        let json = format!(
            r#"{{"id":"/web","portDefinitions":[{{"port":0}}],"tasks":[{}]}}"#,
            tasks.join(",")
        );
        let snapshot = Document::parse(json.as_bytes()).unwrap().to_snapshot(&Records::default());
        let mut app = Workload::clone(&snapshot.workloads[0]);
        for (instance, spec) in app.instances.iter_mut().zip(specs) {
            instance.spec = spec.clone();
        }
        app
    }

    fn spec(version: Option<&str>, label: &str) -> InstanceSpec {
        let mut spec = Spec::clone(&app(&[]).spec);
        spec.version = version.map(|version| version.parse().unwrap());
        spec.labels = [("VIP_0".to_owned(), label.to_owned())].into_iter().collect();
        InstanceSpec::Older(spec.into())
    }

    const ONE: &str = "2026-01-01T00:00:00Z";
    const TWO: &str = "2026-01-02T00:00:00Z";

    #[test]
    fn what_is_taken_out_is_there_once_and_can_be_put_back() {
        let unknown = |version: &str| InstanceSpec::Unknown(version.parse().unwrap());
        let (one, two) = (spec(Some(ONE), "1.1.1.1:80"), spec(Some(TWO), "1.1.1.2:80"));
        let never_posted = spec(None, "1.1.1.3:80");
        let other = spec(Some(ONE), "1.1.1.4:80");
        let cases = [
            (vec![one.clone(), InstanceSpec::Current, one.clone(), two.clone()], 2),
            (vec![one.clone(), other, one.clone(), never_posted], 1),
            (vec![one, unknown(ONE), two], 1),
        ];
        for (specs, taken) in cases {
            let app = app(&specs);
            let (mut rest, table) = take_out_specs(&app).unwrap();
            assert_eq!(table.len(), taken, "{specs:?}");
            put_back_specs(&mut rest, table);
            assert_eq!(rest, app);
        }
        assert_eq!(take_out_specs(&app(&[InstanceSpec::Current, unknown(ONE)])), None);
    }
}
