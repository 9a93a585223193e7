//! A trial for people and machines. Pure.

use std::time::Duration;

use serde::Serialize;
use vip::{Line, Sign};

use super::facts::{Answer, Outcome, Timed, Trial};
use super::verdict::Finding;
use crate::report::vips::TaskReport;

/// A trial of a VIP.
#[derive(Debug, Serialize)]
pub struct TrialReport {
    /// The subject of the trial: `3.3.0.6:3306/tcp`, or the name, or the app whose labels are refused.
    target: String,
    /// Where it was tried from.
    from: String,
    /// Nothing fails.
    ok: bool,
    /// Nothing fails, and yet nothing was seen to work: no datagram was answered.
    #[serde(skip)]
    is_unproven: bool,
    /// What was done, in order.
    steps: Vec<Step>,
    /// What fails, and where.
    findings: Vec<Finding>,
    /// Sentences that say what can't be told.
    notes: Vec<String>,
}

/// One thing that was done.
#[derive(Debug, Serialize)]
struct Step {
    /// `resolver`, `name-server`, `vip` or `server`.
    step: &'static str,
    /// The name or address.
    to: String,
    /// It worked.
    ok: bool,
    /// What came of it.
    outcome: String,
    /// The time that it took, in milliseconds.
    milliseconds: f64,
    /// The app behind a real server.
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<String>,
    /// The task behind a real server.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    /// The reason for the weight of a real server.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl TrialReport {
    /// Makes the report of a trial.
    #[must_use]
    pub fn new(trial: &Trial, from: &str) -> Self {
        let findings = trial.judge();
        let vip = trial.address.map(|address| format!("{address}/{}", trial.protocol));
        let name = trial.lookup.as_ref().map(|lookup| lookup.name.clone());
        let target: Vec<_> = name.into_iter().chain(vip).collect();
        let target = if target.is_empty() { trial.what.clone() } else { target.join(" ") };
        let notes = trial.no_agent.iter().chain(&trial.notes).cloned().collect();
        let is_unproven = trial.at_vip.as_ref().is_none_or(|vip| vip.result == Outcome::Unproven);
        Self {
            target,
            from: from.to_owned(),
            ok: findings.is_empty(),
            is_unproven,
            steps: trial.steps(),
            findings,
            notes,
        }
    }

    /// Returns whether nothing fails.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.ok
    }

    /// Writes it for people.
    #[must_use]
    pub fn to_lines(&self) -> Vec<Line> {
        let line = Line::new;
        let mut lines = vec![line(0, Sign::Plain, format!("{} from {}", self.target, self.from))];
        lines.extend(self.steps.iter().map(|step| {
            let behind = [&step.app, &step.task].into_iter().flatten().cloned();
            let why = step.why.iter().map(|why| format!("({why})"));
            let behind: Vec<_> = behind.chain(why).collect();
            let text = format!(
                "{:<11} {}: {}  {:.1} ms  {}",
                step.step,
                step.to,
                step.outcome,
                step.milliseconds,
                behind.join(" ")
            );
            let sign = if step.ok { Sign::Plain } else { Sign::Warn };
            line(1, sign, text.trim_end().to_owned())
        }));
        lines.extend(self.notes.iter().map(|note| line(1, Sign::Plain, format!("note: {note}"))));
        lines.extend(self.findings.iter().map(|finding| {
            line(0, Sign::Warn, format!("{}: {}", finding.place.word(), finding.text))
        }));
        if self.ok {
            let text = if self.is_unproven { "nothing refuses it" } else { "it works" };
            lines.push(line(0, Sign::Plain, format!("{text} from here")));
        }
        lines
    }
}

impl Trial {
    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some(lookup) = &self.lookup {
            steps.push(lookup_step("resolver", &lookup.name, &lookup.resolver));
            if let Some((at, answer)) = &lookup.name_server {
                steps.push(lookup_step("name-server", &format!("{} at {at}", lookup.name), answer));
            }
        }
        if let (Some(address), Some(timed)) = (self.address, &self.at_vip) {
            steps.push(connect_step("vip", format!("{address}/{}", self.protocol), timed, None));
        }
        for (address, timed) in &self.servers {
            let task = self.vip.iter().flat_map(|vip| &vip.backend);
            let task = task.into_iter().find(|task| task.server == Some(*address));
            steps.push(connect_step("server", address.to_string(), timed, task));
        }
        steps
    }
}

fn lookup_step(step: &'static str, to: &str, answer: &Answer) -> Step {
    let outcome = match &answer.result {
        Ok(found) => {
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            found.join(", ")
        }
        Err(why) => why.clone(),
    };
    Step {
        step,
        to: to.to_owned(),
        ok: answer.result.is_ok(),
        outcome,
        milliseconds: milliseconds(answer.took),
        app: None,
        task: None,
        why: None,
    }
}

fn connect_step(
    step: &'static str,
    to: String,
    timed: &Timed<Outcome>,
    task: Option<&TaskReport>,
) -> Step {
    let text = |text: &std::sync::Arc<str>| text.to_string();
    let weight = task.and_then(|task| task.weight).filter(|weight| *weight == 0);
    let why = task.and_then(|task| task.why.clone());
    let why = why.map(|why| match weight {
        Some(_) => format!("out of use: {why}"),
        None => why,
    });
    Step {
        step,
        to,
        ok: timed.result.is_fine(),
        outcome: timed.result.text(),
        milliseconds: milliseconds(timed.took),
        app: task.and_then(|task| task.app.as_ref()).map(text),
        task: task.and_then(|task| task.task.as_ref()).map(text),
        why,
    }
}

/// Rounds to a tenth: the rest is noise.
fn milliseconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 10_000.0).round() / 10.0
}
