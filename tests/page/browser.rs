//! A headless Chromium, by its driver.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use reqwest::{Client, Method};
use serde_json::{Value, json};

/// A browser with one window, and the driver that it is moved by.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    http: Client,
    _profile: tempfile::TempDir,
}

const FLAGS: [&str; 11] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--hide-scrollbars",
];

impl Browser {
    pub(crate) async fn start(width: u32, height: u32) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .args(["--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts: `cargo xtask test` installs it");
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = said
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let port = line.split("successfully on port ").nth(1)?;
                Some(port.trim_end_matches('.').to_owned())
            })
            .expect("chromedriver says its port");
        // What else it says must go somewhere.
        std::thread::spawn(move || said.for_each(drop));
        let mut flags: Vec<_> = FLAGS.map(str::to_owned).into();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        flags.push(format!("--window-size={width},{height}"));
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": flags},
            "goog:loggingPrefs": {"browser": "WARNING"},
        }}});
        let http = Client::builder().no_proxy().build().unwrap();
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            http,
            _profile: profile,
        };
        let session = browser.ask(Method::POST, "", capabilities).await;
        let id = session["sessionId"].as_str().unwrap();
        browser.session = format!("{}/{id}", browser.session);
        browser.width(width, height).await;
        browser
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.session));
        if method == Method::POST {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert!(status.is_success(), "{path}: {body}");
        body["value"].clone()
    }

    async fn cdp(&self, command: &str, params: Value) {
        let body = json!({"cmd": command, "params": params});
        self.ask(Method::POST, "/goog/cdp/execute", body).await;
    }

    /// Opens a page.
    pub(crate) async fn open(&self, url: &str) {
        self.ask(Method::POST, "/url", json!({ "url": url })).await;
    }

    /// What a piece of JavaScript returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.ask(Method::POST, "/execute/sync", json!({"script": script, "args": []})).await
    }

    /// Presses keys, one after another, where the focus is. Others than letters are as the driver
    /// has them.
    pub(crate) async fn keys(&self, keys: &str) {
        let actions = keys.chars().flat_map(|key| {
            ["keyDown", "keyUp"].map(|what| json!({"type": what, "value": key.to_string()}))
        });
        let actions: Vec<_> = actions.collect();
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": actions});
        self.ask(Method::POST, "/actions", json!({"actions": [keyboard]})).await;
    }

    /// Sets the size of what is seen.
    pub(crate) async fn width(&self, width: u32, height: u32) {
        let mobile = width < 640;
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile});
        self.cdp("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Has its user want dark pages, or light ones.
    pub(crate) async fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": value}]);
        self.cdp("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// What it complains of in its console, failed requests aside.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.ask(Method::POST, "/se/log", json!({"type": "browser"})).await;
        let entries = log.as_array().unwrap().iter();
        let own = entries.filter(|entry| entry["source"] != "network");
        own.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Writes what is seen as a PNG.
    pub(crate) async fn picture(&self, path: &str) {
        let base64 = self.ask(Method::GET, "/screenshot", Value::Null).await;
        let mut decode = Command::new("base64")
            .arg("-d")
            .stdin(Stdio::piped())
            .stdout(std::fs::File::create(path).unwrap())
            .spawn()
            .unwrap();
        decode.stdin.take().unwrap().write_all(base64.as_str().unwrap().as_bytes()).unwrap();
        assert!(decode.wait().unwrap().success());
    }

    pub(crate) async fn end(mut self) {
        self.ask(Method::DELETE, "", Value::Null).await;
        self.driver.kill().unwrap();
        self.driver.wait().unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // After a failed test: the driver takes its browser with it.
        let _ = self.driver.kill();
    }
}
