//! The ConfigMaps and Secrets that a Kustomization refers to.

use api::Kustomization;
use references::configs::ConfigKey;

/// Variables, decryption keys, access to other clusters. All in its own namespace.
pub fn config_keys(object: &Kustomization) -> Vec<ConfigKey> {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let key = |kind: &str, name: &str| ConfigKey::new(kind, namespace, name);
    let spec = &object.spec;
    let variables = spec.post_build.iter().flat_map(|post_build| &post_build.substitute_from);
    let keys = spec.decryption.iter().filter_map(|decryption| decryption.secret_ref.as_ref());
    let access = spec.kube_config.iter().flat_map(|config| ConfigKey::of_kube_config(namespace, config));
    variables
        .map(|reference| key(&reference.kind, &reference.name))
        .chain(keys.map(|reference| key("Secret", &reference.name)))
        .chain(access)
        .collect()
}

#[cfg(test)]
mod tests {
    use api::kustomization::{Decryption, PostBuild, SubstituteReference};

    use super::*;

    #[test]
    fn variables_keys_and_access_are_references() {
        let mut app = Kustomization::new("app", Default::default());
        app.metadata.namespace = Some("ns".into());
        let reference = |kind: &str, name: &str| SubstituteReference {
            kind: kind.into(),
            name: name.into(),
            ..SubstituteReference::default()
        };
        app.spec.post_build = Some(PostBuild {
            substitute_from: vec![reference("ConfigMap", "vars"), reference("Secret", "more")],
            ..PostBuild::default()
        });
        app.spec.decryption = Some(Decryption {
            secret_ref: Some(api::LocalObjectReference { name: "keys".into() }),
            ..Decryption::default()
        });
        let names: Vec<_> =
            config_keys(&app).into_iter().map(|k| format!("{}/{}/{}", k.kind, k.namespace, k.name)).collect();
        assert_eq!(names, ["ConfigMap/ns/vars", "Secret/ns/more", "Secret/ns/keys"]);
    }
}
