//! One test for each fault of Marathon or the network: the kernel before, during and after.

use marathon::client::{Account, Auth, Url};
use marathon_sim::{Fault, Rule};
use serde_json::{Value, json};

use crate::world::{World, app, eventually, pass, place, run};

const WEB: &str = "3.3.0.6:80";

/// Nothing is taken out of use while this goes on, and afterwards changes are followed again.
fn changes_nothing(rule: Rule, milliseconds: u64) {
    run(async {
        let world = World::serving(2).await;
        world.sim().inject(rule);
        touch(&world).await;
        pass(milliseconds).await;
        assert_eq!(world.fewest(WEB), 2, "during");
        world.sim().heal();
        follows(&world).await;
        world.end().await;
    });
}

/// Has the agent read something, whatever becomes of it.
async fn touch(world: &World) {
    let url = format!("{}/v2/apps/other", world.sim().url());
    let body = json!({"id": "/other", "cmd": "sleep 1000", "instances": 0, "cpus": 0.1, "mem": 1});
    let put = reqwest::Client::new().put(url).body(body.to_string());
    tokio::spawn(put.send());
    pass(100).await;
}

/// A task that is killed goes, and the one that replaces it comes.
async fn follows(world: &World) {
    let mut tasks = world.tasks("/web").await;
    while tasks.len() != 2 {
        pass(100).await;
        tasks = world.tasks("/web").await;
    }
    let dead = place(&tasks[0]);
    let path = format!("/v2/apps/web/tasks/{}", tasks[0]["id"].as_str().unwrap());
    world.send("DELETE", &path, &Value::Null).await;
    eventually(async || {
        let served = world.served(WEB).unwrap();
        served.len() == 2 && !served.contains(&dead)
    })
    .await;
}

#[test]
fn an_empty_answer() {
    changes_nothing(Fault::Empty.always(), 4000);
}

#[test]
fn a_flash_of_no_apps() {
    changes_nothing(Fault::NoApps.times(1), 4000);
}

#[test]
fn a_500_because_health_was_not_told_in_time() {
    changes_nothing(Fault::HealthAsk.always(), 4000);
}

#[test]
fn a_proxys_502_in_html() {
    changes_nothing(Fault::BadGateway.always(), 4000);
}

#[test]
fn a_503_in_html() {
    changes_nothing(Fault::Unavailable.always(), 4000);
}

#[test]
fn a_compressed_answer_that_breaks_off() {
    changes_nothing(Fault::Truncated.always(), 4000);
}

#[test]
fn an_answer_that_takes_ten_seconds() {
    changes_nothing(Fault::Stall { ms: 10_000 }.times(2), 11_000);
}

#[test]
fn a_stream_that_is_closed_at_once() {
    changes_nothing(Fault::Closed.always(), 3000);
}

#[test]
fn a_stream_that_says_nothing_more_is_given_up_and_opened_anew() {
    run(async {
        let world = World::serving(2).await;
        world.sim().inject(Fault::HalfOpen.always());
        touch(&world).await;
        assert!(world.agent().view.borrow().sources["m0"].streaming);
        eventually(async || !world.agent().view.borrow().sources["m0"].streaming).await;
        assert_eq!(world.fewest(WEB), 2);
        world.sim().heal();
        eventually(async || world.agent().view.borrow().sources["m0"].streaming).await;
        follows(&world).await;
        world.end().await;
    });
}

/// Events arrive otherwise than they should: a task that is killed goes and stays away.
fn a_death_is_known_in_spite_of(rule: Rule) {
    run(async {
        let world = World::serving(3).await;
        let tasks = world.tasks("/web").await;
        world.sim().inject(rule);
        let dead = place(&tasks[0]);
        let path = format!("/v2/apps/web/tasks/{}", tasks[0]["id"].as_str().unwrap());
        world.send("DELETE", &path, &Value::Null).await;
        eventually(async || !world.served(WEB).unwrap().contains(&dead)).await;
        let _ = world.kernel.history();
        world.until_served(WEB, 3).await;
        pass(1500).await;
        let history = world.kernel.history();
        let back = history.iter().any(|(_, state)| {
            state.services.values().any(|service| {
                service.servers.get(&dead).is_some_and(|server| server.settings.weight > 0)
            })
        });
        assert!(!back, "it came back");
        world.end().await;
    });
}

#[test]
fn events_that_come_late() {
    a_death_is_known_in_spite_of(Fault::Late { ms: 3000 }.always());
}

#[test]
fn events_that_come_twice() {
    a_death_is_known_in_spite_of(Fault::Doubled.always());
}

#[test]
fn events_out_of_order() {
    a_death_is_known_in_spite_of(Fault::Reordered.always());
}

#[test]
fn events_about_tasks_that_are_lost_while_others_come() {
    a_death_is_known_in_spite_of(Fault::Lost.always().only("status_update_event"));
}

#[test]
fn an_answer_that_lags_behind_an_event() {
    a_death_is_known_in_spite_of(Fault::Lag { ms: 1000 }.always());
}

#[test]
fn a_leader_that_forgets_who_is_healthy() {
    run(async {
        let world = World::serving(2).await;
        // No check tells anything new for the rest of the test.
        world.sim().forget_health();
        touch(&world).await;
        pass(2000).await;
        assert_eq!(world.fewest(WEB), 2);
        world.end().await;
    });
}

#[test]
fn a_change_of_leader() {
    run(async {
        let mut world = World::with(&[&|config| config.standbys = 1]).await;
        world.run_app(&app("/web", WEB, 2)).await;
        world.start().await;
        world.until_served(WEB, 2).await;
        let _ = world.kernel.history();
        for leader in [Some(1), None, Some(0)] {
            world.sim().elect(leader);
            pass(2500).await;
        }
        assert_eq!(world.fewest(WEB), 2);
        follows(&world).await;
        world.end().await;
    });
}

#[test]
fn a_token_that_expires() {
    run(async {
        let lifetime = |config: &mut marathon_sim::Config| {
            config.token_lifetime = Some(std::time::Duration::from_secs(3600));
        };
        let mut world = World::with(&[&lifetime]).await;
        let login_endpoint = format!("{}/acs/api/v1/auth/login", world.sim().url());
        world.auth = Some(Auth::Account(Account {
            uid: "vipd".into(),
            private_key: include_str!("../support/account.pem").into(),
            login_endpoint: Url::parse(&login_endpoint).unwrap(),
        }));
        world.start().await;
        eventually(async || world.agent().view.borrow().ready).await;
        let logged_in = world.agent().view.borrow().sources["m0"].clone();
        assert_eq!(logged_in.error, None);
        world.sim().expire_tokens();
        world.sim().elect(None);
        eventually(async || world.agent().view.borrow().sources["m0"].error.is_some()).await;
        world.sim().elect(Some(0));
        eventually(async || {
            let source = world.agent().view.borrow().sources["m0"].clone();
            source.error.is_none() && source.streaming
        })
        .await;
        world.end().await;
    });
}
