//! Checks of the files in deploy/ against the program and the tools that read them.
#![allow(clippy::unwrap_used, reason = "a test that cannot run its tools should stop")]
#![allow(clippy::print_stdout, reason = "what could not be run is said")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::{command, vipd};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

/// Runs a program of this machine that reads a file of deploy/. If the machine lacks it, the test says
/// so and ends.
fn tool(name: &str, args: &[&str]) -> Option<std::process::Output> {
    match Command::new(name).args(args).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("not run: this machine has no {name}");
            None
        }
        output => Some(output.unwrap()),
    }
}

/// Whether `vipd run` or `vipd doctor` reads an environment variable.
fn is_variable(name: &str) -> bool {
    ["run", "doctor"].iter().any(|of| vipd(&[of, "--help"]).out.contains(&format!("[env: {name}")))
}

#[track_caller]
fn assert_runs(args: &[&str]) {
    let output = command(args).arg("--help").output().unwrap();
    assert!(output.status.success(), "vipd {args:?}: {output:?}");
}

/// Asserts that an agent answers a probe on its default port.
#[track_caller]
fn assert_answers(probe: &Value) {
    let api = fs::read_to_string(path("../src/admin/openapi.json")).unwrap();
    let api: Value = serde_json::from_str(&api).unwrap();
    assert!(api["paths"].get(probe["path"].as_str().unwrap()).is_some(), "{probe}");
    let help = vipd(&["run", "--help"]).out;
    assert!(help.contains(&format!(":{}]", probe["port"])), "{probe}");
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units_and_little_to_fear() {
    let folder = tempfile::tempdir().unwrap();
    let units = [
        "vipd.service",
        "vipd-setup.service",
        "vipd-dns.service",
        "vipd-dns.socket",
        "vipd-relay.service",
    ];
    let units = units.map(|unit| {
        let file = folder.path().join(unit);
        let text = read(&format!("systemd/{unit}"));
        let commands = text.lines().filter(|line| line.starts_with("Exec"));
        for (_, args) in commands.filter_map(|line| line.split_once("=/usr/bin/vipd ")) {
            let args = args.replace("$MAINPID", "1");
            assert_runs(&args.split(' ').collect::<Vec<_>>());
        }
        // The program under test, since none is installed.
        let text = text.replace("/usr/bin/vipd", env!("CARGO_BIN_EXE_vipd"));
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    });
    let mut verify = vec!["verify", "--man=no"];
    verify.extend(units.iter().map(String::as_str));
    let Some(verified) = tool("systemd-analyze", &verify) else { return };
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.is_empty(), "{said}");
    for (unit, limit) in
        [("vipd.service", "20"), ("vipd-dns.service", "15"), ("vipd-relay.service", "15")]
    {
        let limit = format!("--threshold={limit}");
        let unit = path(&format!("systemd/{unit}"));
        let security = ["security", "--offline=true", &limit, unit.to_str().unwrap()];
        let judged = tool("systemd-analyze", &security).unwrap();
        let said = String::from_utf8_lossy(&judged.stdout);
        println!("{}", said.lines().last().unwrap_or_default());
        assert!(judged.status.success(), "the exposure is over {limit}:\n{said}");
    }
}

#[test]
fn the_sockets_of_systemd_are_where_the_name_server_listens_by_itself() {
    let unit = read("systemd/vipd-dns.socket");
    for kind in ["ListenDatagram", "ListenStream"] {
        assert!(unit.contains(&format!("\n{kind}=198.51.100.1:53\n")), "{unit}");
    }
    assert!(vipd(&["dns", "--help"]).out.contains("[default: 198.51.100.1]"));
}

/// What docs/performance.md and docs/scale.md tell of memory was measured with it.
#[test]
fn libc_is_told_the_same_about_memory_wherever_the_agent_or_a_relay_runs() {
    let settings = |file: &str, key: &str| {
        let text = read(file);
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix("MALLOC_"));
        line.map(str::to_owned)
    };
    let image = settings("container/Containerfile", "ENV ");
    assert_eq!(image.as_deref(), Some("ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=131072"));
    for unit in ["systemd/vipd.service", "systemd/vipd-relay.service"] {
        assert_eq!(settings(unit, "Environment="), image, "{unit}");
    }
}

