//! One operand.

use std::fmt::Display;

use super::Printer;
use crate::value::{Map, Object, Type, Value};

/// What stands for the address of a list, map or object. Go's differ from run to run.
const ADDRESS: u64 = 0xc0_0000_0000;

impl Printer {
    /// An operand of a directive.
    pub(super) fn operand(&mut self, operand: &Value, verb: char) {
        let Some(name) = operand.go_type() else {
            return match verb {
                'T' | 'v' => self.pad(b"<nil>"),
                _ => self.write(format!("%!{verb}(<nil>)").as_bytes()),
            };
        };
        match (verb, operand) {
            ('T', _) => self.string(name.to_string().as_bytes(), 's'),
            ('p', _) if has_address(operand) => self.address('p'),
            ('p', _) => self.bad_verb(operand, 'p'),
            // Go's name for the type, unlike within other values.
            (_, Value::Bytes(bytes)) => self.bytes(operand, bytes, "[]byte", verb),
            _ => self.value(operand, verb, 0),
        }
    }

    /// `%!d(string=x)`
    pub(super) fn bad_verb(&mut self, value: &Value, verb: char) {
        let Some(name) = value.go_type() else {
            return self.write(format!("%!{verb}(<nil>)").as_bytes());
        };
        self.write(format!("%!{verb}({name}=").as_bytes());
        let outer = std::mem::replace(&mut self.is_erroring, true);
        self.value(value, 'v', 0);
        self.is_erroring = outer;
        self.write(b")");
    }

    fn value(&mut self, value: &Value, verb: char, depth: usize) {
        if self.is_too_deep(depth) {
            return;
        }
        // Wrapping is for errors.
        let is_simple = match value {
            Value::List(_) | Value::Map(_) | Value::Object(_) => false,
            Value::Bytes(_) => depth == 0,
            _ => true,
        };
        if verb == 'w' && !is_simple && !self.is_erroring {
            return self.bad_verb(value, verb);
        }
        match value {
            Value::Nil => self.write(b"<nil>"),
            Value::Bool(boolean) => match verb {
                't' | 'v' => self.pad(if *boolean { b"true" } else { b"false" }),
                _ => self.bad_verb(value, verb),
            },
            Value::Int(number) | Value::Int64(number) => {
                self.integer(value, number.unsigned_abs(), *number < 0, true, verb);
            }
            Value::Uint8(number) => self.integer(value, (*number).into(), false, false, verb),
            Value::Uint64(number) => self.integer(value, *number, false, false, verb),
            Value::Float64(number) => self.float(value, *number, verb),
            Value::Complex128(real, imaginary) => self.complex(value, *real, *imaginary, verb),
            Value::String(text) => match verb {
                'v' | 's' | 'x' | 'X' | 'q' => self.string(text, verb),
                _ => self.bad_verb(value, verb),
            },
            Value::List(_) | Value::Map(_) if self.flags.sharp_v && value.is_nil() => {
                self.write(format!("{}(nil)", value.go_type().unwrap_or(Type::Any)).as_bytes());
            }
            Value::Bytes(bytes) => match verb {
                's' | 'q' | 'x' | 'X' => self.string(bytes, verb),
                _ => self.elements("[]uint8", bytes.iter().map(|byte| Value::Uint8(*byte)), verb, depth),
            },
            Value::List(list) => self.elements(list.go_type(), list.iter().cloned(), verb, depth),
            Value::Map(map) => {
                self.map(map.go_type(), map, verb, depth);
            }
            Value::Object(object) => self.object(object.as_ref(), value, verb, depth),
        }
    }

    /// A value within an `interface {}`.
    fn element(&mut self, value: &Value, verb: char, depth: usize) {
        match value {
            Value::Nil if self.flags.sharp_v => self.write(b"interface {}(nil)"),
            value => self.value(value, verb, depth + 1),
        }
    }

