//! `vipd status --watch`: the running agent's VIPs, live.

mod screen;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use vip::{Line, Sign};

use super::end::End;
use super::output;
use crate::admin::client::AgentClient;
use crate::report::agent::AgentReport;
use crate::report::vip_filter::VipFilter;
use crate::report::vip_table::table_lines;
use crate::report::vips::VipReport;
use screen::{Key, Screen};

/// The order of the VIPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Sort {
    /// Problems first.
    Trouble,
    /// By address.
    Vip,
    /// Most new connections per second first.
    Rate,
    /// Most established connections first.
    Active,
    /// By the name of the first app.
    App,
}

/// Shows the VIPs until interrupted: on a full screen, or in blocks if the output is no terminal.
pub(super) fn watch_vips(
    agent: &AgentClient,
    filter: &VipFilter,
    mut sort: Sort,
    interval: Duration,
) -> Result<End> {
    let mut rates = Rates::default();
    let mut look = || {
        let (report, mut vips) = (agent.fetch_status()?, agent.fetch_vips()?);
        vips.retain(|vip| filter.matches(vip));
        rates.record_counters(&vips, Instant::now());
        Ok::<_, anyhow::Error>((report, vips, rates.now.clone()))
    };
    if !is_screen() {
        loop {
            let (report, vips, rates) = look()?;
            let width = screen::terminal_size().map(|(width, _)| usize::from(width));
            let mut out = anstream::stdout().lock();
            for line in screen_lines(&report, &vips, &rates, sort, (usize::MAX, width)) {
                let cut = width.map(|width| screen::cut_line(&line, width));
                output::print_line(&mut out, &cut.unwrap_or(line))?;
            }
            writeln!(out)?;
            out.flush()?;
            drop(out);
            sleep(interval);
        }
    }
    let screen = Screen::open()?;
    let mut seen = look()?;
    loop {
        let (report, vips, rates) = &seen;
        let (width, height) = screen.size();
        let width = usize::from(width);
        let mut all = vec![keys_line(sort)];
        // Without the line of keys, and the last line, where a newline would scroll.
        let rows = usize::from(height).saturating_sub(2);
        all.extend(screen_lines(report, vips, rates, sort, (rows, Some(width))));
        screen.draw(&all, width)?;
        match screen.read_key(interval)? {
            Some(Key::Quit) => return Ok(End::Fine),
            Some(Key::Letter(letter)) => sort = sort_by_letter(letter).unwrap_or(sort),
            None => seen = look()?,
        }
    }
}

