//! Lists of referrers: as the specification has them, as registries without them do, and as nobody should.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use oci::{Access, Digest, Limits, OCI_INDEX, OCI_MANIFEST, ReferrersError};
use serde_json::json;
use support::hostile::{Answer, Hostile};
use support::{client, repository, soon};

fn index(names: &[String]) -> String {
    let children: Vec<_> = names
        .iter()
        .map(|name| {
            json!({"mediaType": OCI_MANIFEST, "digest": Digest::of(name.as_bytes()).to_string(), "size": 1,
                "artifactType": format!("application/{name}")})
        })
        .collect();
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}).to_string()
}

fn page(names: &[String]) -> Answer {
    Answer::ok(index(names)).header("Content-Type", OCI_INDEX)
}

async fn types(server: &Hostile) -> Result<Vec<String>, ReferrersError> {
    let found = client(&Access::default())
        .referrers(&repository(&server.address()), &Digest::of(b"signed"), &soon())
        .await?;
    Ok(found.into_iter().map(|descriptor| descriptor.artifact_type.unwrap()).collect())
}

#[tokio::test]
async fn pages_of_referrers_are_followed_on_the_registry_s_host() {
    let path = format!("/v2/team/app/referrers/{}", Digest::of(b"signed"));
    let first = format!("GET {path}");
    let (line, next) = (first.clone(), format!("<{path}?page=2>; rel=\"next\""));
    let server = Hostile::start(move |question| match question.line == line {
        true => page(&["a".into(), "b".into()]).header("Link", next.clone()),
        false => page(&["c".into()]),
    });
    assert_eq!(types(&server).await.unwrap(), ["application/a", "application/b", "application/c"]);
    let asked = server.asked();
    assert!(asked.iter().all(|question| question.header("accept") == Some(OCI_INDEX)), "{asked:?}");
    assert_eq!(server.lines(), [first.clone(), format!("{first}?page=2")]);
    let elsewhere = Hostile::start(|_| page(&[]).header("Link", "<https://evil.example/x>; rel=\"next\""));
    let error = types(&elsewhere).await.unwrap_err().to_string();
    assert!(error.ends_with("pagination URL host does not match registry host"), "{error}");
}

#[tokio::test]
async fn a_registry_without_referrers_has_them_behind_a_tag() {
    let tag = format!("GET /v2/team/app/manifests/sha256-{}", Digest::of(b"signed").hex());
    for (answer, expected) in [
        (Answer::status(404), &["application/a"][..]),
        (Answer::status(400), &["application/a"]),
        (Answer::status(406), &["application/a"]),
        (Answer::ok("<html>").header("Content-Type", "text/html"), &["application/a"]),
    ] {
        let line = tag.clone();
        let server = Hostile::start(move |question| match question.line == line {
            true => page(&["a".into()]),
            false => answer.clone(),
        });
        assert_eq!(types(&server).await.unwrap(), expected);
        assert_eq!(server.lines().len(), 2);
    }
    let nothing = Hostile::start(|_| Answer::status(404));
    assert_eq!(types(&nothing).await.unwrap(), [""; 0]);
    let broken = Hostile::start(|_| Answer::status(403));
    assert!(types(&broken).await.unwrap_err().to_string().contains("403 Forbidden"));
}

#[tokio::test]
async fn lists_of_referrers_have_an_end() {
    let again = Hostile::start(|question| {
        let path = question.line.trim_start_matches("GET ").to_owned();
        page(&[]).header("Link", format!("<{path}>; rel=\"next\""))
    });
    let limits = Limits::default();
    let error = types(&again).await.unwrap_err();
    assert!(matches!(error, ReferrersError::TooManyPages { limit: 100, .. }), "{error}");
    assert_eq!(again.lines().len(), limits.referrer_pages);
    let many = Hostile::start(move |_| {
        page(&(0..=limits.referrers).map(|number| number.to_string()).collect::<Vec<_>>())
    });
    let error = types(&many).await.unwrap_err().to_string();
    assert!(error.ends_with(": more than 1000 referrers"), "{error}");
    let large =
        Hostile::start(|_| Answer::ok(vec![b' '; 64 << 10]).header("Content-Type", OCI_INDEX).endless());
    let error = types(&large).await.unwrap_err().to_string();
    assert!(error.ends_with("answer of more than 8388608 bytes"), "{error}");
    for body in ["", "[]", "{", r#"{"layers":[]}"#, r#"{"manifests":[],"layers":[]}"#] {
        let odd = Hostile::start(move |_| Answer::ok(body).header("Content-Type", OCI_INDEX));
        let error = types(&odd).await.unwrap_err();
        assert!(matches!(error, ReferrersError::Malformed { .. }), "{body}: {error}");
    }
}
