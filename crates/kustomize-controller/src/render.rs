//! From an artifact to manifests: build, substitute, prepare. Pure and blocking.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use apply::{
    manager::Manager,
    mask::Mask,
    object::{Manifest, NotAnObject, ObjectId, split_api_version},
    prepare::{CommonMetadata, Owner, PrepareError, prepare},
};
use artifact::digest::{Algorithm, Hasher};
use kustomize::{
    Budget, FetchError, Fetcher, Options, RepoSpec, Repository,
    flux::{Decryptor, Overlay},
    tree::{MemoryTree, Trace, Traced},
};
use net::Deadline;
use serde_json::Value;
use substitute::{Limits, Variables, is_disabled, substitute_object};

use crate::{
    decryption::{DecryptError, ImportError, KeyRing, Keys, Sops},
    variables::Loaded,
};

/// Most questions to a tree that are taken down; a build that asks more is done every time.
const TRACED_QUESTIONS: usize = 10_000;

/// Everything that a build depends on.
#[derive(Clone)]
pub struct Request {
    pub tree: Arc<MemoryTree>,
    /// Directory in the tree.
    pub path: String,
    pub overlay: Overlay,
    pub options: Options,
    /// Fetches bases from elsewhere; `None` refuses them.
    pub bases: Option<Arc<dyn Bases>>,
    /// Variables of the post-build substitution; `None` does none.
    pub variables: Option<Arc<Loaded>>,
    /// Keys of what is encrypted; `None` decrypts nothing.
    pub keys: Option<Arc<Keys>>,
    /// Whether an unset variable is an error.
    pub strict: bool,
    /// Who applies the objects, and for whom.
    pub manager: Manager,
    pub owner: Owner,
    pub common: CommonMetadata,
}

/// Fetches bases from elsewhere, each until the deadline of the build that needs it, and no longer when that is cancelled.
pub trait Bases: Send + Sync {
    /// See [`Fetcher::git`].
    ///
    /// # Errors
    /// See there.
    fn git(&self, spec: &RepoSpec, limit: u64, deadline: &Deadline) -> Result<Repository, FetchError>;

    /// See [`Fetcher::http`].
    ///
    /// # Errors
    /// See there.
    fn http(&self, url: &str, limit: usize, deadline: &Deadline) -> Result<Vec<u8>, FetchError>;
}

/// What a fetch says whose build has no time left, or is given up.
pub fn build_is_over() -> FetchError {
    FetchError::Failed("the time of the build is over".to_owned())
}

/// What a build yields.
pub struct Rendered {
    /// The objects, ready to be applied.
    pub manifests: Vec<Manifest>,
    /// `sha256:<hex>` over the text of the built objects, which is that of Flux.
    pub digest: String,
    /// Jobs among them that remove themselves when they are done.
    pub vanishing: HashSet<ObjectId>,
    /// Values in them that no message may show.
    pub secrets: Mask,
    /// What was read of the tree, if nothing else was read.
    pub trace: Option<Trace>,
    /// Nodes of the objects.
    pub nodes: u64,
}

/// Why the objects cannot be had, in upstream's texts.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The kustomization cannot be built. The text tells all of the cause.
    #[error("{cause}{}", flag(cause.budget()))]
    Build {
        /// What kustomize says.
        cause: kustomize::flux::Error,
    },
    /// The objects are larger than what a build may yield.
    #[error("the built objects have more than {0} bytes (--build-max-bytes)")]
    TooLarge(u64),
    /// The objects have more nodes than a build may yield.
    #[error("the built objects have more than {0} nodes (--build-max-nodes)")]
    TooManyNodes(u64),
    /// Nobody waits for the objects any longer.
    #[error("the build was cancelled")]
    Cancelled,
    /// A built object has no form in JSON.
    #[error(transparent)]
    Json(#[from] kustomize::Error),
    /// The keys of what is encrypted are none.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// An object cannot be decrypted.
    #[error("decryption failed for '{object}'{}: {source}", in_file(.file.as_ref()))]
    Decrypt {
        /// kustomize's text for the object.
        object: String,
        /// The file the object was built from.
        file: Option<Arc<str>>,
        /// What is wrong.
        source: DecryptError,
    },
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
    /// One of the others, without the secret values that its text quotes.
    #[error("{text}")]
    Masked {
        /// What is shown of it.
        text: String,
        /// See [`RenderError::may_need_more`].
        may_need_more: bool,
    },
}

