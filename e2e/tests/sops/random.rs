//! Texts and trees at random; `SOPS_SEED` repeats a run.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};
use sops::Format;

use crate::tool::compare;

/// What texts are made of: all that has a meaning in one of the formats.
const PIECES: &[&str] = &[
    "a",
    "B",
    "0",
    "12",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\t",
    "\r",
    "#",
    " # ",
    ";",
    ": ",
    ":",
    "- ",
    "=",
    "'",
    "\"",
    "`",
    "\"\"\"",
    "\\",
    "\\n",
    "{",
    "}",
    "[",
    "]",
    ",",
    "&",
    "*",
    "!",
    "|",
    ">",
    "%",
    "@",
    "?",
    "~",
    "null",
    "true",
    "yes",
    "1e3",
    ".5",
    "0x1f",
    "1:30",
    "2026-01-02",
    "é",
    "\u{85}",
    "\u{a0}",
    "\u{2028}",
    "\u{feff}",
    "\u{7f}",
    "\u{1}",
    "😀",
    "<<",
    "<",
    "---",
    "...",
    "ENC[",
    "\u{fffd}",
];

fn rng() -> StdRng {
    let seed = std::env::var("SOPS_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    eprintln!("SOPS_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

fn text(rng: &mut StdRng) -> String {
    (0..rng.random_range(0..6)).map(|_| *PIECES.choose(rng).unwrap()).collect()
}

/// In YAML the program prints `null` in place of a text of several lines that begins with a tab.
fn is_lost(text: &str) -> bool {
    text.starts_with('\t') && text.contains('\n')
}

#[test]
fn texts_are_written_alike() {
    let mut rng = rng();
    for _ in 0..8 {
        let texts: Vec<_> =
            std::iter::repeat_with(|| text(&mut rng)).filter(|text| !is_lost(text)).take(60).collect();
        let object: Map<String, Value> =
            texts.iter().enumerate().map(|(number, text)| (format!("k{number}"), json!(text))).collect();
        let outputs = [Format::Yaml, Format::Json, Format::Dotenv];
        compare("texts", Format::Json, &outputs, &[], json!(object).to_string().as_bytes());
        let section = json!({"section": object}).to_string();
        compare("texts", Format::Json, &[Format::Ini], &[], section.as_bytes());
        let keys: Map<String, Value> =
            texts.iter().filter(|key| !key.is_empty()).map(|key| (key.clone(), json!("v"))).collect();
        compare("keys", Format::Json, &[Format::Yaml, Format::Json], &[], json!(keys).to_string().as_bytes());
    }
}

#[test]
fn ini_files_are_read_alike() {
    let mut rng = rng();
    let pieces = [
        "a", "b", " ", "=", ":", "#", ";", "'", "\"", "`", "\"\"\"", "\\", "\n", "\n", "[s]\n", "-", "\\n",
        "k = v\n", "; c\n",
    ];
    for _ in 0..60 {
        let plain: String = (0..rng.random_range(1..30)).map(|_| *pieces.choose(&mut rng).unwrap()).collect();
        // What the program does not take is of no use here, nor what it cannot read itself afterwards.
        if crate::tool::TOOL.encrypt(Format::Ini, &[&crate::tool::TOOL.age[0]], &[], plain.as_bytes()).is_ok()
        {
            compare("ini", Format::Ini, &[Format::Ini, Format::Json], &[], plain.as_bytes());
        }
    }
}

#[test]
fn trees_with_comments_are_written_alike() {
    let mut rng = rng();
    for _ in 0..40 {
        let mut plain = String::new();
        for document in 0..rng.random_range(1..3) {
            if document > 0 {
                plain.push_str("---\n");
            }
            mapping(&mut rng, &mut plain, 0, 0);
        }
        let rule: &[&str] = match rng.random_range(0..3) {
            0 => &["--encrypted-comment-regex", "c1"],
            1 => &["--encrypted-regex", "k1"],
            _ => &[],
        };
        compare("tree", Format::Yaml, &[Format::Yaml, Format::Json], rule, plain.as_bytes());
    }
}

fn indent(out: &mut String, columns: usize) {
    out.extend(std::iter::repeat_n(' ', columns));
}

fn comment(rng: &mut StdRng, out: &mut String, columns: usize) {
    if rng.random_ratio(1, 4) {
        if rng.random_ratio(1, 4) {
            out.push('\n');
        }
        indent(out, columns);
        out.push_str(&format!("# c{}\n", rng.random_range(0..9)));
        if rng.random_ratio(1, 6) {
            out.push('\n');
        }
    }
}

fn scalar(rng: &mut StdRng, out: &mut String) {
    let values = [
        "1",
        "-2.5",
        "true",
        "null",
        "text",
        "'quoted'",
        "\"\"",
        "2026-01-02",
        "[]",
        "{}",
        "\"a\\nb\"",
        "~",
        "[x, 1]",
    ];
    out.push_str(values.choose(rng).unwrap());
    if rng.random_ratio(1, 5) {
        out.push_str(" # beside");
    }
    out.push('\n');
}

fn mapping(rng: &mut StdRng, out: &mut String, columns: usize, depth: usize) {
    for number in 0..rng.random_range(1..4) {
        // The first key of an item stands behind its dash.
        if number > 0 || !out.ends_with("- ") {
            comment(rng, out, columns);
            indent(out, columns);
        }
        out.push_str(&format!("k{number}:"));
        value(rng, out, columns, depth);
    }
    comment(rng, out, columns);
}

fn sequence(rng: &mut StdRng, out: &mut String, columns: usize, depth: usize) {
    for _ in 0..rng.random_range(1..4) {
        comment(rng, out, columns);
        indent(out, columns);
        out.push_str("- ");
        match rng.random_range(0..4) {
            0 if depth < 3 => mapping(rng, out, columns + 2, depth + 1),
            _ => scalar(rng, out),
        }
    }
    comment(rng, out, columns);
}

fn value(rng: &mut StdRng, out: &mut String, columns: usize, depth: usize) {
    match rng.random_range(0..5) {
        0 if depth < 3 => {
            out.push('\n');
            mapping(rng, out, columns + 2, depth + 1);
        }
        1 if depth < 3 => {
            out.push('\n');
            sequence(rng, out, columns + 2, depth + 1);
        }
        _ => {
            out.push(' ');
            scalar(rng, out);
        }
    }
}
