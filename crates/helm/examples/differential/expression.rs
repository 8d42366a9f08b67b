//! Random expressions of a kind.

use super::functions::{Function, Kind};
use super::random::Random;

const TEXTS: &[&str] = &[
    "",
    "a",
    "abc",
    "Hello World",
    "foo bar_baz-Qux9",
    "ÄÖ ü ß",
    " x \n y ",
    "1",
    "-12.50",
    "010",
    "0x1F",
    "1_000",
    "1e3",
    "a/b/../c.tar.gz",
    "true",
    "null",
    "~",
    "\t",
    "a,b,,c",
    ",",
    "HTTPServer2xx",
    "the quick brown fox jumps over the lazy dog",
    "string",
    "map",
    "slice",
    "<html> & 'q' \"d\"",
    "a\\b\"c",
    "日本語",
    "userAgent",
    "A-B_C d",
    "it's: #x",
    "multi\nline\n",
    "- x",
    "k: v",
    "%d%",
    "{{ 1 }}",
    "*",
    "@x",
    "yes",
    "0.1",
    "2024-02-29",
    "12345678901234567890",
    "[a]",
    "{}",
    "k",
    "b",
    "- ",
    "a:b",
    "#",
    "|",
    "!t",
    "&a",
    "\u{feff}x",
    "x\u{85}y",
    "\u{7f}",
    "e\u{301}",
    "🎉 z",
    "trailing ",
    "line\r\nend",
    "=",
    "<<",
    "0o7",
    ".inf",
    "1:30",
    "\\n",
];
const FORMATS: &[&str] = &[
    "%v",
    "%s",
    "%q",
    "%d",
    "%5.2f",
    "%-8s|",
    "%+v",
    "%#v",
    "%T",
    "%x",
    "%X",
    "%08d",
    "%t",
    "%e",
    "%g",
    "%c",
    "%U",
    "%o",
    "%b",
    "%%",
    "%6.3v",
    "%+d",
    "% d",
    "%s-%s",
    "%v/%T",
    "%[2]v %[1]q",
    "%*d",
    "%.3s",
    "%#x",
    "% x",
    "%+q",
    "%#q",
    "%!",
    "%z",
    "%d %d %d",
    "%G",
    "%E",
    "%p|",
    " %v ",
    "%05s",
    "%-5d|",
    "%#o",
    "%O",
    "%.2e",
    "%#g",
    "%+.1f",
    "%[3]d",
    "%w",
];
const REGEXES: &[&str] = &[
    "[a-z]+",
    "(a)(b)?",
    "(?i)^H.*d$",
    "x*",
    "[",
    "^$",
    "\\d+",
    "(?P<n>\\w)-",
    "[[:alpha:]]",
    "a|b",
    "(?m)^.",
    "\\s+",
    ".",
    "(?s).*",
    "[^a-c]",
    "a{2,3}",
    "\\bo",
    "\\pL",
    "(",
    "o+?",
    "\\.",
    "(?U)a+",
    "$",
];
const REPLACEMENTS: &[&str] = &["", "$1-${2}x", "$0", "${n}!", "\\1", "$$", "[$1]", "$1x"];
const DURATIONS: &[&str] =
    &["1h30m", "-1.5s", "0", "100ms", "26h", "1", "x", "2d", "1us", "1h2m3s", "-0.000001ms", "7.5m"];
const LAYOUTS: &[&str] = &[
    "2006-01-02",
    "Mon Jan _2 15:04:05 MST 2006",
    "15:04:05.000",
    "02/01/06 3:04PM",
    "2006-01-02T15:04:05Z07:00",
    "Monday, 2 January",
    "unixdate",
    "-0700 Z0700 .999",
    "002 __2",
    "Jan 2nd",
];
const DATES: &[&str] = &["2024-02-29", "2020-12-31", "1999-01-01", "x"];
const ZONES: &[&str] = &["UTC", "Asia/Kolkata", "Europe/Berlin", "Nowhere", "", "America/New_York"];
const VERSIONS: &[&str] =
    &["1.2.3", "v1.2", "1.2.3-rc.1+b", "0.0.1", "1", "2.0.0-alpha", "x", "1.33.0", "01.2.3", "10.20.30"];