impl From<kustomize::flux::Error> for RenderError {
    fn from(cause: kustomize::flux::Error) -> Self {
        Self::Build { cause }
    }
}

impl RenderError {
    /// Whether the build could go further with more nodes and bytes.
    pub fn may_need_more(&self) -> bool {
        match self {
            Self::Build { cause } => cause.budget().is_some(),
            Self::TooLarge(_) | Self::TooManyNodes(_) => true,
            Self::Substitute { source, .. } => {
                matches!(source, substitute::Error::Limit { .. } | substitute::Error::Yaml(_))
            }
            Self::Masked { may_need_more, .. } => *may_need_more,
            Self::Cancelled
            | Self::Json(_)
            | Self::Import(_)
            | Self::Decrypt { .. }
            | Self::Object(_)
            | Self::Prepare(_) => false,
        }
    }
}

/// Where an object was written, as messages go on after its name.
fn in_file(file: Option<&Arc<str>>) -> String {
    file.map(|file| format!(" in {file}")).unwrap_or_default()
}

/// What to add to a message about a limit that an argument of the process moves.
fn flag(budget: Option<Budget>) -> &'static str {
    match budget {
        Some(Budget::Nodes) => " (--build-max-nodes)",
        Some(Budget::Bytes) => " (--build-max-bytes)",
        None => "",
    }
}

/// Builds the objects. Fetches of bases end with the deadline; the cancellation of the options ends the rest.
///
/// # Errors
/// See [`RenderError`].
pub fn render(mut request: Request, deadline: &Deadline) -> Result<Rendered, RenderError> {
    let (loaded, keys) = (request.variables.take(), request.keys.take());
    let ring = keys.as_deref().map(|keys| KeyRing::new(keys, deadline)).transpose()?;
    let sops = ring.as_ref().map(|ring| Sops::new(ring, ring.tried(), request.manager));
    let rendered =
        objects(request, loaded.as_deref().map(|loaded| &loaded.variables), sops.as_ref(), deadline);
    let mut secrets = loaded.as_ref().map(|loaded| loaded.secrets.clone()).unwrap_or_default();
    if let Some(sops) = sops {
        secrets = secrets.and(&sops.secrets());
    }
    match rendered {
        Ok(rendered) => Ok(Rendered { secrets, ..rendered }),
        Err(error) => Err(masked(error, &secrets)),
    }
}

fn masked(error: RenderError, secrets: &Mask) -> RenderError {
    let text = error.to_string();
    let shown = secrets.apply(&text);
    if shown == text {
        return error;
    }
    RenderError::Masked { text: shown, may_need_more: error.may_need_more() }
}

