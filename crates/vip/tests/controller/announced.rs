//! When the controller looks at what the kernel announces.

use std::time::Duration;

use vip::Condition::Healthy;
use vip::controller::Input;

use crate::world::{Job, World, app, seconds};

/// With one app in the kernel.
fn settled() -> World {
    World::settled(&[("/web", app("/web", &["3.3.0.6:80"], &[("a", "10.0.0.1:31001", Healthy)]))])
}

#[test]
fn what_the_kernel_announces_is_looked_at_within_200_ms() {
    let mut world = settled();
    world.state().addresses.clear();
    let readings = world.readings;
    for _ in 0..100 {
        world.hear(Input::KernelChanged);
    }
    world.pass(Duration::from_millis(200));
    assert!(world.bound("3.3.0.6"));
    assert_eq!(world.readings, readings + 1);
}

#[test]
fn an_announcement_during_a_reading_is_followed_by_another() {
    let mut world = settled();
    world.now += seconds(30);
    world.say(Input::Tick);
    assert!(matches!(world.job, Some(Job::Observe)));
    world.say(Input::KernelChanged);
    world.work();
    world.state().addresses.clear();
    world.pass(Duration::from_millis(200));
    assert!(world.bound("3.3.0.6"));
}

#[test]
fn a_storm_of_announcements_is_looked_at_now_and_then() {
    let mut world = settled();
    let readings = world.readings;
    for _ in 0..100 {
        world.hear(Input::KernelChanged);
        world.pass(Duration::from_millis(10));
    }
    let looked = world.readings - readings;
    assert!((4..=6).contains(&looked), "{looked}");
}

#[test]
fn the_longer_a_reading_takes_the_longer_announcements_wait() {
    let mut world = settled();
    world.say(Input::KernelChanged);
    world.pass(Duration::from_millis(100));
    world.say(Input::Release);
    assert!(matches!(world.job, Some(Job::Observe)));
    world.now += seconds(2);
    world.answer();
    let readings = world.readings;
    world.hear(Input::KernelChanged);
    world.pass(seconds(9));
    assert_eq!(world.readings, readings);
    world.pass(seconds(1));
    assert_eq!(world.readings, readings + 1);
}
