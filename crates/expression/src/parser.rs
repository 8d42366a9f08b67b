//! Tokens to a tree, by precedence. Recursion is bounded by the depth that a tree may have.

use crate::{
    Limits, ParseError,
    check::Mistake,
    functions,
    lexer::{Token, TokenKind, tokens},
    located,
    syntax::{Element, Kind, Literal, Loop, Node},
};

/// Words that cannot name a variable.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Left-associative operators, each line binding tighter than the one before.
const BINARY: [&[(&str, &str)]; 3] = [
    &[
        ("==", "_==_"),
        ("!=", "_!=_"),
        ("<=", "_<=_"),
        (">=", "_>=_"),
        ("<", "_<_"),
        (">", "_>_"),
        ("in", "@in"),
    ],
    &[("+", "_+_"), ("-", "_-_")],
    &[("*", "_*_"), ("/", "_/_"), ("%", "_%_")],
];

type Outcome<T = Node> = Result<T, (usize, String)>;

/// Reads an expression.
///
/// # Errors
/// When it is too large or no expression.
pub fn parse(source: &str, limits: &Limits) -> Result<Node, ParseError> {
    if source.len() > limits.source {
        let (length, limit) = (source.len(), limits.source);
        return Err(ParseError::TooLarge(format!("it has {length} bytes, at most {limit} are allowed")));
    }
    let parse = || {
        let tokens = tokens(source)?;
        let mut parser = Parser { tokens, next: 0, level: 0, nodes: 0, limits };
        let root = parser.expression()?;
        parser.expect_end().map(|()| root)
    };
    parse().map_err(|(at, message)| located(source, at, Mistake::Text(message)))
}

