//! From an artifact to manifests: build, substitute, prepare. Pure and blocking.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use apply::{
    manager::Manager,
    object::{Manifest, NotAnObject, split_api_version},
    prepare::{CommonMetadata, Owner, PrepareError, prepare},
};
use kustomize::{
    FetchError, Fetcher, Options, RepoSpec,
    flux::Overlay,
    tree::{FileTree, MemoryTree, Trace, Traced},
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use substitute::{Limits, Variables, is_disabled, substitute_object};

/// Most questions to a tree that are taken down; a build that asks more is done every time.
const TRACED_QUESTIONS: usize = 10_000;

/// Everything that a build depends on.
pub struct Request {
    pub tree: Arc<MemoryTree>,
    /// Directory in the tree.
    pub path: String,
    pub overlay: Overlay,
    pub options: Options,
    /// Fetches bases from elsewhere; `None` refuses them.
    pub bases: Option<Arc<dyn Fetcher>>,
    /// Variables of the post-build substitution; `None` does none.
    pub variables: Option<Variables>,
    /// Whether an unset variable is an error.
    pub strict: bool,
    /// Who applies the objects, and for whom.
    pub manager: Manager,
    pub owner: Owner,
    pub common: CommonMetadata,
}

/// What a build yields.
pub struct Rendered {
    /// The objects, ready to be applied.
    pub manifests: Vec<Manifest>,
    /// `sha256:<hex>` over the built objects.
    pub digest: String,
    /// What was read of the tree, if nothing else was read.
    pub trace: Option<Trace>,
}

/// Why the objects cannot be had, in upstream's texts.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The kustomization cannot be built.
    #[error(transparent)]
    Build(#[from] kustomize::flux::Error),
    /// A built object has no form in JSON.
    #[error(transparent)]
    Json(#[from] kustomize::Error),
    /// A variable cannot be put into an object.
    #[error("post build failed for '{object}': {source}")]
    Substitute {
        /// kustomize's text for the object.
        object: String,
        /// What is wrong.
        source: substitute::Error,
    },
    /// What was built is no object of the API.
    #[error(transparent)]
    Object(#[from] NotAnObject),
    /// An object must not be applied.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
}

/// Builds the objects.
///
/// # Errors
/// See [`RenderError`].
pub fn render(request: Request) -> Result<Rendered, RenderError> {
    let Request { tree, path, overlay, options, bases, variables, strict, manager, owner, common } = request;
    let traced = Traced::new(tree.as_ref(), TRACED_QUESTIONS);
    let bases = bases.map(|bases| TrackingFetcher { bases, used: AtomicBool::new(false) });
    let fetcher = bases.as_ref().map(|bases| bases as &dyn Fetcher);
    let resources = kustomize::flux::build(&traced, &path, &overlay, &options, fetcher)?;
    let closed = bases.is_none_or(|bases| !bases.used.into_inner());
    let trace = traced.finish().filter(|_| closed);
    let (mut manifests, mut hasher) = (Vec::with_capacity(resources.len()), Sha256::new());
    for resource in resources {
        let mut value = resource.to_json()?;
        if let Some(variables) = &variables {
            value = post_build(&value, variables, strict)?;
        }
        let file = resource.origin_file().map(Arc::from);
        hasher.update(value.to_string());
        hasher.update(b"\n");
        manifests.push(Manifest::new(value, file)?);
    }
    let manifests = prepare(manifests, &manager, &owner, &common)?;
    let digest: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Rendered { manifests, digest: format!("sha256:{digest}"), trace })
}

/// Tells whether a build read anything from elsewhere.
struct TrackingFetcher {
    bases: Arc<dyn Fetcher>,
    used: AtomicBool,
}

impl Fetcher for TrackingFetcher {
    fn git(&self, spec: &RepoSpec) -> Result<Arc<dyn FileTree>, FetchError> {
        self.used.store(true, Ordering::Relaxed);
        self.bases.git(spec)
    }

    fn http(&self, url: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
        self.used.store(true, Ordering::Relaxed);
        self.bases.http(url, limit)
    }
}

/// Puts the variables into one object, unless it asks to be left alone.
fn post_build(object: &Value, variables: &Variables, strict: bool) -> Result<Value, RenderError> {
    if is_disabled(object) {
        return Ok(object.clone());
    }
    substitute_object(object, variables, strict, &Limits::default())
        .map_err(|source| RenderError::Substitute { object: resource_id(object), source })
}

/// kustomize's text for an object: `Kind.version.group/name`.
fn resource_id(object: &Value) -> String {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = split_api_version(text("/apiVersion"));
    let group = if group.is_empty() { "[noGrp]" } else { group };
    format!("{}.{version}.{group}/{}", text("/kind"), text("/metadata/name"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DEPLOYMENT: &str =
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: ${REPLICAS}\n";

    fn request(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Request {
        let mut tree = MemoryTree::default();
        files.iter().for_each(|(path, text)| tree.insert(path, text.as_bytes().to_vec()));
        Request {
            tree: Arc::new(tree),
            path: "app".into(),
            overlay: Overlay { target_namespace: Some("apps".into()), ..Overlay::default() },
            options: Options::default(),
            bases: None,
            variables: Some(Variables::new(variables.iter().copied()).unwrap()).filter(|v| !v.is_empty()),
            strict: true,
            manager: crate::MANAGER,
            owner: Owner { namespace: "flux-system".into(), name: "web".into() },
            common: CommonMetadata::default(),
        }
    }

    #[test]
    fn a_plain_directory_becomes_owned_manifests_in_the_target_namespace() {
        let rendered = render(request(&[("app/deployment.yaml", DEPLOYMENT)], &[("REPLICAS", "2")])).unwrap();
        let manifest = rendered.manifests.first().unwrap();
        assert_eq!(manifest.id().subject(), "Deployment/apps/web");
        assert_eq!(manifest.value().pointer("/spec/replicas"), Some(&Value::from(2)));
        let owner = manifest.value().pointer("/metadata/labels/kustomize.toolkit.fluxcd.io~1name");
        assert_eq!(owner, Some(&Value::from("web")));
        assert!(rendered.digest.starts_with("sha256:") && rendered.digest.len() == 71);
    }

    #[test]
    fn an_unset_variable_names_the_object_and_the_variable() {
        let error = render(request(&[("app/deployment.yaml", DEPLOYMENT)], &[("OTHER", "2")]));
        let error = error.err().unwrap().to_string();
        assert!(
            error.starts_with("post build failed for 'Deployment.v1.apps/web': envsubst error: "),
            "{error}"
        );
        assert!(error.ends_with(r#"variable not set (strict mode): "REPLICAS""#), "{error}");
    }

    #[test]
    fn equal_inputs_have_equal_digests() {
        let digest = |replicas| {
            render(request(&[("app/deployment.yaml", DEPLOYMENT)], &[("REPLICAS", replicas)])).unwrap().digest
        };
        assert_eq!(digest("2"), digest("2"));
        assert_ne!(digest("2"), digest("3"));
    }
}
