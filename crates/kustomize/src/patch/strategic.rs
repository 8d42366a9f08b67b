//! Strategic merge: maps merge by key, lists by the key their type says, `$patch` directives delete or replace.
//!
//! The rules, with their corners, are those of kyaml's `merge2`. In particular a patch also tidies what it does not mention:
//! a field of the target that holds nothing at all (`key:`) goes.

use yaml::{Kind, Node, Style, Value};

use super::strategic_list;
use crate::build::Build;
use crate::error::{Error, Result};
use crate::meta;
use crate::schema::{Place, Schema};
use crate::shared::Written;
use crate::transform::field::wrong_kind;

/// What is left of a node after a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Keep,
    Gone,
}

/// What `$patch` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Directive {
    Merge,
    Replace,
    Delete,
}

impl Directive {
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "merge" => Ok(Self::Merge),
            "replace" => Ok(Self::Replace),
            "delete" => Ok(Self::Delete),
            _ => Err(Error::Invalid(format!("unknown patch strategy '{text}'"))),
        }
    }

    /// Whether a mapping asks to replace its counterpart.
    pub fn replaces(patch: &Node) -> bool {
        patch.get(DIRECTIVE).and_then(Node::as_str) == Some("replace")
    }

    /// Takes the directive out of a mapping.
    fn take(patch: &mut Node) -> Result<Self> {
        match patch.get(DIRECTIVE).and_then(Node::as_str) {
            None => Ok(Self::Merge),
            Some(text) => {
                let directive = Self::parse(text)?;
                patch.remove(DIRECTIVE);
                Ok(directive)
            }
        }
    }
}

pub(super) const DIRECTIVE: &str = "$patch";

/// One merge.
pub(super) struct Merger<'a> {
    pub schema: &'a Schema,
    /// Steps left, of how many the build may take.
    left: u64,
    limit: u64,
    written: Written,
}

/// Merges a patch into an object. `Gone` means that the patch deletes the object.
pub(crate) fn merge(target: &mut Node, patch: Node, build: &mut Build<'_>) -> Result<Fate> {
    let left = build.meter.work_left();
    let mut merger =
        Merger { schema: &build.schema, left, limit: build.options.limits.work, written: Written::default() };
    // kyaml hands out a replaced object, and kustomize goes on with the one it has.
    let fate = if Directive::replaces(&patch) {
        merger.tidy(patch, None)?;
        Fate::Keep
    } else {
        merger.merge(target, Some(patch), None)?
    };
    let used = left - merger.left;
    build.meter.count_work(usize::try_from(used).unwrap_or(usize::MAX))?;
    merger.written.spread(target, &build.meter)?;
    Ok(fate)
}

impl Merger<'_> {
    pub fn spend(&mut self, steps: usize) -> Result<()> {
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(steps).ok_or_else(|| Error::work(self.limit))?;
        Ok(())
    }
}

