//! Which hosts the agent has probed, and what it does with the verdicts.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use vip::liveness::{Evidence, HostVerdict, ProbeReport, ProbeStatus, Silence, WatchList};

use crate::world::{World, app, eventually, pass, place, run, weights};

const WEB: &str = "3.3.0.6:80";

/// Waits for a list that is as wanted.
async fn until_listed(world: &World, is_wanted: impl Fn(&WatchList) -> bool) -> WatchList {
    let found = std::cell::RefCell::new(None);
    eventually(async || {
        let list = world.prober.lists.take_list();
        *found.borrow_mut() = list.filter(&is_wanted);
        found.borrow().is_some()
    })
    .await;
    found.into_inner().unwrap()
}

/// Makes a report with a verdict about one host.
fn report(host: IpAddr, silence: Option<Silence>) -> ProbeReport {
    let silent_for = Duration::from_millis(900);
    let evidence = Evidence { silent_for, echoes: 5, connects: 1, others_answering: 1 };
    let verdicts = vec![HostVerdict { host, silence, evidence }];
    ProbeReport { verdicts, ..ProbeReport::default() }
}

#[test]
fn hosts_of_real_servers_are_watched_while_they_are_in_use() {
    run(async {
        let world = World::serving(4).await;
        let list = until_listed(&world, |list| list.hosts.len() == 2).await;
        let places: Vec<SocketAddr> = world.tasks("/web").await.iter().map(place).collect();
        for watched in &list.hosts {
            assert!(watched.in_use && watched.is_elsewhere, "{watched:?}");
            assert!(places.contains(&watched.connect_to[0]), "{watched:?}");
        }
        // Nobody connects.
        let list = until_listed(&world, |list| list.hosts.iter().all(|host| !host.in_use)).await;
        assert_eq!(list.hosts.len(), 2);
        // A host with new real servers only is in use.
        world.send("PUT", "/v2/apps//web?force=true", &serde_json::json!({"instances": 0})).await;
        until_listed(&world, |list| list.hosts.is_empty()).await;
        world.run_app(&app("/db", "3.3.0.7:3306", 1)).await;
        let list = until_listed(&world, |list| !list.hosts.is_empty()).await;
        assert!(list.hosts[0].in_use);
        world.end().await;
    });
}

#[test]
fn the_real_servers_of_a_silent_host_are_out_of_use_until_it_answers() {
    run(async {
        let world = World::serving(4).await;
        let list = until_listed(&world, |list| list.hosts.len() == 2).await;
        let host = list.hosts[0].host;
        let elsewhere =
            world.tasks("/web").await.iter().filter(|task| place(task).ip() != host).count();
        assert!(elsewhere > 0 && elsewhere < 4);
        // The list goes on as it is, and no new one is made.
        let all = |world: &World| weights(&world.kernel.current_state(), WEB).unwrap().len();
        for (silence, in_use, in_table) in [
            (None, 4, 4),
            (Some(Silence::Suspected), elsewhere, 4),
            (Some(Silence::Dead), elsewhere, elsewhere),
            (None, 4, 4),
        ] {
            // Nobody knows the other host.
            for host in [host, [10, 99, 0, 1].into()] {
                let status = ProbeStatus { watched: 2, ..ProbeStatus::default() };
                world.prober.send_report(ProbeReport { status, ..report(host, silence) });
            }
            world.until_served(WEB, in_use).await;
            eventually(async || all(&world) == in_table).await;
            pass(3000).await;
            assert_eq!(world.prober.lists.take_list(), None);
        }
        world.end().await;
    });
}

/// Marathon calls the tasks of a silent host healthy still.
#[test]
fn a_restart_puts_no_real_server_of_a_silent_host_back_before_the_host_was_asked() {
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Prober {
        HearsIt,
        SaysNothing,
        SuspectsIt,
    }
    run(async {
        let probers = [Prober::HearsIt, Prober::SaysNothing, Prober::SuspectsIt];
        let silences = [Silence::Suspected, Silence::Dead];
        let all = silences.map(|silence| probers.map(|prober| (silence, prober)));
        for (silence, prober) in all.into_iter().flatten() {
            let mut world = World::serving(4).await;
            let list = until_listed(&world, |list| list.hosts.len() == 2).await;
            let host = list.hosts[0].host;
            let tasks = world.tasks("/web").await;
            let elsewhere = tasks.iter().filter(|task| place(task).ip() != host).count();
            let suspects = report(host, Some(Silence::Suspected));
            world.prober.send_report(suspects.clone());
            world.until_served(WEB, elsewhere).await;
            if silence == Silence::Dead {
                world.prober.send_report(report(host, Some(silence)));
                let left = || weights(&world.kernel.current_state(), WEB).unwrap().len();
                eventually(async || left() == elsewhere).await;
            }
            world.stop().await;
            let _ = world.kernel.take_history();
            world.start().await;
            eventually(async || {
                let view = world.agent().view.borrow();
                view.sources.values().all(|source| source.read_at.is_some() && !source.from_disk)
            })
            .await;
            pass(3000).await;
            let served = world.served(WEB).map(|served| served.len());
            assert_eq!(served, Some(elsewhere), "{silence:?} {prober:?}");
            let heard = [host].into();
            match prober {
                Prober::HearsIt => {
                    world.prober.send_report(ProbeReport { heard, ..ProbeReport::default() });
                    pass(1000).await;
                    assert_eq!(world.served(WEB).map(|served| served.len()), Some(4));
                }
                Prober::SaysNothing => world.until_served(WEB, 4).await,
                Prober::SuspectsIt => {
                    world.prober.send_report(suspects);
                    pass(20_000).await;
                    assert_eq!(world.served(WEB).map(|served| served.len()), Some(elsewhere));
                }
            }
            world.end().await;
        }
    });
}