/// That the agent stays under it is proven by `tests/hostile`.
#[test]
fn the_limit_of_memory_is_the_same_wherever_the_agent_runs() {
    let unit = read("systemd/vipd.service");
    let unit = unit.lines().find_map(|line| line.strip_prefix("MemoryMax=")?.strip_suffix('M'));
    let kubernetes = read("kubernetes/daemonset.yaml");
    let kubernetes = kubernetes
        .lines()
        .find_map(|line| line.trim().strip_prefix("limits: {memory: ")?.strip_suffix("Mi}"));
    let marathon: Value = serde_json::from_str(&read("marathon/vipd.json")).unwrap();
    assert_eq!(unit, Some("512"));
    assert_eq!(kubernetes, unit);
    assert_eq!(Some(&*marathon["mem"].to_string()), unit);
    let relay = read("systemd/vipd-relay.service");
    let relay = relay.lines().find_map(|line| line.strip_prefix("MemoryMax=")?.strip_suffix('G'));
    let app: Value = serde_json::from_str(&read("marathon/vipd-relay.json")).unwrap();
    assert_eq!((relay, &app["mem"]), (Some("1"), &serde_json::json!(1024)));
    for page in ["limits.md", "deploy.md"] {
        let text = fs::read_to_string(path("../docs").join(page)).unwrap();
        assert!(text.contains("the 512 MiB of memory"), "docs/{page}");
    }
    // The answer, a copy of it in the parser, and what is made of it; the same as it was before; and
    // the rest of the agent.
    const { assert!(2 * caps::ANSWER + caps::ANSWER_MEMORY < 512 << 20) };
}

#[test]
fn the_limit_of_memory_is_the_same_wherever_the_name_server_runs() {
    let marathon: Value = serde_json::from_str(&read("marathon/vipd-dns.json")).unwrap();
    assert_eq!(marathon["mem"], 64);
    assert!(read("systemd/vipd-dns.service").contains("\nMemoryMax=64M\n"));
    let set: Value = serde_saphyr::from_str(&read("kubernetes/daemonset.yaml")).unwrap();
    let containers = set["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    let dns = containers.iter().find(|container| container["name"] == "dns").unwrap();
    assert_eq!(dns["resources"]["limits"]["memory"], "64Mi");
}

/// `cargo xtask test` brings the schemas of Kubernetes' versions.
#[test]
fn kubernetes_takes_the_daemonset_with_all_its_variables() {
    let Some(schemas) = std::env::var_os("KUBERNETES_VALIDATE") else {
        println!(
            "not run: KUBERNETES_VALIDATE doesn't name the Python package kubernetes-validate"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let judge = |name: &str, text: &str, version: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        let mut command = Command::new("python3");
        command.args(["-m", "kubernetes_validate", "--strict", "--kubernetes-version", version]);
        command.arg(&file).env("PYTHONPATH", &schemas).output().unwrap()
    };
    let set = read("kubernetes/daemonset.yaml");
    let complete = set.replace("            # - {", "            - {");
    assert_ne!(set, complete);
    for version in ["1.25.0", "1.37.0"] {
        for text in [&set, &complete] {
            let judged = judge("daemonset.yaml", text, version);
            assert!(judged.status.success(), "Kubernetes {version}: {judged:?}");
        }
        let wrong = judge("wrong.yaml", &set.replace("maxUnavailable:", "atOnce:"), version);
        assert!(!wrong.status.success(), "Kubernetes {version}: {wrong:?}");
    }
}

/// Each file that Marathon may ask for can be named where the agent runs in a container, and is mounted.
#[test]
fn containers_find_their_secrets() {
    let help = vipd(&["run", "--help"]).out;
    let variables: Vec<_> = help
        .split("[env: ")
        .filter_map(|part| part.split([']', '=']).next())
        .filter(|name| name.starts_with("VIPD_MARATHON_"))
        .collect();
    assert_eq!(variables.len(), 6, "{variables:?}");
    let set = read("kubernetes/daemonset.yaml");
    for name in &variables {
        assert!(name.ends_with("_FILE"), "{name} would be shown by `docker inspect`");
        let line = format!("# - {{name: {name}, value: /etc/vipd-marathon/");
        assert!(set.contains(&line), "daemonset.yaml lacks {name}");
    }
    assert_eq!(set.matches("mountPath: /etc/vipd-marathon, readOnly: true").count(), 1);
    for app in ["marathon/vipd.json", "marathon/vipd-dns.json"] {
        let app: Value = serde_json::from_str(&read(app)).unwrap();
        let volumes = app["container"]["volumes"].as_array().unwrap();
        let is_config = |volume: &&Value| volume["containerPath"] == "/etc/vipd";
        assert_eq!(volumes.iter().find(is_config).unwrap()["mode"], "RO");
    }
}

#[test]
fn the_interface_that_others_are_to_leave_alone_is_the_default_one() {
    for file in ["systemd/networkmanager.conf", "systemd/networkd.network"] {
        assert!(read(file).contains("vipd0"), "{file}");
    }
    assert!(vipd(&["--help"]).out.contains("[default: vipd0]"));
}

/// The right to each call that the agent makes, and to no other, in both forms that polkit reads.
#[test]
fn polkit_lets_the_user_of_the_unit_make_the_agents_calls() {
    let code = fs::read_to_string(path("../crates/node/src/resolved.rs")).unwrap();
    let calls = [
        ("SetLinkDNSEx", "set-dns-servers"),
        ("SetLinkDomains", "set-domains"),
        ("SetLinkDefaultRoute", "set-default-route"),
        ("SetLinkLLMNR", "set-llmnr"),
        ("SetLinkMulticastDNS", "set-mdns"),
        ("SetLinkDNSSEC", "set-dnssec"),
        ("RevertLink", "revert"),
    ];
    assert_eq!(code.matches("self.call(\"").count(), calls.len());
    for (file, user) in [
        ("polkit/vipd.rules", "subject.user == \"vipd\""),
        ("polkit/vipd.pkla", "Identity=unix-user:vipd\n"),
    ] {
        let rule = read(file);
        assert!(rule.contains(user), "{file}");
        assert_eq!(rule.matches("org.freedesktop.resolve1.").count(), calls.len(), "{file}");
        for (call, action) in calls {
            assert!(code.contains(&format!("self.call(\"{call}\"")), "{call}");
            assert!(
                rule.contains(&format!("org.freedesktop.resolve1.{action}")),
                "{file}: {action}"
            );
        }
    }
    assert!(read("systemd/vipd.service").contains("\nUser=vipd\n"));
}

/// A module that isn't loaded at boot can't be loaded by the agent, which has no right to.
#[test]
fn the_default_scheduler_is_loaded_at_boot_and_others_are_known() {
    let text = read("systemd/modules-load.conf");
    let loaded: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("ip_vs_")).collect();
    assert!(loaded.contains(&vip::label::DEFAULT_SCHEDULER.name()), "{loaded:?}");
    let known: Vec<_> =
        vip::label::Scheduling::ALL.into_iter().map(vip::label::Scheduling::name).collect();
    assert!(loaded.iter().all(|name| known.contains(name)), "{loaded:?}");
}

#[test]
fn the_scripts_of_the_package_and_of_the_fleet_are_scripts() {
    let scripts = ["preinst", "postinst", "prerm", "postrm", "../fleet/install.sh"];
    for file in scripts.map(|script| path("debian").join(script)) {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o111, 0o111, "{file:?}");
        let checked = tool("sh", &["-n", file.to_str().unwrap()]).unwrap();
        assert!(checked.status.success(), "{file:?}: {checked:?}");
        if let Some(checked) = tool("shellcheck", &["--severity=warning", file.to_str().unwrap()]) {
            let said = String::from_utf8_lossy(&checked.stdout);
            assert!(checked.status.success(), "{file:?}:\n{said}");
        }
    }
}

