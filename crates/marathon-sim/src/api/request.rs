//! Requests, as handlers see them.

use std::net::SocketAddr;

use axum::body::Bytes;
use axum::http::Method;
use serde_json::Value;

use super::answer::Error;
use crate::definition::Object;

/// A request, as handlers see it.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) accept: String,
    pub(super) client: SocketAddr,
    pub(super) body: Bytes,
}

impl Request {
    /// Returns the last value of a parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn parameters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Reads a flag that is off by default.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.flag_or(name, false)
    }

    /// Reads a flag as Marathon's HTTP library does, by `java.lang.Boolean.valueOf`: "true" in any
    /// case is true, everything else is false.
    pub(super) fn flag_or(&self, name: &str, default: bool) -> bool {
        self.parameter(name).map_or(default, |value| value.eq_ignore_ascii_case("true"))
    }

    /// Tells whether the client wants plain text and no JSON.
    pub(super) fn wants_text(&self) -> bool {
        self.accept.contains("text/plain") && !self.accept.contains("json")
    }

    /// Parses the body as JSON. Of a duplicate key the last one counts, as in Marathon.
    pub(super) fn parse_json(&self) -> Result<Value, Error> {
        serde_json::from_slice(&self.body).map_err(|error| Error::NotJson(error.to_string()))
    }

    pub(super) fn parse_object(&self) -> Result<Object, Error> {
        into_object(self.parse_json()?)
    }
}

/// Returns a JSON object, or the error of Marathon for another value.
pub(super) fn into_object(value: Value) -> Result<Object, Error> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(Error::wrong_shape("error.expected.jsobject")),
    }
}
