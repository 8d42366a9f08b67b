//! `spec.verify` of an OCIRepository: signatures by the real cosign, made with keys, such that were made without, and signatures as
//! Notation makes them.

use anyhow::{Result, ensure};
use e2e::cosign::{Cosign, Form};
use e2e::document;
use e2e::notation::{Notation, policy};
use e2e::objects::Look;
use e2e::registry::{LAYER, Registry, Setup};
use e2e::scenario::Scenario;
use e2e::sigstore::{ISSUER, SUBJECT, Signed};
use oci::{Digest, OCI_MANIFEST};
use serde_json::{Value, json};

const SOURCE: &str = "OCIRepository/app";

fn source(registry: &Registry) -> String {
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {{name: app}}\n\
         spec:\n  interval: 1h\n  url: oci://{}/team/app\n  layerSelector: {{operation: copy}}\n  \
         verify: {{provider: cosign, secretRef: {{name: keys}}}}\n",
        registry.address()
    )
}

async fn trust(test: &Scenario, entries: &Value) -> Result<()> {
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": entries});
    test.apply(&secret.to_string()).await
}

async fn unverified(test: &Scenario, text: &str) -> Result<()> {
    let text = format!("failed to verify the signature using provider 'cosign': {text}");
    for (condition, status) in [("SourceVerified", "False"), ("Ready", "False")] {
        test.condition(SOURCE, condition, status, "VerificationError", &text).await?;
    }
    Ok(())
}