impl<'s> Merger<'s> {
    /// The place's own type, else that of an embedded object.
    fn place(&self, place: Option<Place<'s>>, nodes: &[Option<&Node>]) -> Option<Place<'s>> {
        place.or_else(|| {
            nodes.iter().flatten().find_map(|node| {
                let (api_version, kind) = (meta::text(node, "apiVersion"), meta::text(node, "kind"));
                if api_version.is_empty() || kind.is_empty() {
                    return None;
                }
                self.schema.of_kind(api_version, kind)
            })
        })
    }

    /// Merges `patch` into `target`; without a patch only tidies `target`.
    pub fn merge(
        &mut self,
        target: &mut Node,
        patch: Option<Node>,
        place: Option<Place<'s>>,
    ) -> Result<Fate> {
        self.spend(1)?;
        let place = self.place(place, &[Some(&*target), patch.as_ref()]);
        let other_kind =
            |patch: &&Node| !patch.is_null() && !meta::is_missing(target) && patch.kind() != target.kind();
        if let Some(patch) = patch.as_ref().filter(other_kind) {
            return Err(mismatch(target.kind(), patch));
        }
        let kind = match &patch {
            Some(patch) if meta::is_missing(target) => patch.kind(),
            _ => target.kind(),
        };
        match kind {
            Kind::Mapping => self.merge_mapping(target, patch, place),
            Kind::Sequence => match place.and_then(Place::merge_keys) {
                Some(keys) => self.merge_list(target, patch, keys, place.and_then(Place::items)),
                None => Ok(self.replace(target, patch)),
            },
            Kind::Scalar | Kind::Alias if meta::is_missing(target) && patch.is_none() => {
                // `key: null` stays, `key:` goes.
                Ok(if target.as_str() == Some("") { Fate::Gone } else { Fate::Keep })
            }
            Kind::Scalar | Kind::Alias => Ok(self.replace(target, patch)),
        }
    }

    fn merge_mapping(
        &mut self,
        target: &mut Node,
        patch: Option<Node>,
        place: Option<Place<'s>>,
    ) -> Result<Fate> {
        let Some(mut patch) = patch else { return self.merge_fields(target, Node::mapping(), place) };
        if patch.is_null() {
            return Ok(Fate::Gone);
        }
        if target.is_null() {
            return self.adopt(target, patch, place);
        }
        match Directive::take(&mut patch)? {
            Directive::Delete => Ok(Fate::Gone),
            Directive::Replace => self.adopt(target, patch, place),
            Directive::Merge => self.merge_fields(target, patch, place),
        }
    }

    fn merge_fields(&mut self, target: &mut Node, mut patch: Node, place: Option<Place<'s>>) -> Result<Fate> {
        let Some(fields) = target.as_mapping_mut() else { return Ok(Fate::Keep) };
        let mut gone = Vec::new();
        let mut entries: Vec<_> = fields.entries_mut().enumerate().collect();
        if !patch.entries().is_empty() {
            // Where fields share a node, the last one counts.
            entries.sort_by(|(_, (a, _)), (_, (b, _))| a.as_str().cmp(&b.as_str()));
        }
        for (index, (key, value)) in entries {
            let key = key.as_str().unwrap_or_default();
            let addition = patch.remove(key);
            let child = place.and_then(|place| place.field(key));
            if self.merge(value, addition, child)? == Fate::Gone {
                gone.push(index);
            }
        }
        if !gone.is_empty() {
            gone.sort_unstable();
            let mut index = 0;
            fields.entries_vec_mut().retain(|_| {
                index += 1;
                gone.binary_search(&(index - 1)).is_err()
            });
        }
        let Value::Mapping(patch) = patch.into_value() else { return Ok(Fate::Keep) };
        for (key, value) in patch.into_entries() {
            // Of equal keys the first counts.
            if key.as_str().is_some_and(|key| fields.contains_key(key)) {
                continue;
            }
            let child = key.as_str().and_then(|key| place.and_then(|place| place.field(key)));
            if let Some(value) = self.tidy(value, child)? {
                fields.push(key, value);
            }
        }
        Ok(Fate::Keep)
    }

    /// Puts a patch where nothing was, or in place of what was there.
    fn adopt(&mut self, target: &mut Node, patch: Node, place: Option<Place<'s>>) -> Result<Fate> {
        match self.tidy(patch, place)? {
            Some(node) => {
                *target = node;
                Ok(Fate::Keep)
            }
            None => Ok(Fate::Gone),
        }
    }

    /// A patch on its own: nulls and directives carried out.
    pub fn tidy(&mut self, mut patch: Node, place: Option<Place<'s>>) -> Result<Option<Node>> {
        self.spend(1)?;
        if patch.is_null() {
            return Ok(None);
        }
        let place = self.place(place, &[Some(&patch)]);
        match patch.kind() {
            Kind::Scalar | Kind::Alias => {
                quote(&mut patch);
                Ok(Some(patch))
            }
            Kind::Mapping => {
                if Directive::take(&mut patch)? == Directive::Delete {
                    return Ok(None);
                }
                let style = patch.style();
                let Value::Mapping(fields) = patch.into_value() else { return Ok(None) };
                let mut tidied = Vec::with_capacity(fields.len());
                for (key, value) in fields.into_entries() {
                    let child = key.as_str().and_then(|key| place.and_then(|place| place.field(key)));
                    if let Some(value) = self.tidy(value, child)? {
                        tidied.push((key, value));
                    }
                }
                let mut node = Node::new(Value::Mapping(tidied.into()));
                // What is in a flow collection is written in another way.
                node.set_style(style);
                Ok(Some(node))
            }
            Kind::Sequence => match place.and_then(Place::merge_keys) {
                None => Ok(Some(patch)),
                Some(keys) => {
                    if strategic_list::take_directive(&mut patch)? == Directive::Delete {
                        return Ok(None);
                    }
                    let Value::Sequence(items) = patch.into_value() else { return Ok(None) };
                    let items = self.tidy_items(items, keys, place.and_then(Place::items))?;
                    Ok(Some(Node::sequence_of(items)))
                }
            },
        }
    }

    fn merge_list(
        &mut self,
        target: &mut Node,
        patch: Option<Node>,
        keys: &[smol_str::SmolStr],
        place: Option<Place<'s>>,
    ) -> Result<Fate> {
        let mut patch = match patch {
            Some(patch) if patch.is_null() => return Ok(Fate::Gone),
            patch => patch,
        };
        let directive = match &mut patch {
            Some(patch) => strategic_list::take_directive(patch)?,
            None => Directive::Merge,
        };
        let additions = match patch.map(Node::into_value) {
            Some(Value::Sequence(items)) => Some(items),
            _ => None,
        };
        if directive == Directive::Delete && !target.is_null() {
            return Ok(Fate::Gone);
        }
        let own = match target.value_mut() {
            Value::Sequence(items) => std::mem::take(items),
            _ => Vec::new(),
        };
        let items = match additions {
            Some(additions) if directive == Directive::Replace || target.is_null() => {
                self.tidy_items(additions, keys, place)?
            }
            additions => self.merge_items(own, additions, keys, place)?,
        };
        target.set_value(Value::Sequence(items));
        Ok(Fate::Keep)
    }

    /// A list that does not merge, or a scalar: the patch's value, if it has one.
    ///
    /// A scalar takes over the style of the one it replaces: over a quoted text, a plain number becomes a text.
    fn replace(&mut self, target: &mut Node, patch: Option<Node>) -> Fate {
        match patch {
            None => self.written.set(target, quote),
            Some(patch) if patch.is_null() => return Fate::Gone,
            Some(patch) => self.written.set(target, |target| put(target, patch)),
        }
        Fate::Keep
    }
}

/// Puts a patch's value in place of the one that is there, whose style it takes over.
fn put(target: &mut Node, mut patch: Node) {
    if target.is_scalar() && patch.is_scalar() && matches!(patch.tag(), "" | "!!str") {
        if is_quoted(target) {
            if !is_quoted(&patch) {
                patch.set_style(target.style());
            }
        } else if is_quoted(&patch) || patch.tag() == "!!str" {
            patch = meta::plain_string(patch.as_str().unwrap_or_default());
        }
    }
    target.assign(patch);
}

/// Whatever a merge leaves or adds is set anew (`FieldSetter`): a plain string that is something else in YAML 1.1 gets
/// quotes, and what has no type yet counts as a string.
fn quote(node: &mut Node) {
    const LONGEST_OLD_BOOLEAN: usize = "off".len();
    let Some(text) = node.as_str() else { return };
    // A tag that stands in a file is a style for go-yaml.
    let may_be = match node.tag() {
        "!!str" => node.line() == 0,
        tag => tag.is_empty() && text.len() <= LONGEST_OLD_BOOLEAN && meta::is_string(node),
    };
    if node.style() == Style::Plain && (may_be || node.is_untyped()) && meta::is_other_in_yaml_1_1(text) {
        meta::set_string_style(node, Style::DoubleQuoted);
    }
}

fn is_quoted(node: &Node) -> bool {
    node.is_scalar() && !matches!(node.style(), Style::Plain | Style::Flow)
}

fn mismatch(expected: Kind, patch: &Node) -> Error {
    let expected = match expected {
        Kind::Mapping => "MappingNode",
        Kind::Sequence => "SequenceNode",
        Kind::Scalar | Kind::Alias => "ScalarNode",
    };
    wrong_kind(expected, patch)
}
