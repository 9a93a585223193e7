//! VIPs as a table with a row for each, as `vipd status` prints many of them. Pure.

use vip::{Line, Printable, Sign, VipState};

use super::vips::VipReport;

/// A narrower table has no columns of connections.
const WIDE: usize = 72;
/// The columns that the sign of a line takes.
const SIGN: usize = 2;
/// The columns that names leave to the apps, which addresses need not.
const APPS: usize = 16;
/// In fewer columns no app is known by its beginning.
const LEAST_APPS: usize = 8;

/// Formats a heading and a row for each VIP, in this order. `rate` tells the new connections per
/// second. Rows fit into `width` columns.
pub fn table_lines(
    vips: &[&VipReport],
    rate: impl Fn(&VipReport) -> f64,
    width: Option<usize>,
) -> Vec<Line> {
    let width = width.map_or(usize::MAX, |width| width.saturating_sub(SIGN));
    let is_wide = width >= WIDE - SIGN;
    let titles: Vec<_> = vips.iter().map(|vip| title_parts(vip)).collect();
    let longest = titles.iter().map(|(name, vip)| name.chars().count() + vip.len()).max();
    // The other columns, and the blanks between all of them.
    let others = if is_wide { 10 + 1 + 1 + 7 + 1 + 7 + 1 + 8 + 2 } else { 10 + 1 + 1 + 7 + 2 };
    let addresses = titles.iter().map(|(_, vip)| vip.len()).max().unwrap_or_default();
    let most = width.saturating_sub(others + APPS).max(addresses).max(3);
    let title_width = longest.unwrap_or(3).clamp(3, most);
    let has_apps = width.saturating_sub(others + title_width) >= LEAST_APPS;
    let row = |state: &str, title: &str, servers: &str, numbers: [&str; 2], apps: &str| {
        let [active, rate] = numbers;
        let numbers = if is_wide { format!(" {active:>7} {rate:>8}") } else { String::new() };
        let apps = if has_apps { apps } else { "" };
        let text = format!("{state:<10} {title:<title_width$} {servers:>7}{numbers}  {apps}");
        cut_text(text.trim_end(), width)
    };
    let heading = row("state", "VIP", "servers", ["active", "conn/s"], "apps");
    let rows = vips.iter().zip(&titles).map(|(vip, (name, address))| {
        let servers =
            format!("{}/{}", vip.serving_servers(), vip.backend.len() + vip.left_out.len());
        let numbers = [vip.active_connections().to_string(), format!("{:.0}", rate(vip))];
        let text = row(
            vip.summary.state.word(),
            &fit_title(name, address, title_width),
            &servers,
            [&numbers[0], &numbers[1]],
            &printable(&vip.summary.apps.join(", ")),
        );
        Line::new(0, vip.summary.state.sign(), text)
    });
    std::iter::once(Line::new(0, Sign::Plain, heading)).chain(rows).collect()
}

/// Counts VIPs by state, worst first: `2 refusing, 498 serving`.
#[must_use]
pub fn count_states<'a>(vips: impl IntoIterator<Item = &'a VipReport>) -> String {
    let mut counts = std::collections::BTreeMap::<VipState, usize>::new();
    for vip in vips {
        *counts.entry(vip.summary.state).or_default() += 1;
    }
    let counts = counts.iter().map(|(state, count)| format!("{count} {}", state.word()));
    counts.collect::<Vec<_>>().join(", ")
}

/// Returns the name, with a blank behind it, and the address of a VIP.
fn title_parts(vip: &VipReport) -> (String, String) {
    let name = vip.summary.name.as_ref().map(|name| printable(name) + " ").unwrap_or_default();
    (name, vip.full_name())
}

/// Cuts the name so that the address, which others are asked for by, stays whole.
fn fit_title(name: &str, address: &str, width: usize) -> String {
    let left = width.saturating_sub(address.len());
    match name.chars().count() {
        count if count <= left => format!("{name}{address}"),
        // Too little to know it by.
        _ if left < 6 => address.to_owned(),
        _ => format!("{} {address}", cut_text(name.trim_end(), left - 1)),
    }
}

