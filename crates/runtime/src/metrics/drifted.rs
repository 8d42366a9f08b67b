//! Drift that is told of and left as it is, as a series.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Metrics, Sample};

/// How many applied objects of each object of a kind have drifted and stay so. Clones share it.
#[derive(Clone, Debug)]
pub struct DriftedObjects {
    kind: &'static str,
    /// By namespace and name.
    counts: Arc<Mutex<BTreeMap<(String, String), usize>>>,
}

impl DriftedObjects {
    /// Shows the counts of a kind in the metrics, each as long as there is the object.
    pub fn of_kind(kind: &'static str, metrics: &Metrics) -> Self {
        let drifted = Self { kind, counts: Arc::default() };
        let (counts, known) = (drifted.clone(), drifted.clone());
        metrics.live(move || counts.samples());
        metrics.on_forget(move |kind, namespace, name| {
            if kind == known.kind {
                known.set(namespace, name, 0);
            }
        });
        drifted
    }

    /// So many were found of an object. Without any there is no series.
    pub fn set(&self, namespace: &str, name: &str, count: usize) {
        let (mut counts, key) = (self.lock(), (namespace.to_owned(), name.to_owned()));
        match count {
            0 => drop(counts.remove(&key)),
            count => drop(counts.insert(key, count)),
        }
    }

    fn samples(&self) -> Vec<Sample> {
        let sample = |((namespace, name), count): (&(String, String), &usize)| Sample {
            name: "gotk_drifted_objects",
            help: "Applied objects that are not as Git says and are only reported.",
            labels: vec![
                ("kind", self.kind.to_owned()),
                ("name", name.clone()),
                ("namespace", namespace.clone()),
            ],
            value: *count as f64,
        };
        self.lock().iter().map(sample).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn drifted_objects_are_a_series_as_long_as_there_are_some() {
        let metrics = Metrics::new().unwrap();
        let drifted = DriftedObjects::of_kind("Kustomization", &metrics);
        drifted.set("flux-system", "app", 3);
        drifted.set("flux-system", "whole", 0);
        let line = r#"gotk_drifted_objects{kind="Kustomization",name="app",namespace="flux-system"} 3"#;
        assert!(metrics.render().contains(line), "{}", metrics.render());
        assert!(!metrics.render().contains("whole"));
        drifted.set("flux-system", "app", 0);
        assert!(!metrics.render().contains("gotk_drifted_objects"));
        drifted.set("flux-system", "app", 1);
        metrics.forget("GitRepository", "flux-system", "app");
        assert!(metrics.render().contains("gotk_drifted_objects"), "another kind");
        metrics.forget("Kustomization", "flux-system", "app");
        assert!(!metrics.render().contains("gotk_drifted_objects"));
    }
}
