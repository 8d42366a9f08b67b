//! `spec.verify` of a HelmChart: charts that the real Helm has pushed, signed by the real cosign or as Notation does it, and such
//! that were signed without a key.

use anyhow::{Context, Result};
use e2e::cosign::{Cosign, Form};
use e2e::file_server::FileServer;
use e2e::helm::{helm, package};
use e2e::notation::{Notation, policy};
use e2e::objects::Look;
use e2e::process::temp_folder;
use e2e::registry::{Registry, Setup};
use e2e::scenario::{Scenario, Settings};
use e2e::sigstore::{ISSUER, SUBJECT, Signed};
use e2e::tuf::{FUTURE, Mirror};
use oci::Digest;
use serde_json::{Value, json};

use crate::helm_chart::{chart, stored};

const CHART: &str = "HelmChart/app";

/// Has Helm push versions of a chart; gives the digest of each.
async fn push(registry: &Registry, versions: &[&str]) -> Result<Vec<Digest>> {
    let (folder, pusher) = (temp_folder("charts")?, registry.pusher());
    let mut digests = Vec::new();
    for version in versions {
        let (archive, place) =
            (package(folder.path(), "app", version)?, format!("oci://{}/team", registry.address()));
        helm(folder.path(), &["push", &archive, &place, "--plain-http"])?;
        let url = format!("{}/manifests/{version}", pusher.url);
        let accept = "application/vnd.oci.image.manifest.v1+json";
        let manifest = pusher.client.get(url).header("Accept", accept).send().await?.error_for_status()?;
        digests.push(Digest::of(&manifest.bytes().await?));
    }
    Ok(digests)
}

fn repository(registry: &Registry) -> String {
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {{name: charts}}\nspec:\n  type: oci\n  \
         insecure: true\n  url: oci://{}/team\n",
        registry.address()
    )
}

/// What is told of a chart that is not signed as it must be.
async fn unverified(test: &Scenario, text: &str) -> Result<()> {
    let text = format!("chart verification error: failed to verify oci://{text}");
    test.condition(CHART, "BuildFailed", "True", "ChartVerificationError", &text).await?;
    for condition in ["SourceVerified", "Ready"] {
        test.condition(CHART, condition, "False", "VerificationError", &text).await?;
    }
    Ok(())
}

