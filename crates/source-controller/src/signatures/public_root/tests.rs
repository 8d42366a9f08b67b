//! A mirror of the test's own.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;

use e2e::file_server::FileServer;
use e2e::tuf::{FUTURE, Mirror as Content};
use serde_json::{Value, json};

use super::*;

const KEYLESS: &str = include_str!("../../../../cosign/tests/data/keyless.json");

fn environment(content: &Content, server: &FileServer) -> Environment {
    [("TUF_MIRROR", server.url()), ("TUF_ROOT_JSON", content.initial())].into_iter().collect()
}

fn trusted_root() -> Vec<u8> {
    let data: Value = serde_json::from_str(KEYLESS).unwrap();
    data["trustedRoot"].to_string().into_bytes()
}

fn deadline() -> Deadline {
    Deadline::new(Duration::from_secs(60))
}

async fn mirror(folder: &Path) -> FileServer {
    e2e::init_tls();
    FileServer::start(folder, None).await.unwrap()
}

#[tokio::test]
async fn the_root_is_loaded_once_and_kept_when_the_mirror_fails() {
    let content = Content::new();
    content.publish(1, FUTURE, &trusted_root());
    let server = mirror(content.folder()).await;
    let mut public = PublicRoot::new(&environment(&content, &server));
    public.refresh = Duration::ZERO;
    let public = Arc::new(public);
    let (first, second) = (deadline(), deadline());
    let (first, second) = futures::join!(public.get(&first), public.get(&second));
    let first = first.unwrap();
    assert!(Arc::ptr_eq(&first, &second.unwrap()), "one attempt for all");
    drop(server);
    let known = public.get(&deadline()).await.unwrap();
    assert!(Arc::ptr_eq(&first, &known), "nobody waits for a newer one");
    let attempt = public.state().loading.clone();
    if let Some(attempt) = attempt {
        assert!(attempt.await.is_err());
    }
    assert!(Arc::ptr_eq(&first, &public.get(&deadline()).await.unwrap()), "it stays");
}

#[tokio::test]
async fn a_failure_stands_for_a_while_and_then_the_mirror_is_asked_again() {
    let content = Content::new();
    content.publish(1, FUTURE, &trusted_root());
    fs::rename(content.path("timestamp.json"), content.path("away")).unwrap();
    let server = mirror(content.folder()).await;
    let mut public = PublicRoot::new(&environment(&content, &server));
    let error = Arc::new(PublicRoot::new(&environment(&content, &server)));
    let text = error.get(&deadline()).await.unwrap_err().to_string();
    assert!(text.starts_with("unable to initialize trusted root: "), "{text}");
    fs::rename(content.path("away"), content.path("timestamp.json")).unwrap();
    let again = error.get(&deadline()).await.unwrap_err().to_string();
    assert_eq!(again, text, "the mirror is not asked");
    public.failure = Duration::ZERO;
    let public = Arc::new(public);
    fs::rename(content.path("timestamp.json"), content.path("away")).unwrap();
    assert!(public.get(&deadline()).await.is_err());
    fs::rename(content.path("away"), content.path("timestamp.json")).unwrap();
    assert!(public.get(&deadline()).await.is_ok());
}

#[tokio::test]
async fn what_is_not_signed_old_or_too_large_is_refused() {
    let large = vec![b' '; TRUSTED_ROOT_BYTES + 1];
    for (what, text) in [
        ("expired", "expired"),
        ("foreign", "signature threshold not met for role root"),
        ("changed", "integrity check failed"),
        ("large", "exceeds configured max"),
        ("other", "trusted_root.json: line 1, column 2 is not understood"),
    ] {
        let content = Content::new();
        let expires = if what == "expired" { "2020-01-01T00:00:00Z" } else { FUTURE };
        let target = match what {
            "large" => large.clone(),
            "other" => b"{}".to_vec(),
            _ => trusted_root(),
        };
        content.publish(1, expires, &target);
        match what {
            "foreign" => {
                let mut root: Value = serde_json::from_slice(&fs::read(content.initial()).unwrap()).unwrap();
                root["signed"]["version"] = json!(2);
                fs::write(content.initial(), root.to_string()).unwrap();
            }
            "changed" => {
                let other = String::from_utf8(target).unwrap().replace("example", "exemple");
                fs::write(content.path("targets/trusted_root.json"), other).unwrap();
            }
            _ => {}
        }
        let server = mirror(content.folder()).await;
        let public = Arc::new(PublicRoot::new(&environment(&content, &server)));
        let error = public.get(&deadline()).await.unwrap_err().to_string();
        assert!(error.contains(text), "{what}: {error}");
    }
}

#[test]
fn the_root_that_is_built_in_is_signed_by_its_own_keys() {
    assert!(Updater::new(Mirror::new(MIRROR).unwrap(), ROOT).is_ok());
}
