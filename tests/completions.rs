//! The completions, asked by the shells themselves, beside an agent with prescribed answers.
#![allow(clippy::unwrap_used, reason = "a test that cannot run its tools should stop")]
#![allow(clippy::print_stdout, reason = "what could not be run is said")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;
use support::{http, vipd, vipd_with};

/// A node with an agent, and the completions of one shell.
struct Node {
    folder: tempfile::TempDir,
}

impl Node {
    /// Starts an agent that answers with these functions of a path.
    fn with_agent(answer: fn(&str) -> Option<Vec<u8>>) -> Self {
        let node = Self { folder: tempfile::tempdir().unwrap() };
        let listener = UnixListener::bind(node.folder.path().join("socket")).unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let path = read_path(&mut stream);
                    match answer(&path) {
                        Some(answer) => drop(stream.write_all(&answer)),
                        // Until the client is gone.
                        None => drop(stream.read_to_end(&mut Vec::new())),
                    }
                });
            }
        });
        node
    }

    fn socket(&self) -> String {
        self.folder.path().join("socket").display().to_string()
    }

    /// Runs a script of a shell that reads the completions first. `None`: there is no such shell.
    fn run_shell(&self, shell: &str, args: &[&str], script: &str) -> Option<Vec<String>> {
        let completions = vipd(&["generate", "completions", shell]);
        let file = self.folder.path().join(format!("vipd.{shell}"));
        // A machine that runs other tests may be slow.
        let script_file =
            completions.out.replace("complete-values", "complete-values --patience 20000");
        std::fs::write(&file, script_file).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_vipd")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(shell);
        command.args(args).args(["-c", script]).stdin(Stdio::null()).env_clear();
        command.envs([("PATH", path.as_str()), ("VIPD_CONFIG", "/dev/null")]);
        command.env("SCRIPT", &file).env("VIPD_SOCKET", self.socket());
        command.env("HOME", self.folder.path());
        match command.output() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                println!("not run: this machine has no {shell}");
                None
            }
            output => Some(lines(&output.unwrap())),
        }
    }

    /// What bash offers at the end of a line.
    fn bash(&self, line: &str) -> Vec<String> {
        let quote = |words: &[String]| {
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
        };
        let words = split_as_bash(line);
        let [previous, current] = words.last_chunk().unwrap();
        // An end of a word is none of it: bash gives an empty one then.
        let current = if current == ":" || current == "=" { "" } else { current };
        let script = format!(
            "source \"$SCRIPT\"; COMP_WORDS=({}); COMP_CWORD={}; COMP_LINE='{line}'; COMP_POINT={}
             function=$(complete -p vipd | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
             \"$function\" vipd '{current}' '{previous}'
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            quote(&words),
            words.len() - 1,
            line.len()
        );
        self.run_shell("bash", &["--norc", "--noprofile"], &script).expect("bash is everywhere")
    }

    /// What zsh offers at the end of a line, if there is zsh.
    fn zsh(&self, line: &str) -> Option<Vec<String>> {
        let words: Vec<_> = line.split(' ').map(|word| format!("'{word}'")).collect();
        // Without a terminal there is no completion to take part in: this is what it gets.
        let script = format!(
            "compdef() {{ }}; source $SCRIPT
             compadd() {{ print -l -- \"${{@[2,-1]}}\" }}
             _vipd_options() {{ print options }}
             words=({}); CURRENT=$#words; PREFIX=${{words[CURRENT]}}; _vipd",
            words.join(" ")
        );
        self.run_shell("zsh", &["-f"], &script)
    }

    /// What fish offers at the end of a line, if there is fish, without the descriptions.
    fn fish(&self, line: &str) -> Option<Vec<String>> {
        let script = format!("source $SCRIPT; complete -C '{line}'");
        let lines = self.run_shell("fish", &["--no-config"], &script)?;
        Some(lines.iter().map(|line| line.split('\t').next().unwrap().to_owned()).collect())
    }
}

fn read_path(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    head.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Splits a line as bash does with its usual `COMP_WORDBREAKS`.
fn split_as_bash(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in line.split(' ') {
        let mut rest = word;
        while let Some(at) = rest.find([':', '=']) {
            words.extend([&rest[..at], &rest[at..=at]].map(str::to_owned));
            rest = &rest[at + 1..];
        }
        words.extend((!rest.is_empty() || word.is_empty()).then(|| rest.to_owned()));
    }
    words
}

fn vip(vip: &str, name: Option<&str>, app: &str) -> serde_json::Value {
    json!({
        "vip": vip, "protocol": "tcp", "apps": [app], "state": "serving", "problems": [],
        "name": name, "dns": name.map(|name| format!("{name}.l4lb.test")), "left_out": [],
        "backend": [{"state": "serving", "task": format!("{}.1", &app[1..]), "app": app,
                     "server": "10.0.0.7:31001"}],
    })
}

fn answer(path: &str) -> Option<Vec<u8>> {
    let body = match path {
        "/v1/vips" => json!([
            vip("3.3.0.6:3306", Some("mysql.marathon"), "/mysql"),
            vip("3.3.0.7:80", None, "/shop/web"),
            vip("[fd01::6]:80", None, "/shop/web"),
            vip("3.3.0.8:80", None, "/$(touch${IFS}pwned)"),
        ]),
        "/v1/status" => json!({
            "mode": "acting", "started": "2026-12-01T00:00:00Z", "ready": true, "unhealthy": [],
            "not_ready": [], "notes": [], "draining": 0, "pending": 0, "failing": {},
            "sources": {"http://m1:8080": {"streaming": true, "from_disk": false, "stale": false,
                                           "workloads": 1}},
        }),
        _ => return Some(http("404 Not Found", "application/json", b"{}")),
    };
    Some(http("200 OK", "application/json", body.to_string().as_bytes()))
}

#[test]
fn bash_offers_what_the_agent_knows() {
    let node = Node::with_agent(answer);
    let explain = node.bash("vipd explain ");
    for each in ["/mysql", "/shop/web", "3.3.0.6:3306", "mysql.marathon.l4lb.test:3306"] {
        assert!(explain.iter().any(|offered| offered == each), "{each}: {explain:?}");
    }
    assert!(!explain.iter().any(|offered| offered.starts_with("--")), "{explain:?}");
    assert!(!explain.iter().any(|offered| offered.contains('$')), "{explain:?}");
    assert_eq!(node.bash("vipd explain /sh"), ["/shop/web"]);
    assert_eq!(node.bash("vipd explain mysql.1"), ["mysql.1"], "a task");
    assert_eq!(node.bash("vipd explain 10.0"), ["10.0.0.7:31001"], "a real server");
    // Bash replaces what stands behind the last colon.
    assert_eq!(node.bash("vipd try 3.3.0.6:"), ["3306"]);
    assert_eq!(node.bash("vipd try 3.3.0.6:33"), ["3306"]);
    assert_eq!(node.bash("vipd try [fd01::6]:8"), ["80"]);
    // Brackets are a pattern of file names to bash.
    assert_eq!(node.bash("vipd try [fd"), ["\\[fd01::6\\]:80"]);
    assert_eq!(node.bash("vipd try \\[fd01::6\\]:8"), ["80"]);
    assert_eq!(node.bash("vipd --color never status mysql."), ["mysql.marathon"]);
    assert_eq!(node.bash("vipd names --reassign my"), ["mysql.marathon"]);
    assert_eq!(node.bash("vipd accept ht"), ["http://m1:8080"]);
    assert_eq!(node.bash("vipd accept http://m1:80"), ["8080"]);
    // What it doesn't know is as before.
    assert_eq!(node.bash("vipd exp"), ["explain"]);
    assert_eq!(node.bash("vipd status --summ"), ["--summary"]);
    assert_eq!(node.bash("vipd explain --output j"), ["json"]);
    assert_eq!(node.bash("vipd explain --output=j"), ["json"]);
    assert_eq!(node.bash("vipd status --state=deg"), ["degraded"]);
    assert_eq!(node.bash("vipd --color=al"), ["always"]);
    assert_eq!(node.bash("vipd --color="), ["auto", "always", "never"]);
    assert!(node.bash("vipd hold ").iter().all(|offered| offered.starts_with('-')));
}

#[test]
fn zsh_and_fish_offer_what_the_agent_knows() {
    let node = Node::with_agent(answer);
    for shell in [Node::zsh, Node::fish] {
        let Some(offered) = shell(&node, "vipd try 3.3.0.6") else { continue };
        assert_eq!(offered, ["3.3.0.6:3306"]);
        assert_eq!(shell(&node, "vipd explain /sh").unwrap(), ["/shop/web"]);
        let all = shell(&node, "vipd explain ").unwrap();
        assert!(all.iter().any(|offered| offered == "/mysql"), "{all:?}");
        assert!(!all.iter().any(|offered| offered.contains('$')), "{all:?}");
    }
    assert!(node.zsh("vipd status --summ").is_none_or(|offered| offered == ["options"]));
    assert!(node.fish("vipd status --summ").is_none_or(|offered| offered == ["--summary"]));
}

#[test]
fn an_agent_that_is_silent_refuses_or_is_none_offers_nothing() {
    let quiet: fn(&str) -> Option<Vec<u8>> = |_| None;
    let refusing: fn(&str) -> Option<Vec<u8>> =
        |_| Some(http("500 Internal Server Error", "text/plain", b"no"));
    for agent in [quiet, refusing] {
        let node = Node::with_agent(agent);
        let words = ["complete-values", "--", "explain", ""];
        let ran = vipd_with(&words, &[("VIPD_SOCKET", &node.socket())]);
        assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(0), "", ""), "{ran:?}");
    }
    let offered = Node::with_agent(refusing).bash("vipd explain ");
    assert!(offered.iter().all(|offered| offered.starts_with('-')), "{offered:?}");
    let none = vipd_with(&["complete-values", "--", "explain", ""], &[("VIPD_SOCKET", "/none")]);
    assert_eq!((none.code, &*none.out, &*none.err), (Some(0), "", ""), "{none:?}");
    assert_eq!(vipd(&["complete-values"]).code, Some(0));
}
