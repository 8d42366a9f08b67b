//! The artifacts that a generator produces: those of its spec, or one of each for every directory that its path pattern takes.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use api::ArtifactGenerator;
use api::artifact_generator::{CopyOperation, OutputArtifact};
use regex::Regex;

use crate::compose::Sources;
use crate::meter::{LimitError, Meter, within};
use crate::names::{invalid_label_key, invalid_label_value, invalid_subdomain};
use crate::spec::{path_alias, path_pattern};
use crate::tree::Node;

/// An artifact to produce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What the spec says of it, without captures any more.
    pub artifact: OutputArtifact,
    /// The values of the captures, which are labels of its object.
    pub labels: BTreeMap<String, String>,
}

/// Why a path pattern gives no artifacts. Only another spec or another content of the source can help.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum ExpandError {
    #[error("invalid pathPattern format: {0}")]
    Format(String),
    #[error("pathPattern \"{pattern}\": source alias {alias} not found in local sources")]
    Alias { pattern: String, alias: String },
    #[error("pathPattern \"{pattern}\": {error}")]
    Capture { pattern: String, error: CaptureError },
    #[error("pathPattern \"{pattern}\": failed to compile path pattern")]
    Compile { pattern: String, source: Box<regex::Error> },
    #[error(
        "pathPattern \"{pattern}\": capture variable \"{name}\" is not a valid Kubernetes label key: {why}"
    )]
    LabelKey { pattern: String, name: String, why: &'static str },
    #[error(
        "pathPattern \"{pattern}\": captured value \"{value}\" for variable \"{name}\" is not a valid Kubernetes label value: {why}"
    )]
    LabelValue { pattern: String, name: String, value: String, why: &'static str },
    #[error("pathPattern \"{pattern}\": failed to render artifact {artifact} for match {directory}: {error}")]
    Render { pattern: String, artifact: String, directory: String, error: CaptureError },
    #[error(
        "pathPattern \"{pattern}\": rendered artifact name \"{name}\" is not a valid Kubernetes object name: {why}"
    )]
    Name { pattern: String, name: String, why: &'static str },
    #[error(
        "pathPattern \"{pattern}\": directories \"{first}\" and \"{second}\" both resolve to artifact name \"{name}\""
    )]
    Collision { pattern: String, first: String, second: String, name: String },
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// What is wrong with the braces of a text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    #[error("invalid capture starting at offset {0}: missing closing brace")]
    Open(usize),
    #[error("invalid capture ending at offset {0}: missing opening brace")]
    Close(usize),
    #[error("empty capture variable")]
    Empty,
    #[error("capture variable \"{0}\" must be a valid capture name matching [A-Za-z_][A-Za-z0-9_]*")]
    Name(String),
    #[error("duplicate capture variable \"{0}\"")]
    Duplicate(String),
    #[error("capture variable \"{0}\" is not defined by pathPattern")]
    Undefined(String),
}

