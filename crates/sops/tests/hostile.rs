//! Documents that ask for too much, or are nothing at all: each limit is hit, and nothing panics.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::cell::Cell;

use proptest::prelude::*;
use sops::{Document, Format, KeyError, Limits, MacCheck, MasterKey};
use support::{Service, document, fixtures, key, metadata, parse, seal};

fn refused(text: &str, format: Format, limits: &Limits) -> String {
    Document::parse(text.as_bytes(), format, limits).unwrap_err().to_string()
}

const FLAT: &str = "sops_lastmodified=2026-01-02T03:04:05Z\nsops_age__list_0__map_enc=x\n";

#[test]
fn documents_have_limits() {
    let limits = Limits {
        bytes: 100_000,
        nodes: 1_000,
        depth: 20,
        keys: 50,
        wrapped_key_bytes: 500,
        ..Limits::default()
    };
    let json = |content: &str| document(&format!("\"a\": {content}"), "");
    let yaml = |content: &str| format!("a: {content}\nsops: {}\n", metadata(""));
    let nested = |open: &str, close: &str| format!("{}{}", open.repeat(30), close.repeat(30));
    let (many, zeros) = ("0, ".repeat(1_000), "b=\n".repeat(1_000));
    let keys = format!("{{\"enc\": \"x\"}}, {}", "{\"enc\": \"x\"}, ".repeat(50));
    let keys = format!("\"pgp\": [{}]", keys.trim_end_matches(", "));
    let laughs: String =
        (1..10).map(|n| format!("l{n}: &l{n} [{}]\n", format!("*l{}, ", n - 1).repeat(9))).collect();
    for (text, format, message) in [
        (" ".repeat(100_001), Format::Json, "more than 100000 bytes"),
        (" ".repeat(100_001), Format::Yaml, "more than 100000 bytes"),
        (json(&format!("[{many}0]")), Format::Json, "more than 1000 nodes"),
        (yaml(&format!("[{many}]")), Format::Yaml, "more than 1000 nodes"),
        (format!("l0: &l0 [x]\n{laughs}sops: {}\n", metadata("")), Format::Yaml, "more than 1000 nodes"),
        (yaml(&format!("x\n{}b: c", "# comment\n".repeat(1_001))), Format::Yaml, "more than 1000 nodes"),
        (format!("{FLAT}{zeros}"), Format::Dotenv, "more than 1000 nodes"),
        (format!("[x]\n{}", "b= \n[c]\n".repeat(1_000)), Format::Ini, "more than 1000 nodes"),
        (json(&nested("[", "]")), Format::Json, "more than 20 nested mappings and lists"),
        (
            json(&nested("{\"a\":", "}").replace(":}", ":0}")),
            Format::Json,
            "more than 20 nested mappings and lists",
        ),
        (yaml(&nested("[", "]")), Format::Yaml, "more than 20 "),
        (
            format!("{{\"sops\": {{\"lastmodified\": \"2026-01-02T03:04:05Z\", {keys}}}}}"),
            Format::Json,
            "more than 50 keys",
        ),
        (
            format!("{FLAT}sops_age__list_1__map_enc={}\n", "x".repeat(501)),
            Format::Dotenv,
            "more than 500 bytes of an encrypted data key",
        ),
    ] {
        let error = refused(&text, format, &limits);
        assert!(
            error.contains(message),
            "{error}, not {message}\n{}",
            text.chars().take(200).collect::<String>()
        );
    }
}

