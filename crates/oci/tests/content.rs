//! Registries that give other content than they say, none, or no end of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::time::{Duration, Instant};

use e2e::registry::{self, LAYER};
use net::Deadline;
use oci::{
    Access, BlobError, Client, Descriptor, Digest, Limits, ManifestError, OCI_INDEX, OCI_MANIFEST,
    RequestError, TagsError,
};
use support::hostile::{Answer, Hostile};
use support::{all_of, client, repository, soon};

fn layer(content: &[u8]) -> Descriptor {
    serde_json::from_value(registry::descriptor(LAYER, content)).unwrap()
}

fn anybody() -> Client {
    client(&Access::default())
}

/// All of a blob, if it is what the descriptor says.
async fn read(client: &Client, server: &Hostile, layer: &Descriptor) -> Result<Vec<u8>, BlobError> {
    let mut content = Vec::new();
    let blob = client.blob(&repository(&server.address()), layer, &soon()).await?;
    blob.copy_to(&mut content).await.map(|()| content)
}

#[tokio::test]
async fn a_blob_is_what_the_manifest_says_or_an_error() {
    let content = b"0123456789";
    let giving = |answer: Answer| async move {
        let server = Hostile::start(move |_| answer.clone());
        read(&anybody(), &server, &layer(content)).await
    };
    assert_eq!(giving(Answer::ok(*content)).await.unwrap(), content);
    assert_eq!(giving(Answer::ok(*content).until_the_end()).await.unwrap(), content);

    let other = giving(Answer::ok("9876543210")).await.unwrap_err();
    let (want, got) = (Digest::of(content), Digest::of(b"9876543210"));
    let expected =
        format!("error verifying sha256 checksum after reading 10 bytes; got \"{got}\", want \"{want}\"");
    assert!(other.to_string().ends_with(&expected), "{other}");

    for (text, length) in [("01234567890", 11), ("012345678", 9), ("", 0)] {
        let announced = giving(Answer::ok(text)).await.unwrap_err();
        let expected = format!("Content-Length header {length} does not match expected size 10");
        assert!(announced.to_string().ends_with(&expected), "{announced}");
        let unannounced = giving(Answer::ok(text).until_the_end()).await.unwrap_err();
        let expected = format!("error verifying size; got {length}, want 10");
        assert!(unannounced.to_string().ends_with(&expected), "{unannounced}");
    }

    let cut = Answer::ok("012345").header("Content-Length", "10").until_the_end();
    let cut = giving(cut).await.unwrap_err();
    assert!(matches!(cut, BlobError::Request(RequestError::Connection { .. })), "{cut}");
    let endless = giving(Answer::ok(vec![0; 64 << 10]).endless()).await.unwrap_err();
    assert!(matches!(endless, BlobError::Size { .. }), "{endless}");
}

