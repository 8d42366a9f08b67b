//! The values of a HelmRelease: read, composed, and what of them is secret.

use std::sync::Arc;

use api::HelmRelease;
use api::helm::actions::RESOLVE_VALUES;
use api::helm::reasons::VALUES_ERROR;
use apply::mask::Mask;
use helm_values::{Entries, Kind, Limits, Referent, Referents, Values, compose, referents};
use kube::ResourceExt;
use references::Kind as ReadKind;
use references::configs::ConfigKey;
use runtime::controller::due_since;
use serde_json::Value;

use crate::obstacle::{Halt, Obstacle};
use crate::pass::Pass;

/// What a release is rendered with.
pub struct Composed {
    /// The values.
    pub values: Values,
    /// Those of Secrets, which no message may show.
    pub secrets: Mask,
}

impl Pass<'_> {
    /// Reads the ConfigMaps and Secrets of the values, and composes them.
    ///
    /// # Errors
    /// One cannot be read, or what they hold is no values.
    pub(crate) async fn values(&self) -> Result<Composed, Halt> {
        let object = Arc::new(self.subject.object.clone());
        let (mut known, mut secrets) = (Referents::default(), Vec::new());
        for (kind, name) in referents(&object.spec.values_from) {
            let read_kind = match kind {
                Kind::ConfigMap => ReadKind::ConfigMap,
                Kind::Secret => ReadKind::Secret,
            };
            let read =
                self.context.reads.entries(read_kind, self.subject.namespace(), name, due_since()).await;
            let referent = match read {
                Ok(entries) => {
                    if kind == Kind::Secret {
                        secrets.extend(entries.values().map(|value| value.0.clone()));
                    }
                    let entries = entries.iter().map(|(key, value)| (key.clone(), value.0.clone()));
                    Referent::Found(entries.collect::<Entries>())
                }
                Err(error) if error.is_not_found() => Referent::NotFound(error.to_string()),
                Err(error) => Referent::Failed(error.to_string()),
            };
            known.insert(kind, name, referent);
        }
        let work = tokio::task::spawn_blocking(move || {
            let spec = &object.spec;
            let namespace = object.namespace().unwrap_or_default();
            let values = compose(
                &namespace,
                spec.values.as_ref(),
                &spec.values_from,
                &known,
                &Limits::default(),
                &mut |missing| tracing::info!("{missing}"),
            );
            values.map(|values| Composed { values, secrets: mask(secrets) })
        });
        let composed = work.await.map_err(|error| Obstacle::untold(error.to_string()))?;
        composed.map_err(|error| {
            Obstacle::retried(VALUES_ERROR, error.to_string()).told(RESOLVE_VALUES, true).into()
        })
    }
}

/// The entries of Secrets as they are, and the texts in those that are YAML.
fn mask(entries: Vec<Vec<u8>>) -> Mask {
    let mut texts = Vec::new();
    for entry in &entries {
        if let Ok(document) = helm_chart::first_document(entry, &Limits::default().yaml) {
            add_texts(&document, &mut texts);
        }
    }
    Mask::new(texts.iter().map(String::as_bytes).chain(entries.iter().map(Vec::as_slice)))
}

fn add_texts(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| add_texts(item, texts)),
        Value::Object(fields) => fields.values().for_each(|field| add_texts(field, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The ConfigMaps and Secrets that a HelmRelease refers to: values, and access to another cluster. All in its own namespace.
pub fn config_keys(object: &HelmRelease) -> Vec<ConfigKey> {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let values = object.spec.values_from.iter();
    let values = values.map(|reference| ConfigKey::new(&reference.kind, namespace, &reference.name));
    let access = object.spec.kube_config.iter();
    values.chain(access.flat_map(|config| ConfigKey::of_kube_config(namespace, config))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_secrets_hold_is_masked_as_a_whole_and_in_parts() {
        let mask =
            mask(vec![b"database:\n  password: hunter2\n  port: 5432\n".to_vec(), b"token-1".to_vec()]);
        assert_eq!(mask.apply("bad hunter2 at 5432: token-1"), "bad ***** at 5432: *****");
    }
}
