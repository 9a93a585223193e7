//! What Marathon gets from a thousand agents and more: docs/scale.md says what came of it.
//!
//! The big cases are for a release build:
//! `cargo test --release -p marathon --no-default-features --test fleet -- --include-ignored
//! --nocapture --test-threads 1`
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
#![allow(clippy::print_stdout, reason = "the table is what the model is for")]

mod cluster;
mod model;

use std::time::Duration;

use cluster::{Cluster, Tell};
use model::{Asked, EVERYTHING, Fleet, Tally, reads, requests};

const SECOND: Duration = Duration::from_secs(1);

fn print(what: &str, agents: u32, time: Duration, tally: &Tally) {
    let each = |asked| f64::from(tally.of(asked)) / f64::from(agents);
    let mean = |weight: fn(Asked) -> u32| f64::from(tally.sum(weight)) / time.as_secs_f64();
    println!(
        "| {what} | {agents} | {} | {:.1} | {:.0} | {} | {:.1} | {} | {:.2} | {:.2} | {:.2} | {:.2} |",
        time.as_secs(),
        mean(reads),
        tally.busiest(10, reads),
        tally.peak(reads),
        mean(requests),
        tally.peak(requests),
        each(Asked::Stream),
        each(Asked::Everything),
        each(Asked::One),
        each(Asked::Record),
    );
}

/// App 0 has 20 tasks, a hundred others have `tasks` each.
fn started(agents: u32, tasks: usize) -> Fleet {
    let mut apps = vec![tasks; 101];
    apps[0] = 20;
    let mut fleet = Fleet::new(agents, Cluster::new(&apps));
    let tally = fleet.run(60 * SECOND + spread(agents) + 10 * SECOND);
    print("start", agents, 70 * SECOND, &tally);
    assert_eq!(fleet.each(Asked::Stream), (1, 1));
    assert_eq!(fleet.astray(), 0);
    fleet
}

/// About 100 reads a second, and no more than chance makes of them in one.
fn assert_bounded(tally: &Tally) {
    let (busiest, peak) = (tally.busiest(10, reads), tally.peak(reads));
    assert!(busiest <= 110.0, "{busiest} reads a second in 10 s");
    assert!(peak <= 160, "{peak} reads in a second");
}

fn spread(agents: u32) -> Duration {
    agents * Duration::from_millis(10)
}

fn period(agents: u32) -> Duration {
    (300 * SECOND).max(agents * SECOND)
}

/// Replaces the tasks of an app one by one, and says how long that takes, in milliseconds.
fn upgrade(fleet: &mut Fleet, app: usize, tasks: usize, begun: u64) -> u64 {
    for task in 0..tasks {
        let at = begun + 8000 * task as u64;
        fleet.tell_in(at + 2000, Tell::Start(app, task));
        fleet.tell_in(at + 4500, Tell::Healthy(app, task));
        fleet.tell_in(at + 4600, Tell::Killing(app, task));
        fleet.tell_in(at + 7800, Tell::Killed(app, task));
    }
    let done = begun + 8000 * tasks as u64;
    fleet.tell_in(done, Tell::Done(app));
    done
}

fn in_calm(agents: u32) {
    let mut fleet = started(agents, 2);
    fleet.run(period(agents));
    let time = 2 * period(agents);
    let tally = fleet.run(time);
    print("calm", agents, time, &tally);
    assert_eq!(tally.of(Asked::Stream), 0, "the stream that is open stays open");
    assert_eq!((tally.of(Asked::One), tally.of(Asked::Record)), (0, 0));
    let mean = f64::from(tally.of(Asked::Everything)) / f64::from(agents);
    assert!((2.0 / 1.3..2.0 / 0.7).contains(&mean), "{mean} reads in two periods");
    let (least, most) = fleet.each(Asked::Everything);
    assert!(least >= 1 && most <= 3, "{least} to {most}");
    assert_bounded(&tally);
}

fn in_an_upgrade_of_one_app(agents: u32) {
    let mut fleet = started(agents, 2);
    fleet.run(period(agents) / 3);
    fleet.tell_in(0, Tell::Begin(0));
    let done = upgrade(&mut fleet, 0, 20, 0);
    let time = Duration::from_millis(done) + 3 * spread(agents) + 10 * SECOND;
    let tally = fleet.run(time);
    print("one app", agents, time, &tally);
    let (_, most) = fleet.each(Asked::One);
    assert!(most <= 2 * fleet.told(), "{most} reads of one app for {} events", fleet.told());
    assert_eq!(fleet.each(Asked::Record), (0, 0), "the old version is known");
    assert_eq!(tally.of(Asked::Stream), 0);
    let (_, whole) = fleet.each(Asked::Everything);
    assert!(whole <= 1, "{whole} reads of everything, which are those of the period");
    assert_eq!(fleet.astray(), 0);
    assert_bounded(&tally);
}

