//! Redirects, proxies, http and https: who is spoken with, and who is told what.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use net::Proxy;
use oci::{Access, Digest};
use support::hostile::{Answer, Hostile};
use support::{BASIC, all_of, client, list, me, repository, soon, tags, token};

#[tokio::test]
async fn redirects_take_no_credentials_to_other_hosts() {
    let content = b"content";
    let descriptor = || {
        let value = e2e::registry::descriptor(e2e::registry::LAYER, content);
        serde_json::from_value::<oci::Descriptor>(value).unwrap()
    };
    // It would like to be a registry, and have a token asked of itself.
    let storage = Hostile::start(|question| match question.line.contains("refuse") {
        true => {
            let host = question.header("host").unwrap();
            Answer::challenge(format!("Bearer realm=\"http://{host}/token\""))
        }
        false => Answer::ok(*content),
    });
    for (scheme, credential) in [("Basic realm=x", BASIC), ("Bearer", "Bearer good")] {
        for (path, fails) in [("blob", false), ("refuse", true)] {
            let target = format!("http://u:p@{}/{path}?signature=good", storage.other_address());
            let server = Hostile::start(move |question| {
                let host = question.header("host").unwrap().to_owned();
                match question.authorization() {
                    _ if question.line.contains(" /token") => token("good"),
                    Some(given) if given == credential => Answer::redirect(target.clone()),
                    _ if scheme == "Bearer" => {
                        Answer::challenge(format!("Bearer realm=\"http://{host}/token\""))
                    }
                    _ => Answer::challenge(scheme),
                }
            });
            // The second time, the credentials are sent at once.
            let client = me();
            for _ in 0..2 {
                let blob = client.blob(&repository(&server.address()), &descriptor(), &soon()).await;
                match blob {
                    Ok(blob) => {
                        assert!(!fails);
                        blob.copy_to(&mut Vec::new()).await.unwrap();
                    }
                    Err(error) => {
                        let all = all_of(&error);
                        assert!(fails && all.contains("401") && !all.contains("good"), "{all}");
                    }
                }
            }
        }
    }
    assert!(storage.lines().iter().all(|line| !line.contains("/token")), "{:?}", storage.lines());
    assert_eq!(storage.asked().len(), 8);
    assert!(storage.asked().iter().all(|question| question.authorization().is_none()));
}

#[tokio::test]
async fn redirects_that_must_not_be_followed_are_errors() {
    for (location, expected) in [
        (
            "http://10.255.255.1/secret?good",
            "redirect to 'http://10.255.255.1' refused: private or link-local address",
        ),
        (
            "https://169.254.169.254/latest?good",
            "redirect to 'https://169.254.169.254' refused: private or link-local address",
        ),
        ("file:///etc/good", "redirect to 'file://' refused: neither http nor https"),
        ("http://[good", "redirect to '' refused: malformed location"),
        ("/v2/again", "refused: too many redirects"),
    ] {
        let server = Hostile::start(move |_| Answer::redirect(location));
        let error = list(&me(), &server).await.unwrap_err();
        assert!(error.ends_with(expected), "{error}");
    }
}

#[tokio::test]
async fn a_proxy_is_gone_through_and_knows_who_asks() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = seen.clone();
    // No https goes through this one.
    let proxy = Hostile::start(move |question| {
        let who = question.header("proxy-authorization").map(str::to_owned);
        record.lock().unwrap().push((question.line.clone(), who));
        if question.line.starts_with("CONNECT") { Answer::status(405) } else { tags() }
    });
    let address = format!("http://me:hunter2@{}", proxy.address());
    let proxied =
        Access { insecure: true, proxy: Some(Proxy::new(&address, None).unwrap()), ..Access::default() };
    let far = oci::Repository::parse("oci://registry.invalid/team/app").unwrap();
    assert_eq!(client(&proxied).tags(&far, &soon()).await.unwrap(), ["v1"]);
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(
        seen.last().unwrap(),
        &("GET http://registry.invalid/v2/team/app/tags/list?n=1000".to_owned(), Some(BASIC.to_owned()))
    );
    assert!(seen.iter().any(|(line, _)| line == "CONNECT registry.invalid:443"), "{seen:?}");
    // Without being told that it is insecure, it is not spoken with by http.
    let secure = Access { insecure: false, ..proxied };
    let error = client(&secure).tags(&far, &soon()).await.unwrap_err();
    assert!(!all_of(&error).contains("hunter2"), "{error}");
    let dead = Access { proxy: Some(Proxy::new("http://127.0.0.1:1", None).unwrap()), ..secure };
    let error = client(&dead).tags(&far, &soon()).await.unwrap_err();
    assert!(error.to_string().starts_with("GET https://registry.invalid/v2/team/app/tags/list: "), "{error}");
}

#[tokio::test]
async fn how_a_registry_is_spoken_with_is_found_out_once() {
    let pings = Arc::new(AtomicUsize::new(0));
    let count = pings.clone();
    let server = Hostile::start(move |question| {
        count.fetch_add(usize::from(question.line == "GET /v2/"), Ordering::SeqCst);
        tags()
    });
    let client = me();
    for _ in 0..3 {
        list(&client, &server).await.unwrap();
    }
    assert_eq!(pings.load(Ordering::SeqCst), 1);

    // A registry that answers neither way tells both.
    let broken = Hostile::start(|_| tags());
    let address = broken.address();
    drop(broken);
    let error = client.resolve(&repository(&address).digest(Digest::of(b"")), &soon()).await.unwrap_err();
    let (https, http) = (format!("GET https://{address}/v2/: "), format!("; GET http://{address}/v2/: "));
    assert!(error.to_string().starts_with(&https) && error.to_string().contains(&http), "{error}");
}

#[tokio::test]
async fn a_registry_that_leaves_https_unanswered_is_read_by_http() {
    let server = Hostile::start_mute_tls(|_| tags());
    let client = me();
    assert_eq!(list(&client, &server).await.unwrap(), ["v1"]);
    assert_eq!(list(&client, &server).await.unwrap(), ["v1"]);
    assert_eq!(server.lines().len(), 2);
}
