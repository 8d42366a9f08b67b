//! Signatures by the real cosign, in registries with and without a list of referrers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::time::Duration;

use ::auth::{Environment, TokenCache};
use api::oci_repository::OciProvider;
use e2e::cosign::{Cosign, Form};
use e2e::registry::{LAYER, PASSWORD, Registry, Setup, USER};
use e2e::sigstore::{ISSUER, SUBJECT, Signed};
use identity::{Clouds, Tokens};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use oci::{Limits, OCI_MANIFEST};
use runtime::metrics::Metrics;
use serde_json::json;

use ::cosign::{SIGNATURE_ANNOTATION, SIMPLE_SIGNING_MEDIA_TYPE};

use super::cosign::{MAX_SIGNATURES, Means, SIGNATURE_BYTES};
use super::*;
use crate::registry::{Registries, Wanted};

pub const TIMEOUT: Duration = Duration::from_secs(60);

fn keys(entries: &[(&str, &str)]) -> Trusted {
    let data =
        entries.iter().map(|(name, value)| ((*name).to_owned(), ByteString(value.as_bytes().to_vec())));
    let secret = Secret { data: Some(data.collect::<BTreeMap<_, _>>()), ..Secret::default() };
    of_means(Means::keys("ns/keys", &secret))
}

fn of_means(means: Means) -> Trusted {
    Trusted { fingerprint: means.fingerprint(), means: super::Means::Cosign(Arc::new(means)) }
}

/// What a process asks registries by.
pub fn registries() -> Registries {
    let tokens = Tokens::new(TokenCache::new(0, TIMEOUT), &Metrics::new().unwrap()).unwrap();
    let client = kube::Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    Registries::new(Limits::default(), Clouds::new(client, Environment::default(), tokens))
}

/// The repository `team/app`.
pub fn repository(address: &str) -> Repository {
    Repository::parse(&format!("oci://{address}/team/app")).unwrap()
}

fn wanted(repository: &Repository) -> Wanted<'_> {
    Wanted {
        kind: "OCIRepository",
        namespace: "ns",
        name: "app",
        repository,
        url: "",
        insecure: false,
        provider: OciProvider::Generic,
        account: None,
        secret: None,
        certificates: None,
        proxy: None,
        timeout: TIMEOUT,
    }
}

/// A session without credentials.
pub async fn open<'a>(registries: &'a Registries, repository: &'a Repository) -> Session<'a> {
    registries.open(wanted(repository)).await.unwrap()
}

/// What is said of the signatures of `digest` in the repository `team/app`.
async fn judged(address: &str, digest: &Digest, trusted: &Trusted) -> Result<(), String> {
    let (registries, repository) = (registries(), repository(address));
    let mut session = open(&registries, &repository).await;
    let signatures = Signatures::new(&Environment::default());
    let deadline = Deadline::new(TIMEOUT);
    let verified = signatures.verify(&mut session, (&repository, digest), trusted, &deadline).await;
    verified.map(|verdict| assert_eq!(verdict, Verdict::Signed)).map_err(|error| {
        let text = error.to_string();
        let head = format!("no matching signatures were found for '{address}/team/app@{digest}': ");
        text.strip_prefix(&head).unwrap_or(&text).to_owned()
    })
}

async fn registry(referrers: bool) -> Registry {
    Registry::start(Setup { referrers, ..Setup::default() }).await
}

