//! The state machine in a simulated cluster.

mod properties;
pub(super) mod values;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use super::{INTERVAL, Order, Silence, first_look};
use world::{World, host, ms};

const SUSPECTED: Option<Silence> = Some(Silence::Suspected);
const DEAD: Option<Silence> = Some(Silence::Dead);

#[test]
fn a_cut_is_seen_within_a_second() {
    for (hosts, witnesses) in [(1, 1), (3, 0), (3, 2), (50, 8), (200, 8)] {
        let mut times = Vec::new();
        for seed in 0..200 {
            let mut world = World::new(hosts, witnesses, seed);
            world.run_for(ms(2000 + seed * 7));
            times.extend(world.cut_power(0..1));
            assert_eq!(times.len(), usize::try_from(seed).unwrap() + 1, "{hosts} {witnesses}");
        }
        let mean = times.iter().sum::<Duration>() / 200;
        let worst = times.iter().max().unwrap();
        assert!(mean < ms(810), "{hosts} hosts: {mean:?}");
        assert!(*worst <= ms(1000), "{hosts} hosts: {worst:?}");
    }
}

/// As after a host that stood still, or a link that was full: its port was asked, and answered.
#[test]
fn a_cut_is_seen_soon_after_silence_that_passed() {
    for pause in [0, 200, 1000, 3000, 20_000] {
        let mut worst = Duration::ZERO;
        for seed in 0..40 {
            let mut world = World::new(3, 1, seed);
            world.run_for(ms(5000));
            for _ in 0..2 {
                world.peer(1).answers_echoes = false;
                world.run_for(ms(1500));
                assert_eq!(world.verdicts, [], "its port answers");
                world.peer(1).answers_echoes = true;
                world.run_for(ms(1000 + pause));
            }
            let times = world.cut_power(1..2);
            assert_eq!(times.len(), 1, "{pause} ms later");
            worst = worst.max(times[0]);
        }
        assert!(worst < ms(2000), "{pause} ms later: {worst:?}");
    }
}

/// MySQL refuses hosts that connect and leave a hundred times.
#[test]
fn a_host_whose_echoes_come_and_go_is_not_asked_for_connections_again_and_again() {
    let mut world = World::new(3, 1, 1);
    world.run_for(ms(5000));
    for _ in 0..300 {
        world.peer(1).answers_echoes = false;
        world.run_for(ms(1000));
        world.peer(1).answers_echoes = true;
        world.run_for(ms(1000));
    }
    assert_eq!(world.verdicts, []);
    let is_connect = |(_, order): &&(_, Order)| matches!(order, Order::Connect { .. });
    let connections = world.orders.iter().filter(is_connect).count();
    assert!((8..=15).contains(&connections), "{connections} in ten minutes");
}

#[test]
fn a_rack_is_one_batch() {
    let mut world = World::new(500, 8, 1);
    world.run_for(ms(5000));
    let times = world.cut_power(0..200);
    assert_eq!((times.len(), world.batches), (200, 1));
    assert!(times.iter().all(|time| *time <= ms(1400)), "{:?}", times[0]);
    let evidence = &world.verdicts[0].1.evidence;
    assert_eq!((evidence.connects, evidence.others_answering), (1, 308));
}

#[test]
fn more_than_half_of_the_hosts_are_asked_twice() {
    for (hosts, cut, is_asked_twice) in [(10, 5, false), (10, 6, true), (5, 3, false), (4, 4, true)]
    {
        let mut world = World::new(hosts, 2, 1);
        world.run_for(ms(5000));
        let times = world.cut_power(0..cut);
        assert_eq!((times.len(), world.batches), (cut.into(), 1));
        assert_eq!(times[0] > ms(1000), is_asked_twice, "{hosts} {cut}: {:?}", times[0]);
        assert!(times[0] <= ms(2000), "{:?}", times[0]);
    }
}

