//! The apps and pods in a document.

use super::DocumentError;
use super::path_id::resolve_id;
use super::shape::{AppAnswer, Content, Elements};
use crate::lenient::Log;
use crate::model::{App, Group, PodSpec, PodStatus};
use crate::normalize::{Assembly, apps, pods};
use crate::{Coverage, Kind, Spec, Workload};

/// One definition of a document, with or without its instances.
#[derive(Debug)]
pub(super) struct Entry {
    /// The absolute id; empty in one without.
    pub(super) id: String,
    pub(super) path: String,
    body: Body,
}

#[derive(Debug)]
enum Body {
    App(Box<App>),
    PodStatus(Box<PodStatus>),
    PodSpec(Box<PodSpec>),
}

impl Entry {
    pub(super) fn kind(&self) -> Kind {
        match self.body {
            Body::App(_) => Kind::App,
            Body::PodStatus(_) | Body::PodSpec(_) => Kind::Pod,
        }
    }

    pub(super) fn has_instances(&self) -> bool {
        match &self.body {
            Body::App(app) => app.tasks.is_some(),
            Body::PodStatus(pod) => pod.instances.is_some(),
            Body::PodSpec(_) => false,
        }
    }

    /// Tells whether it took too much memory, and is left out but for its id.
    pub(super) fn is_outgrown(&self) -> bool {
        match &self.body {
            Body::App(app) => app.outgrown,
            Body::PodStatus(pod) => pod.outgrown,
            Body::PodSpec(pod) => pod.outgrown,
        }
    }

    /// Tells whether a part of the definition could not be read.
    pub(super) fn is_damaged(&self) -> bool {
        match &self.body {
            Body::App(app) => app.damaged,
            Body::PodStatus(pod) => pod.damaged,
            Body::PodSpec(pod) => pod.damaged,
        }
    }

    fn is_suspended(&self) -> bool {
        let instances = match &self.body {
            Body::App(app) => app.instances,
            Body::PodStatus(pod) => pod.spec.scaling.instances,
            Body::PodSpec(pod) => pod.scaling.instances,
        };
        instances == Some(0)
    }

    /// Converts the definition alone, for a version record.
    pub(super) fn to_spec(&self) -> Spec {
        match &self.body {
            Body::App(app) => apps::app_spec(app),
            Body::PodStatus(pod) => pods::pod_spec(&pod.spec, "spec."),
            Body::PodSpec(pod) => pods::pod_spec(pod, ""),
        }
    }

    pub(super) fn to_workload(&self, assembly: &mut Assembly<'_>) -> Workload {
        let (id, path, spec) = (self.id.clone(), self.path.clone(), self.to_spec());
        let workload = match &self.body {
            Body::App(app) => apps::app_workload(id, path, spec, app, assembly),
            Body::PodStatus(pod) => {
                pods::pod_workload(id, path, spec, pod.instances.as_deref(), assembly)
            }
            Body::PodSpec(_) => pods::pod_workload(id, path, spec, None, assembly),
        };
        Workload { damaged: self.is_damaged(), suspended: self.is_suspended(), ..workload }
    }
}

/// The definitions of a document, wherever they are in it.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) list: Vec<Entry>,
    /// Those without an id of their own, which can't be served.
    pub(super) nameless: Vec<Entry>,
    /// The kinds of workloads that a document of this shape lists completely.
    claimed: Coverage,
    /// The kinds with an entry that could not be read.
    lost: Coverage,
}

impl Entries {
    pub(super) fn coverage(&self) -> Coverage {
        Coverage {
            apps: self.claimed.apps && !self.lost.apps,
            pods: self.claimed.pods && !self.lost.pods,
        }
    }

    /// Adds the definitions of a document.
    pub(super) fn add_content(
        &mut self,
        content: Content,
        log: &mut Log,
    ) -> Result<(), DocumentError> {
        match content {
            Content::List(list) => self.add_list(list, log)?,
            Content::App(app) => self.add_app("", *app, log),
            Content::Answer(answer) => self.add_answer(*answer, log),
            Content::Group(group) => {
                let root = group.id.as_deref().is_some_and(|id| resolve_id("", id) == "/");
                self.claimed = Coverage { apps: root, pods: root };
                self.add_group("", group, log);
            }
            Content::PodStatus(pod) => self.add_pod_status("", *pod, log),
            Content::PodSpec(pod) => self.add_pod_spec(*pod, log),
        }
        Ok(())
    }

    /// Adds the elements of a list. Of all lists only that of pod statuses is complete, and an
    /// empty one could be of anything.
    fn add_list(&mut self, list: Elements, log: &mut Log) -> Result<(), DocumentError> {
        let is_status = |element: &_| matches!(element, Ok(Content::PodStatus(_)));
        let all_states = !list.is_empty() && list.iter().all(is_status);
        if !list.is_empty() && list.iter().all(Result::is_err) {
            return list.into_iter().next().map_or(Ok(()), |first| first.map(drop));
        }
        for (index, element) in list.into_iter().enumerate() {
            log.at_index(index, |log| {
                if let Err(error) = element.and_then(|content| self.add_content(content, log)) {
                    log.add_finding(error.to_string());
                }
            });
        }
        self.claimed = Coverage { apps: false, pods: all_states };
        Ok(())
    }