/// Ten thousand recipients are refused before one is tried; as many as are allowed are tried once each, and not all of them are shown.
#[test]
fn recipients_without_end_cost_little() {
    let recipients = |count: usize| {
        let keys: Vec<_> =
            (0..count).map(|n| format!("{{\"recipient\": \"age1{n}\", \"enc\": \"x\"}}")).collect();
        document("\"a\": \"\"", "")
            .replace("[{\"recipient\": \"age1x\", \"enc\": \"wrapped\"}]", &format!("[{}]", keys.join(", ")))
    };
    assert_eq!(
        refused(&recipients(10_000), Format::Json, &Limits::default()),
        "sops metadata: more than 256 keys: name fewer of them in .sops.yaml and run sops updatekeys"
    );
    let tried = Cell::new(0);
    let service = Service(|_: &MasterKey| {
        tried.set(tried.get() + 1);
        Err(KeyError::new("no"))
    });
    let error = parse(&recipients(256), Format::Json).metadata().data_key(&service).unwrap_err().to_string();
    assert_eq!(tried.get(), 256);
    assert!(error.contains("age119: FAILED\n    - | no\n\n  and 236 more keys: FAILED\n"), "{error}");
    let long = document("\"a\": \"\"", "").replace("age1x", &"x".repeat(1_000_000));
    let error = parse(&long, Format::Json).metadata().data_key(&service).unwrap_err().to_string();
    assert!(error.len() < 2_000, "{}", error.len());
}

/// Every value is authenticated with the keys above it: a long one above many values would be read as often.
#[test]
fn keys_above_values_have_a_limit() {
    let name = "k".repeat(5_000);
    let content = format!("\"{name}\": [{}\"\"]", "\"\", ".repeat(1_000));
    let error = parse(&document(&content, ""), Format::Json).decrypt(&key(), MacCheck::Ignore).unwrap_err();
    assert_eq!(error.to_string(), "more than 4096 bytes of keys on the way to a value");
}

/// An alias costs a few bytes and stands for as many as its anchor has.
#[test]
fn copies_of_texts_have_a_limit() {
    let aliases = |count: usize| {
        format!("a: &a {}\nb: [{}x]\nsops: {}\n", "x".repeat(1_000_000), "*a, ".repeat(count), metadata(""))
    };
    assert!(Document::parse(aliases(3).as_bytes(), Format::Yaml, &Limits::default()).is_ok());
    assert_eq!(
        refused(&aliases(100_000), Format::Yaml, &Limits::default()),
        "more than 5242880 bytes of text"
    );
}

