//! `vipd status --watch` on a terminal, which `script` of util-linux stands in for, and in a pipe.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use testkit::SharedKernel;

use crate::site::{Site, run};
use crate::world::World;

const WEB: &str = "3.3.0.6:80";
/// How long output is waited for before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that runs, and what it has printed.
struct Running {
    child: Child,
    output: Receiver<Vec<u8>>,
    /// All of it, and how much of that was looked at.
    printed: String,
    seen: usize,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        command.env("VIPD_CONFIG", "/dev/null").env("TERM", "xterm-256color");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let (send, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = out.read(&mut buffer) {
                if send.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, output, printed: String::new(), seen: 0 }
    }

    /// Waits until this is printed, after whatever was waited for before.
    fn prints(&mut self, text: &str) {
        loop {
            if let Some(at) = self.printed[self.seen..].find(text) {
                self.seen += at + text.len();
                return;
            }
            let more = self.output.recv_timeout(PATIENCE);
            let more = more.unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.printed));
            self.printed += &String::from_utf8_lossy(&more);
        }
    }

    fn press(&mut self, key: &str) {
        self.child.stdin.as_mut().unwrap().write_all(key.as_bytes()).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command line, beside an agent that serves [`WEB`].
fn beside_an_agent(look: impl FnOnce(&str, SharedKernel) + Send + 'static) {
    run(async {
        let site = Site::new(World::serving(2).await).await;
        let kernel = site.world.kernel.clone();
        let socket = site.world.folder.path().join("agent.sock");
        let vipd = env!("CARGO_BIN_EXE_vipd");
        let line = format!("{vipd} status --watch --interval 1 --socket {}", socket.display());
        tokio::task::spawn_blocking(move || look(&line, kernel)).await.unwrap();
        site.end().await;
    });
}

#[test]
fn on_a_terminal_it_takes_the_screen_follows_obeys_keys_and_gives_it_back() {
    beside_an_agent(|line, kernel| {
        let mut command = Command::new("script");
        let command = command.args(["-qefc", line, "/dev/null"]);
        let mut running = Running::start(command.env("NO_COLOR", "1"));
        running.prints("\u{1b}[?1049h");
        running.prints("by trouble;");
        running.prints(WEB);
        kernel.with_kernel(|kernel| {
            let service = kernel.state.services.values_mut().next().unwrap();
            service.servers.values_mut().for_each(|server| server.active = 4321);
        });
        running.prints("8642");
        running.press("v");
        running.prints("by VIP;");
        running.press("q");
        running.prints("\u{1b}[?1049l");
        assert!(running.child.wait().unwrap().success());
        let colours = running.printed.contains("\u{1b}[1m") || running.printed.contains("\u{1b}[3");
        assert!(!colours, "NO_COLOR is set: {:?}", running.printed);
    });
}

#[test]
fn in_a_pipe_it_prints_one_table_after_another_without_codes() {
    beside_an_agent(|line, _| {
        let mut running = Running::start(Command::new("sh").args(["-c", &format!("exec {line}")]));
        for _ in 0..3 {
            running.prints(WEB);
        }
        assert!(!running.printed.contains('\u{1b}'), "{:?}", running.printed);
    });
}