/// The objects, without the secrets of [`Rendered`].
fn objects(
    request: Request,
    variables: Option<&Variables>,
    sops: Option<&Sops<'_>>,
    deadline: &Deadline,
) -> Result<Rendered, RenderError> {
    let Request { tree, path, overlay, options, bases, strict, manager, owner, common, .. } = request;
    let traced = Traced::new(tree.as_ref(), TRACED_QUESTIONS);
    let bases = bases.map(|bases| BuildFetcher { bases, deadline, used: AtomicBool::new(false) });
    let fetcher = bases.as_ref().map(|bases| bases as &dyn Fetcher);
    let files = sops.map(|sops| sops as &dyn Decryptor);
    let resources = kustomize::flux::build(&traced, &path, &overlay, &options, fetcher, files)?;
    let closed = bases.is_none_or(|bases| !bases.used.into_inner());
    let trace = traced.finish().filter(|_| closed);
    let (mut manifests, mut hasher) = (Vec::with_capacity(resources.len()), Hasher::new(Algorithm::Sha256));
    let (mut bytes_left, mut nodes_left) = (options.limits.total_bytes, options.limits.nodes);
    let substitution = substitution_limits(&options);
    for resource in resources {
        if options.cancel.is_cancelled() {
            return Err(RenderError::Cancelled);
        }
        let file: Option<Arc<str>> = resource.origin_file().map(Arc::from);
        let mut value = resource.to_json()?;
        if let Some(sops) = sops {
            let (object, file) = (resource_id(&value), file.clone());
            value = sops.object(value).map_err(|source| RenderError::Decrypt { object, file, source })?;
        }
        if let Some(variables) = variables {
            value = post_build(&value, variables, strict, &substitution)?;
        }
        // As upstream, over what `kustomize build` would print: the history goes on when one takes over from the other.
        let text = kustomize::object_to_yaml(&value);
        bytes_left = bytes_left
            .checked_sub(text.len() as u64)
            .ok_or(RenderError::TooLarge(options.limits.total_bytes))?;
        nodes_left = nodes_left
            .checked_sub(count_nodes(&value))
            .ok_or(RenderError::TooManyNodes(options.limits.nodes))?;
        if !manifests.is_empty() {
            hasher.update(b"---\n");
        }
        hasher.update(text.as_bytes());
        manifests.push(Manifest::new(value, file)?);
    }
    let manifests = prepare(manifests, &manager, &owner, &common)?;
    let vanishing = manifests.iter().filter(|manifest| vanishes(manifest)).map(Manifest::id).collect();
    let (digest, nodes) = (hasher.finish().to_string(), options.limits.nodes - nodes_left);
    Ok(Rendered { manifests, digest, vanishing, secrets: Mask::default(), trace, nodes })
}

/// Whether an object is a Job that removes itself when it is done.
fn vanishes(manifest: &Manifest) -> bool {
    manifest.kind() == "Job" && manifest.value().pointer("/spec/ttlSecondsAfterFinished").is_some()
}

/// The fetcher of one build: tells whether it was used, and ends with the build.
struct BuildFetcher<'a> {
    bases: Arc<dyn Bases>,
    deadline: &'a Deadline,
    used: AtomicBool,
}

impl BuildFetcher<'_> {
    fn use_once(&self) -> Result<(), FetchError> {
        self.used.store(true, Ordering::Relaxed);
        if self.deadline.is_over() {
            return Err(build_is_over());
        }
        Ok(())
    }
}

impl Fetcher for BuildFetcher<'_> {
    fn git(&self, spec: &RepoSpec, limit: u64) -> Result<Repository, FetchError> {
        self.use_once()?;
        self.bases.git(spec, limit, self.deadline)
    }

    fn http(&self, url: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
        self.use_once()?;
        self.bases.http(url, limit, self.deadline)
    }
}

/// Puts the variables into one object, unless it asks to be left alone.
fn post_build(
    object: &Value,
    variables: &Variables,
    strict: bool,
    limits: &Limits,
) -> Result<Value, RenderError> {
    if is_disabled(object) {
        return Ok(object.clone());
    }
    substitute_object(object, variables, strict, limits)
        .map_err(|source| RenderError::Substitute { object: resource_id(object), source })
}

/// One object may not become larger than all may.
fn substitution_limits(options: &Options) -> Limits {
    let mut limits = Limits::default();
    let within = |limit: u64, own: usize| usize::try_from(limit).unwrap_or(own).min(own);
    limits.output_bytes = within(options.limits.total_bytes, limits.output_bytes);
    limits.yaml.nodes = within(options.limits.nodes, limits.yaml.nodes);
    limits
}

