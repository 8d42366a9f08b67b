//! What the client reads from distribution's registry.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use e2e::pki::Ca;
use e2e::registry::{self, LAYER, PASSWORD, Pusher, Registry, Setup, USER};
use net::TlsConfig;
use oci::{
    Access, BlobError, Client, Digest, Limits, ManifestError, OCI_INDEX, OCI_MANIFEST, RequestError,
    TagsError,
};
use secret::Secret;
use support::tokens::Signer;
use support::{all_of, basic, client, me, repository, soon};

#[tokio::test]
async fn an_artifact_is_read_from_an_open_registry() {
    let registry = Registry::start(Setup::default()).await;
    let content = vec![7; 3 << 20];
    let pushed = registry.pusher().artifact("v1.0", &[("text/plain", b"first"), (LAYER, &content)]).await;
    let (client, repository) = (client(&Access::default()), repository(&registry.address()));

    let resolved = client.resolve(&repository.tag("v1.0").unwrap(), &soon()).await.unwrap();
    assert_eq!((&resolved.digest, resolved.media_type.as_str()), (&pushed, OCI_MANIFEST));
    let raw = client.raw_manifest(&repository.digest(pushed.clone()), &soon()).await.unwrap();
    assert_eq!((raw.bytes.len() as u64, raw.media_type.as_str()), (resolved.size, OCI_MANIFEST));

    let manifest = client.manifest(&repository, &pushed, &soon()).await.unwrap();
    assert_eq!(manifest.digest, pushed);
    assert_eq!(manifest.annotations["org.opencontainers.image.revision"], "main@sha1:0123");
    assert_eq!(manifest.annotations["org.opencontainers.image.source"], "https://example.com/repo");
    assert_eq!(manifest.annotations.len(), 3);

    for (media_type, expected) in [(None, &b"first"[..]), (Some(LAYER), &content)] {
        let layer = manifest.layer(media_type).unwrap();
        let blob = client.blob(&repository, layer, &soon()).await.unwrap();
        assert_eq!(blob.size(), expected.len() as u64);
        let mut read = Vec::new();
        blob.copy_to(&mut read).await.unwrap();
        assert!(read == expected);
    }
}

#[tokio::test]
async fn a_missing_artifact_is_told_in_the_words_of_the_registry() {
    let registry = Registry::start(Setup::default()).await;
    let pushed = registry.pusher().artifact("v1", &[(LAYER, b"x")]).await;
    let (client, repository) = (client(&Access::default()), repository(&registry.address()));
    let root = format!("http://{}/v2/team/app", registry.address());

    let error = client.resolve(&repository.tag("v2").unwrap(), &soon()).await.unwrap_err();
    let expected = format!("GET {root}/manifests/v2: MANIFEST_UNKNOWN: manifest unknown; ");
    assert!(error.to_string().starts_with(&expected), "{error}");
    let status = error.request().unwrap().status().unwrap();
    assert_eq!(
        (status.status.as_u16(), status.codes.as_slice()),
        (404, &["MANIFEST_UNKNOWN".to_owned()][..])
    );

    let other = Digest::of(b"other");
    let error = client.manifest(&repository, &other, &soon()).await.unwrap_err();
    assert!(error.to_string().contains("MANIFEST_UNKNOWN"), "{error}");

    let mut layer = client.manifest(&repository, &pushed, &soon()).await.unwrap().layers.remove(0);
    layer.digest = other;
    let error = client.blob(&repository, &layer, &soon()).await.unwrap_err();
    assert!(error.to_string().contains("BLOB_UNKNOWN"), "{error}");

    let nothing = oci::Repository::parse(&format!("oci://{}/team/nothing", registry.address())).unwrap();
    let error = client.tags(&nothing, &soon()).await.unwrap_err();
    assert!(error.to_string().contains("NAME_UNKNOWN"), "{error}");
}