/// A piece of a text with captures.
enum Piece<'t> {
    Text(&'t str),
    Capture(&'t str),
}

/// The artifacts of a generator.
///
/// # Errors
/// See [`ExpandError`].
pub fn expand(
    object: &ArtifactGenerator,
    sources: &Sources<'_>,
    meter: &mut Meter<'_>,
) -> Result<Vec<Output>, ExpandError> {
    let artifacts = &object.spec.artifacts;
    let Some(pattern) = path_pattern(object) else {
        let output =
            |artifact: &OutputArtifact| Output { artifact: artifact.clone(), labels: BTreeMap::new() };
        return Ok(artifacts.iter().map(output).collect());
    };
    let Some((alias, path)) = path_alias(pattern) else {
        return Err(ExpandError::Format(pattern.to_owned()));
    };
    let pattern = pattern.to_owned();
    let Some(tree) = sources.get(alias) else {
        return Err(ExpandError::Alias { pattern, alias: alias.to_owned() });
    };
    let (regex, names) = compile(&pattern, path)?;
    let (mut outputs, mut directories) = (Vec::new(), HashMap::new());
    tree.visit(&mut |directory, node| {
        meter.step()?;
        let Node::Directory(_) = node else { return Ok(()) };
        let directory = String::from_utf8_lossy(directory);
        let Some(found) = regex.captures(&directory) else { return Ok(()) };
        let value =
            |name: &&str| found.name(name).map(|found| ((*name).to_owned(), found.as_str().to_owned()));
        let values: BTreeMap<_, _> = names.iter().filter_map(value).collect();
        let labels = labels(&pattern, &values)?;
        for artifact in artifacts {
            let rendered = render(artifact, &labels, &values).map_err(|error| {
                let (pattern, artifact) = (pattern.clone(), artifact.name.clone());
                ExpandError::Render { pattern, artifact, directory: directory.to_string(), error }
            })?;
            let name = rendered.name.clone();
            if let Some(why) = invalid_subdomain(&name) {
                return Err(ExpandError::Name { pattern: pattern.clone(), name, why });
            }
            if let Some(first) = directories.insert(name.clone(), directory.to_string()) {
                let second = directory.to_string();
                return Err(ExpandError::Collision { pattern: pattern.clone(), first, second, name });
            }
            outputs.push(Output { artifact: rendered, labels: labels.clone() });
            within("artifacts", outputs.len() as u64, meter.limits().artifacts as u64)?;
        }
        Ok(())
    })?;
    Ok(outputs)
}

/// The pattern as a regular expression, and the names of its captures. Each takes a part of one component.
fn compile<'p>(pattern: &str, path: &'p str) -> Result<(Regex, Vec<&'p str>), ExpandError> {
    let wrong = |error| ExpandError::Capture { pattern: pattern.to_owned(), error };
    let (mut expression, mut names) = ("^".to_owned(), Vec::new());
    for piece in pieces(path).map_err(wrong)? {
        match piece {
            Piece::Text(text) => expression.push_str(&regex::escape(text)),
            Piece::Capture(name) if names.contains(&name) => {
                return Err(wrong(CaptureError::Duplicate(name.to_owned())));
            }
            Piece::Capture(name) => {
                names.push(name);
                let _ = write!(expression, "(?P<{name}>[^/]+)");
            }
        }
    }
    expression.push('$');
    for name in &names {
        if let Some(why) = invalid_label_key(name) {
            return Err(ExpandError::LabelKey { pattern: pattern.to_owned(), name: (*name).to_owned(), why });
        }
    }
    let regex = Regex::new(&expression)
        .map_err(|source| ExpandError::Compile { pattern: pattern.to_owned(), source: source.into() })?;
    Ok((regex, names))
}

