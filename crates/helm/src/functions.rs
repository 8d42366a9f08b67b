//! The functions of the engine itself, which need the templates or the world.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gotemplate::value::{Text, Type};
use gotemplate::{Context, Error, Function, Functions, Value};

use crate::convert::{self, Numbers};
use crate::failure::{MESSAGE_END, MESSAGE_START};

/// How often a template may include itself.
const RECURSION: usize = 1000;

/// What a template may ask about a cluster: `lookup`.
pub trait Lookup: Send + Sync {
    /// An object, or the list of them if `name` is empty; an empty object if there is none.
    ///
    /// # Errors
    /// What the template is told.
    fn lookup(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<serde_json::Value, String>;
}

/// What templates may use of the world. By default they have clock and randomness, and no cluster.
#[derive(Clone)]
pub struct World {
    /// The clock and the randomness.
    pub host: Arc<dyn sprig::Host>,
    /// The cluster; without one, `lookup` finds nothing.
    pub lookup: Option<Arc<dyn Lookup>>,
}

impl Default for World {
    fn default() -> Self {
        Self { host: Arc::new(sprig::System), lookup: None }
    }
}

/// All functions, for one rendering.
pub(crate) fn functions(world: &World) -> Functions {
    let mut functions = sprig::functions(&world.host);
    functions.insert("include", include());
    functions.insert("tpl", Function::new(&[Type::String, Type::Any], Type::String, tpl));
    functions.insert("required", Function::new(&[Type::String, Type::Any], Type::Any, required));
    functions.insert("fail", Function::new(&[Type::String], Type::String, fail));
    if let Some(cluster) = &world.lookup {
        functions.insert("lookup", lookup(cluster.clone()));
    }
    functions
}

/// `include NAME DATA`
fn include() -> Function {
    let depths: Mutex<HashMap<Text, usize>> = Mutex::default();
    Function::new(&[Type::String, Type::Any], Type::String, move |context, arguments| {
        let [Value::String(name), data] = arguments else { return Ok(Value::Nil) };
        let depth = |change: &dyn Fn(&mut usize)| {
            let mut depths = depths.lock().unwrap_or_else(PoisonError::into_inner);
            let depth = depths.entry(name.clone()).or_default();
            change(depth);
            *depth
        };
        if depth(&|_| {}) > RECURSION {
            let message = "unable to execute template";
            return Err(format!("rendering template has a nested reference name: {name}: {message}").into());
        }
        depth(&|depth| *depth += 1);
        let result = context.execute(name, data.clone());
        depth(&|depth| *depth -= 1);
        Ok(Value::String(result?))
    })
}

/// `tpl SOURCE DATA`
fn tpl(context: &Context<'_>, arguments: &[Value]) -> Result<Value, Error> {
    let [Value::String(source), data] = arguments else { return Ok(Value::Nil) };
    let outermost = context.templates().name();
    match context.execute_source(outermost, source, data.clone()) {
        Ok(text) => {
            let text = without_no_value(text.to_vec());
            context.charge(text.len())?;
            Ok(Value::String(text.into()))
        }
        Err(exhausted @ Error::Exhausted(_)) => Err(exhausted),
        Err(Error::Parse(error)) => {
            Err(format!("cannot parse template {}: {error}", strconv::quote(source)).into())
        }
        Err(error) => {
            let source = strconv::quote(source);
            Err(format!("error during tpl function execution for {source}: {error}").into())
        }
    }
}

/// `required MESSAGE VALUE`
fn required(_: &Context<'_>, arguments: &[Value]) -> Result<Value, Error> {
    let [Value::String(message), value] = arguments else { return Ok(Value::Nil) };
    match value {
        Value::Nil => Err(marked(message)),
        Value::String(text) if text.is_empty() => Err(marked(message)),
        value => Ok(value.clone()),
    }
}

/// `fail MESSAGE`
fn fail(_: &Context<'_>, arguments: &[Value]) -> Result<Value, Error> {
    match arguments {
        [Value::String(message)] => Err(marked(message)),
        _ => Ok(Value::Nil),
    }
}

/// A message that is told without the places that it comes through.
fn marked(message: &Text) -> Error {
    format!("{MESSAGE_START}{message}{MESSAGE_END}").into()
}

/// `lookup API-VERSION KIND NAMESPACE NAME`
fn lookup(cluster: Arc<dyn Lookup>) -> Function {
    const ANY: Type = Type::Any;
    Function::new(&[Type::String; 4], Type::Map(&ANY), move |context, arguments| {
        let [Value::String(api_version), Value::String(kind), Value::String(namespace), Value::String(name)] =
            arguments
        else {
            return Ok(Value::Nil);
        };
        let [api_version, kind, namespace, name] = [api_version, kind, namespace, name].map(Text::to_str);
        let found = cluster.lookup(&api_version, &kind, &namespace, &name)?;
        context.charge(found.to_string().len().saturating_mul(4))?;
        // Integers of an object are `int64`, as the client reads them.
        Ok(convert::from_json(&found, Numbers::AsWritten))
    })
}

/// Without what Go prints for nothing: with `missingkey=zero`, too, an `interface {}` has no zero that prints as nothing.
pub(crate) fn without_no_value(text: Vec<u8>) -> Vec<u8> {
    const NO_VALUE: &[u8] = b"<no value>";
    if memchr::memmem::find(&text, NO_VALUE).is_none() {
        return text;
    }
    let mut kept = Vec::with_capacity(text.len());
    let mut from = 0;
    for at in memchr::memmem::find_iter(&text, NO_VALUE) {
        kept.extend_from_slice(text.get(from..at).unwrap_or_default());
        from = at + NO_VALUE.len();
    }
    kept.extend_from_slice(text.get(from..).unwrap_or_default());
    kept
}
