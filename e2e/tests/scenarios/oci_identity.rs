//! The identity of an OCIRepository: a token of its service account, shown to the registry as it is.

use std::fs;

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::registry::CloudRegistry;
use e2e::scenario::Scenario;
use e2e::wait::Not;
use serde_json::{Value, json};

use crate::cloud_keys::claims;
use crate::token_rights::bind;

const SOURCE: &str = "OCIRepository/app";

/// The next header `Authorization` of a scheme that the registry is shown, without the scheme, and for these audiences. What is shown
/// before may be of a try that had begun.
async fn shown(test: &Scenario, registry: &CloudRegistry, scheme: &str, audiences: &Value) -> Result<String> {
    let is_wanted = |shown: &&str| {
        let basic = STANDARD.decode(shown).ok().and_then(|basic| String::from_utf8(basic).ok());
        let token =
            basic.as_deref().and_then(|basic| basic.split_once(':')).map_or(*shown, |(_, token)| token);
        claims(token).is_ok_and(|claims| claims["aud"] == *audiences)
    };
    test.request(SOURCE).await?;
    test.wait("the registry is shown a token", async || {
        let headers = registry.take_authorizations();
        let of_scheme = headers.iter().filter_map(|header| header.strip_prefix(&format!("{scheme} ")));
        let wanted = of_scheme.clone().find(is_wanted).map(str::to_owned);
        wanted
            .ok_or_else(|| Not::Yet(format!("{} headers, {} of {scheme}", headers.len(), of_scheme.count())))
    })
    .await
}

async fn annotate(test: &Scenario, annotations: Value) -> Result<()> {
    test.patch("ServiceAccount/me", &json!({"metadata": {"annotations": annotations}})).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_is_shown_the_token_of_an_account_that_opted_in_and_no_other() -> Result<()> {
    let test = Scenario::new("oci-identity").await?;
    let registry = CloudRegistry::start("nobody", "knows").await?;
    let host = format!("127.0.0.1:{}", registry.port());
    registry.set_challenge(&format!("Bearer realm=\"https://{host}/token\""));
    test.apply(&fs::read_to_string(e2e::workspace().join("config/rbac/workload-identity/role.yaml"))?)
        .await?;
    bind(&test, "flux-object-identity-flux-system").await?;
    for object in [
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ca"}, "stringData": {"ca.crt": registry.ca_pem()}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "me"}}),
        json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository", "metadata": {"name": "app"}, "spec": {
            "interval": "1h", "url": format!("oci://{host}/team/app"), "serviceAccountName": "me",
            "certSecretRef": {"name": "ca"},
        }}),
    ] {
        test.apply(&object.to_string()).await?;
    }
    // Whoever is not asked for an identity has none.
    test.condition(SOURCE, "FetchFailed", "True", "OCIArtifactPullFailed", "").await?;
    ensure!(registry.take_authorizations().is_empty());

    let account = format!("system:serviceaccount:{}:me", test.namespace);
    let opt_in =
        json!({"credential.auth.fluxcd.io/provider": "kubernetes", "credential.auth.fluxcd.io/type": "jwt"});
    annotate(&test, opt_in).await?;
    let first = shown(&test, &registry, "Bearer", &json!([host])).await?;
    let told = claims(&first)?;
    ensure!(told["sub"] == account.as_str(), "{told}");

    let more = json!({
        "credential.auth.fluxcd.io/audiences": "a.example, b.example",
        "credential.auth.fluxcd.io/expiration": "20m",
    });
    annotate(&test, more).await?;
    let audiences = json!(["a.example", "b.example"]);
    let told = claims(&shown(&test, &registry, "Bearer", &audiences).await?)?;
    ensure!(
        told["exp"].as_i64().zip(told["iat"].as_i64()).is_some_and(|(to, from)| to - from == 1200),
        "{told}"
    );

    annotate(&test, json!({"credential.auth.fluxcd.io/username": "bot"})).await?;
    registry.set_challenge("Basic realm=\"registry\"");
    let shown = shown(&test, &registry, "Basic", &audiences).await?;
    let shown = String::from_utf8(STANDARD.decode(shown)?)?;
    let (user, password) = shown.split_once(':').unwrap_or_default();
    ensure!(user == "bot" && claims(password)?["sub"] == account.as_str(), "{user}");

    for token in [&*first, password] {
        ensure!(!test.pair()?.source.log_text().contains(token), "a token is in the log");
        ensure!(!test.get(SOURCE).await?.to_string().contains(token), "a token is in the status");
    }
    test.finish().await
}
