//! What a binary is made of, as [CycloneDX 1.6](https://cyclonedx.org/docs/1.6/json/).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The part of `cargo metadata --format-version 1` that is read.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// Where cargo builds.
    pub target_directory: PathBuf,
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
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
    /// `None` for what is linked, else `build` or `dev`.
    kind: Option<String>,
}

/// What is linked into a binary.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Component {
    #[serde(rename = "type")]
    component_type: &'static str,
    #[serde(rename = "bom-ref")]
    reference: String,
    name: String,
    version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<Value>,
}

impl Metadata {
    /// The bill of materials of the binary of the package `name`: every package that is linked into it, and who needs whom.
    /// Packages of this project have no address.
    ///
    /// # Errors
    ///
    /// If there is no such package.
    pub fn bill_of_materials(&self, name: &str, version: &str) -> Result<Value> {
        let packages: BTreeMap<&str, &Package> =
            self.packages.iter().map(|package| (package.id.as_str(), package)).collect();
        let linked: BTreeMap<&str, Vec<&str>> = self
            .resolve
            .nodes
            .iter()
            .map(|node| {
                let is_linked =
                    |dependency: &&Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
                let linked = node.deps.iter().filter(is_linked).map(|dependency| dependency.pkg.as_str());
                (node.id.as_str(), linked.collect())
            })
            .collect();
        let is_root = |package: &&Package| package.name == name && package.source.is_none();
        let root = self.packages.iter().find(is_root).with_context(|| format!("no package {name}"))?;
        let (mut seen, mut next) = (BTreeSet::new(), vec![root.id.as_str()]);
        while let Some(id) = next.pop() {
            if seen.insert(id) {
                next.extend(linked.get(id).into_iter().flatten());
            }
        }
        let component = |package: &&Package| Component {
            component_type: "library",
            reference: reference(package),
            name: package.name.clone(),
            version: package.version.clone(),
            // An old way to say "or".
            licenses: package.license.iter().map(|l| json!({"expression": l.replace('/', " OR ")})).collect(),
            purl: package.source.is_some().then(|| reference(package)),
            external_references: package
                .repository
                .iter()
                .map(|r| json!({"type": "vcs", "url": r}))
                .collect(),
        };
        let mut known: Vec<&Package> = seen.iter().filter_map(|id| packages.get(id).copied()).collect();
        known.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        let dependencies: Vec<Value> = known
            .iter()
            .map(|package| {
                let linked = linked.get(package.id.as_str()).into_iter().flatten();
                let on: BTreeSet<String> =
                    linked.filter_map(|id| packages.get(id).map(|package| reference(package))).collect();
                json!({"ref": reference(package), "dependsOn": on})
            })
            .collect();
        Ok(json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {"component": {
                "type": "application", "bom-ref": reference(root), "name": name, "version": version,
            }},
            "components": known.iter().filter(|package| package.id != root.id).map(component).collect::<Vec<_>>(),
            "dependencies": dependencies,
        }))
    }
}

/// The package URL; there is one for packages of this project, too, since it is unique.
fn reference(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_listed_and_what_only_builds_or_tests_is_not() {
        let package = |name: &str, source: Option<&str>| json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0", "repository": null, "source": source});
        let needs = |name: &str, kind: Option<&str>| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let metadata: Metadata = serde_json::from_value(json!({
            "target_directory": "target",
            "packages": [package("app", None), package("own", None), package("deep", Some("registry")), package("tool", Some("registry"))],
            "resolve": {"nodes": [
                {"id": "app", "deps": [needs("own", None), needs("tool", Some("build"))]},
                {"id": "own", "deps": [needs("deep", None), needs("app", Some("dev"))]},
                {"id": "deep", "deps": []},
                {"id": "tool", "deps": []},
            ]},
        }))
        .unwrap();
        let bill = metadata.bill_of_materials("app", "v1").unwrap();
        let names: Vec<_> = bill["components"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
        assert_eq!(names, ["deep", "own"]);
        assert_eq!(bill["components"][0]["purl"], "pkg:cargo/deep@1.0.0");
        assert_eq!(bill["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert!(bill["components"][1].get("purl").is_none());
        assert_eq!(
            bill["dependencies"][0],
            json!({"ref": "pkg:cargo/app@1.0.0", "dependsOn": ["pkg:cargo/own@1.0.0"]})
        );
        assert!(metadata.bill_of_materials("none", "v1").is_err());
    }
}
