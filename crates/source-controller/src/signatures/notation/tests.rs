//! Signatures by a signer of our own, which notation-go's verdicts stand behind (`notation/tests/oracle.rs`), in registries with and
//! without a list of referrers.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use e2e::notation::{Notation, attach, policy};
use e2e::registry::{LAYER, Registry, Setup};
use k8s_openapi::ByteString;
use net::Deadline;
use oci::Digest;

use super::*;
use crate::signatures::tests::{TIMEOUT, open, registries, repository};

const EVERYBODY: &str = "*";
const JWS: &str = "application/jose+json";

fn secret(entries: &[(&str, &str)]) -> Secret {
    let data =
        entries.iter().map(|(name, value)| ((*name).to_owned(), ByteString(value.as_bytes().to_vec())));
    Secret { data: Some(data.collect::<BTreeMap<_, _>>()), ..Secret::default() }
}

fn trust(entries: &[(&str, &str)]) -> Result<Trust, String> {
    Trust::of("ns/keys", &secret(entries)).map_err(|error| error.to_string())
}

/// What is said of the signatures of `digest` in the repository `team/app`.
async fn judged(address: &str, digest: &Digest, entries: &[(&str, &str)]) -> Result<Verdict, String> {
    let trust = Arc::new(trust(entries)?);
    let (registries, repository) = (registries(), repository(address));
    let mut session = open(&registries, &repository).await;
    let deadline = &Deadline::new(TIMEOUT);
    let fetch = Fetch { session: &mut session, repository: &repository, digest, deadline };
    let verdict = verify(fetch, &trust).await;
    verdict.map_err(|error| error.to_string())
}

