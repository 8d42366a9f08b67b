use gotemplate::Value;
use gotemplate::value::{Map, Type};
use helm_chart::{Dependency, Maintainer};
use serde_json::Value as Json;

use crate::convert::{self, Numbers};
use crate::tree::ChartNode;

/// `.Chart`: Chart.yaml under the names that its fields have in Go.
pub(crate) fn metadata(node: &ChartNode<'_>, is_root: bool) -> Map {
    let metadata = &node.chart.metadata;
    let texts = |items: &[String]| Value::list(items.iter().map(|item| item.as_str().into()).collect());
    let maintainers = metadata.maintainers.iter().map(|m| m.as_ref().map_or(Value::Nil, maintainer));
    Map::new(
        &Type::Any,
        [
            ("Name", node.name.as_str().into()),
            ("Home", metadata.home.as_str().into()),
            ("Sources", texts(&metadata.sources)),
            ("Version", metadata.version.as_str().into()),
            ("Description", metadata.description.as_str().into()),
            ("Keywords", texts(&metadata.keywords)),
            ("Maintainers", Value::list(maintainers.collect())),
            ("Icon", metadata.icon.as_str().into()),
            ("APIVersion", metadata.api_version.as_str().into()),
            ("Condition", metadata.condition.as_str().into()),
            ("Tags", metadata.tags.as_str().into()),
            ("AppVersion", metadata.app_version.as_str().into()),
            ("Deprecated", metadata.deprecated.into()),
            ("Annotations", annotations(&metadata.annotations)),
            ("KubeVersion", metadata.kube_version.as_str().into()),
            ("Dependencies", Value::list(node.dependencies.iter().map(dependency).collect())),
            ("Type", metadata.kind.as_str().into()),
            ("IsRoot", is_root.into()),
        ],
    )
}

fn annotations(annotations: &serde_json::Map<String, Json>) -> Value {
    if annotations.is_empty() {
        return Value::Map(Map::nil(&Type::String));
    }
    let text = |value: &Json| Value::from(value.as_str().unwrap_or_default());
    Value::Map(Map::new(&Type::String, annotations.iter().map(|(key, value)| (key.as_str(), text(value)))))
}

fn maintainer(maintainer: &Maintainer) -> Value {
    Value::map(
        [
            ("Name", maintainer.name.as_str()),
            ("Email", maintainer.email.as_str()),
            ("URL", maintainer.url.as_str()),
        ]
        .map(|(key, value)| (key, Value::from(value))),
    )
}

fn dependency(dependency: &Dependency) -> Value {
    let import = |import: &Json| match import {
        Json::Object(paths) => {
            let text = |value: &Json| Value::from(value.as_str().unwrap_or_default());
            Value::Map(Map::new(&Type::String, paths.iter().map(|(key, value)| (key.as_str(), text(value)))))
        }
        other => convert::from_json(other, Numbers::Floats),
    };
    Value::map([
        ("Name", dependency.name.as_str().into()),
        ("Version", dependency.version.as_str().into()),
        ("Repository", dependency.repository.as_str().into()),
        ("Condition", dependency.condition.as_str().into()),
        ("Tags", Value::list(dependency.tags.iter().map(|tag| tag.as_str().into()).collect())),
        ("Enabled", dependency.enabled.into()),
        ("ImportValues", Value::list(dependency.import_values.iter().map(import).collect())),
        ("Alias", dependency.alias.as_str().into()),
    ])
}
