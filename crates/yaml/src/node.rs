//! The node tree.

use smol_str::SmolStr;

use crate::resolve::{Resolved, Resolver, is_old_notation};
use crate::{Error, Mapping};

/// One YAML value with its place, style and comments.
///
/// A scalar is kept as text; whether it is a number or a string follows from text, style and tag ([`Node::resolve`]).
#[derive(Debug, Clone)]
pub struct Node {
    value: Value,
    style: Style,
    untyped: bool,
    line: u32,
    column: u32,
    shared: u32,
    extra: Option<Box<Extra>>,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub enum Value {
    /// Decoded text: quotes, escapes and folding are gone.
    Scalar(SmolStr),
    /// List items.
    Sequence(Vec<Node>),
    /// Key-value pairs in order.
    Mapping(Mapping),
    /// The name after `*`; only in trees that were parsed without expansion.
    Alias(SmolStr),
}

/// The shape of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Scalar,
    Sequence,
    Mapping,
    Alias,
}

/// How a node is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// A plain scalar or a block collection.
    #[default]
    Plain,
    /// `'text'`
    SingleQuoted,
    /// `"text"`
    DoubleQuoted,
    /// `|` block
    Literal,
    /// `>` block
    Folded,
    /// `[a, b]` or `{a: b}`
    Flow,
}

/// Comments around a node, each with its `#`, lines joined by `\n`; empty when there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comments {
    /// Above the node.
    pub head: String,
    /// At the end of the node's line.
    pub line: String,
    /// Below the node, before an empty line.
    pub foot: String,
    /// At a document's root: above the root and parted from it by an empty line.
    pub document_head: String,
    /// At a document's root: at the end of the document.
    pub document_foot: String,
}

impl Comments {
    /// No comment anywhere.
    const NONE: Self = Self {
        head: String::new(),
        line: String::new(),
        foot: String::new(),
        document_head: String::new(),
        document_foot: String::new(),
    };
}

/// What few nodes have.
#[derive(Debug, Clone, Default)]
struct Extra {
    tag: SmolStr,
    anchor: SmolStr,
    comments: Comments,
}

static NO_COMMENTS: Comments = Comments::NONE;

/// Construction.
impl Node {
    /// A node in plain style without a place.
    pub fn new(value: Value) -> Self {
        Self { value, style: Style::Plain, untyped: false, line: 0, column: 0, shared: 0, extra: None }
    }

    /// A string: text that YAML 1.1 or 1.2 would read as another type comes out quoted, as go-yaml and kyaml do it.
    pub fn string(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        let mut node = Self::plain(text);
        if needs_quotes(text) {
            node.style = Style::DoubleQuoted;
        }
        node
    }

    /// A plain scalar as it stands in a file: `3` is a number, `true` a boolean.
    pub fn plain(text: impl AsRef<str>) -> Self {
        Self::new(Value::Scalar(SmolStr::new(text)))
    }

    /// `null`
    pub fn null() -> Self {
        Self::new(Value::Scalar(SmolStr::new_static("null")))
    }

    /// `true` or `false`
    pub fn bool(value: bool) -> Self {
        Self::new(Value::Scalar(SmolStr::new_static(if value { "true" } else { "false" })))
    }

    /// A decimal integer.
    pub fn integer(value: i64) -> Self {
        Self::plain(value.to_string())
    }

    /// An empty block mapping.
    pub fn mapping() -> Self {
        Self::new(Value::Mapping(Mapping::default()))
    }

    /// An empty block sequence.
    pub fn sequence() -> Self {
        Self::new(Value::Sequence(Vec::new()))
    }

    /// A block mapping of the given pairs.
    pub fn mapping_of<K: AsRef<str>>(pairs: impl IntoIterator<Item = (K, Node)>) -> Self {
        let entries: Vec<_> = pairs.into_iter().map(|(key, value)| (Self::string(key), value)).collect();
        Self::new(Value::Mapping(entries.into()))
    }

    /// A block sequence of the given items.
    pub fn sequence_of(items: impl IntoIterator<Item = Node>) -> Self {
        Self::new(Value::Sequence(items.into_iter().collect()))
    }

    /// The same node at a place in its source.
    pub(crate) fn at(mut self, line: u32, column: u32) -> Self {
        self.line = line;
        self.column = column;
        self
    }
}

/// Shape and content.
impl Node {
    /// The node's shape.
    pub fn kind(&self) -> Kind {
        match &self.value {
            Value::Scalar(_) => Kind::Scalar,
            Value::Sequence(_) => Kind::Sequence,
            Value::Mapping(_) => Kind::Mapping,
            Value::Alias(_) => Kind::Alias,
        }
    }

