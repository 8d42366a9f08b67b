//! A client against a store that checks its signatures, tokens and conditions.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use bucket::azure::{Access, AccountKey, Credentials, Endpoint, Sas};
use bucket::{Client, Limits};
use common::{content, listed, minute};
use e2e::azure_server::AzureServer;
use e2e::object_store::BUCKET;
use net::TlsConfig;
use secret::Secret;

fn client_of(endpoint: Endpoint, container: &str, credentials: Credentials, limits: Limits) -> Client {
    let access = Access { credentials, ..Access::default() };
    Client::azure(endpoint, container, access, limits).unwrap()
}

fn by_key(server: &AzureServer, key: &str) -> (Endpoint, Credentials) {
    let endpoint = Endpoint::parse(&server.url()).unwrap();
    let key = AccountKey::new(endpoint.account().unwrap(), &Secret::new(key)).unwrap();
    (endpoint, Credentials::AccountKey(key))
}

fn client(server: &AzureServer) -> Client {
    let (endpoint, key) = by_key(server, &server.account_key());
    client_of(endpoint, BUCKET, key, Limits::default())
}

fn by_sas(url: &str, key: &str) -> Client {
    let (endpoint, sas) = Sas::of_endpoint(Endpoint::parse(url).unwrap(), &Secret::new(key)).unwrap();
    client_of(endpoint, BUCKET, Credentials::Sas(sas), Limits::default())
}

#[tokio::test]
async fn odd_keys_are_listed_and_fetched_with_right_signatures() {
    let server = AzureServer::start(false).await.unwrap();
    for key in common::ODD_KEYS {
        server.put(key, &format!("of {key}"));
    }
    server.set_page(3);
    let by_sas = by_sas(&server.url(), &format!("?{}", server.sas_key()));
    for client in [client(&server), by_sas] {
        common::assert_odd_keys(&client, |key| server.etag(key)).await;
    }
}

#[tokio::test]
async fn a_poll_costs_its_pages_and_an_object_one_request() {
    let server = AzureServer::start(false).await.unwrap();
    for number in 0..1001 {
        server.put(&format!("k{number:04}"), "x");
    }
    let client = client(&server);
    let objects = listed(&client, "").await.unwrap();
    assert_eq!(objects.len(), 1001);
    assert_eq!(server.take_requests(), ["GET list", "GET list"]);
    content(&client, &objects[7]).await.unwrap().unwrap();
    assert_eq!(server.take_requests(), ["GET object k0007"]);
}

#[tokio::test]
async fn an_object_that_has_changed_is_fetched_as_it_is_and_one_that_is_gone_is_none() {
    let server = AzureServer::start(false).await.unwrap();
    server.put("a", "old");
    let client = client(&server);
    let objects = listed(&client, "").await.unwrap();
    server.put("a", "new content");
    server.take_requests();
    let (etag, text) = content(&client, &objects[0]).await.unwrap().unwrap();
    assert_eq!((Some(etag), text.as_str()), (server.etag("a"), "new content"));
    assert_eq!(server.take_requests(), ["GET object a", "GET object a"]);
    server.remove("a");
    assert!(client.get(&objects[0], &minute()).await.unwrap().is_none());
    let gone =
        "<Error><Code>ContainerNotFound</Code><Message>The container is gone.\nTime:1</Message></Error>";
    server.fail(1, "GET object", 404, gone);
    let error = client.get(&objects[0], &minute()).await.unwrap_err().to_string();
    assert_eq!(error, "RESPONSE 404: ContainerNotFound: The container is gone.");
}

#[tokio::test]
async fn who_is_not_let_in_is_told_why_without_what_is_another_text_each_time() {
    let server = AzureServer::start(false).await.unwrap();
    server.put("a", "x");
    let refused = "RESPONSE 403: AuthenticationFailed: Server failed to authenticate the request. Make sure the value of \
                   Authorization header is formed correctly including the signature.";
    let (endpoint, key) = by_key(&server, "c3RyYW5nZXI=");
    let stranger = client_of(endpoint.clone(), BUCKET, key, Limits::default());
    assert_eq!(listed(&stranger, "").await.unwrap_err().to_string(), refused);
    let may_lack = "the specified bucket name may be incorrect, nonexistent, or the caller might lack sufficient \
                    permissions to access it";
    let error = stranger.find(&minute()).await.unwrap_err().to_string();
    assert_eq!(error, format!("{may_lack}: {refused}"));
    let error = listed(&by_sas(&server.url(), "sv=1&sig=s3cret"), "").await.unwrap_err();
    assert_eq!(error.to_string(), refused);
    assert!(!format!("{error:?}").contains("s3cret"));
    let nobody = client_of(endpoint.clone(), BUCKET, Credentials::Anonymous, Limits::default());
    let text =
        "RESPONSE 409: PublicAccessNotPermitted: Public access is not permitted on this storage account.";
    assert_eq!(listed(&nobody, "").await.unwrap_err().to_string(), text);
    server.set_public(true);
    assert_eq!(listed(&nobody, "").await.unwrap().len(), 1);
    let (_, key) = by_key(&server, &server.account_key());
    let elsewhere = client_of(endpoint, "other", key, Limits::default());
    assert!(!elsewhere.find(&minute()).await.unwrap());
    let old = client(&server);
    server.rotate();
    assert_eq!(listed(&old, "").await.unwrap_err().to_string(), refused, "the key is another one");
    assert_eq!(listed(&client(&server), "").await.unwrap().len(), 1);
}

