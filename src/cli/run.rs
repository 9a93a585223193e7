//! `vipd run`: the agent.

use std::ffi::CString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use dns::ZoneFile;
use node::LinuxKernel;
use node::folder::{Folder, explain_denied_root, split_path};
use tokio::sync::watch;

use super::args::{Marathons, open_kernel, parse_listen};
use super::end::End;
use super::global::Global;
use super::lost_lock::{AgentLock, wait_for_lost_lock};
use super::output;
use super::reload::{
    check_hold, check_listen, check_owners, check_policy, create_clients, only_source,
};
use super::signals::{Signals, Told};
use crate::admin::{self, Admin, HoldFiles};
use crate::agent::core;
use crate::agent::event_loop::{Agent, Handle, Setup};
use crate::agent::name_files::write_zone;
use crate::agent::notify::Notifier;
use crate::agent::prober::{Prober, ProberSetup};
use crate::agent::resolver::{ResolverConfig, undo_earlier};
use crate::agent::state_file::StateFiles;
use crate::agent::status::{RefusedReload, Request, View};
use crate::clock::Timestamp;
use crate::config::{self, Config, Marathon, ProbeMode, ProbeSettings, Secrets};
use crate::report::vips::{VipFacts, VipReport};

/// Keep the IPVS table in sync with Marathon until stopped
///
/// Follows Marathon's events: new connections stop going to a task within milliseconds of the event
/// that it is dead or unhealthy. Nothing is removed until Marathon has been read completely once.
/// If Marathon or the network fails, the table stays as it is. Stopping the agent leaves the kernel
/// as it is, and starting it again breaks no connection. SIGHUP applies a changed configuration; an
/// invalid one is reported and ignored.
///
/// Exit status: 0 stopped by SIGTERM or SIGINT, 2 error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd run --marathon http://m1.example:8080,http://m2.example:8080
  vipd run --config /etc/vipd/vipd.toml --log-format json
  vipd run --observe")]
pub(super) struct Run {
    #[command(flatten)]
    marathons: Marathons,
    /// Decide and report, without changing anything
    #[arg(long)]
    observe: bool,
    /// Directory for saved state, to start without Marathon [default: /var/lib/vipd]
    #[arg(long, env = "VIPD_STATE", value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Address of the status page, /metrics, /healthz and the API [default: 127.0.0.1:9614]
    #[arg(long, env = "VIPD_LISTEN", value_name = "ADDRESS:PORT", value_parser = parse_listen)]
    listen: Option<SocketAddr>,
    /// When stopped, remove everything that vipd created from the kernel
    #[arg(long)]
    cleanup_on_exit: bool,
}

/// The pause after signals could not be waited for.
const SIGNAL_RETRY: Duration = Duration::from_secs(1);

