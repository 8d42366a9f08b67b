//! Random templates.

use super::expression::{Scope, quoted};
use super::functions::{Function, Kind};
use super::random::Random;

/// Values that charts of random values have, and what they are: see the module `values`.
pub const KNOWN: &[(&str, Kind)] = &[
    ("s", Kind::Text),
    ("i", Kind::Number),
    ("f", Kind::Number),
    ("t", Kind::Bool),
    ("l", Kind::List),
    ("m", Kind::Map),
    ("m.a", Kind::Any),
    ("lm", Kind::List),
    ("any", Kind::Any),
    ("missing", Kind::Any),
    ("global.g", Kind::Any),
    ("ml", Kind::Text),
];

/// The same where one failure hides all else.
const LENIENT: &[(&str, Kind)] = &[
    ("(toString $.Values.s)", Kind::Text),
    ("(int $.Values.i)", Kind::Integer),
    ("$.Values.f", Kind::Number),
    ("(not $.Values.t)", Kind::Bool),
    ("(list $.Values.l $.Values.m)", Kind::List),
    ("(dict \"m\" $.Values.m)", Kind::Map),
    ("$.Values.any", Kind::Any),
    ("$.Values.missing", Kind::Any),
    ("$.Values.global", Kind::Any),
    ("$.Values.sub", Kind::Any),
    ("$.Values", Kind::Map),
    ("$.Chart.Name", Kind::Text),
    ("$.Release.IsUpgrade", Kind::Bool),
    ("$.Template.Name", Kind::Text),
    ("$.Capabilities.KubeVersion.Version", Kind::VersionText),
];

/// Writes a template.
pub struct Template<'a> {
    random: &'a mut Random,
    scope: Scope<'a>,
    out: String,
    variables: usize,
    /// How many `range` are around.
    loops: usize,
    /// Names that `include` and `template` find.
    named: &'a [String],
}

impl<'a> Template<'a> {
    /// With the top of the scope as `$`.
    pub fn new(
        random: &'a mut Random,
        functions: &'a [Function],
        named: &'a [String],
        is_lenient: bool,
    ) -> Self {
        let strict = KNOWN.iter().map(|(name, kind)| (format!("$.Values.{name}"), *kind));
        let lenient = LENIENT.iter().map(|(operand, kind)| ((*operand).to_owned(), *kind));
        let known = if is_lenient { lenient.collect() } else { strict.collect() };
        Self { random, scope: Scope { functions, known }, out: String::new(), variables: 0, loops: 0, named }
    }

    /// What was written.
    pub fn end(self) -> String {
        self.out
    }

    /// An expression of a kind.
    pub fn expression(&mut self, kind: Kind, depth: usize) -> String {
        if self.random.chance(75)
            && let Some(call) = self.scope.call(self.random, kind, depth)
        {
            return call;
        }
        let operand = self.scope.operand(self.random, kind, depth);
        // Nothing is no command.
        if operand == "nil" { "$.Values.missing".to_owned() } else { operand }
    }

    fn action(&mut self, inner: &str) {
        let open = self.random.pick(&["{{ ", "{{ ", "{{ ", "{{- ", "{{"]);
        let close = self.random.pick(&[" }}", " }}", " }}", " -}}", "}}"]);
        // `{{-1}}` is a number.
        let open = if open == "{{" && inner.starts_with('-') { "{{ " } else { open };
        self.out.push_str(&format!("{open}{inner}{close}"));
    }

    fn text(&mut self) {
        const TEXTS: &[&str] = &[
            "\n", " ", "x: ", "\n  ", "- ", "|", "a\tb", "\n\n", "# c\n", " { } ", "é", "}}", "key: v\n",
            "\r\n", "\"q\"",
        ];
        let text = self.random.pick(TEXTS);
        self.out.push_str(text);
    }

    /// Some statements. Variables of inside are not known outside.
    pub fn block(&mut self, size: usize, depth: usize) {
        let known = self.scope.known.len();
        for _ in 0..=self.random.below(size.max(1)) {
            self.text();
            self.statement(depth);
        }
        self.text();
        self.scope.known.truncate(known);
    }

    fn statement(&mut self, depth: usize) {
        match self.random.below(if depth == 0 { 12 } else { 20 }) {
            0..=6 => self.print(),
            7..=9 => self.variable(),
            10 => {
                if self.named.is_empty() {
                    return self.print();
                }
                self.call();
            }
            11 => {
                let comment = self.random.pick(&["/* c */", "/* {{ x }} */", "- /* a\nb */ -", "/**/"]);
                self.out.push_str(&format!("{{{{{comment}}}}}"));
            }
            12 | 13 => self.branch(depth),
            14 | 15 => self.with(depth),
            16..=18 => self.range(depth),
            _ => self.tpl(depth),
        }
    }

