//! What may happen.

use marathon_sim::{Fate, Fault, Generation, Rule};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use vip::liveness::Silence;

use super::damage::{Damage, damage};

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// An app is put: claims this VIP with so many instances, in this release.
    Put {
        app: usize,
        vip: usize,
        instances: usize,
        release: u8,
    },
    Delete {
        app: usize,
    },
    Kill(Index),
    Fate(Index, Fate),
    /// One check of it fails, or a few.
    Cough(Index),
    Inject(Rule),
    Heal,
    Elect(Option<usize>),
    /// Another leads, and its first answer has no apps. Only the first time: a second answer that
    /// says the same is believed, and nobody could know better.
    Flash,
    ForgetHealth,
    Damage(Damage),
    /// Another leads, who knows no health yet, and the kernel loses this.
    Amnesia(Damage),
    /// The host of this task is silent for so long, or answers again.
    Silence(Index, Option<Silence>),
    /// The agent stops as it is told to, and is away for so long.
    Restart {
        away: u64,
    },
    /// The agent dies after so many operations more, and is away for so long.
    Crash {
        after: usize,
        away: u64,
    },
    Pass(u64),
}

fn fault() -> impl Strategy<Value = Rule> {
    let events = select(vec![
        "status_update_event",
        "instance_changed_event",
        "instance_health_changed_event",
        "health_status_changed_event",
        "group_change_success",
    ]);
    let of_events = prop_oneof![
        Just(Fault::Lost),
        (100..6000_u64).prop_map(|ms| Fault::Late { ms }),
        Just(Fault::Doubled),
        Just(Fault::Reordered),
    ];
    let of_answers = prop_oneof![
        (100..15_000_u64).prop_map(|ms| Fault::Stall { ms }),
        Just(Fault::Empty),
        Just(Fault::HealthAsk),
        Just(Fault::Truncated),
        Just(Fault::BadGateway),
        Just(Fault::Unavailable),
    ];
    prop_oneof![
        4 => (of_events, proptest::option::of(events), proptest::option::of(1..5_u32)).prop_map(
            |(fault, only, times)| Rule { fault, only: only.map(str::to_owned), times }
        ),
        4 => (of_answers, proptest::option::of(1..5_u32))
            .prop_map(|(fault, times)| Rule { fault, only: None, times }),
        1 => (100..6000_u64).prop_map(|ms| Fault::Lag { ms }.always()),
        1 => (1..3_u32).prop_map(|times| Fault::Closed.times(times)),
        1 => Just(Fault::HalfOpen.always()),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let away = select(vec![0_u64, 0, 50, 1000, 10_000]);
    prop_oneof![
        5 => (0..3_usize, 0..4_usize, 0..4_usize, 0..3_u8)
            .prop_map(|(app, vip, instances, release)| Step::Put { app, vip, instances, release }),
        1 => (0..3_usize).prop_map(|app| Step::Delete { app }),
        2 => any::<Index>().prop_map(Step::Kill),
        4 => (any::<Index>(), select(vec![Fate::Well, Fate::Ill, Fate::Over]))
            .prop_map(|(task, fate)| Step::Fate(task, fate)),
        2 => any::<Index>().prop_map(Step::Cough),
        4 => fault().prop_map(Step::Inject),
        4 => Just(Step::Heal),
        2 => select(vec![None, Some(0), Some(1)]).prop_map(Step::Elect),
        2 => Just(Step::Flash),
        1 => Just(Step::ForgetHealth),
        2 => select(vec![Damage::Flush, Damage::NoServers, Damage::Weights(0)])
            .prop_map(Step::Amnesia),
        3 => damage().prop_map(Step::Damage),
        3 => (any::<Index>(), select(vec![None, Some(Silence::Suspected), Some(Silence::Dead)]))
            .prop_map(|(task, silence)| Step::Silence(task, silence)),
        1 => away.clone().prop_map(|away| Step::Restart { away }),
        1 => (0..12_usize, away).prop_map(|(after, away)| Step::Crash { after, away }),
        6 => select(vec![20_u64, 300, 1000, 5000, 20_000]).prop_map(Step::Pass),
    ]
}

pub(super) fn generation() -> impl Strategy<Value = Generation> {
    select(vec![Generation::V1_1, Generation::V1_4, Generation::V1_5, Generation::V1_6])
}
