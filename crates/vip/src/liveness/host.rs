//! The state of one watched host.

use std::net::SocketAddr;
use std::slice;
use std::time::Duration;

use super::confirmation::{Confirmation, Reason};
use super::connections::Permission;
use super::echoes::Echoes;
use super::flaps::Flaps;
use super::timing::{
    ANSWER_MARGIN, ANSWERS, CONNECT_CHANCE, CONNECT_GAP, CONNECT_PAUSE, DEATH, DOUBT,
    FIRST_MUTE_PAUSE, FIRST_TRIES, LOOK_PAUSE, MANY_UNSENT, MIN_SILENCE, MUTE_PAUSE,
    MUTE_REPORT_PAUSE, PATIENCE, PEACE, RARELY, RELAPSE, REPORT_PAUSE, REPORT_USE, REPORTS_WITHIN,
    UNHEARD_LIMIT,
};
use super::{ConnectResult, Evidence, Order, Silence, Watched};

/// A watched host: what it answered, and what follows.
#[derive(Debug, Default)]
pub(super) struct Host {
    pub(super) echoes: Echoes,
    pub(super) connect_to: Vec<SocketAddr>,
    in_use: bool,
    is_elsewhere: bool,
    has_clients: bool,
    /// It has answered echoes; false for a mute host.
    answers_echoes: bool,
    state: State,
    /// The time since when it is silent: its last sign of life, or the time at which earlier silence
    /// stopped counting.
    quiet_since: Duration,
    /// The number of echoes, and of connections, without an answer since then.
    unanswered: u32,
    connects: u32,
    /// The next echo to a mute or dead host, and how many it had.
    next_try: Duration,
    tries: u8,
    /// Its port was looked at with a result, since it has not answered an echo yet; and when it may be
    /// looked at next.
    was_looked_at: bool,
    look_at: Duration,
    /// The time of the last reply to an echo.
    echoed: Option<Duration>,
    /// The number of echoes in a row that could not be sent, and whether the last one is among them.
    unsent: u8,
    was_unsent: bool,
    /// The time of the last report of a connection without an answer, and of the last time that it was
    /// asked for one.
    reported: Option<Duration>,
    called: Option<Duration>,
    flaps: Flaps,
}

#[derive(Debug, Default)]
enum State {
    /// Nothing speaks against it.
    #[default]
    Fine,
    /// It is asked once more.
    Confirming(Confirmation),
    /// No new connections go there.
    Down(Down),
}

#[derive(Debug)]
struct Down {
    silence: Silence,
    since: Duration,
    /// The time since when it was silent.
    silent_since: Duration,
    /// Clients had reported it.
    was_reported: bool,
    /// The first answer of those without a gap, and their number.
    answering: Option<(Duration, u32)>,
}

/// The end of a suspicion.
#[derive(Debug, Clone, Copy)]
pub(super) struct Return {
    /// The time for which the host was silent.
    pub(super) silent_for: Duration,
    /// The verdict about it.
    pub(super) silence: Silence,
}

/// The pause after so many echoes to a mute host: none at first, then twice as long each time.
fn mute_pause(tries: u8) -> Duration {
    let more = tries.saturating_sub(FIRST_TRIES);
    let pause = FIRST_MUTE_PAUSE * 2_u32.saturating_pow(more.into());
    if tries < FIRST_TRIES { Duration::ZERO } else { pause.min(MUTE_PAUSE) }
}

impl Host {
    /// Takes in what the list says about the host.
    pub(super) fn update(&mut self, watched: &Watched, now: Duration) {
        let is_reported = self.reported.is_some_and(|at| now.saturating_sub(at) < REPORT_USE);
        let in_use = watched.in_use || is_reported;
        if in_use && !self.in_use && !self.is_down() {
            self.forget_silence(now);
        }
        if !in_use && self.is_confirming() {
            self.state = State::Fine;
        }
        self.in_use = in_use;
        self.is_elsewhere = watched.is_elsewhere;
        self.connect_to.clone_from(&watched.connect_to);
        self.has_clients = watched.has_clients;
    }

