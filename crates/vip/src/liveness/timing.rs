//! The times and rates of the probing.

use std::time::Duration;

/// The pause between two rounds of echoes, unless configured or stretched.
pub const INTERVAL: Duration = Duration::from_millis(250);

/// The fraction of the interval that a round may come earlier or later, so that the nodes of a
/// cluster don't probe in step.
pub(super) const JITTER: f64 = 0.1;

/// The number of echoes a second to hosts, above which rounds are stretched. As many again may go
/// to witnesses and to hosts that are about to be suspected.
pub(super) const RATE: u32 = 800;

/// The time after a round at which hosts without an answer are reviewed.
pub(super) const REVIEW: Duration = Duration::from_millis(200);

/// The number of echoes without a reply after which a host is in doubt.
pub(super) const DOUBT: u32 = 2;

/// The number and the distance of the echoes that are sent to a host in doubt.
pub(super) const BURST: u8 = 4;
pub(super) const BURST_STEP: Duration = Duration::from_millis(40);

/// The time that a host in doubt has to answer one of these echoes, and a connection, which begins
/// when the first is missing still.
pub(super) const LAST_CHANCE: Duration = Duration::from_millis(200);
pub(super) const CONNECT_CHANCE: Duration = Duration::from_millis(160);

/// The time that it has at least to answer the last of these echoes.
pub(super) const ECHO_CHANCE: Duration = Duration::from_millis(80);

/// The time that a mute host has to answer a connection: the kernel sends the SYN again after 1 s and
/// 3 s, or since Linux 6.5 after each of the first seconds.
pub(super) const PATIENCE: Duration = Duration::from_millis(3400);

/// The time that is left to take in an answer.
pub(super) const ANSWER_MARGIN: Duration = Duration::from_millis(20);

/// The longest time from the first of these echoes to a verdict, and the same for a mute host. A program
/// that was held up for longer begins again.
pub(super) const LONGEST_CONFIRMATION: Duration = Duration::from_secs(1);
pub(super) const LONGEST_PATIENCE: Duration = Duration::from_millis(6400);

/// The shortest silence that a host is suspected for.
pub(super) const MIN_SILENCE: Duration = Duration::from_millis(500);

/// The time in which another host must have answered, as the proof that this node is connected. It is
/// shorter than the least silence of a suspected host.
pub(super) const PROOF: Duration = Duration::from_millis(450);

/// The time for which nothing is said against hosts after all were silent. The kernel asks for the address of
/// a neighbour once a second (`net.ipv4.neigh.*.retrans_time_ms`).
pub(super) const SETTLING: Duration = Duration::from_millis(1500);

/// The delay of the program's own wake-up beyond which a round is void, and that beyond which all
/// earlier silence is.
pub(super) const LATE: Duration = Duration::from_millis(150);
pub(super) const STANDSTILL: Duration = Duration::from_secs(2);

/// The silence after which a host is dead.
pub(super) const DEATH: Duration = Duration::from_secs(10);

/// The number of hosts beyond which, if they are more than half of all, one round of confirmation
/// isn't enough; and the pause before the second.
pub(super) const MASS: usize = 4;
pub(super) const SECOND_LOOK: Duration = Duration::from_millis(800);

/// The pause between echoes to dead hosts, and to witnesses while no host is in doubt.
pub(super) const RARELY: Duration = Duration::from_secs(1);

/// The pause between echoes to a mute host, after the first ones: at first, since its echoes may be back in
/// a moment, and the longest that it grows to.
pub(super) const FIRST_MUTE_PAUSE: Duration = Duration::from_millis(500);
pub(super) const MUTE_PAUSE: Duration = Duration::from_secs(60);
pub(super) const FIRST_TRIES: u8 = 3;

/// The number of echoes in a row that this node can't send, after which a host is judged by connections.
pub(super) const MANY_UNSENT: u8 = 8;

/// The pause before the port of a mute host is looked at again, if that had no result; and the number
/// of hosts that are looked at together.
pub(super) const LOOK_PAUSE: Duration = Duration::from_secs(5);
pub(super) const LOOKS: usize = 64;

/// The pause between two connections to the same real server in the long run. MySQL refuses hosts that
/// connect and leave a hundred times.
pub(super) const CONNECT_PAUSE: Duration = Duration::from_secs(60);

/// The number of connections that may follow each other more quickly, and the pause between those.
pub(super) const CONNECT_BURST: f64 = 5.0;
pub(super) const CONNECT_GAP: Duration = Duration::from_secs(1);

/// The number of answers before a suspected host is in use again.
pub(super) const ANSWERS: u32 = 3;

/// The number of echoes without a reply that make a host start again with those answers.
pub(super) const RELAPSE: u32 = 4;

/// The time that a host must answer before it is in use again: the least, which doubles each time
/// that it was suspected, and the most.
pub(super) const HOLD: Duration = Duration::from_secs(1);
pub(super) const MAX_HOLD: Duration = Duration::from_secs(60);

/// The time after which an earlier suspicion is forgotten.
pub(super) const PEACE: Duration = Duration::from_secs(600);

/// Two reports of connections without an answer within this time are needed about a mute host. A client
/// sends its SYN again after one second and after three.
pub(super) const REPORTS_WITHIN: Duration = Duration::from_secs(3);

/// The pause between two times that reports have a host asked, and the time for which the answer of a
/// mute one counts.
pub(super) const REPORT_PAUSE: Duration = Duration::from_secs(1);
pub(super) const MUTE_REPORT_PAUSE: Duration = Duration::from_secs(15);

/// The time after which a host that was never heard is in use again, if no probe may reach it.
pub(super) const UNHEARD_LIMIT: Duration = Duration::from_secs(300);

/// The time for which a host that nobody used is in use after a report.
pub(super) const REPORT_USE: Duration = Duration::from_secs(10);

/// The same while this node's uplink seems to have no carrier.
pub(super) const FRESH_PROOF: Duration = Duration::from_millis(300);

/// The time that is left for all that comes in between in a first look.
const LOOK_MARGIN: Duration = Duration::from_millis(1300);

/// Returns the time after which nothing more is to be expected about one of so many hosts that has never
/// answered since it is watched: the first echoes, as many again until others have proved that this node is
/// connected, and the patience of a connection.
#[must_use]
pub fn first_look(interval: Duration, hosts: usize) -> Duration {
    let hosts = u32::try_from(hosts.clamp(1, caps::PROBED_HOSTS)).unwrap_or(u32::MAX);
    let looks = u32::try_from(LOOKS).unwrap_or(u32::MAX);
    let rounds = u32::from(FIRST_TRIES) + hosts.div_ceil(looks);
    let pace = stretched_pace(interval, hosts);
    pace.mul_f64(f64::from(rounds) * (1.0 + JITTER)) + REVIEW + PATIENCE + LOOK_MARGIN
}

/// The pause between two rounds of echoes to so many hosts.
pub(super) fn stretched_pace(interval: Duration, hosts: u32) -> Duration {
    interval.max(Duration::from_secs(1) * hosts / RATE)
}

/// The fraction of the mute hosts that may be suspected at the same time since clients and connections
/// got no answer, but for one: many at once have too much to do, and fewer would have even more.
pub(super) const CALLED_SHARE: usize = 3;
