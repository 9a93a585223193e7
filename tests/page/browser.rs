//! A headless Chromium, driven over `WebDriver`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use thirtyfour::cdp::domains::emulation::{
    MediaFeature, SetDeviceMetricsOverride, SetEmulatedMedia,
};
use thirtyfour::common::log::LoggingPrefsLogLevel;
use thirtyfour::{ChromiumLikeCapabilities, DesiredCapabilities, WebDriver};

/// A browser with one window. Its fields end in this order, after a failed test too.
pub(crate) struct Browser {
    driver: WebDriver,
    _process: DriverProcess,
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
        let process = DriverProcess::start();
        let mut capabilities = DesiredCapabilities::chrome();
        for flag in FLAGS {
            capabilities.add_arg(flag).unwrap();
        }
        let profile_flag = format!("--user-data-dir={}", profile.path().display());
        capabilities.add_arg(&profile_flag).unwrap();
        capabilities.add_arg(&format!("--window-size={width},{height}")).unwrap();
        capabilities.set_browser_log_level(LoggingPrefsLogLevel::Warning).unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let driver = WebDriver::builder(&process.url, capabilities).client(http).await.unwrap();
        let browser = Self { driver, _process: process, _profile: profile };
        browser.resize(width, height).await;
        browser
    }

    pub(crate) async fn open(&self, url: &str) {
        self.driver.goto(url).await.unwrap();
    }

    /// Runs a piece of JavaScript and returns its result.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.driver.execute(script, []).await.unwrap().json().clone()
    }

    /// Presses keys, one after another, in the focused element. Keys other than letters have the
    /// code points of `thirtyfour::Key`.
    pub(crate) async fn press_keys(&self, keys: &str) {
        self.driver.action_chain().send_keys(keys).perform().await.unwrap();
    }

    /// Sets the size of the viewport; a narrow one is a phone.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let metrics = SetDeviceMetricsOverride {
            width,
            height,
            device_scale_factor: 1.0,
            mobile: width < 640,
            scale: None,
            screen_orientation: None,
        };
        self.driver.cdp().send(metrics).await.unwrap();
    }

    /// Makes the user prefer dark pages, or light ones.
    pub(crate) async fn prefer_dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" }.to_owned();
        let scheme = MediaFeature { name: "prefers-color-scheme".to_owned(), value };
        let media = SetEmulatedMedia { features: Some(vec![scheme]), ..Default::default() };
        self.driver.cdp().send(media).await.unwrap();
    }

    /// Warnings and errors in the console since the last call, without failed requests.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.driver.browser_log().await.unwrap().into_iter();
        let own = log.filter(|entry| entry.source.as_deref() != Some("network"));
        own.map(|entry| entry.message).collect()
    }

    /// Writes a picture of the viewport, as PNG.
    pub(crate) async fn save_picture(&self, path: &str) {
        self.driver.screenshot(Path::new(path)).await.unwrap();
    }

    pub(crate) async fn quit(self) {
        self.driver.quit().await.unwrap();
    }
}

/// A running chromedriver, killed when dropped.
struct DriverProcess {
    child: Child,
    url: String,
}

impl DriverProcess {
    fn start() -> Self {
        let mut child = Command::new("chromedriver")
            .args(["--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts: `cargo xtask test` installs it");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let port = line.split("successfully on port ").nth(1)?;
                Some(port.trim_end_matches('.').to_owned())
            })
            .expect("chromedriver prints its port");
        // Its later output has to be read, or it blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: format!("http://127.0.0.1:{port}") }
    }
}

impl Drop for DriverProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
