//! The functions that Helm 4 gives to templates: those of sprig v3 without `env` and `expandenv`, and Helm's own.
//!
//! ```text
//! functions ── Table ◀── a module each group ── Call ── gotemplate::Context (budget)
//! ```
//!
//! They say what Go says about arguments that do not fit. Go's panics are errors: the engine of Go recovers them.
//! What a template can make large or slow is charged to the budget of the run.
//!
//! The engine of Helm binds `include`, `tpl` and `required` itself, for they need the templates. `lookup` and `getHostByName` find
//! nothing here: who has a cluster or a resolver inserts others in their place.
//!
//! # Where this differs from Go
//!
//! - `keys` and `values` are sorted; Go's are in no order.
//! - `fromYaml` and `fromYamlArray` read all documents of a text, though only the first counts: an error in a later one is theirs.
//! - `fromToml` has its own words for what is wrong. `genPrivateKey "dsa"` fails.

#![forbid(unsafe_code)]

mod call;
mod case;
mod convert;
mod crypto;
mod dates;
mod decimal;
mod defaults;
mod dicts;
mod duration;
mod encodings;
mod equal;
mod host;
mod json;
mod layout;
mod lists;
mod math;
mod merge;
mod paths;
mod random;
mod reflection;
mod regex;
mod semver;
mod string_lists;
mod strings;
mod time;
mod toml;
mod urls;
mod wrap;
mod yaml;

use std::sync::Arc;

use gotemplate::Functions;

pub use host::{Host, System};
pub use yaml::to_yaml;

/// All functions.
pub fn functions(host: &Arc<dyn Host>) -> Functions {
    let mut table = call::Table(Functions::default());
    crypto::add(&mut table, host);
    dates::add(&mut table, host);
    random::add(&mut table, host);
    defaults::add(&mut table);
    dicts::add(&mut table);
    duration::add(&mut table);
    encodings::add(&mut table);
    json::add(&mut table);
    lists::add(&mut table);
    math::add(&mut table);
    paths::add(&mut table);
    reflection::add(&mut table);
    regex::add(&mut table);
    semver::add(&mut table);
    string_lists::add(&mut table);
    strings::add(&mut table);
    toml::add(&mut table);
    urls::add(&mut table);
    yaml::add(&mut table);
    table.0
}
