//! What holds whatever happens.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{World, host, ms};
use crate::liveness::Order;

/// Something that happens to the cluster or to this node.
#[derive(Debug, Clone)]
enum Event {
    Power(u16, bool),
    Filter(u16, bool),
    RoundTrip(u16, u64),
    Loss(f64),
    Link(bool),
    Stop(u64),
    InUse(u16, bool),
    LostSyn(u16),
    Port(u16, bool),
    Bar(u16, bool),
}

const HOSTS: u16 = 8;

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..HOSTS, any::<bool>()).prop_map(|(at, on)| Event::Power(at, on)),
        1 => (0..HOSTS, any::<bool>()).prop_map(|(at, on)| Event::Filter(at, on)),
        1 => (0..HOSTS, 0..600_u64).prop_map(|(at, time)| Event::RoundTrip(at, time)),
        1 => prop_oneof![Just(0.0), 0.0..0.4].prop_map(Event::Loss),
        2 => any::<bool>().prop_map(Event::Link),
        1 => (0..6000_u64).prop_map(Event::Stop),
        1 => (0..HOSTS, any::<bool>()).prop_map(|(at, on)| Event::InUse(at, on)),
        1 => (0..HOSTS).prop_map(Event::LostSyn),
        1 => (0..HOSTS, any::<bool>()).prop_map(|(at, on)| Event::Port(at, on)),
        1 => (0..HOSTS, any::<bool>()).prop_map(|(at, on)| Event::Bar(at, on)),
    ]
}

fn happen(world: &mut World, event: &Event) {
    match *event {
        Event::Power(at, on) => world.peer(at).has_power = on,
        Event::Filter(at, on) => world.peer(at).answers_echoes = !on,
        Event::RoundTrip(at, time) => world.peer(at).round_trip = ms(time),
        Event::Loss(loss) => world.loss = loss,
        Event::Link(on) => world.has_link = on,
        Event::Stop(time) => world.stop_for(ms(time)),
        Event::InUse(at, on) => {
            world.list.hosts[usize::from(at)].in_use = on;
            world.set_list();
        }
        Event::LostSyn(at) => world.lose_syn(at),
        Event::Port(at, on) => {
            let ports = if on { vec![(host(at), 80).into()] } else { Vec::new() };
            world.list.hosts[usize::from(at)].connect_to = ports;
            world.set_list();
        }
        Event::Bar(at, on) => world.peer(at).is_barred = on,
    }
}

/// Lets events happen. The world checks each verdict.
fn run_events(world: &mut World, events: &[(Event, u64)]) {
    for (event, pause) in events {
        happen(world, event);
        world.run_for(ms(*pause));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_suspected_who_answers_nor_without_proof_of_own_life(
        events in prop::collection::vec((event(), 0..4000_u64), 1..30),
        witnesses in 0..3_u16,
        seed: u64,
    ) {
        let mut world = World::new(HOSTS, witnesses, seed);
        world.run_for(ms(3000));
        run_events(&mut world, &events);
    }

    #[test]
    fn every_verdict_is_taken_back_when_the_host_answers(
        events in prop::collection::vec((event(), 0..4000_u64), 1..30),
        seed: u64,
    ) {
        let mut world = World::new(HOSTS, 2, seed);
        world.run_for(ms(3000));
        run_events(&mut world, &events);
        world.peers.values_mut().for_each(|peer| *peer = super::world::Peer::default());
        (world.loss, world.has_link) = (0.0, true);
        // The hold of a flapping host, the pause before a mute one is asked, and the round that ends it.
        world.run_for(Duration::from_secs(130));
        let status = world.liveness.status();
        prop_assert_eq!((status.suspected, status.dead, status.mute), (0, 0, 0));
        prop_assert_eq!(status.blind_since, None);
        for number in 0..HOSTS {
            let last = world.verdicts.iter().rfind(|(_, verdict)| verdict.host == host(number));
            prop_assert!(last.is_none_or(|(_, verdict)| verdict.silence.is_none()));
        }
    }

    #[test]
    fn no_verdict_holds_that_no_answer_can_end(
        events in prop::collection::vec((event(), 0..4000_u64), 1..30),
        seed: u64,
    ) {
        let mut world = World::new(HOSTS, 2, seed);
        world.run_for(ms(3000));
        run_events(&mut world, &events);
        for number in 0..HOSTS {
            world.list.hosts[usize::from(number)].connect_to.clear();
            let peer = world.peer(number);
            (peer.answers_echoes, peer.is_barred) = (false, true);
        }
        world.set_list();
        world.run_for(Duration::from_secs(130));
        let status = world.liveness.status();
        prop_assert_eq!((status.suspected, status.dead), (0, 0));
    }

    #[test]
    fn orders_are_bounded(
        events in prop::collection::vec((event(), 0..4000_u64), 1..30),
        seed: u64,
    ) {
        let mut world = World::new(HOSTS, 2, seed);
        run_events(&mut world, &events);
        let mut connected = std::collections::BTreeMap::<_, Vec<Duration>>::new();
        for (at, order) in &world.orders {
            if let Order::Connect { server, .. } = order {
                connected.entry(server).or_default().push(*at);
            }
        }
        // One second between two, and of those that are answered one a minute in the long run.
        for times in connected.values() {
            prop_assert!(times.windows(2).all(|two| two[1] - two[0] >= Duration::from_secs(1)));
        }
        for times in world.answered.values() {
            // An answer comes up to 3.4 s after the SYN.
            prop_assert!(times.windows(6).all(|six| six[5] - six[0] >= Duration::from_secs(56)));
        }
        // Eight hosts and two witnesses: 40 a second, and bursts of at most 20 a second for each host.
        let seconds = world.now.as_secs() + 1;
        let sent = u64::try_from(world.orders.len()).unwrap();
        prop_assert!(sent <= seconds * 200, "{} in {} s", sent, seconds);
    }
}
