#![allow(clippy::unwrap_used)]

use super::translate;

fn fault(pattern: &str) -> Option<String> {
    match translate(pattern) {
        Ok(translated) => translated.build(pattern).err().map(|fault| fault.to_string()),
        Err(fault) => Some(fault.to_string()),
    }
}

#[test]
fn go_says_what_is_wrong_with_an_expression() {
    let cases = [
        ("(?=x)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"),
        ("(a", "error parsing regexp: missing closing ): `(a`"),
        ("a**", "error parsing regexp: invalid nested repetition operator: `**`"),
        ("a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"),
        (r"\p{Nope}", "error parsing regexp: invalid character class range: `\\p{Nope}`"),
    ];
    for (pattern, message) in cases {
        assert_eq!(fault(pattern).as_deref(), Some(message));
    }
}

#[test]
fn classes_are_looked_for_without_building() {
    let check =
        |pattern: &str| translate(pattern).unwrap().check_classes().map_err(|fault| fault.to_string());
    assert_eq!(check(r"\pL{50}[\p{Greek}\P{Han}]\\p{x}é\pL"), Ok(3));
    let message = r"error parsing regexp: invalid character class range: `\p{Nope}`".to_owned();
    assert_eq!(check(r"a\p{Nope}b"), Err(message.clone()));
    assert_eq!(fault(r"a\p{Nope}b"), Some(message));
}

#[test]
fn digits_are_those_of_ascii() {
    let regex = translate(r"^\d+$").unwrap().build("").unwrap();
    assert!(regex.is_match(b"123"));
    assert!(!regex.is_match("١٢٣".as_bytes()));
}

proptest::proptest! {
    #[test]
    fn no_expression_makes_it_panic(pattern in r"[a-c(){}\[\]|*+?^$.,:<>P=!0-9dwpQEx\\-]{0,30}") {
        let _ = fault(&pattern);
    }
}
