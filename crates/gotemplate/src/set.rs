use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use strconv::quote;

use crate::builtins;
use crate::context::Context;
use crate::error::Error;
use crate::exec;
use crate::function::Functions;
use crate::parse::{self, Limits, ParseError, Tree};
use crate::run::Run;
use crate::simplify;
use crate::value::{Text, Value};

/// What `.name` gives if a map has no such key: Go's option `missingkey`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// Nothing, which prints as `<no value>`.
    #[default]
    Default,
    /// The zero value of the type of the map's values.
    Zero,
    /// An error.
    Error,
}

type Templates = BTreeMap<Vec<u8>, Arc<Tree>>;

/// Templates that can call each other, and the functions that they call. A clone is cheap, and has its own templates from then on.
#[derive(Debug, Clone)]
pub struct Set {
    name: Arc<str>,
    /// Those that it shares with the set that it was made of.
    shared: Arc<Templates>,
    /// Its own, which go before those.
    templates: Arc<Templates>,
    functions: Functions,
    limits: Limits,
    missing_key: MissingKey,
}

impl Set {
    /// Without templates. The name is that of Go's outermost template, which errors name.
    pub fn new(name: &str, functions: Functions, limits: Limits, missing_key: MissingKey) -> Self {
        let (shared, templates) = (Arc::default(), Arc::default());
        Self { name: name.into(), shared, templates, functions, limits, missing_key }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn functions(&self) -> &Functions {
        &self.functions
    }

    pub(crate) fn missing_key(&self) -> MissingKey {
        self.missing_key
    }

    /// A set with the same templates, to which others can be added at the cost of these alone: `tpl` makes one for each call.
    pub(crate) fn extended(&self) -> Self {
        let mut set = self.clone();
        if self.shared.is_empty() {
            set.shared = std::mem::take(&mut set.templates);
        }
        set
    }

    /// How many templates have to be copied to add one.
    pub(crate) fn own_len(&self) -> usize {
        self.templates.len()
    }

    /// How many templates there are, those counted twice that have replaced a shared one.
    pub fn len(&self) -> usize {
        self.shared.len() + self.templates.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.shared.is_empty() && self.templates.is_empty()
    }

    /// The template of a name.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<Tree>> {
        self.templates.get(name).or_else(|| self.shared.get(name))
    }

    /// Adds the templates of a source: that of the source itself, which is also the result, and those that it defines. They
    /// replace others of the same names, but an empty template does not replace another.
    ///
    /// # Errors
    /// The source is no template.
    pub fn parse(&mut self, name: &str, source: &[u8]) -> Result<Arc<Tree>, ParseError> {
        let trees = self.trees(name, Bytes::copy_from_slice(source))?;
        self.add(&trees);
        let own = trees.into_iter().find(|tree| tree.name == name.as_bytes());
        Ok(own.unwrap_or_else(|| Arc::new(Tree::empty(name))))
    }

    /// The templates of a source, which [`Set::add`] adds to this set or to another with functions of the same names.
    ///
    /// # Errors
    /// The source is no template.
    pub fn trees(&self, name: &str, source: Bytes) -> Result<Vec<Arc<Tree>>, ParseError> {
        let is_function = |name: &[u8]| self.functions.get(name).is_some() || builtins::find(name).is_some();
        let trees = parse::parse_into(name, source, &self.limits, &is_function, simplify::push)?;
        Ok(trees.into_iter().map(Arc::new).collect())
    }

    /// Adds the templates of a source, as [`Set::parse`] does.
    pub fn add(&mut self, trees: &[Arc<Tree>]) {
        let templates = Arc::make_mut(&mut self.templates);
        for tree in trees {
            let is_there = templates.contains_key(&tree.name) || self.shared.contains_key(&tree.name);
            if !(tree.is_empty() && is_there) {
                templates.insert(tree.name.clone(), tree.clone());
            }
        }
    }

    /// Executes a template.
    ///
    /// # Errors
    /// There is none of this name, or it fails.
    pub fn execute(&self, run: &Run<'_>, name: &str, data: Value) -> Result<Text, Error> {
        self.execute_to_vec(run, name, data).map(Text::from)
    }

    /// As [`Set::execute`], without another copy of the output.
    ///
    /// # Errors
    /// There is none of this name, or it fails.
    pub fn execute_to_vec(&self, run: &Run<'_>, name: &str, data: Value) -> Result<Vec<u8>, Error> {
        let mut output = Vec::new();
        self.execute_into(run, name.as_bytes(), data, &mut output)?;
        Ok(output)
    }

    pub(crate) fn execute_into(
        &self,
        run: &Run<'_>,
        name: &[u8],
        data: Value,
        output: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let Some(tree) = self.get(name) else {
            return Err(Error::Missing { name: quote(name), set: quote(self.name.as_bytes()) });
        };
        exec::execute(Context { set: self, run }, tree, data, output)
    }
}