    /// Notes an empty answer of `/v2/pods/::status`.
    pub(super) fn claim_no_pods(&mut self) {
        self.claimed.pods = true;
    }

    fn add_answer(&mut self, answer: AppAnswer, log: &mut Log) {
        self.claimed.apps = answer.apps.is_some();
        self.add_apps("", "apps", answer.apps.unwrap_or_default(), log);
        self.add_apps("", "*", answer.of_group.unwrap_or_default(), log);
        if let Some(app) = answer.app {
            log.at_key("app", |log| self.add_app("", app, log));
        }
    }

    fn add_group(&mut self, parent: &str, group: Group, log: &mut Log) {
        let id = match valid_id(group.id.as_deref()) {
            Some(id) => resolve_id(parent, id),
            None => {
                log.add_finding("this group has no id");
                self.lost = Coverage { apps: true, pods: true };
                resolve_id(parent, ".")
            }
        };
        self.lost.apps |= group.apps.is_none() || group.groups.is_none();
        self.lost.pods |= group.pods.is_none() || group.groups.is_none();
        self.add_apps(&id, "apps", group.apps.unwrap_or_default(), log);
        log.at_key("pods", |log| {
            for (index, pod) in group.pods.into_iter().flatten().enumerate() {
                log.at_index(index, |log| self.add_pod_status(&id, pod, log));
            }
        });
        log.at_key("groups", |log| {
            for (index, group) in group.groups.into_iter().flatten().enumerate() {
                log.at_index(index, |log| self.add_group(&id, group, log));
            }
        });
    }

    fn add_apps(&mut self, parent: &str, key: &'static str, apps: Vec<App>, log: &mut Log) {
        log.at_key(key, |log| {
            for (index, app) in apps.into_iter().enumerate() {
                log.at_index(index, |log| self.add_app(parent, app, log));
            }
        });
    }

    fn add_app(&mut self, parent: &str, app: App, log: &mut Log) {
        let tasks = app.tasks.iter().flatten().map(|task| task.id.as_deref());
        report_nameless(tasks, "tasks", "a task without id is left out", log);
        let id = app.id.clone();
        self.add_entry(parent, id.as_deref(), Body::App(Box::new(app)), log);
    }

    fn add_pod_status(&mut self, parent: &str, pod: PodStatus, log: &mut Log) {
        let instances = pod.instances.iter().flatten().map(|instance| instance.id.as_deref());
        report_nameless(instances, "instances", "an instance without id is left out", log);
        let id = valid_id(pod.id.as_deref()).or(pod.spec.id.as_deref()).map(str::to_owned);
        self.add_entry(parent, id.as_deref(), Body::PodStatus(Box::new(pod)), log);
    }

    fn add_pod_spec(&mut self, pod: PodSpec, log: &mut Log) {
        let id = pod.id.clone();
        self.add_entry("", id.as_deref(), Body::PodSpec(Box::new(pod)), log);
    }

    fn add_entry(&mut self, parent: &str, id: Option<&str>, body: Body, log: &mut Log) {
        let id = valid_id(id).map(|id| resolve_id(parent, id));
        let mut entry = Entry { id: String::new(), path: log.current_path(), body };
        let kind = entry.kind();
        let labelled = || entry.to_spec().label_objects().any(|(_, labels)| !labels.is_empty());
        let reason = match (id, kind) {
            (Some(id), _) if id != "/" => {
                entry.id = id;
                self.list.push(entry);
                return;
            }
            (Some(_), kind) => format!("this {kind} has the id of the root group"),
            (None, kind) if labelled() => {
                format!("the id is missing: Marathon refuses that, and this {kind} is left out")
            }
            (None, Kind::App) => "an app without id is left out".to_owned(),
            (None, Kind::Pod) => "a pod without id is left out".to_owned(),
        };
        log.add_finding(reason);
        match kind {
            Kind::App => self.lost.apps = true,
            Kind::Pod => self.lost.pods = true,
        }
        if labelled() {
            self.nameless.push(entry);
        }
    }
}

fn valid_id(id: Option<&str>) -> Option<&str> {
    id.filter(|id| !id.is_empty())
}

fn report_nameless<'a>(
    ids: impl Iterator<Item = Option<&'a str>>,
    list: &'static str,
    reason: &str,
    log: &mut Log,
) {
    log.at_key(list, |log| {
        for (index, _) in ids.enumerate().filter(|(_, id)| id.is_none()) {
            log.at_index(index, |log| log.add_finding(reason));
        }
    });
}
