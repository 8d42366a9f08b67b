//! Credentials and tokens: where they go, how long they are used, and where they never go.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use net::{Deadline, TlsConfig};
use oci::{Access, Client, Credentials, Limits};
use secret::Secret;
use support::hostile::{Answer, Hostile, Question};
use support::{BASIC, basic, client, list, me, repository, soon, tags, token};

const SCOPE: &str = "scope=repository%3Ateam%2Fapp%3Apull";

/// A registry and its token server in one: `answers` answers for the latter, and the registry lets in whoever has `Bearer good`.
fn guarded(answers: impl Fn(&Question) -> Answer + Send + Sync + 'static) -> Hostile {
    Hostile::start(move |question| {
        let host = question.header("host").unwrap().to_owned();
        match question.authorization() {
            _ if question.line.contains(" /token") => answers(question),
            Some("Bearer good") => tags(),
            _ => Answer::challenge(format!(r#"Bearer realm="http://{host}/token",service="a registry""#)),
        }
    })
}

fn authorizations(server: &Hostile) -> Vec<Option<String>> {
    server.asked().iter().map(|question| question.authorization().map(str::to_owned)).collect()
}

/// A client whose password is wrong.
fn client_of_nobody() -> Client {
    client(&basic("me", "wrong"))
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test]
async fn a_registry_without_tokens_is_asked_for_none() {
    let server = Hostile::start(|_| tags());
    assert_eq!(list(&me(), &server).await.unwrap(), ["v1"]);
    assert_eq!(server.lines(), ["GET /v2/team/app/tags/list?n=1000"]);
    assert_eq!(authorizations(&server), [None]);
    assert_eq!(server.asked()[0].header("user-agent"), Some("flux/v2"));
}

#[tokio::test]
async fn basic_credentials_are_sent_when_asked_for_and_then_at_once() {
    let server = Hostile::start(|question| match question.authorization() {
        Some(BASIC) => tags(),
        _ => Answer::challenge("Basic realm=x"),
    });
    let client = me();
    for _ in 0..2 {
        assert_eq!(list(&client, &server).await.unwrap(), ["v1"]);
    }
    assert_eq!(authorizations(&server), [None, some(BASIC), some(BASIC)]);
    let asked = server.asked().len();
    for (client, requests) in [(support::client(&Access::default()), [1, 1]), (client_of_nobody(), [2, 1])] {
        for requests in requests {
            let before = server.asked().len();
            let error = list(&client, &server).await.unwrap_err();
            assert!(error.ends_with("unexpected status code 401 Unauthorized"), "{error}");
            assert_eq!(server.asked().len() - before, requests);
        }
    }
    assert_eq!(server.asked().len(), asked + 5);
}

#[tokio::test]
async fn a_token_is_fetched_with_credentials_and_kept() {
    let server = guarded(|_| token("good"));
    let client = me();
    for _ in 0..3 {
        assert_eq!(list(&client, &server).await.unwrap(), ["v1"]);
    }
    let list_line = "GET /v2/team/app/tags/list?n=1000".to_owned();
    let token_line = format!("GET /token?{SCOPE}&service=a+registry");
    assert_eq!(
        server.lines(),
        [list_line.clone(), token_line, list_line.clone(), list_line.clone(), list_line]
    );
    let good = || some("Bearer good");
    assert_eq!(authorizations(&server), [None, some(BASIC), good(), good(), good()]);

    let anonymous = guarded(|_| token("good"));
    list(&support::client(&Access::default()), &anonymous).await.unwrap();
    assert_eq!(authorizations(&anonymous), [None, None, good()]);
}

#[tokio::test]
async fn tokens_belong_to_one_repository() {
    let server = guarded(|_| token("good"));
    let client = me();
    for name in ["team/app", "team/other", "team/app"] {
        let url = format!("oci://{}/{name}", server.address());
        client.tags(&oci::Repository::parse(&url).unwrap(), &soon()).await.unwrap();
    }
    let tokens: Vec<String> =
        server.lines().into_iter().filter(|line| line.starts_with("GET /token")).collect();
    assert_eq!(tokens.len(), 2);
    assert!(tokens[1].contains("repository%3Ateam%2Fother%3Apull"), "{tokens:?}");
}

#[tokio::test]
async fn a_token_is_fetched_once_for_many() {
    let server = guarded(|_| token("good"));
    let (client, repository) = (me(), repository(&server.address()));
    let lists: Vec<_> = (0..16)
        .map(|_| {
            let (client, repository) = (client.clone(), repository.clone());
            tokio::spawn(async move { client.tags(&repository, &soon()).await })
        })
        .collect();
    for list in lists {
        assert_eq!(list.await.unwrap().unwrap(), ["v1"]);
    }
    let tokens = server.lines().iter().filter(|line| line.starts_with("GET /token")).count();
    assert_eq!(tokens, 1);
}

#[tokio::test]
async fn a_token_that_ends_is_fetched_anew() {
    // One that is over at once, and one that the registry takes back.
    let short = guarded(|_| Answer::ok(r#"{"token":"good","expires_in":0}"#));
    let client = me();
    for _ in 0..2 {
        list(&client, &short).await.unwrap();
    }
    let tokens = |server: &Hostile| server.lines().iter().filter(|line| line.contains("/token")).count();
    assert_eq!(tokens(&short), 2);

    let count = AtomicUsize::new(0);
    let accepted = Arc::new(AtomicUsize::new(1));
    let wanted = accepted.clone();
    let server = Hostile::start(move |question| {
        let host = question.header("host").unwrap().to_owned();
        if question.line.contains(" /token") {
            return token(&format!("t{}", count.fetch_add(1, Ordering::SeqCst) + 1));
        }
        match question.authorization() {
            Some(given) if given == format!("Bearer t{}", wanted.load(Ordering::SeqCst)) => tags(),
            _ => Answer::challenge(format!(
                r#"Bearer realm="http://{host}/token",scope="repository:team/app:pull,push""#
            )),
        }
    });
    list(&client, &server).await.unwrap();
    accepted.store(2, Ordering::SeqCst);
    list(&client, &server).await.unwrap();
    assert_eq!(tokens(&server), 2);
    // The scope that was asked for comes first.
    let asked = server.lines().into_iter().find(|line| line.contains("/token")).unwrap();
    assert_eq!(asked, format!("GET /token?scope=repository%3Ateam%2Fapp%3Apull%2Cpush&{SCOPE}"));
    // A token that is not accepted is fetched once, not for ever.
    accepted.store(9, Ordering::SeqCst);
    let error = list(&client, &server).await.unwrap_err();
    assert!(error.contains("401 Unauthorized"), "{error}");
    assert_eq!(tokens(&server), 3);
}

#[tokio::test]
async fn a_token_that_is_refused_is_not_kept() {
    for status in [400, 403] {
        let given = AtomicUsize::new(0);
        let server = Hostile::start(move |question| {
            let host = question.header("host").unwrap().to_owned();
            match question.authorization() {
                _ if question.line.contains(" /token") => match given.fetch_add(1, Ordering::SeqCst) {
                    0 => token("too-little"),
                    _ => token("good"),
                },
                Some("Bearer good") => tags(),
                Some(_) => Answer::status(status),
                None => Answer::challenge(format!("Bearer realm=\"http://{host}/token\"")),
            }
        });
        let client = me();
        let error = list(&client, &server).await.unwrap_err();
        assert!(error.contains(&status.to_string()), "{error}");
        assert_eq!(list(&client, &server).await.unwrap(), ["v1"]);
    }
}

#[tokio::test]
async fn a_silent_token_server_holds_nobody_longer_than_wanted() {
    let asked = AtomicUsize::new(0);
    let server = guarded(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::ok("{").header("Content-Length", "9").stalls(),
        _ => token("good"),
    });
    let (client, repository) = (me(), repository(&server.address()));
    // One waits for the server, and others for the first.
    let (begin, deadline) = (Instant::now(), Deadline::new(Duration::from_millis(1500)));
    let waiting = [(); 3].map(|()| {
        let (client, repository, deadline) = (client.clone(), repository.clone(), deadline.clone());
        tokio::spawn(
            async move { client.tags(&repository, &deadline).await.map_err(|error| error.to_string()) },
        )
    });
    for outcome in waiting {
        let error = outcome.await.unwrap().unwrap_err();
        assert!(error.ends_with("context deadline exceeded"), "{error}");
    }
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    // Whoever gives up leaves no lock behind.
    assert_eq!(list(&client, &server).await.unwrap(), ["v1"]);
}

#[tokio::test]
async fn answers_of_token_servers_are_read_with_care() {
    for (answer, expected) in [
        (Answer::ok(r#"{"token":"bad","access_token":"good"}"#), None),
        (Answer::ok(r#"{"token":"good","access_token":""}"#), None),
        (Answer::ok(r#"{"token":"good","access_token":null,"expires_in":"x","issued_at":5}"#), None),
        (Answer::ok("{}"), Some("no token in bearer response")),
        (Answer::ok(r#"{"token":"good\nX-Evil: 1"}"#), Some("no token in bearer response")),
        (Answer::ok(r#"{"token":{"good":1}}"#), Some("answer is not understood: line 1, column 9")),
        (Answer::ok("good"), Some("answer is not understood: line 1, column 1")),
        (Answer::ok(vec![b' '; 64 << 10]).endless(), Some("answer of more than 65536 bytes")),
        (
            Answer::status(401).body(r#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}"#),
            Some("UNAUTHORIZED: who are you"),
        ),
        (Answer::status(500), Some("unexpected status code 500 Internal Server Error")),
    ] {
        let shown = format!("{answer:?}").chars().take(300).collect::<String>();
        let server = guarded(move |_| answer.clone());
        match (list(&me(), &server).await, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => {
                assert!(error.ends_with(expected), "{error}");
                assert!(error.starts_with(&format!("GET http://{}/token: ", server.address())), "{error}");
            }
            (outcome, _) => panic!("{shown}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn challenges_that_lead_nowhere_are_errors() {
    let port_of_nobody = "https://169.254.169.254/token";
    for (challenge, expected) in [
        ("Negotiate".to_owned(), "unrecognized challenge: negotiate".to_owned()),
        ("Bearer service=x".to_owned(), "malformed www-authenticate, missing realm".to_owned()),
        (
            format!("Bearer realm=\"https://{}\"", "x".repeat(9000)),
            "www-authenticate of more than 8192 bytes".to_owned(),
        ),
        (
            format!("Bearer realm=\"{port_of_nobody}\""),
            "realm host \"169.254.169.254\" is a private or link-local address".to_owned(),
        ),
        (
            "Bearer realm=\"http://127.0.0.2:1/token\"".to_owned(),
            "realm host \"127.0.0.2\" is a private or link-local address".to_owned(),
        ),
        (
            "Bearer realm=\"file:///etc/passwd\"".to_owned(),
            "realm scheme \"file\" not allowed; must be https (or http for insecure registries)".to_owned(),
        ),
    ] {
        let server = Hostile::start(move |_| Answer::challenge(challenge.clone()));
        let error = list(&me(), &server).await.unwrap_err();
        assert!(error.ends_with(&expected), "{error}");
        assert_eq!(server.asked().len(), 1);
    }
    // No challenge at all, and one that is larger than what the HTTP client reads.
    let server = Hostile::start(|_| Answer::status(401).body("no entry"));
    let error = list(&me(), &server).await.unwrap_err();
    assert!(error.ends_with("401 Unauthorized: no entry"), "{error}");
    let server = Hostile::start(|_| Answer::challenge(format!("Bearer realm=\"{}\"", "x".repeat(4 << 20))));
    let error = list(&me(), &server).await.unwrap_err();
    assert!(error.len() < 1000, "{error}");
}

#[tokio::test]
async fn a_registry_by_https_gets_no_token_by_http() {
    let realm = Hostile::start(|_| token("good"));
    let elsewhere = realm.other_address();
    let server =
        Hostile::start_tls(move |_| Answer::challenge(format!("Bearer realm=\"http://{elsewhere}/token\"")));
    let tls = TlsConfig { ca_bundle: Some(server.ca_pem()), client: None };
    let client = client(&Access { tls, ..basic("me", "hunter2") });
    let error = list(&client, &server).await.unwrap_err();
    assert!(error.ends_with("realm scheme \"http\" not allowed for a secure registry; use https"), "{error}");
    assert_eq!(realm.asked().len(), 0);
}

#[tokio::test]
async fn a_token_server_may_be_another_host_but_not_lead_to_a_third() {
    let third = Hostile::start(|_| token("good"));
    let leads_to = format!("http://{}/token?secret=good", third.other_address());
    for redirects in [false, true] {
        let target = leads_to.clone();
        let realm = Hostile::start(move |_| match redirects {
            true => Answer::redirect(target.clone()),
            false => token("good"),
        });
        let elsewhere = realm.other_address();
        let server = Hostile::start(move |question| match question.authorization() {
            Some("Bearer good") => tags(),
            _ => Answer::challenge(format!("Bearer realm=\"http://{elsewhere}/token\"")),
        });
        list(&me(), &server).await.unwrap();
        assert_eq!(authorizations(&realm), [some(BASIC)]);
        assert_eq!(authorizations(&server), [None, some("Bearer good")]);
    }
    assert_eq!(authorizations(&third), [None]);
}

#[tokio::test]
async fn refresh_tokens_are_exchanged_by_post_or_not_at_all() {
    let access = || Access {
        credentials: Credentials::RefreshToken(Secret::new("a refresh token")),
        ..Access::default()
    };
    let server = guarded(|_| token("good"));
    list(&client(&access()), &server).await.unwrap();
    let exchange = server.asked().remove(1);
    assert_eq!((exchange.line.as_str(), exchange.authorization()), ("POST /token", None));
    assert_eq!(
        exchange.body,
        "client_id=flux&grant_type=refresh_token&refresh_token=a+refresh+token&\
         scope=repository%3Ateam%2Fapp%3Apull&service=a+registry"
    );
    let server = guarded(|question| match question.line.starts_with("POST") {
        true => Answer::status(404),
        false => token("good"),
    });
    list(&client(&access()), &server).await.unwrap();
    assert_eq!(authorizations(&server), [None, None, None, some("Bearer good")]);
    // Nobody else gets it.
    let third = Hostile::start(|_| token("good"));
    let target = format!("http://{}/token", third.other_address());
    let server = guarded(move |_| Answer::redirect(target.clone()));
    let error = list(&client(&access()), &server).await.unwrap_err();
    assert!(error.contains("307 Temporary Redirect") && !error.contains("refresh token"), "{error}");
    assert_eq!(third.asked().len(), 0);
}

#[tokio::test]
async fn a_bearer_token_is_sent_as_it_is() {
    let access = Access { credentials: Credentials::Bearer(Secret::new("good")), ..Access::default() };
    let server = guarded(|_| Answer::status(500));
    list(&client(&access), &server).await.unwrap();
    assert_eq!(authorizations(&server), [None, some("Bearer good")]);
}

#[tokio::test]
async fn credentials_that_fit_no_header_are_errors() {
    let credentials = Credentials::Bearer(Secret::new("good\nX-Evil: 1"));
    let access = Access { credentials, ..Access::default() };
    let error = Client::new(&access, Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "invalid header field value for \"Authorization\"");
}

#[tokio::test]
async fn clients_are_shared_by_equal_access_alone() {
    let server = guarded(|_| token("good"));
    let clients = oci::Clients::new(Limits::default());
    for access in [basic("me", "hunter2"), basic("me", "hunter2"), basic("me", "hunter3")] {
        list(&clients.get(&access).unwrap(), &server).await.unwrap();
    }
    let tokens: Vec<_> =
        server.asked().into_iter().filter(|question| question.line.contains("/token")).collect();
    assert_eq!(tokens.len(), 2);
    assert_ne!(tokens[0].authorization(), tokens[1].authorization());
}
