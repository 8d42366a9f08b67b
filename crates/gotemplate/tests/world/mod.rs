//! The data and the functions of `data/exec.go`.

use gotemplate::value::{List, Map, Object, Text, Type};
use gotemplate::{Context, Error, Function, Functions, Limits, MissingKey, Set, Value};

#[derive(Debug)]
struct Files;

impl Files {
    fn map() -> Map {
        let entries = [("a.txt", Value::Bytes("A\n".into())), ("b.txt", Value::Bytes("B".into()))];
        Map::new(&Type::Slice(&Type::Uint8), entries)
    }
}

impl Object for Files {
    fn go_type(&self) -> &'static str {
        "main.files"
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::Map(Self::map()))
    }

    fn method(&self, name: &str) -> Option<Function> {
        match name {
            "Get" => Some(Function::new(&[Type::String], Type::String, |_, arguments| {
                Ok(match Self::map().get(text(arguments, 0)) {
                    Some(Value::Bytes(bytes)) => Value::String(bytes),
                    _ => Value::from(""),
                })
            })),
            "Join" => {
                Some(Function::variadic(&[Type::String], Type::String, Type::String, |_, arguments| {
                    let names: Vec<_> = (1..arguments.len()).map(|index| text(arguments, index)).collect();
                    Ok(Value::String(names.join(text(arguments, 0)).into()))
                }))
            }
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Versions;

impl Versions {
    const NAMES: [&str; 2] = ["v1", "apps/v1"];
}

impl Object for Versions {
    fn go_type(&self) -> &'static str {
        "main.versions"
    }

    fn underlying(&self) -> Option<Value> {
        Some(strings(&Self::NAMES))
    }

    fn method(&self, name: &str) -> Option<Function> {
        (name == "Has").then(|| {
            Function::new(&[Type::String], Type::Bool, |_, arguments| {
                Ok(Self::NAMES.iter().any(|name| name.as_bytes() == text(arguments, 0)).into())
            })
        })
    }
}

#[derive(Debug)]
struct Caps;

impl Object for Caps {
    fn go_type(&self) -> &'static str {
        "*main.caps"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![("Version", "v4".into()), ("Count", Value::Int(2)), ("Tags", strings(&["p", "q"]))]
    }

    fn method(&self, name: &str) -> Option<Function> {
        (name == "Fail").then(|| Function::new(&[Type::String], Type::String, fail))
    }
}

#[derive(Debug)]
struct Kube;

impl Object for Kube {
    fn go_type(&self) -> &'static str {
        "*main.kube"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![("Major", "33".into())]
    }

    fn text(&self) -> Option<Text> {
        Some("v33".into())
    }

    fn method(&self, name: &str) -> Option<Function> {
        (name == "String").then(|| Function::new(&[], Type::String, |_, _| Ok("v33".into())))
    }
}

#[derive(Debug)]
struct Point;

impl Object for Point {
    fn go_type(&self) -> &'static str {
        "main.point"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![("X", Value::Int(3)), ("Y", Value::Int(4))]
    }
}

fn strings(items: &[&str]) -> Value {
    Value::List(List::new(&Type::String, items.iter().map(|item| Value::from(*item)).collect()))
}

/// The values by name, in the order in which they are formatted.
pub fn world() -> Vec<(&'static str, Value)> {
    let deep = Value::map([("z", Value::from("deep"))]);
    let inner = Value::map([("x", Value::Float64(1.0)), ("y", deep)]);
    vec![
        ("t", true.into()),
        ("f", false.into()),
        ("zero", Value::Int(0)),
        ("one", Value::Int(1)),
        ("neg", Value::Int(-42)),
        ("i64", Value::Int64(7)),
        ("u8", Value::Uint8(200)),
        ("u64", Value::Uint64(u64::MAX)),
        ("flt", Value::Float64(1.5)),
        ("fzero", Value::Float64(-0.0)),
        ("big", Value::Float64(1_234_567.0)),
        ("huge", Value::Float64(-1e21)),
        ("tiny", Value::Float64(1e-7)),
        ("inf", Value::Float64(f64::INFINITY)),
        ("nan", Value::Float64(f64::NAN)),
        ("cplx", Value::Complex128(1.0, -2.5)),
        ("empty", "".into()),
        ("str", "abc".into()),
        ("uni", "ä€😀\n\u{1}".into()),
        ("tick", "a`b\\\"c".into()),
        ("raw", Value::String(Text::from(b"a\xffb" as &[u8]))),
        ("bytes", Value::Bytes("hi".into())),
        ("list", Value::list(vec![Value::Int(1), "a".into(), Value::Nil, Value::Float64(2.5)])),
        ("strs", strings(&["x", "y z"])),
        ("elist", Value::list(vec![])),
        (
            "map",
            Value::map([
                ("b", Value::Int(1)),
                ("a", Value::list(vec![true.into(), "x".into()])),
                ("n", Value::Nil),
            ]),
        ),
        ("smap", Value::Map(Map::new(&Type::String, [("k", "v".into()), ("j", "w".into())]))),
        ("emap", Value::map([] as [(&str, Value); 0])),
        ("nested", Value::map([("l", Value::list(vec![inner]))])),
        ("nil", Value::Nil),
        ("files", Value::object(Files)),
        ("versions", Value::object(Versions)),
        ("caps", Value::object(Caps)),
        ("kube", Value::object(Kube)),
        ("point", Value::object(Point)),
    ]
}