    /// What the node holds.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// What the node holds, changeable.
    pub fn value_mut(&mut self) -> &mut Value {
        &mut self.value
    }

    /// What the node holds, by value.
    pub fn into_value(self) -> Value {
        self.value
    }

    /// Replaces the content and keeps comments and place; style and tag go, since they described the old content.
    pub fn set_value(&mut self, value: Value) {
        self.value = value;
        self.style = Style::Plain;
        self.untyped = false;
        self.set_tag("");
    }

    /// Makes this node a string, quoted if it must be; comments stay.
    ///
    /// A quoted or block style stays as it is, as kyaml leaves `Style` alone when it sets `Value`.
    pub fn set_string(&mut self, text: impl AsRef<str>) {
        let text = text.as_ref();
        let style = match self.kind() {
            Kind::Scalar if self.style != Style::Plain => self.style,
            _ if needs_quotes(text) => Style::DoubleQuoted,
            _ => Style::Plain,
        };
        self.set_value(Value::Scalar(SmolStr::new(text)));
        self.style = style;
    }

    /// Gives this scalar another text and leaves everything else of it alone, as go-yaml does when `Node.Value` is set: comments,
    /// anchor, style, and the type that the old text had.
    ///
    /// A plain string is quoted where the new text would read as another type; any other type that does not fit is named by a tag.
    /// Does nothing to other nodes.
    pub fn set_scalar_text(&mut self, text: impl AsRef<str>) {
        let Value::Scalar(old) = &self.value else { return };
        let text = SmolStr::new(text);
        if matches!(self.tag(), "" | "!") && self.style == Style::Plain && !self.untyped {
            let tag = Resolver::KustomizeV3.tag_of(old);
            if tag != Resolver::KustomizeV3.tag_of(&text) {
                match tag {
                    "!!str" if text.contains('\n') => self.style = Style::Literal,
                    "!!str" => self.style = Style::DoubleQuoted,
                    tag => self.set_tag(tag),
                }
            }
        }
        self.value = Value::Scalar(text);
    }

    /// Lets the type of this scalar follow from its text even when it gets another text, as it is with nodes of go-yaml that were
    /// made without a tag.
    pub fn set_untyped(&mut self) {
        self.untyped = true;
    }

    /// True for a scalar that [`Node::set_untyped`] was called on.
    pub fn is_untyped(&self) -> bool {
        self.untyped
    }

    /// True for a mapping.
    pub fn is_mapping(&self) -> bool {
        self.kind() == Kind::Mapping
    }

    /// True for a sequence.
    pub fn is_sequence(&self) -> bool {
        self.kind() == Kind::Sequence
    }

    /// True for a scalar.
    pub fn is_scalar(&self) -> bool {
        self.kind() == Kind::Scalar
    }

    /// The text of a scalar, whatever its type.
    pub fn as_str(&self) -> Option<&str> {
        self.scalar_text().map(SmolStr::as_str)
    }

    pub(crate) fn scalar_text(&self) -> Option<&SmolStr> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// Items of a sequence; empty for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    /// Changeable items of a sequence.
    pub fn items_mut(&mut self) -> Option<&mut Vec<Node>> {
        match &mut self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// Entries of a mapping in order; empty for anything else.
    pub fn entries(&self) -> &[(Node, Node)] {
        self.as_mapping().map_or(&[], Mapping::entries)
    }

    /// Keys and changeable values of a mapping in order; empty for anything else.
    pub fn entries_mut(&mut self) -> impl Iterator<Item = (&Node, &mut Node)> {
        self.as_mapping_mut().into_iter().flat_map(Mapping::entries_mut)
    }

    /// The mapping, if this is one.
    pub fn as_mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The changeable mapping, if this is one.
    pub fn as_mapping_mut(&mut self) -> Option<&mut Mapping> {
        match &mut self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_mapping()?.get(key)
    }

    /// The changeable value under `key`.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.as_mapping_mut()?.get_mut(key)
    }

    /// The value at the end of a path of mapping keys.
    pub fn get_path(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The changeable value at the end of a path of mapping keys.
    pub fn get_path_mut(&mut self, path: &[&str]) -> Option<&mut Node> {
        path.iter().try_fold(self, |node, key| node.get_mut(key))
    }

    /// Sets `key` in this mapping and returns the value that was there. A node of another kind becomes a mapping first.
    pub fn insert(&mut self, key: &str, value: Node) -> Option<Node> {
        if !self.is_mapping() {
            self.set_value(Value::Mapping(Mapping::default()));
        }
        self.as_mapping_mut()?.insert(key, value)
    }

    /// Takes `key` out of this mapping.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        self.as_mapping_mut()?.remove(key)
    }