const OF_NONE: &str = "failed to verify signature: it is of none of the keys";

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_key_signs_in_every_form_wherever_the_registry_has_it() {
    let cosign = Cosign::new().unwrap();
    let mut public = vec![("p256", cosign.generate("p256").unwrap())];
    for (name, algorithm) in [
        ("rsa", &rcgen::PKCS_RSA_SHA256),
        ("p384", &rcgen::PKCS_ECDSA_P384_SHA384),
        ("p521", &rcgen::PKCS_ECDSA_P521_SHA512),
        ("ed25519", &rcgen::PKCS_ED25519),
    ] {
        public.push((name, cosign.import(name, algorithm).unwrap()));
    }
    for referrers in [false, true] {
        let registry = registry(referrers).await;
        for form in [Form::Bundle, Form::Tag] {
            for (number, (name, key)) in public.iter().enumerate() {
                let content = format!("{name} {form:?}");
                let digest = registry.pusher().artifact("latest", &[(LAYER, content.as_bytes())]).await;
                let right = keys(&[("cosign.pub", key)]);
                let unsigned = Err("no signatures found".to_owned());
                assert_eq!(judged(&registry.address(), &digest, &right).await, unsigned);
                cosign.sign(name, &registry.address(), &digest, form).unwrap();
                let verdict = judged(&registry.address(), &digest, &right).await;
                assert_eq!(verdict, Ok(()), "{content}, referrers: {referrers}");
                let (_, other) = &public[(number + 1) % public.len()];
                let verdict = judged(&registry.address(), &digest, &keys(&[("a.pub", other)])).await;
                assert_eq!(verdict, Err(OF_NONE.to_owned()), "{content}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_good_key_of_a_secret_is_enough_and_others_are_told_of() {
    let (cosign, registry) = (Cosign::new().unwrap(), registry(true).await);
    let (mine, other) = (cosign.generate("mine").unwrap(), cosign.generate("other").unwrap());
    let digest = registry.pusher().artifact("latest", &[(LAYER, b"x")]).await;
    cosign.sign("mine", &registry.address(), &digest, Form::Bundle).unwrap();
    let garbage = "key 'a.pub' of secret 'ns/keys': PEM decoding failed";
    for (entries, expected) in [
        (&[("a.pub", other.as_str()), ("b.pub", &mine)][..], Ok(())),
        (&[("a.pub", &mine), ("b.pub", &other)], Ok(())),
        (&[("a.pub", "garbage"), ("b.pub", &mine)], Ok(())),
        (&[("a.pub", "garbage"), ("b.pub", &other)], Err(format!("{garbage}; {OF_NONE}"))),
        (&[("a.pub", "garbage")], Err(garbage.to_owned())),
        (&[("cosign.key", &mine)], Err("no public keys found in secret 'ns/keys'".to_owned())),
        (&[], Err("no public keys found in secret 'ns/keys'".to_owned())),
    ] {
        assert_eq!(judged(&registry.address(), &digest, &keys(entries)).await, expected, "{entries:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_of_one_artifact_and_a_foreign_bundle_hides_none() {
    let (cosign, registry) = (Cosign::new().unwrap(), registry(true).await);
    let trusted = keys(&[("a.pub", &cosign.generate("mine").unwrap())]);
    cosign.generate("foreign").unwrap();
    let signed = registry.pusher().artifact("one", &[(LAYER, b"one")]).await;
    let copied = registry.pusher().artifact("two", &[(LAYER, b"two")]).await;
    cosign.sign("foreign", &registry.address(), &signed, Form::Bundle).unwrap();
    cosign.sign("mine", &registry.address(), &signed, Form::Tag).unwrap();
    assert_eq!(judged(&registry.address(), &signed, &trusted).await, Ok(()));
    // The tag for signatures of one artifact is copied to that of another one.
    let url = |digest: &Digest| format!("{}/manifests/sha256-{}.sig", registry.pusher().url, digest.hex());
    let found = registry.pusher().client.get(url(&signed)).send().await.unwrap();
    let manifest = found.bytes().await.unwrap();
    registry.pusher().manifest(&format!("sha256-{}.sig", copied.hex()), OCI_MANIFEST, &manifest).await;
    let verdict = judged(&registry.address(), &copied, &trusted).await;
    let text = "signature is of another artifact: the digest in it is not that of this one";
    assert_eq!(verdict, Err(text.to_owned()));
    // A bundle of one artifact is made to refer to another one.
    let third = registry.pusher().artifact("three", &[(LAYER, b"three")]).await;
    cosign.sign("mine", &registry.address(), &third, Form::Bundle).unwrap();
    let url = format!("{}/referrers/{third}", registry.pusher().url);
    let list = registry.pusher().client.get(url).send().await.unwrap().text().await.unwrap();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let bundle = list["manifests"][0]["digest"].as_str().unwrap();
    let url = format!("{}/manifests/{bundle}", registry.pusher().url);
    let manifest = registry.pusher().client.get(url).send().await.unwrap().text().await.unwrap();
    let moved = manifest.replace(&third.to_string(), &copied.to_string());
    assert_ne!(manifest, moved);
    let name = Digest::of(moved.as_bytes()).to_string();
    registry.pusher().manifest(&name, OCI_MANIFEST, moved.as_bytes()).await;
    let verdict = judged(&registry.address(), &copied, &trusted).await.unwrap_err();
    assert!(
        verdict.starts_with("provided artifact digest does not match any digest in statement; "),
        "{verdict}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_without_measure_have_limits_that_are_told() {
    let registry = registry(false).await;
    let (cosign, pusher) = (Cosign::new().unwrap(), registry.pusher());
    let trusted = keys(&[("a.pub", &cosign.generate("mine").unwrap())]);
    let signed = pusher.artifact("one", &[(LAYER, b"one")]).await;
    let tag = format!("sha256-{}.sig", signed.hex());
    let layer = |size: usize| {
        json!({"mediaType": SIMPLE_SIGNING_MEDIA_TYPE, "digest": Digest::of(b"{}").to_string(), "size": size,
            "annotations": {SIGNATURE_ANNOTATION: "AAAA"}})
    };
    let push = async |layers: Vec<serde_json::Value>| {
        let config = e2e::registry::descriptor("application/vnd.oci.image.config.v1+json", b"{}");
        let manifest =
            json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
        pusher.manifest(&tag, OCI_MANIFEST, manifest.to_string().as_bytes()).await;
    };
    let large = 1 + usize::try_from(SIGNATURE_BYTES).unwrap();
    for (layers, text) in [
        (vec![layer(2); MAX_SIGNATURES + 1], "more than 1000 signatures"),
        (vec![layer(large)], "blob of 1048577 bytes is larger than the limit of 1048576 bytes"),
        (
            vec![
                json!({"mediaType": SIMPLE_SIGNING_MEDIA_TYPE, "digest": Digest::of(b"{}").to_string(), "size": 2}),
            ],
            "a signature lacks the annotation dev.cosignproject.cosign/signature",
        ),
        (vec![layer(2)], OF_NONE),
    ] {
        push(layers).await;
        let verdict = judged(&registry.address(), &signed, &trusted).await.unwrap_err();
        assert!(verdict.ends_with(text), "{verdict}");
    }
}

#[test]
fn a_fingerprint_is_of_the_keys_and_not_of_their_names() {
    let of = |entries: &[(&str, &str)]| keys(entries).fingerprint().to_owned();
    let two = of(&[("b.pub", "one"), ("a.pub", "two"), ("cosign.key", "private")]);
    // printf 'provider:cosign\0pub:one\0pub:two\0' | sha256sum
    assert_eq!(two, "sha256:52bb5f35d9397942a56899229f178a817f42b98ae5bd136ecc00f13a8d5f0f87");
    assert_eq!(of(&[("x.pub", "two"), ("y.pub", "one")]), two);
    assert_ne!(of(&[("x.pub", "two")]), two);
}

fn keyless(root: &str, identities: &[(&str, &str)]) -> Trusted {
    let identities = identities.iter().map(|(issuer, subject)| OidcIdentityMatch {
        issuer: (*issuer).to_owned(),
        subject: (*subject).to_owned(),
    });
    of_means(Means::Keyless { identities: identities.collect(), root: Some(root.as_bytes().to_vec()) })
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_without_keys_are_judged_as_by_the_real_cosign() {
    let (cosign, registry) = (Cosign::new().unwrap(), registry(true).await);
    let (pusher, address) = (registry.pusher(), registry.address());
    let bundled = pusher.artifact("one", &[(LAYER, b"one")]).await;
    let tagged = pusher.artifact("two", &[(LAYER, b"two")]).await;
    let signed = Signed::new(&[&bundled, &tagged]).unwrap();
    let (root, foreign) = (signed.trusted_root(), signed.foreign_trusted_root());
    let right = [(ISSUER, SUBJECT)];
    for digest in [&bundled, &tagged] {
        let verdict = judged(&address, digest, &keyless(&root, &right)).await;
        assert_eq!(verdict, Err("no signatures found".to_owned()));
    }
    signed.attach_bundle(&pusher, &bundled).await.unwrap();
    signed.push_tag(&pusher, &tagged).await.unwrap();
    let other = "https://other.example.com";
    for (digest, form) in [(&bundled, Form::Bundle), (&tagged, Form::Tag)] {
        for (root, issuer, subject, is_good) in [
            (&root, ISSUER, SUBJECT, true),
            (&root, other, SUBJECT, false),
            (&root, ISSUER, other, false),
            (&foreign, ISSUER, SUBJECT, false),
        ] {
            let verdict = judged(&address, digest, &keyless(root, &[(issuer, subject)])).await;
            assert_eq!(verdict.is_ok(), is_good, "{form:?} {issuer} {subject}: {verdict:?}");
            let verdict = cosign.verify(&address, digest, form, (root, subject, issuer));
            assert_eq!(verdict.is_ok(), is_good, "cosign: {form:?} {issuer} {subject}: {verdict:?}");
        }
    }
    let verdict = judged(&address, &bundled, &keyless(&root, &[(other, ".*"), right[0]])).await;
    assert_eq!(verdict, Ok(()), "one of several");
    let verdict = judged(&address, &bundled, &keyless(&root, &[])).await.unwrap_err();
    let text = "no matching signatures: can't verify identities without providing at least one identity";
    assert_eq!(verdict, text);
    for (root, identities, text) in [
        ("{", &right[..], "unable to parse trusted root: line 1, column 1 is not understood"),
        (&root, &[("(", "a")], "malformed issuer in identity: ( : error: unclosed group"),
    ] {
        assert_eq!(judged(&address, &bundled, &keyless(root, identities)).await.unwrap_err(), text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_wants_a_password_gets_it_with_each_request_for_signatures() {
    let registry = Registry::start(Setup { basic_auth: true, ..Setup::default() }).await;
    let (pusher, repository) = (registry.pusher(), repository(&registry.address()));
    let digest = pusher.artifact("one", &[(LAYER, b"one")]).await;
    let signed = Signed::new(&[&digest]).unwrap();
    signed.push_tag(&pusher, &digest).await.unwrap();
    let trusted = keyless(&signed.trusted_root(), &[(ISSUER, SUBJECT)]);
    let (registries, signatures) = (registries(), Signatures::new(&Environment::default()));
    let me = oci::Credentials::Basic { username: USER.to_owned(), password: secret::Secret::new(PASSWORD) };
    for (credentials, expected) in [(me, Ok(Verdict::Signed)), (oci::Credentials::Anonymous, Err(()))] {
        let access = oci::Access { credentials, ..oci::Access::default() };
        let mut session = registries.open_with(wanted(&repository), access).await.unwrap();
        let deadline = Deadline::new(TIMEOUT);
        let verdict = signatures.verify(&mut session, (&repository, &digest), &trusted, &deadline).await;
        if let Err(error) = &verdict {
            assert!(error.to_string().contains("UNAUTHORIZED"), "{error}");
        }
        assert_eq!(verdict.map_err(drop), expected);
    }
}

#[test]
fn a_fingerprint_is_of_the_trusted_root_and_not_of_identities() {
    let of = |root: &str, identities: &[(&str, &str)]| keyless(root, identities).fingerprint().to_owned();
    // printf 'provider:cosign\0trustedroot:{}\0' | sha256sum
    assert_eq!(of("{}", &[]), "sha256:c1d28258a242b5b732c304865d7d2c41b5b6090f0ba7e2234d97b45a13b8ad25");
    assert_eq!(of("{}", &[("a", "b")]), of("{}", &[]));
    assert_ne!(of("{ }", &[]), of("{}", &[]));
    let public = of_means(Means::Keyless { identities: Vec::new(), root: None });
    // printf 'provider:cosign\0' | sha256sum
    assert_eq!(
        public.fingerprint(),
        "sha256:15e73a459672b2a4a6830d6c7bfe5bfc9ea72681203ca2bff47860be77def83c"
    );
}