struct Parser<'a> {
    tokens: Vec<Token>,
    next: usize,
    level: usize,
    nodes: usize,
    limits: &'a Limits,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        static END: Token = Token { at: 0, end: 0, kind: TokenKind::End };
        self.tokens.get(self.next).or(self.tokens.last()).unwrap_or(&END)
    }

    fn at(&self) -> usize {
        self.peek().at
    }

    fn sees(&self, symbol: &str) -> bool {
        match &self.peek().kind {
            TokenKind::Symbol(s) => *s == symbol,
            TokenKind::Name(name) => name == symbol && name == "in",
            _ => false,
        }
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let seen = self.sees(symbol);
        self.next += usize::from(seen);
        seen
    }

    fn unexpected<T>(&self, wanted: &str) -> Outcome<T> {
        let found = match &self.peek().kind {
            TokenKind::End => "<EOF>".to_owned(),
            TokenKind::Symbol(s) => (*s).to_owned(),
            TokenKind::Name(text) | TokenKind::Integer(text) | TokenKind::Double(text) => text.clone(),
            TokenKind::String(_) | TokenKind::Bytes(_) => "a string".to_owned(),
        };
        Err((self.at(), format!("Syntax error: mismatched input '{found}' expecting {wanted}")))
    }

    fn expect(&mut self, symbol: &str) -> Outcome<()> {
        if self.eat(symbol) { Ok(()) } else { self.unexpected(&format!("'{symbol}'")) }
    }

    fn expect_end(&self) -> Outcome<()> {
        if self.peek().kind == TokenKind::End { Ok(()) } else { self.unexpected("<EOF>") }
    }

    fn name(&mut self) -> Outcome<String> {
        match &self.peek().kind {
            TokenKind::Name(name) if !matches!(name.as_str(), "in" | "true" | "false" | "null") => {
                let name = name.clone();
                self.next += 1;
                Ok(name)
            }
            _ => self.unexpected("IDENTIFIER"),
        }
    }

    /// A node above others, if the tree may be that large.
    fn node(&mut self, at: usize, below: usize, kind: Kind) -> Outcome {
        self.nodes += 1;
        let (nodes, depth) = (self.limits.nodes, self.limits.depth);
        if self.nodes > nodes {
            return Err((at, format!("the expression has more than {nodes} parts")));
        }
        if below >= depth {
            return Err((at, format!("the expression is nested deeper than {depth} levels")));
        }
        Ok(Node { at, depth: below + 1, kind })
    }

    fn call(&mut self, at: usize, function: &str, member: bool, arguments: Vec<Node>) -> Outcome {
        let below = deepest(&arguments);
        let overloads = functions::named(function);
        self.node(at, below, Kind::Call { function: function.to_owned(), member, overloads, arguments })
    }

    fn expression(&mut self) -> Outcome {
        self.level += 1;
        if self.level > self.limits.depth {
            let limit = self.limits.depth;
            return Err((self.at(), format!("the expression is nested deeper than {limit} levels")));
        }
        let at = self.at();
        let first = self.either()?;
        let whole = if self.eat("?") {
            let yes = self.either()?;
            self.expect(":")?;
            let no = self.expression()?;
            let parts = Box::new([first, yes, no]);
            self.node(at, deepest(&*parts), Kind::Conditional(parts))
        } else {
            Ok(first)
        };
        self.level -= 1;
        whole
    }

    fn either(&mut self) -> Outcome {
        let at = self.at();
        let mut terms = vec![self.both()?];
        while self.eat("||") {
            terms.push(self.both()?);
        }
        self.chain(at, terms, Kind::Or)
    }

    fn both(&mut self) -> Outcome {
        let at = self.at();
        let mut terms = vec![self.binary(&BINARY)?];
        while self.eat("&&") {
            terms.push(self.binary(&BINARY)?);
        }
        self.chain(at, terms, Kind::And)
    }

    fn chain(&mut self, at: usize, mut terms: Vec<Node>, kind: fn(Vec<Node>) -> Kind) -> Outcome {
        match terms.pop() {
            Some(only) if terms.is_empty() => Ok(only),
            last => {
                terms.extend(last);
                let below = deepest(&terms);
                self.node(at, below, kind(terms))
            }
        }
    }

    fn binary(&mut self, levels: &[&[(&str, &str)]]) -> Outcome {
        let Some((operators, tighter)) = levels.split_first() else { return self.unary() };
        let mut left = self.binary(tighter)?;
        while let Some((symbol, function)) = operators.iter().find(|(symbol, _)| self.sees(symbol)) {
            let at = self.at();
            self.expect(symbol)?;
            let right = self.binary(tighter)?;
            left = self.call(at, function, false, vec![left, right])?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Outcome {
        let at = self.at();
        for (symbol, function) in [("!", "!_"), ("-", "-_")] {
            let mut times = 0;
            while self.eat(symbol) {
                times += 1;
            }
            if times == 0 {
                continue;
            }
            if symbol == "-"
                && let TokenKind::Integer(_) | TokenKind::Double(_) = self.peek().kind
            {
                // The smallest integer has no positive counterpart.
                let number = self.number("-")?;
                let mut value = self.member(number)?;
                for _ in 1..times {
                    value = self.call(at, function, false, vec![value])?;
                }
                return Ok(value);
            }
            let operand = self.primary()?;
            let mut value = self.member(operand)?;
            for _ in 0..times {
                value = self.call(at, function, false, vec![value])?;
            }
            return Ok(value);
        }
        let operand = self.primary()?;
        self.member(operand)
    }

    fn member(&mut self, mut node: Node) -> Outcome {
        loop {
            let at = self.at();
            if self.eat(".") {
                let optional = self.eat("?");
                let field = self.name()?;
                node = if !optional && self.eat("(") {
                    let arguments = self.arguments(")")?;
                    self.member_call(at, node, &field, arguments)?
                } else {
                    let below = node.depth;
                    self.node(at, below, Kind::Select { operand: Box::new(node), field, optional })?
                };
            } else if self.eat("[") {
                let optional = self.eat("?");
                let index = self.expression()?;
                self.expect("]")?;
                let below = node.depth.max(index.depth);
                let (operand, index) = (Box::new(node), Box::new(index));
                node = self.node(at, below, Kind::Index { operand, index, optional })?;
            } else {
                return Ok(node);
            }
        }
    }

    /// A call with a target: a macro, a function of a namespace such as `sets`, or a function of the target.
    fn member_call(&mut self, at: usize, target: Node, function: &str, arguments: Vec<Node>) -> Outcome {
        if let Kind::Name(namespace) = &target.kind {
            let qualified = format!("{namespace}.{function}");
            if !functions::named(&qualified).is_empty() {
                return self.call(at, &qualified, false, arguments);
            }
        }
        let what = match (function, arguments.len()) {
            ("all", 2) => Some(Loop::All),
            ("exists", 2) => Some(Loop::Exists),
            ("exists_one" | "existsOne", 2) => Some(Loop::ExistsOne),
            ("filter", 2) => Some(Loop::Filter),
            ("map", 2 | 3) => Some(Loop::Map),
            ("optMap" | "optFlatMap", 2) => None,
            _ => {
                let arguments = std::iter::once(target).chain(arguments).collect();
                return self.call(at, function, true, arguments);
            }
        };
        let below = target.depth.max(deepest(&arguments));
        let mut arguments = arguments.into_iter();
        let Some(Node { kind: Kind::Name(variable), .. }) = arguments.next() else {
            return Err((at, "argument must be a simple name".to_owned()));
        };
        let (operand, body, last) = (Box::new(target), arguments.next(), arguments.next());
        // Of three arguments the second one filters.
        let (filter, body) = match last {
            Some(last) => (body.map(Box::new), Some(last)),
            None => (None, body),
        };
        let Some(body) = body.map(Box::new) else { return self.unexpected("an argument") };
        let kind = match what {
            Some(what) => Kind::Loop { what, range: operand, variable, filter, body },
            None => Kind::OptionalMap { operand, variable, body, flat: function == "optFlatMap" },
        };
        self.node(at, below, kind)
    }

    fn arguments(&mut self, end: &str) -> Outcome<Vec<Node>> {
        let mut arguments = Vec::new();
        while !self.eat(end) {
            arguments.push(self.expression()?);
            if !self.eat(",") {
                self.expect(end)?;
                break;
            }
        }
        Ok(arguments)
    }

    fn primary(&mut self) -> Outcome {
        let at = self.at();
        if self.eat("(") {
            let inner = self.expression()?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.eat("[") {
            return self.list(at);
        }
        if self.eat("{") {
            return self.map(at);
        }
        let literal = match &self.peek().kind {
            TokenKind::Integer(_) | TokenKind::Double(_) => return self.number(""),
            TokenKind::String(text) => Literal::String(text.clone()),
            TokenKind::Bytes(bytes) => Literal::Bytes(bytes.as_slice().into()),
            TokenKind::Name(name) => match name.as_str() {
                "true" => Literal::Bool(true),
                "false" => Literal::Bool(false),
                "null" => Literal::Null,
                _ => return self.named(at),
            },
            TokenKind::Symbol(".") => {
                self.next += 1;
                return self.named(at);
            }
            TokenKind::Symbol(_) | TokenKind::End => return self.unexpected("an expression"),
        };
        self.next += 1;
        self.node(at, 0, Kind::Literal(literal))
    }

    /// A variable, a call or `has`.
    fn named(&mut self, at: usize) -> Outcome {
        let name = self.name()?;
        if RESERVED.contains(&name.as_str()) {
            return Err((at, format!("reserved identifier: {name}")));
        }
        if !self.eat("(") {
            return self.node(at, 0, Kind::Name(name));
        }
        let mut arguments = self.arguments(")")?;
        if name != "has" {
            return self.call(at, &name, false, arguments);
        }
        match (arguments.pop(), arguments.is_empty()) {
            (Some(Node { kind: Kind::Select { operand, field, optional: false }, .. }), true) => {
                let below = operand.depth;
                self.node(at, below, Kind::Has { operand, field })
            }
            _ => Err((at, "invalid argument to has() macro".to_owned())),
        }
    }

    fn number(&mut self, sign: &str) -> Outcome {
        let at = self.at();
        let literal = match &self.peek().kind {
            TokenKind::Double(text) => {
                format!("{sign}{text}").parse().ok().filter(|d: &f64| d.is_finite()).map(Literal::Double)
            }
            TokenKind::Integer(text) => integer(sign, text),
            _ => None,
        };
        let literal = literal.ok_or_else(|| (at, "invalid number literal".to_owned()))?;
        self.next += 1;
        self.node(at, 0, Kind::Literal(literal))
    }

    fn list(&mut self, at: usize) -> Outcome {
        let mut elements = Vec::new();
        while !self.eat("]") {
            let optional = self.eat("?");
            elements.push(Element { optional, value: self.expression()? });
            if !self.eat(",") {
                self.expect("]")?;
                break;
            }
        }
        let below = elements.iter().map(|e| e.value.depth).max().unwrap_or_default();
        self.node(at, below, Kind::List(elements))
    }

    fn map(&mut self, at: usize) -> Outcome {
        let mut entries = Vec::new();
        while !self.eat("}") {
            let optional = self.eat("?");
            let key = self.expression()?;
            self.expect(":")?;
            entries.push((key, Element { optional, value: self.expression()? }));
            if !self.eat(",") {
                self.expect("}")?;
                break;
            }
        }
        let below = entries.iter().map(|(key, e)| key.depth.max(e.value.depth)).max().unwrap_or_default();
        self.node(at, below, Kind::Map(entries))
    }
}

fn deepest(nodes: &[Node]) -> usize {
    nodes.iter().map(|node| node.depth).max().unwrap_or_default()
}

fn integer(sign: &str, text: &str) -> Option<Literal> {
    let (digits, unsigned) = match text.strip_suffix(['u', 'U']) {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    let (digits, radix) = match digits.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (digits, 10),
    };
    if unsigned {
        return u64::from_str_radix(digits, radix).ok().filter(|_| sign.is_empty()).map(Literal::Uint);
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok().map(Literal::Int)
}
