//! The type of the demo's steps, and the commands that several of them run.

use anyhow::Result;

use crate::demo::demo_context::DemoContext;
use crate::demo::marathon::URL;
use crate::demo::show::{self, At, Shown};

/// A step: a title, a few sentences about it, and a function that runs and checks it.
pub(super) struct Step {
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) run: fn(&mut DemoContext) -> Result<()>,
}

/// Runs vipd on a node with the simulated Marathon as its source.
pub(super) fn run_vipd(node: &'static str, command: &str) -> Result<Shown> {
    show::run_and_show(At::Host(node), &format!("vipd {command} --marathon {URL}"))
}

/// Sends a definition to Marathon, as it stands in its file.
pub(super) fn send_definition(method: &str, path: &str, body: &str) -> Result<Shown> {
    let line = format!(
        "curl -sS -X {method} -H 'Content-Type: application/json' -d {body} \\\n    \
         -o /dev/null -w '%{{http_code}}\\n' {URL}{path}"
    );
    show::run_and_show(At::Lan, &line)?.exits(0)?.says(if method == "POST" { "201" } else { "200" })
}

/// Connects to a VIP and checks that a task of `app` answers.
pub(super) fn connect_to_vip(at: At, vip: &str, app: &str) -> Result<Shown> {
    show::run_and_show(at, &format!("curl -sS --max-time 5 http://{vip}/"))?
        .exits(0)?
        .says(&format!("\"app\":\"{app}\""))
}
