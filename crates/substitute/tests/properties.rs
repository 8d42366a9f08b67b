//! What must hold for every text and every value.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use serde_json::json;
use substitute::{Limits, Variables, substitute, substitute_object};

const PIECES: &[&str] = &[
    "${", "}", "$", "$$", "a", "b", "v", ":", ":-", ":=", "-", "#", "##", "%", "%%", "/", "//", "/#", "^",
    "^^", ",", ",,", "*", "?", "[", "]", "[^", "\\", "1", "-1", " ", "\n", "é", "ß", "日", "😀", "${a}",
    "${v:", "${v#", "${b/", "\0", "{", "'", "\"", ": ", "- ", "|",
];

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..16).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn any_text_is_substituted_or_refused(
        text in text(),
        value in prop::collection::vec(any::<u8>(), 0..12),
        other in text(),
        strict in any::<bool>(),
    ) {
        let limits = Limits { output_bytes: 1000, match_steps: 10_000, ..Limits::default() };
        let variables = Variables::new([("v", value), ("a", other.into_bytes())]).unwrap();
        if let Ok(result) = substitute(&text, &variables, strict, &limits) {
            prop_assert!(result.len() <= limits.output_bytes);
        }
        let _ = substitute_object(&json!({"k": text, "l": [text, 1]}), &variables, strict, &limits);
    }

    #[test]
    fn text_without_a_dollar_stays_as_it_is(text in "[^$\0]{0,40}") {
        let result = substitute(&text, &Variables::default(), true, &Limits::default());
        prop_assert_eq!(result.unwrap(), text);
    }

    #[test]
    fn doubled_dollars_protect_any_text(text in text()) {
        prop_assume!(!text.contains('\0'));
        let escaped = text.replace('$', "$$");
        prop_assert_eq!(substitute(&escaped, &Variables::default(), true, &Limits::default()).unwrap(), text);
    }

    #[test]
    fn doubled_dollars_protect_any_object(text in text()) {
        prop_assume!(!text.contains('\0'));
        let object = json!({"data": {"x": text.replace('$', "$$")}, "list": [text.replace('$', "$$")]});
        let result = substitute_object(&object, &Variables::default(), true, &Limits::default()).unwrap();
        prop_assert_eq!(result, json!({"data": {"x": text}, "list": [text]}));
    }
}