#[tokio::test]
async fn tags_are_listed_over_pages() {
    let registry = Registry::start(Setup::default()).await;
    let pusher = registry.pusher();
    pusher.artifact("v0", &[]).await;
    for number in 1..7 {
        pusher.manifest(&format!("v{number}"), OCI_MANIFEST, &registry::manifest(&[])).await;
    }
    let repository = repository(&registry.address());
    let list = async |limits: Limits| {
        let client = Client::new(&Access::default(), limits).unwrap();
        client.tags(&repository, &soon()).await
    };
    let pages_of_two = || Limits { tags_per_page: 2, ..Limits::default() };
    for limits in [Limits::default(), pages_of_two()] {
        assert_eq!(list(limits).await.unwrap(), ["v0", "v1", "v2", "v3", "v4", "v5", "v6"]);
    }
    let error = list(Limits { tag_pages: 3, ..pages_of_two() }).await.unwrap_err();
    assert!(matches!(error, TagsError::TooManyPages { limit: 3, .. }), "{error}");
    let error = list(Limits { tags: 5, ..pages_of_two() }).await.unwrap_err();
    assert!(matches!(error, TagsError::TooMany { limit: 5, .. }), "{error}");
}

#[tokio::test]
async fn of_an_index_the_manifest_for_the_platform_is_read() {
    let registry = Registry::start(Setup::default()).await;
    let pusher = registry.pusher();
    let (arm, amd) = (registry::manifest(&[("a/arm", b"arm")]), registry::manifest(&[("a/amd", b"amd")]));
    pusher.artifact("arm", &[("a/arm", b"arm")]).await;
    let child = pusher.artifact("amd", &[("a/amd", b"amd")]).await;
    let both = registry::index(&[("linux", "arm64", &arm), ("linux", "amd64", &amd)]);
    let both = pusher.manifest("both", OCI_INDEX, &both).await;
    let none = registry::index(&[("linux", "arm64", &arm), ("windows", "amd64", &amd)]);
    let none = pusher.manifest("none", OCI_INDEX, &none).await;

    let (client, repository) = (client(&Access::default()), repository(&registry.address()));
    let resolved = client.resolve(&repository.tag("both").unwrap(), &soon()).await.unwrap();
    assert_eq!((&resolved.digest, resolved.media_type.as_str()), (&both, OCI_INDEX));
    let manifest = client.manifest(&repository, &both, &soon()).await.unwrap();
    assert_eq!((&manifest.digest, manifest.layers[0].media_type.as_str()), (&child, "a/amd"));
    let error = client.manifest(&repository, &none, &soon()).await.unwrap_err();
    assert!(matches!(error, ManifestError::Platform { .. }));
    assert_eq!(
        error.to_string(),
        format!("no child with platform linux/amd64 in index {}/team/app@{none}", registry.address())
    );
}

#[tokio::test]
async fn a_registry_with_basic_auth_lets_the_right_user_in() {
    let registry = Registry::start(Setup { basic_auth: true, ..Setup::default() }).await;
    let pushed = registry.pusher().artifact("v1", &[(LAYER, b"content")]).await;
    let repository = repository(&registry.address());

    let right = client(&basic(USER, PASSWORD));
    let tag = repository.tag("v1").unwrap();
    assert_eq!(right.resolve(&tag, &soon()).await.unwrap().digest, pushed);
    assert_eq!(right.tags(&repository, &soon()).await.unwrap(), ["v1"]);
    let layer = right.manifest(&repository, &pushed, &soon()).await.unwrap().layers.remove(0);
    right.blob(&repository, &layer, &soon()).await.unwrap().copy_to(&mut Vec::new()).await.unwrap();

    for access in [Access::default(), basic(USER, "wrong hunter2"), basic("somebody", PASSWORD)] {
        let client = client(&access);
        let mut errors = Vec::new();
        errors.push(all_of(&client.resolve(&tag, &soon()).await.unwrap_err()));
        errors.push(all_of(&client.tags(&repository, &soon()).await.unwrap_err()));
        errors.push(all_of(&client.manifest(&repository, &pushed, &soon()).await.unwrap_err()));
        errors.push(all_of(&client.blob(&repository, &layer, &soon()).await.unwrap_err()));
        for error in errors {
            assert!(error.contains("UNAUTHORIZED: authentication required"), "{error}");
            assert!(!error.contains("hunter2") && !error.contains(PASSWORD), "{error}");
        }
    }
}