/// A regular expression with many states and long texts to compare it with.
#[test]
fn regular_expressions_have_a_limit() {
    let keys: Vec<_> = (0..200).map(|n| format!("\"{n}{}\": \"\"", "a".repeat(4_000))).collect();
    let error = |rule: &str| {
        let document = parse(&document(&keys.join(", "), rule), Format::Json);
        document.decrypt(&key(), MacCheck::Ignore).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(error(r#", "encrypted_regex": "a{500}b{500}$""#), Ok(()));
    assert_eq!(
        error(r#", "encrypted_regex": "(a|b){3000}$""#),
        Err("more than 4294967296 looks of a regular expression".to_owned())
    );
}

/// Indentation by depth and alignment to the longest key make more of a document than it was.
#[test]
fn documents_do_not_grow_without_end_when_they_are_written() {
    let emit = |content: &str, format: Format| {
        let rule = r#", "encrypted_regex": "^$""#;
        let plain = parse(&document(content, rule), Format::Json).decrypt(&key(), MacCheck::Ignore).unwrap();
        plain.emit(format).map(|_| ()).map_err(|error| error.to_string())
    };
    let limit = Err("more than 67108864 bytes when it is written".to_owned());
    let deep = format!("\"a\": {}\"{}\"{}", "{\"a\": ".repeat(90), "\\n".repeat(1_000_000), "}".repeat(90));
    assert_eq!(emit(&deep, Format::Yaml), limit);
    let keys: String = (0..20_000).map(|n| format!("\"{n}\": 1, ")).collect();
    let wide = format!("\"s\": {{{keys} \"{}\": 1}}", "k".repeat(4_000));
    assert_eq!(emit(&wide, Format::Ini), limit);
    // The type is not authenticated: whoever can write may call a text bytes.
    let bytes = format!("\"a\": \"{}\"", seal(vec![7; 3_000_000], "bytes", "a:"));
    let plain = parse(&document(&bytes, ""), Format::Json).decrypt(&key(), MacCheck::Ignore).unwrap();
    assert!(matches!(plain.emit(Format::Yaml), Err(sops::EmitError::Limit(_))));
    // As large and as deep as a document may be otherwise.
    let large = format!("\"a\": {}\"{}\"{}", "[".repeat(97), "x".repeat(5_000_000), "]".repeat(97));
    for format in [Format::Yaml, Format::Json] {
        assert_eq!(emit(&large, format), Ok(()));
    }
}

/// The default depth leaves most of a small stack free, also without optimisation.
#[test]
fn the_deepest_documents_need_little_stack() {
    let check = || {
        let rule = r#", "encrypted_regex": "^$""#;
        for (open, close) in [("[", "]"), ("{\"a\": ", "}")] {
            let content = format!("\"a\": {}1{}", open.repeat(98), close.repeat(98));
            for format in [Format::Json, Format::Yaml] {
                let plain =
                    parse(&document(&content, rule), format).decrypt(&key(), MacCheck::Ignore).unwrap();
                for format in [Format::Json, Format::Yaml] {
                    plain.emit(format).unwrap();
                }
                plain.into_json().unwrap();
            }
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(check).unwrap().join().unwrap();
}

/// What was encrypted for the place is the only thing that counts; a text may hold anything.
#[test]
fn decrypted_texts_may_be_anything() {
    for plain in
        [&b"\xff\xfe\x00"[..], b"\n\n", b"- a", b"\"", b"\\n", b"[sops]", b"\r\n", "\u{feff}".as_bytes()]
    {
        let text = document(&format!("\"a\": \"{}\"", seal(plain, "str", "a:")), "");
        let plain = parse(&text, Format::Json).decrypt(&key(), MacCheck::Ignore).unwrap();
        for format in [Format::Yaml, Format::Json, Format::Dotenv] {
            assert!(!plain.emit(format).unwrap().is_empty());
        }
        assert!(plain.emit(Format::Binary).is_err());
        assert!(plain.emit(Format::Ini).is_err());
        plain.into_json().unwrap();
    }
}

/// Documents of SOPS with some bytes changed: whatever comes, comes without a panic.
#[derive(Debug, Clone)]
struct Change {
    at: prop::sample::Index,
    length: usize,
    with: Vec<u8>,
}

fn change() -> impl Strategy<Value = Change> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..4),
        prop::sample::select(vec![
            "sops",
            "__list_",
            "__map_",
            "{",
            "}",
            "[",
            "]",
            "\"",
            "'",
            ":",
            "\n",
            "#",
            ";",
            "=",
            "&a ",
            "*a",
            "<<: ",
            "\"\"\"",
            "`",
            "\\",
            "ENC[AES256_GCM,",
            ",type:",
            "null",
            "1e999",
            "-",
            "? ",
            "|\n",
            "é",
            "[sops]",
            "\u{feff}",
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
    ];
    (any::<prop::sample::Index>(), 0_usize..40, piece).prop_map(|(at, length, with)| Change {
        at,
        length,
        with,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn changed_documents_do_not_panic(which in any::<prop::sample::Index>(), changes in prop::collection::vec(change(), 1..5)) {
        let fixtures = FIXTURES.with(Clone::clone);
        let fixture = &fixtures[which.index(fixtures.len())];
        let mut content = fixture.encrypted.clone();
        for Change { at, length, with } in changes {
            let start = at.index(content.len().max(1)).min(content.len());
            let end = (start + length).min(content.len());
            content.splice(start..end, with);
        }
        for format in [Format::Yaml, Format::Json, Format::Dotenv, Format::Ini] {
            let Ok(document) = Document::parse(&content, format, &Limits::default()) else { continue };
            if let Ok(plain) = document.decrypt(&fixture.key, MacCheck::Ignore) {
                for format in [Format::Yaml, Format::Json, Format::Dotenv, Format::Ini, Format::Binary] {
                    let _ = plain.emit(format);
                }
                let _ = plain.into_json();
            }
        }
    }
}

thread_local! {
    static FIXTURES: std::rc::Rc<Vec<support::Fixture>> = std::rc::Rc::new(fixtures());
}