fn in_an_upgrade_of_a_hundred_apps(agents: u32, tasks: usize) {
    let mut fleet = started(agents, tasks);
    fleet.run(period(agents) / 3);
    fleet.tell_in(0, Tell::BeginAll(101));
    let mut done = upgrade(&mut fleet, 0, 20, 0);
    for app in 1..101 {
        done = done.max(upgrade(&mut fleet, app, tasks, 37 * app as u64));
    }
    let time = Duration::from_millis(done) + 3 * spread(agents) + 10 * SECOND;
    let tally = fleet.run(time);
    print("100 apps", agents, time, &tally);
    assert_eq!(tally.of(Asked::Stream) + tally.of(Asked::Record), 0);
    assert_eq!(fleet.astray(), 0);
    assert_bounded(&tally);
}

fn after_a_leader_change(agents: u32) {
    let mut fleet = started(agents, 2);
    fleet.run(period(agents) / 3);
    fleet.change_leader(10 * SECOND);
    // An answer of this length is spread over ten times the time of one read.
    let time = 80 * SECOND + 10 * spread(agents) + spread(agents);
    let tally = fleet.run(time);
    print("leader", agents, time, &tally);
    let busiest = tally.busiest(10, |asked| u32::from(asked == Asked::Everything));
    // With those that read without events, until the stream is open.
    assert!(busiest <= 35.0, "{busiest} reads of everything a second");
    let (least, most) = fleet.each(Asked::Everything);
    assert!(least >= 1 && most <= 2, "{least} to {most} reads of everything");
    let (_, most) = fleet.each(Asked::Stream);
    assert!(most <= 6, "{most} tries to open the stream in 10 s");
    assert_eq!(fleet.astray(), 0);
    assert_bounded(&tally);
}

#[test]
fn a_thousand_agents_in_calm_have_one_stream_and_one_full_read_in_a_period() {
    in_calm(1000);
}

#[test]
fn an_upgrade_of_one_app() {
    in_an_upgrade_of_one_app(1000);
}

#[test]
fn an_upgrade_of_a_hundred_apps() {
    in_an_upgrade_of_a_hundred_apps(100, 2);
}

#[test]
fn a_leader_change() {
    after_a_leader_change(1000);
}

#[test]
#[ignore = "takes a release build"]
fn all() {
    println!();
    for agents in [100, 1000, 5000] {
        in_calm(agents);
        in_an_upgrade_of_one_app(agents);
        in_an_upgrade_of_a_hundred_apps(agents, 2);
        after_a_leader_change(agents);
    }
}

/// What one of these costs, in bytes.
struct Cost {
    plain: [f64; 4],
    packed: [f64; 4],
    event: f64,
}

/// As an answer of 1,000 apps with 10 tasks each was measured, and the events that tell of a task;
/// the second number is with gzip. In the order of [`Asked`].
const COST: Cost = Cost {
    plain: [300.0, EVERYTHING as f64, 7_400.0, 1_000.0],
    packed: [300.0, 1_026_000.0, 1_100.0, 500.0],
    event: 450.0,
};

fn series(what: &str, agents: u32, from: Duration, tally: &Tally) {
    for (second, asked, sent) in tally.each_second() {
        let weighed = |cost: [f64; 4]| -> f64 {
            asked.iter().zip(cost).map(|(count, each)| f64::from(*count) * each).sum()
        };
        let events = f64::from(sent) * COST.event;
        let reads = asked[1] + asked[2] + asked[3];
        println!(
            "series {what} {agents} {} {reads} {} {:.0} {:.0}",
            second.saturating_sub(from.as_secs()),
            asked[0] * 2 + asked[1] * 2 + asked[2] + asked[3],
            weighed(COST.plain) + events,
            weighed(COST.packed) + events,
        );
    }
}

/// `series WHAT AGENTS SECOND READS REQUESTS BYTES PACKED`: `cargo xtask bench --scale` makes
/// docs/scale.md of it.
#[test]
#[ignore = "takes a release build"]
fn series_of_all() {
    for agents in [1000, 5000] {
        let mut fleet = started(agents, 2);
        // Until reads are spread over the period.
        fleet.run(period(agents));
        let from = fleet.now;
        let tally = fleet.run(300 * SECOND);
        series("calm", agents, from, &tally);

        let from = fleet.now;
        fleet.tell_in(0, Tell::BeginAll(101));
        upgrade(&mut fleet, 0, 20, 0);
        for app in 1..101 {
            upgrade(&mut fleet, app, 2, 37 * app as u64);
        }
        let tally = fleet.run(300 * SECOND);
        series("upgrade", agents, from, &tally);

        fleet.run(period(agents) / 3);
        let from = fleet.now;
        fleet.change_leader(10 * SECOND);
        let tally = fleet.run(300 * SECOND);
        series("leader", agents, from, &tally);
        fleet.run(10 * spread(agents));
        assert_eq!(fleet.astray(), 0);
    }
}
