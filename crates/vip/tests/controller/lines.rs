//! The change log: what each line says, and which labels are told of.

use vip::Condition::{Healthy, Killing, Terminal, Unhealthy};
use vip::controller::AppClaims;
use vip::{Ending, Verdict};

use crate::world::{Task, World, app, seconds};

const WEB: &str = "3.3.0.6:80";
const DNS: &str = "3.3.0.6:53/udp";
const A: &str = "10.0.0.1:31001";
const B: &str = "10.0.0.2:31002";

/// Lets the kernel answer until nothing more is asked; a line for each operation.
fn log(world: &mut World) -> Vec<String> {
    world.log.clear();
    world.work();
    world.log.iter().map(ToString::to_string).collect()
}

/// The lines when `/web` changes.
fn on(world: &mut World, claims: Option<AppClaims>) -> Vec<String> {
    let input = world.app_input("m", "/web", claims);
    world.say(input);
    log(world)
}

fn web(at: &str, tasks: &[Task<'_>]) -> Option<AppClaims> {
    Some(app("/web", &[at], tasks))
}

#[test]
fn a_line_says_what_for_which_app_and_why() {
    let mut world = World::settled(&[]);
    let lines = on(&mut world, web(WEB, &[("a", A, Healthy), ("b", B, Healthy)]));
    let mut sorted = lines.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "+3.3.0.6 bound",
            "+3.3.0.6:80/tcp /web wlc",
            "+interface created",
            "3.3.0.6:80/tcp +10.0.0.1:31001 /web healthy, weight 1",
            "3.3.0.6:80/tcp +10.0.0.2:31002 /web healthy, weight 1",
            "~3.3.0.6:80/tcp /web flows from before it was served and guarded are forgotten",
        ]
    );
    assert_eq!(
        on(&mut world, web(WEB, &[("a", A, Unhealthy), ("b", B, Healthy)])),
        ["3.3.0.6:80/tcp ~10.0.0.1:31001 /web unhealthy, weight 1 -> 0"]
    );
    assert_eq!(
        on(&mut world, web(WEB, &[("a", A, Terminal(Ending::Killed)), ("b", B, Healthy)])),
        ["3.3.0.6:80/tcp -10.0.0.1:31001 /web task killed"]
    );
    // Marathon doesn't list it any more.
    assert_eq!(on(&mut world, web(WEB, &[])), ["3.3.0.6:80/tcp -10.0.0.2:31002 /web task gone"]);
    assert_eq!(on(&mut world, None), ["-3.3.0.6:80/tcp no app claims it"]);
    world.now += seconds(60);
    world.say(vip::controller::Input::Tick);
    assert_eq!(log(&mut world), ["-3.3.0.6 unbound, no virtual service is on it"]);
}

#[test]
fn a_line_says_why_a_server_leaves_in_other_ways() {
    let mut world = World::settled(&[("/web", web(DNS, &[("a", A, Healthy)]).unwrap())]);
    assert_eq!(
        on(&mut world, web(DNS, &[("a", A, Killing)])),
        ["3.3.0.6:53/udp -10.0.0.1:31001 /web being killed"]
    );

    let both = web(WEB, &[("a", A, Healthy), ("b", B, Healthy)]).unwrap();
    let mut world = World::settled(&[("/web", both)]);
    let mut rest = web(WEB, &[("b", B, Healthy)]).unwrap();
    rest.alive.insert("a".into());
    assert_eq!(
        on(&mut world, Some(rest)),
        ["3.3.0.6:80/tcp ~10.0.0.1:31001 /web out of use, and kept until its connections have \
             ended, weight 1 -> 0"]
    );
    let mut lines = Vec::new();
    while lines.is_empty() {
        world.now = world.wake.unwrap();
        world.say(vip::controller::Input::Tick);
        lines = log(&mut world);
    }
    assert_eq!(lines, ["3.3.0.6:80/tcp -10.0.0.1:31001 /web drained"]);
}

#[test]
fn a_line_has_the_task_and_since_when_it_was_due() {
    let mut world = World::settled(&[("/web", web(WEB, &[("a", A, Healthy)]).unwrap())]);
    world.now += seconds(5);
    let input = world.app_input("m", "/web", web(WEB, &[("a", A, Terminal(Ending::Failed))]));
    world.say(input);
    world.log.clear();
    world.answer();
    let entry = &world.log[0];
    assert_eq!((&*entry.app, entry.task.as_deref()), ("/web", Some("a")));
    assert_eq!((entry.op.name(), entry.since), ("delete-server", Some(world.now)));
    assert_eq!(entry.why, "task failed");
}

#[test]
fn a_refused_label_is_told_once_until_it_changes() {
    let mut world = World::settled(&[]);
    let told = |world: &mut World| -> Vec<Verdict> {
        world.controller.take_news().into_iter().map(|report| report.verdict).collect()
    };
    world.app("/web", web("127.0.0.1:80", &[("a", A, Healthy)]));
    assert!(matches!(told(&mut world)[..], [Verdict::Refused(_)]));
    world.app("/web", web("127.0.0.1:80", &[("a", A, Unhealthy)]));
    world.hear_all("m");
    world.pass(seconds(120));
    assert_eq!(told(&mut world), []);
    world.app("/web", web(WEB, &[("a", A, Healthy)]));
    assert_eq!(told(&mut world), []);
    world.app("/web", web("127.0.0.1:80", &[("a", A, Healthy)]));
    assert!(matches!(told(&mut world)[..], [Verdict::Refused(_)]));
}
