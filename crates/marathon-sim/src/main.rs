//! The `marathon-sim` program: a small Marathon on the command line.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use marathon_sim::{Agent, Config, Generation, Sim, stand_in};
use tokio::signal::unix::{SignalKind, signal};

const EXAMPLES: &str = "\
Examples:
  Two agents on loopback addresses, and an app:
    marathon-sim --agent 127.0.0.11 --agent 127.0.0.12
    curl -X POST -H 'Content-Type: application/json' -d @docs/examples/mysql.json \\
      http://127.0.0.1:8080/v2/apps

  Agents in network namespaces (needs root), speaking as Marathon 1.4 does:
    marathon-sim --listen 10.1.0.1:8080 --generation 1.4 \\
      --agent 10.1.0.11@node1 --agent 10.1.0.12,fd00::12@node2

  An agent with a name and with addresses for container networks:
    marathon-sim --agent address=10.1.0.11,name=agent-1,netns=node1,subnet=9.0.1.0/24

  A leader that resigns to a standby, and the next three events lost:
    marathon-sim --standbys 1
    curl -X DELETE http://127.0.0.1:8080/v2/leader
    curl -d '{\"fault\":\"lost\",\"times\":3}' http://127.0.0.1:8080/_sim/faults";

/// A small Marathon for laptops and tests. It really runs its tasks; images stand for a built-in
/// server.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Hidden>,
    /// Address of the API
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Generation of the API: 1.1, 1.4, 1.5, or 1.6 for all later ones
    #[arg(long, default_value = "1.6")]
    generation: Generation,
    /// Agent that runs tasks; may be repeated. ADDRESS[,ADDRESS6][@NETNS] or
    /// address=…[,address6=…,name=…,netns=…,subnet=…]
    #[arg(long = "agent", value_name = "AGENT", default_value = "127.0.0.1")]
    agents: Vec<Agent>,
    /// Factor on the intervals, grace periods and back-off of definitions
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    time_scale: f64,
    /// Longest delay of a task's first health check, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 200)]
    first_check: u64,
    /// Number of members besides the first, on free ports of the same address
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    standbys: usize,
    /// Time without a leader after the leader has resigned, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    election: u64,
    /// Time between the heartbeats of an event stream, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    heartbeat: u64,
    /// Require tokens, with this lifetime in seconds
    #[arg(long, value_name = "SECONDS")]
    token_lifetime: Option<u64>,
}

#[derive(Subcommand)]
enum Hidden {
    /// The program that every task is started as
    #[command(hide = true)]
    Task(stand_in::Task),
}

fn main() -> ExitCode {
    run(Cli::parse()).unwrap_or_else(|error| {
        // Without standard error the message is lost.
        let _ = writeln!(std::io::stderr(), "marathon-sim: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match cli.command {
        Some(Hidden::Task(task)) => Ok(runtime.block_on(task.run())?),
        None => runtime.block_on(simulate(cli)),
    }
}

async fn simulate(cli: Cli) -> anyhow::Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let mut config = Config::new(std::env::current_exe().context("cannot find my own program")?);
    config.listen = cli.listen;
    config.generation = cli.generation;
    config.agents = cli.agents;
    config.time_scale = cli.time_scale;
    config.first_check = Duration::from_millis(cli.first_check);
    config.standbys = cli.standbys;
    config.election = Duration::from_millis(cli.election);
    config.heartbeat = Duration::from_millis(cli.heartbeat);
    config.token_lifetime = cli.token_lifetime.map(Duration::from_secs);
    let sim = Sim::start(config).await?;
    for url in sim.urls() {
        writeln!(std::io::stdout(), "listening on {url}")?;
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    sim.shutdown().await;
    Ok(ExitCode::SUCCESS)
}
