//! What hostile answers cost in memory: each is read by a process of its own, which then tells its peak.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::process::Command;
use std::time::Duration;

use git::{Cache, Connector, Limits, Reference, Remote};
use net::Deadline;
use support::hostile::{Answer, Hostile, line, version_2};
use support::pack::{BLOB, Pack, copy, deflate, delta, header, id};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// Runs `test` once more, alone, with the URL of `server`; gives what it says went wrong and its peak in bytes.
fn elsewhere(test: &str, server: &Hostile) -> (String, u64) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env("HOSTILE_URL", server.url())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said =
        |what: &str| text.lines().find_map(|line| line.strip_prefix(what)).unwrap_or_default().to_owned();
    (said("error: "), said("peak: ").parse::<u64>().unwrap_or_else(|_| panic!("{text}")) * 1024)
}

/// In the process of its own: looks at the server, tells how that ended, and gives true.
fn is_elsewhere(limits: &Limits) -> bool {
    let Ok(url) = std::env::var("HOSTILE_URL") else { return false };
    let dir = TempDir::new().unwrap();
    let cache = Cache::new(dir.path().to_owned(), limits.clone());
    let (remote, deadline) = (Remote::new(&url).unwrap(), Deadline::new(Duration::from_secs(120)));
    let outcome = cache.checkout(&Connector::default(), &remote, &Reference::default(), None, &deadline);
    println!("\nerror: {}", outcome.map_or_else(|error| error.to_string(), |_| String::new()));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("peak: {}", peak.trim().trim_end_matches(" kB"));
    true
}

/// Makes a blob of `size` zeros.
fn zeros(pack: &mut Pack, size: u64) -> u64 {
    let offset = pack.end();
    pack.object(BLOB, &vec![0; size as usize]);
    offset
}

#[test]
fn a_delta_allocates_nothing_of_what_it_declares_beyond_the_limit() {
    if is_elsewhere(&Limits { allocation_bytes: 8 << 20, ..Limits::default() }) {
        return;
    }
    for declared in [9 * MIB, 1 << 34, 1 << 62] {
        let mut pack = Pack::default();
        let base = zeros(&mut pack, 1000);
        pack.ofs_delta(base, &delta(1000, declared, &copy(0, 1000).repeat(1000)));
        let server = Hostile::with_pack(id(BLOB, b""), pack.bytes());
        let (error, peak) =
            elsewhere("a_delta_allocates_nothing_of_what_it_declares_beyond_the_limit", &server);
        assert!(error.ends_with("limit of 8388608 bytes in one object"), "{error}");
        assert!(peak < 100 * MIB, "{declared}: {peak} bytes");
    }
}

#[test]
fn a_tree_of_deltas_is_not_kept_in_memory_beyond_the_limit() {
    if is_elsewhere(&Limits { delta_bytes: 16 << 20, ..Limits::default() }) {
        return;
    }
    // Each object is 1 MiB and base of five: four wait while the last, and all that is built on it, is resolved.
    let size = MIB;
    for by_id in [false, true] {
        let (mut pack, mut content) = (Pack::default(), vec![0; size as usize]);
        let mut base = zeros(&mut pack, size);
        // To know ids means to hash, which takes its time.
        for i in 0..if by_id { 20 } else { 200 } {
            let replace = |byte| delta(size, size, &[&copy(0, size as u32 - 1)[..], &[1, byte]].concat());
            if by_id {
                let base = id(BLOB, &content);
                for leaf in 200..204 {
                    pack.ref_delta(base, &replace(leaf));
                }
                pack.ref_delta(base, &replace(i));
                *content.last_mut().unwrap() = i;
            } else {
                for leaf in 200..204 {
                    pack.ofs_delta(base, &replace(leaf));
                }
                base = pack.ofs_delta(base, &replace(i));
            }
        }
        let server = Hostile::with_pack(id(BLOB, b""), pack.bytes());
        let (error, peak) = elsewhere("a_tree_of_deltas_is_not_kept_in_memory_beyond_the_limit", &server);
        println!("by id {by_id}: {peak} bytes");
        assert!(error.ends_with("limit of 16777216 bytes in a chain of deltas"), "{by_id}: {error}");
        // Without the limit, 100 MiB and more.
        assert!(peak < 80 * MIB, "{by_id}: {peak} bytes");
    }
}

#[test]
fn an_object_that_is_received_is_not_in_memory() {
    if is_elsewhere(&Limits { pack_bytes: 100 << 20, ..Limits::default() }) {
        return;
    }
    // 120 MiB that cannot be compressed, of which 100 MiB may come.
    let begin = [b"PACK\0\0\0\x02\0\0\0\x01", &header(BLOB, 120 * MIB)[..], &[0x78, 0x01]].concat();
    let block = [&[0, 0xff, 0x7f, 0x00, 0x80][..], &[b'x'; 0x7fff]].concat();
    let answer = Answer::of("result", [line("packfile\n"), line([&[1], &begin[..]].concat())].concat());
    let endless = answer.then_for_ever(line([&[1], &block[..]].concat()), Duration::ZERO);
    let server = Hostile::with_fetch(id(BLOB, b""), endless);
    let (error, peak) = elsewhere("an_object_that_is_received_is_not_in_memory", &server);
    assert!(error.ends_with("limit of 104857600 bytes of a pack"), "{error}");
    assert!(peak < 60 * MIB, "{peak} bytes");
}

#[test]
fn zeros_without_number_are_not_unpacked() {
    if is_elsewhere(&Limits::default()) {
        return;
    }
    let bomb = deflate(&vec![0; 32 << 20]);
    let mut pack = Pack::default();
    pack.raw(&[&header(BLOB, 100), &bomb[..]].concat());
    let server = Hostile::with_pack(id(BLOB, b""), pack.bytes());
    let (error, peak) = elsewhere("zeros_without_number_are_not_unpacked", &server);
    assert!(error.ends_with("an object has not the size that it names"), "{error}");
    assert!(peak < 40 * MIB, "{peak} bytes");
}

#[test]
fn a_list_of_refs_without_end_costs_little_memory() {
    if is_elsewhere(&Limits::default()) {
        return;
    }
    for version in [0, 2] {
        let (id, first) = (id(BLOB, b""), "\0multi_ack_detailed side-band-64k shallow");
        let block: Vec<u8> = line(format!("{id} a")).repeat(1000);
        let server = Hostile::start(move |question| match (version, question) {
            (2, "info/refs") => Answer::of("advertisement", version_2()),
            (2, _) => Answer::of("result", b"").then_for_ever(block.clone(), Duration::ZERO),
            _ => {
                let service = [line("# service=git-upload-pack\n"), b"0000".to_vec()].concat();
                let begin = [service, line(format!("{id} HEAD{first}"))].concat();
                Answer::of("advertisement", begin).then_for_ever(block.clone(), Duration::ZERO)
            }
        });
        let (error, peak) = elsewhere("a_list_of_refs_without_end_costs_little_memory", &server);
        assert!(error.contains("limit of 67108864 bytes of refs"), "{version}: {error}");
        println!("protocol {version}: {peak} bytes");
        assert!(peak < 300 * MIB, "{version}: {peak} bytes");
    }
}
