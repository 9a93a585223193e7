use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use marathon::client::Client;
use node::{LinuxKernel, Lock};

use super::End;
use super::args::{Global, Marathons, open_kernel};
use super::output;
use crate::admin::{self, Admin};
use crate::agent::drive::{Agent, Setup, told_to_stop};
use crate::agent::mind;
use crate::agent::notify::Notifier;
use crate::agent::store::Store;
use crate::config::Config;

/// Keep the kernel's table what Marathon says, until told to stop
///
/// Listens to Marathon's events: new connections stop going to a task within milliseconds of
/// Marathon's word that it is dead or unhealthy. Nothing is removed before Marathon was read whole,
/// and when Marathon or the network fails everything stays as it is. Stopping leaves the kernel as
/// it is, too, and starting again disturbs no connection.
///
/// Exit status: 0 stopped by SIGTERM or SIGINT, 2 trouble.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd run --marathon http://m1.example:8080,http://m2.example:8080
  vipd run --config /etc/vipd/vipd.toml --log info
  vipd run --observe --log info")]
pub(super) struct Run {
    #[command(flatten)]
    marathons: Marathons,
    /// Decide and report, and change nothing
    #[arg(long)]
    observe: bool,
    /// Folder of what is known, for a start without Marathon [default: /var/lib/vipd]
    #[arg(long, env = "VIPD_STATE", value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Where /healthz and /readyz answer [default: 127.0.0.1:9614]
    #[arg(long, env = "VIPD_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// When stopped, remove everything of vipd's from the kernel
    #[arg(long)]
    cleanup_on_exit: bool,
}

impl Run {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let mut config = global.config()?;
        if let Some(state) = &self.state {
            config.agent.state.clone_from(state);
        }
        config.agent.listen = self.listen.unwrap_or(config.agent.listen);
        let marathons = self.marathons.resolve(&config)?;
        if marathons.is_empty() {
            bail!(
                "no Marathon to listen to: give --marathon URL, or set [[marathon]] in the \
                   configuration"
            );
        }
        let lock = Lock::take(&config.lock)?;
        // What is wrong with this kernel is better said at once than in the log.
        drop(open_kernel(&config)?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        runtime.block_on(self.serve(&config, marathons))?;
        // A name server that doesn't answer holds up nothing.
        runtime.shutdown_background();
        if self.cleanup_on_exit && !self.observe {
            Agent::clean_up(&mut open_kernel(&config)?)
                .context("cannot remove everything; `vipd cleanup` tries again")?;
            output::note("removed everything of vipd's from the kernel");
        }
        drop(lock);
        Ok(End::Fine)
    }

    async fn serve(&self, config: &Config, marathons: Vec<crate::config::Marathon>) -> Result<()> {
        let stop = told_to_stop()?;
        let clients = marathons.iter().map(|marathon| {
            let client = Client::new(&marathon.client_config());
            client.map(Arc::new).with_context(|| format!("cannot speak with {}", marathon.name))
        });
        let settings = node::Settings { interface: config.interface.clone() };
        let (mut agent, handle) = Agent::new(Setup {
            config: mind::Config::of(config, &marathons, self.observe),
            clients: clients.collect::<Result<_>>()?,
            open_kernel: Box::new(move || LinuxKernel::open(settings.clone())),
            monitor: Some(config.interface.clone()),
            store: Some(Store::open(config.agent.state.clone())),
            hold: admin::read_hold(&config.agent.socket)?,
        })?;
        let admin = Admin::start(&config.agent, handle.clone()).await?;
        let notifier = Notifier::start(handle, config.agent.sync_period);
        agent.run(stop).await;
        notifier.stop();
        admin.stop();
        Ok(())
    }
}
