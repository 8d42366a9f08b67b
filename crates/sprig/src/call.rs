//! How functions get their arguments, and how they are put into the table.

use gotemplate::value::{List, Map, NESTING, Text, Type};
use gotemplate::{Context, Error, Exhausted, Function, Functions, Value};

/// What a function gives, or why it fails.
pub(crate) type Outcome = Result<Value, Error>;

/// What Go says about a method of `nil`.
pub(crate) const NIL_POINTER: &str = "runtime error: invalid memory address or nil pointer dereference";

/// Bytes of a text by itself with its block of memory, without its content.
pub(crate) const TEXT_COST: usize = size_of::<Text>() + 48;
/// Bytes of a list without its items.
pub(crate) const LIST_COST: usize = 96;
/// Bytes of a map without its entries.
pub(crate) const MAP_COST: usize = 160;

/// `[]interface {}`
pub(crate) const LIST: Type = Type::Slice(&Type::Any);
/// `[]string`
pub(crate) const STRINGS: Type = Type::Slice(&Type::String);
/// `map[string]interface {}`
pub(crate) const MAP: Type = Type::Map(&Type::Any);

/// The functions that are there so far.
pub(crate) struct Table(pub(crate) Functions);

impl Table {
    /// A function with so many parameters. The body may rely on the types.
    pub(crate) fn add(
        &mut self,
        name: &str,
        parameters: &[Type],
        result: Type,
        body: impl Fn(&Call<'_>) -> Outcome + Send + Sync + 'static,
    ) {
        let function =
            Function::new(parameters, result, move |context, values| body(&Call { context, values }));
        self.0.insert(name, function);
    }

    /// A function with any number of arguments behind the parameters.
    pub(crate) fn add_variadic(
        &mut self,
        name: &str,
        parameters: &[Type],
        rest: Type,
        result: Type,
        body: impl Fn(&Call<'_>) -> Outcome + Send + Sync + 'static,
    ) {
        let body = move |context: &Context<'_>, values: &[Value]| body(&Call { context, values });
        self.0.insert(name, Function::variadic(parameters, rest, result, body));
    }
}

/// A call of a function. Whatever a result takes beyond its arguments is charged.
pub(crate) struct Call<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) values: &'a [Value],
}

impl<'a> Call<'a> {
    /// An argument of any type.
    pub(crate) fn value(&self, index: usize) -> &'a Value {
        static NIL: Value = Value::Nil;
        self.values.get(index).unwrap_or(&NIL)
    }

    /// The arguments from an index on.
    pub(crate) fn rest(&self, from: usize) -> &'a [Value] {
        self.values.get(from..).unwrap_or_default()
    }

    /// A `string`.
    pub(crate) fn text(&self, index: usize) -> &'a [u8] {
        match self.value(index) {
            Value::String(text) => text,
            _ => &[],
        }
    }

    /// An `int`.
    pub(crate) fn int(&self, index: usize) -> i64 {
        match self.value(index) {
            Value::Int(value) => *value,
            _ => 0,
        }
    }

    /// A `bool`.
    pub(crate) fn bool(&self, index: usize) -> bool {
        matches!(self.value(index), Value::Bool(true))
    }

    /// A `map[string]interface {}`, which may be `nil`.
    pub(crate) fn map(&self, index: usize) -> Map {
        match self.value(index) {
            Value::Map(map) => map.clone(),
            _ => Map::nil(&Type::Any),
        }
    }

    /// A `string` as a result.
    pub(crate) fn string(&self, text: impl Into<Text>) -> Outcome {
        let text = text.into();
        self.context.charge(text.len())?;
        Ok(Value::String(text))
    }

    /// A slice as a result.
    pub(crate) fn list(&self, element: &'static Type, items: Vec<Value>) -> Outcome {
        self.context.charge(LIST_COST + size_of_val(items.as_slice()))?;
        Ok(Value::List(List::new(element, items)))
    }

    /// A map as a result.
    pub(crate) fn entries(&self, element: &'static Type, entries: Vec<(Text, Value)>) -> Outcome {
        let keys: usize = entries.iter().map(|(key, _)| key.len()).sum();
        self.context.charge(keys + 2 * size_of_val(entries.as_slice()))?;
        Ok(Value::Map(Map::new(element, entries)))
    }

    /// A `[]string` as a result.
    pub(crate) fn strings(&self, texts: Vec<Text>) -> Outcome {
        self.context.charge(texts.iter().map(|text| text.len()).sum())?;
        self.list(&Type::String, texts.into_iter().map(Value::String).collect())
    }

    /// A step into a value. Values that hold themselves have no end.
    pub(crate) fn descend(&self, depth: usize) -> Result<(), Error> {
        if depth > NESTING {
            return Err(Exhausted::Nesting(NESTING).into());
        }
        self.context.step(1)
    }
}
