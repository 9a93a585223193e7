//! What a sick Marathon, or a file of something else, gets: a clear error before the kernel is
//! asked for anything. That the kernel's table stays as it is, is proven in `tests/kernel`.

mod support;

use std::io::Write;
use std::net::UdpSocket;

use support::{
    Ran, example, http, read_request, serve, serve_with, vipd, vipd_with, vipd_with_input,
};

fn diff(url: &str) -> Ran {
    vipd(&["diff", "--marathon", url])
}

/// Asserts trouble, and that the error says all of `words`.
fn trouble(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_eq!(ran.out, "", "{ran:?}");
    for word in words {
        assert!(ran.err.contains(word), "{word:?} is not in {}", ran.err);
    }
}

#[test]
fn an_empty_body_is_never_no_apps() {
    let url = serve(http("200 OK", "application/json", b""));
    trouble(&diff(&url), &["empty", &url]);
}

#[test]
fn truncated_json_is_an_error() {
    let url = serve(http("200 OK", "application/json", br#"{"apps":[{"id":"/a","tasks":["#));
    trouble(&diff(&url), &[&url]);
    // The connection ends before the announced length.
    let url = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"apps\":[]".to_vec());
    trouble(&diff(&url), &[&url]);
}

#[test]
fn html_instead_of_json_is_named_as_such() {
    let url = serve(http("200 OK", "text/html", b"<html><body>login</body></html>"));
    trouble(&diff(&url), &["web page", &url]);
    let url = serve(http("502 Bad Gateway", "text/html", b"<html>no leader</html>"));
    trouble(&diff(&url), &["502", &url]);
}

#[test]
fn an_answer_without_the_tasks_that_were_asked_for_is_an_error() {
    let url = serve(http("200 OK", "application/json", br#"{"apps":[{"id":"/a"}]}"#));
    trouble(&diff(&url), &["tasks"]);
}

#[test]
fn json_of_something_else_is_an_error() {
    for body in
        ["null", "[]", "{}", r#"{"apps":null}"#, r#"{"apps":{}}"#, r#"{"message":"x"}"#, "7"]
    {
        let url = serve(http("200 OK", "application/json", body.as_bytes()));
        assert_eq!(diff(&url).code, Some(2), "{body}");
    }
}

#[test]
fn a_refused_connection_names_the_url() {
    let url = "http://127.0.0.1:1";
    trouble(&diff(url), &[url, "refused"]);
}

#[test]
fn a_redirect_loop_ends() {
    let url = serve(
        b"HTTP/1.1 302 Found\r\nLocation: /v2/apps\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            .to_vec(),
    );
    trouble(&diff(&url), &[&url, "redirect"]);
}

#[test]
fn an_answer_without_end_is_cut_off() {
    // 300 MB of blanks: more than any Marathon says, and never held in memory as a whole.
    let url = serve_with(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n");
        let blanks = vec![b' '; 1 << 20];
        for _ in 0..300 {
            if stream.write_all(&blanks).is_err() {
                return;
            }
        }
    });
    trouble(&diff(&url), &[&url, "longer than the limit"]);
}

/// Whoever answers at the address of an agent gets no more of a command's memory than Marathon does.
#[test]
fn an_answer_without_end_is_no_agents() {
    let url = serve_with(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[");
        let blanks = vec![b' '; 1 << 20];
        while stream.write_all(&blanks).is_ok() {}
    });
    for command in ["status", "events", "names", "diff"] {
        trouble(&vipd(&[command, "--url", &url]), &[&url, "its answer has no end"]);
    }
}

#[test]
fn a_password_in_a_url_is_never_printed() {
    let url = "http://vipd:hunter2@127.0.0.1:1";
    let commands: [&[&str]; 7] = [
        &["diff", "--marathon", url],
        &["status", "--url", url],
        &["status", "--url", "http://127.0.0.1:1/?token=hunter2"],
        &["events", "--url", url],
        &["explain", "--url", url, "/a"],
        &["try", "--url", url, "/a"],
        &["names", "import", "--from", url, "--marathon", "http://127.0.0.1:1"],
    ];
    for command in commands {
        let ran = vipd(command);
        assert_eq!(ran.code, Some(2), "{command:?}");
        assert!(!ran.err.contains("hunter2"), "{command:?}: {}", ran.err);
        assert!(ran.err.contains("which "), "{command:?}: {}", ran.err);
    }
    for url in ["ftp://127.0.0.1:1", "unix:/run/vipd/vipd.sock", "file:///etc/passwd"] {
        trouble(&vipd(&["status", "--url", url]), &["is not the URL of a server"]);
    }
}

#[test]
fn every_url_that_failed_is_told() {
    let html = serve(http("200 OK", "text/html", b"<html></html>"));
    let empty = serve(http("200 OK", "application/json", b""));
    trouble(&diff(&format!("{html},{empty}")), &[&html, &empty]);
}

#[test]
fn a_file_of_something_else_is_an_error() {
    for text in ["", "{", "<html>", "{}", "null", "[[]]"] {
        let ran = vipd_with_input(&["diff", "--from", "-"], text.as_bytes());
        assert_eq!(ran.code, Some(2), "{text:?}: {ran:?}");
        assert!(ran.err.contains("standard input"), "{text:?}: {}", ran.err);
    }
}

#[test]
fn no_source_is_an_error_that_says_which_options_there_are() {
    trouble(&vipd(&["diff"]), &["--from", "--marathon", "[[marathon]]"]);
    trouble(&vipd(&["apply", "--lock", "/dev/shm/vipd-test-lock"]), &["--from"]);
}

#[test]
fn one_marathon_that_is_named_twice_is_an_error() {
    let (one, other) = ("http://127.0.0.1:1", "http://127.0.0.1:2,http://127.0.0.1:1/");
    for command in ["diff", "run"] {
        let ran = vipd(&[command, "--marathon", one, "--marathon", other]);
        trouble(&ran, &["http://127.0.0.1:1/ is a server of the Marathons"]);
        let ran = vipd(&[command, "--marathon", one, "--marathon", one]);
        trouble(&ran, &["two Marathons are named http://127.0.0.1:1"]);
    }
}

#[test]
fn a_bad_configuration_names_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vipd.toml");
    std::fs::write(&path, "[node]\ninterfase = \"x\"\n").unwrap();
    let ran = vipd(&["diff", "--config", path.to_str().unwrap(), "--from", "-"]);
    trouble(&ran, &["vipd.toml", "line 2, column 1", "interfase"]);
}

#[test]
fn where_there_are_no_ca_certificates_only_https_needs_some_and_says_so() {
    let without =
        |args: &[&str]| vipd_with(args, &[("SSL_CERT_FILE", "/none"), ("SSL_CERT_DIR", "/none")]);
    let ran = without(&["diff", "--marathon", "https://127.0.0.1:1"]);
    trouble(&ran, &["ca-certificates", "/etc/ssl/certs", "ca-file"]);
    let ran = without(&["diff", "--marathon", &serve(http("200 OK", "application/json", b""))]);
    trouble(&ran, &["empty"]);
    assert!(!ran.err.contains("WARN"), "{}", ran.err);

    let folder = tempfile::tempdir().unwrap();
    let (config, ca) = (folder.path().join("vipd.toml"), folder.path().join("ca.pem"));
    std::fs::write(&ca, include_bytes!("../crates/marathon/tests/fixtures/tls/ca.pem")).unwrap();
    let text = "[[marathon]]\nurls = ['https://127.0.0.1:1']\nca-file = '";
    std::fs::write(&config, format!("{text}{}'\n", ca.display())).unwrap();
    let ran = without(&["diff", "--config", config.to_str().unwrap()]);
    trouble(&ran, &["https://127.0.0.1:1", "refused"]);
}

#[test]
fn no_secret_is_in_any_log_however_much_is_logged() {
    const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0";
    let url = serve_with(|mut stream| {
        let request = read_request(&mut stream);
        let login = request.starts_with("POST /acs/api/v1/auth/login");
        let body = if login { format!(r#"{{"token":"{TOKEN}"}}"#) } else { String::new() };
        let _ = stream.write_all(&http("200 OK", "application/json", body.as_bytes()));
    });
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let password = file("password", "hunter2\n");
    let key = include_str!("support/account.pem");
    let account = serde_json::json!({
        "uid": "vipd", "private_key": key, "scheme": "RS256",
        "login_endpoint": format!("{url}/acs/api/v1/auth/login"),
    });
    let account = file("account.json", &account.to_string());
    // As it is sent: vipd:hunter2.
    let secrets = ["hunter2", "dmlwZDpodW50ZXIy", "c2VjcmV0", key.lines().nth(1).unwrap()];
    for access in [
        format!("user = 'vipd'\npassword-file = '{password}'"),
        format!("service-account-file = '{account}'"),
    ] {
        let config = file("vipd.toml", &format!("[[marathon]]\nurls = ['{url}']\n{access}\n"));
        let ran = vipd(&["diff", "--config", &config, "--log", "trace"]);
        trouble(&ran, &["empty", "TRACE"]);
        for secret in secrets {
            assert!(!ran.err.contains(secret), "{secret} is in the log");
        }
    }
}

/// `vipd try` goes on where the agent answers with nothing of use.
#[test]
fn a_vip_is_tried_without_an_agent_that_fails() {
    let url = serve(http("500 Internal Server Error", "application/json", b"{}"));
    let ran = vipd(&["try", "127.0.0.1:1", "--url", &url]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.out.contains("the agent refused") && ran.out.contains("real servers aren't known"),
        "{ran:?}"
    );
    for target in ["127.0.0.1:0", "127.0.0.1:70000", "a.b:http"] {
        trouble(&vipd(&["try", target, "--url", &url]), &["is no port: write one from 1 to 65535"]);
    }
    // Nobody answers, and nobody refuses.
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = format!("{}/udp", nobody.local_addr().unwrap());
    let ran = vipd(&["try", &silent, "--url", &url]);
    assert!(ran.out.ends_with("nothing refuses it from here\n"), "{ran:?}");
    // An app is nothing without it: what failed is told.
    trouble(&vipd(&["try", "/web", "--url", &url]), &["the agent refused"]);
}

#[test]
fn a_variable_that_is_set_to_nothing_is_unset_and_a_wrong_one_is_named() {
    for name in [
        "VIPD_LOCK",
        "VIPD_CONFIG",
        "VIPD_INTERFACE",
        "VIPD_MARATHON",
        "VIPD_NODE_ADDRESS",
        "VIPD_MASQUERADE",
        "VIPD_VIP_ALLOW",
        "VIPD_SOCKET",
        "VIPD_LOG",
        "VIPD_LOG_FORMAT",
        "VIPD_COLOR",
        "VIPD_MARATHON_PASSWORD_FILE",
    ] {
        let ran = vipd_with(&["diff", "--from", &example("mysql.json")], &[(name, "")]);
        assert!(!ran.err.contains("--") && !ran.err.contains("Usage"), "{name}: {}", ran.err);
        let ran = vipd_with(&["version"], &[(name, "")]);
        assert_eq!(ran.code, Some(0), "{name}: {}", ran.err);
    }
    let wrong = vipd_with(&["version"], &[("VIPD_LOG", "warning")]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    for part in
        ["\"warning\" is no level: write warn", "tip: the value is that of the variable VIPD_LOG"]
    {
        assert!(wrong.err.contains(part), "{}", wrong.err);
    }
    let given = vipd_with(&["version", "--log", "warning"], &[("VIPD_LOG", "info")]);
    assert!(given.code == Some(2) && !given.err.contains("variable"), "{given:?}");
}

#[test]
fn an_agent_at_a_url_is_not_asked_with_sources_of_another() {
    let at = ["--url", "http://127.0.0.1:1"];
    for command in [&["status"][..], &["diff"], &["explain", "/web"]] {
        for source in [["--from", "apps.json"], ["--marathon", "http://m1:8080"]] {
            let ran = vipd(&[command, &at, &source].concat());
            assert_eq!(ran.code, Some(2), "{ran:?}");
            let said = format!("'--url' cannot be used with '{}'", source[0]);
            assert!(ran.err.contains(&said), "{}", ran.err);
        }
        let variable = [("VIPD_MARATHON", "http://m1:8080")];
        let ran = vipd_with(&[command, &at].concat(), &variable);
        assert!(!ran.err.contains("cannot be used with"), "{}", ran.err);
    }
}

#[test]
fn colours_are_not_used_where_they_are_not_wanted() {
    let wrong = |args: &[&str], variable: &str| {
        let args = [&["status", "--no-such-flag"], args].concat();
        vipd_with(&args, &[("VIPD_COLOR", variable)]).err
    };
    assert!(wrong(&[], "always").contains('\u{1b}'));
    assert!(wrong(&["--color", "always"], "never").contains('\u{1b}'));
    assert!(!wrong(&["--color=never"], "always").contains('\u{1b}'));
    assert!(!wrong(&[], "never").contains('\u{1b}'));
}
