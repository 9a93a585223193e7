//! The plan of a rolling upgrade: how many instances to start and which to end. Pure.

use crate::definition::Upgrade;

/// An instance that has not ended, as far as the plan needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    /// True if it runs by the current configuration.
    pub(super) current: bool,
    pub(super) phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not yet running, or not healthy.
    Starting,
    Healthy,
    Ending,
}

#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Steps {
    /// Indexes of the members to end.
    pub(super) kill: Vec<usize>,
    pub(super) launch: usize,
    /// Everything is as wanted, and a deployment is complete.
    pub(super) settled: bool,
}

/// Plans the next steps towards `target` healthy current members. `members` begins with the oldest.
///
/// While old members are left, `minimumHealthCapacity` of the target stays healthy and no more than
/// `maximumOverCapacity` runs on top of it. If these two leave no room to move, one more may run.
/// Surplus ends youngest first, as with `killSelection`.
pub(super) fn plan_steps(target: usize, upgrade: Upgrade, members: &[Member]) -> Steps {
    let count = |wanted: &dyn Fn(&Member) -> bool| members.iter().filter(|m| wanted(m)).count();
    let live = |m: &Member| m.phase != Phase::Ending;
    let current = count(&|m| live(m) && m.current);
    let rolling = members.iter().any(|m| !m.current);
    let mut steps = Steps::default();

    for (index, member) in members.iter().enumerate().rev() {
        if live(member) && member.current && current - steps.kill.len() > target {
            steps.kill.push(index);
        }
    }

    let floor = share_of(target, upgrade.minimum_health_capacity, f64::ceil);
    let mut healthy = count(&|m| m.phase == Phase::Healthy);
    for (index, member) in members.iter().enumerate() {
        match member {
            Member { current: false, phase: Phase::Starting } => steps.kill.push(index),
            Member { current: false, phase: Phase::Healthy } if healthy > floor => {
                healthy -= 1;
                steps.kill.push(index);
            }
            _ => {}
        }
    }

    let mut ceiling = target;
    if rolling {
        ceiling += share_of(target, upgrade.maximum_over_capacity, f64::floor);
        if ceiling == floor {
            ceiling += 1;
        }
    }
    let room = ceiling.saturating_sub(members.len());
    steps.launch = target.saturating_sub(current).min(room);
    steps.settled =
        members.len() == target && members.iter().all(|m| m.current && m.phase == Phase::Healthy);
    steps
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the product lies between 0 and `target`"
)]
fn share_of(target: usize, part: f64, round: fn(f64) -> f64) -> usize {
    round(target as f64 * part.clamp(0.0, 1.0)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use Phase::{Ending, Healthy, Starting};

    fn plan(target: usize, strategy: (f64, f64), members: &[(bool, Phase)]) -> (Vec<usize>, usize) {
        let members: Vec<Member> =
            members.iter().map(|&(current, phase)| Member { current, phase }).collect();
        let (minimum_health_capacity, maximum_over_capacity) = strategy;
        let upgrade = Upgrade { minimum_health_capacity, maximum_over_capacity };
        let steps = plan_steps(target, upgrade, &members);
        (steps.kill, steps.launch)
    }

    const NEW: bool = true;
    const OLD: bool = false;

    #[test]
    fn scaling_starts_what_is_missing_and_ends_the_youngest() {
        let strategy = (1.0, 1.0);
        assert_eq!(plan(3, strategy, &[(NEW, Healthy)]), (vec![], 2));
        assert_eq!(plan(1, strategy, &[(NEW, Healthy); 3]), (vec![2, 1], 0));
        assert_eq!(plan(0, strategy, &[(NEW, Starting)]), (vec![0], 0));
        // What is ending still holds its place.
        assert_eq!(plan(1, strategy, &[(NEW, Ending)]), (vec![], 0));
    }

    #[test]
    fn a_new_version_obeys_the_upgrade_strategy() {
        // All new ones first, then the old ones go.
        assert_eq!(plan(2, (1.0, 1.0), &[(OLD, Healthy); 2]), (vec![], 2));
        let both = [(OLD, Healthy), (OLD, Healthy), (NEW, Healthy), (NEW, Starting)];
        assert_eq!(plan(2, (1.0, 1.0), &both), (vec![0], 0));
        // Nothing on top and nothing need stay: the old one goes first.
        assert_eq!(plan(1, (0.0, 0.0), &[(OLD, Healthy)]), (vec![0], 0));
        assert_eq!(plan(1, (0.0, 0.0), &[]), (vec![], 1));
        // Half stays.
        assert_eq!(plan(2, (0.5, 0.0), &[(OLD, Healthy); 2]), (vec![0], 0));
        // No way to move: one more may run.
        assert_eq!(plan(1, (1.0, 0.0), &[(OLD, Healthy)]), (vec![], 1));
        // An old one that is not healthy protects nothing.
        assert_eq!(plan(1, (1.0, 0.0), &[(OLD, Starting)]), (vec![0], 1));
    }

    #[test]
    fn a_rolling_upgrade_ends_and_never_goes_below_its_floor() {
        for target in 1..6 {
            for strategy in [(1.0, 1.0), (0.5, 0.0), (0.0, 0.0), (1.0, 0.0), (0.7, 0.3)] {
                let mut members = vec![(OLD, Healthy); target];
                let floor = share_of(target, strategy.0, f64::ceil);
                for _ in 0..100 {
                    let (kill, launch) = plan(target, strategy, &members);
                    for index in kill {
                        members[index].1 = Ending;
                    }
                    let healthy = members.iter().filter(|m| m.1 == Healthy).count();
                    assert!(healthy >= floor, "{strategy:?} {members:?}");
                    members.retain(|m| m.1 != Ending);
                    members.iter_mut().for_each(|m| m.1 = Healthy);
                    members.extend(std::iter::repeat_n((NEW, Starting), launch));
                }
                assert_eq!(members, vec![(NEW, Healthy); target], "{strategy:?}");
            }
        }
    }
}