#[test]
fn a_silent_host_is_dead_after_ten_seconds_and_answers_again() {
    let mut world = World::new(3, 1, 1);
    world.run_for(ms(5000));
    let cut = world.now;
    world.peer(1).has_power = false;
    world.run_for(ms(30_000));
    let back = world.now;
    world.peer(1).has_power = true;
    world.run_for(ms(30_000));
    let verdicts = world.verdicts_since(cut);
    let silences: Vec<_> = verdicts.iter().map(|(_, at, silence)| (*at, *silence)).collect();
    assert_eq!(silences, [(host(1), SUSPECTED), (host(1), DEAD), (host(1), None)]);
    assert!(verdicts[1].0 > ms(10_000) - ms(300) && verdicts[1].0 < ms(10_500), "{verdicts:?}");
    let returned = verdicts[2].0 - (back - cut);
    assert!(returned > ms(1000) && returned < ms(2500), "{returned:?}");
    let silent_for = world.verdicts[2].1.evidence.silent_for;
    assert!(silent_for > ms(29_000) && silent_for < ms(32_000), "{silent_for:?}");
    let status = world.liveness.status();
    assert_eq!((status.suspicions, status.taken_back, status.dead), (1, 0, 0));
}

#[test]
fn a_host_that_flaps_waits_longer_each_time() {
    let mut world = World::new(3, 1, 1);
    world.run_for(ms(5000));
    let mut waits = Vec::new();
    for _ in 0..8 {
        world.cut_power(1..2);
        let back = world.now;
        world.peer(1).has_power = true;
        world.run_for(ms(63_000));
        let verdicts = world.verdicts_since(back);
        assert_eq!(verdicts.len(), 1, "{verdicts:?}");
        waits.push(verdicts[0].0.as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(world.liveness.status().taken_back, 8);
    world.run_for(Duration::from_secs(600));
    world.cut_power(1..2);
    let back = world.now;
    world.peer(1).has_power = true;
    world.run_for(ms(3000));
    assert_eq!(world.verdicts_since(back).len(), 1, "ten minutes of peace forget it");
}

#[test]
fn this_nodes_own_trouble_is_no_verdict() {
    let mut world = World::new(20, 2, 1);
    world.run_for(ms(5000));
    world.has_link = false;
    world.run_for(ms(60_000));
    let blind_since = world.liveness.status().blind_since.unwrap();
    assert!(blind_since < ms(6000), "{blind_since:?}");
    world.has_link = true;
    world.run_for(ms(5000));
    assert_eq!(world.liveness.status().blind_since, None);
    world.stop_for(ms(5000));
    world.run_for(ms(5000));
    world.liveness.set_uplink(false);
    world.has_link = false;
    world.run_for(ms(5000));
    assert_eq!(world.verdicts, []);
}

/// A node that takes over the load of others is busy.
#[test]
fn a_busy_node_sees_a_cut_a_little_later() {
    for (lateness, mean, worst) in [(100, 1100, 1500), (250, 2000, 12_000), (400, 5000, 30_000)] {
        let mut times = Vec::new();
        for seed in 0..200 {
            let mut world = World::new(3, 1, seed);
            world.lateness = ms(lateness);
            world.run_for(ms(20_000));
            assert_eq!(world.verdicts, [], "nothing happened yet");
            let then = world.now;
            world.peer(0).has_power = false;
            world.run_for(ms(worst));
            let verdicts = world.verdicts_since(then);
            assert!(!verdicts.is_empty(), "seed {seed}, late by up to {lateness} ms");
            times.push(verdicts[0].0);
        }
        let found = times.iter().sum::<Duration>() / 200;
        assert!(
            found < ms(mean),
            "late by up to {lateness} ms: {found:?}, {:?}",
            times.iter().max()
        );
    }
}

/// Nor is it a verdict if it loses packets, too.
#[test]
fn a_busy_node_accuses_nobody() {
    for (lateness, loss) in [(250, 0.05), (400, 0.05), (1500, 0.02)] {
        let mut world = World::new(20, 2, 1);
        (world.lateness, world.loss) = (ms(lateness), loss);
        world.run_for(Duration::from_secs(600));
        assert_eq!(world.verdicts, [], "late by up to {lateness} ms");
    }
}

#[test]
fn a_virtual_machine_that_is_paused_again_and_again_accuses_nobody() {
    for seed in 0..20 {
        let mut world = World::new(20, 2, seed);
        world.loss = 0.02;
        for step in 0..300 {
            world.run_for(ms(100 + (step * 137 + seed * 41) % 900));
            world.pause_for(ms(20 + (step * 291) % 1700));
        }
        assert_eq!(world.verdicts, [], "seed {seed}");
    }
}

#[test]
fn a_host_that_died_while_this_node_was_cut_off_is_seen_afterwards() {
    let mut world = World::new(20, 2, 1);
    world.run_for(ms(5000));
    world.has_link = false;
    world.run_for(ms(5000));
    world.peer(3).has_power = false;
    world.run_for(ms(5000));
    world.has_link = true;
    let then = world.now;
    // Neighbours have a moment to be found again.
    world.run_for(ms(3000));
    let verdicts = world.verdicts_since(then);
    assert_eq!(verdicts.len(), 1, "{verdicts:?}");
    assert_eq!((verdicts[0].1, verdicts[0].2), (host(3), SUSPECTED));
}

/// As where the kernel looks neighbours up again, one of them a second later than the others.
#[test]
fn a_host_that_answers_later_than_others_after_this_nodes_own_trouble_is_not_suspected() {
    let mut world = World::new(3, 1, 1);
    world.run_for(ms(5000));
    for is_gone in [false, true] {
        world.has_link = false;
        world.run_for(ms(5000));
        (world.has_link, world.peer(0).has_power) = (true, false);
        world.run_for(ms(1200));
        world.peer(0).has_power = !is_gone;
        world.run_for(ms(2000));
        let found: Vec<_> = world.verdicts.iter().map(|(_, verdict)| verdict.host).collect();
        assert_eq!(found, if is_gone { vec![host(0)] } else { Vec::new() });
    }
}

#[test]
fn the_only_host_is_not_judged_without_a_witness() {
    let mut world = World::new(1, 0, 1);
    world.run_for(ms(5000));
    world.peer(0).has_power = false;
    world.run_for(ms(60_000));
    assert_eq!(world.verdicts, []);
    assert!(world.liveness.status().blind_since.is_some());
}

/// It answers all the while, and each answer would end the blindness that the next review finds.
#[test]
fn a_container_of_this_node_does_not_end_its_blindness() {
    for answers_echoes in [true, false] {
        let mut world = World::new(3, 1, 1);
        world.list.hosts[0].is_elsewhere = false;
        (world.peer(0).is_local, world.peer(0).answers_echoes) = (true, answers_echoes);
        world.set_list();
        world.run_for(ms(5000));
        world.has_link = false;
        let mut told = Vec::new();
        for _ in 0..600 {
            world.run_for(ms(100));
            world.lose_syn(0);
            told.push(world.liveness.status().blind_since);
        }
        told.dedup();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].is_none() && told[1].is_some(), "{told:?}");
        // From the return of the others on they have a moment.
        (world.has_link, world.peer(1).has_power) = (true, false);
        world.run_for(ms(1200));
        world.peer(1).has_power = true;
        world.run_for(ms(2000));
        assert_eq!(world.verdicts, []);
        assert_eq!(world.liveness.status().blind_since, None);
    }
}

