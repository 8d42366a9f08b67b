//! `spec.verify` of a GitRepository: what must be signed, and by whom.

use anyhow::Result;
use e2e::git_server::{Asked, GitServer};
use e2e::objects::Look;
use e2e::repository::Repository;
use e2e::scenario::Scenario;
use e2e::signer::Signer;
use serde_json::{Value, json};

const SOURCE: &str = "GitRepository/app";
const SUFFIX: &str =
    "SSH signature detected but no SSH public keys found in secret (keys with .sshpub suffix)";

/// The source of the test, verified in `mode` with the Secret `keys`.
async fn apply(test: &Scenario, mode: &str, reference: &Value) -> Result<()> {
    let verify = format!("  verify: {{mode: {mode}, secretRef: {{name: keys}}}}");
    let source = test.source_yaml("1h", &verify);
    test.apply(&source.replace("{branch: main}", &reference.to_string())).await
}

async fn apply_keys(test: &Scenario, keys: &[(&str, &str)]) -> Result<()> {
    let data: serde_json::Map<_, _> =
        keys.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": data,
    });
    let id = test.id("Secret/keys")?;
    if test.objects.get(&id).await?.is_some() {
        test.objects.delete(&id).await?;
    }
    test.apply(&secret.to_string()).await
}

fn commit_signed(repo: &Repository, message: &str) -> Result<String> {
    repo.git(&["commit", "-q", "-S", "--allow-empty", "-m", message])?;
    repo.git(&["push", "-q", "origin", "HEAD"])?;
    repo.head()
}

/// A signed commit, and the key of who signed it in the Secret `keys`; answers the key.
async fn begin_signed(test: &Scenario, signer: &Signer) -> Result<String> {
    let (_, ring) = signer.openpgp("me")?;
    signer.sign_with_openpgp(&test.repo, "me")?;
    commit_signed(&test.repo, "signed")?;
    apply_keys(test, &[("me.asc", &ring)]).await?;
    Ok(ring)
}