    /// The scalar's type and value; `None` for collections and aliases.
    ///
    /// # Errors
    /// When an explicit tag does not fit the text, such as `!!int x`.
    pub fn resolve(&self, resolver: Resolver) -> Result<Option<Resolved<'_>>, Error> {
        match &self.value {
            Value::Scalar(text) => resolver.resolve(text, self.style, self.tag()).map(Some),
            _ => Ok(None),
        }
    }

    /// True for a plain `null`, `~` or nothing, or anything tagged `!!null`.
    pub fn is_null(&self) -> bool {
        matches!(self.resolve(Resolver::KustomizeV3), Ok(Some(Resolved::Null)))
    }
}

/// Presentation and place.
impl Node {
    /// How the node is written.
    pub fn style(&self) -> Style {
        self.style
    }

    /// Sets how the node is written. The emitter departs from it where the text would not survive.
    pub fn set_style(&mut self, style: Style) {
        self.style = style;
    }

    /// Line in the source, from 1; 0 when the node was not parsed.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// Column in the source, from 1; 0 when the node was not parsed.
    pub fn column(&self) -> u32 {
        self.column
    }

    /// The explicit tag, in short form (`!!binary`, `!custom`, the bare `!`); empty when there is none.
    pub fn tag(&self) -> &str {
        self.extra.as_ref().map_or("", |extra| &extra.tag)
    }

    /// Sets or clears (`""`) the explicit tag.
    pub fn set_tag(&mut self, tag: &str) {
        if tag.is_empty() && self.extra.is_none() {
            return;
        }
        self.extra.get_or_insert_default().tag = SmolStr::new(tag);
    }

    /// The anchor's name; empty when there is none. Only trees parsed without expansion have any.
    pub fn anchor(&self) -> &str {
        self.extra.as_ref().map_or("", |extra| &extra.anchor)
    }

    /// Sets or clears (`""`) the anchor.
    pub fn set_anchor(&mut self, anchor: &str) {
        if anchor.is_empty() && self.extra.is_none() {
            return;
        }
        self.extra.get_or_insert_default().anchor = SmolStr::new(anchor);
    }

    /// The comments around the node.
    pub fn comments(&self) -> &Comments {
        self.extra.as_ref().map_or(&NO_COMMENTS, |extra| &extra.comments)
    }

    /// Changeable comments around the node.
    pub fn comments_mut(&mut self) -> &mut Comments {
        &mut self.extra.get_or_insert_default().comments
    }

    /// Takes all comments off this node and everything below.
    pub fn strip_comments(&mut self) {
        if let Some(extra) = &mut self.extra {
            extra.comments = Comments::default();
        }
        match &mut self.value {
            Value::Sequence(items) => items.iter_mut().for_each(Node::strip_comments),
            Value::Mapping(mapping) => mapping.entries_vec_mut().iter_mut().for_each(|(key, value)| {
                key.strip_comments();
                value.strip_comments();
            }),
            Value::Scalar(_) | Value::Alias(_) => {}
        }
    }
}

/// Identity.
impl Node {
    /// In go-yaml one node may be in several places of a tree. Nodes of a tree with the same number stand for such a node; 0 is the
    /// number of those that are in one place. Clones keep the number.
    pub fn shared(&self) -> u32 {
        self.shared
    }

    /// Sets the number of a node that is in several places.
    pub fn set_shared(&mut self, number: u32) {
        self.shared = number;
    }

    /// Takes over everything of another node but its identity, as `*node = *other` does in Go.
    pub fn assign(&mut self, other: Node) {
        *self = Self { shared: self.shared, ..other };
    }
}

/// Whether a string with this text must be quoted to stay one.
fn needs_quotes(text: &str) -> bool {
    Resolver::KustomizeV3.needs_quotes(text) || is_old_notation(text)
}

/// Same content: style, comments and place do not count, but `"1"` and `1` differ. Order of entries counts.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::Scalar(a), Value::Scalar(b)) => {
                a == b && self.resolve(Resolver::KustomizeV3) == other.resolve(Resolver::KustomizeV3)
            }
            (Value::Sequence(a), Value::Sequence(b)) => a == b,
            (Value::Mapping(a), Value::Mapping(b)) => a.entries() == b.entries(),
            (Value::Alias(a), Value::Alias(b)) => a == b,
            _ => false,
        }
    }
}