#[tokio::test]
async fn a_blob_in_its_manifest_is_verified_too() {
    let server = Hostile::start(|_| Answer::status(500));
    let with_data = |data: &str| {
        let mut layer = registry::descriptor(LAYER, b"content");
        layer["data"] = data.into();
        serde_json::from_value::<Descriptor>(layer).unwrap()
    };
    assert_eq!(read(&anybody(), &server, &with_data("Y29udGVudA==")).await.unwrap(), b"content");
    let error = read(&anybody(), &server, &with_data("Q09OVEVOVA==")).await.unwrap_err();
    assert!(matches!(error, BlobError::Digest { .. }), "{error}");
    let error = read(&anybody(), &server, &with_data("")).await.unwrap_err();
    assert!(matches!(error, BlobError::Size { actual: 0, .. }), "{error}");
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn a_manifest_has_the_digest_that_was_asked_for() {
    let server = Hostile::start(|_| Answer::ok(registry::manifest(&[])).header("Content-Type", OCI_MANIFEST));
    let repository = repository(&server.address());
    let (asked, got) = (Digest::of(b"other"), Digest::of(&registry::manifest(&[])));
    let error = anybody().manifest(&repository, &asked, &soon()).await.unwrap_err();
    let expected = format!(
        "manifest digest: \"{got}\" does not match requested digest: \"{asked}\" for \"{}@{asked}\"",
        repository
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_digest_header_that_lies_is_found_out() {
    let lie = Digest::of(b"lie");
    let header = lie.to_string();
    let server = Hostile::start(move |_| {
        let answer = Answer::ok(registry::manifest(&[])).header("Content-Type", OCI_MANIFEST);
        answer.header("Docker-Content-Digest", header.clone())
    });
    let (client, repository) = (anybody(), repository(&server.address()));
    let tag = repository.tag("v1").unwrap();

    // The head is believed, what it leads to is not.
    assert_eq!(client.resolve(&tag, &soon()).await.unwrap().digest, lie);
    let error = client.manifest(&repository, &lie, &soon()).await.unwrap_err();
    assert!(matches!(error, ManifestError::Digest { .. }), "{error}");
    let error = client.raw_manifest(&tag, &soon()).await.unwrap_err();
    assert!(matches!(error, ManifestError::Header { .. }), "{error}");
    let error = client.resolve(&repository.digest(Digest::of(b"x")), &soon()).await.unwrap_err();
    assert!(matches!(error, ManifestError::Digest { .. }), "{error}");
}

#[tokio::test]
async fn a_head_that_does_not_tell_all_is_followed_by_a_get() {
    let manifest = registry::manifest(&[]);
    let digest = Digest::of(&manifest);
    let complete = || {
        let head = Answer::status(200).header("Content-Type", OCI_MANIFEST).header("Content-Length", "2");
        head.header("Docker-Content-Digest", Digest::of(b"{}").to_string())
    };
    for (head, is_enough) in [
        (complete(), true),
        (Answer::status(405), false),
        (Answer::status(404), false),
        (Answer::status(500), false),
        (Answer::status(403), false),
        (Answer::status(204), false),
        (Answer::ok(manifest.clone()).header("Content-Type", OCI_MANIFEST), false),
        (Answer::ok(manifest.clone()).header("Docker-Content-Digest", digest.to_string()), false),
        (
            Answer::ok("").header("Content-Type", OCI_MANIFEST).header("Docker-Content-Digest", "sha256:1"),
            false,
        ),
        (complete().header("Location", "https://example.com/"), true),
    ] {
        let (script, body) = (head.clone(), manifest.clone());
        let server = Hostile::start(move |question| match question.is_head() {
            true => script.clone(),
            false => Answer::ok(body.clone()).header("Content-Type", OCI_MANIFEST),
        });
        let tag = repository(&server.address()).tag("v1").unwrap();
        let resolved = anybody().resolve(&tag, &soon()).await.unwrap();
        let expected = if is_enough { Digest::of(b"{}") } else { digest.clone() };
        assert_eq!(resolved.digest, expected, "{head:?}");
        assert_eq!(server.asked().len(), if is_enough { 1 } else { 2 }, "{head:?}");
    }
}

#[tokio::test]
async fn a_registry_that_asks_to_be_spared_is_not_asked_again() {
    let server = Hostile::start(|_| Answer::status(429).header("Retry-After", "17"));
    let (client, repository) = (anybody(), repository(&server.address()));
    let error = client.resolve(&repository.tag("v1").unwrap(), &soon()).await.unwrap_err();
    assert_eq!(server.lines(), ["HEAD /v2/team/app/manifests/v1"]);
    assert_eq!(error.request().unwrap().retry_after(), Some(Duration::from_secs(17)));
    let TagsError::Request(error) = client.tags(&repository, &soon()).await.unwrap_err() else { panic!() };
    assert_eq!(error.retry_after(), Some(Duration::from_secs(17)));
}

#[tokio::test]
async fn temporary_errors_are_told_from_permanent_ones() {
    for (status, is_temporary) in [
        (408, true),
        (429, true),
        (500, true),
        (502, true),
        (503, true),
        (504, true),
        (501, false),
        (403, false),
    ] {
        let server = Hostile::start(move |_| Answer::status(status));
        let error = anybody().tags(&repository(&server.address()), &soon()).await.unwrap_err();
        assert_eq!(error.request().unwrap().is_temporary(), is_temporary, "{error}");
    }
    let cut = Hostile::start(|_| Answer::ok("{").header("Content-Length", "9").until_the_end());
    let error = anybody().tags(&repository(&cut.address()), &soon()).await.unwrap_err();
    assert!(error.request().unwrap().is_temporary(), "{error}");
}

#[tokio::test]
async fn manifests_have_a_limit() {
    let hundred = Answer::ok("{").header("Content-Length", (100 << 20).to_string()).stalls();
    let endless = Answer::ok(vec![b' '; 64 << 10]).endless();
    for answer in [hundred, endless] {
        let server = Hostile::start(move |question| match question.is_head() {
            true => Answer::status(405),
            false => answer.clone(),
        });
        let (client, repository) = (anybody(), repository(&server.address()));
        let error = client.manifest(&repository, &Digest::of(b""), &soon()).await.unwrap_err();
        assert!(error.to_string().ends_with("answer of more than 4194304 bytes"), "{error}");
        let error = client.resolve(&repository.tag("v1").unwrap(), &soon()).await.unwrap_err();
        assert!(error.to_string().ends_with("answer of more than 4194304 bytes"), "{error}");
    }
}

#[tokio::test]
async fn indexes_lead_to_one_manifest_and_no_further() {
    let arm = registry::manifest(&[("a/arm", b"arm")]);
    let nested = registry::index(&[("linux", "amd64", &arm)]);
    let outer = registry::index(&[("linux", "amd64", &nested)]);
    let outer_digest = Digest::of(&outer);
    let mut embedded = serde_json::from_slice::<serde_json::Value>(&nested).unwrap();
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &arm);
    embedded["manifests"][0]["data"] = base64.into();
    let embedded = serde_json::to_vec(&embedded).unwrap();
    let embedded_digest = Digest::of(&embedded);

    let bodies = [nested.clone(), outer, embedded];
    let server = Hostile::start(move |question| {
        let body = bodies.iter().find(|body| question.line.ends_with(&Digest::of(body).to_string()));
        body.map_or_else(
            || Answer::status(404),
            |body| Answer::ok(body.clone()).header("Content-Type", OCI_INDEX),
        )
    });
    let (client, repository) = (anybody(), repository(&server.address()));
    let error = client.manifest(&repository, &outer_digest, &soon()).await.unwrap_err();
    assert!(error.to_string().contains("unsupported MediaType"), "{error}");
    let manifest = client.manifest(&repository, &embedded_digest, &soon()).await.unwrap();
    assert_eq!(manifest.layers[0].media_type, "a/arm");
    let error = client.manifest(&repository, &Digest::of(&nested), &soon()).await.unwrap_err();
    assert!(matches!(error, ManifestError::Request(RequestError::Status(_))), "{error}");
}

#[tokio::test]
async fn lists_of_tags_end() {
    let page = |next: &'static str| Answer::ok(r#"{"tags":["a","b"]}"#).header("Link", next);
    let tags = |limits: Limits, answer: Answer| async move {
        let server = Hostile::start(move |_| answer.clone());
        let client = Client::new(&Access::default(), limits).unwrap();
        let outcome = client.tags(&repository(&server.address()), &soon()).await;
        (outcome.map_err(|error| error.to_string()), server.asked().len())
    };
    let again = "</v2/team/app/tags/list?n=1000>; rel=\"next\"";
    let (outcome, asked) = tags(Limits { tag_pages: 5, ..Limits::default() }, page(again)).await;
    assert!(outcome.unwrap_err().ends_with("more than 5 pages of tags"));
    assert_eq!(asked, 5);
    let (outcome, asked) = tags(Limits { tags: 7, ..Limits::default() }, page(again)).await;
    assert!(outcome.unwrap_err().ends_with("more than 7 tags"));
    assert_eq!(asked, 4);
    let (outcome, asked) = tags(Limits { tag_bytes: 50, ..Limits::default() }, page(again)).await;
    assert!(outcome.unwrap_err().ends_with("answer of more than 14 bytes"));
    assert_eq!(asked, 3);
    let endless = Answer::ok(vec![b' '; 64 << 10]).endless();
    let (outcome, _) = tags(Limits { tag_bytes: 1 << 20, ..Limits::default() }, endless).await;
    assert!(outcome.unwrap_err().ends_with("answer of more than 1048576 bytes"));
    let (outcome, asked) = tags(Limits::default(), page("<https://evil.example/v2/>; rel=next")).await;
    assert!(outcome.unwrap_err().ends_with("pagination URL host does not match registry host"));
    assert_eq!(asked, 1);
    for (body, expected) in [
        (r#"{"tags":null}"#, Ok(Vec::<String>::new())),
        ("{}", Ok(Vec::new())),
        (r#"{"name":"x","tags":["v1"],"more":1}"#, Ok(vec!["v1".to_owned()])),
        ("<html>", Err("line 1, column 1")),
        (r#"{"tags":{"secret":1}}"#, Err("line 1, column 8")),
    ] {
        let (outcome, _) = tags(Limits::default(), Answer::ok(body)).await;
        match (outcome, expected) {
            (Ok(tags), Ok(expected)) => assert_eq!(tags, expected),
            (Err(error), Err(expected)) => assert!(error.ends_with(expected), "{error}"),
            (outcome, _) => panic!("{body}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn silence_ends_at_the_deadline_or_sooner() {
    let silent = Hostile::silent();
    let stalling = Hostile::start(|question| match question.is_head() {
        true => Answer::status(404),
        false => Answer::ok("{").header("Content-Length", "5").stalls(),
    });
    let repository_of = |server: &Hostile| repository(&server.address());
    let limits = Limits { idle_timeout: Duration::from_millis(200), ..Limits::default() };
    let impatient = Client::new(&Access::default(), limits).unwrap();
    let content = layer(b"12345");
    for server in [&silent, &stalling] {
        let repository = repository_of(server);
        for (client, deadline, expected) in [
            (&anybody(), Duration::from_millis(300), "context deadline exceeded"),
            (&impatient, Duration::from_secs(3600), "nothing received for 200ms"),
        ] {
            let begin = Instant::now();
            let deadline = || Deadline::new(deadline);
            let tag = repository.tag("v1").unwrap();
            let digest = Digest::of(b"");
            let errors = [
                client.tags(&repository, &deadline()).await.unwrap_err().to_string(),
                client.resolve(&tag, &deadline()).await.unwrap_err().to_string(),
                client.manifest(&repository, &digest, &deadline()).await.unwrap_err().to_string(),
                match client.blob(&repository, &content, &deadline()).await {
                    Ok(blob) => blob.copy_to(&mut Vec::new()).await.unwrap_err().to_string(),
                    Err(error) => error.to_string(),
                },
            ];
            for error in errors {
                assert!(error.ends_with(expected), "{error}");
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
        }
    }
}

#[tokio::test]
async fn pages_of_errors_are_repeated_in_part() {
    let server = Hostile::start(|_| Answer::status(500).body("\u{1b}[31mno\r\n".repeat(30_000)));
    let error = anybody().tags(&repository(&server.address()), &soon()).await.unwrap_err();
    assert!(error.to_string().len() < 1500, "{error}");
    let endless = Hostile::start(|_| Answer::status(500).body("x".repeat(64 << 10)).endless());
    let error = anybody().tags(&repository(&endless.address()), &soon()).await.unwrap_err();
    assert!(all_of(&error).len() < 6000, "{error}");
    assert!(!error.to_string().chars().any(char::is_control));
}
