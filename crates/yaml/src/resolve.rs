//! Which type a scalar has.

use std::borrow::Cow;

use crate::{Error, Style};

/// Whose rules decide a scalar's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// sigs.k8s.io/yaml over go-yaml v2, before the API server: `yes`, `on`, `y` are booleans, dates are strings.
    KubernetesV2,
    /// go-yaml v3 inside kustomize: `yes` is a string, `2020-01-01` a timestamp.
    KustomizeV3,
}

/// A scalar's type and value.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Resolved<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`.
    Uint(u64),
    Float(f64),
    /// RFC 3339 text as Go's `time.Time` marshals it.
    Timestamp(String),
    String(Cow<'a, str>),
}

impl Resolver {
    pub(crate) fn resolve<'a>(
        self,
        text: &'a str,
        style: Style,
        tag: &str,
        line: u32,
    ) -> Result<Resolved<'a>, Error> {
        let _ = (text, style, tag, line, self);
        todo!()
    }
}