/// Answers the id of the tag object.
fn tag_signed(repo: &Repository, name: &str) -> Result<String> {
    repo.git(&["tag", "-s", "-f", "-m", "release", name])?;
    repo.git(&["push", "-q", "-f", "origin", &format!("refs/tags/{name}")])?;
    repo.git(&["rev-parse", &format!("refs/tags/{name}")])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mode_verifies_what_it_names_and_says_who_signed() -> Result<()> {
    let (test, signer) = (Scenario::new("verify-modes").await?, Signer::new()?);
    let (id, ring) = signer.openpgp("me")?;
    signer.sign_with_openpgp(&test.repo, "me")?;
    test.repo.write("a.txt", "one")?;
    let commit = commit_signed(&test.repo, "signed")?;
    let tag = tag_signed(&test.repo, "v0.1.0")?;
    apply_keys(&test, &[("me.asc", &ring)]).await?;
    let of_commit = format!("\n\t- commit '{commit}' with key '{id}'");
    let of_tag = format!("\n\t- tag 'v0.1.0@{tag}' with key '{id}'");
    let by_tag = json!({"tag": "v0.1.0"});
    for (mode, observed, reference, signed) in [
        ("HEAD", "HEAD", json!({"branch": "main"}), of_commit.clone()),
        ("head", "HEAD", json!({"commit": commit}), of_commit.clone()),
        ("Tag", "Tag", by_tag.clone(), of_tag.clone()),
        ("TagAndHEAD", "TagAndHEAD", by_tag, format!("{of_tag}{of_commit}")),
        ("Tag", "Tag", json!({"semver": "0.x"}), of_tag.clone()),
        ("Tag", "Tag", json!({"name": "refs/tags/v0.1.0"}), of_tag),
    ] {
        apply(&test, mode, &reference).await?;
        let object = test.ready(SOURCE).await?;
        let condition = object.condition("SourceVerified").unwrap();
        let expected = format!("verified signature of{signed}");
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_str(), condition.message),
            ("True", "Succeeded", expected),
            "{mode} {reference}"
        );
        assert_eq!(object.text("/status/sourceVerificationMode"), observed);
    }
    let event = test.event(SOURCE, "Normal", "Succeeded", "verified signature of\n\t- commit").await?;
    assert_eq!(event.text("/source/component"), "source-controller");

    // Nothing is left once it is not asked for any more.
    test.patch(SOURCE, &json!({"spec": {"verify": null}})).await?;
    let object = test.ready(SOURCE).await?;
    assert!(object.condition("SourceVerified").is_none());
    assert_eq!(object.pointer("/status/sourceVerificationMode"), None);
    assert_eq!(object.pointer("/status/sourceVerificationFingerprint"), None);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_no_trusted_key_signed_is_never_stored() -> Result<()> {
    let (test, signer) = (Scenario::new("verify-bad").await?, Signer::new()?);
    let (id, ring) = signer.openpgp("me")?;
    let (_, other) = signer.openpgp("other")?;
    let (_, ssh) = signer.ssh("key")?;
    signer.sign_with_openpgp(&test.repo, "me")?;
    let good = commit_signed(&test.repo, "good")?;
    apply_keys(&test, &[("me.asc", &ring)]).await?;
    apply(&test, "HEAD", &json!({"branch": "main"})).await?;
    let stored = test.ready(SOURCE).await?;
    let artifact = stored.pointer("/status/artifact").cloned();

    let head = async |reason: &str, message: &str| -> Result<()> {
        test.run(SOURCE).await?;
        test.condition(SOURCE, "SourceVerified", "False", reason, message).await?;
        test.condition(SOURCE, "Ready", "False", reason, message).await?;
        test.event(SOURCE, "Warning", reason, message).await?;
        let object = test.get(SOURCE).await?;
        assert_eq!(object.pointer("/status/artifact").cloned(), artifact, "{message}");
        Ok(())
    };
    let failed = "signature verification of commit";
    let unsigned = test.repo.commit("unsigned")?;
    head(
        "InvalidCommitSignature",
        &format!("{failed} '{unsigned}' failed: unsupported signature type: empty"),
    )
    .await?;

    signer.sign_with_openpgp(&test.repo, "other")?;
    let foreign = commit_signed(&test.repo, "by somebody else")?;
    let no_match = format!(
        "{failed} '{foreign}' failed: unable to verify Git commit: \
         unable to verify payload with any of the given key rings: no matching key"
    );
    head("InvalidCommitSignature", &no_match).await?;

    // Only the name of the entry tells an SSH key.
    apply_keys(&test, &[("k.sshpub", &ssh)]).await?;
    let text = "PGP signature detected but no PGP public keys found in secret (keys with .asc suffix)";
    head("InvalidCommitSignature", text).await?;
    signer.sign_with_ssh(&test.repo, "key")?;
    let by_ssh = commit_signed(&test.repo, "by SSH")?;
    apply_keys(&test, &[("me.asc", &other)]).await?;
    head("InvalidCommitSignature", &format!("{failed} '{by_ssh}' failed: {SUFFIX}")).await?;
    apply_keys(&test, &[("me", "nonsense")]).await?;
    signer.sign_with_openpgp(&test.repo, "me")?;
    commit_signed(&test.repo, "by me again")?;
    head("InvalidCommitSignature", "unable to read armored key ring: openpgp: invalid argument").await?;

    test.objects.delete(&test.id("Secret/keys")?).await?;
    head("VerificationError", "public keys secret error: secrets \"keys\" not found").await?;

    // Once all is well the newest commit is stored.
    apply_keys(&test, &[("me", &ring)]).await?;
    test.run(SOURCE).await?;
    let object = test.ready(SOURCE).await?;
    assert!(object.condition("SourceVerified").unwrap().message.ends_with(&format!("with key '{id}'")));
    assert_ne!(object.text("/status/artifact/revision"), format!("main@sha1:{good}"));
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_must_be_signed_and_its_commit_too_if_that_is_asked_for() -> Result<()> {
    let (test, signer) = (Scenario::new("verify-tag").await?, Signer::new()?);
    let (_, ring) = signer.openpgp("me")?;
    let (fingerprint, ssh) = signer.ssh("key")?;
    apply_keys(&test, &[("me.asc", &ring), ("k.sshpub", &ssh)]).await?;
    let commit = test.repo.commit_file("a.txt", "one")?;

    // Without a tag there is no way to verify one.
    apply(&test, "Tag", &json!({"branch": "main"})).await?;
    let text = "cannot verify tag object's signature if a tag reference is not specified";
    test.condition(SOURCE, "Stalled", "True", "InvalidVerificationMode", text).await?;
    test.condition(SOURCE, "SourceVerified", "False", "InvalidVerificationMode", text).await?;
    assert_eq!(test.get(SOURCE).await?.pointer("/status/artifact"), None);

    test.repo.tag("light", None)?;
    apply(&test, "Tag", &json!({"tag": "light"})).await?;
    let text = "cannot verify signature of tag 'light' since it is not signed";
    test.condition(SOURCE, "SourceVerified", "False", "InvalidGitObject", text).await?;

    test.repo.tag("v1", Some("annotated, not signed"))?;
    let tag = test.repo.git(&["rev-parse", "v1"])?;
    apply(&test, "Tag", &json!({"tag": "v1"})).await?;
    let text = format!("cannot verify signature of tag 'v1@{tag}' since it is not signed");
    test.condition(SOURCE, "SourceVerified", "False", "InvalidGitObject", &text).await?;

    // A signed tag vouches for the commit only in mode Tag.
    signer.sign_with_openpgp(&test.repo, "me")?;
    tag_signed(&test.repo, "v1")?;
    test.run(SOURCE).await?;
    let object = test.ready(SOURCE).await?;
    assert_eq!(object.text("/status/artifact/revision"), format!("v1@sha1:{commit}"));
    apply(&test, "TagAndHEAD", &json!({"tag": "v1"})).await?;
    let text =
        format!("signature verification of commit '{commit}' failed: unsupported signature type: empty");
    test.condition(SOURCE, "SourceVerified", "False", "InvalidCommitSignature", &text).await?;
    assert_eq!(test.get(SOURCE).await?.text("/status/sourceVerificationMode"), "Tag");

    // Tag and commit may be signed in different ways.
    signer.sign_with_ssh(&test.repo, "key")?;
    let signed = commit_signed(&test.repo, "by SSH")?;
    signer.sign_with_openpgp(&test.repo, "me")?;
    tag_signed(&test.repo, "v1")?;
    test.run(SOURCE).await?;
    let object = test.ready(SOURCE).await?;
    let expected = format!("\n\t- commit '{signed}' with key '{fingerprint}'");
    assert!(object.condition("SourceVerified").unwrap().message.ends_with(&expected));

    apply_keys(&test, &[("other.asc", &signer.openpgp("other")?.1), ("k.sshpub", &ssh)]).await?;
    let tag = test.repo.git(&["rev-parse", "v1"])?;
    test.run(SOURCE).await?;
    let text = format!("signature verification of tag 'v1@{tag}' failed: unable to verify Git tag: ");
    test.condition(SOURCE, "SourceVerified", "False", "InvalidTagSignature", &text).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn other_keys_mean_another_verification_and_the_same_keys_none() -> Result<()> {
    let (test, signer) = (Scenario::new("verify-keys").await?, Signer::new()?);
    let ring = begin_signed(&test, &signer).await?;
    apply(&test, "HEAD", &json!({"branch": "main"})).await?;
    let before = test.ready(SOURCE).await?;
    test.git.take_requests();
    let after = test.run(SOURCE).await?;
    assert_eq!(before.pointer("/status/conditions"), after.pointer("/status/conditions"));
    let fingerprint = |object: &Value| object.text("/status/sourceVerificationFingerprint").to_owned();
    assert!(fingerprint(&after).starts_with("sha256:"), "{after}");
    // Another Secret with the same keys under other names.
    apply_keys(&test, &[("renamed.asc", &ring)]).await?;
    let renamed = test.run(SOURCE).await?;
    assert_eq!(fingerprint(&renamed), fingerprint(&after));
    assert_eq!(renamed.pointer("/status/conditions"), after.pointer("/status/conditions"));
    // The revision has not moved, but the key is not trusted any more.
    apply_keys(&test, &[("other.asc", &signer.openpgp("other")?.1)]).await?;
    test.run(SOURCE).await?;
    test.condition(SOURCE, "Ready", "False", "InvalidCommitSignature", "no matching key").await?;
    apply_keys(&test, &[("me.asc", &ring)]).await?;
    test.run(SOURCE).await?;
    test.ready(SOURCE).await?;
    assert!(!test.git.take_requests().contains(&Asked::Objects), "all of it was here");
    // More keys that are trusted are other keys.
    apply_keys(&test, &[("me.asc", &ring), ("other.asc", &signer.openpgp("third")?.1)]).await?;
    test.run(SOURCE).await?;
    assert_ne!(fingerprint(&test.ready(SOURCE).await?), fingerprint(&after));
    test.finish().await
}

/// How often source-controller has told of a good signature.
fn verifications(test: &Scenario) -> Result<usize> {
    Ok(test.pair()?.source.log_text().matches("verified signature of").count())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_without_a_fingerprint_is_verified_once_and_keeps_its_artifact() -> Result<()> {
    let (mut test, signer) = (Scenario::with_own_controllers("verify-upgrade", &[]).await?, Signer::new()?);
    begin_signed(&test, &signer).await?;
    apply(&test, "HEAD", &json!({"branch": "main"})).await?;
    let before = test.ready(SOURCE).await?;
    assert_eq!(verifications(&test)?, 1);

    // As Flux 2.9 leaves it.
    test.own()?.source.kill();
    let nothing = r#"{"status": {"sourceVerificationFingerprint": null}}"#;
    test.kubectl(&["patch", "gitrepository", "app", "--subresource=status", "--type=merge", "-p", nothing])?;
    test.own()?.source.restart().await?;
    let told = verifications(&test)?;
    let after = test.run(SOURCE).await?;
    let fingerprint = "/status/sourceVerificationFingerprint";
    assert!(after.text(fingerprint).starts_with("sha256:"), "{after}");
    assert_eq!(after.text(fingerprint), before.text(fingerprint));
    assert_eq!(after.pointer("/status/artifact"), before.pointer("/status/artifact"));
    test.run(SOURCE).await?;
    assert_eq!(verifications(&test)? - told, 1);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_gone_are_told_of_at_the_next_interval_without_a_new_commit() -> Result<()> {
    let (test, signer) = (Scenario::new("verify-gone").await?, Signer::new()?);
    let ring = begin_signed(&test, &signer).await?;
    let source = test.source_yaml("2s", "  verify: {mode: HEAD, secretRef: {name: keys}}");
    test.apply(&source).await?;
    let before = test.ready(SOURCE).await?;
    test.objects.delete(&test.id("Secret/keys")?).await?;
    let text = "public keys secret error: secrets \"keys\" not found";
    for kind in ["SourceVerified", "Ready"] {
        test.condition(SOURCE, kind, "False", "VerificationError", text).await?;
    }
    test.event(SOURCE, "Warning", "VerificationError", text).await?;
    let object = test.get(SOURCE).await?;
    assert_eq!(object.pointer("/status/artifact"), before.pointer("/status/artifact"));
    apply_keys(&test, &[("me.asc", &ring)]).await?;
    let object = test.ready(SOURCE).await?;
    assert_eq!(object.pointer("/status/artifact"), before.pointer("/status/artifact"));
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_tag_that_is_shown_under_another_name_is_refused() -> Result<()> {
    let (test, signer) = (Scenario::new("verify-renamed").await?, Signer::new()?);
    let (_, ring) = signer.openpgp("me")?;
    signer.sign_with_openpgp(&test.repo, "me")?;
    test.repo.commit_file("a.txt", "old")?;
    let tag = tag_signed(&test.repo, "v1.0.0")?;
    test.repo.git(&["push", "-q", "origin", "refs/tags/v1.0.0:refs/tags/v9.9.9"])?;
    apply_keys(&test, &[("me.asc", &ring)]).await?;
    for reference in [json!({"semver": ">=1"}), json!({"tag": "v9.9.9"})] {
        apply(&test, "Tag", &reference).await?;
        let text =
            format!("signature verification of tag 'v1.0.0@{tag}' failed: it is shown as tag 'v9.9.9'");
        test.condition(SOURCE, "SourceVerified", "False", "InvalidTagSignature", &text).await?;
        apply(&test, "Tag", &json!({"tag": "v1.0.0"})).await?;
        test.ready(SOURCE).await?;
    }
    // Whoever names the ref means what is there.
    apply(&test, "Tag", &json!({"name": "refs/tags/v9.9.9"})).await?;
    test.ready(SOURCE).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn submodules_of_an_unsigned_commit_are_not_fetched() -> Result<()> {
    let (test, signer) = (Scenario::new("verify-submodule").await?, Signer::new()?);
    let (_, ring) = signer.openpgp("me")?;
    let other = GitServer::start().await?;
    other.create("part")?.commit_file("b.txt", "part")?;
    test.repo.git(&["submodule", "add", "-q", &other.url("part"), "part"])?;
    test.repo.commit("unsigned")?;
    other.take_requests();
    apply_keys(&test, &[("me.asc", &ring)]).await?;
    let verify = "  recurseSubmodules: true\n  verify: {mode: HEAD, secretRef: {name: keys}}";
    test.apply(&test.source_yaml("1h", verify)).await?;
    test.condition(SOURCE, "SourceVerified", "False", "InvalidCommitSignature", "empty").await?;
    assert_eq!(other.take_requests(), []);
    signer.sign_with_openpgp(&test.repo, "me")?;
    commit_signed(&test.repo, "signed")?;
    test.run(SOURCE).await?;
    test.ready(SOURCE).await?;
    assert!(other.take_requests().contains(&Asked::Objects));
    test.finish().await
}
