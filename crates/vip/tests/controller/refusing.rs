//! Real servers that refuse clients while their source is not heard.

use std::net::SocketAddr;
use std::time::Duration;

use vip::Condition::{Healthy, Unhealthy};
use vip::Op;
use vip::controller::Input;
use vip::liveness::{Evidence, HostVerdict, ServerVerdict, Silence};

use crate::world::{Task, World, app, seconds};

const WEB: &str = "3.3.0.6:80";
const DNS: &str = "3.3.0.6:53/udp";
const A: &str = "10.0.0.1:31001";
const B: &str = "10.0.0.1:31002";
const BOTH: [Task<'_>; 2] = [("a", A, Healthy), ("b", B, Healthy)];

fn hear(world: &mut World, server: &str, is_refusing: bool) {
    let server: SocketAddr = server.parse().unwrap();
    let verdict = match is_refusing {
        true => ServerVerdict { server, is_refusing, refusals: 5, within: seconds(12) },
        false => ServerVerdict::taken_back(server),
    };
    world.hear(Input::ServerVerdicts(vec![verdict]));
}

fn hear_host(world: &mut World, server: &str, silence: Option<Silence>) {
    let host = server.parse::<SocketAddr>().unwrap().ip();
    let silent_for = Duration::from_millis(780);
    let evidence = Evidence { silent_for, echoes: 3, connects: 1, others_answering: 41 };
    world.hear(Input::Verdicts(vec![HostVerdict { host, silence, evidence }]));
}

fn weights(world: &World, at: &str) -> [Option<u32>; 2] {
    [A, B].map(|server| world.weight(at, server))
}

fn web(tasks: &[Task<'_>]) -> World {
    World::settled(&[("/web", app("/web", &[WEB, DNS], tasks))])
}

#[test]
fn a_real_server_that_refuses_gets_weight_0_alone_and_comes_back() {
    let mut world = web(&BOTH);
    world.plans.clear();
    hear(&mut world, A, true);
    assert_eq!(weights(&world, WEB), [Some(0), Some(1)], "another port of its host");
    assert_eq!(
        weights(&world, DNS),
        [Some(1), Some(1)],
        "that a port refuses TCP is no news of UDP"
    );
    assert_eq!(
        world.log.last().unwrap().to_string(),
        "3.3.0.6:80/tcp ~10.0.0.1:31001 /web healthy; out of use, it refused clients 5 times within \
         12 s, while its source is not heard, weight 1 -> 0"
    );
    let forgets = |op: &Op| matches!(op, Op::ForgetFlows { .. });
    assert!(!world.plans.iter().flat_map(|plan| &plan.ops).any(forgets), "it answers");
    world.pass(seconds(300));
    assert_eq!(weights(&world, WEB), [Some(0), Some(1)], "it is not removed");
    hear(&mut world, A, false);
    assert_eq!(weights(&world, WEB), [Some(1), Some(1)]);
    assert_eq!(world.controller.local_facts(world.now).silence, Default::default());
}

#[test]
fn the_last_usable_real_servers_keep_their_weights() {
    let mut world = web(&[("a", A, Healthy), ("b", B, Unhealthy)]);
    hear(&mut world, A, true);
    assert_eq!(weights(&world, WEB), [Some(1), Some(0)]);
    let mut world = web(&BOTH);
    hear(&mut world, A, true);
    hear(&mut world, B, true);
    assert_eq!(weights(&world, WEB), [Some(1), Some(1)]);
    hear(&mut world, B, false);
    assert_eq!(weights(&world, WEB), [Some(0), Some(1)]);
}

#[test]
fn one_that_refuses_is_as_bad_as_one_on_a_silent_host_and_better_than_a_dead_one() {
    const FAR: &str = "10.0.0.2:31001";
    for (silence, expected) in
        [(Silence::Suspected, [Some(1), Some(1)]), (Silence::Dead, [Some(1), None])]
    {
        let mut world = web(&[("a", A, Healthy), ("far", FAR, Healthy)]);
        hear(&mut world, A, true);
        hear_host(&mut world, FAR, Some(silence));
        world.pass(seconds(60));
        assert_eq!([A, FAR].map(|server| world.weight(WEB, server)), expected, "{silence:?}");
        hear_host(&mut world, FAR, None);
        hear(&mut world, A, false);
        assert_eq!([A, FAR].map(|server| world.weight(WEB, server)), [Some(1), Some(1)]);
    }
}

#[test]
fn a_command_takes_over_what_the_agent_heard() {
    let mut world = web(&BOTH);
    hear(&mut world, A, true);
    let facts = world.controller.local_facts(world.now);
    let json = serde_json::to_string(&facts).unwrap();
    assert!(json.contains(r#""within_ms":12000"#), "{json}");
    assert_eq!(serde_json::from_str::<vip::controller::LocalFacts>(&json).unwrap(), facts);
    let plan = crate::once::command(&mut world, Some(&facts)).plan;
    assert!(plan.is_empty(), "{:?}", plan.ops);
}