async fn verified(test: &Scenario, version: &str) -> Result<Value> {
    let app = stored(test, CHART, version).await?;
    let text = format!("verified signature of version {version}");
    test.condition(CHART, "SourceVerified", "True", "Succeeded", &text).await?;
    Ok(app)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_is_taken_only_if_a_trusted_key_has_signed_it() -> Result<()> {
    let (test, cosign) = (Scenario::new("hc-verify").await?, Cosign::new()?);
    let registry = Registry::start(Setup { referrers: true, ..Setup::default() }).await;
    let digests = push(&registry, &["1.0.0", "1.1.0"]).await?;
    let [first, second] = digests.as_slice() else { anyhow::bail!("two versions") };
    let (mine, other) = (cosign.generate("mine")?, cosign.generate("other")?);
    let keys = |entries: Value| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": entries})
            .to_string()
    };
    test.apply(&repository(&registry)).await?;
    let verify = "  version: 1.0.0\n  verify: {provider: cosign, secretRef: {name: keys}}";
    test.apply(&chart("app", "app", "HelmRepository", "charts", verify)).await?;
    let text = "failed to verify the signature using provider 'cosign': secrets \"keys\" not found";
    test.condition(CHART, "SourceVerified", "False", "VerificationError", text).await?;
    let unknown = format!("unknown build error: {text}");
    test.condition(CHART, "FetchFailed", "True", "Unknown", &unknown).await?;
    test.event(CHART, "Warning", "VerificationError", text).await?;

    test.apply(&keys(json!({"cosign.pub": other}))).await?;
    test.request(CHART).await?;
    let none = |version: &str, digest: &Digest| {
        let place = format!("{}/team/app", registry.address());
        format!("{place}:{version}: no matching signatures were found for '{place}@{digest}': ")
    };
    unverified(&test, &format!("{}no signatures found", none("1.0.0", first))).await?;
    test.event(CHART, "Warning", "ChartVerificationError", "no signatures found").await?;
    assert!(test.get(CHART).await?.pointer("/status/artifact").is_none(), "nothing was stored");
    cosign.sign("mine", &registry.address(), first, Form::Bundle)?;
    test.request(CHART).await?;
    unverified(&test, &none("1.0.0", first)).await?;
    // The second key is as good as the first one.
    test.apply(&keys(json!({"a.pub": other, "b.pub": mine}))).await?;
    test.request(CHART).await?;
    verified(&test, "1.0.0").await?;

    // What is stored stays when another version is not signed.
    test.patch(CHART, &json!({"spec": {"version": "1.x"}})).await?;
    unverified(&test, &none("1.1.0", second)).await?;
    assert_eq!(test.get(CHART).await?.text("/status/artifact/revision"), "1.0.0");
    cosign.sign("mine", &registry.address(), second, Form::Tag)?;
    test.request(CHART).await?;
    verified(&test, "1.1.0").await?;

    // Other keys, no other chart. Entries that were applied by `stringData` stay unless they are replaced.
    test.apply(&keys(json!({"a.pub": other, "b.pub": other, "cosign.pub": other}))).await?;
    test.request(CHART).await?;
    unverified(&test, &none("1.1.0", second)).await?;

    test.patch(CHART, &json!({"spec": {"verify": null}})).await?;
    let is_unverified = |object: &Value| object.is_ready() && object.condition("SourceVerified").is_none();
    test.until(CHART, "is not verified", is_unverified).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_is_taken_only_if_a_trusted_identity_has_signed_it() -> Result<()> {
    let mirror = Mirror::new();
    let server = FileServer::start(mirror.folder(), None).await?;
    let (url, initial) = (server.url(), mirror.initial());
    let environment = [("TUF_MIRROR", url.as_str()), ("TUF_ROOT_JSON", initial.as_str())];
    let settings = Settings { environment: &environment, ..Settings::default() };
    let test = Scenario::with_settings("hc-verify-keyless", settings).await?;
    let registry = Registry::start(Setup { referrers: true, ..Setup::default() }).await;
    let digests = push(&registry, &["1.0.0"]).await?;
    let digest = digests.first().context("one version")?;
    let signed = Signed::new(&[digest])?;
    mirror.publish(1, FUTURE, signed.trusted_root().as_bytes());
    test.apply(&repository(&registry)).await?;
    let verify = "  version: 1.0.0\n  verify: {provider: cosign, matchOIDCIdentity: [{issuer: 'token[.]ci', subject: org/other}]}";
    test.apply(&chart("app", "app", "HelmRepository", "charts", verify)).await?;
    let place = format!("{}/team/app:1.0.0: ", registry.address());
    unverified(&test, &format!("{place}no signatures found")).await?;
    signed.attach_bundle(&registry.pusher(), digest).await?;
    test.request(CHART).await?;
    let text = format!(
        "{place}no matching signatures: none of the expected identities matched what was in the certificate, \
         got subjects [{SUBJECT}] with issuer {ISSUER}"
    );
    unverified(&test, &text).await?;
    let identity = json!([{"issuer": "token[.]ci", "subject": "org/app"}]);
    test.patch(CHART, &json!({"spec": {"verify": {"matchOIDCIdentity": identity}}})).await?;
    verified(&test, "1.0.0").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_is_taken_only_if_its_trust_policy_trusts_who_has_signed_it() -> Result<()> {
    let test = Scenario::new("hc-verify-notation").await?;
    let registry = Registry::start(Setup { referrers: true, ..Setup::default() }).await;
    let digests = push(&registry, &["1.0.0", "1.1.0"]).await?;
    let [first, second] = digests.as_slice() else { anyhow::bail!("two versions") };
    let (mine, other) = (Notation::new("Example")?, Notation::new("Other")?);
    let trust = |entries: Value| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "trust"}, "stringData": entries})
            .to_string()
    };
    let place = format!("{}/team/app", registry.address());
    let strict = policy("strict", "x509.subject: C=US, ST=WA, O=Example");
    test.apply(&repository(&registry)).await?;
    let verify = "  version: 1.0.0\n  verify: {provider: notation, secretRef: {name: trust}}";
    test.apply(&chart("app", "app", "HelmRepository", "charts", verify)).await?;
    let failed = "failed to verify the signature using provider 'notation': ";
    let missing = format!("{failed}secrets \"trust\" not found");
    test.condition(CHART, "SourceVerified", "False", "VerificationError", &missing).await?;
    test.apply(&trust(json!({"ca.crt": mine.root()}))).await?;
    test.request(CHART).await?;
    let no_policy = format!("{failed}'trustpolicy.json' not found in secret '{}/trust'", test.namespace);
    test.condition(CHART, "SourceVerified", "False", "VerificationError", &no_policy).await?;

    test.apply(&trust(json!({"trustpolicy.json": strict, "ca.crt": mine.root()}))).await?;
    test.request(CHART).await?;
    unverified(&test, &format!("{place}:1.0.0: no signature is associated with \"{place}@{first}\"")).await?;
    other.attach(&registry.pusher(), first).await?;
    test.request(CHART).await?;
    unverified(&test, &format!("{place}:1.0.0: signature verification failed")).await?;
    assert!(test.get(CHART).await?.pointer("/status/artifact").is_none(), "nothing was stored");
    mine.attach(&registry.pusher(), first).await?;
    test.request(CHART).await?;
    verified(&test, "1.0.0").await?;

    // What is stored stays when another version is not signed, and when somebody else is trusted.
    test.patch(CHART, &json!({"spec": {"version": "1.x"}})).await?;
    unverified(&test, &format!("{place}:1.1.0: no signature is associated with \"{place}@{second}\""))
        .await?;
    assert_eq!(test.get(CHART).await?.text("/status/artifact/revision"), "1.0.0");
    mine.attach(&registry.pusher(), second).await?;
    test.request(CHART).await?;
    verified(&test, "1.1.0").await?;
    test.apply(&trust(json!({"trustpolicy.json": strict, "ca.crt": other.root()}))).await?;
    test.request(CHART).await?;
    unverified(&test, &format!("{place}:1.1.0: signature verification failed")).await?;

    // Nothing vouches for what is taken whoever has signed it.
    let skip = policy("skip", "*");
    test.apply(&trust(json!({"trustpolicy.json": skip, "ca.crt": other.root()}))).await?;
    test.request(CHART).await?;
    let is_unverified = |object: &Value| object.is_ready() && object.condition("SourceVerified").is_none();
    test.until(CHART, "is not verified", is_unverified).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn charts_of_an_index_cannot_be_verified() -> Result<()> {
    let test = Scenario::new("hc-verify-index").await?;
    let folder = temp_folder("charts")?;
    package(folder.path(), "app", "1.0.0")?;
    helm(folder.path(), &["repo", "index", "."])?;
    let server = FileServer::start(folder.path(), None).await?;
    let repository = format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {{name: charts}}\nspec:\n  url: {}\n",
        server.url()
    );
    test.apply(&repository).await?;
    let keys = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}});
    test.apply(&keys.to_string()).await?;
    let verify = "  verify: {provider: cosign, secretRef: {name: keys}}";
    test.apply(&chart("app", "app", "HelmRepository", "charts", verify)).await?;
    let text = "chart verification error: not implemented";
    test.condition(CHART, "BuildFailed", "True", "ChartVerificationError", text).await?;
    test.condition(CHART, "SourceVerified", "False", "VerificationError", text).await?;
    test.finish().await
}
