//! The values of a HelmRelease: read, composed, and what of them is secret.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::HelmRelease;
use api::helm::actions::RESOLVE_VALUES;
use api::helm::reasons::VALUES_ERROR;
use apply::mask::Mask;
use helm_values::{Error, Kind, Limits, Referent, Referents, Values, compose, referents};
use kube::ResourceExt;
use references::Kind as ReadKind;
use references::configs::ConfigKey;
use runtime::controller::due_since;
use runtime::error::TaskError;
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
        let limits = Limits::default();
        let known = self.referents(&limits).await.map_err(refused)?;
        let work = tokio::task::spawn_blocking(move || {
            let spec = &object.spec;
            let namespace = object.namespace().unwrap_or_default();
            let values = compose(
                &namespace,
                spec.values.as_ref(),
                &spec.values_from,
                &known,
                &limits,
                &mut |missing| tracing::info!("{missing}"),
            )?;
            Ok(Composed { values, secrets: mask(&known, &limits)? })
        });
        let composed = work.await.map_err(|error| Obstacle::untold(TaskError::from(error).to_string()))?;
        composed.map_err(refused)
    }

    /// What no message about the end of a release may show, as far as it can still be read.
    pub(crate) async fn secrets(&self) -> Mask {
        let limits = Limits::default();
        let Ok(known) = self.referents(&limits).await else { return Mask::default() };
        let work = tokio::task::spawn_blocking(move || mask(&known, &limits).unwrap_or_default());
        work.await.unwrap_or_default()
    }

    /// The objects that the references name, as far as they are there.
    async fn referents(&self, limits: &Limits) -> Result<Referents, Error> {
        let mut known = Referents::default();
        for wanted in referents(&self.subject.object.spec.values_from, limits)? {
            let kind = match wanted.kind {
                Kind::ConfigMap => ReadKind::ConfigMap,
                Kind::Secret => ReadKind::Secret,
            };
            let namespace = self.subject.namespace();
            match self.context.reads.entries(kind, namespace, wanted.name, due_since()).await {
                Ok(entries) => {
                    let entries = entries.iter().map(|(key, value)| (key.as_str(), value.0.as_slice()));
                    known.found(&wanted, entries, limits)?;
                }
                Err(error) => {
                    let text = error.to_string();
                    let referent =
                        if error.is_not_found() { Referent::NotFound(text) } else { Referent::Failed(text) };
                    known.insert(wanted.kind, wanted.name, referent);
                }
            }
        }
        Ok(known)
    }
}

fn refused(error: Error) -> Halt {
    Obstacle::retried(VALUES_ERROR, error.to_string()).told(RESOLVE_VALUES, true).into()
}

/// The entries of Secrets as they are, and the texts in those that are YAML.
fn mask(known: &Referents, limits: &Limits) -> Result<Mask, Error> {
    let mut texts = BTreeSet::new();
    for entry in known.secrets() {
        if let Ok(document) = helm_chart::first_document(entry, &limits.yaml) {
            add_texts(document, &mut texts);
        }
        if texts.len() > limits.values {
            return Err(Error::Values(limits.values));
        }
    }
    Ok(Mask::new(texts.iter().map(String::as_bytes).chain(known.secrets())))
}

fn add_texts(value: Value, texts: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(texts.insert(text)),
        Value::Array(items) => items.into_iter().for_each(|item| add_texts(item, texts)),
        Value::Object(fields) => fields.into_iter().for_each(|(_, field)| add_texts(field, texts)),
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
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_secrets_hold_is_masked_as_a_whole_and_in_parts() {
        let mut known = Referents::default();
        let entries = [("a", "database:\n  password: hunter2\n  port: 5432\n"), ("b", "token-1")];
        known.insert(Kind::Secret, "s", Referent::Found(entries.into_iter().collect()));
        known.insert(Kind::ConfigMap, "c", Referent::Found([("a", "plain")].into_iter().collect()));
        let limits = Limits { values: 2, ..Limits::default() };
        let secrets = mask(&known, &limits).unwrap();
        assert_eq!(secrets.apply("bad hunter2 at 5432: token-1, plain"), "bad ***** at 5432: *****, plain");
        let limits = Limits { values: 1, ..limits };
        assert_eq!(mask(&known, &limits), Err(Error::Values(1)));
    }
}
