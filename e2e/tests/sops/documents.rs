//! Each format with each rule.

use sops::Format;

use crate::tool::compare;

const YAML: &str = "\
# of the document

# above the first key
apiVersion: v1
kind: Secret
metadata:
    name: example # beside a value
    # at the end of a mapping
    labels: {}
stringData: # beside a key
    text: 'a: b'
    lines: |
        one
        two
    folded: >-
        one
        two
    empty: \"\"
    integer: -12
    hexadecimal: 0x1f
    float: 1.50
    big: 1e21
    truth: true
    nothing: null
    date: 2026-01-02
    time: 2026-01-02T03:04:05.120+02:00
    number: \"12\"
    \"yes\": \"no\"
    <<: {merged: text}
    shown_unencrypted: plain
    # please encrypt
    password: hunter2

    # above a list
    list:
        # in a list
        - one # beside an item
        - - nested
          - key: value
            # inside
            other: value
        - {flow: [1, 2]}
        # at the end of a list
    empty_list: []
    last: end
# at the end
---
second: document
---
# third
third:
- not indented
";

const JSON: &str = r#"{"z": "<&>\u2028\u00e9", "a": {"list": [1, 2.5, true, null, "s", [], {}, {"k": "v"}]}, "integer": 9007199254740993,
"huge": 123456789012345678901234567890, "small": 1e-7, "shown_unencrypted": 1.0, "empty": "", "data": "x"}"#;

const DOTENV: &str = "# a comment\nA=b\nLINES=one\\ntwo\n\nEMPTY=\nQUOTED=\"x=y\"\nSPACES=  x  \nSHOWN_unencrypted=plain\n#\nlast=1\n";

const INI: &str = "\
; of the file
global = value
longer_key: \"quoted\"

; above a section
; in two lines
[first.section]
# above a key
key = value ; behind a value
a:b = `raw; value`
lines = \"\"\"one
two\"\"\"
continued = a \\
  b
empty =
spaces = '  x  '
dup = 1
dup = 2
[empty]
[first.section]
again = 1
shown_unencrypted = plain
[last]
number = 5
";

const ALL: &[Format] = &[Format::Yaml, Format::Json, Format::Dotenv, Format::Ini, Format::Binary];

/// The rules as options of the program; each matches something in one of the documents.
const RULES: &[&[&str]] = &[
    &[],
    &["--mac-only-encrypted"],
    &["--encrypted-regex", "^(stringData|second|a|A|key|first.section)$"],
    &["--unencrypted-regex", "^(list|integer|LINES|last)$"],
    &["--encrypted-suffix", "a"],
    &["--unencrypted-suffix", "t"],
    &["--encrypted-comment-regex", "please encrypt|above a|beside a key"],
    &["--unencrypted-comment-regex", "above a list|^ a comment$"],
    &["--mac-only-encrypted", "--encrypted-regex", "^stringData$"],
    &["--mac-only-encrypted", "--unencrypted-comment-regex", "beside|behind"],
];

#[test]
fn yaml_is_decrypted_alike() {
    for rule in RULES {
        compare("yaml", Format::Yaml, ALL, rule, YAML.as_bytes());
    }
}

#[test]
fn json_is_decrypted_alike() {
    for rule in RULES {
        compare("json", Format::Json, ALL, rule, JSON.as_bytes());
    }
}

#[test]
fn dotenv_is_decrypted_alike() {
    for rule in RULES {
        compare("dotenv", Format::Dotenv, ALL, rule, DOTENV.as_bytes());
    }
}

#[test]
fn ini_is_decrypted_alike() {
    for rule in RULES {
        compare("ini", Format::Ini, ALL, rule, INI.as_bytes());
    }
}

#[test]
fn binary_content_is_decrypted_alike() {
    for plain in [&b"text\n"[..], b"\x00\x01\xff bytes \xc3\x28", &[0xfe; 300], b"{\"a\": 1}"] {
        compare("binary", Format::Binary, ALL, &[], plain);
    }
}

#[test]
fn odd_documents_are_decrypted_alike() {
    for plain in [
        "{}\n",
        "a: {}\n# at the end\n",
        "---\na: 1\n---\n---\nb: 2\n",
        "a: &x {b: c}\nd: *x\ne: [*x, *x]\n",
        "a: &x [1, 2]\nb: {<<: {c: d}, e: f}\n",
        "a: !!binary aGk=\nb: !!str 5\nc: !custom text\n",
        "a:\n- # empty item\n-\n- ~\n",
        "a: # beside nothing\nb:\n  # alone\n",
        "\"a b\": 1\n'c: d': 2\n? e\n: 3\n",
        "a:\n  - b: 1\n\n    # after an empty line\n\n    c: 2\n\n\n# far below\n",
    ] {
        compare("odd", Format::Yaml, &[Format::Yaml, Format::Json], &[], plain.as_bytes());
    }
}
