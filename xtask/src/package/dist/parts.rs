//! The list of the crates in the program, as a software bill of materials: `CycloneDX` 1.5, JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::build::Build;
use crate::cargo::cargo_command;

/// The part of `cargo metadata` with all dependencies that is used here.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Crate {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    /// `None` for those of this workspace.
    source: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Debug, Deserialize)]
struct DependencyKind {
    /// `None` for a normal one; `build` and `dev` are in no program.
    kind: Option<String>,
}

/// Writes the list.
pub(super) fn write_parts(build: &Build<'_>) -> Result<()> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = cargo_command()
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &target])
        .output()
        .context("cannot start cargo")?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let list = describe_parts(&metadata, "vipd")?;
    fs::write(build.file(".cdx.json")?, serde_json::to_vec_pretty(&list)?)?;
    Ok(())
}

fn describe_parts(metadata: &Metadata, program: &str) -> Result<Value> {
    let crates: BTreeMap<_, _> = metadata.packages.iter().map(|each| (&each.id, each)).collect();
    let nodes: BTreeMap<_, _> =
        metadata.resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let is_root = |each: &&Crate| each.name == program && each.source.is_none();
    let root = metadata.packages.iter().find(is_root).context("the program isn't listed")?;
    let mut found = BTreeSet::from([&root.id]);
    let mut left = vec![&root.id];
    while let Some(id) = left.pop() {
        let node = nodes.get(id).with_context(|| format!("{id} isn't resolved"))?;
        let is_in = |dep: &&Dependency| dep.dep_kinds.iter().any(|kind| kind.kind.is_none());
        left.extend(
            node.deps.iter().filter(is_in).map(|dep| &dep.pkg).filter(|id| found.insert(id)),
        );
    }
    let describe = |kind: &str, each: &Crate| {
        let purl = format!("pkg:cargo/{}@{}", each.name, each.version);
        let mut part = json!({
            "type": kind, "name": each.name, "version": each.version, "bom-ref": purl, "purl": purl,
        });
        if let Some(license) = &each.license {
            part["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
        }
        part
    };
    let parts = found.iter().filter(|id| **id != &root.id).filter_map(|id| crates.get(id));
    let mut parts: Vec<_> = parts.copied().collect();
    parts.sort_by_key(|each| (&each.name, &each.version));
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": describe("application", root)},
        "components": parts.into_iter().map(|each| describe("library", each)).collect::<Vec<_>>(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_tests_and_build_scripts_need_is_no_part() {
        let metadata = json!({
            "packages": [
                {"id": "a", "name": "vipd", "version": "1.0.0", "license": "Apache-2.0"},
                {"id": "b", "name": "tokio", "version": "1.2.3", "license": "MIT/Apache-2.0", "source": "r"},
                {"id": "c", "name": "cc", "version": "1.0.0", "source": "r"},
                {"id": "d", "name": "mio", "version": "2.0.0", "license": "MIT", "source": "r"},
            ],
            "resolve": {"nodes": [
                {"id": "a", "deps": [
                    {"pkg": "b", "dep_kinds": [{"kind": null}, {"kind": "dev"}]},
                    {"pkg": "c", "dep_kinds": [{"kind": "build"}]},
                ]},
                {"id": "b", "deps": [{"pkg": "d", "dep_kinds": [{"kind": null}]}]},
                {"id": "c", "deps": []},
                {"id": "d", "deps": []},
            ]},
        });
        let list = describe_parts(&serde_json::from_value(metadata).unwrap(), "vipd").unwrap();
        let parts = list["components"].as_array().unwrap();
        let names: Vec<_> = parts.iter().map(|part| part["purl"].as_str().unwrap()).collect();
        assert_eq!(names, ["pkg:cargo/mio@2.0.0", "pkg:cargo/tokio@1.2.3"]);
        assert_eq!(parts[1]["licenses"][0]["expression"], "MIT OR Apache-2.0");
    }
}
