#![allow(clippy::unwrap_used)]

use super::parse;

#[test]
fn references_mean_what_they_mean_to_go() {
    let cases = [
        ("file:///values.schema.json", "", "file:///values.schema.json"),
        ("file:///values.schema.json", "other.json", "file:///other.json"),
        ("http://a.b/c/d?q", "", "http://a.b/c/d?q"),
        ("http://a.b/c/d?q", "../e", "http://a.b/e"),
        ("http://a.b/c/d?q", "./e/./f/../", "http://a.b/c/e/"),
        ("http://a.b/c/d?q", "?x", "http://a.b/c/d?x"),
        ("http://a.b/c/d", "//x.y/z", "http://x.y/z"),
        ("http://a.b", "c", "http://a.b/c"),
        ("http://a.b/c%2Fd/e", "f%20g", "http://a.b/c%2Fd/f%20g"),
        ("urn:x:y", "", "urn:x:y"),
        ("file:///a", "urn:z", "urn:z"),
    ];
    for (base, reference, resolved) in cases {
        assert_eq!(parse(base).unwrap().resolve(&parse(reference).unwrap()), resolved, "{base} {reference}");
    }
}

#[test]
fn a_password_is_not_shown() {
    let url = parse("https://name:geheim@host/").unwrap();
    assert!(!format!("{url:?}").contains("geheim"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(base in r"[a-c:/@?#%0-9\[\]. é]{0,20}", reference in r"[a-c:/@?#%0-9\[\]. é]{0,20}") {
        if let (Ok(base), Ok(reference)) = (parse(&base), parse(&reference)) {
            let _ = base.resolve(&reference);
            let _ = base.hostname();
        }
    }
}
