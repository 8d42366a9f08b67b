//! The variables of the post-build substitution.

use std::collections::BTreeMap;

use api::kustomization::{PostBuild, SubstituteReference};
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{Api, Client};
use references::get;
use substitute::Variables;

/// Reads the referenced ConfigMaps and Secrets with the controller's own identity, each once. Later references win
/// over earlier ones and inline variables over all.
pub async fn load(client: &Client, namespace: &str, post_build: &PostBuild) -> Result<Variables, String> {
    let mut variables = BTreeMap::new();
    for reference in &post_build.substitute_from {
        let data = read(client, namespace, reference).await.map_err(|error| {
            let (kind, name) = (&reference.kind, &reference.name);
            format!("substitute from '{kind}/{name}' error: {error}")
        })?;
        variables.extend(data);
    }
    variables.extend(post_build.substitute.iter().map(|(k, v)| (k.clone(), v.clone().into_bytes())));
    Variables::new(variables).map_err(|error| error.to_string())
}

async fn read(
    client: &Client,
    namespace: &str,
    reference: &SubstituteReference,
) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let result = match reference.kind.as_str() {
        "ConfigMap" => {
            let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
            let bytes = |(key, value): (String, String)| (key, value.into_bytes());
            let found = get(&api, &reference.name).await;
            found.map(|object| object.data.unwrap_or_default().into_iter().map(bytes).collect())
        }
        "Secret" => {
            let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
            let bytes = |(key, value): (String, ByteString)| (key, value.0);
            let found = get(&api, &reference.name).await;
            found.map(|object| object.data.unwrap_or_default().into_iter().map(bytes).collect())
        }
        other => return Err(format!("kind '{other}' is neither ConfigMap nor Secret")),
    };
    match result {
        Err(error) if error.is_not_found() && reference.optional => Ok(BTreeMap::new()),
        other => other.map_err(|error| error.to_string()),
    }
}