/// Returns whether the output is a terminal that understands escape sequences.
fn is_screen() -> bool {
    let term = std::env::var_os("TERM");
    std::io::stdout().is_terminal() && term.is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// The line that explains the keys.
fn keys_line(sort: Sort) -> Line {
    let by = match sort {
        Sort::Trouble => "trouble",
        Sort::Vip => "VIP",
        Sort::Rate => "rate",
        Sort::Active => "active",
        Sort::App => "app",
    };
    let text = format!("by {by}; sort by t trouble, v VIP, r rate, a active, n app; q quit");
    Line { depth: 0, sign: Sign::Plain, text }
}

fn sort_by_letter(letter: char) -> Option<Sort> {
    Some(match letter {
        't' => Sort::Trouble,
        'v' => Sort::Vip,
        'r' => Sort::Rate,
        'a' => Sort::Active,
        'n' => Sort::App,
        _ => return None,
    })
}

/// New connections per second between two samples; for the first, the kernel's own average.
#[derive(Debug, Default)]
struct Rates {
    last: BTreeMap<String, (u64, Instant)>,
    now: BTreeMap<String, f64>,
}

impl Rates {
    fn record_counters(&mut self, vips: &[VipReport], at: Instant) {
        let last = std::mem::take(&mut self.last);
        self.now.clear();
        for vip in vips {
            let Some(stats) = vip.summary.stats else { continue };
            let name = vip.full_name();
            let rate = match last.get(&name) {
                Some((before, then)) if stats.connections >= *before => {
                    #[expect(clippy::cast_precision_loss, reason = "of some seconds")]
                    let more = (stats.connections - before) as f64;
                    more / at.saturating_duration_since(*then).as_secs_f64().max(0.001)
                }
                #[expect(clippy::cast_precision_loss, reason = "of a second")]
                _ => stats.connections_per_second as f64,
            };
            self.last.insert(name.clone(), (stats.connections, at));
            self.now.insert(name, rate);
        }
    }
}

/// The columns in which the first line has room.
const WIDE: usize = 100;

/// Formats everything in at most `most` lines, and the rows of VIPs in so many columns. Pure.
fn screen_lines(
    report: &AgentReport,
    vips: &[VipReport],
    rates: &BTreeMap<String, f64>,
    sort: Sort,
    (most, width): (usize, Option<usize>),
) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = |sign, text: String| lines.push(Line { depth: 0, sign, text });
    let rate = |vip: &VipReport| rates.get(&vip.full_name()).copied().unwrap_or_default();
    let total: f64 = vips.iter().map(rate).sum();
    let serving: usize = vips.iter().map(VipReport::serving_servers).sum();
    let ready = if report.ready { "ready" } else { "not ready" };
    let facts = [
        format!("agent: {}, {ready}", report.mode),
        format!("VIPs: {}", vips.len()),
        format!("real servers in use: {serving}"),
        format!("draining: {}", report.draining),
        format!("new connections: {total:.0}/s"),
    ];
    match width.is_some_and(|width| width < WIDE) {
        true => facts.into_iter().for_each(|fact| line(Sign::Plain, fact)),
        false => line(Sign::Plain, facts.join("  ")),
    }
    for (source, seen) in &report.sources {
        let (sign, how) = match &seen.error {
            Some(error) => (Sign::Warn, format!("out of reach: {error}")),
            None => (Sign::Plain, seen.describe_events()),
        };
        line(sign, format!("marathon {source}: {how}"));
    }
    let wrong = report.unhealthy.iter().chain(&report.not_ready).chain(&report.notes);
    for text in wrong.filter(|text| !is_shown_by_source(text, report)) {
        line(Sign::Warn, text.clone());
    }

    let mut order: Vec<_> = vips.iter().collect();
    // The sort is stable: equal VIPs stay in the order of addresses.
    order.sort_by(|a, b| match sort {
        Sort::Trouble => a.summary.state.cmp(&b.summary.state),
        Sort::Vip => std::cmp::Ordering::Equal,
        Sort::Rate => rate(b).total_cmp(&rate(a)),
        Sort::Active => b.active_connections().cmp(&a.active_connections()),
        Sort::App => a.summary.apps.first().cmp(&b.summary.apps.first()),
    });
    let table = table_lines(&order, rate, width);
    let space = most.saturating_sub(lines.len());
    if table.len() <= space {
        lines.extend(table);
        return lines;
    }
    // The last line says how many are left.
    let rest = table.len() - space.saturating_sub(1);
    lines.extend(table.into_iter().take(space.saturating_sub(1)));
    lines.push(Line { depth: 0, sign: Sign::Plain, text: format!("{rest} more") });
    lines
}

