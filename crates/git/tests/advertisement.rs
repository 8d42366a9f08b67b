//! Capability advertisements are cached, and hold only as long as the server agrees.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use git::{Cache, Connector, Error, Limits, Outcome, Reference, Remote};
use net::Deadline;
use support::{Repository, Server, git};
use tempfile::TempDir;

const ADVERTISEMENT: &str = "GET info/refs";
const QUESTION: &str = "POST git-upload-pack";

struct Fixture {
    server: Server,
    repository: Repository,
    dir: TempDir,
    connector: Connector,
}

/// A server that was looked at once.
fn known() -> Fixture {
    let server = Server::start();
    let repository = server.repository("r");
    repository.commit("one");
    let f = Fixture { server, repository, dir: TempDir::new().unwrap(), connector: Connector::default() };
    f.look().unwrap();
    assert_eq!(f.requests(), [ADVERTISEMENT, QUESTION, QUESTION], "advertisement, ls-refs, fetch");
    f
}

impl Fixture {
    fn look(&self) -> Result<String, Error> {
        let cache = Cache::new(self.dir.path().join("cache"), Limits::default());
        let remote = Remote::new(&self.server.url("r")).unwrap();
        let deadline = Deadline::new(Duration::from_secs(20));
        let looked = cache.checkout(&self.connector, &remote, &Reference::default(), None, &deadline);
        looked.map(|outcome| match outcome {
            Outcome::Checkout(checkout) => checkout.revision,
            Outcome::Unchanged(revision) => panic!("unchanged at {revision}"),
        })
    }

    fn requests(&self) -> Vec<String> {
        self.server.traffic().0
    }
}

#[test]
fn the_advertisement_of_a_known_server_is_not_requested_again() {
    let f = known();
    f.look().unwrap();
    assert_eq!(f.requests(), [QUESTION]);
    let next = f.repository.commit("two");
    assert_eq!(f.look().unwrap(), format!("master@sha1:{next}"));
    assert_eq!(f.requests(), [QUESTION, QUESTION]);
}

#[test]
fn the_advertisement_of_a_server_with_an_older_protocol_is_requested_again() {
    let f = known();
    f.server.control.old_protocol.store(true, Ordering::Relaxed);
    for next in ["two", "three"] {
        let next = f.repository.commit(next);
        assert_eq!(f.look().unwrap(), format!("master@sha1:{next}"));
    }
    // What protocol 0 says names refs, so it is not remembered.
    assert_eq!(f.requests(), [QUESTION, ADVERTISEMENT, QUESTION, ADVERTISEMENT, QUESTION]);
    f.server.control.old_protocol.store(false, Ordering::Relaxed);
    f.look().unwrap();
    f.look().unwrap();
    assert_eq!(f.requests(), [ADVERTISEMENT, QUESTION, QUESTION]);
}

#[test]
fn a_repository_that_moved_is_found_where_it_is_now() {
    let f = known();
    let (from, other) = (f.repository.bare.clone(), Server::start());
    std::fs::rename(&from, other.dir.path().join("r")).unwrap();
    *f.server.control.redirect.lock().unwrap() = Some(format!("http://127.0.0.1:{}", other.port));
    let head = f.repository.head();
    for _ in 0..2 {
        assert_eq!(f.look().unwrap(), format!("master@sha1:{head}"));
    }
    assert_eq!(f.requests(), [QUESTION, ADVERTISEMENT, ADVERTISEMENT], "where it moved to may change");
    assert_eq!(other.traffic().0, [ADVERTISEMENT, QUESTION, ADVERTISEMENT, QUESTION]);
}

#[test]
fn refusals_read_as_those_of_an_advertisement() {
    let f = known();
    *f.server.control.authorization.lock().unwrap() = Some("Bearer new".to_owned());
    for expected in [&[QUESTION, ADVERTISEMENT][..], &[ADVERTISEMENT]] {
        let error = f.look().unwrap_err().to_string();
        assert!(error.ends_with("authentication required: who are you?"), "{error}");
        assert_eq!(f.requests(), expected);
    }
    *f.server.control.authorization.lock().unwrap() = None;
    f.look().unwrap();
    std::fs::remove_dir_all(&f.repository.bare).unwrap();
    let error = f.look().unwrap_err().to_string();
    assert!(error.contains("repository not found"), "{error}");
}

#[test]
fn a_repository_that_was_made_anew_with_other_objects_is_said_to_be_so() {
    let f = known();
    std::fs::remove_dir_all(&f.repository.bare).unwrap();
    let bare = f.repository.bare.to_str().unwrap();
    git(f.server.dir.path(), &["init", "-q", "--bare", "--object-format=sha256", bare]);
    let error = f.look().unwrap_err().to_string();
    assert!(error.ends_with("repositories with SHA-256 objects are not supported"), "{error}");
}
