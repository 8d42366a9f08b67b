#![allow(clippy::unwrap_used)]

use super::{Build, Failure, first, whole};

/// Writes what was read as JSON without spaces, and refuses what lies too deep.
struct Text;

impl Build for Text {
    type Value = String;
    type Error = &'static str;

    fn begin(&mut self, depth: usize) -> Result<(), &'static str> {
        if depth > 50 { Err("too deep") } else { Ok(()) }
    }

    fn null(&mut self) -> String {
        "null".into()
    }

    fn boolean(&mut self, value: bool) -> String {
        value.to_string()
    }

    fn number(&mut self, text: &str) -> Result<String, &'static str> {
        Ok(text.into())
    }

    fn string(&mut self, text: String) -> Result<String, &'static str> {
        Ok(strconv::quote(text.as_bytes()))
    }

    fn key(&mut self, _: &str) -> Result<(), &'static str> {
        Ok(())
    }

    fn array(&mut self, items: Vec<String>) -> String {
        format!("[{}]", items.join(","))
    }

    fn object(&mut self, entries: Vec<(String, String)>) -> String {
        let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{key}:{value}")).collect();
        format!("{{{}}}", entries.join(","))
    }
}

fn read(text: &str) -> Result<String, Failure<&'static str>> {
    whole(text.as_bytes(), &mut Text)
}

#[test]
fn numbers_keep_their_text_and_objects_their_order() {
    let text = r#" {"b": [1.0, 1e3, -0], "a": {"x": null, "y": true}, "b": "\u00e9\ud83d\ude00\n"} "#;
    let written = r#"{b:[1.0,1e3,-0],a:{x:null,y:true},b:"é😀\n"}"#;
    assert_eq!(read(text), Ok(written.to_owned()));
}

#[test]
fn go_says_what_is_wrong() {
    let cases = [
        ("{bad", "invalid character 'b' looking for beginning of object key string"),
        ("[1 2]", "invalid character '2' after array element"),
        ("1 x", "invalid character 'x' after top-level value"),
        ("nul!", "invalid character '!' in literal null (expecting 'l')"),
        ("\"\\q\"", "invalid character 'q' in string escape code"),
        ("'a'", r"invalid character '\'' looking for beginning of value"),
    ];
    for (text, message) in cases {
        assert_eq!(read(text), Err(Failure::Syntax(message.to_owned())), "{text}");
    }
    for text in ["", "  ", "{\"a\"", "[1,", "-", "\"a"] {
        assert_eq!(read(text), Err(Failure::End), "{text}");
    }
    assert_eq!(read(&"[".repeat(60)), Err(Failure::Build("too deep")));
}

#[test]
fn the_first_value_ends_where_it_ends() {
    assert_eq!(first(b" [1] ,b=2", &mut Text), Ok(("[1]".to_owned(), 4)));
    assert_eq!(first(b"01", &mut Text), Ok(("0".to_owned(), 1)));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = whole(&text, &mut Text);
        let _ = first(&text, &mut Text);
    }

    #[test]
    fn nothing_that_looks_like_json_makes_it_panic(text in r#"[\[\]{}:,"\\ u0-9eE.+a-z-]{0,60}"#) {
        let _ = read(&text);
    }
}