/// Cuts a text to so many columns, and marks that.
fn cut_text(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => {
            let kept: String = text.chars().take(width.saturating_sub(1)).collect();
            format!("{}…", kept.trim_end())
        }
    }
}

/// Escapes it before it is cut, as printing it would do after that.
fn printable(text: &str) -> String {
    Printable(text).to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A VIP that serves, one that is degraded and one that refuses.
    pub(in crate::report) fn vips() -> Vec<VipReport> {
        let task = |app: &str, id: &str, server: &str, state: &str| {
            json!({
                "app": app, "task": id, "state": state, "health": "healthy", "reason": "healthy",
                "why": "healthy", "server": server, "weight": 1, "kernel_weight": 1, "active": 7,
                "inactive": 0,
            })
        };
        let vip = |vip: &str, name: Option<&str>, app: &str, state: &str, backend: &[_]| {
            serde_json::from_value(json!({
                "vip": vip, "protocol": "tcp", "name": name, "apps": [app], "state": state,
                "problems": [], "backend": backend, "left_out": [],
            }))
            .unwrap()
        };
        vec![
            vip(
                "3.3.0.1:80",
                None,
                "/shop/web",
                "serving",
                &[task("/shop/web", "web.1", "10.0.0.1:31001", "serving")],
            ),
            vip(
                "3.3.0.2:8443",
                Some("checkout.shop.marathon"),
                "/shop/checkout",
                "degraded",
                &[
                    task("/shop/checkout", "checkout.1", "10.0.0.2:31002", "serving"),
                    task("/shop/checkout", "checkout.2", "10.0.0.3:31003", "draining"),
                ],
            ),
            vip("3.3.0.6:3306", Some("mysql.marathon"), "/mysql", "refusing", &[]),
        ]
    }

    fn text(width: Option<usize>) -> String {
        let vips = vips();
        let lines = table_lines(&vips.iter().collect::<Vec<_>>(), |_| 31.4, width);
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn it_reads_as_reviewed() {
        insta::assert_snapshot!(text(None), @r"
          state      VIP                                     servers  active   conn/s  apps
          serving    3.3.0.1:80/tcp                              1/1       7       31  /shop/web
        ~ degraded   checkout.shop.marathon 3.3.0.2:8443/tcp     1/2      14       31  /shop/checkout
        ! refusing   mysql.marathon 3.3.0.6:3306/tcp             0/0       0       31  /mysql
        ");
        insta::assert_snapshot!(text(Some(72)), @r"
          state      VIP              servers  active   conn/s  apps
          serving    3.3.0.1:80/tcp       1/1       7       31  /shop/web
        ~ degraded   3.3.0.2:8443/tcp     1/2      14       31  /shop/checkout
        ! refusing   3.3.0.6:3306/tcp     0/0       0       31  /mysql
        ");
        insta::assert_snapshot!(text(Some(40)), @r"
          state      VIP              servers
          serving    3.3.0.1:80/tcp       1/1
        ~ degraded   3.3.0.2:8443/tcp     1/2
        ! refusing   3.3.0.6:3306/tcp     0/0
        ");
        insta::assert_snapshot!(text(Some(60)), @r"
          state      VIP                   servers  apps
          serving    3.3.0.1:80/tcp            1/1  /shop/web
        ~ degraded   3.3.0.2:8443/tcp          1/2  /shop/checkout
        ! refusing   3.3.0.6:3306/tcp          0/0  /mysql
        ");
    }

    #[test]
    fn every_row_fits_however_narrow_the_terminal_is() {
        for width in 20..160 {
            for line in text(Some(width)).lines() {
                assert!(line.chars().count() <= width, "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn states_are_counted_worst_first() {
        assert_eq!(count_states(&vips()), "1 refusing, 1 degraded, 1 serving");
    }
}