#[tokio::test]
async fn a_registry_with_tokens_is_read_with_one_token() {
    let (signer, certificate) = Signer::new();
    for (expires_in, tokens) in [(300, 1), (0, 5)] {
        let server = signer.serve(expires_in);
        let realm = format!("http://{}/token", server.other_address());
        let setup = Setup { tokens: Some((&realm, &certificate)), ..Setup::default() };
        let registry = Registry::start(setup).await;
        let authorization = Some(format!("Bearer {}", signer.token(&["pull", "push"])));
        let pusher = Pusher { authorization, ..registry.pusher() };
        let pushed = pusher.artifact("v1", &[(LAYER, b"content")]).await;

        let (client, repository) = (me(), repository(&registry.address()));
        let tag = repository.tag("v1").unwrap();
        assert_eq!(client.resolve(&tag, &soon()).await.unwrap().digest, pushed);
        assert_eq!(client.resolve(&tag, &soon()).await.unwrap().digest, pushed);
        assert_eq!(client.tags(&repository, &soon()).await.unwrap(), ["v1"]);
        let layer = client.manifest(&repository, &pushed, &soon()).await.unwrap().layers.remove(0);
        client.blob(&repository, &layer, &soon()).await.unwrap().copy_to(&mut Vec::new()).await.unwrap();
        assert_eq!(server.asked().len(), tokens);

        for access in [Access::default(), basic("me", "wrong")] {
            let error = support::client(&access).resolve(&tag, &soon()).await.unwrap_err();
            assert!(error.to_string().starts_with(&format!("GET {realm}: ")), "{error}");
            assert!(error.to_string().ends_with(": UNAUTHORIZED: unknown user"), "{error}");
        }
    }
}

#[tokio::test]
async fn certificates_decide_who_is_spoken_with() {
    let ca = Ca::new("registry").unwrap();
    let registry = Registry::start(Setup { tls: Some(&ca), ..Setup::default() }).await;
    let pushed = registry.pusher().artifact("v1", &[(LAYER, b"content")]).await;
    let repository = repository(&registry.address());
    let resolve = async |access: Access| {
        let resolved = client(&access).resolve(&repository.tag("v1").unwrap(), &soon()).await;
        resolved.map(|resolved| resolved.digest)
    };
    let trusting = |pem: &str| TlsConfig { ca_bundle: Some(pem.as_bytes().to_vec()), client: None };

    let tls = trusting(ca.pem());
    assert_eq!(resolve(Access { tls, ..Access::default() }).await.unwrap(), pushed);
    let insecure = Access { insecure: true, ..Access::default() };
    assert_eq!(resolve(insecure).await.unwrap(), pushed);

    let other = Ca::new("other").unwrap();
    let distrusting = Access { tls: trusting(other.pem()), insecure: true, ..Access::default() };
    for access in [Access::default(), distrusting] {
        let error = resolve(access).await.unwrap_err();
        assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_presented() {
    let ca = Ca::new("registry").unwrap();
    let setup = Setup { tls: Some(&ca), client_certificates: true, ..Setup::default() };
    let registry = Registry::start(setup).await;
    let pushed = registry.pusher().artifact("v1", &[(LAYER, b"content")]).await;
    let repository = repository(&registry.address());
    let identity = ca.issue(&["client"]).unwrap();
    let ca_bundle = Some(ca.pem().as_bytes().to_vec());

    let client_pair = Some((identity.certificate.into_bytes(), Secret::new(identity.key)));
    let tls = TlsConfig { ca_bundle: ca_bundle.clone(), client: client_pair };
    let known = client(&Access { tls, ..Access::default() });
    let tag = repository.tag("v1").unwrap();
    assert_eq!(known.resolve(&tag, &soon()).await.unwrap().digest, pushed);

    let unknown = client(&Access { tls: TlsConfig { ca_bundle, client: None }, ..Access::default() });
    let error = unknown.resolve(&tag, &soon()).await.unwrap_err();
    assert!(matches!(error.request(), Some(RequestError::Unreachable { .. })), "{error}");
}

#[tokio::test]
async fn a_layer_beyond_the_limit_is_not_asked_for() {
    let registry = Registry::start(Setup::default()).await;
    let pushed = registry.pusher().artifact("v1", &[(LAYER, &[1; 100])]).await;
    let repository = repository(&registry.address());
    let limits = Limits { blob_bytes: 99, ..Limits::default() };
    let client = Client::new(&Access::default(), limits).unwrap();
    let manifest = client.manifest(&repository, &pushed, &soon()).await.unwrap();
    let error = client.blob(&repository, &manifest.layers[0], &soon()).await.unwrap_err();
    assert!(matches!(error, BlobError::TooLarge { size: 100, limit: 99, .. }), "{error}");
}