/// Nobody else can tell that it answers again.
#[test]
fn a_container_that_is_all_that_is_asked_ends_the_blindness_that_it_caused() {
    let mut world = World::new(1, 0, 1);
    world.list.hosts[0].is_elsewhere = false;
    world.set_list();
    world.run_for(ms(5000));
    world.peer(0).has_power = false;
    world.run_for(ms(5000));
    assert!(world.liveness.status().blind_since.is_some());
    world.peer(0).has_power = true;
    world.run_for(ms(5000));
    assert_eq!(world.liveness.status().blind_since, None);
}

#[test]
fn a_container_of_this_node_proves_nothing() {
    let mut world = World::new(3, 1, 1);
    world.list.hosts[0].is_elsewhere = false;
    world.set_list();
    world.run_for(ms(5000));
    for number in [1, 2, 60_000] {
        world.peer(number).has_power = false;
    }
    world.run_for(ms(60_000));
    assert_eq!(world.verdicts, []);
}

#[test]
fn a_mute_host_is_not_suspected_and_seldom_asked() {
    let mut world = World::new(3, 1, 1);
    world.peer(1).answers_echoes = false;
    world.run_for(ms(60_000));
    assert_eq!(world.liveness.status().mute, 1);
    world.peer(1).has_power = false;
    world.run_for(ms(120_000));
    assert_eq!(world.verdicts, []);
    let to_mute =
        |(_, order): &&(_, Order)| matches!(order, Order::Echo { host: at, .. } if *at == host(1));
    // Three at first, three with the look at its port, seven ever more seldom, and one a minute.
    assert!(world.orders.iter().filter(to_mute).count() <= 15);
    *world.peer(1) = world::Peer::default();
    world.run_for(ms(61_000));
    assert_eq!(world.liveness.status().mute, 0);
}