    /// Puts it in use again if no answer is to be expected: a mute host has none but those of its ports, and
    /// has lost the last one; or it was never heard for long, and `may_be_barred`. Returns true if it was out
    /// of use.
    pub(super) fn give_up(&mut self, may_be_barred: bool, now: Duration) -> bool {
        let State::Down(down) = &self.state else { return false };
        let is_barred = may_be_barred
            && !self.echoes.was_heard()
            && now.saturating_sub(down.since) >= UNHEARD_LIMIT;
        let is_hopeless = is_barred || self.is_mute() && self.connect_to.is_empty();
        if is_hopeless {
            self.state = State::Fine;
        }
        is_hopeless
    }

    /// Tells whether the silence of its ports says nothing: it was never heard, so that something on the way
    /// may admit clients alone, and it serves some; or `may_be_barred`, and no client has complained.
    pub(super) fn is_excused(&self, may_be_barred: bool) -> bool {
        let is_reported = self.reason() == Some(Reason::Report);
        !self.echoes.was_heard() && !is_reported && (may_be_barred || self.has_clients)
    }

    /// Tells whether it is probed.
    pub(super) fn is_active(&self) -> bool {
        self.in_use || self.is_down()
    }

    /// Tells whether it never answered an echo, or does no longer.
    pub(super) fn is_mute(&self) -> bool {
        !self.answers_echoes
    }

