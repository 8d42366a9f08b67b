//! What one fetch costs: `fetch <url> [<private key file> <known_hosts file>]` fetches the branch `master` twice into an
//! empty cache and an up-to-date one, and prints revision, seconds and the peak of the process's memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use git::{Auth, Cache, Connector, Limits, Outcome, Reference, Remote};
use net::Deadline;
use secret::Secret;

/// A line of `/proc/self/status`, in KiB.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn main() {
    let mut args = std::env::args().skip(1);
    let mut remote = Remote::new(&args.next().expect("URL")).unwrap();
    if let (Some(key), Some(known_hosts)) = (args.next(), args.next()) {
        let identity = Secret::new(std::fs::read_to_string(key).unwrap());
        let known_hosts = std::fs::read_to_string(known_hosts).unwrap();
        remote = remote.with_auth(Auth::Key { identity, passphrase: None, known_hosts }).unwrap();
    }
    // Mapped packs are the kernel's to give and take, what is ours is anonymous.
    let anonymous = Arc::new(AtomicU64::new(0));
    let peak = anonymous.clone();
    std::thread::spawn(move || {
        loop {
            peak.fetch_max(memory("RssAnon:"), Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(folder.path().to_owned(), Limits::default());
    let connector = Connector::default();
    let mut known = None;
    for _ in 0..2 {
        let started = Instant::now();
        let deadline = Deadline::new(Duration::from_secs(600));
        let outcome = cache.checkout(&connector, &remote, &Reference::default(), known.as_deref(), &deadline);
        let revision = match outcome.unwrap() {
            Outcome::Checkout(checkout) => checkout.revision,
            Outcome::Unchanged(revision) => revision,
        };
        println!("{revision} in {:.2} s", started.elapsed().as_secs_f64());
        known = Some(revision);
    }
    let mib = |kib: u64| kib / 1024;
    let anonymous = anonymous.load(Ordering::Relaxed);
    println!("peak: {} MiB, {} MiB of it anonymous", mib(memory("VmHWM:")), mib(anonymous));
}