#[test]
fn a_host_whose_echoes_are_filtered_later_is_known_by_its_port() {
    let mut world = World::new(3, 1, 1);
    world.run_for(ms(5000));
    world.peer(1).answers_echoes = false;
    world.run_for(ms(600_000));
    assert_eq!(world.verdicts, []);
    assert_eq!(world.liveness.status().mute, 1);
    let connects = world.orders.iter().filter(|(_, order)| matches!(order, Order::Connect { .. }));
    // When its echoes were missed, and once more, since it might have lost its power just then.
    assert_eq!(connects.count(), 2);
}

/// Trouble comes before a power failure often: a host is overloaded, or a switch is dying.
#[test]
fn a_host_that_was_mute_for_a_while_is_suspected_when_it_loses_its_power() {
    for trouble in [1000, 3000, 10_000, 50_000, 200_000] {
        let mut world = World::new(3, 1, 1);
        world.run_for(ms(5000));
        world.peer(1).answers_echoes = false;
        world.run_for(ms(trouble));
        world.peer(1).answers_echoes = true;
        world.run_for(ms(1300));
        assert_eq!(world.verdicts, []);
        let times = world.cut_power(1..2);
        assert!(times.first().is_some_and(|time| *time < ms(1000)), "{trouble} ms: {times:?}");
    }
}

#[test]
fn a_host_that_loses_its_power_right_after_its_port_answered_is_suspected() {
    for after in [700, 900, 1200, 1500] {
        let mut world = World::new(3, 1, 1);
        world.run_for(ms(5000));
        world.peer(1).answers_echoes = false;
        world.run_for(ms(after));
        world.peer(1).has_power = false;
        world.run_for(ms(12_000));
        assert_eq!(world.liveness.status().suspected, 1, "{after} ms");
    }
}

#[test]
fn a_host_that_no_echo_can_be_sent_to_is_judged_by_its_port() {
    let mut world = World::new(3, 1, 1);
    world.run_for(ms(5000));
    world.peer(1).is_barred = true;
    world.run_for(ms(30_000));
    let status = world.liveness.status();
    assert_eq!((status.mute, status.suspected), (1, 0));
    world.peer(1).has_power = false;
    world.lose_syns(1..=1, 10, ms(1000));
    assert_eq!(world.liveness.status().suspected, 1);
}

/// Nothing would ever tell that it is back: it answers no echo, and has no port left.
#[test]
fn a_mute_host_whose_last_port_leaves_is_in_use_again() {
    let mut world = World::new(3, 1, 1);
    world.peer(1).answers_echoes = false;
    world.run_for(ms(30_000));
    world.peer(1).has_power = false;
    world.lose_syns(1..=1, 10, ms(1000));
    assert_eq!(world.liveness.status().suspected, 1);
    let then = world.now;
    world.list.hosts[1].connect_to.clear();
    world.set_list();
    world.run_for(ms(500));
    assert!(matches!(world.verdicts_since(then)[..], [(_, at, None)] if at == host(1)));
    assert_eq!(world.liveness.take_unheard(), [host(1)].into());
    assert_eq!(world.liveness.status().suspected, 0);
}

#[test]
fn a_silent_host_without_a_port_that_no_echo_can_be_sent_to_any_more_is_in_use_again() {
    let mut world = World::new(3, 1, 1);
    world.list.hosts[1].connect_to.clear();
    world.set_list();
    world.run_for(ms(5000));
    assert_eq!(world.cut_power(1..2).len(), 1);
    world.peer(1).is_barred = true;
    world.run_for(ms(60_000));
    let status = world.liveness.status();
    assert_eq!((status.suspected, status.dead), (0, 0));
}