async fn registry(referrers: bool) -> Registry {
    Registry::start(Setup { referrers, ..Setup::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_counts_by_the_policy_and_the_certificates_of_the_secret() {
    let registry = registry(true).await;
    let (pusher, address) = (registry.pusher(), registry.address());
    let (mine, other) = (Notation::new("Example").unwrap(), Notation::new("Other").unwrap());
    let digest = pusher.artifact("latest", &[(LAYER, b"x")]).await;
    let (strict, audit) =
        (policy("strict", EVERYBODY), policy("audit", "x509.subject: C=US, ST=WA, O=Other"));
    let reference = format!("{address}/team/app@{digest}");
    let unsigned = format!(
        "no signature is associated with \"{reference}\", make sure the artifact was signed successfully"
    );
    let trusted = [("trustpolicy.json", strict.as_str()), ("ca.crt", mine.root())];
    assert_eq!(judged(&address, &digest, &trusted).await, Err(unsigned));

    mine.attach(&pusher, &digest).await.unwrap();
    assert_eq!(judged(&address, &digest, &trusted).await, Ok(Verdict::Signed));
    let both = [("trustpolicy.json", strict.as_str()), ("a.pem", other.root()), ("b.crt", mine.root())];
    assert_eq!(judged(&address, &digest, &both).await, Ok(Verdict::Signed));
    let untrusted = [("trustpolicy.json", strict.as_str()), ("ca.crt", other.root())];
    let text = judged(&address, &digest, &untrusted).await.unwrap_err();
    let (head, line) = text.split_once('\n').unwrap();
    assert_eq!(head, "signature verification failed");
    assert!(line.starts_with("failed to verify signature with digest sha256:"), "{line}");
    assert!(line.ends_with("certificate chain does not contain any trusted certificate"), "{line}");

    // Others' identities count for nobody but auditors.
    assert_eq!(
        judged(&address, &digest, &[("trustpolicy.json", &audit), ("ca.crt", mine.root())]).await,
        Ok(Verdict::Ignored)
    );
    for level in ["permissive", "strict"] {
        let wrong = policy(level, "x509.subject: C=US, ST=WA, O=Other");
        let text = judged(&address, &digest, &[("trustpolicy.json", &wrong), ("ca.crt", mine.root())])
            .await
            .unwrap_err();
        assert!(text.contains("does not match the X.509 trusted identities"), "{text}");
        let right = policy(level, "x509.subject: C=US, ST=WA, O=Example");
        let verdict =
            judged(&address, &digest, &[("trustpolicy.json", &right), ("ca.crt", mine.root())]).await;
        assert_eq!(verdict, Ok(Verdict::Signed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_lists_no_referrers_has_them_behind_a_tag() {
    let registry = registry(false).await;
    let (pusher, mine) = (registry.pusher(), Notation::new("Example").unwrap());
    let digest = pusher.artifact("latest", &[(LAYER, b"x")]).await;
    let strict = policy("strict", EVERYBODY);
    let trusted = [("trustpolicy.json", strict.as_str()), ("ca.crt", mine.root())];
    let unsigned = judged(&registry.address(), &digest, &trusted).await.unwrap_err();
    assert!(unsigned.starts_with("no signature is associated with"), "{unsigned}");
    mine.attach(&pusher, &digest).await.unwrap();
    assert_eq!(judged(&registry.address(), &digest, &trusted).await, Ok(Verdict::Signed));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_level_skip_asks_nobody_and_a_repository_without_a_statement_is_refused() {
    let (mine, digest) = (Notation::new("Example").unwrap(), Digest::of(b"x"));
    let skip = policy("skip", EVERYBODY);
    // Nobody listens there.
    let address = "127.0.0.1:1";
    let verdict = judged(address, &digest, &[("trustpolicy.json", &skip), ("ca.crt", mine.root())]).await;
    assert_eq!(verdict, Ok(Verdict::Ignored));
    for (scope, applies) in
        [("127.0.0.1:1/team/app", true), ("127.0.0.1:1/team", false), ("127.0.0.1/team/app", false)]
    {
        let about = skip.replace("[\"*\"]", &format!("[\"{scope}\"]"));
        let verdict =
            judged(address, &digest, &[("trustpolicy.json", &about), ("ca.crt", mine.root())]).await;
        match verdict {
            Ok(verdict) => assert!(applies && verdict == Verdict::Ignored, "{scope}"),
            Err(text) => {
                let head = format!(
                    "artifact \"127.0.0.1:1/team/app@{digest}\" has no applicable trust policy statement."
                );
                assert!(!applies && text.starts_with(&head), "{scope}: {text}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_of_another_artifact_and_a_fourth_one_do_not_count() {
    let registry = registry(true).await;
    let (pusher, address) = (registry.pusher(), registry.address());
    let (mine, other) = (Notation::new("Example").unwrap(), Notation::new("Other").unwrap());
    let strict = policy("strict", EVERYBODY);
    let trusted = [("trustpolicy.json", strict.as_str()), ("ca.crt", mine.root())];
    let signed = pusher.artifact("one", &[(LAYER, b"one")]).await;
    let digest = pusher.artifact("two", &[(LAYER, b"two")]).await;
    let size = pusher.get(&signed.to_string()).await.len();
    attach(&pusher, &digest, JWS, &mine.sign(&signed, size).unwrap()).await;
    let text = judged(&address, &digest, &trusted).await.unwrap_err();
    assert!(text.ends_with(", content descriptor mismatch"), "{text}");
    attach(&pusher, &digest, "application/octet-stream", b"no envelope").await;
    let text = judged(&address, &digest, &trusted).await.unwrap_err();
    assert!(text.contains("with media type \"application/octet-stream\" is not supported"), "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
    other.attach(&pusher, &digest).await.unwrap();
    let stopped = "signature evaluation stopped. The configured limit of 3 signatures to verify per artifact exceeded\n";
    let text = judged(&address, &digest, &trusted).await.unwrap_err();
    assert!(text.starts_with(stopped), "{text}");
    assert_eq!(text.lines().count(), 4, "{text}");
    // More of those that are not good keep being three.
    attach(&pusher, &digest, JWS, &other.sign(&signed, size).unwrap()).await;
    let text = judged(&address, &digest, &trusted).await.unwrap_err();
    assert!(text.starts_with(stopped) && text.lines().count() == 4, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_without_measure_is_not_fetched() {
    let registry = registry(true).await;
    let (pusher, mine) = (registry.pusher(), Notation::new("Example").unwrap());
    let digest = pusher.artifact("one", &[(LAYER, b"one")]).await;
    attach(&pusher, &digest, JWS, &vec![b' '; 1 + usize::try_from(MAX_ENVELOPE_BYTES).unwrap()]).await;
    let strict = policy("strict", EVERYBODY);
    let trusted = [("trustpolicy.json", strict.as_str()), ("ca.crt", mine.root())];
    let text = judged(&registry.address(), &digest, &trusted).await.unwrap_err();
    assert!(text.ends_with("blob of 1048577 bytes is larger than the limit of 1048576 bytes"), "{text}");
}

#[test]
fn what_a_secret_lacks_is_told_in_the_words_of_flux() {
    let mine = Notation::new("Example").unwrap();
    let strict = policy("strict", EVERYBODY);
    for (entries, text) in [
        (&[("ca.crt", mine.root())][..], "'trustpolicy.json' not found in secret 'ns/keys'"),
        (
            &[("trustpolicy.json", "{")],
            "error occurred while parsing trustpolicy.json: invalid JSON: line 1, column 1",
        ),
        (
            &[("trustpolicy.json", "[]"), ("ca.crt", "x")],
            "error occurred while parsing trustpolicy.json: 'the document' must be an object",
        ),
        (&[("trustpolicy.json", "{}")], "no certificates found in secret 'ns/keys'"),
        (
            &[("trustpolicy.json", &strict), ("ca.cer", mine.root())],
            "no certificates found in secret 'ns/keys'",
        ),
        (
            &[("trustpolicy.json", "{}"), ("ca.crt", "x")],
            "trust policy document has empty version, version must be specified",
        ),
    ] {
        assert_eq!(trust(entries).unwrap_err(), text);
    }
    assert!(
        trust(&[("trustpolicy.json", &strict), ("ca.crt", "no certificate")]).is_ok(),
        "it is told when it is used"
    );
}

#[test]
fn a_fingerprint_is_of_the_policy_and_the_certificates_and_not_of_their_names() {
    let policy = r#"{"version":"1.0","trustPolicies":[{"name":"a","registryScopes":["*"],"signatureVerification":{"level":"skip"}}]}"#;
    let of = |entries: &[(&str, &str)]| trust(entries).unwrap().fingerprint().to_owned();
    let two = of(&[("trustpolicy.json", policy), ("b.crt", "one"), ("a.pem", "two"), ("c.pub", "three")]);
    // printf 'provider:notation\0trustpolicy:%s\0cert:one\0cert:two\0' "$policy" | sha256sum
    assert_eq!(two, "sha256:8010f610b3301f7a58715738592947a3cb20b8dcd0b1d67f8805ab99258c496b");
    assert_eq!(of(&[("trustpolicy.json", policy), ("x.crt", "two"), ("y.crt", "one")]), two);
    assert_ne!(
        of(&[("trustpolicy.json", &policy.replace("\"a\"", "\"b\"")), ("x.crt", "two"), ("y.crt", "one")]),
        two
    );
    assert_ne!(of(&[("trustpolicy.json", policy), ("x.crt", "two")]), two);
}
