//! Runs of the program, and small HTTP servers with prescribed answers.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by test programs; each uses a part")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The user without rights.
const NOBODY: u32 = 65_534;

/// Exit code and output of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs vipd with these arguments, and without the variables of the test's environment.
pub(crate) fn vipd(args: &[&str]) -> Ran {
    vipd_with_input(args, b"")
}

/// Runs vipd with `input` on standard input.
pub(crate) fn vipd_with_input(args: &[&str], input: &[u8]) -> Ran {
    let mut child = command(args).spawn().unwrap();
    // Writing fails if the program ends before it reads.
    let _ = child.stdin.take().unwrap().write_all(input);
    ran(child)
}

/// Runs vipd with these environment variables.
pub(crate) fn vipd_with(args: &[&str], variables: &[(&str, &str)]) -> Ran {
    ran(command(args).envs(variables.iter().copied()).stdin(Stdio::null()).spawn().unwrap())
}

fn ran(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Builds the command for [`vipd`].
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vipd"));
    command
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("VIPD_CONFIG", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The program at a place where every user may run it.
pub(crate) struct ForNobody {
    folder: tempfile::TempDir,
}

impl ForNobody {
    /// Copies the program. None: this isn't root, who alone may become another user.
    pub(crate) fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let copy = Self { folder };
        // By a process of its own: a file that this one has open to write may be executed by none of its
        // children.
        let copied =
            Command::new("cp").arg(env!("CARGO_BIN_EXE_vipd")).arg(copy.program()).status();
        assert!(copied.unwrap().success());
        let is_root = std::fs::metadata(copy.program()).unwrap().uid() == 0;
        is_root.then_some(copy)
    }

    fn program(&self) -> PathBuf {
        self.at("vipd")
    }

    /// Returns a path that the user may read, and nobody else has.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs vipd as the user, with this configuration.
    pub(crate) fn run(&self, config: &Path, args: &[&str]) -> Ran {
        let mut command = Command::new(self.program());
        command.args(args).env("VIPD_CONFIG", config).env_remove("VIPD_MARATHON");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        ran(command.uid(NOBODY).gid(NOBODY).spawn().unwrap())
    }
}

/// Serves `answer` to every request on a loopback port until the test ends, and returns its URL.
pub(crate) fn serve(answer: Vec<u8>) -> String {
    serve_with(move |mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(&answer);
    })
}

/// Serves every connection on a loopback port by a function, and returns the URL.
pub(crate) fn serve_with(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = std::sync::Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = std::sync::Arc::clone(&answer);
            std::thread::spawn(move || answer(stream));
        }
    });
    url
}

/// Reads a request up to the end of its headers.
pub(crate) fn read_request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Builds a complete HTTP response.
pub(crate) fn http(status: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Path of an example in docs/.
pub(crate) fn example(name: &str) -> String {
    format!("{}/docs/examples/{name}", env!("CARGO_MANIFEST_DIR"))
}