/// Something on the way admits clients' addresses alone.
#[test]
fn a_host_that_was_never_heard_and_serves_clients_is_not_suspected_at_the_first_look() {
    for (has_clients, are_kept) in [(true, false), (false, true)] {
        let mut world = World::new(3, 1, 1);
        let peer = world.peer(1);
        (peer.answers_echoes, peer.drops_connects) = (false, true);
        world.list.hosts[1].has_clients = has_clients;
        world.list.clients.are_kept = are_kept;
        world.set_list();
        world.run_for(ms(600_000));
        assert_eq!(world.verdicts, []);
        let is_connect = |(_, order): &&(_, Order)| matches!(order, Order::Connect { .. });
        let connects = world.orders.iter().filter(is_connect).count();
        assert!((2..12).contains(&connects), "{connects}");
        // What clients report counts, but where nothing can end it, not for ever.
        world.lose_syns(1..=1, 10, ms(1000));
        assert_eq!(world.liveness.status().suspected, 1);
        world.run_for(ms(310_000));
        assert_eq!(world.liveness.status().suspected, usize::from(!are_kept));
        // One that was heard is suspected as ever.
        *world.peer(1) = world::Peer::default();
        world.run_for(ms(130_000));
        assert_eq!(world.liveness.status().suspected, 0);
        assert_eq!(world.cut_power(1..2).len(), 1);
    }
}

#[test]
fn a_look_without_a_result_is_repeated() {
    let mut world = World::new(3, 1, 1);
    world.peer(1).has_power = false;
    // The look has begun, and this node's link fails meanwhile.
    world.run_for(ms(2000));
    world.has_link = false;
    world.run_for(ms(5000));
    assert_eq!(world.verdicts, []);
    world.has_link = true;
    world.run_for(ms(15_000));
    assert_eq!(world.liveness.status().suspected, 1);
}

#[test]
fn a_mute_host_that_was_busy_before_is_suspected_when_it_loses_its_power() {
    let mut world = World::new(3, 1, 1);
    world.peer(1).answers_echoes = false;
    world.run_for(ms(70_000));
    world.lose_syns(1..=1, 30, ms(1000));
    assert_eq!(world.verdicts, []);
    world.peer(1).has_power = false;
    world.lose_syns(1..=1, 25, ms(1000));
    assert_eq!(world.liveness.status().suspected, 1);
}

/// The default route is another network's, whose cable is out.
#[test]
fn a_carrier_that_does_not_matter_protects_nobody() {
    let mut world = World::new(3, 1, 1);
    world.run_for(ms(5000));
    world.liveness.set_uplink(false);
    let times = world.cut_power(1..2);
    assert!(times.first().is_some_and(|time| *time < ms(1500)), "{times:?}");
}

/// As after a restart of the agent.
#[test]
fn a_host_that_had_no_power_before_is_known_by_its_port() {
    // Nobody but the witness answers.
    let mut world = World::new(3, 1, 1);
    world.peer(0).answers_echoes = false;
    world.peer(1).has_power = false;
    world.peer(2).answers_echoes = false;
    world.run_for(ms(5000));
    let told: Vec<_> =
        world.verdicts_since(ms(0)).into_iter().map(|(_, at, how)| (at, how)).collect();
    assert_eq!(told, [(host(1), SUSPECTED)]);
    let to_filtered = world.orders.iter().filter(
        |(_, order)| matches!(order, Order::Connect { server, .. } if server.ip() == host(2)),
    );
    assert_eq!(to_filtered.count(), 1);
    world.peer(1).has_power = true;
    world.run_for(ms(5000));
    assert_eq!(world.verdicts.last().unwrap().1.silence, None);
}

/// As after a restart of the agent, with each interval and number of hosts.
#[test]
fn a_first_look_is_long_enough_for_a_verdict() {
    assert_eq!(first_look(INTERVAL, 1), ms(6000));
    for interval in [100, 250, 900, 1000, 1100, 2000, 5000, 10_000] {
        for (hosts, silent, witnesses, seeds) in
            [(2, 1, 0, 9), (3, 1, 1, 9), (300, 149, 8, 1), (1000, 3, 0, 1)]
        {
            for seed in 0..seeds {
                let mut world = World::probed_every(ms(interval), hosts, witnesses, seed);
                (0..silent).for_each(|number| world.peer(number).has_power = false);
                world.run_for(first_look(ms(interval), hosts.into()));
                let told = world.verdicts_since(ms(0));
                assert!(told.iter().all(|(_, _, how)| *how == SUSPECTED), "{told:?}");
                assert_eq!(told.len(), usize::from(silent), "{hosts} hosts every {interval} ms");
            }
        }
    }
}

