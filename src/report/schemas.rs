//! The schemas in openapi.json that are made from the types of this module.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use vip::VipState;

use super::explanation::Explanation;
use super::vips::VipReport;

/// The schemas, by name, in the words that openapi.json is written in.
fn schemas() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    generator.subschema_for::<VipReport>();
    generator.subschema_for::<Explanation>();
    let mut schemas = generator.take_definitions(true);
    schemas.values_mut().for_each(simplify);
    schemas
}

/// Refers to the schema of [`VipState`], which stands in another crate and is written by hand.
pub(super) fn vip_state(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"$ref": "#/components/schemas/VipState"})
}

/// Admits no field that isn't described, lists the values of an enum, and drops what only Rust
/// needs to know.
fn simplify(schema: &mut Value) {
    let Value::Object(fields) = schema else {
        schema.as_array_mut().into_iter().flatten().for_each(simplify);
        return;
    };
    if fields.contains_key("properties") {
        fields.insert("additionalProperties".into(), false.into());
    }
    let is_integer_format =
        |format: &Value| format.as_str().is_some_and(|format| format.starts_with("uint"));
    if fields.get("format").is_some_and(is_integer_format) {
        fields.remove("format");
    }
    fields.remove("maximum");
    if let Some(Value::String(text)) = fields.get_mut("description") {
        *text = text.replace('\n', " ").replace("None:", "null:");
    }
    let variants = fields.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
    if !variants.is_empty() && variants.iter().all(|variant| variant.get("const").is_some()) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let values: Vec<_> = variants.iter().map(|variant| text(&variant["const"])).collect();
        let meanings = variants.iter().zip(&values).map(|(variant, value)| {
            format!(" {value}: {}", text(&variant["description"]).trim_end_matches('.'))
        });
        let meanings = meanings.collect::<Vec<_>>().join(";");
        let description = format!("{}{meanings}.", text(&fields["description"]));
        fields.remove("oneOf");
        fields.extend([
            ("type".to_owned(), json!("string")),
            ("enum".to_owned(), json!(values)),
            ("description".to_owned(), json!(description)),
        ]);
    }
    // Exactly one fits, since a reference is never null.
    if let Some(variants) = fields.remove("anyOf") {
        fields.insert("oneOf".into(), variants);
    }
    fields.values_mut().for_each(simplify);
}

#[test]
fn the_document_of_the_api_describes_the_reports() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/openapi.json");
    let read = || serde_json::from_str::<Value>(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut document = read();
    let described = document["components"]["schemas"].as_object_mut().unwrap();
    assert_eq!(described["VipState"]["enum"], json!(VipState::ALL));
    described.extend(schemas());
    if std::env::var_os("VIPD_WRITE_DOCS").is_some() {
        let text = serde_json::to_string_pretty(&document).unwrap();
        std::fs::write(path, text + "\n").unwrap();
    }
    assert!(
        read() == document,
        "VIPD_WRITE_DOCS=1 cargo test schemas writes src/admin/openapi.json"
    );
}