/// Returns whether a note repeats the line of a Marathon.
fn is_shown_by_source(text: &str, report: &AgentReport) -> bool {
    report.sources.iter().any(|(name, source)| {
        source.error.is_some()
            && !source.stale
            && text.starts_with(&format!("{name} can't be read"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vip::VipState;

    use crate::report::vips::{Traffic, VipSummary};

    fn vip(vip: &str, state: VipState, app: &str, connections: u64) -> VipReport {
        VipReport {
            vip: vip.into(),
            protocol: "tcp".into(),
            backend: Vec::new(),
            left_out: Vec::new(),
            summary: VipSummary {
                name: None,
                dns: None,
                apps: vec![app.into()],
                state,
                since: None,
                problems: Vec::new(),
                conflict: None,
                scheduler: Some("wlc".into()),
                persistence: None,
                stats: Some(Traffic {
                    connections,
                    connections_per_second: connections / 100,
                    ..Traffic::default()
                }),
            },
        }
    }

    fn vips() -> Vec<VipReport> {
        vec![
            vip("3.3.0.1:80", VipState::Serving, "/web", 40_000),
            vip("3.3.0.2:8443", VipState::Degraded, "/checkout", 3_100),
            vip("3.3.0.6:3306", VipState::Refusing, "/mysql", 0),
        ]
    }

    fn report() -> AgentReport {
        serde_json::from_value(serde_json::json!({
            "mode": "acting", "hold": null, "started": "2026-11-23T04:00:00Z", "ready": true,
            "unhealthy": [], "not_ready": [], "draining": 1, "pending": 0,
            "notes": ["main can't be read; what is known of it is 40 s old: no connection"],
            "unapplied_seconds": null, "failing": {},
            "sources": {"main": {"streaming": false, "age_seconds": 40, "from_disk": false,
                "stale": false, "error": "no connection", "workloads": 3}},
        }))
        .unwrap()
    }

    fn text(sort: Sort, most: usize) -> String {
        let mut rates = Rates::default();
        rates.record_counters(&vips(), Instant::now());
        let lines = screen_lines(&report(), &vips(), &rates.now, sort, (most, None));
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn it_reads_as_reviewed() {
        insta::assert_snapshot!(text(Sort::Trouble, 100), @r"
          agent: acting, ready  VIPs: 3  real servers in use: 0  draining: 1  new connections: 431/s
        ! marathon main: out of reach: no connection
          state      VIP              servers  active   conn/s  apps
        ! refusing   3.3.0.6:3306/tcp     0/0       0        0  /mysql
        ~ degraded   3.3.0.2:8443/tcp     0/0       0       31  /checkout
          serving    3.3.0.1:80/tcp       0/0       0      400  /web
        ");
    }

    #[test]
    fn on_a_narrow_terminal_no_line_is_longer_than_it() {
        for width in [20, 40, 80] {
            let most = (100, Some(width));
            let lines = screen_lines(&report(), &vips(), &BTreeMap::new(), Sort::Vip, most);
            let lines: Vec<_> = lines.iter().map(|line| screen::cut_line(line, width)).collect();
            assert!(
                lines.iter().all(|line| line.to_string().chars().count() <= width),
                "{lines:?}"
            );
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            assert!(text.contains("agent: acting") && text.contains("refusing"), "{text}");
        }
    }

    #[test]
    fn it_is_sorted_as_told() {
        let first = |sort| {
            let text = text(sort, 100);
            let row = text.lines().find(|line| line.contains("/tcp")).unwrap().to_owned();
            row.split_whitespace().last().unwrap().to_owned()
        };
        assert_eq!(first(Sort::Trouble), "/mysql");
        assert_eq!(first(Sort::Vip), "/web");
        assert_eq!(first(Sort::Rate), "/web");
        assert_eq!(first(Sort::App), "/checkout");
        for letter in "tvran".chars() {
            assert!(sort_by_letter(letter).is_some());
        }
    }

    #[test]
    fn a_small_screen_says_how_many_there_are_more() {
        let text = text(Sort::Vip, 5);
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(text.ends_with("2 more\n"), "{text}");
    }

    #[test]
    fn a_rate_is_that_between_two_looks() {
        let (mut rates, then) = (Rates::default(), Instant::now());
        rates.record_counters(&vips(), then);
        assert_eq!(rates.now["3.3.0.1:80/tcp"], 400.0, "the kernel's own");
        let mut later = vips();
        later[0].summary.stats.as_mut().unwrap().connections += 50;
        rates.record_counters(&later, then + Duration::from_secs(2));
        assert_eq!(rates.now["3.3.0.1:80/tcp"], 25.0);
    }
}