/// When the link is back, a host may be heard later than others, as its address is looked up first.
#[test]
fn what_was_silent_in_this_nodes_own_trouble_says_nothing_later() {
    let mut world = World::new(4, 1, 1);
    world.run_for(ms(5000));
    world.has_link = false;
    world.run_for(ms(5000));
    world.has_link = true;
    world.peer(1).policed = 1.0;
    world.run_for(ms(2000));
    world.peer(1).policed = 0.0;
    world.run_for(ms(20_000));
    assert_eq!(world.verdicts, []);
}

#[test]
fn a_host_with_a_port_is_never_suspected_by_echoes_alone() {
    for policed in [0.6, 0.75, 0.9] {
        let mut world = World::new(5, 1, 7);
        world.run_for(ms(5000));
        world.peer(1).policed = policed;
        world.run_for(ms(600_000));
        assert_eq!(world.verdicts, [], "{policed}");
        let connects =
            world.orders.iter().filter(|(_, order)| matches!(order, Order::Connect { .. }));
        // One a minute, and five that may come at once.
        assert!((1..=15).contains(&connects.count()), "{policed}");
    }
}

#[test]
fn clients_report_what_a_mute_host_swallows() {
    let mut world = World::new(3, 1, 1);
    world.peer(1).answers_echoes = false;
    world.run_for(ms(5000));
    for (has_power, expected) in [(true, 0), (false, 1)] {
        world.peer(1).has_power = has_power;
        world.run_for(ms(60_000));
        let then = world.now;
        world.lose_syn(1);
        world.run_for(ms(500));
        world.lose_syn(1);
        world.run_for(ms(4000));
        assert_eq!(world.verdicts_since(then).len(), expected);
    }
    let then = world.now;
    world.peer(1).has_power = true;
    world.run_for(ms(62_000));
    let verdicts = world.verdicts_since(then);
    assert_eq!(verdicts.iter().map(|(.., silence)| *silence).collect::<Vec<_>>(), [None]);
}

/// The queue of a real server is full: it drops SYNs, as a host without power does.
#[test]
fn a_busy_server_of_a_mute_host_is_no_silence() {
    let mut world = World::new(3, 1, 1);
    world.list.hosts[1].connect_to.push((host(1), 81).into());
    world.set_list();
    world.peer(1).answers_echoes = false;
    world.run_for(ms(65_000));
    for (busy, expected) in [(vec![80], 0), (vec![80, 81], 1)] {
        world.peer(1).busy = busy.into_iter().collect();
        world.lose_syns(1..=1, 20, ms(500));
        assert_eq!(world.verdicts.len(), expected);
        world.run_for(ms(65_000));
    }
    // Its first port is hung for ever; the other one shows that the host lives.
    world.peer(1).busy = [80].into();
    world.run_for(ms(125_000));
    assert_eq!(world.verdicts.last().unwrap().1.silence, None);
}

#[test]
fn a_mute_host_is_not_suspected_for_packets_that_are_lost() {
    for (ports, loss) in [(1, 0.02), (2, 0.05)] {
        let mut world = World::new(4, 1, 3);
        world.peer(1).answers_echoes = false;
        if ports == 2 {
            world.list.hosts[1].connect_to.push((host(1), 81).into());
            world.set_list();
        }
        world.loss = loss;
        world.lose_syns(1..=1, 1200, ms(500));
        assert_eq!(world.verdicts, [], "{ports} ports, {loss}");
    }
}

/// A mute host is asked once a minute only.
#[test]
fn a_busy_node_suspects_a_mute_host_too() {
    for lateness in [250, 400, 600] {
        let mut suspected = 0;
        for seed in 0..40 {
            let mut world = World::new(3, 1, seed);
            world.peer(1).answers_echoes = false;
            world.lateness = ms(lateness);
            world.run_for(ms(70_000));
            world.peer(1).has_power = false;
            world.lose_syns(1..=1, 40, ms(250));
            suspected += world.liveness.status().suspected;
        }
        assert!(suspected >= 38, "late by up to {lateness} ms: {suspected} of 40");
    }
}