const RANGES: &[&str] = &[
    ">=1 <2 || 3.x",
    "^1.2.0-0",
    "~1.2",
    "*",
    ">1.2.3",
    "1.2.3 - 2.0.0",
    "!=1.2.3",
    ">=1.2.3-0",
    "x",
    "1.x",
    "<= 1.33",
    "=1",
    "^0.0.1",
    "",
];
const JSONS: &[&str] = &[
    "{\"a\":[1,2.5,null],\"b\":\"<&>\"}",
    "[1,\"x\",{\"k\":true}]",
    "{\"a\":",
    "{}",
    "[]",
    "1",
    "\"s\"",
    "null",
    "{\"a\":{\"b\":{\"c\":1e3}}}",
    "[[],[null]]",
    "{\"a\":1,\"a\":2}",
    "{\"n\":12345678901234567890}",
    " {\"x\": 1.0 } ",
    "\\u00e4",
    "{'a':1}",
];
const YAMLS: &[&str] = &[
    "a: 1\nb: [x, y]\n",
    "- 1\n- b: ~\n",
    "a: b: c",
    "a: {b: {c: yes}}",
    "x: 0x1F\ny: 010\nz: 1_000\n",
    "",
    "---\na: 1\n",
    "a: |\n  l1\n  l2\n",
    "a: &x {k: 1}\nb: *x\n",
    "[1, 2.0, 1e3]",
    "a: 2020-01-01",
    "{a: 1, 2: b}",
    "a: 'it''s'\n",
    "k: >-\n  folded\n  text\n",
    "a: .5\nb: -0\nc: 1.50",
    "just text",
    "a: !!str 5",
    "base: &b {x: 1}\nm: {<<: *b, y: 2}\n",
    "a: 1\na: 2\n",
    "\ta: 1",
    "? x\n: y",
    "- - 1\n  - 2\n",
    "on: off",
    "a: 12345678901234567890",
];
const TOMLS: &[&str] = &[
    "a = 1\n[b]\nc = \"x\"\n",
    "a = 1.5\nb = true\n",
    "l = [1, 2]\n",
    "d = 2020-01-01\n",
    "[[a]]\nx = 1\n[[a]]\nx = 2\n",
    "m = {k = 'v'}\n",
    "s = '''\nx\n'''\n",
    "[a.b.c]\nx = -1\n",
    "a.b = 0x10\n",
    "t = 07:32:00\n",
    "o = 1979-05-27T07:32:00-08:00\n",
    "n = [[1],['x']]\n",
    "e = []\n",
];
const URLS: &[&str] = &[
    "https://u:p%40@h.example:80/p/a%20b?q=1&r#f",
    "mailto:a@b",
    "//h/p",
    "/p?x",
    "http://[::1]:80",
    "http://a b",
    "x:y",
    "",
    "http://h?#",
    "ftp://u@h/",
];
const PATHS: &[&str] =
    &["a/b/../c.tar.gz", "/", "", ".", "/a/b/", "a", "..", "//x//y", "a/.hidden", "c.d/e", "./x.yaml"];
const ENCODED: &[&str] =
    &["YWJj", "YW=", "MFRGG===", "", "YWI=", "MZXW6YTBOI======", "!!", "w6Q=", "aGVsbG8gd29ybGQ="];