    fn print(&mut self) {
        let kind = *[
            Kind::Any,
            Kind::Text,
            Kind::Integer,
            Kind::Float,
            Kind::Bool,
            Kind::List,
            Kind::Map,
            Kind::Any,
        ]
        .get(self.random.below(8))
        .unwrap_or(&Kind::Any);
        let expression = self.expression(kind, 3);
        let end = match self.random.below(8) {
            0 => " | quote",
            1 => " | toYaml | nindent 2",
            2 => " | toJson",
            3 => " | printf \"%T %v\"",
            4 => " | typeOf",
            _ => "",
        };
        let end = if end.contains("%T") { " | toString | printf \"%q\"" } else { end };
        self.action(&format!("{expression}{end}"));
    }

    fn variable(&mut self) {
        let kind = *[Kind::Text, Kind::Integer, Kind::List, Kind::Map, Kind::Map, Kind::Any]
            .get(self.random.below(6))
            .unwrap_or(&Kind::Any);
        let variables: Vec<String> = self
            .scope
            .known
            .iter()
            .map(|(name, _)| name.clone())
            .filter(|name| name.starts_with("$v"))
            .collect();
        let expression = self.expression(kind, 2);
        if !variables.is_empty() && self.random.chance(30) {
            let names: Vec<&str> = variables.iter().map(String::as_str).collect();
            let name = self.random.pick(&names).to_owned();
            self.action(&format!("{name} = {expression}"));
        } else {
            let name = self.declare(kind);
            self.action(&format!("{name} := {expression}"));
        }
    }

    fn declare(&mut self, kind: Kind) -> String {
        self.variables += 1;
        let name = format!("$v{}", self.variables);
        self.scope.known.push((name.clone(), kind));
        name
    }

    fn call(&mut self) {
        let names: Vec<&str> = self.named.iter().map(String::as_str).collect();
        let name = quoted(self.random.pick(&names));
        let data = match self.random.below(4) {
            0 => "(dict \"Values\" $.Values \"Template\" $.Template)",
            _ => "$",
        };
        match self.random.below(3) {
            0 => self.action(&format!("template {name} {data}")),
            1 => self.action(&format!("include {name} {data} | trim | nindent 4")),
            _ => self.action(&format!("include {name} {data}")),
        }
    }

    fn condition(&mut self) -> String {
        let kind = if self.random.chance(50) { Kind::Bool } else { Kind::Any };
        self.expression(kind, 2)
    }

    fn branch(&mut self, depth: usize) {
        let condition = self.condition();
        self.action(&format!("if {condition}"));
        self.block(2, depth - 1);
        if self.random.chance(30) {
            let condition = self.condition();
            self.action(&format!("else if {condition}"));
            self.block(2, depth - 1);
        }
        if self.random.chance(50) {
            self.action("else");
            self.block(2, depth - 1);
        }
        self.action("end");
    }

    fn with(&mut self, depth: usize) {
        let kind = if self.random.chance(50) { Kind::Map } else { Kind::Any };
        let expression = self.expression(kind, 2);
        let known = self.scope.known.len();
        if self.random.chance(40) {
            let name = self.declare(kind);
            self.action(&format!("with {name} := {expression}"));
        } else {
            self.action(&format!("with {expression}"));
        }
        self.scope.known.push((".".to_owned(), kind));
        self.block(2, depth - 1);
        self.scope.known.truncate(known);
        if self.random.chance(40) {
            self.action("else");
            self.block(1, depth - 1);
        }
        self.action("end");
    }

    fn range(&mut self, depth: usize) {
        let (over, most) = match self.random.below(10) {
            0..=4 => (self.expression(Kind::List, 2), 3),
            5..=8 => (self.expression(Kind::Map, 2), 3),
            // A number has no keys.
            _ => (
                self.random.pick(&["3", "0", "(int64 2)", "(len \"abc\")", "$.Values.missing"]).to_owned(),
                2,
            ),
        };
        let known = self.scope.known.len();
        match self.random.below(most) {
            0 => self.action(&format!("range {over}")),
            1 => {
                let value = self.declare(Kind::Any);
                self.action(&format!("range {value} := {over}"));
            }
            _ => {
                let key = self.declare(Kind::Any);
                let value = self.declare(Kind::Any);
                self.action(&format!("range {key}, {value} := {over}"));
            }
        }
        self.scope.known.push((".".to_owned(), Kind::Any));
        self.loops += 1;
        self.block(2, depth - 1);
        if self.random.chance(25) {
            let word = self.random.pick(&["break", "continue"]);
            let condition = self.condition();
            self.action(&format!("if {condition}"));
            self.action(word);
            self.action("end");
            self.print();
        }
        self.loops -= 1;
        self.scope.known.truncate(known);
        if self.random.chance(30) {
            self.action("else");
            self.block(1, depth - 1);
        }
        self.action("end");
    }

    /// A text that is a template itself.
    fn tpl(&mut self, depth: usize) {
        let known = std::mem::take(&mut self.scope.known);
        // Variables end at the text.
        self.scope.known =
            known.iter().filter(|(name, _)| !name.starts_with("$v") && name != ".").cloned().collect();
        let outside = std::mem::take(&mut self.out);
        self.block(1, depth - 1);
        let inner = std::mem::replace(&mut self.out, outside);
        self.scope.known = known;
        self.action(&format!("tpl {} $", quoted(&inner)));
    }
}