#[test]
fn the_image_begins_with_a_command_that_there_is() {
    let recipe = read("container/Containerfile");
    let list = |word: &str| -> Vec<String> {
        let line = recipe.lines().find_map(|line| line.strip_prefix(word)).unwrap();
        serde_json::from_str(line.trim()).unwrap()
    };
    assert_eq!(list("ENTRYPOINT"), ["/vipd"]);
    assert_eq!(recipe.matches("\nCOPY vipd /vipd\n").count(), 1);
    let words = list("CMD");
    assert_runs(&words.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn the_marathon_apps_run_on_every_node_and_marathon_takes_them() {
    let agent = assert_app("marathon/vipd.json");
    assert!(agent["env"].as_object().unwrap().keys().all(|name| is_variable(name)));
    assert_answers(&agent["healthChecks"][0]);
    assert_app("marathon/vipd-dns.json");
    let relay = assert_app("marathon/vipd-relay.json");
    assert!(relay["env"].as_object().unwrap().keys().all(|name| is_variable(name)));
    // The path is one of a relay's: src/relay/routes.rs.
    assert_eq!(relay["healthChecks"][0]["path"], "/healthz");
    // A deployment goes on only once agents could follow the new relay.
    let ready = &relay["readinessChecks"][0];
    assert_eq!((&ready["path"], &ready["portName"]), (&json!("/readyz"), &json!("relay")));
    assert_eq!(ready["portName"], relay["portDefinitions"][0]["name"]);
    assert_eq!(ready["httpStatusCodesForReady"], json!([200]));
    // Agents have a fixed list of relays.
    assert_eq!(relay["constraints"][1][1], "LIKE");
}

/// Asserts what holds for every app in deploy/, and returns it.
#[track_caller]
fn assert_app(name: &str) -> Value {
    let text = read(name);
    let app: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(app["constraints"][0], serde_json::json!(["hostname", "UNIQUE"]));
    assert_eq!(app["networks"][0]["mode"], "host");
    // Each node has room for one agent: an upgrade has to stop one before it starts another.
    let least = app["upgradeStrategy"]["minimumHealthCapacity"].as_f64().unwrap();
    for nodes in 2..30 {
        assert!((f64::from(nodes) * least).ceil() < f64::from(nodes), "{nodes} nodes");
    }
    let words: Vec<_> = app["args"].as_array().unwrap().iter().map(|word| word.as_str()).collect();
    assert_runs(&words.into_iter().flatten().collect::<Vec<_>>());
    let checked = vipd(&["check", path(name).to_str().unwrap()]);
    assert_eq!(
        (checked.code, checked.out.as_str()),
        (Some(0), "0 VIPs, 0 findings\n"),
        "{checked:?}"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = marathon_sim::Config::new("/nowhere");
        config.agents = vec!["127.0.0.1".parse().unwrap()];
        let sim = marathon_sim::Sim::start(config).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(format!("{}/v2/apps", sim.url()));
        let request = request.header("content-type", "application/json").body(text);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 201, "{}", answer.text().await.unwrap());
        sim.shutdown().await;
    });
    app
}

