//! Where a comparison is: in the value, and among the schemas.

use crate::pointer::escape;
use crate::schema::{Id, Schemas};

/// A place in a value: the last token, and what is around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'f> {
    pub(crate) around: Option<&'f Place<'f>>,
    pub(crate) token: Token<'f>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Token<'f> {
    Root,
    Key(&'f str),
    Index(usize),
}

impl Place<'_> {
    pub(crate) const ROOT: Self = Self { around: None, token: Token::Root };

    pub(crate) fn pointer(&self) -> String {
        let mut tokens = Vec::new();
        let mut place = Some(self);
        while let Some(here) = place {
            match here.token {
                Token::Root => {}
                Token::Key(key) => tokens.push(escape(key)),
                Token::Index(index) => tokens.push(index.to_string()),
            }
            place = here.around;
        }
        let mut pointer = String::new();
        for token in tokens.iter().rev() {
            pointer.push('/');
            pointer.push_str(token);
        }
        pointer
    }
}

/// A schema that is being compared, and the one that led to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'f> {
    pub(crate) around: Option<&'f Scope<'f>>,
    pub(crate) schema: Id,
    /// The keyword of a reference; empty where a schema lies within the other.
    pub(crate) keyword: &'static str,
    /// Which value along the way is being compared.
    pub(crate) value: usize,
    /// How many schemas around are compared with the same value.
    pub(crate) same: usize,
    /// How many schemas are around.
    pub(crate) depth: usize,
}

impl<'f> Scope<'f> {
    pub(crate) fn all(&'f self) -> impl Iterator<Item = &'f Self> {
        std::iter::successors(Some(self), |scope| scope.around)
    }

    /// Where the same schema is being compared with the same value already.
    pub(crate) fn repeated(&'f self) -> Option<&'f Self> {
        let same_value = self.all().skip(1).take_while(|scope| scope.value == self.value);
        same_value.into_iter().find(|scope| scope.schema == self.schema)
    }

    /// The keywords that lead here.
    pub(crate) fn path(&self, schemas: &Schemas<'_>) -> String {
        let location = |scope: &Scope<'_>| schemas.get(scope.schema).map_or("", |schema| &schema.location);
        let mut parts = Vec::new();
        let mut scope = self;
        while let Some(around) = scope.around {
            parts.push(match scope.keyword {
                "" => location(scope).get(location(around).len()..).unwrap_or_default().to_owned(),
                keyword => format!("/{}", escape(keyword)),
            });
            scope = around;
        }
        parts.into_iter().rev().collect()
    }
}