/// The values in a value, itself included. Objects that were read from text are not nested deeply.
fn count_nodes(value: &Value) -> u64 {
    match value {
        Value::Array(items) => 1 + items.iter().map(count_nodes).sum::<u64>(),
        Value::Object(fields) => 1 + fields.values().map(count_nodes).sum::<u64>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
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
    use sops::{KeyBytes, KeyError, KeyService, MasterKey};

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
            variables: (!variables.is_empty()).then(|| {
                Arc::new(Loaded {
                    variables: Variables::new(variables.iter().copied()).unwrap(),
                    secrets: Mask::new(variables.iter().map(|(_, value)| value)),
                })
            }),
            keys: None,
            strict: true,
            manager: crate::MANAGER,
            owner: Owner { namespace: "flux-system".into(), name: "web".into() },
            common: CommonMetadata::default(),
        }
    }

    fn build(request: Request) -> Result<Rendered, RenderError> {
        render(request, &Deadline::new(std::time::Duration::from_secs(3600)))
    }

    #[test]
    fn a_plain_directory_becomes_owned_manifests_in_the_target_namespace() {
        let rendered = build(request(&[("app/deployment.yaml", DEPLOYMENT)], &[("REPLICAS", "2")])).unwrap();
        let manifest = rendered.manifests.first().unwrap();
        assert_eq!(manifest.id().subject(), "Deployment/apps/web");
        assert_eq!(manifest.value().pointer("/spec/replicas"), Some(&Value::from(2)));
        let owner = manifest.value().pointer("/metadata/labels/kustomize.toolkit.fluxcd.io~1name");
        assert_eq!(owner, Some(&Value::from("web")));
        assert!(rendered.digest.starts_with("sha256:") && rendered.digest.len() == 71);
    }

    #[test]
    fn an_unset_variable_names_the_object_and_the_variable() {
        let error = build(request(&[("app/deployment.yaml", DEPLOYMENT)], &[("OTHER", "2")]));
        let error = error.err().unwrap().to_string();
        assert!(
            error.starts_with("post build failed for 'Deployment.v1.apps/web': envsubst error: "),
            "{error}"
        );
        assert!(error.ends_with(r#"variable not set (strict mode): "REPLICAS""#), "{error}");
    }

    /// Has no key at all.
    struct NoKeys;

    impl KeyService for NoKeys {
        fn unwrap(&self, _key: &MasterKey) -> Result<KeyBytes, KeyError> {
            Err(KeyError::new("no key fits"))
        }
    }

    #[test]
    fn what_cannot_be_decrypted_is_named_with_its_file() {
        let document = include_str!("../../sops/tests/fixtures/encrypted_regex.json.enc");
        let mut secret: Value = serde_json::from_str(document).unwrap();
        for (field, value) in [("kind", "Secret".into()), ("apiVersion", "v1".into())] {
            secret.as_object_mut().unwrap().insert(field.to_owned(), value);
        }
        secret.as_object_mut().unwrap().insert("metadata".to_owned(), serde_json::json!({"name": "token"}));
        let mut request = request(
            &[
                ("app/kustomization.yaml", "resources: [team]\n"),
                ("app/team/kustomization.yaml", "resources: [secret.yaml]\n"),
                ("app/team/secret.yaml", &secret.to_string()),
            ],
            &[],
        );
        request.overlay.target_namespace = None;
        let sops = Sops::new(&NoKeys, "Nowhere.".to_owned(), crate::MANAGER);
        let deadline = Deadline::new(std::time::Duration::from_secs(3600));
        let error = objects(request, None, Some(&sops), &deadline).err().unwrap().to_string();
        let start = "decryption failed for 'Secret.v1.[noGrp]/token' in app/team/secret.yaml: \
                     failed to decrypt and format '/token' Secret data: cannot get sops data key: ";
        assert!(
            error.starts_with(start) && error.contains("no key fits") && error.ends_with("\n\nNowhere."),
            "{error}"
        );
    }

    #[test]
    fn secret_values_are_in_no_error() {
        for value in
            ["*hunter2", "!hunter2 x", "'hunter2", "[hunter2", "&hunter2 a: b: c", "{a: hunter2, a: b}"]
        {
            let Err(error) = build(request(&[("app/deployment.yaml", DEPLOYMENT)], &[("REPLICAS", value)]))
            else {
                continue;
            };
            assert!(!error.to_string().contains("hunter2"), "{value}: {error}");
        }
    }

    #[test]
    fn the_digest_is_that_of_the_text_that_flux_takes_it_of() {
        let map = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: NAME}\ndata: {b: '${REPLICAS}', a: x}\n";
        let files = [("app/a.yaml", &*map.replace("NAME", "a")), ("app/b.yaml", &*map.replace("NAME", "b"))];
        let document = |name: &str| {
            format!(
                "apiVersion: v1\ndata:\n  a: x\n  b: \"2\"\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: apps\n"
            )
        };
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(format!("{}---\n{}", document("a"), document("b")).as_bytes());
        let rendered = build(request(&files, &[("REPLICAS", "'2'")])).unwrap();
        assert_eq!(rendered.digest, hasher.finish().to_string());
    }

    #[test]
    fn equal_inputs_have_equal_digests() {
        let digest = |replicas| {
            build(request(&[("app/deployment.yaml", DEPLOYMENT)], &[("REPLICAS", replicas)])).unwrap().digest
        };
        assert_eq!(digest("2"), digest("2"));
        assert_ne!(digest("2"), digest("3"));
    }

    /// Answers nothing, and remembers the times that it was given.
    #[derive(Default)]
    struct Times(std::sync::Mutex<Vec<u64>>);

    impl Bases for Times {
        fn git(&self, _spec: &RepoSpec, _limit: u64, deadline: &Deadline) -> Result<Repository, FetchError> {
            self.0.lock().unwrap().push(deadline.remaining().as_secs());
            Err(FetchError::Status(404))
        }

        fn http(&self, _url: &str, _limit: usize, _deadline: &Deadline) -> Result<Vec<u8>, FetchError> {
            Err(FetchError::Status(404))
        }
    }

    #[test]
    fn a_fetch_has_no_more_time_than_the_build() {
        let kustomization = "resources: ['https://h/o/r.git?timeout=18446744073709551615']";
        let times = Arc::new(Times::default());
        let run = |seconds| {
            let mut request = request(&[("app/kustomization.yaml", kustomization)], &[]);
            request.bases = Some(times.clone());
            let deadline = Deadline::new(std::time::Duration::from_secs(seconds));
            render(request, &deadline).err().unwrap().to_string()
        };
        run(7);
        let given = times.0.lock().unwrap().pop().unwrap();
        assert!(given <= 7, "{given}");
        assert!(run(0).contains("the time of the build is over"));
        assert_eq!(times.0.lock().unwrap().len(), 0);
    }

    #[test]
    fn limits_name_their_flags() {
        let with = |change: fn(&mut kustomize::Limits)| {
            let mut request = request(&[("app/deployment.yaml", DEPLOYMENT)], &[("REPLICAS", "2")]);
            change(&mut request.options.limits);
            build(request).err().unwrap().to_string()
        };
        assert_eq!(
            with(|limits| limits.nodes = 5),
            "failed to decode Kubernetes YAML from /app/deployment.yaml: \
             more than 5 nodes in all files of a build (--build-max-nodes)"
        );
        let error = with(|limits| limits.total_bytes = 5);
        assert!(error.ends_with("more than 5 bytes of files (--build-max-bytes)"), "{error}");
    }

    #[test]
    fn objects_that_substitution_makes_large_are_refused() {
        let long = "x".repeat(10_000);
        let text = DEPLOYMENT.replace("replicas: ${REPLICAS}", "a: '${REPLICAS}${REPLICAS}'");
        let error = |text: &str, long: &str, limits: (u64, u64)| {
            let mut request = request(
                &[("app/1.yaml", text), ("app/2.yaml", &text.replace("web", "b"))],
                &[("REPLICAS", long)],
            );
            (request.options.limits.total_bytes, request.options.limits.nodes) = limits;
            build(request).err().unwrap().to_string()
        };
        let large = error(&text, &long, (30_000, 1000));
        assert_eq!(large, "the built objects have more than 30000 bytes (--build-max-bytes)");
        let list = format!("[{}]", "a,".repeat(600));
        let many = error(DEPLOYMENT, &list, (30_000, 1000));
        assert_eq!(many, "the built objects have more than 1000 nodes (--build-max-nodes)");
    }
}
