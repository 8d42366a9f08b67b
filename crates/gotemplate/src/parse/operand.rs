//! Pipelines, commands and their operands.

use strconv::quote;

use super::{ParseError, Parser};
use crate::lex::{Kind, Token};
use crate::node::{Command, Fields, Operand, Pipe, Text, Variable};

impl Parser<'_> {
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe, ParseError> {
        let position = self.peek_non_space().position;
        let (variables, is_assignment) = self.declarations(context)?;
        let outer = self.commands.len();
        loop {
            let token = self.next_non_space();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.back();
                    let command = self.command()?;
                    self.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        let commands = self.commands.split_off(outer);
        if commands.is_empty() {
            return self.fail(format_args!("missing value for {context}"));
        }
        for (index, command) in commands.iter().enumerate().skip(1) {
            if command.operands.first().is_some_and(is_constant) {
                return self.fail(format_args!("non executable command in pipeline stage {}", index + 1));
            }
        }
        Ok(Pipe { position, is_assignment, variables, commands })
    }

    /// The variables before `:=` or `=`, and whether it is `=`.
    fn declarations(&mut self, context: &str) -> Result<(Vec<Variable>, bool), ParseError> {
        let mut variables = Vec::new();
        loop {
            if self.peek_non_space().kind != Kind::Variable {
                return Ok((variables, false));
            }
            let token = self.next();
            // Up to three tokens tell `$x := 1` from `$x 1`.
            let behind = self.peek();
            let next = self.peek_non_space();
            let is_comma = next.kind == Kind::Char && next.text == b",";
            if !is_comma && !matches!(next.kind, Kind::Assign | Kind::Declare) {
                if behind.kind == Kind::Space {
                    self.state.tokens[1] = behind;
                    self.state.tokens[2] = token;
                    self.state.peeked = 3;
                } else {
                    self.back_to(token);
                }
                return Ok((variables, false));
            }
            self.next_non_space();
            self.state.variables.declare(token.text.to_vec());
            variables.push(variable(&token));
            if !is_comma {
                return Ok((variables, next.kind == Kind::Assign));
            }
            if context != "range" || variables.len() >= 2 {
                return self.fail(format_args!("too many declarations in {context}"));
            }
            if !matches!(self.peek_non_space().kind, Kind::Variable | Kind::RightDelimiter | Kind::RightParen)
            {
                return self.fail("range can only initialize variables");
            }
        }
    }

    fn command(&mut self) -> Result<Command, ParseError> {
        let position = self.peek_non_space().position;
        let outer = self.operands.len();
        loop {
            self.peek_non_space();
            let operand = self.operand()?;
            self.operands.extend(operand);
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelimiter | Kind::RightParen => self.back(),
                Kind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        let operands = self.operands.split_off(outer);
        if operands.is_empty() { self.fail("empty command") } else { Ok(Command { position, operands }) }
    }

    /// `None` if what follows is no operand.
    fn operand(&mut self) -> Result<Option<Operand>, ParseError> {
        let Some(operand) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(operand));
        }
        let first = self.peek();
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.extend_from_slice(self.next().text);
        }
        let fields = Fields::new(fields);
        Ok(Some(match operand {
            Operand::Field(_, names) => Operand::Field(first.position, names.with(&fields)),
            Operand::Variable(variable) => {
                Operand::Variable(Variable { position: first.position, fields, ..variable })
            }
            constant if is_constant(&constant) => {
                let term = quote(constant.to_string().as_bytes());
                return self.fail(format_args!("unexpected . after term {term}"));
            }
            operand => Operand::Chain(first.position, Box::new(operand), fields),
        }))
    }

    fn term(&mut self) -> Result<Option<Operand>, ParseError> {
        let token = self.next_non_space();
        let position = token.position;
        Ok(Some(match token.kind {
            Kind::Identifier if !(self.has_function)(token.text) => {
                return self.fail(format_args!("function {} not defined", quote(token.text)));
            }
            Kind::Identifier => Operand::Identifier(position, token.text.to_vec()),
            Kind::Dot => Operand::Dot(position),
            Kind::Nil => Operand::Nil(position),
            Kind::Variable if !self.state.variables.contains(token.text) => {
                return self.fail(format_args!("undefined variable {}", quote(token.text)));
            }
            Kind::Variable => Operand::Variable(variable(&token)),
            Kind::Field => Operand::Field(position, Fields::new(token.text.to_vec())),
            Kind::Bool => Operand::Bool(position, token.text == b"true"),
            Kind::CharConstant | Kind::Complex | Kind::Number => match super::number::read(&token) {
                Ok(number) => Operand::Number(position, Box::new(number)),
                Err(message) => return self.fail(message),
            },
            Kind::LeftParen => {
                Operand::Pipe(Box::new(self.nested("max expression depth exceeded", |parser| {
                    parser.pipeline("parenthesized pipeline", Kind::RightParen)
                })?))
            }
            Kind::String | Kind::RawString => {
                let value = self.unquote(token.text)?.into();
                Operand::String(position, Text { source: token.text.to_vec(), value })
            }
            _ => {
                self.back();
                return Ok(None);
            }
        }))
    }
}

fn variable(token: &Token<'_>) -> Variable {
    Variable { position: token.position, name: token.text.to_vec(), fields: Fields::default() }
}

fn is_constant(operand: &Operand) -> bool {
    matches!(
        operand,
        Operand::Bool(..) | Operand::Dot(_) | Operand::Nil(_) | Operand::Number(..) | Operand::String(..)
    )
}
