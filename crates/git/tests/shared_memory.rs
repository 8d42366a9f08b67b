//! The memory of several fetches: what hostile answers make one take, another tenant's does not lack.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use git::{Cache, Connector, Error, Limits, Memory, Reference, Remote, Session, TransportError};
use net::Deadline;
use support::hostile::{Answer, Hostile, lines, version_2};
use support::pack::{BLOB, Pack, copy, delta, id};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

fn limits(memory: &Memory, tenant: &str) -> Limits {
    Limits { memory: Some(memory.of(tenant)), ..Limits::default() }
}

fn deadline() -> Deadline {
    Deadline::new(Duration::from_secs(60))
}

/// Lists the refs of a server for a tenant. What that takes is taken as long as the session lasts.
fn list(server: &Hostile, memory: &Memory, tenant: &str) -> Result<Session, TransportError> {
    let remote = Remote::new(&server.url()).unwrap();
    let mut session = Connector::default().connect(&remote, &limits(memory, tenant), &deadline())?;
    session.refs(&[""])?;
    Ok(session)
}

/// How the fetch of a pack ends, for a tenant that has all the memory to itself.
fn fetch(pack: Pack, memory: &Memory) -> Result<(), String> {
    let server = Hostile::with_pack(id(BLOB, b""), pack.bytes());
    let dir = TempDir::new().unwrap();
    let cache = Cache::new(dir.path().to_owned(), limits(memory, "a"));
    let remote = Remote::new(&server.url()).unwrap();
    let outcome = cache.checkout(&Connector::default(), &remote, &Reference::default(), None, &deadline());
    match outcome.err() {
        Some(Error::Clone { source: source @ TransportError::Limit { .. }, .. }) => Err(source.to_string()),
        // The packs have no commit.
        _ => Ok(()),
    }
}

fn refused(limit: u64) -> String {
    format!("the server sent more than the limit of {limit} bytes of memory for all fetches together")
}

#[test]
fn lists_of_refs_of_one_tenant_leave_memory_to_others() {
    let refs: Vec<_> =
        (0..50_000).map(|i| format!("{} refs/heads/{i:09}", id(BLOB, b"")).into_bytes()).collect();
    let server = Hostile::start(move |question| match question {
        "ls-refs" => Answer::of("result", lines(&refs)),
        _ => Answer::of("advertisement", version_2()),
    });
    // Each list has somewhat more than 3 MiB and counts five times that, less what is free.
    let memory = Memory::new(30 * MIB);
    let first = list(&server, &memory, "a").unwrap();
    assert_eq!(list(&server, &memory, "a").unwrap_err().to_string(), refused(30 * MIB));
    let other = list(&server, &memory, "b").unwrap();
    assert_eq!(list(&server, &memory, "c").unwrap_err().to_string(), refused(30 * MIB));
    drop(first);
    list(&server, &memory, "a").unwrap();
    drop(other);
}

#[test]
fn objects_of_a_pack_and_chains_of_deltas_count() {
    let many = || {
        let mut pack = Pack::default();
        for i in 0..40_000 {
            pack.object(BLOB, i.to_string().as_bytes());
        }
        pack
    };
    assert_eq!(fetch(many(), &Memory::new(MIB)), Err(refused(MIB)));
    assert_eq!(fetch(many(), &Memory::new(16 * MIB)), Ok(()));
    let chain = || {
        let mut pack = Pack::default();
        let mut base = pack.end();
        pack.object(BLOB, &vec![0; MIB as usize]);
        for i in 0..8 {
            let changed = delta(MIB, MIB, &[&copy(0, MIB as u32 - 1)[..], &[1, i]].concat());
            base = pack.ofs_delta(base, &changed);
        }
        pack
    };
    assert_eq!(fetch(chain(), &Memory::new(8 * MIB)), Err(refused(8 * MIB)));
    assert_eq!(fetch(chain(), &Memory::new(32 * MIB)), Ok(()));
}