impl Run {
    pub(super) fn run(&self, global: &Global, signals: &Signals) -> Result<End> {
        let (config, marathons) = self.resolve_config(global)?;
        check_folders(&config)?;
        // It closes VIPs to all apps, which is safe: no reason to serve none at all.
        if let Err(error) = check_owners(&config.policy, &marathons) {
            tracing::warn!("{error:#}");
        }
        // At a reload, the program before this one in the same process holds it.
        let lock = Arc::new(AgentLock::take_over(&config.lock)?);
        // Report a kernel without IPVS as an error of the command, not only in the log.
        drop(open_kernel(&config)?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        remove_leftovers(&config);
        let ended = runtime.block_on(self.run_agent(global, &config, &marathons, signals, &lock));
        // Don't wait for look-ups at a name server that doesn't answer.
        runtime.shutdown_background();
        let (mut end, is_held) = ended?;
        // One that comes later waits for the next program.
        if signals.take_waiting()? == Some(Told::Stop) {
            end = AgentEnd::Stop;
        }
        match end {
            AgentEnd::Stop => {}
            AgentEnd::Reload => {
                lock.hand_over().context("cannot hand the lock over")?;
                return Err(exec_again());
            }
            AgentEnd::LockLost => return Err(exec_again()),
        }
        if self.cleanup_on_exit && is_held {
            output::print_note("the node is held: nothing was removed from the kernel");
        } else if self.cleanup_on_exit && !lock.is_in_place() {
            output::print_note("the lock file is gone: nothing was removed from the kernel");
        } else if self.cleanup_on_exit && !self.observe {
            Agent::clean_up(&mut open_kernel(&config)?).context(
                "cannot remove everything that vipd created; try again with `vipd cleanup`",
            )?;
            output::print_note("removed everything that vipd created from the kernel");
        }
        drop(lock);
        Ok(End::Fine)
    }

    /// Returns the Marathons of its flags.
    pub(super) fn marathons(&self) -> &Marathons {
        &self.marathons
    }

    /// Puts the values of its own flags in the place of those of the file.
    pub(super) fn override_config(&self, config: &mut Config) {
        if let Some(state) = &self.state {
            config.agent.state.clone_from(state);
        }
        config.agent.listen = self.listen.unwrap_or(config.agent.listen);
    }

    /// Resolves file, environment and flags.
    fn resolve_config(&self, global: &Global) -> Result<(Config, Vec<Marathon>)> {
        let mut config = global.resolve_config()?;
        self.override_config(&mut config);
        let marathons = self.marathons.resolve_marathons(&config, Secrets::Read)?;
        if marathons.is_empty() {
            bail!(
                "no Marathon is configured: use --marathon URL, or [[marathon]] in the \
                 configuration"
            );
        }
        Ok((config, marathons))
    }

    /// Checks that the agent can take the configuration as it is now, which may have changed.
    async fn check_config(
        &self,
        global: &Global,
        (now, read): Running<'_>,
        handle: &Handle,
    ) -> Result<()> {
        global.check_config_rereadable()?;
        let (config, marathons) = self.resolve_config(global)?;
        create_clients(&config, &marathons)?;
        check_owners(&config.policy, &marathons)?;
        let only = only_source(read.iter().map(|marathon| marathon.name.as_str()));
        check_policy(&config.policy, only.as_ref(), &read_vips(handle).await)?;
        check_listen(now, &config.agent)?;
        check_hold(now, &config.agent)
    }

    /// Waits for a signal to stop, or to reload a configuration that is valid.
    async fn wait_for_signal(
        &self,
        global: &Global,
        running: Running<'_>,
        signals: &Signals,
        handle: &Handle,
    ) -> AgentEnd {
        loop {
            match signals.next().await {
                Ok(Told::Stop) => return AgentEnd::Stop,
                Ok(Told::Reload) => match self.check_config(global, running, handle).await {
                    Ok(()) => return AgentEnd::Reload,
                    Err(error) => {
                        tracing::error!(
                            "the changed configuration is refused, keeping the current one: {error:#}"
                        );
                        tell_refused(handle, &error).await;
                    }
                },
                // For want of a thread or of memory, which may pass.
                Err(error) => {
                    tracing::error!("signals can't be waited for, tries again: {error:#}");
                    tokio::time::sleep(SIGNAL_RETRY).await;
                }
            }
        }
    }

    async fn run_agent(
        &self,
        global: &Global,
        config: &Config,
        marathons: &[Marathon],
        signals: &Signals,
        lock: &Arc<AgentLock>,
    ) -> Result<(AgentEnd, bool)> {
        let settings = node::Settings { counters: false, ..config.kernel_settings() };
        let (mut agent, handle) = Agent::new(Setup {
            config: core::Config::new(config, marathons, self.observe),
            clients: create_clients(config, marathons)?,
            open_kernel: Box::new(move || LinuxKernel::open(settings.clone())),
            may_write: Box::new({
                let lock = lock.clone();
                move || lock.is_in_place()
            }),
            monitor: Some(config.interface.clone()),
            state_files: Some(StateFiles::new(config.agent.state.clone())),
            zone_file: prepare_zone_file(config),
            resolver: self.prepare_resolver(config),
            prober: prepare_prober(config),
            hold: HoldFiles::new(&config.agent).restore()?,
            clock: marathon::Timestamp::now,
        })?;
        let settings = config.kernel_settings();
        let open: admin::Open =
            Box::new(move || Ok(Box::new(LinuxKernel::open(settings.clone())?)));
        let admin = Admin::start(config, marathons, open, handle.clone()).await?;
        let last_view = handle.view.clone();
        let asker = handle.clone();
        let notifier = Notifier::start(handle, config.agent.sync_period);
        let mut end = AgentEnd::Stop;
        let running = (&config.agent, marathons);
        let files = HoldFiles::new(&config.agent);
        let lost_lock = wait_for_lost_lock(
            lock,
            &config.lock,
            || save_hold(&files, &last_view),
            async || self.check_config(global, running, &asker).await,
            async |error| tell_refused(&asker, &error).await,
        );
        let told = async {
            end = tokio::select! {
                end = self.wait_for_signal(global, running, signals, &asker) => end,
                () = lost_lock => AgentEnd::LockLost,
            };
        };
        agent.run(told).await;
        notifier.stop(end != AgentEnd::Stop);
        admin.stop();
        // As it is in memory: the file may be gone with its directory.
        let is_held = last_view.borrow().hold.is_some();
        Ok((end, is_held))
    }

    /// Returns what systemd-resolved is told. If that is nothing, has undone what an earlier run told
    /// it, unless nothing must be changed.
    fn prepare_resolver(&self, config: &Config) -> Option<ResolverConfig> {
        if self.observe {
            return None;
        }
        let (interface, marker) = (config.interface.clone(), config.agent.resolved_marker());
        let Some(dns) = config.names.resolved_settings() else {
            tokio::spawn(async move { undo_earlier(&marker).await });
            return None;
        };
        Some(ResolverConfig { interface, dns, marker })
    }
}

/// Checks that root may write the directories of the agent. It may not where they are left from an agent
/// that ran as another user, and root lacks the right to pass over that.
fn check_folders(config: &Config) -> Result<()> {
    let runtime = config.agent.socket.parent();
    let folders = runtime.into_iter().chain([config.agent.state.as_path()]);
    match folders.filter_map(explain_denied_root).next() {
        Some(why) => bail!(why),
        None => Ok(()),
    }
}

/// The reason why the agent ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AgentEnd {
    /// It was told to stop.
    Stop,
    /// It starts again with a changed configuration.
    Reload,
    /// Its lock file is gone. It starts again, to take the lock anew.
    LockLost,
}