    /// Tells whether it is another machine than this node.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.is_elsewhere
    }

    /// Tells whether its answer is worth something as a proof of this node's own life.
    pub(super) fn is_witness(&self) -> bool {
        self.is_elsewhere && matches!(self.state, State::Fine) && !self.is_candidate()
    }

    /// Tells whether it is suspected or dead.
    pub(super) fn is_down(&self) -> bool {
        matches!(self.state, State::Down(_))
    }

    /// Returns the verdict that holds.
    pub(super) fn silence(&self) -> Option<Silence> {
        match &self.state {
            State::Down(down) => Some(down.silence),
            State::Fine | State::Confirming(_) => None,
        }
    }

    /// Tells whether it is suspected or asked once more; `None` if it has been for long, or is not
    /// judged by echoes.
    pub(super) fn is_newly_silent(&self, now: Duration) -> Option<bool> {
        let is_judged = self.is_active() && !self.is_mute();
        match &self.state {
            _ if !is_judged => None,
            State::Fine => Some(false),
            State::Confirming(_) => Some(true),
            State::Down(down) => (now.saturating_sub(down.since) < DEATH).then_some(true),
        }
    }

    /// Tells whether something speaks against it that isn't decided: then witnesses are asked too.
    pub(super) fn is_in_doubt(&self) -> bool {
        let is_dead = self.silence() == Some(Silence::Dead);
        self.is_active() && self.answers_echoes && self.unanswered > 0 && !is_dead
    }

    /// Tells whether its silence must be reviewed.
    pub(super) fn is_candidate(&self) -> bool {
        self.is_in_doubt() && self.unanswered >= DOUBT && !self.is_confirming()
    }

    /// Tells whether it is asked once more.
    pub(super) fn is_confirming(&self) -> bool {
        matches!(self.state, State::Confirming(_))
    }

    /// Tells whether it gets an echo in the round of this time, and notes that.
    pub(super) fn take_turn(&mut self, now: Duration) -> bool {
        let is_rare = match &self.state {
            _ if !self.is_active() => return false,
            State::Confirming(confirmation) if confirmation.has_begun(now) => return false,
            State::Down(down) => down.silence == Silence::Dead && down.answering.is_none(),
            State::Fine | State::Confirming(_) => false,
        };
        let pause = match (self.is_mute(), is_rare) {
            (true, _) if self.is_down() => RARELY,
            // Its echoes were lost of late, and may be back.
            (true, _) if self.has_echoed(now, PEACE) => mute_pause(self.tries).min(RARELY),
            (true, _) => mute_pause(self.tries),
            (false, true) => RARELY,
            _ => Duration::ZERO,
        };
        let is_due = self.next_try <= now || pause.is_zero();
        if is_due {
            self.tries = self.tries.saturating_add(1);
            self.next_try = now + pause;
        }
        is_due
    }

    /// Returns the sequence number of the next echo, which counts until it is answered.
    pub(super) fn take_sequence(&mut self) -> u16 {
        self.unanswered = self.unanswered.saturating_add(1);
        if !std::mem::take(&mut self.was_unsent) {
            self.unsent = 0;
        }
        self.echoes.next_sequence()
    }

    /// Takes in that an echo could not be sent. A host that none can be sent to is a mute one.
    pub(super) fn on_unsent(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.was_unsent = true;
        self.unsent = self.unsent.saturating_add(1);
        if self.unsent == MANY_UNSENT && self.answers_echoes {
            self.become_mute(Duration::ZERO);
        }
    }

    /// Judges it by connections from now on, until it answers an echo.
    fn become_mute(&mut self, next_try: Duration) {
        self.answers_echoes = false;
        // The answer of now says nothing about a moment later, and no echo will.
        self.was_looked_at = false;
        self.look_at = next_try + CONNECT_GAP;
        self.tries = 0;
        self.next_try = next_try;
    }

    fn has_echoed(&self, now: Duration, within: Duration) -> bool {
        self.echoed.is_some_and(|at| now.saturating_sub(at) < within)
    }

    /// Takes in the reply to an echo. Returns something when the host is in use again.
    pub(super) fn on_echo(&mut self, at: Duration) -> Option<Return> {
        self.answers_echoes = true;
        self.was_looked_at = true;
        self.echoed = self.echoed.max(Some(at));
        self.tries = 0;
        self.on_sign(at)
    }

    /// Takes in an answer to a connection. Returns something when the host is in use again.
    pub(super) fn on_connected(&mut self, at: Duration) -> Option<Return> {
        // A host that answers connections but no echoes is mute, for now.
        let is_asked_for = self.is_confirming() && self.unanswered > 0;
        let is_news = self.answers_echoes;
        self.was_looked_at = true;
        if is_news && (is_asked_for || self.is_down() && self.unanswered >= DOUBT) {
            self.become_mute(at);
        }
        self.on_sign(at).or_else(|| self.is_mute().then(|| self.end_down(at)).flatten())
    }

    /// Takes in that a connection got no answer.
    pub(super) fn on_connect_silent(&mut self) {
        self.connects = self.connects.saturating_add(1);
        self.note_result();
    }

    /// Takes in that the result of a connection is known.
    pub(super) fn note_result(&mut self) {
        if let State::Confirming(confirmation) = &mut self.state {
            confirmation.note_result();
        }
    }

    fn on_sign(&mut self, at: Duration) -> Option<Return> {
        self.echoes.note_sign(at);
        let has_gap = self.unanswered >= RELAPSE;
        let at = at.max(self.quiet_since);
        self.forget_silence(at);
        let hold = self.flaps.hold();
        let State::Down(down) = &mut self.state else { return None };
        let (first, count) = match down.answering {
            Some((first, count)) if !has_gap => (first, count.saturating_add(1)),
            _ => (at, 1),
        };
        down.answering = Some((first, count));
        let returns = count >= ANSWERS && at.saturating_sub(first) >= hold;
        returns.then(|| self.end_down(at)).flatten()
    }

    fn end_down(&mut self, at: Duration) -> Option<Return> {
        let State::Down(down) = &self.state else { return None };
        let until = down.answering.map_or(at, |(first, _)| first);
        let silent_for = until.saturating_sub(down.silent_since);
        let returned = Return { silent_for, silence: down.silence };
        self.state = State::Fine;
        self.flaps.note_return(at);
        Some(returned)
    }

    /// Has its silence count from now on. What was decided stays.
    pub(super) fn forget_silence(&mut self, now: Duration) {
        self.quiet_since = now;
        (self.unanswered, self.connects) = (0, 0);
        if self.is_confirming() {
            self.state = State::Fine;
        }
    }

    /// Doesn't count the echo of the last round.
    pub(super) fn void_round(&mut self) {
        if matches!(self.state, State::Fine) {
            self.unanswered = self.unanswered.saturating_sub(1);
        }
    }

    /// Takes in a report that a client's connection got no answer. Returns true when that is reason
    /// enough to ask the host.
    pub(super) fn on_report(&mut self, now: Duration) -> bool {
        if !self.is_active() {
            self.in_use = true;
            self.forget_silence(now);
        }
        let is_recent =
            |at: Option<Duration>, within| at.is_some_and(|at| now.saturating_sub(at) < within);
        let is_second = is_recent(self.reported.replace(now), REPORTS_WITHIN);
        if self.is_mute() && !is_second && matches!(self.state, State::Fine) {
            // Until now its clients were served; nothing else tells when a mute host fell silent.
            self.forget_silence(now);
        }
        // A mute one that just answered is busy. It may not use up the connections that it can have.
        let pause = if self.is_mute() { MUTE_REPORT_PAUSE } else { MIN_SILENCE };
        let is_enough = matches!(self.state, State::Fine)
            && (self.answers_echoes || is_second)
            && !is_recent(self.called, REPORT_PAUSE)
            && !self.echoes.has_sign_since(now.saturating_sub(pause));
        if is_enough {
            self.called = Some(now);
        }
        is_enough
    }

    /// Tells whether its port is to be looked at, once: it has answered no echo since it is watched, which
    /// a filter may be the reason for, or that it had no power before.
    pub(super) fn wants_first_look(&self, now: Duration) -> bool {
        self.is_active()
            && self.is_mute()
            && !self.was_looked_at
            && self.look_at <= now
            && self.tries >= FIRST_TRIES
            && !self.connect_to.is_empty()
            && matches!(self.state, State::Fine)
    }

    /// Notes that its port is looked at. Without a result it is looked at again after a while.
    pub(super) fn note_first_look(&mut self, now: Duration) {
        self.look_at = now + LOOK_PAUSE;
    }

    /// Begins to ask it once more at `begins`.
    pub(super) fn confirm_from(&mut self, begins: Duration, why: Reason) {
        if why != Reason::Again {
            self.connects = 0;
        }
        self.state = State::Confirming(Confirmation::new(begins, why));
    }

    /// Returns when the next step of the confirmation is due.
    pub(super) fn next_step(&self) -> Option<Duration> {
        let State::Confirming(confirmation) = &self.state else { return None };
        Some(confirmation.next_step())
    }

    /// Takes the next echo of the confirmation, if it is due; `has_budget` tells whether it may be
    /// sent.
    pub(super) fn take_step(
        &mut self,
        now: Duration,
        has_budget: impl FnOnce() -> bool,
    ) -> Option<u16> {
        let State::Confirming(confirmation) = &mut self.state else { return None };
        (confirmation.take_echo(now) && has_budget()).then(|| self.take_sequence())
    }

    /// Returns a connection to a real server, once all echoes are missing; the answer is waited for.
    pub(super) fn take_connect(
        &mut self,
        now: Duration,
        mut ask: impl FnMut(SocketAddr) -> Permission,
    ) -> Option<Order> {
        let is_mute = self.is_mute();
        let is_due = self.unanswered >= DOUBT + 2 || is_mute;
        let needed = self.connects_needed();
        let chance = if is_mute { PATIENCE } else { CONNECT_CHANCE };
        let order = |server| Order::Connect { server, patience: chance - ANSWER_MARGIN };
        match &mut self.state {
            State::Confirming(confirmation) if is_due => {
                let next = confirmation.take_port(now, &self.connect_to[..needed])?;
                // All ports of a mute host are asked together, or it would never be known that none
                // answers. Of another any port is as good.
                let ports = if is_mute { slice::from_ref(&next) } else { &self.connect_to[..] };
                let mut denied = Vec::new();
                for server in ports.iter().take(Watched::PORTS) {
                    match ask(*server) {
                        Permission::Granted => {
                            confirmation.wait_for_port(now, chance);
                            return Some(order(*server));
                        }
                        Permission::Denied(result) => denied.push(result),
                    }
                }
                // If it answered a moment ago, echoes are lost, not the host; and of a mute host nothing but
                // the answer of now says anything.
                if is_mute || denied.contains(&ConnectResult::Answered) {
                    self.state = State::Fine;
                } else if denied.contains(&ConnectResult::Silent) {
                    self.connects = self.connects.saturating_add(1);
                }
                None
            }
            // A host whose echoes are filtered comes back by a connection alone.
            State::Down(down) if is_mute || down.answering.is_none() => {
                let mut ports = self.connect_to.iter().take(Watched::PORTS).copied();
                ports.find(|server| ask(*server) == Permission::Granted).map(order)
            }
            State::Fine | State::Confirming(_) | State::Down(_) => None,
        }
    }

    /// The number of real servers that must leave a connection without an answer before it is suspected:
    /// one, but all of a mute host, as no echo tells a host without power from a real server that has too
    /// much to do.
    fn connects_needed(&self) -> usize {
        self.connect_to.len().min(if self.is_mute() { Watched::PORTS } else { 1 })
    }

    /// Ends the confirmation if its time has come. Returns true if the host didn't answer; it is then
    /// suspected, or asked again.
    pub(super) fn end_confirmation(&mut self, now: Duration) -> bool {
        let State::Confirming(confirmation) = &self.state else { return false };
        if !confirmation.is_over(now) {
            return false;
        }
        let is_timely = confirmation.is_timely(now);
        // A mute host misses echoes anyway. One that has a port is never suspected by echoes alone.
        let needed = self.connects_needed();
        let has_port_evidence = usize::try_from(self.connects).is_ok_and(|all| all >= needed);
        let is_proven = has_port_evidence
            && match self.is_mute() {
                true => needed > 0,
                false => self.unanswered > DOUBT,
            };
        let is_silent =
            is_proven && is_timely && now.saturating_sub(self.quiet_since) >= MIN_SILENCE;
        if !is_silent {
            self.state = State::Fine;
        }
        is_silent
    }

    /// Returns why it is asked once more; `None` if it isn't.
    pub(super) fn reason(&self) -> Option<Reason> {
        match &self.state {
            State::Confirming(confirmation) => Some(confirmation.why),
            State::Fine | State::Down(_) => None,
        }
    }

    /// Tells whether it is a mute host that was suspected, since its connections got no answer, and
    /// nothing else: for what clients reported, or at the first look. `None` if it isn't.
    pub(super) fn was_reported(&self) -> Option<bool> {
        match &self.state {
            State::Down(down) if self.is_mute() => Some(down.was_reported),
            _ => None,
        }
    }

    /// Tells whether others are to be asked for a proof of this node's own life, and notes that they are.
    pub(super) fn take_proof(&mut self, now: Duration) -> bool {
        match &mut self.state {
            State::Confirming(confirmation) => confirmation.take_proof(now),
            State::Fine | State::Down(_) => false,
        }
    }

    /// Leaves it in use, in spite of its silence.
    pub(super) fn spare(&mut self) {
        self.state = State::Fine;
    }

    /// The same, and doesn't look at its port again for a while.
    pub(super) fn excuse(&mut self, now: Duration) {
        self.look_at = now + CONNECT_PAUSE;
        self.spare();
    }

    /// Suspects the host.
    pub(super) fn suspect(&mut self, now: Duration) {
        self.flaps.note_suspicion(now);
        self.was_looked_at = true;
        self.next_try = now;
        let (silence, silent_since) = (Silence::Suspected, self.quiet_since);
        let was_reported = self.reason() == Some(Reason::Report);
        let answering = None;
        self.state =
            State::Down(Down { silence, since: now, silent_since, was_reported, answering });
    }

    /// Tells whether a suspected host has been silent for so long that it is dead, and notes that.
    pub(super) fn take_death(&mut self, now: Duration) -> bool {
        let is_over = now.saturating_sub(self.quiet_since) >= DEATH;
        match &mut self.state {
            State::Down(down) if is_over && down.silence == Silence::Suspected => {
                down.silence = Silence::Dead;
                down.answering = None;
                true
            }
            _ => false,
        }
    }

    /// Returns what a verdict of now rests on.
    pub(super) fn evidence(&self, now: Duration, others_answering: usize) -> Evidence {
        Evidence {
            silent_for: now.saturating_sub(self.quiet_since),
            echoes: self.unanswered,
            connects: self.connects,
            others_answering,
        }
    }
}