/// The values as labels have them: in lower case, and nothing that no label can be.
fn labels(pattern: &str, values: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ExpandError> {
    let label = |(name, value): (&String, &String)| {
        let (name, value) = (name.clone(), value.to_lowercase());
        match invalid_label_value(&value) {
            Some(why) => Err(ExpandError::LabelValue { pattern: pattern.to_owned(), name, value, why }),
            None => Ok((name, value)),
        }
    };
    values.iter().map(label).collect()
}

fn render(
    artifact: &OutputArtifact,
    labels: &BTreeMap<String, String>,
    values: &BTreeMap<String, String>,
) -> Result<OutputArtifact, CaptureError> {
    let copy = |copy: &CopyOperation| {
        let (from, to) = (replaced(&copy.from, values)?, replaced(&copy.to, values)?);
        Ok(CopyOperation { from, to, ..copy.clone() })
    };
    Ok(OutputArtifact {
        name: replaced(&artifact.name, labels)?,
        copy: artifact.copy.iter().map(copy).collect::<Result<_, _>>()?,
        ..artifact.clone()
    })
}

fn replaced(text: &str, values: &BTreeMap<String, String>) -> Result<String, CaptureError> {
    let mut result = String::new();
    for piece in pieces(text)? {
        result.push_str(match piece {
            Piece::Text(text) => text,
            Piece::Capture(name) => {
                values.get(name).ok_or_else(|| CaptureError::Undefined(name.to_owned()))?
            }
        });
    }
    Ok(result)
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, CaptureError> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    let offset = |rest: &str| text.len() - rest.len();
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        let Some(after) = from.strip_prefix('{') else { return Err(CaptureError::Close(offset(from))) };
        let Some((name, after)) = after.split_once('}') else {
            return Err(CaptureError::Open(offset(from)));
        };
        if name.is_empty() {
            return Err(CaptureError::Empty);
        }
        let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_word || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(CaptureError::Name(name.to_owned()));
        }
        pieces.extend([Piece::Text(before), Piece::Capture(name)]);
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::time::Duration;

    use net::Deadline;
    use serde_json::{Value, json};

    use super::*;
    use crate::meter::Limits;
    use crate::test_tree::tree;

    fn expanded(pattern: &str, artifacts: Value, files: &[&str]) -> Result<Vec<Output>, String> {
        let source = json!({"alias": "a", "kind": "GitRepository", "name": "a"});
        let spec = json!({"sources": [source], "artifacts": artifacts, "pathPattern": pattern});
        let object = serde_json::from_value(json!({"metadata": {"name": "g"}, "spec": spec})).unwrap();
        let tree = tree(&files.iter().map(|file| (*file, "")).collect::<Vec<_>>());
        let limits = Limits { artifacts: 4, ..Limits::default() };
        let deadline = Deadline::new(Duration::from_secs(60));
        expand(&object, &Sources::from([("a", &tree)]), &mut Meter::new(&limits, &deadline))
            .map_err(|error| error.to_string())
    }

    fn named(name: &str) -> Value {
        json!([{"name": name, "copy": [{"from": "@a/apps/{app}/**", "to": "@artifact/{app}/"}]}])
    }

    #[test]
    fn a_path_pattern_gives_an_artifact_for_each_directory() {
        let files = ["apps/One/prod/k", "apps/two/prod/k", "apps/two/dev/k", "apps/file", "other/x/prod/k"];
        let outputs = expanded("@a/apps/{app}/{env}", named("{app}-{env}"), &files).unwrap();
        let names: Vec<_> = outputs.iter().map(|output| output.artifact.name.as_str()).collect();
        assert_eq!(names, ["one-prod", "two-dev", "two-prod"]);
        let first = &outputs[0];
        assert_eq!(
            first.labels,
            BTreeMap::from([("app", "one"), ("env", "prod")].map(|(k, v)| (k.into(), v.into())))
        );
        let copy = &first.artifact.copy[0];
        assert_eq!((copy.from.as_str(), copy.to.as_str()), ("@a/apps/One/**", "@artifact/One/"), "as it is");
        assert_eq!(expanded("@a/none/{app}", named("{app}"), &files).unwrap(), []);
        let part = expanded("@a/app{app}", named("x{app}"), &files).unwrap();
        assert_eq!(part[0].artifact.name, "xs", "a part of a component");
        let dots = expanded("@a/a.p/{app}", named("{app}"), &["axp/x/k", "a.p/y/k"]).unwrap();
        assert_eq!(dots.len(), 1, "a dot is a dot");
    }

    #[test]
    fn without_a_path_pattern_the_artifacts_are_those_of_the_spec() {
        let outputs = expanded("", named("{app}"), &[]).unwrap();
        assert_eq!((outputs.len(), outputs[0].artifact.name.as_str()), (1, "{app}"));
    }

    #[test]
    fn what_a_path_pattern_cannot_give_is_named() {
        let files = ["apps/A/k", "apps/a/k"];
        for (pattern, name, text) in [
            ("@a/{app", "x", "invalid capture starting at offset 0: missing closing brace"),
            ("@a/x/app}", "x", "invalid capture ending at offset 5: missing opening brace"),
            ("@a/{}", "x", "empty capture variable"),
            (
                "@a/{1a}",
                "x",
                "capture variable \"1a\" must be a valid capture name matching [A-Za-z_][A-Za-z0-9_]*",
            ),
            ("@a/{app}/{app}", "x", "duplicate capture variable \"app\""),
            ("@b/{app}", "x", "source alias b not found in local sources"),
            (
                "@a/apps/{app}",
                "{env}",
                "failed to render artifact {env} for match apps/A: capture variable \"env\" is not defined by pathPattern",
            ),
            (
                "@a/apps/{app}",
                "{app}",
                "directories \"apps/A\" and \"apps/a\" both resolve to artifact name \"a\"",
            ),
        ] {
            let error = expanded(pattern, named(name), &files).unwrap_err();
            assert_eq!(error, format!("pathPattern \"{pattern}\": {text}"));
        }
        for (files, pattern, text) in [
            (
                ["apps/-x/k"],
                "@a/apps/{app}",
                "captured value \"-x\" for variable \"app\" is not a valid Kubernetes label value: ",
            ),
            (
                ["apps/x/k"],
                "@a/apps/{_app}",
                "capture variable \"_app\" is not a valid Kubernetes label key: ",
            ),
            (
                ["apps/x_y/k"],
                "@a/apps/{app}",
                "rendered artifact name \"x_y\" is not a valid Kubernetes object name: ",
            ),
        ] {
            let error = expanded(pattern, named("{app}"), &files).unwrap_err();
            assert!(error.starts_with(&format!("pathPattern \"{pattern}\": {text}")), "{error}");
        }
    }

    #[test]
    fn a_path_pattern_has_a_limit_of_artifacts() {
        let files = ["apps/1/k", "apps/2/k", "apps/3/k", "apps/4/k", "apps/5/k"];
        let error = expanded("@a/apps/{app}", named("{app}"), &files).unwrap_err();
        assert_eq!(error, "the limit of 4 artifacts is exceeded");
    }
}
