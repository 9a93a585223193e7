//! Answers of the agent checked against the JSON Schemas in `openapi.json`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// The API's description.
pub(crate) struct Document(Value);

impl Document {
    pub(crate) fn new(document: Value) -> Self {
        assert_eq!(document["openapi"], "3.1.0");
        let document = Self(document);
        document.assert_schemas_are_strict();
        document
    }

    /// Every path of the API.
    pub(crate) fn paths(&self) -> BTreeSet<String> {
        self.0["paths"].as_object().unwrap().keys().cloned().collect()
    }

    /// Asserts that an answer is as documented for its path, status and media type.
    pub(crate) fn check(&self, path: &str, status: u16, mime: &str, body: &str) {
        let response = &self.0["paths"][path]["get"]["responses"][status.to_string()];
        let mime = mime.split(';').next().unwrap();
        let content = response["content"].get(mime);
        let content = content.unwrap_or_else(|| panic!("{path}: no {status} as {mime}: {body}"));
        let schema = &content["schema"];
        if mime == "application/json" {
            let value = serde_json::from_str(body).unwrap();
            let faults = self.faults(schema, &value);
            assert!(faults.is_empty(), "GET {path}, {status}: {faults:#?}\n{value:#}");
        } else {
            assert_eq!(schema["type"], "string", "{path}");
        }
    }

    /// Lists what in `value` one of the document's schemas doesn't allow.
    fn faults(&self, schema: &Value, value: &Value) -> Vec<String> {
        // References lead to the document's components.
        let mut schema = schema.clone();
        schema["components"] = self.0["components"].clone();
        faults(&schema, value)
    }

    /// Asserts that no schema has a misspelt keyword, which a validator would pass over.
    fn assert_schemas_are_strict(&self) {
        const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
        // By its dynamic anchor this schema of schemas takes the place of the dialect's own at every
        // depth.
        let strict = json!({
            "$schema": DIALECT,
            "$id": "https://vipd.invalid/strict",
            "$dynamicAnchor": "meta",
            "$ref": DIALECT,
            "unevaluatedProperties": false,
        });
        for schema in schemas(&self.0) {
            let faults = faults(&strict, schema);
            assert!(faults.is_empty(), "{faults:#?}\n{schema:#}");
        }
    }
}

/// Every schema below `value` that isn't a part of another schema.
fn schemas(value: &Value) -> Vec<&Value> {
    let members = value.as_object().into_iter().flatten();
    let found = members.flat_map(|(name, member)| match name.as_str() {
        "schema" => vec![member],
        "schemas" => member.as_object().unwrap().values().collect(),
        _ => schemas(member),
    });
    found.chain(value.as_array().into_iter().flatten().flat_map(schemas)).collect()
}

fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let options = jsonschema::draft202012::options().should_validate_formats(true);
    let validator = options.build(schema).unwrap();
    let errors = validator.iter_errors(value);
    errors.map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn an_answer_with_more_or_less_than_the_document_has_is_caught() {
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["a"],
        "properties": {"a": {"type": ["integer", "null"], "minimum": 1}},
    });
    let components = json!({"schemas": {"Answer": schema}});
    let document = Document::new(json!({"openapi": "3.1.0", "components": components}));
    let answer = json!({"$ref": "#/components/schemas/Answer"});
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
        let faults = document.faults(&answer, &value);
        assert_eq!(faults.is_empty(), good, "{value}: {faults:?}");
    }
}

#[test]
#[should_panic(expected = "minimun")]
fn a_misspelt_keyword_is_caught_at_any_depth() {
    let schema = json!({"properties": {"a": {"items": {"minimun": 1}}}});
    Document::new(json!({"openapi": "3.1.0", "components": {"schemas": {"Answer": schema}}}));
}
