//! Real servers that refuse clients: what the agent makes of it while Marathon is heard, and while it isn't.

use std::net::SocketAddr;

use marathon_sim::Fault;
use vip::liveness::{ProbeReport, Refusal};

use crate::world::{World, eventually, pass, place, run, weights};

const WEB: &str = "3.3.0.6:80";

impl World {
    /// Clients are refused by these real servers every three seconds, for half a minute.
    async fn refuse_clients(&self, servers: &[SocketAddr]) {
        for _ in 0..10 {
            let refusals = servers.iter().map(|server| Refusal { server: *server, client: None });
            let refusals = refusals.collect();
            self.prober.send_report(ProbeReport { refusals, ..ProbeReport::default() });
            pass(3000).await;
        }
    }

    async fn places(&self) -> Vec<SocketAddr> {
        self.tasks("/web").await.iter().map(place).collect()
    }

    /// From now on Marathon says nothing.
    fn cut_marathon(&self) {
        self.sim().inject_fault(Fault::HalfOpen.always());
        self.sim().inject_fault(Fault::Unavailable.always());
        self.sim().inject_fault(Fault::Unavailable.always().limited_to("/v2/events"));
    }

    fn notes_on_refusals(&self) -> usize {
        self.agent()
            .view
            .borrow()
            .probing
            .describe()
            .filter(|note| note.contains("refused"))
            .count()
    }

    /// The number of real servers that take new clients, and of all.
    fn in_use(&self) -> (usize, usize) {
        let weights = weights(&self.kernel.current_state(), WEB).unwrap();
        (weights.values().filter(|weight| **weight > 0).count(), weights.len())
    }
}

#[test]
fn refusals_count_only_while_marathon_is_not_heard() {
    run(async {
        let world = World::serving(4).await;
        let places = world.places().await;
        world.refuse_clients(&places[..1]).await;
        assert_eq!(world.in_use(), (4, 4), "Marathon knows better");
        world.cut_marathon();
        world.refuse_clients(&places[..1]).await;
        assert_eq!(world.in_use(), (4, 4), "it was heard a moment ago");
        pass(400_000).await;
        // Another real server has refused none, and this address belongs to nobody.
        let stranger = [10, 99, 0, 1].into();
        world.refuse_clients(&[places[0], SocketAddr::new(stranger, 80)]).await;
        assert_eq!((world.in_use(), world.notes_on_refusals()), ((3, 4), 1));
        // Clients try again after a while, and are refused again.
        world.until_served(WEB, 4).await;
        assert_eq!(world.notes_on_refusals(), 0);
        world.refuse_clients(&places[..1]).await;
        assert_eq!(world.in_use(), (3, 4));
        world.sim().clear_faults();
        world.until_served(WEB, 4).await;
        pass(10_000).await;
        world.refuse_clients(&places[..1]).await;
        assert_eq!((world.in_use(), world.notes_on_refusals()), ((4, 4), 0));
        world.end().await;
    });
}

#[test]
fn the_last_real_servers_stay_though_all_refuse() {
    run(async {
        let world = World::serving(4).await;
        let places = world.places().await;
        world.cut_marathon();
        pass(400_000).await;
        world.refuse_clients(&places).await;
        assert_eq!(world.in_use(), (4, 4));
        world.end().await;
    });
}

#[test]
fn what_is_from_the_state_file_is_doubted_at_once() {
    run(async {
        let mut world = World::serving(4).await;
        let places = world.places().await;
        // Until it is saved.
        pass(70_000).await;
        world.stop().await;
        world.cut_marathon();
        world.start().await;
        eventually(async || world.agent().view.borrow().sources.values().all(|m| m.from_disk))
            .await;
        pass(5000).await;
        world.refuse_clients(&places[..1]).await;
        assert_eq!((world.in_use(), world.notes_on_refusals()), ((3, 4), 1));
        world.sim().clear_faults();
        world.until_served(WEB, 4).await;
        assert_eq!(world.notes_on_refusals(), 0);
        world.end().await;
    });
}