fn text(arguments: &[Value], index: usize) -> &[u8] {
    match &arguments[index] {
        Value::String(text) => text,
        other => panic!("no string: {other:?}"),
    }
}

fn int(value: &Value) -> i64 {
    match value {
        Value::Int(int) => *int,
        other => panic!("no int: {other:?}"),
    }
}

fn fail(_: &Context<'_>, arguments: &[Value]) -> Result<Value, Error> {
    Err(Error::Function(String::from_utf8_lossy(text(arguments, 0)).into_owned()))
}

fn printed(prefix: &'static str) -> impl Fn(&Context<'_>, &[Value]) -> Result<Value, Error> {
    move |context, arguments| {
        let text = context.print(arguments)?;
        Ok(format!("{prefix}:{text}").into())
    }
}

fn length(prefix: &'static str) -> impl Fn(&Context<'_>, &[Value]) -> Result<Value, Error> {
    move |_, arguments| {
        let length = match &arguments[0] {
            Value::List(list) => list.len(),
            Value::Map(map) => map.len(),
            other => panic!("neither list nor map: {other:?}"),
        };
        Ok(format!("{prefix}:{length}").into())
    }
}

pub fn functions() -> Functions {
    let mut functions = Functions::default();
    let mut add = |name: &str, function| functions.insert(name, function);
    add(
        "add",
        Function::new(&[Type::Int, Type::Int], Type::Int, |_, arguments| {
            Ok(Value::Int(int(&arguments[0]) + int(&arguments[1])))
        }),
    );
    add(
        "upper",
        Function::new(&[Type::String], Type::String, |_, arguments| {
            Ok(String::from_utf8_lossy(text(arguments, 0)).to_uppercase().into())
        }),
    );
    for (name, wanted) in [
        ("same", Type::Any),
        ("int64", Type::Int64),
        ("uint64", Type::Uint64),
        ("byte", Type::Uint8),
        ("complex", Type::Complex128),
    ] {
        add(name, Function::new(&[wanted], wanted, |_, arguments| Ok(arguments[0].clone())));
    }
    add("nothing", Function::new(&[], Type::Any, |_, _| Ok(Value::Nil)));
    add(
        "list",
        Function::variadic(&[], Type::Any, Type::Slice(&Type::Any), |_, arguments| {
            Ok(Value::list(arguments.to_vec()))
        }),
    );
    add("strings", Function::new(&[], Type::Slice(&Type::String), |_, _| Ok(strings(&["p", "q"]))));
    for (name, result) in [
        ("nilWords", Type::Slice(&Type::String)),
        ("nilItems", Type::Slice(&Type::Any)),
        ("nilTable", Type::Map(&Type::Any)),
    ] {
        add(name, Function::new(&[], result, move |_, _| Ok(result.zero())));
    }
    add("fail", Function::new(&[Type::String], Type::String, fail));
    add("bool", Function::new(&[Type::Bool], Type::String, printed("b")));
    add("float", Function::new(&[Type::Float64], Type::String, printed("f")));
    add("items", Function::new(&[Type::Slice(&Type::Any)], Type::String, length("l")));
    add("words", Function::new(&[Type::Slice(&Type::String)], Type::String, length("s")));
    add("table", Function::new(&[Type::Map(&Type::Any)], Type::String, length("m")));
    add("texts", Function::new(&[Type::Map(&Type::String)], Type::String, length("t")));
    add(
        "capsOf",
        Function::new(&[Type::Named("*main.caps")], Type::String, |_, arguments| {
            Ok(format!("c:{}", arguments[0].downcast::<Caps>().is_some()).into())
        }),
    );
    add(
        "sum",
        Function::variadic(&[Type::String], Type::Int, Type::String, |_, arguments| {
            let sum: i64 = arguments.iter().skip(1).map(int).sum();
            Ok(format!("{}{sum}", String::from_utf8_lossy(text(arguments, 0))).into())
        }),
    );
    add(
        "dict",
        Function::variadic(&[], Type::Any, Type::Map(&Type::Any), |_, arguments| {
            let pairs = arguments.chunks_exact(2);
            Ok(Value::map(pairs.map(|pair| (Text::from(text(pair, 0)), pair[1].clone()))))
        }),
    );
    add(
        "set",
        Function::new(
            &[Type::Map(&Type::Any), Type::String, Type::Any],
            Type::Map(&Type::Any),
            |context, arguments| {
                let Value::Map(map) = &arguments[0] else { panic!("no map") };
                context.insert(map, text(arguments, 1).into(), arguments[2].clone())?;
                Ok(arguments[0].clone())
            },
        ),
    );
    add(
        "include",
        Function::new(&[Type::String, Type::Any], Type::String, |context, arguments| {
            Ok(context.execute(text(arguments, 0), arguments[1].clone())?.into())
        }),
    );
    add(
        "tpl",
        Function::new(&[Type::String, Type::Any], Type::String, |context, arguments| {
            Ok(context.execute_source("gotpl", text(arguments, 0), arguments[1].clone())?.into())
        }),
    );
    functions
}

/// A set without templates.
pub fn set(missing_key: MissingKey) -> Set {
    Set::new("gotpl", functions(), Limits::default(), missing_key)
}
