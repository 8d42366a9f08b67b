//! A document of 100 MB. It is the only test of its program: what others hold would count.
#![allow(clippy::unwrap_used)]

mod support;

use sops::{Document, Format, Limits, MacCheck};
use support::{document, key, seal};

/// Bytes of the encrypted document, at least.
const SIZE: usize = 100 << 20;

/// Resident memory of this process at its most since the last [`reset_peak`], in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() << 10
}

/// Forgets the peak; gives what is held now.
fn reset_peak() -> usize {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    peak()
}

#[test]
fn a_document_of_100_megabytes_is_refused_before_it_takes_memory_and_decrypted_in_a_few_times_its_size() {
    let plain = vec![b'x'; SIZE / 4 * 3];
    let text = document(&format!("\"data\": \"{}\"", seal(&plain, "str", "data:")), "");
    assert!(text.len() >= SIZE);
    for format in [Format::Json, Format::Yaml, Format::Binary, Format::Dotenv, Format::Ini] {
        let before = reset_peak();
        let error = Document::parse(text.as_bytes(), format, &Limits::default()).unwrap_err();
        assert_eq!(error.to_string(), "more than 5242880 bytes", "{format:?}");
        let grown = peak() - before;
        assert!(grown < 8 << 20, "{format:?} took {grown} bytes to be refused");
    }

    let limits = Limits { bytes: 2 * SIZE, emitted_bytes: 16 * SIZE, ..Limits::default() };
    let before = reset_peak();
    let encrypted = Document::parse(text.as_bytes(), Format::Binary, &limits).unwrap();
    let decrypted = encrypted.decrypt(&key(), MacCheck::Ignore).unwrap().emit(Format::Binary).unwrap();
    assert!(decrypted.as_slice() == plain, "it is what was encrypted");
    let grown = peak() - before;
    println!("{} MiB of document took {} MiB", text.len() >> 20, grown >> 20);
    // The text, what is decrypted of it, and what is written.
    assert!(grown < 4 * text.len(), "{grown} bytes");
}
