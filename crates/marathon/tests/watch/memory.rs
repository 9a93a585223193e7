//! What an earlier run knew, and reasons to doubt that the watch doesn't have itself.

use std::sync::Arc;

use marathon::Workload;
use marathon::watch::{Input, Loss};

use crate::common::{Watch, app, key, snapshot, task, up};

fn known(apps: &[String]) -> Vec<Arc<Workload>> {
    snapshot(apps).workloads
}

fn apps(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| app(id, &[])).collect()
}

fn remembering(apps: &[String]) -> Watch {
    let mut watch = Watch::new(1, Some(1), 7);
    let changed = watch.state.restore(known(apps));
    assert_eq!(changed.len(), apps.len());
    watch
}

#[test]
fn what_an_earlier_run_knew_is_known_from_the_start_and_covers_nothing() {
    let mut watch = remembering(&[app("/db", &[up("b", 1), up("a", 1)]), app("/web", &[])]);
    assert_eq!(watch.ids(), ["/db", "/web"]);
    assert_eq!(watch.tasks("/db"), "a up, b up");
    assert!(!watch.state.coverage().apps && !watch.state.coverage().pods);
    watch.opened();
    watch.fail_everything();
    watch.live(60);
    assert_eq!(watch.ids(), ["/db", "/web"]);
    watch.read_everything(&[app("/db", &[up("a", 2)])]);
    assert_eq!(watch.ids(), ["/db"], "a read of everything says so");
    assert_eq!(watch.tasks("/db"), "a up");
    assert!(watch.state.coverage().apps);
}

#[test]
fn a_first_answer_without_most_of_what_an_earlier_run_knew_is_read_again() {
    let mut watch = remembering(&apps(&["/a", "/b", "/c"]));
    watch.opened();
    watch.after(1000);
    assert_eq!(watch.asked(), ["open 0", "all"]);
    watch.read_everything(&apps(&["/a"]));
    assert_eq!(watch.ids(), ["/a", "/b", "/c"]);
    assert!(watch.state.coverage().apps && watch.state.doubt().is_some());
    watch.after(2000);
    assert_eq!(watch.asked(), ["all"]);
    watch.read_everything(&apps(&["/a", "/b", "/c"]));
    assert!(watch.state.doubt().is_none());
}

#[test]
fn health_that_marathon_has_forgotten_is_what_the_earlier_run_knew() {
    let forgotten = |id: &str| task(id, "RUNNING", "");
    let mut watch = remembering(&[app("/db", &[up("a", 1)])]);
    watch.opened();
    watch.after(1000);
    watch.read_everything(&[app("/db", &[forgotten("a"), forgotten("b")])]);
    assert_eq!(watch.tasks("/db"), "a up, b unknown");
}

#[test]
fn bad_news_acts_on_what_an_earlier_run_knew() {
    let mut watch = remembering(&[app("/db", &[up("a", 1), up("b", 1)])]);
    watch.opened();
    watch.status("a", "KILLED");
    assert_eq!(watch.tasks("/db"), "a over, b up");
}

#[test]
fn what_was_read_is_not_replaced_by_what_an_earlier_run_knew() {
    let mut watch = Watch::started(&[app("/db", &[up("a", 1)])]);
    let changed = watch.state.restore(known(&[app("/db", &[]), app("/old", &[])]));
    assert_eq!(changed.into_iter().collect::<Vec<_>>(), [key("/old")]);
    assert_eq!(watch.tasks("/db"), "a up");
    let mut unclear = known(&apps(&["/unclear"]));
    Arc::make_mut(&mut unclear[0]).tasks_known = false;
    assert!(watch.state.restore(unclear).is_empty());
}

#[test]
fn a_doubt_from_outside_has_everything_read_again_after_2_s_and_takes_nothing_back() {
    let mut watch = Watch::started(&apps(&["/a"]));
    watch.changed.clear();
    watch.on(Input::Doubt(Loss::default()));
    assert!(watch.state.coverage().apps);
    watch.after(1999);
    assert_eq!(watch.asked(), [""; 0]);
    watch.after(1);
    assert_eq!(watch.asked(), ["all"]);
    watch.on(Input::Trust);
    watch.read_everything(&apps(&["/a"]));
    watch.live(20);
    assert_eq!(watch.asked(), [""; 0]);
    assert!(watch.changed.is_empty());
}

#[test]
fn the_tasks_of_one_agent_hold_its_name_once() {
    let tasks = [up("a", 1), up("b", 1).replace("h-b", "h-a"), up("c", 1)];
    let read = known(&[app("/db", &tasks), app("/web", &tasks)]);
    let kept = serde_json::to_string(&read).unwrap();
    let mut watch = remembering(&[]);
    watch.state.restore(serde_json::from_str(&kept).unwrap());
    let restored: Vec<_> = watch.state.workloads().cloned().collect();
    for workloads in [read, restored] {
        let hosts = |agent: &str| {
            let instances = workloads.iter().flat_map(|workload| &workload.instances);
            let hosts = instances.filter_map(|instance| instance.host.clone());
            hosts.filter(|host| **host == *agent).collect::<Vec<_>>()
        };
        assert_eq!((hosts("h-a").len(), hosts("h-c").len()), (4, 2));
        for agent in ["h-a", "h-c"] {
            assert!(hosts(agent).windows(2).all(|two| Arc::ptr_eq(&two[0], &two[1])));
        }
    }
}
