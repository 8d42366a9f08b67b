use gotemplate::value::{List, Object, Text, Type};
use gotemplate::{Function, Value};

/// What the cluster, and who renders, can do: `.Capabilities`.
#[derive(Debug, Clone)]
pub struct Capabilities {
    /// The version of Kubernetes.
    pub kube_version: KubeVersion,
    /// What is served, such as `v1`, `apps/v1` and `apps/v1/Deployment`.
    pub api_versions: Vec<String>,
    /// The version of Helm that this behaves as.
    pub helm_version: HelmVersion,
}

/// A version of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeVersion {
    version: String,
    normalized: Option<String>,
    major: String,
    minor: String,
}

/// A text is no version of Kubernetes; the words are those of its library.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubeVersionError {
    /// There are no numbers at its beginning.
    #[error("could not parse {0:?} as version")]
    Unreadable(String),
    /// There is one number alone.
    #[error("illegal version string {0:?}")]
    Illegal(String),
}

impl KubeVersion {
    /// What a cluster says of itself at `/version`.
    pub fn discovered(git_version: &str, major: &str, minor: &str) -> Self {
        let (version, major, minor) = (git_version.to_owned(), major.to_owned(), minor.to_owned());
        Self { version, normalized: None, major, minor }
    }

    /// What a user writes. Ranges of charts are compared with its numbers alone, whatever comes behind them.
    ///
    /// # Errors
    /// It does not begin with two numbers.
    pub fn parse(text: &str) -> Result<Self, KubeVersionError> {
        let start = text.trim_start();
        let start = start.strip_prefix('v').unwrap_or(start);
        let mut components: Vec<u64> = Vec::new();
        let mut rest = start;
        loop {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, after) = rest.split_at(digits);
            let Ok(number) = number.parse() else { break };
            components.push(number);
            match after.strip_prefix('.') {
                Some(after) => rest = after,
                None => break,
            }
        }
        let [major, minor, ..] = components.as_slice() else {
            return Err(match components.is_empty() {
                true => KubeVersionError::Unreadable(text.to_owned()),
                false => KubeVersionError::Illegal(text.to_owned()),
            });
        };
        let numbers: Vec<String> = components.iter().map(u64::to_string).collect();
        let version = if text.starts_with('v') { text.to_owned() } else { format!("v{text}") };
        let normalized = Some(format!("v{}", numbers.join(".")));
        Ok(Self { version, normalized, major: major.to_string(), minor: minor.to_string() })
    }

    /// The whole version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What ranges are compared with.
    pub fn comparable(&self) -> &str {
        self.normalized.as_deref().unwrap_or(&self.version)
    }
}

/// `.Capabilities.HelmVersion`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelmVersion {
    /// Such as `v4.3`.
    pub version: String,
    /// The commit that it was built from.
    pub git_commit: String,
    /// Whether that was changed.
    pub git_tree_state: String,
    /// The version of Go.
    pub go_version: String,
    /// The version of the client library of Kubernetes.
    pub kube_client_version: String,
}

/// As helm-controller of Flux 2.10 is built: on Helm 4.3 as a library, which knows neither its patch nor its commit.
impl Default for HelmVersion {
    fn default() -> Self {
        Self {
            version: "v4.3".to_owned(),
            git_commit: String::new(),
            git_tree_state: String::new(),
            go_version: "go1.27".to_owned(),
            kube_client_version: "v1.37".to_owned(),
        }
    }
}

impl Object for Capabilities {
    fn go_type(&self) -> &'static str {
        "*common.Capabilities"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("KubeVersion", Value::object(self.kube_version.clone())),
            ("APIVersions", Value::object(VersionSet::of(&self.api_versions))),
            ("HelmVersion", Value::object(self.helm_version.clone())),
        ]
    }
}

impl Object for KubeVersion {
    fn go_type(&self) -> &'static str {
        "common.KubeVersion"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("Version", self.version.as_str().into()),
            ("Major", self.major.as_str().into()),
            ("Minor", self.minor.as_str().into()),
        ]
    }

    fn method(&self, name: &str) -> Option<Function> {
        let text = Text::from(match name {
            "String" => self.comparable(),
            "GitVersion" => self.version(),
            _ => return None,
        });
        Some(Function::new(&[], Type::String, move |_, _| Ok(Value::String(text.clone()))))
    }

    fn all_fields(&self) -> Vec<(&'static str, Value)> {
        let normalized = self.normalized.as_deref().unwrap_or_default();
        let mut fields = self.fields();
        fields.insert(1, ("normalizedVersion", normalized.into()));
        fields
    }

    fn pointer_text(&self) -> Option<Text> {
        Some(self.comparable().into())
    }
}

impl Object for HelmVersion {
    fn go_type(&self) -> &'static str {
        "version.BuildInfo"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("Version", self.version.as_str().into()),
            ("GitCommit", self.git_commit.as_str().into()),
            ("GitTreeState", self.git_tree_state.as_str().into()),
            ("GoVersion", self.go_version.as_str().into()),
            ("KubeClientVersion", self.kube_client_version.as_str().into()),
        ]
    }

    fn json_fields(&self) -> Vec<(&'static str, Value)> {
        let optional = [
            ("version", &self.version),
            ("git_commit", &self.git_commit),
            ("git_tree_state", &self.git_tree_state),
            ("go_version", &self.go_version),
        ];
        let given = optional.into_iter().filter(|(_, text)| !text.is_empty());
        let all = given.chain([("kube_client_version", &self.kube_client_version)]);
        all.map(|(name, text)| (name, text.as_str().into())).collect()
    }
}

/// A list of versions that can be asked for one.
#[derive(Debug)]
struct VersionSet(List);

impl VersionSet {
    fn of(names: &[String]) -> Self {
        Self(List::new(&Type::String, names.iter().map(|name| Value::from(name.as_str())).collect()))
    }
}

impl Object for VersionSet {
    fn go_type(&self) -> &'static str {
        "common.VersionSet"
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::List(self.0.clone()))
    }

    fn method(&self, name: &str) -> Option<Function> {
        let names = self.0.clone();
        (name == "Has").then(|| {
            Function::new(&[Type::String], Type::Bool, move |context, arguments| {
                context.step(names.len())?;
                let has = |wanted: &Text| names.iter().any(|n| matches!(n, Value::String(n) if n == wanted));
                Ok(matches!(arguments, [Value::String(wanted)] if has(wanted)).into())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn the_version_of_helm_has_other_names_in_json() {
        let fields = HelmVersion::default().json_fields();
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["version", "go_version", "kube_client_version"]);
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (text, version, comparable, minor) in [
            ("1.33.0", "v1.33.0", "v1.33.0", "33"),
            ("v1.31.2-eks-1234", "v1.31.2-eks-1234", "v1.31.2", "31"),
            ("1.30", "v1.30", "v1.30", "30"),
            ("v1.29+x", "v1.29+x", "v1.29", "29"),
        ] {
            let parsed = KubeVersion::parse(text).unwrap();
            assert_eq!((parsed.version(), parsed.comparable()), (version, comparable));
            assert_eq!(parsed.minor, minor);
        }
        let message = |text| KubeVersion::parse(text).unwrap_err().to_string();
        assert_eq!(message("x"), "could not parse \"x\" as version");
        assert_eq!(message("v1"), "illegal version string \"v1\"");
        let discovered = KubeVersion::discovered("v1.33.4-gke.1", "1", "33+");
        assert_eq!(discovered.comparable(), "v1.33.4-gke.1");
    }
}
