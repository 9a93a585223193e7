//! The part of JSON Schema that `openapi.json` is written in. A keyword that isn't known
//! here fails, so nothing is passed over.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

pub(crate) struct Document(Value);

/// Keywords that describe and don't constrain.
const TALK: [&str; 3] = ["description", "examples", "format"];

impl Document {
    pub(crate) fn new(document: Value) -> Self {
        assert_eq!(document["openapi"], "3.1.0");
        Self(document)
    }

    /// Every path that there is.
    pub(crate) fn paths(&self) -> BTreeSet<String> {
        self.0["paths"].as_object().unwrap().keys().cloned().collect()
    }

    /// Holds an answer to what the document says of its path and status.
    pub(crate) fn check(&self, path: &str, status: u16, mime: &str, body: &str) {
        let response = &self.0["paths"][path]["get"]["responses"][status.to_string()];
        let content = response["content"].as_object();
        let content = content.unwrap_or_else(|| panic!("{path} never answers {status}: {body}"));
        let kind = mime.split(';').next().unwrap();
        let schema = &content.get(kind).unwrap_or_else(|| panic!("{path}: {kind}"))["schema"];
        if kind == "application/json" {
            let value = serde_json::from_str(body).unwrap();
            if let Err(why) = self.valid(schema, &value) {
                panic!("GET {path}, {status}: {why}\n{value:#}");
            }
        } else {
            assert_eq!(schema["type"], "string", "{path}");
        }
    }

    fn valid(&self, schema: &Value, value: &Value) -> Result<(), String> {
        for (keyword, rule) in schema.as_object().unwrap() {
            match keyword.as_str() {
                "$ref" => {
                    let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                    let schema = self.0.pointer(pointer).unwrap_or_else(|| panic!("{pointer}"));
                    self.valid(schema, value)?;
                }
                "type" => is_of_type(rule, value)?,
                "enum" if rule.as_array().unwrap().contains(value) => {}
                "enum" => return Err(format!("{value} is none of {rule}")),
                "minimum" => {
                    if value.as_f64().is_some_and(|value| value < rule.as_f64().unwrap()) {
                        return Err(format!("{value} is less than {rule}"));
                    }
                }
                "oneOf" => {
                    let all = rule.as_array().unwrap().iter().map(|each| self.valid(each, value));
                    let (good, bad): (Vec<_>, Vec<_>) = all.partition(Result::is_ok);
                    if good.len() != 1 {
                        return Err(format!("{} of {} fit: {bad:?}", good.len(), rule));
                    }
                }
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.valid(rule, item).map_err(|why| format!("[{index}] {why}"))?;
                    }
                }
                "required" => {
                    for name in rule.as_array().unwrap() {
                        if value.is_object() && value.get(name.as_str().unwrap()).is_none() {
                            return Err(format!("{name} is missing"));
                        }
                    }
                }
                "properties" | "additionalProperties" => self.members(schema, value)?,
                other => assert!(TALK.contains(&other), "the test doesn't know {other}"),
            }
        }
        Ok(())
    }

    fn members(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let none = Map::new();
        let known = schema["properties"].as_object().unwrap_or(&none);
        for (name, member) in value.as_object().into_iter().flatten() {
            let rule = known.get(name).unwrap_or(&schema["additionalProperties"]);
            match rule {
                Value::Bool(false) => return Err(format!("{name} is not in the document")),
                Value::Bool(true) | Value::Null => {}
                rule => self.valid(rule, member).map_err(|why| format!(".{name} {why}"))?,
            }
        }
        Ok(())
    }
}

fn is_of_type(rule: &Value, value: &Value) -> Result<(), String> {
    let fits = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the test doesn't know {other}"),
    };
    let good = rule.as_array().map_or_else(|| fits(rule), |names| names.iter().any(fits));
    if good { Ok(()) } else { Err(format!("{value} is no {rule}")) }
}

#[test]
fn an_answer_with_more_or_less_than_the_document_has_is_caught() {
    let schema = serde_json::json!({
        "type": "object", "additionalProperties": false, "required": ["a"],
        "properties": {"a": {"type": ["integer", "null"], "minimum": 1}},
    });
    let document = Document(Value::Null);
    for (value, good) in [
        (r#"{"a":1}"#, true),
        (r#"{"a":null}"#, true),
        (r#"{"a":0}"#, false),
        (r#"{"a":"1"}"#, false),
        (r#"{}"#, false),
        (r#"{"a":1,"b":2}"#, false),
        ("[]", false),
    ] {
        let value: Value = serde_json::from_str(value).unwrap();
        assert_eq!(document.valid(&schema, &value).is_ok(), good, "{value}");
    }
}
