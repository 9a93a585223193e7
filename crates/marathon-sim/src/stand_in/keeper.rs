//! The keeper of a program that is the task: the program ends with the simulator, and the task with
//! the program.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::signal::unix::Signal as SignalStream;
use tokio::sync::oneshot;

use super::ready::report_ready;

/// Runs `argv` to its end. SIGTERM goes to the whole process group and so to the program; here it
/// is caught only to keep the keeper alive until the program ends.
pub(super) async fn keep_program(
    argv: &[String],
    mut terminate: SignalStream,
    mut orphaned: oneshot::Receiver<()>,
) -> io::Result<ExitCode> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program is given"));
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("`{program}`: {error}")))?;
    report_ready()?;
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status?;
                let code = status.code().or(status.signal().map(|signal| 128 + signal));
                let code = code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX);
                return Ok(ExitCode::from(code));
            }
            _ = &mut orphaned => killpg(Pid::from_raw(0), Signal::SIGKILL)?,
            _ = terminate.recv() => {}
        }
    }
}
