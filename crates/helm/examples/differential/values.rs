//! Random values: files of YAML and texts of `--set`.

use super::random::Random;

const SCALARS: &[&str] = &[
    "yes",
    "no",
    "true",
    "False",
    "null",
    "~",
    "",
    "'1'",
    "\"true\"",
    "0777",
    "0o17",
    "0x1F",
    "1_000",
    "1e3",
    "1.0",
    "-0",
    "1.50",
    ".5",
    "12345678901234567890",
    "9007199254740993",
    "2020-01-01",
    "2001-12-14 21:59:43",
    "1:30",
    "abc",
    "a b",
    "'it''s'",
    "\"tab\\t\"",
    "a:b",
    "a#b",
    "'a #b'",
    "{}",
    "[]",
    "=",
    "!!str 5",
    "!!int '7'",
    "!!float 1",
    "100000",
    "1000000",
    "1e21",
    "1e-7",
    "0.1",
    "-7",
    "1e400",
    "é",
    "'{{ .Values.s }}'",
    "\"\\u00e9\\x41\"",
    "!!binary aGk=",
    "\"multi\\nline\"",
    "'- x'",
    "0b11",
    "+1",
    "-.5e-3",
    "TRUE",
    "Null",
    "'null'",
    "on",
    "y",
    "n",
    "1.",
    "00",
    "08",
];

fn scalar(random: &mut Random) -> &'static str {
    random.pick(SCALARS)
}

fn number(random: &mut Random) -> &'static str {
    random.pick(&[
        "0",
        "1",
        "3",
        "-7",
        "2.5",
        "-0.5",
        "1000000",
        "12345678",
        "1e3",
        "0x10",
        "1.0",
        "0.1",
        "123456789012",
        "1e21",
    ])
}

fn text(random: &mut Random) -> &'static str {
    random.pick(&[
        "hello",
        "''",
        "'12'",
        "a b",
        "\"x\\ny\\n\"",
        "'Hello World'",
        "fooBar-baz",
        "'0.5'",
        "\"é <b> & 'q'\"",
        "'true'",
        "v1.2.3",
        "'a,b,c'",
        "/a/b",
        "'%s'",
    ])
}

/// What may be under any key.
pub fn any(random: &mut Random, depth: usize) -> String {
    match random.below(if depth == 0 { 1 } else { 5 }) {
        0..=2 => scalar(random).to_owned(),
        3 => {
            let items: Vec<String> = (0..random.below(4)).map(|_| any(random, depth - 1)).map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        _ => map(random, depth - 1),
    }
}

/// Nothing is not a thing inside of brackets.
fn flow(text: String) -> String {
    if text.is_empty() { "null".to_owned() } else { text }
}

fn map(random: &mut Random, depth: usize) -> String {
    let mut entries: Vec<String> = Vec::new();
    for key in ["a", "b", "c", "k", "'1'", "x.y", "é"] {
        if random.chance(30) {
            let value = if key == "c" && random.chance(60) {
                format!("{{d: {}}}", flow(any(random, depth)))
            } else {
                flow(any(random, depth))
            };
            entries.push(format!("{key}: {value}"));
        }
    }
    format!("{{{}}}", entries.join(", "))
}

/// A file of values. `gaps` is how many of 100 keys are left out.
pub fn file(random: &mut Random, gaps: usize) -> String {
    let mut out = String::new();
    let mut line = |random: &mut Random, key: &str, value: String| {
        // A template that asks for a key of these ends without them.
        let gaps = if matches!(key, "m" | "global") && gaps <= 10 { 0 } else { gaps };
        if !random.chance(gaps) {
            out.push_str(&format!("{key}: {value}\n"));
        }
    };
    let value = text(random).to_owned();
    line(random, "s", value);
    let value = number(random).to_owned();
    line(random, "i", value);
    let value = number(random).to_owned();
    line(random, "f", value);
    let value = random.pick(&["true", "false"]).to_owned();
    line(random, "t", value);
    let items: Vec<String> = (0..random.below(4)).map(|_| flow(any(random, 1))).collect();
    line(random, "l", format!("[{}]", items.join(", ")));
    let value = map(random, 2);
    line(random, "m", value);
    let value = format!("[{{k: x, w: {}}}, {{k: {}, w: 2}}]", flow(scalar(random).to_owned()), text(random));
    line(random, "lm", value);
    let value = any(random, 2);
    line(random, "any", value);
    let value = format!("\n  g: {}\n  deep: {}", any(random, 1), map(random, 1));
    line(random, "global", value);
    let value = random
        .pick(&["|\n  one\n  two\n", "|-\n  one\n", ">\n  folded\n  text\n", "|+\n  kept\n\n"])
        .to_owned();
    line(random, "ml", value);
    out
}

/// A text of `--set`, `--set-string` and `--set-literal`.
pub fn set(random: &mut Random) -> String {
    let odd = random.chance(12);
    let keys: &[&str] = if odd {
        &["s.x", "l[-1]", "a..b", "l[x]", "i[0]", "m[0]", "l[0", ".a", "l.x", "sub"]
    } else {
        &[
            "s",
            "i",
            "m.a",
            "l[0]",
            "l[1].x",
            "l[3]",
            "new.deep.key",
            "a\\.b",
            "sub.s",
            "sub.m.a",
            "global.g",
            "lm[0].k",
            "m.c",
            "any",
            "x[0][1]",
            "sub.enabled",
            "tags.front",
            "m.b",
            "other.enabled",
            "alias.s",
        ]
    };
    let values: &[&str] = if odd {
        &["{1,{2}}", "{a", "{a,,b}", "{", "}", "{a,b", "[0", "1,", "{{}}"]
    } else {
        &[
            "1",
            "x",
            "",
            "true",
            "null",
            "{a,b}",
            "{}",
            "a\\,b",
            "1.5",
            "010",
            "a=b",
            "1e3",
            "[0]",
            "\"q\"",
            "x y",
            "é",
            "9223372036854775808",
            "0",
            "false",
            "a\\\\b",
            "-3",
            "[]",
            "{1,true,null,x}",
            "007",
            "+1",
            "0x1F",
            "1_000",
        ]
    };
    let mut out = String::new();
    for _ in 0..=random.below(3) {
        out.push_str(&format!(
            "{}{}={}",
            if out.is_empty() { "" } else { "," },
            random.pick(keys),
            random.pick(values)
        ));
    }
    if random.chance(2) {
        out.push_str(random.pick(&[",", ",a", "=", "[", "a=1,", "..", "\\"]));
    }
    out
}

/// A text of `--set-json`.
pub fn set_json(random: &mut Random) -> String {
    let values = [
        "1",
        "1.0",
        "\"x\"",
        "{\"k\":[1,null]}",
        "[]",
        "null",
        "{\"a\":1}",
        "true",
        "1e3",
        "{",
        "[1,2",
        "12345678901234567890",
    ];
    if random.chance(20) {
        return random
            .pick(&[
                "{\"m\":{\"a\":5}}",
                "{\"s\":null,\"new\":[1]}",
                "{}",
                " {\"i\": 1}",
                "{\"sub\":{\"s\":\"j\"}}",
            ])
            .to_owned();
    }
    format!("{}={}", random.pick(&["s", "m.a", "l[0]", "m", "sub", "new.x", "global"]), random.pick(&values))
}
