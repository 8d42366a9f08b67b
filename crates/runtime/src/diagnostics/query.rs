//! What somebody asks `/debug/objects` for.

use std::fmt;

/// Objects in one answer, if the query wants no fewer. Each is some hundred bytes.
const PAGE: usize = 500;

/// Which objects are asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// `kind`, as in `Kustomization`.
    pub kind: Option<String>,
    /// `namespace`.
    pub namespace: Option<String>,
    /// `name`.
    pub name: Option<String>,
    /// `limit`: how many objects, at least one.
    pub limit: usize,
    /// `continue`: those after this one alone.
    pub after: Option<Place>,
}

/// Where an object stands in the order of all: by kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    kind: String,
    namespace: String,
    name: String,
}

/// A query that makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    /// There is no such parameter.
    #[error("unknown parameter {0:?}: kind, namespace, name, limit and continue are known")]
    Unknown(String),
    /// `limit` is no number, or 0.
    #[error("limit has to be a number from 1 to {PAGE}")]
    Limit,
    /// `continue` is not what an earlier answer gave.
    #[error("continue has to be what the answer before it gave")]
    Continue,
}

impl Query {
    /// Reads the part of a URL after the question mark.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let mut query = Self { kind: None, namespace: None, name: None, limit: PAGE, after: None };
        for (parameter, value) in url::form_urlencoded::parse(text.as_bytes()) {
            let value = value.into_owned();
            match &*parameter {
                "kind" => query.kind = Some(value),
                "namespace" => query.namespace = Some(value),
                "name" => query.name = Some(value),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=PAGE).contains(limit));
                    query.limit = limit.ok_or(QueryError::Limit)?;
                }
                "continue" => query.after = Some(Place::parse(&value).ok_or(QueryError::Continue)?),
                unknown => return Err(QueryError::Unknown(unknown.to_owned())),
            }
        }
        Ok(query)
    }

    /// Whether objects of a kind are asked for. Case does not count, as for kubectl.
    pub fn concerns(&self, kind: &str) -> bool {
        self.kind.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(kind))
    }

    /// Whether an object of a kind that is asked for is asked for.
    pub fn takes(&self, kind: &str, namespace: &str, name: &str) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|wanted| wanted == value);
        let is_after = |after: &Place| {
            (kind, namespace, name) > (after.kind.as_str(), after.namespace.as_str(), after.name.as_str())
        };
        is(&self.namespace, namespace) && is(&self.name, name) && self.after.as_ref().is_none_or(is_after)
    }
}

impl Place {
    /// Where such an object stands.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let place = Self::new(parts.next()?, parts.next()?, parts.next()?);
        parts.next().is_none().then_some(place)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_query_takes_what_it_names_and_what_comes_after_its_place() {
        let takes = |text: &str| {
            let query = Query::parse(text).unwrap();
            query.concerns("GitRepository") && query.takes("GitRepository", "b", "m")
        };
        for (text, taken) in [
            ("", true),
            ("kind=gitrepository&namespace=b&name=m", true),
            ("kind=Kustomization", false),
            ("namespace=a", false),
            ("name=n", false),
            ("continue=GitRepository/b/l", true),
            ("continue=GitRepository%2Fb%2Fm", false),
            ("continue=GitRepository/a/z", true),
            ("continue=GitRepository/c/a", false),
            ("continue=Bucket/c/a", true),
            ("continue=OCIRepository/a/a", false),
        ] {
            assert_eq!(takes(text), taken, "{text}");
        }
    }

    #[test]
    fn a_query_that_makes_no_sense_is_refused() {
        for (text, error) in [
            ("limit=0", QueryError::Limit),
            ("limit=501", QueryError::Limit),
            ("limit=all", QueryError::Limit),
            ("continue=x", QueryError::Continue),
            ("continue=a/b/c/d", QueryError::Continue),
            ("nmae=x", QueryError::Unknown("nmae".to_owned())),
        ] {
            assert_eq!(Query::parse(text), Err(error), "{text}");
        }
    }
}
