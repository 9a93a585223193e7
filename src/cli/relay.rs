//! `vipd relay`: reads Marathon for many agents.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::Args;
use sd_notify::NotifyState;

use super::args::{Marathons, parse_listen};
use super::end::End;
use super::global::Global;
use super::signals::{Signals, Told};
use crate::config::Secrets;
use crate::relay::Relay;

/// Read a Marathon for many agents
///
/// An agent with `relay` in its `[[marathon]]` follows a relay and leaves Marathon alone, so Marathon
/// serves as many readers as there are relays, however large the cluster is: see docs/scale.md.
/// Run three of them. They know nothing of each other and store nothing; an agent goes to another
/// relay when its own falls silent, and reads Marathon itself if none answers.
///
/// Exit status: 0 stopped by SIGTERM or SIGINT, 2 error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd relay --marathon http://m1.example:8080,http://m2.example:8080
  vipd relay --config /etc/vipd/relay.toml --listen 10.0.0.11:9615
  curl -N http://127.0.0.1:9615/v1/stream")]
pub(super) struct RelayCommand {
    #[command(flatten)]
    marathons: Marathons,
    /// Address to listen on for agents [default: 127.0.0.1:9615]
    #[arg(
        long,
        env = "VIPD_RELAY_LISTEN",
        value_name = "ADDRESS:PORT",
        value_parser = parse_listen
    )]
    listen: Option<SocketAddr>,
    /// Name of the Marathon to read, if the configuration has several
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl RelayCommand {
    pub(super) fn run(&self, global: &Global, signals: &Signals) -> Result<End> {
        let mut config = global.resolve_config()?;
        config.relay.listen = self.listen.unwrap_or(config.relay.listen);
        let settings = config.relay.resolve()?;
        let mut marathons = self.marathons.resolve_marathons(&config, Secrets::Read)?;
        if let Some(name) = &self.name {
            marathons.retain(|marathon| marathon.name == *name);
        }
        let marathon = match marathons.as_slice() {
            [marathon] => marathon,
            [] => bail!(
                "no Marathon is configured{}: use --marathon URL, or [[marathon]] in the configuration",
                if self.name.is_some() { " under this name" } else { "" }
            ),
            _ => bail!("a relay reads one Marathon: choose it with --name, and run one for each"),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        // Differs from run to run, and from node to node.
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start = u64::try_from(start.as_micros()).unwrap_or(u64::MAX);
        runtime.block_on(async {
            let relay = Relay::bind(settings, marathon, &config.node_name, start).await?;
            tracing::info!("listens on {}, reads {}", relay.address()?, marathon.name);
            // Fails without systemd: that is no error.
            let _ = sd_notify::notify(&[NotifyState::Ready]);
            let stop = async {
                loop {
                    match signals.next().await {
                        Ok(Told::Stop) => return Ok(()),
                        Ok(Told::Reload) => {
                            tracing::info!("a relay reads its configuration at its start");
                        }
                        Err(error) => return Err(error),
                    }
                }
            };
            tokio::select! {
                () = relay.run() => Ok(()),
                stopped = stop => stopped,
            }
        })?;
        runtime.shutdown_background();
        Ok(End::Fine)
    }
}
