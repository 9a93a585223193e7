//! The status page in a real browser, against an agent at work. Run by `cargo xtask test`, which
//! installs the browser.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod browser;
#[path = "../agent/site.rs"]
#[expect(dead_code, reason = "the agent's tests take more of it")]
mod site;
#[path = "../agent/world.rs"]
#[expect(dead_code, reason = "the agent's tests take more of it")]
mod world;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::SharedKernel;

use browser::Browser;
use site::{Site, run, traffic};
use world::{World, app};

const WEB: &str = "3.3.0.6:80";

/// Longest time to wait for a condition.
const PATIENCE: Duration = Duration::from_secs(60);

/// Script that tests whether a CSS selector finds an element.
fn shows(selector: &str) -> String {
    format!("return document.querySelector({selector:?}) !== null")
}

/// Waits until a script returns true; panics with the text of the page if it never does.
async fn until(browser: &Browser, script: &str) {
    let end = Instant::now() + PATIENCE;
    while browser.run(script).await != json!(true) {
        if Instant::now() > end {
            let text = browser.run("return document.body.innerText").await;
            let complaints = browser.complaints().await;
            panic!("waited in vain for {script}\n{}\n{complaints:#?}", text.as_str().unwrap());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The widths of a desk, a tablet and a phone.
const SIZES: [(u32, u32); 3] = [(1280, 900), (820, 1180), (390, 844)];

/// Asserts that no element is wider than the screen and that the page has the brightness that its
/// reader prefers, at three widths, light and dark. With `VIPD_PICTURES` it takes a picture of each.
async fn assert_fits(browser: &Browser, name: &str) {
    for dark in [false, true] {
        browser.prefer_dark(dark).await;
        for (width, height) in SIZES {
            browser.resize(width, height).await;
            let wide = "return document.documentElement.scrollWidth > innerWidth";
            assert_eq!(browser.run(wide).await, json!(false), "{width} wide");
            let is_dark = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g)\
                           .slice(0, 3).every(part => part < 128)";
            assert_eq!(browser.run(is_dark).await, json!(dark), "{width} wide");
            if let Ok(folder) = std::env::var("VIPD_PICTURES") {
                let theme = if dark { "dark" } else { "light" };
                browser.save_picture(&format!("{folder}/{name}-{width}-{theme}.png")).await;
            }
        }
    }
    browser.prefer_dark(false).await;
    browser.resize(1280, 900).await;
}

/// An app whose tasks keep serving for long after SIGTERM.
fn slow_to_stop(id: &str, vip: &str, instances: usize) -> Value {
    let mut app = app(id, vip, instances);
    app["env"]["SIM_STOP_DELAY_MS"] = json!("300000");
    app["taskKillGracePeriodSeconds"] = json!(3000);
    app
}

#[test]
fn the_page_shows_a_vip_come_a_server_drain_and_marathon_go_away() {
    run(async {
        let mut world = World::new().await;
        world.start().await;
        let mut site = Site::new(world).await;
        let browser = Browser::start(1280, 900).await;
        browser.open(&format!("{}/", site.url)).await;
        until(&browser, &shows("[data-source=m0][data-state=streaming]")).await;
        until(&browser, "return document.querySelector('#no-vips').checkVisibility()").await;

        site.world.run_app(&slow_to_stop("/shop/web", WEB, 2)).await;
        until(&browser, &shows("[data-vip='3.3.0.6:80/tcp'][data-state=serving]")).await;
        until(&browser, &shows("#changes [data-what=add-server]")).await;
        let kernel = site.world.kernel.clone();
        let clients = tokio::spawn(async move {
            loop {
                traffic(&kernel, WEB, 40);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        until(&browser, "return document.querySelector('.rate').textContent !== '0/s'").await;
        clients.abort();

        // By keyboard only: search, move to the result, open it.
        browser.press_keys("/").await;
        browser.press_keys("shop/web").await;
        browser.press_keys("\u{E015}\u{E007}").await;
        until(&browser, &shows("[data-server][data-state=serving]")).await;
        site.world.send("PUT", "/v2/apps/shop/web?force=true", &json!({"instances": 1})).await;
        until(&browser, &shows("[data-server][data-state=draining]")).await;
        browser.press_keys("\u{E00C}").await;

        site.world.run_app(&app("/bad", "127.0.0.1:80", 1)).await;
        until(&browser, &shows("#labels [data-verdict=refused]")).await;
        let text = browser.run("return document.querySelector('#labels').innerText").await;
        assert!(text.as_str().unwrap().contains("loopback"), "{text}");

        site.world.sims.remove(0).shutdown().await;
        until(&browser, &shows("[data-source=m0][data-state=lost]")).await;
        until(&browser, &shows("#alarms .alarm.bad")).await;
        let alarm = browser.run("return document.querySelector('#alarms').innerText").await;
        assert!(alarm.as_str().unwrap().contains("m0 can't be read"), "{alarm}");
        until(&browser, &shows("[data-vip='3.3.0.6:80/tcp']")).await;

        assert_fits(&browser, "lost").await;
        assert_eq!(browser.complaints().await, [""; 0], "in the browser's console");
        browser.quit().await;
        site.end().await;
    });
}

#[test]
fn the_page_filters_remembers_in_its_address_and_tells_what_is_suspended() {
    run(async {
        let mut world = World::new().await;
        world.start().await;
        let long = format!("/shop/{}", ["a-long-name-of-an-app"; 4].join("/"));
        for (id, vip, instances) in
            [("/shop/web", WEB, 2), (&*long, "3.3.0.7:80", 1), ("/off", "3.3.0.8:80", 1)]
        {
            world.run_app(&app(id, vip, instances)).await;
            world.until_served(vip, instances).await;
        }
        world.send("PUT", "/v2/apps/off?force=true", &json!({"instances": 0})).await;
        let site = Site::new(world).await;
        let browser = Browser::start(1280, 900).await;
        browser.open(&format!("{}/", site.url)).await;
        until(&browser, &shows("[data-vip='3.3.0.8:80/tcp'][data-state=suspended]")).await;
        until(&browser, &shows("[data-vip='3.3.0.8:80/tcp'] .state small:not(:empty)")).await;
        assert_eq!(browser.run(&shows("#alarms .alarm.bad")).await, json!(false));
        let whole = format!("return document.querySelector('#vips').innerText.includes({long:?})");
        until(&browser, &whole).await;

        browser.run("document.querySelector('[data-only=suspended]').click()").await;
        until(&browser, "return document.querySelectorAll('.vip').length === 1").await;
        let matched = "return document.querySelector('#matches').textContent === '1 of 3 VIPs'";
        until(&browser, matched).await;
        until(&browser, "return location.search === '?state=suspended'").await;
        browser.open(&format!("{}/?q=shop&sort=vip", site.url)).await;
        until(&browser, "return document.querySelectorAll('.vip').length === 2").await;
        until(&browser, "return document.querySelector('#search').value === 'shop'").await;

        // A link to the app in Marathon, and something to copy.
        browser.run("document.querySelector('.row').click()").await;
        let link = "return document.querySelector('.more a').href";
        let url = browser.run(link).await;
        assert_eq!(url, json!("http://vipd.example:8080/ui/#/apps/%2Fshop%2Fweb"));
        until(&browser, &shows(".more button.link")).await;

        // What has the focus is drawn anew, and keeps it.
        let focused = "document.querySelector('.more button.link').focus(); \
                       vips = vips.map(vip => ({ ...vip, problems: ['something new'] })); drawVips(); \
                       return document.querySelector('.more .problem') !== null \
                       && document.activeElement.matches('.more button.link')";
        assert_eq!(browser.run(focused).await, json!(true));

        // Filled as on a large node, without a timer that fetches the real one.
        browser.run(MANY_VIPS).await;
        until(&browser, "return document.querySelectorAll('.vip').length === 100").await;
        let found = "return document.querySelector('#matches').textContent === '5 of 500 VIPs'";
        browser.run("document.querySelector('#search').value = '10.0.77.'; drawVips()").await;
        until(&browser, found).await;
        let took = browser.run("return drawing()").await;
        println!("500 VIPs with 5000 servers are drawn in {took} ms");
        assert_fits(&browser, "many").await;
        assert_eq!(browser.complaints().await, [""; 0], "in the browser's console");
        browser.quit().await;
        site.end().await;
    });
}

/// Has the page show 500 VIPs with 10 real servers each, and nothing else from now on.
const MANY_VIPS: &str = r#"
    look = () => {}; clearTimeout(timer); busy = true;
    const server = (vip, n) => ({ ip: `10.0.${vip % 100}.${n}`, port: 31000 + n, state: "serving",
        health: "healthy", reason: "healthy", weight: 1, kernel_weight: 1, active: 3, drains_for: null,
        app: `/shop/app-${vip}`, task: `shop_app-${vip}.${n}` });
    const state = n => n < 3 ? "refusing" : n < 9 ? "degraded" : n < 15 ? "suspended" : "serving";
    vips = Array.from({ length: 500 }, (_, n) => ({ vip: `3.3.${n >> 8}.${n & 255}:80`, protocol: "tcp",
        name: null, dns: null, apps: [`/shop/app-${n}`], state: state(n),
        since: new Date(Date.now() - 60000 * n).toISOString(), problems: [], conflict: null,
        scheduler: "wlc", persistence: null, left_out: [], stats: null,
        backend: state(n) === "suspended" ? [] : Array.from({ length: 10 }, (_, at) => server(n, at)) }));
    $("search").value = "";
    drawVips(); drawSums();
    window.drawing = () => { const at = performance.now(); vips = vips.map(vip => ({ ...vip })); drawVips(); drawSums(); return Math.round(performance.now() - at); };
"#;

/// Not a test: takes the pictures for the README, for `cargo xtask picture`.
#[test]
#[ignore = "makes a picture"]
fn a_picture_of_the_page() {
    run(async {
        let mut world = World::new().await;
        world.start().await;
        for (id, vip, instances) in [
            ("/shop/web", "3.3.0.1:80", 4),
            ("/shop/checkout", "3.3.0.2:8443", 3),
            ("/mysql", "3.3.0.6:3306", 1),
            ("/search/api", "3.3.0.9:9200", 3),
            ("/cache", "3.3.1.4:6379", 2),
        ] {
            world.run_app(&slow_to_stop(id, vip, instances)).await;
            world.until_served(vip, instances).await;
        }
        world.run_app(&app("/legacy/report", "10.0.0.256:80", 1)).await;
        let mut site = Site::new(world).await;
        let clients = tokio::spawn(clients(site.world.kernel.clone()));
        let browser = Browser::start(1280, 860).await;
        browser.open(&format!("{}/", site.url)).await;
        tokio::time::sleep(Duration::from_secs(80)).await;
        let fewer = json!({"instances": 2});
        site.world.send("PUT", "/v2/apps/search/api?force=true", &fewer).await;
        until(&browser, &shows("[data-vip='3.3.0.9:9200/tcp'][data-state=degraded]")).await;
        browser.run("document.querySelector('[data-vip=\"3.3.0.9:9200/tcp\"] .row').click()").await;
        until(&browser, &shows("[data-server][data-state=draining]")).await;
        let folder = std::env::var("VIPD_PICTURES").unwrap();
        let picture =
            async |name: &str| browser.save_picture(&format!("{folder}/{name}.png")).await;
        picture("status-page").await;
        browser.prefer_dark(true).await;
        picture("status-page-dark").await;
        browser.resize(390, 844).await;
        picture("status-page-phone-dark").await;
        browser.prefer_dark(false).await;
        picture("status-page-phone").await;
        browser.resize(1280, 860).await;
        site.world.sims.remove(0).shutdown().await;
        until(&browser, &shows("#alarms .alarm.bad")).await;
        picture("status-page-alarm").await;
        browser.quit().await;
        clients.abort();
        site.end().await;
    });
}

/// Simulates a varying number of clients of each VIP.
async fn clients(kernel: SharedKernel) {
    for turn in 0..u32::MAX {
        for (vip, least, most, wave) in [
            ("3.3.0.1:80", 150.0, 260.0, 9.0),
            ("3.3.0.2:8443", 10.0, 22.0, 5.0),
            ("3.3.0.6:3306", 30.0, 33.0, 3.0),
            ("3.3.0.9:9200", 3.0, 95.0, 14.0),
            ("3.3.1.4:6379", 350.0, 550.0, 21.0),
        ] {
            let wave = (1.0 + (f64::from(turn) / wave).sin()) / 2.0;
            let noise = f64::from((turn * 7919) % 13) / 40.0;
            let rate: f64 = least + (most - least) * (wave + noise);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            traffic(&kernel, vip, rate as u64);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