#[test]
fn the_daemon_set_runs_commands_and_sets_variables_that_there_are() {
    let set: Value = serde_saphyr::from_str(&read("kubernetes/daemonset.yaml")).unwrap();
    assert_eq!((&set["kind"], &set["apiVersion"]), (&"DaemonSet".into(), &"apps/v1".into()));
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&set["spec"]["selector"]["matchLabels"], labels);
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["hostNetwork"], true);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let volumes = list(&pod["volumes"]);
    for container in list(&pod["initContainers"]).iter().chain(&list(&pod["containers"])) {
        let args = list(&container["args"]);
        assert_runs(&args.iter().filter_map(Value::as_str).collect::<Vec<_>>());
        for variable in list(&container["env"]) {
            assert!(is_variable(variable["name"].as_str().unwrap()), "{variable}");
        }
        for mount in list(&container["volumeMounts"]) {
            assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{mount}");
        }
    }
    for probe in ["livenessProbe", "readinessProbe"] {
        assert_answers(&pod["containers"][0][probe]["httpGet"]);
    }
}

/// Every metric that a text names; a histogram by its own name.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("vipd_") || word.starts_with("process_"));
    names.map(|name| name.trim_end_matches("_bucket").to_owned()).collect()
}

#[test]
fn alerts_and_dashboard_speak_of_metrics_that_there_are() {
    let page = fs::read_to_string(path("../docs/metrics.md")).unwrap();
    let known = metrics(&page);
    let alerts: Value = serde_saphyr::from_str(&read("prometheus/alerts.yml")).unwrap();
    let dashboard: Value = serde_json::from_str(&read("grafana/dashboard.json")).unwrap();
    let rules = alerts["groups"][0]["rules"].as_array().unwrap().iter().map(|rule| &rule["expr"]);
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let targets: Vec<_> = targets.map(|target| &target["expr"]).collect();
    assert!(targets.len() > 20);
    let shown: BTreeSet<_> =
        targets.iter().flat_map(|target| metrics(target.as_str().unwrap())).collect();
    for expression in rules.clone().chain(targets) {
        let used = metrics(expression.as_str().unwrap());
        assert!(used.is_subset(&known), "{expression}: {:?}", used.difference(&known));
    }
    for rule in rules {
        let used = metrics(rule.as_str().unwrap());
        assert!(used.is_subset(&shown), "no panel shows {:?}", used.difference(&shown));
    }
}

/// That each of them passes is for `promtool`.
#[test]
fn every_alert_is_tested_to_fire_and_to_be_silent() {
    let yaml = |file: &str| -> Value { serde_saphyr::from_str(&read(file)).unwrap() };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let tests = list(&yaml("prometheus/alerts.test.yml")["tests"]);
    let cases: Vec<_> = tests.iter().flat_map(|test| list(&test["alert_rule_test"])).collect();
    for rule in list(&yaml("prometheus/alerts.yml")["groups"][0]["rules"]) {
        let alert = &rule["alert"];
        let cases = cases.iter().filter(|case| case["alertname"] == *alert);
        let (fires, silent): (Vec<_>, Vec<_>) =
            cases.partition(|case| !list(&case["exp_alerts"]).is_empty());
        assert!(!fires.is_empty(), "no test has {alert} fire");
        assert!(!silent.is_empty(), "no test has {alert} silent");
    }
}

#[test]
fn promtool_finds_nothing_wrong_and_the_alerts_fire_when_they_should() {
    let file = |name: &str| path(&format!("prometheus/{name}")).to_str().unwrap().to_owned();
    for args in [
        // Without the files that it names: the token of relays is on no machine that tests run on.
        &["check", "config", "--syntax-only", &file("prometheus.yml")][..],
        &["check", "rules", &file("alerts.yml")],
        &["test", "rules", &file("alerts.test.yml")],
    ] {
        let Some(said) = tool("promtool", args) else { return };
        assert!(said.status.success(), "promtool {args:?}: {said:?}");
    }
}