async fn verified(test: &Scenario, digest: &Digest) -> Result<Value> {
    let text = format!("verified signature of revision latest@{digest}");
    test.condition(SOURCE, "SourceVerified", "True", "Succeeded", &text).await?;
    let app = test.ready(SOURCE).await?;
    assert_eq!(app.text("/status/artifact/revision"), format!("latest@{digest}"));
    Ok(app)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_taken_only_if_a_trusted_key_has_signed_it() -> Result<()> {
    let (test, cosign) = (Scenario::new("oci-verify").await?, Cosign::new()?);
    let registry = Registry::start(Setup { referrers: true, ..Setup::default() }).await;
    let first = registry.pusher().artifact("latest", &[(LAYER, b"one")]).await;
    test.apply(&source(&registry)).await?;
    unverified(&test, "secrets \"keys\" not found").await?;
    let (mine, other) = (cosign.generate("mine")?, cosign.generate("other")?);
    trust(&test, &json!({"cosign.pub": mine})).await?;
    test.request(SOURCE).await?;
    let none = |digest: &Digest| {
        format!("no matching signatures were found for '{}/team/app@{digest}': ", registry.address())
    };
    unverified(&test, &format!("{}no signatures found", none(&first))).await?;
    test.event(SOURCE, "Warning", "VerificationError", "no signatures found").await?;
    assert!(test.get(SOURCE).await?.pointer("/status/artifact").is_none(), "nothing was stored");

    cosign.sign("mine", &registry.address(), &first, Form::Bundle)?;
    test.request(SOURCE).await?;
    let app = verified(&test, &first).await?;
    let fingerprint = app.text("/status/sourceVerificationFingerprint");
    assert!(fingerprint.starts_with("sha256:"), "{fingerprint}");

    // What is stored stays when the next one is not signed.
    let second = registry.pusher().artifact("latest", &[(LAYER, b"two")]).await;
    test.request(SOURCE).await?;
    unverified(&test, &none(&second)).await?;
    let app = test.get(SOURCE).await?;
    assert_eq!(app.text("/status/artifact/revision"), format!("latest@{first}"));
    cosign.sign("mine", &registry.address(), &second, Form::Tag)?;
    test.request(SOURCE).await?;
    verified(&test, &second).await?;

    // Other keys, no other artifact.
    trust(&test, &json!({"cosign.pub": other})).await?;
    test.request(SOURCE).await?;
    unverified(&test, &none(&second)).await?;
    trust(&test, &json!({"cosign.pub": other, "b.pub": mine})).await?;
    test.request(SOURCE).await?;
    verified(&test, &second).await?;

    // The signature of one artifact does not count for another one.
    let third = registry.pusher().artifact("latest", &[(LAYER, b"three")]).await;
    let name = |digest: &Digest| format!("sha256-{}.sig", digest.hex());
    let url = format!("{}/manifests/{}", registry.pusher().url, name(&second));
    let signature = registry.pusher().client.get(url).send().await?.bytes().await?;
    registry.pusher().manifest(&name(&third), OCI_MANIFEST, &signature).await;
    test.request(SOURCE).await?;
    unverified(&test, &format!("{}signature is of another artifact", none(&third))).await?;

    test.patch(SOURCE, &json!({"spec": {"verify": null}})).await?;
    let app = test
        .until(SOURCE, "is not verified", |object| {
            object.is_ready() && object.condition("SourceVerified").is_none()
        })
        .await?;
    assert_eq!(app.text("/status/artifact/revision"), format!("latest@{third}"));
    assert_eq!(app.text("/status/sourceVerificationFingerprint"), "");
    test.finish().await
}

/// Refused with what is told of signatures without keys.
async fn unverified_keyless(test: &Scenario, text: &str) -> Result<()> {
    let text = format!("failed to verify the signature using provider 'cosign keyless': {text}");
    for condition in ["SourceVerified", "Ready"] {
        test.condition(SOURCE, condition, "False", "VerificationError", &text).await?;
    }
    Ok(())
}

async fn trusted_root(test: &Scenario, json: &str) -> Result<()> {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "root"},
        "stringData": {"trusted_root.json": json}});
    test.apply(&secret.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_taken_only_if_a_trusted_identity_has_signed_it() -> Result<()> {
    let test = Scenario::new("oci-verify-keyless").await?;
    let registry = Registry::start(Setup { referrers: true, ..Setup::default() }).await;
    let pusher = registry.pusher();
    let second = pusher.artifact("latest", &[(LAYER, b"two")]).await;
    let first = pusher.artifact("latest", &[(LAYER, b"one")]).await;
    let signed = Signed::new(&[&first, &second])?;
    test.apply(&source(&registry)).await?;
    let identity = |issuer: &str, subject: &str| json!({"issuer": issuer, "subject": subject});
    let right = identity("^https://token[.]ci[.]example[.]com$", "^https://ci[.]example[.]com/org/app/");
    let verify = |identities: Value| {
        json!({"spec": {"verify": {"provider": "cosign", "secretRef": null, "matchOIDCIdentity": identities,
            "trustedRootSecretRef": {"name": "root"}}}})
    };
    test.patch(SOURCE, &verify(json!([right]))).await?;
    let secret = format!("failed to read trusted root from secret '{}/root': ", test.namespace);
    unverified_keyless(&test, &format!("{secret}secrets \"root\" not found")).await?;
    trusted_root(&test, "{").await?;
    test.request(SOURCE).await?;
    unverified_keyless(&test, "unable to parse trusted root: ").await?;
    trusted_root(&test, &signed.trusted_root()).await?;
    test.request(SOURCE).await?;
    unverified_keyless(&test, "no signatures found").await?;
    signed.attach_bundle(&pusher, &first).await?;
    test.request(SOURCE).await?;
    let app = verified(&test, &first).await?;
    let fingerprint = app.text("/status/sourceVerificationFingerprint").to_owned();
    assert!(fingerprint.starts_with("sha256:"), "{fingerprint}");

    // Other identities.
    let other = identity("^https://other[.]example[.]com$", ".*");
    test.patch(SOURCE, &verify(json!([other]))).await?;
    let none = format!(
        "no matching signatures: none of the expected identities matched what was in the certificate, \
         got subjects [{SUBJECT}] with issuer {ISSUER}"
    );
    unverified_keyless(&test, &none).await?;
    test.patch(SOURCE, &verify(json!([other, right]))).await?;
    verified(&test, &first).await?;

    // Another root, no other artifact.
    trusted_root(&test, &signed.foreign_trusted_root()).await?;
    test.request(SOURCE).await?;
    unverified_keyless(&test, "no matching signatures: ").await?;
    trusted_root(&test, &signed.trusted_root()).await?;
    test.request(SOURCE).await?;
    let app = verified(&test, &first).await?;
    assert_eq!(app.text("/status/sourceVerificationFingerprint"), fingerprint);

    // What is stored stays when the next one is not signed; the older form counts, too.
    pusher.artifact("latest", &[(LAYER, b"two")]).await;
    test.request(SOURCE).await?;
    unverified_keyless(&test, "no signatures found").await?;
    let app = test.get(SOURCE).await?;
    assert_eq!(app.text("/status/artifact/revision"), format!("latest@{first}"));
    signed.push_tag(&pusher, &second).await?;
    test.request(SOURCE).await?;
    verified(&test, &second).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_taken_only_if_its_trust_policy_trusts_who_has_signed_it() -> Result<()> {
    let test = Scenario::new("oci-verify-notation").await?;
    let registry = Registry::start(Setup { referrers: true, ..Setup::default() }).await;
    let (mine, other) = (Notation::new("Example")?, Notation::new("Other")?);
    let digest = registry.pusher().artifact("latest", &[(LAYER, b"one")]).await;
    let unverified = async |text: &str| {
        let text = format!("failed to verify the signature using provider 'notation': {text}");
        for (condition, status) in [("SourceVerified", "False"), ("Ready", "False")] {
            test.condition(SOURCE, condition, status, "VerificationError", &text).await?;
        }
        anyhow::Ok(())
    };
    test.apply(&source(&registry).replace("cosign", "notation")).await?;
    unverified("secrets \"keys\" not found").await?;
    let strict = policy("strict", "x509.subject: C=US, ST=WA, O=Example");
    trust(&test, &json!({"trustpolicy.json": strict})).await?;
    test.request(SOURCE).await?;
    unverified(&format!("no certificates found in secret '{}/keys'", test.namespace)).await?;
    trust(&test, &json!({"trustpolicy.json": strict, "ca.crt": mine.root()})).await?;
    test.request(SOURCE).await?;
    unverified(&format!("no signature is associated with \"{}/team/app@{digest}\"", registry.address()))
        .await?;

    other.attach(&registry.pusher(), &digest).await?;
    test.request(SOURCE).await?;
    unverified("signature verification failed").await?;
    assert!(test.get(SOURCE).await?.pointer("/status/artifact").is_none(), "nothing was stored");
    mine.attach(&registry.pusher(), &digest).await?;
    test.request(SOURCE).await?;
    let app = verified(&test, &digest).await?;
    assert!(app.text("/status/sourceVerificationFingerprint").starts_with("sha256:"));

    // Another root, no other artifact.
    trust(&test, &json!({"trustpolicy.json": strict, "ca.crt": other.root()})).await?;
    test.request(SOURCE).await?;
    unverified("signature verification failed").await?;
    trust(&test, &json!({"trustpolicy.json": strict, "ca.crt": other.root(), "b.pem": mine.root()})).await?;
    test.request(SOURCE).await?;
    verified(&test, &digest).await?;

    // Whoever does not ask takes what is unsigned, and nothing vouches for it.
    let skip = policy("skip", "*");
    trust(&test, &json!({"trustpolicy.json": skip, "ca.crt": other.root(), "b.pem": mine.root()})).await?;
    let second = registry.pusher().artifact("latest", &[(LAYER, b"two")]).await;
    test.request(SOURCE).await?;
    let app = test
        .until(SOURCE, "has the second revision", |object| {
            object.is_ready() && object.text("/status/artifact/revision") == format!("latest@{second}")
        })
        .await?;
    assert!(app.condition("SourceVerified").is_none());
    assert_eq!(app.text("/status/sourceVerificationFingerprint"), "");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_of_signed_artifacts_works_as_it_is_written() -> Result<()> {
    const GUIDE: &str = "docs/verification.md";
    const HEADING: &str = "Sign and verify";
    let test = Scenario::new("oci-verify-guide").await?;
    let (folder, cosign) = (tempfile::tempdir()?, toolchain::cosign()?);
    let registry = Registry::start(Setup::default()).await;
    let digest = registry.pusher().artifact("latest", &[(LAYER, b"no archive")]).await;
    let rename = |text: &str| {
        text.replace("-n apps", &format!("-n {}", test.namespace))
            .replace("amespace: apps", &format!("amespace: {}", test.namespace))
            .replace("registry.example.com/my-org/my-app", &format!("{}/team/app", registry.address()))
            .replace("cosign generate", "export COSIGN_PASSWORD= HOME=$PWD\ncosign generate")
            .replace("cosign sign", "export COSIGN_PASSWORD= HOME=$PWD\ncosign sign --allow-http-registry")
            .replace("$DIGEST", &digest.to_string())
            // The layer is no archive.
            .replace("  verify:", "  layerSelector: {operation: copy}\n  verify:")
    };
    let mut said = String::new();
    for (number, commands) in document::commands(GUIDE, HEADING)?.iter().enumerate() {
        if number == 2 {
            test.apply(&rename(&document::file(GUIDE, HEADING)?)).await?;
        }
        said = document::run_beside(&rename(commands), folder.path(), test.cluster, &[&cosign]).await?;
    }
    ensure!(said.ends_with(&format!("verified signature of revision latest@{digest}")), "{said}");
    ensure!(document::headings_with_commands(GUIDE)? == [HEADING]);
    test.finish().await
}
