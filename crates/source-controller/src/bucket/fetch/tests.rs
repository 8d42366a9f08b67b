//! Objects that a store has packed, also such as mean no good.

use std::time::Duration;

use bucket::Limits;
use bucket::azure::{Access, AccountKey, Credentials, Endpoint};
use e2e::azure_server::AzureServer;
use e2e::object_store::{BUCKET, gzip};
use secret::Secret;

use super::*;

const SPACE: Space = Space { room: 1 << 20, unpacked: 1 << 20 };

fn minute() -> Deadline {
    Deadline::new(Duration::from_secs(60))
}

fn client(server: &AzureServer, object_bytes: u64) -> Client {
    let endpoint = Endpoint::parse(&server.url()).unwrap();
    let key = AccountKey::new(endpoint.account().unwrap(), &Secret::new(server.account_key())).unwrap();
    let access = Access { credentials: Credentials::AccountKey(key), ..Access::default() };
    Client::azure(endpoint, BUCKET, access, Limits { object_bytes, ..Limits::default() }).unwrap()
}

fn bucket() -> Bucket {
    let spec = serde_json::json!({"bucketName": BUCKET, "endpoint": "e", "interval": "1h"});
    serde_json::from_value(serde_json::json!({"metadata": {"name": "app"}, "spec": spec})).unwrap()
}

/// Lists the bucket, and fetches what `known` lacks.
async fn fetch(
    server: &AzureServer,
    object_bytes: u64,
    known: Option<&Snapshot>,
    space: Space,
) -> Result<(Index, Located), String> {
    let (client, memory) = (client(server, object_bytes), Budget::new(budget::Limits::halved(1 << 20)));
    let (listed, _, _grant) = list(&client, &bucket(), &memory, "ns", &minute()).await.unwrap();
    let fetched = objects(&client, &bucket(), Index::of(listed), known, space, &minute()).await;
    fetched.map_err(|failure| failure.message)
}

#[tokio::test]
async fn packed_objects_are_kept_as_they_are_stored_and_their_content_is_measured() {
    let server = AzureServer::start(false).await.unwrap();
    let (content, packed) = (vec![b'x'; 100_000], gzip(&[b'x'; 100_000]));
    server.put_encoded("a", &packed, "gzip");
    server.put("b", "plain");
    let (index, located) = fetch(&server, 100_000, None, SPACE).await.unwrap();
    let sizes: Vec<_> = index.objects().iter().map(|object| (object.size, object.unpacked)).collect();
    assert_eq!(sizes, [(packed.len() as u64, Some(100_000)), (5, None)]);
    let at = located.offsets.first().copied().flatten().unwrap();
    let part = Part { file: &located.file, at, left: packed.len() as u64 };
    let mut unpacked_content = Vec::new();
    unpacked(part).read_to_end(&mut unpacked_content).unwrap();
    assert_eq!(unpacked_content, content);
    // What is listed is its size in the store, by which it is known again.
    server.take_requests();
    let known = Snapshot { origin: "o".to_owned(), ignore: None, index: index.clone() };
    let (again, located) = fetch(&server, 100_000, Some(&known), SPACE).await.unwrap();
    assert_eq!((again, located.offsets), (index, vec![None, None]));
    assert_eq!(server.take_requests(), ["GET list"], "nothing is fetched");
}

#[tokio::test]
async fn what_unpacks_to_too_much_is_refused_and_takes_no_room() {
    let server = AzureServer::start(false).await.unwrap();
    server.put_encoded("a", &gzip(&vec![0; 600_000]), "gzip");
    let text =
        "fetch from bucket 'team' failed: failed to get 'a' object: more than 599999 bytes once unpacked";
    assert_eq!(fetch(&server, 599_999, None, SPACE).await.err().as_deref(), Some(text));
    assert!(fetch(&server, 600_000, None, SPACE).await.is_ok());
    assert!(fetch(&server, 600_000, None, Space { room: 10_000, ..SPACE }).await.is_ok());
    server.put_encoded("b", &gzip(&vec![0; 600_000]), "gzip");
    let error = fetch(&server, 600_000, None, SPACE).await.err().unwrap();
    let text = "the objects have more than 1048576 bytes once unpacked (--bucket-temporary-max-size)";
    assert!(error.ends_with(text), "{error}");
    assert!(fetch(&server, 600_000, None, Space { unpacked: 1_200_000, ..SPACE }).await.is_ok());
    server.take_requests();
    server.put_encoded("a", b"no stream", "gzip");
    let error = fetch(&server, 600_000, None, SPACE).await.err().unwrap();
    let text = "fetch from bucket 'team' failed: failed to get 'a' object: failed to unpack it: ";
    assert!(error.starts_with(text), "{error}");
    let asked = server.take_requests().into_iter().filter(|line| line == "GET object a").count();
    assert_eq!(asked, 1, "the content stays as it is");
}

#[tokio::test]
async fn a_packed_ignore_file_counts_as_it_is_unpacked_and_no_further_than_its_limit() {
    let server = AzureServer::start(false).await.unwrap();
    let file = async |content: &[u8]| {
        server.put_encoded(IGNORE_FILE, content, "gzip");
        let (client, memory) = (client(&server, 1 << 20), Budget::new(budget::Limits::halved(1 << 20)));
        let (_, listed, _grant) = list(&client, &bucket(), &memory, "ns", &minute()).await.unwrap();
        let file = ignore_file(&client, listed.as_ref(), None, 1000, &minute()).await;
        file.map(|file| file.unwrap().text).map_err(|failure| failure.message)
    };
    assert_eq!(file(&gzip(b"*.md\n")).await, Ok(b"*.md\n".to_vec()));
    assert_eq!(file(&gzip(&vec![b'#'; 20_000])).await.unwrap().len(), 1001, "more than the limit");
    let error = file(b"no stream").await.unwrap_err();
    let text = "failed to get Etag for '.sourceignore' object: failed to unpack it: ";
    assert!(error.starts_with(text), "{error}");
}