/// Waits until a report says that a host is dead, and all real servers on it are removed that others can
/// stand for.
async fn let_die(world: &World, host: IpAddr, left: usize) {
    world.prober.send_report(report(host, Some(Silence::Suspected)));
    world.until_served(WEB, left).await;
    world.prober.send_report(report(host, Some(Silence::Dead)));
    eventually(async || weights(&world.kernel.current_state(), WEB).unwrap().len() == left).await;
}

/// The only real server of another VIP stays in use.
#[test]
fn a_restart_puts_no_real_server_back_of_a_dead_host_that_is_alone_with_another_vip() {
    run(async {
        let mut world = World::serving(4).await;
        world.run_app(&app("/solo", "3.3.0.7:80", 1)).await;
        world.until_served("3.3.0.7:80", 1).await;
        let host = place(&world.tasks("/solo").await[0]).ip();
        let tasks = world.tasks("/web").await;
        let elsewhere = tasks.iter().filter(|task| place(task).ip() != host).count();
        let_die(&world, host, elsewhere).await;
        assert_eq!(world.served("3.3.0.7:80").map(|served| served.len()), Some(1));
        world.stop().await;
        world.start().await;
        pass(4000).await;
        assert_eq!(world.served(WEB).map(|served| served.len()), Some(elsewhere));
        assert_eq!(world.served("3.3.0.7:80").map(|served| served.len()), Some(1));
        world.until_served(WEB, 4).await;
        world.end().await;
    });
}

/// Nobody would ever take them back by an answer.
#[test]
fn an_agent_that_may_not_probe_holds_nothing_against_hosts_that_were_out_of_use() {
    run(async {
        let mut world = World::serving(4).await;
        let host = until_listed(&world, |list| list.hosts.len() == 2).await.hosts[0].host;
        let tasks = world.tasks("/web").await;
        let elsewhere = tasks.iter().filter(|task| place(task).ip() != host).count();
        let_die(&world, host, elsewhere).await;
        world.stop().await;
        world.prober.obstacle = Some("no right".into());
        world.start().await;
        pass(1500).await;
        assert_eq!(world.served(WEB).map(|served| served.len()), Some(4));
        world.end().await;
    });
}

/// Marathon gives up the tasks of a host that lost its power: nobody has heard of the host again.
#[test]
fn a_host_without_real_servers_is_not_said_to_answer_again() {
    run(async {
        let world = World::serving(4).await;
        let list = until_listed(&world, |list| list.hosts.len() == 2).await;
        let host = list.hosts[0].host;
        let unprobed = |world: &World| world.agent().view.borrow().probing.unprobed.clone();
        world.prober.send_report(report(host, Some(Silence::Suspected)));
        pass(1000).await;
        world.prober.send_report(report(host, None));
        pass(1000).await;
        assert_eq!(unprobed(&world), [].into(), "it answers");
        world.prober.send_report(report(host, Some(Silence::Suspected)));
        world.send("PUT", "/v2/apps//web?force=true", &serde_json::json!({"instances": 0})).await;
        until_listed(&world, |list| list.hosts.is_empty()).await;
        world.prober.send_report(report(host, None));
        pass(1000).await;
        assert_eq!(unprobed(&world), [host].into());
        world.end().await;
    });
}

/// Fewer echoes a second take longer to tell.
#[test]
fn a_restart_leaves_a_prober_with_a_long_interval_the_time_that_it_needs() {
    run(async {
        let mut world = World::serving(4).await;
        let list = until_listed(&world, |list| list.hosts.len() == 2).await;
        let host = list.hosts[0].host;
        let tasks = world.tasks("/web").await;
        let elsewhere = tasks.iter().filter(|task| place(task).ip() != host).count();
        world.prober.send_report(report(host, Some(Silence::Suspected)));
        world.until_served(WEB, elsewhere).await;
        world.stop().await;
        let interval = Duration::from_secs(5);
        world.prober.interval = Some(interval);
        world.start().await;
        // Nothing is listed before all of Marathon is known.
        until_listed(&world, |list| list.hosts.len() == 2).await;
        pass(25_000).await;
        assert_eq!(world.served(WEB).map(|served| served.len()), Some(elsewhere));
        world.until_served(WEB, 4).await;
        world.end().await;
    });
}
