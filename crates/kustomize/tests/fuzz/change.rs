//! Changes of texts.

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Pieces that mean something somewhere in a tree.
const PIECES: &[&str] = &[
    " ",
    "\n",
    "  ",
    "- ",
    ": ",
    ",",
    "#",
    "'",
    "\"",
    "[",
    "]",
    "{",
    "}",
    "|\n",
    ">-\n",
    "&a ",
    "*a",
    "*labels",
    "<<: *labels\n",
    "!!str ",
    "!!binary ",
    "? ",
    "\t",
    "~",
    "null",
    "true",
    "0",
    "-1",
    "1000000000",
    "1e400",
    ".nan",
    "0777",
    "---\n",
    "--- x\n",
    "\r\n",
    "\u{feff}",
    "é",
    "😀",
    "\u{85}",
    "/",
    "/-",
    "~0",
    "~1",
    "~",
    "..",
    "../",
    "./",
    "a/b",
    ".*",
    "(a+)+$",
    "a{1000}",
    "[name=main]",
    "$(KIND)",
    "$$",
    "=",
    "|",
    "^",
    "app.yaml",
    "base",
    "component",
    "https://host/o/r//p?ref=x",
    "$patch: delete\n",
    "$patch: replace\n",
    "$patch: merge\n",
    "$retainKeys: [a]\n",
    "kind: List\n",
    "kind: ",
    "items: []\n",
    "metadata: {}\n",
    "name: web\n",
    "name",
    "data",
    "apiVersion: v1\n",
    "config.kubernetes.io/local-config: 'true'\n",
    "internal.config.kubernetes.io/previousNames: a,b\n",
    "annotations: {internal.config.kubernetes.io/generatorBehavior: merge}\n",
    "create: true\n",
    "originAnnotations,",
    "transformerAnnotations,",
    "behavior: replace\n",
];

/// One change of a text.
#[derive(Debug, Clone)]
enum Change {
    Byte(Index, u8),
    Insert(Index, &'static str),
    Cut(Index, usize),
    SwapLines(Index, Index),
    RepeatLine(Index, usize),
    Indent(Index, usize),
    /// Puts one word of the text in the place of another.
    Rename(Index, Index),
    Nest(Index, &'static str, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        3 => (at(), select(PIECES)).prop_map(|(at, piece)| Change::Insert(at, piece)),
        1 => (at(), 1..40_usize).prop_map(|(at, length)| Change::Cut(at, length)),
        4 => (at(), at()).prop_map(|(a, b)| Change::SwapLines(a, b)),
        3 => (at(), 0..3_usize).prop_map(|(at, times)| Change::RepeatLine(at, times)),
        1 => (at(), 0..6_usize).prop_map(|(at, width)| Change::Indent(at, width)),
        4 => (at(), at()).prop_map(|(a, b)| Change::Rename(a, b)),
        1 => (at(), select(&["[", "{a: ", "- ", "? "][..]), 1..400_usize)
            .prop_map(|(at, open, depth)| Change::Nest(at, open, depth)),
    ]
}

impl Change {
    fn apply(&self, text: &str) -> String {
        let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        let words: Vec<&str> =
            text.split(|c: char| !c.is_alphanumeric() && c != '/').filter(|word| !word.is_empty()).collect();
        if lines.is_empty() || words.is_empty() {
            return text.to_owned();
        }
        let line = |at: &Index| at.index(lines.len());
        match self {
            Self::Byte(at, byte) => {
                let mut bytes = text.as_bytes().to_vec();
                let at = at.index(bytes.len());
                bytes[at] = *byte;
                return String::from_utf8_lossy(&bytes).into_owned();
            }
            Self::Insert(at, piece) => return splice(text, at, 0, piece),
            Self::Cut(at, length) => return splice(text, at, *length, ""),
            Self::Nest(at, open, depth) => return splice(text, at, 0, &open.repeat(*depth)),
            Self::Rename(from, to) => {
                let at = words[from.index(words.len())].as_ptr() as usize - text.as_ptr() as usize;
                let length = words[from.index(words.len())].len();
                return format!("{}{}{}", &text[..at], words[to.index(words.len())], &text[at + length..]);
            }
            Self::SwapLines(a, b) => {
                let (a, b) = (line(a), line(b));
                lines.swap(a, b);
            }
            Self::RepeatLine(at, times) => {
                let at = line(at);
                lines[at] = lines[at].repeat(*times);
            }
            Self::Indent(at, width) => {
                let at = line(at);
                lines[at] = format!("{}{}", " ".repeat(*width), lines[at].trim_start_matches(' '));
            }
        }
        lines.concat()
    }
}

fn splice(text: &str, at: &Index, remove: usize, insert: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = at.index(characters.len());
    let after = (at + remove).min(characters.len());
    let part = |range: &[char]| range.iter().collect::<String>();
    format!("{}{insert}{}", part(&characters[..at]), part(&characters[after..]))
}

pub fn changed(text: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(change(), 1..4)
        .prop_map(move |changes| changes.iter().fold(text.to_owned(), |text, change| change.apply(&text)))
}

/// Pieces of all kinds without any order.
pub fn pieces() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![3 => select(PIECES).prop_map(str::to_owned), 1 => any::<String>()],
        0..20,
    )
    .prop_map(|pieces| pieces.concat())
}