#[tokio::test]
async fn tokens_are_sent_over_tls_alone() {
    let server = AzureServer::start(true).await.unwrap();
    server.put("a", "x");
    let access = |token: &str| Access {
        credentials: Credentials::Token(Secret::new(token)),
        tls: TlsConfig {
            ca_bundle: server.ca_pem().map(|pem| pem.as_bytes().to_vec()),
            ..TlsConfig::default()
        },
        ..Access::default()
    };
    let endpoint = Endpoint::parse(&server.url()).unwrap();
    let client = Client::azure(endpoint.clone(), BUCKET, access(&server.token()), Limits::default()).unwrap();
    let objects = listed(&client, "").await.unwrap();
    assert_eq!(content(&client, &objects[0]).await.unwrap().unwrap().1, "x");
    let stranger = Client::azure(endpoint, BUCKET, access("s3cret"), Limits::default()).unwrap();
    let error = listed(&stranger, "").await.unwrap_err();
    assert!(error.to_string().starts_with("RESPONSE 403: AuthenticationFailed: "), "{error}");
    assert!(!format!("{error:?}{stranger:?}").contains("s3cret"));
    let plain = Endpoint::parse("http://me.blob.core.windows.net").unwrap();
    let error = Client::azure(plain, BUCKET, access("t"), Limits::default()).unwrap_err().to_string();
    assert_eq!(error, "authenticated requests are not permitted for non TLS protected (https) endpoints");
}

#[tokio::test]
async fn errors_show_no_query() {
    let client = by_sas("http://127.0.0.1:1/?sv=0&x=s3cret1", "sv=1&sig=s3cret2");
    let error = listed(&client, "").await.unwrap_err();
    assert!(error.to_string().starts_with("GET \"http://127.0.0.1:1/team\": "), "{error}");
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_lists_without_end_end() {
    let server = AzureServer::start(false).await.unwrap();
    for key in ["a", "b", "c", "d"] {
        server.put(key, "x");
    }
    server.set_page(2);
    for status in [429, 503] {
        server.fail(2, "GET list", status, "");
        assert_eq!(listed(&client(&server), "").await.unwrap().len(), 4);
    }
    server.take_requests();
    server.fail(1, "GET list", 307, "");
    assert_eq!(listed(&client(&server), "").await.unwrap_err().to_string(), "Error response code 307.");
    assert_eq!(server.take_requests(), ["GET list"]);
    let limited = |limits: Limits| {
        let (endpoint, key) = by_key(&server, &server.account_key());
        client_of(endpoint, BUCKET, key, limits)
    };
    let error = listed(&limited(Limits { objects: 3, ..Limits::default() }), "").await.unwrap_err();
    assert_eq!(error.to_string(), "more than 3 objects");
    server.set_circle(true);
    let error = listed(&limited(Limits::default()), "").await.unwrap_err();
    assert_eq!(error.to_string(), "the list goes round in a circle");
    server.heal();
    let small = limited(Limits { object_bytes: 0, ..Limits::default() });
    let objects = listed(&small, "").await.unwrap();
    let error = content(&small, &objects[0]).await.unwrap_err().to_string();
    assert_eq!(error, format!("GET \"{}/team/a\": answer of more than 0 bytes", server.url()));
}

/// `azurite-blob --inMemoryPersistence`, with the account that it always has.
#[tokio::test]
#[ignore = "needs Microsoft's emulator, which is a program of Node: AZURITE_URL=http://127.0.0.1:10000"]
async fn microsofts_emulator_lets_in_who_signs_right() {
    const ACCOUNT: &str = "devstoreaccount1";
    const KEY: &str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    let url = std::env::var("AZURITE_URL").unwrap();
    let endpoint = Endpoint::parse(&format!("{url}/{ACCOUNT}")).unwrap();
    let credentials =
        |key: &str| Credentials::AccountKey(AccountKey::new(ACCOUNT, &Secret::new(key)).unwrap());
    // What AZURITE_CONTAINER has is for who starts the emulator to say.
    let container = std::env::var("AZURITE_CONTAINER").unwrap();
    let client = client_of(endpoint.clone(), &container, credentials(KEY), Limits::default());
    assert!(client.find(&minute()).await.unwrap());
    let objects = listed(&client, "").await.unwrap();
    assert!(!objects.is_empty());
    for object in &objects {
        let (etag, text) = content(&client, object).await.unwrap().unwrap();
        assert_eq!((etag, text), (object.etag.clone(), format!("of {}", object.key)));
    }
    let other =
        objects.first().map(|object| bucket::Object { etag: "0x1".to_owned(), ..object.clone() }).unwrap();
    assert_eq!(content(&client, &other).await.unwrap().unwrap().0, objects[0].etag);
    let gone = bucket::Object { key: "gone".to_owned(), ..other };
    assert!(client.get(&gone, &minute()).await.unwrap().is_none());
    let elsewhere = client_of(endpoint.clone(), "nowhere", credentials(KEY), Limits::default());
    assert!(!elsewhere.find(&minute()).await.unwrap());
    let stranger = client_of(endpoint, &container, credentials("c3RyYW5nZXI="), Limits::default());
    let error = listed(&stranger, "").await.unwrap_err().to_string();
    assert!(
        error.contains("403: AuthorizationFailure") || error.contains("403: AuthenticationFailed"),
        "{error}"
    );
}

#[tokio::test]
async fn an_object_is_packed_if_its_header_says_so() {
    let server = AzureServer::start(false).await.unwrap();
    common::assert_packed(&client(&server), &server, true).await;
}
