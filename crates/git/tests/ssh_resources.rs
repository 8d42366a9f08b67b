//! What sessions over SSH leave behind. A program of its own: it counts what the process holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use e2e::sshd::{SshServer, keygen};
use git::{Auth, Cache, Connector, Limits, Outcome, Reference, Remote};
use net::Deadline;
use secret::Secret;
use support::Server;
use tempfile::TempDir;

fn entries(directory: &str) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[test]
fn sessions_leave_no_socket_thread_or_task_behind() {
    let (ssh, files) = (SshServer::start(&["ed25519"]), Server::start());
    let repository = files.repository("r");
    repository.write("f", "content");
    repository.commit("one");
    let key = keygen(ssh.dir.path(), "user", "ed25519", &[]);
    let stranger = keygen(ssh.dir.path(), "stranger", "ed25519", &[]);
    ssh.authorize(&key);
    let look = |identity: &str, known_hosts: String, milliseconds: u64| {
        let auth = Auth::Key { identity: Secret::new(identity), passphrase: None, known_hosts };
        let remote = Remote::new(&ssh.url(&repository.bare)).unwrap().with_auth(auth).unwrap();
        let cache = TempDir::new().unwrap();
        let cache = Cache::new(cache.path().to_owned(), Limits::default());
        let deadline = Deadline::new(Duration::from_millis(milliseconds));
        cache.checkout(&Connector::default(), &remote, &Reference::default(), None, &deadline)
    };
    let work = || {
        ssh.configure(&["AcceptEnv GIT_PROTOCOL"]);
        let Outcome::Checkout(checkout) = look(&key.private, ssh.known_hosts(), 30_000).unwrap() else {
            panic!()
        };
        drop(checkout);
        look(&stranger.private, ssh.known_hosts(), 30_000).unwrap_err();
        look(&key.private, format!("{} {}", ssh.host(), stranger.public), 30_000).unwrap_err();
        ssh.configure(&["ForceCommand sleep 5"]);
        look(&key.private, ssh.known_hosts(), 1_500).unwrap_err();
    };
    let held = || (entries("/proc/self/fd"), entries("/proc/self/task"));
    let quiet = |expected: Option<(usize, usize)>| {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let now = held();
            if ssh.open.load(Ordering::Relaxed) == 0 && expected.is_none_or(|e| now.0 <= e.0 && now.1 <= e.1)
            {
                return now;
            }
            assert!(
                Instant::now() < end,
                "{now:?} after {expected:?}, {} open",
                ssh.open.load(Ordering::Relaxed)
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    work();
    let before = quiet(None);
    for _ in 0..5 {
        work();
    }
    quiet(Some(before));
    assert_eq!(ssh.connections.load(Ordering::Relaxed), 24);
}