const INTEGERS: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "-1",
    "5",
    "8",
    "20",
    "100",
    "0x10",
    "1_0",
    "'a'",
    "(int64 5)",
    "(int 7)",
    "1e2",
    "-3",
];
const COUNTS: &[&str] = &["0", "1", "2", "3", "4", "6", "8", "-1", "12"];
const FLOATS: &[&str] = &[
    "0.5",
    "0.0",
    "2.5",
    "-0.5",
    "1e10",
    "1234567.0",
    "0.1",
    "1e21",
    "1e-7",
    "100.0",
    "(float64 3)",
    "123456789.125",
    "-0.0",
];
const KEYS: &[&str] = &["a", "b", "c", "k", "n", "x", "missing", "_0", "host", "scheme", "path", ""];

/// What expressions are made of.
pub struct Scope<'a> {
    pub functions: &'a [Function],
    /// Operands that are there, and what they are.
    pub known: Vec<(String, Kind)>,
}

/// A Go string literal.
pub fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{feff}' => out.push_str("\\ufeff"),
            '\u{7f}' | '\u{85}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            other => out.push(other),
        }
    }
    out + "\""
}

impl Scope<'_> {
    /// An expression that can be an operand: in parentheses if it is a call.
    pub fn operand(&self, random: &mut Random, kind: Kind, depth: usize) -> String {
        let fits: Vec<&str> = self
            .known
            .iter()
            .filter(|(_, of)| *of == kind || kind == Kind::Any)
            .map(|(name, _)| name.as_str())
            .collect();
        if !fits.is_empty() && random.chance(40) {
            return random.pick(&fits).to_owned();
        }
        if depth > 0
            && random.chance(60)
            && let Some(call) = self.call(random, kind, depth)
        {
            return format!("({call})");
        }
        self.leaf(random, kind, depth)
    }

    /// A call of a function that gives this kind, if there is one.
    pub fn call(&self, random: &mut Random, kind: Kind, depth: usize) -> Option<String> {
        let fits: Vec<&Function> =
            self.functions.iter().filter(|function| gives(function.gives, kind)).collect();
        let function = fits.get(random.below(fits.len()))?;
        // These end the rendering.
        if matches!(function.name, "fail" | "required") && !random.chance(5) {
            return None;
        }
        let mut kinds = function.takes.clone();
        if function.repeats
            && let Some(last) = kinds.pop()
        {
            // Many need one.
            let count = if random.chance(8) { 0 } else { 1 + random.below(3) };
            kinds.extend(std::iter::repeat_n(last, count));
        }
        let mut arguments: Vec<String> =
            kinds.iter().map(|kind| self.argument(random, *kind, depth.saturating_sub(1))).collect();
        if random.chance(1) {
            arguments.pop();
        }
        let name = function.name;
        // Nothing is no command.
        if random.chance(40)
            && let Some(last) = arguments.pop_if(|last| last != "nil")
        {
            let last = last
                .strip_prefix('(')
                .and_then(|last| last.strip_suffix(')'))
                .filter(|_| random.chance(80) && is_one(&last))
                .unwrap_or(&last);
            return Some(format!("{last} | {}", [vec![name.to_owned()], arguments].concat().join(" ")));
        }
        Some([vec![name.to_owned()], arguments].concat().join(" "))
    }

    fn argument(&self, random: &mut Random, kind: Kind, depth: usize) -> String {
        // Instead of a time functions take what is now.
        if !matches!(kind, Kind::Time | Kind::Count) && random.chance(1) {
            let other = [Kind::Text, Kind::Integer, Kind::Float, Kind::Bool, Kind::List, Kind::Map];
            return other
                .get(random.below(other.len()))
                .map_or_else(|| "nil".to_owned(), |other| self.operand(random, *other, depth));
        }
        self.operand(random, kind, depth)
    }

    fn leaf(&self, random: &mut Random, kind: Kind, depth: usize) -> String {
        let text = match kind {
            Kind::Any => {
                let kinds = [
                    Kind::Text,
                    Kind::Integer,
                    Kind::Float,
                    Kind::Bool,
                    Kind::List,
                    Kind::Map,
                    Kind::Number,
                    Kind::Time,
                    Kind::Version,
                ];
                return match kinds.get(random.below(kinds.len() + 1)) {
                    Some(kind) => self.operand(random, *kind, depth),
                    None => "nil".to_owned(),
                };
            }
            Kind::Number => {
                let kinds = [Kind::Integer, Kind::Integer, Kind::Float, Kind::Float, Kind::Text, Kind::Bool];
                return kinds
                    .get(random.below(kinds.len()))
                    .map_or_else(String::new, |kind| self.operand(random, *kind, depth));
            }
            Kind::Integer => return random.pick(INTEGERS).to_owned(),
            Kind::Count => return random.pick(COUNTS).to_owned(),
            Kind::Float => return random.pick(FLOATS).to_owned(),
            Kind::Bool => return random.pick(&["true", "false"]).to_owned(),
            Kind::List => return self.list(random, depth),
            Kind::Map => return self.map(random, depth),
            Kind::Time => return format!("(toDate \"2006-01-02\" {})", quoted(random.pick(DATES))),
            Kind::Version => return format!("(semver {})", quoted(random.pick(VERSIONS))),
            Kind::Text if random.chance(30) => random.pick(KEYS),
            Kind::Text => random.pick(TEXTS),
            Kind::VersionText => random.pick(VERSIONS),
            Kind::Range => random.pick(RANGES),
            Kind::Regex => random.pick(REGEXES),
            Kind::Duration => random.pick(DURATIONS),
            Kind::Layout => random.pick(LAYOUTS),
            Kind::Zone => random.pick(ZONES),
            Kind::Json => random.pick(JSONS),
            Kind::Yaml => random.pick(YAMLS),
            Kind::Toml => random.pick(TOMLS),
            Kind::Url => random.pick(URLS),
            Kind::Path => random.pick(PATHS),
            Kind::Encoded => random.pick(ENCODED),
            Kind::Format => random.pick(FORMATS),
        };
        quoted(if random.chance(3) { random.pick(REPLACEMENTS) } else { text })
    }

    fn list(&self, random: &mut Random, depth: usize) -> String {
        let made = [
            "(list)",
            "(until 3)",
            "(splitList \",\" \"x,y,x\")",
            "(list 3 1 2 1)",
            "(list \"b\" \"a\" \"b\")",
            "(list 1 \"a\" nil 2.5)",
            "(tuple true (dict \"k\" 1))",
        ];
        if depth == 0 || random.chance(50) {
            return random.pick(&made).to_owned();
        }
        let items: Vec<String> =
            (0..random.below(4)).map(|_| self.operand(random, Kind::Any, depth - 1)).collect();
        format!("(list {})", items.join(" "))
    }

    fn map(&self, random: &mut Random, depth: usize) -> String {
        let made = [
            "(dict)",
            "(dict \"a\" 1 \"b\" (dict \"c\" \"x\"))",
            "(dict \"path\" \"/x y\" \"host\" \"h\" \"scheme\" \"https\")",
            "(dict \"a\" \"\" \"b\" false \"l\" (list 1 2))",
            "(dict \"n\" nil \"f\" 1.0)",
        ];
        if depth == 0 || random.chance(50) {
            return random.pick(&made).to_owned();
        }
        let entries: Vec<String> = (0..random.below(4))
            .map(|_| format!(" {} {}", quoted(random.pick(KEYS)), self.operand(random, Kind::Any, depth - 1)))
            .collect();
        format!("(dict{})", entries.concat())
    }
}

fn gives(given: Kind, wanted: Kind) -> bool {
    let is_number = matches!(given, Kind::Integer | Kind::Float);
    wanted == Kind::Any || given == wanted || wanted == Kind::Number && is_number
}

/// Whether a text in parentheses is one expression: its first parenthesis closes at its end.
fn is_one(inner: &str) -> bool {
    let (mut depth, mut quote, mut escaped) = (0_i32, false, false);
    for c in inner.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote => escaped = true,
            '"' => quote = !quote,
            '(' if !quote => depth += 1,
            ')' if !quote => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    true
}