/// The settings and the Marathons of the running agent.
type Running<'a> = (&'a config::AgentSettings, &'a [Marathon]);

/// Tells the event loop that a configuration was refused.
async fn tell_refused(handle: &Handle, error: &anyhow::Error) {
    let refused = RefusedReload { since: Timestamp::now(), why: format!("{error:#}") };
    // Fails at the end of the agent only, and nobody looks any more then.
    let _ = handle.requests.send(Request::ReloadRefused(refused)).await;
}

/// Returns the VIPs that this agent wants; none if its loop doesn't answer.
async fn read_vips(handle: &Handle) -> Vec<VipReport> {
    let Some(table) = handle.ask(Request::Table).await else {
        tracing::warn!("the agent's loop doesn't answer: no VIP is compared with the new policy");
        return Vec::new();
    };
    VipFacts::from_agent(&table, None).report_wanted()
}

/// Saves the hold, if there is one, where the next start of the agent finds it.
fn save_hold(files: &HoldFiles, view: &watch::Receiver<Arc<View>>) -> Result<(), String> {
    // Under the unit, only systemd can make the directory anew, when it starts the agent again.
    let save = |hold| files.write(&hold).or_else(|_| files.set_aside(&hold));
    let hold = view.borrow().hold.clone();
    hold.map_or(Ok(()), save).map_err(|error| error.to_string())
}

/// Returns how to start the prober, unless hosts are not to be probed.
fn prepare_prober(config: &Config) -> Option<ProberSetup> {
    let ProbeSettings { mode, interval } = config.probe;
    let start = move |reports, started| Prober::start(interval, reports, started);
    let acts = mode == ProbeMode::Act;
    let setup = ProberSetup { acts, interval, start: Box::new(start) };
    (mode != ProbeMode::Off).then_some(setup)
}

/// Removes the new files beside the socket that an agent left which was killed. Only who holds the
/// lock may.
fn remove_leftovers(config: &Config) {
    let folder = split_path(&config.agent.socket).and_then(|(folder, _)| Folder::open(folder));
    if let Ok(folder) = folder
        && let Err(error) = folder.remove_leftovers(&["hold", "zone"])
    {
        tracing::warn!("cannot remove old files beside the socket: {error}");
    }
}

/// Returns the path of the zone file, next to the socket. If names are not served there is none, and
/// one of an earlier run is emptied: a name server follows what is written, not what is removed.
fn prepare_zone_file(config: &Config) -> Option<PathBuf> {
    let path = config.agent.zone_file();
    if config.names.vips.is_some() {
        return Some(path);
    }
    if path.exists()
        && let Err(error) = write_zone(&path, &ZoneFile::default().render())
    {
        tracing::warn!("cannot empty {}: {error}", path.display());
    }
    None
}

/// Executes the program again in the same process. systemd sees no restart, and every change of the
/// configuration takes the same path as at a start. Signals stay blocked. Returns only with an error.
fn exec_again() -> anyhow::Error {
    // After an upgrade of the package, the file of the running program no longer exists.
    let program = std::env::current_exe().ok().filter(|path| path.exists());
    let program = program.unwrap_or_else(|| "/proc/self/exe".into());
    let args = std::iter::once(program.clone().into_os_string()).chain(std::env::args_os().skip(1));
    let args: Result<Vec<_>, _> = args.map(|arg| CString::new(arg.as_bytes())).collect();
    let error = match args {
        Ok(args) => match nix::unistd::execv(&args[0], &args) {
            Ok(never) => match never {},
            Err(error) => anyhow::Error::new(error),
        },
        Err(error) => error.into(),
    };
    error.context(format!("cannot execute {} again", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct CommandLine {
        #[command(flatten)]
        global: Global,
        #[command(flatten)]
        run: Run,
    }

    #[test]
    fn an_agent_that_observes_tells_no_resolver_anything() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "[names]\nresolver = \"resolved\"\n").unwrap();
        let is_told = |args: &str| {
            let file = file.path().to_str().unwrap();
            let line = ["vipd", "--config", file].into_iter().chain(args.split_whitespace());
            let CommandLine { global, run } = clap::Parser::parse_from(line);
            run.prepare_resolver(&global.resolve_config().unwrap()).is_some()
        };
        assert!(is_told(""));
        assert!(!is_told("--observe"));
    }
}