/// The rounds of many hosts are far apart.
#[test]
fn a_mute_host_among_many_is_suspected() {
    let mut world = World::new(1200, 2, 1);
    world.peer(1).answers_echoes = false;
    world.run_for(ms(70_000));
    world.peer(1).has_power = false;
    world.lose_syns(1..=1, 20, ms(500));
    assert_eq!(world.liveness.status().suspected, 1);
    assert_eq!(world.liveness.status().blind_since, None);
}

/// One of two ports is asked, and then another takes the place of the other.
#[test]
fn ports_that_were_asked_at_different_times_are_asked_together_in_the_end() {
    let mut world = World::new(3, 1, 1);
    world.list.hosts[1].connect_to.push((host(1), 81).into());
    world.set_list();
    world.peer(1).answers_echoes = false;
    world.run_for(ms(65_000));
    world.peer(1).busy = [80].into();
    world.lose_syns(1..=1, 60, ms(500));
    world.list.hosts[1].connect_to[1] = (host(1), 82).into();
    world.set_list();
    world.peer(1).has_power = false;
    world.lose_syns(1..=1, 300, ms(500));
    assert_eq!(world.liveness.status().suspected, 1);
}

#[test]
fn a_host_that_was_silent_at_the_first_look_uses_up_no_limit() {
    let mut world = World::new(5, 1, 1);
    world.peer(1).has_power = false;
    world.peer(2).answers_echoes = false;
    world.run_for(ms(70_000));
    assert_eq!(world.liveness.status().suspected, 1);
    world.peer(2).has_power = false;
    world.lose_syns(2..=2, 20, ms(500));
    assert_eq!(world.liveness.status().suspected, 2);
}

/// A mute host is suspected by its port alone, so that its connections are better kept.
#[test]
fn a_mute_host_is_never_dead() {
    let mut world = World::new(3, 1, 1);
    world.peer(1).answers_echoes = false;
    world.run_for(ms(65_000));
    world.peer(1).has_power = false;
    world.lose_syns(1..=1, 60, ms(1000));
    let told: Vec<_> = world.verdicts.iter().map(|(_, verdict)| verdict.silence).collect();
    assert_eq!(told, [SUSPECTED]);
    let silent_for = world.verdicts[0].1.evidence.silent_for;
    assert!(silent_for < ms(10_000), "since clients lost SYNs, not since it was watched");
}

/// A rack dies, and its load fills the queues of hosts whose echoes are filtered.
#[test]
fn a_mass_of_silent_hosts_lifts_no_limit_of_the_mute_ones() {
    let mut world = World::new(14, 1, 1);
    for number in 8..14 {
        world.peer(number).answers_echoes = false;
    }
    world.run_for(ms(65_000));
    (0..5).for_each(|number| world.peer(number).has_power = false);
    (8..14).for_each(|number| world.peer(number).busy = [80].into());
    world.lose_syns(8..14, 40, ms(250));
    assert_eq!(world.liveness.status().suspected + world.liveness.status().dead, 5 + 2);
}

#[test]
fn an_overload_has_a_third_of_the_mute_hosts_suspected_at_most() {
    for (hosts, most) in [(1, 1), (2, 1), (5, 1), (9, 3)] {
        let mut world = World::new(hosts, 1, 1);
        for number in 0..hosts {
            world.peer(number).answers_echoes = false;
        }
        world.run_for(ms(65_000));
        (0..hosts).for_each(|number| world.peer(number).busy = [80].into());
        world.lose_syns(0..hosts, 20, ms(500));
        assert_eq!(world.liveness.status().suspected, most, "{hosts}");
    }
}

#[test]
fn a_flood_of_lost_syns_costs_little_and_hurts_nobody() {
    let mut world = World::new(5, 2, 1);
    world.peer(1).answers_echoes = false;
    world.list.hosts[3].in_use = false;
    world.set_list();
    world.run_for(ms(65_000));
    let before = world.orders.len();
    world.lose_syns(0..5, 1000, ms(10));
    assert_eq!((world.verdicts.len(), world.liveness.status().lost_syns), (0, 5000));
    // Five hosts and two witnesses: 280 in ten seconds. The mute one is asked once a second.
    let sent = world.orders.len() - before;
    assert!(sent < 280 + 10 * 12, "{sent}");
    let connects = world.orders.iter().filter(|(_, order)| matches!(order, Order::Connect { .. }));
    // The first look at the mute one, two more, and one each to those that have answered no echo when it
    // begins.
    assert!(connects.count() <= 5);
}