    fn bytes(&mut self, value: &Value, bytes: &[u8], name: &str, verb: char) {
        match verb {
            's' | 'q' | 'x' | 'X' => self.string(bytes, verb),
            'v' | 'd' => self.elements(name, bytes.iter().map(|byte| Value::Uint8(*byte)), verb, 0),
            _ => self.value(value, verb, 0),
        }
    }

    fn elements(&mut self, name: impl Display, items: impl Iterator<Item = Value>, verb: char, depth: usize) {
        let is_syntax = self.flags.sharp_v;
        if is_syntax {
            self.write(format!("{name}{{").as_bytes());
        } else {
            self.write(b"[");
        }
        for (index, item) in items.enumerate() {
            if self.is_full() {
                return;
            }
            if index > 0 {
                self.separate();
            }
            self.element(&item, verb, depth);
        }
        self.write(if is_syntax { b"}" } else { b"]" });
    }

    fn separate(&mut self) {
        self.write(if self.flags.sharp_v { b", " } else { b" " });
    }

    fn map(&mut self, name: impl Display, map: &Map, verb: char, depth: usize) {
        let is_syntax = self.flags.sharp_v;
        if is_syntax {
            self.write(format!("{name}{{").as_bytes());
        } else {
            self.write(b"map[");
        }
        for (index, (key, value)) in map.iter().enumerate() {
            if self.is_full() {
                return;
            }
            if index > 0 {
                self.separate();
            }
            self.value(&Value::String(key), verb, depth + 1);
            self.write(b":");
            self.element(&value, verb, depth);
        }
        self.write(if is_syntax { b"}" } else { b"]" });
    }

    fn object(&mut self, object: &dyn Object, value: &Value, verb: char, depth: usize) {
        let is_text = !self.flags.sharp_v && matches!(verb, 'v' | 's' | 'x' | 'X' | 'q');
        if let Some(text) = object.text().filter(|_| is_text && !self.is_erroring) {
            return self.string(&text, verb);
        }
        let name = object.go_type();
        match object.underlying() {
            Some(Value::Map(map)) => {
                self.map(name, &map, verb, depth);
            }
            Some(Value::List(list)) => self.elements(name, list.iter().cloned(), verb, depth),
            Some(Value::Bytes(bytes)) if !matches!(verb, 's' | 'q' | 'x' | 'X') => {
                self.elements(name, bytes.iter().map(|byte| Value::Uint8(*byte)), verb, depth);
            }
            Some(Value::Object(_)) | None => self.structure(object, value, verb, depth),
            Some(scalar) => self.value(&scalar, verb, depth),
        }
    }

    fn structure(&mut self, object: &dyn Object, value: &Value, verb: char, depth: usize) {
        let name = object.go_type();
        let is_pointer = name.starts_with('*');
        if is_pointer && depth > 0 {
            return match verb {
                'v' | 'b' | 'o' | 'd' | 'x' | 'X' => self.address(verb),
                _ => self.bad_verb(value, verb),
            };
        }
        if is_pointer && !self.dereferences {
            self.write(b"&");
        }
        if self.flags.sharp_v {
            self.write(name.trim_start_matches('*').as_bytes());
        }
        self.write(b"{");
        for (index, (name, field)) in object.all_fields().iter().enumerate() {
            if index > 0 {
                self.separate();
            }
            if self.flags.plus_v || self.flags.sharp_v {
                self.write(format!("{name}:").as_bytes());
            }
            self.element(field, verb, depth + usize::from(is_pointer));
        }
        self.write(b"}");
    }

    fn address(&mut self, verb: char) {
        let (sharp, verb) = match verb {
            'v' | 'p' => (!self.flags.sharp, 'x'),
            verb => (self.flags.sharp, verb),
        };
        let sharp = std::mem::replace(&mut self.flags.sharp, sharp);
        self.integer(&Value::Uint64(ADDRESS), ADDRESS, false, false, verb);
        self.flags.sharp = sharp;
    }
}

fn has_address(value: &Value) -> bool {
    value.is_pointer() || matches!(value.underlying(), Value::Bytes(_) | Value::List(_) | Value::Map(_))
}
