//! `/metrics`, in the format that the client accepts.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::answer::answer_problem;
use super::state::{AdminState, SharedState};
use crate::agent::metrics::declared::{Format, Scrape};
use crate::agent::status::health::Readiness;
use crate::clock::Timestamp;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The query of a scrape.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ScrapeQuery {
    vips: Vips,
}

/// The series of each VIP: in a large cluster every node has a great many of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Vips {
    #[default]
    Each,
    None,
}

pub(super) async fn answer_metrics(
    State(state): SharedState,
    Query(query): Query<ScrapeQuery>,
    headers: HeaderMap,
) -> Response {
    let scrape = gather_scrape(&state, query.vips == Vips::Each).await;
    answer_scrape(&headers, |format| scrape.encode_all(&state.handle.metrics, format))
}

/// Answers with metrics in the format that the client accepts.
pub(crate) fn answer_scrape(
    headers: &HeaderMap,
    encode: impl FnOnce(Format) -> Result<String, std::fmt::Error>,
) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = choose_format(accept.unwrap_or_default());
    let mime = match format {
        Format::OpenMetrics => OPENMETRICS,
        Format::Text => TEXT,
    };
    match encode(format) {
        Ok(text) => ([(header::CONTENT_TYPE, mime)], text).into_response(),
        Err(_) => {
            let why = "the metrics can't be written: this is a bug of vipd";
            answer_problem(StatusCode::INTERNAL_SERVER_ERROR, why)
        }
    }
}

async fn gather_scrape(state: &AdminState, with_vips: bool) -> Scrape {
    let (view, time) = (state.latest_view(), Timestamp::now());
    let now = state.handle.last_beat().now;
    let unapplied_since = view.status.unapplied_since;
    Scrape {
        healthy: state.liveness().is_ok(),
        ready: Readiness::from_view(&view, time).is_ok(),
        unapplied: unapplied_since.map(|since| now.saturating_sub(since)).unwrap_or_default(),
        counts: state.read_counts().await.ok(),
        traffic: state.read_traffic().await.ok(),
        with_vips,
        view,
        time,
    }
}

/// Chooses the format by an Accept header: `OpenMetrics` for a client that asks for it by name and
/// likes nothing better.
fn choose_format<'a>(accept: &'a str) -> Format {
    let ranges = || accept.split(',').map(MediaRange::parse);
    let best = |is_meant: fn(&MediaRange<'a>) -> bool| {
        ranges().filter(is_meant).map(|range| range.quality).fold(0.0, f32::max)
    };
    let openmetrics = best(MediaRange::is_openmetrics);
    match openmetrics > 0.0 && openmetrics >= best(MediaRange::is_text) {
        true => Format::OpenMetrics,
        false => Format::Text,
    }
}

/// A media range of an Accept header.
struct MediaRange<'a> {
    name: &'a str,
    version: Option<&'a str>,
    quality: f32,
}

impl<'a> MediaRange<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let mut range = Self { name, version: None, quality: 1.0 };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            match key.trim() {
                "q" => range.quality = value.trim().parse().unwrap_or(0.0),
                "version" => range.version = Some(value.trim().trim_matches('"')),
                _ => {}
            }
        }
        range
    }

    fn is_openmetrics(&self) -> bool {
        self.name.eq_ignore_ascii_case("application/openmetrics-text")
            && self.version.is_none_or(|version| version == "1.0.0")
    }

    fn is_text(&self) -> bool {
        self.name.eq_ignore_ascii_case("text/plain")
            && self.version.is_none_or(|version| version == "0.0.4")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_the_format_that_it_likes_best() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
                          application/openmetrics-text;version=0.0.1;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in [
            prometheus,
            "application/openmetrics-text",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "text/plain, application/openmetrics-text",
        ] {
            assert_eq!(choose_format(accept), Format::OpenMetrics, "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/html,*/*;q=0.8",
            "text/plain;version=0.0.4",
            "application/openmetrics-text;q=0.1,text/plain;q=0.9",
            "application/openmetrics-text;version=2.0.0,text/plain;q=0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=x",
        ] {
            assert_eq!(choose_format(accept), Format::Text, "{accept}");
        }
    }
}
