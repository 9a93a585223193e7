//! Times and limits of an agent that follows relays.

use std::time::Duration;

/// The longest silence of a relay. It sends a heartbeat every 2 s.
pub(super) const SILENCE: Duration = Duration::from_secs(6);
/// The pause after all relays have failed.
pub(super) const ROUND: Duration = Duration::from_secs(2);
/// The longest time for a new relay to catch up with what the last one told.
pub(super) const CATCH_UP: Duration = Duration::from_secs(10);
/// The longest time for which a new relay may lag, however often it hears Marathon.
pub(super) const LAGGING: Duration = Duration::from_secs(30);
/// The time for which a relay may hear no Marathon before others are asked: more than two heartbeats...
pub(super) const DEAF: Duration = Duration::from_secs(5);
/// ...the most that is added at random...
pub(super) const DEAF_SPREAD: Duration = Duration::from_secs(2);
/// ...and the time until the next one is asked.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(10);
/// The longest time for which a read waits for what the relay reads after bad news; it fails then.
pub(super) const READ: Duration = Duration::from_secs(3);
/// The time for which bad news makes reads wait: its relay has read by then, or reads nothing.
pub(super) const NEWS: Duration = Duration::from_secs(10);
/// The time for which an announcement is kept that came while the source had no stream.
pub(super) const ANNOUNCED: Duration = Duration::from_secs(60);
/// The longest time in which nothing of a snapshot comes...
pub(super) const SNAPSHOT: Duration = Duration::from_secs(60);
/// ...and in which a snapshot comes as a whole.
pub(super) const WHOLE_SNAPSHOT: Duration = Duration::from_secs(180);
/// The longest time in which Marathon itself answers: what it tells then is no newer.
pub(super) const ANSWER: Duration = Duration::from_secs(60);
/// Time without a relay after which reads fail.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Time without a relay that hears or polls Marathon after which the agent reads Marathon itself, and the most that is added at
/// random...
pub(super) const DIRECT: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(120));
/// ...and the same of an agent that knows nothing, so that it serves nobody: until then relays are tried.
pub(super) const DIRECT_AT_FIRST: (Duration, Duration) =
    (Duration::from_secs(10), Duration::from_secs(20));
/// The number of agents that read Marathon themselves at the same time, of all that have no relay.
pub(super) const DIRECT_AGENTS: u64 = 100;
/// The largest number of hosts that a relay is believed.
pub(super) const MOST_AGENTS: u64 = 100_000;
/// The number of agents while nothing tells it.
pub(super) const UNKNOWN_AGENTS: u64 = 5000;
/// The shortest time until an agent asks whether its own relay is back, and the most that is added at
/// random.
pub(super) const HOME: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(600));
/// The time after which a stream that ends is opened once more at the same relay.
pub(super) const PROVEN: Duration = Duration::from_secs(60);