#[test]
fn a_dead_host_that_nobody_used_is_suspected_at_the_first_lost_syn() {
    for only_witnesses_answer in [false, true] {
        let mut world = World::new(3, 1, 1);
        world.run_for(ms(5000));
        let used = |number| number != 1 && !only_witnesses_answer;
        (0_u16..).zip(&mut world.list.hosts).for_each(|(number, host)| host.in_use = used(number));
        world.set_list();
        world.peer(1).has_power = false;
        world.run_for(ms(60_000));
        let then = world.now;
        world.lose_syn(1);
        world.run_for(ms(100));
        // Another list comes meanwhile.
        world.set_list();
        world.run_for(ms(1000));
        let told: Vec<_> =
            world.verdicts_since(then).into_iter().map(|(_, at, how)| (at, how)).collect();
        assert_eq!(told, [(host(1), SUSPECTED)], "{only_witnesses_answer}");
    }
}

#[test]
fn a_report_of_clients_hastens_a_verdict() {
    let mut world = World::new(3, 1, 1);
    world.run_for(ms(5000));
    world.lose_syn(1);
    world.run_for(ms(5000));
    assert_eq!(world.verdicts, [], "it answers");
    world.peer(1).has_power = false;
    let then = world.now;
    world.run_for(ms(300));
    world.lose_syn(1);
    world.run_for(ms(700));
    assert_eq!(world.verdicts_since(then).len(), 1);
}

#[test]
fn a_long_way_is_no_silence() {
    let mut world = World::new(20, 2, 1);
    world.run_for(ms(5000));
    world.peers.values_mut().for_each(|peer| peer.round_trip = ms(400));
    world.run_for(ms(60_000));
    assert_eq!(world.verdicts, []);
    let times = world.cut_power(3..4);
    assert_eq!(times.len(), 1);
    assert!(times[0] < ms(1700), "{times:?}");
}

#[test]
fn five_percent_of_loss_is_no_silence() {
    let mut world = World::new(20, 2, 1);
    world.loss = 0.05;
    world.run_for(Duration::from_secs(600));
    assert_eq!(world.verdicts, []);
}

#[test]
fn what_is_not_in_use_is_not_probed() {
    let mut world = World::new(3, 1, 1);
    world.run_for(ms(5000));
    world.list.hosts.iter_mut().for_each(|watched| watched.in_use = false);
    world.set_list();
    let sent = world.orders.len();
    world.run_for(ms(60_000));
    assert_eq!(world.orders.len(), sent);
    // It dies unseen, and comes into use.
    world.peer(1).has_power = false;
    world.list.hosts.iter_mut().for_each(|watched| watched.in_use = true);
    world.set_list();
    let then = world.now;
    world.run_for(ms(1200));
    assert_eq!(world.verdicts_since(then).len(), 1);
    // A silent host is probed whether in use or not; out of the list, it is no longer judged.
    world.list.hosts[1].in_use = false;
    world.set_list();
    world.run_for(ms(20_000));
    assert_eq!(world.liveness.status().dead, 1);
    world.list.hosts.remove(1);
    world.set_list();
    world.run_for(ms(1000));
    let last = &world.verdicts.last().unwrap().1;
    assert_eq!((last.host, last.silence), (host(1), None));
}

#[test]
fn the_number_of_probes_is_bounded() {
    for hosts in [100, 200, 800, 2000] {
        let mut world = World::new(hosts, 8, 1);
        world.run_for(ms(10_000));
        world.cut_power(0..hosts / 2);
        world.run_for(ms(20_000));
        let mut seconds = BTreeMap::<u64, u64>::new();
        for (at, _) in world.orders.iter().filter(|(at, _)| *at > ms(1000)) {
            *seconds.entry(at.as_secs()).or_default() += 1;
        }
        let most = seconds.values().max().unwrap();
        // Two rounds, and what doubt costs.
        assert!(*most <= 2 * 800 + 1600, "{hosts} hosts: {most}");
        let mean = seconds.values().sum::<u64>() / (world.now.as_secs() - 1);
        // Each of the thousand gets four echoes more, in the half minute.
        assert!(mean <= 950, "{hosts} hosts: {mean}");
    }
}
