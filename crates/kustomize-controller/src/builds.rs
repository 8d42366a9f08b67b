//! The builds of all Kustomizations: how many there are at once, and how much memory each may use.
//!
//! A build draws on a budget of nodes. Nearly all are small, so it begins with the part that lets as many go on as `--concurrent`
//! says. One that turns out to need more is begun anew with all that a build may have, when there is so much.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use budget::{Budget, Grant, Limits};
use kustomize::Cancel;
use net::Deadline;
use tokio::time::timeout;

use crate::{
    memory::{BYTES_PER_NODE, MemoryShares},
    render::{RenderError, Rendered, Request, render},
    run::build::BuildError,
};

/// What builds draw on.
pub struct Builds {
    nodes: Budget,
    /// Nodes that a build gets at first.
    first: u64,
    /// How long a build may take, and how long it may have to wait before that.
    limit: Duration,
}

/// What a build gave.
pub struct Objects {
    pub(crate) rendered: Rendered,
    /// For the objects, until they are applied.
    pub(crate) memory: Grant,
    /// Whether it needed more than a build gets at first.
    pub(crate) is_large: bool,
}

/// Whether a build waits for its turn. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Queued(Arc<AtomicBool>);

impl Queued {
    /// Whether it does now.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes down whether it does.
    pub(crate) fn set(&self, waits: bool) {
        self.0.store(waits, Ordering::Relaxed);
    }
}

impl Builds {
    /// No builds yet. A namespace gets all but what one build of another one needs to begin.
    pub fn new(shares: &MemoryShares, limit: Duration) -> Self {
        let (process, first) = (shares.all_build_nodes, shares.first_build_nodes);
        let tenant = process.saturating_sub(first).max(first);
        Self { nodes: Budget::new(Limits { process, tenant }), first, limit }
    }

    /// What is used, in nodes.
    pub fn budget(&self) -> &Budget {
        &self.nodes
    }

    /// Builds for an object of `namespace`. `queued` is set while this waits for its turn. `is_large` is whether the object is known
    /// to need more than a build gets at first.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub async fn build(
        &self,
        namespace: &str,
        request: Request,
        is_large: bool,
        queued: &Queued,
    ) -> Result<Objects, BuildError> {
        let all = request.options.limits.nodes;
        let first = if is_large { all } else { self.first.min(all) };
        match self.attempt(namespace, request.clone(), first, queued).await {
            Err(BuildError::Render(error)) if first < all && error.may_need_more() => {
                self.attempt(namespace, request, all, queued).await
            }
            result => result,
        }
    }

    /// Builds with so many nodes, and the bytes that go with them if that is not all that a build may have.
    async fn attempt(
        &self,
        namespace: &str,
        mut request: Request,
        nodes: u64,
        queued: &Queued,
    ) -> Result<Objects, BuildError> {
        let limits = &mut request.options.limits;
        if nodes < limits.nodes {
            limits.nodes = nodes;
            limits.total_bytes = limits.total_bytes.min(nodes * BYTES_PER_NODE);
        }
        let grant = self.turn(namespace, nodes, queued).await?;
        let (rendered, memory) = render_within(self.limit, request, grant).await?;
        Ok(Objects { rendered, memory, is_large: nodes > self.first })
    }

    async fn turn(&self, namespace: &str, nodes: u64, queued: &Queued) -> Result<Grant, BuildError> {
        let mut pending = self.nodes.enter(budget::Request::new(namespace, nodes));
        queued.set(!pending.is_granted());
        let granted = timeout(self.limit, pending.granted()).await;
        queued.set(false);
        granted.map_err(|_| BuildError::Busy(self.limit))
    }
}

/// Builds where blocking is allowed, within a time. A build that is not waited for any longer ends at its next step, and keeps its
/// grant until then. The objects keep what they need of it.
async fn render_within(
    limit: Duration,
    mut request: Request,
    mut grant: Grant,
) -> Result<(Rendered, Grant), BuildError> {
    let deadline = Deadline::new(limit);
    let _guard = deadline.cancel_on_drop();
    request.options.cancel = Cancel::from(deadline.cancel_flag().clone());
    let work = move || {
        let rendered = render(request, &deadline)?;
        grant.shrink(rendered.nodes);
        Ok::<_, RenderError>((rendered, grant))
    };
    match timeout(limit, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(result)) => Ok(result?),
        Ok(Err(panicked)) => Err(BuildError::Panic(panicked.into())),
        Err(_) => Err(BuildError::Timeout(limit)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::{Mutex, atomic::AtomicUsize, mpsc};

    use kustomize::{FetchError, MemoryTree, RepoSpec, Repository, flux::Overlay};

    use super::*;
    use crate::{
        flags::Redirects,
        remote::{BaseOptions, RemoteBases},
        render,
    };

    /// Each answer waits until the test lets it go on, or has ended.
    struct Bases {
        go_on: Mutex<mpsc::Receiver<()>>,
        asked: AtomicUsize,
    }

    impl render::Bases for Bases {
        fn git(&self, _spec: &RepoSpec, _limit: u64, _deadline: &Deadline) -> Result<Repository, FetchError> {
            Err(FetchError::Status(404))
        }

        fn http(&self, _url: &str, _limit: usize, _deadline: &Deadline) -> Result<Vec<u8>, FetchError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let _ = self.go_on.lock().unwrap().recv();
            Ok(b"apiVersion: v1\nkind: A\nmetadata: {name: a}\n".to_vec())
        }
    }

    impl Bases {
        fn new() -> (Arc<Self>, mpsc::Sender<()>) {
            let (sender, go_on) = mpsc::channel();
            (Arc::new(Bases { go_on: Mutex::new(go_on), asked: AtomicUsize::default() }), sender)
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    /// Builds with room for so many nodes, of which each gets a hundred at first.
    fn builds(all: u64, limit: Duration) -> Builds {
        let shares = MemoryShares { all_build_nodes: all, first_build_nodes: 100, ..MemoryShares::default() };
        Builds::new(&shares, limit)
    }

    /// Builds an object of about so many nodes, and one from elsewhere, with up to a thousand nodes.
    fn request(nodes: usize, bases: &Arc<Bases>) -> Request {
        let mut tree = MemoryTree::default();
        tree.insert("kustomization.yaml", "resources: ['https://h/a.yaml', b.yaml]".as_bytes());
        let object =
            format!("apiVersion: v1\nkind: B\nmetadata: {{name: b}}\nspec: [{}]\n", "1, ".repeat(nodes));
        tree.insert("b.yaml", object.into_bytes());
        let mut options = kustomize::Options::default();
        options.limits.nodes = 1000;
        Request {
            tree: Arc::new(tree),
            path: String::new(),
            overlay: Overlay::default(),
            options,
            bases: Some(bases.clone()),
            variables: None,
            keys: None,
            strict: true,
            manager: crate::MANAGER,
            owner: apply::prepare::Owner { namespace: "n".into(), name: "a".into() },
            common: apply::prepare::CommonMetadata::default(),
        }
    }

    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn a_build_that_took_too_long_ends_at_its_next_step() {
        let ((bases, release), builds) = (Bases::new(), builds(1000, Duration::from_millis(50)));
        let request = request(1, &bases);
        let shared = request.options.cancel.clone();
        let error = builds.build("n", request, false, &Queued::default()).await.err().unwrap();
        assert_eq!(error.to_string(), "kustomize build did not finish within 50ms");
        assert_eq!(builds.budget().usage().used, 100, "its thread goes on");
        drop(release);
        while builds.budget().usage().used > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!shared.is_cancelled(), "other builds with these options go on");
    }

    #[tokio::test]
    async fn a_build_that_is_given_up_leaves_the_server_that_it_waits_for() {
        let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = silent.local_addr().unwrap();
        let options = BaseOptions {
            pack_bytes: 1 << 20,
            memory: git::Memory::new(64 << 20),
            addresses: net::AddressPolicy { allow_link_local: false, denied: Vec::new() },
            redirects: Redirects::SameOrigin,
            timeout: LONG,
        };
        let bases = Arc::new(RemoteBases::new(options).unwrap());
        let file = format!("resources: ['http://{address}/a.yaml']");
        let repository = format!("components: ['http://{address}/o/r.git?timeout=10m']");
        for base in [file, repository] {
            let mut request = request(1, &Bases::new().0);
            let mut tree = MemoryTree::default();
            tree.insert("kustomization.yaml", base.clone().into_bytes());
            request.tree = Arc::new(tree);
            request.bases = Some(bases.clone());
            // Its time is over, and nobody waits for it.
            for (limit, wait) in [(Duration::from_millis(50), LONG), (LONG, Duration::from_millis(50))] {
                let builds = builds(1000, limit);
                let build =
                    async { builds.build("n", request.clone(), false, &Queued::default()).await.err() };
                let ended = timeout(wait, build).await;
                assert!(!matches!(ended, Ok(None)));
                let given_back = async {
                    while builds.budget().usage().used > 0 {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                };
                assert!(timeout(Duration::from_secs(60), given_back).await.is_ok(), "{base}");
            }
        }
    }

    #[tokio::test]
    async fn a_build_that_needs_more_is_begun_anew_with_all_that_one_may_have() {
        let builds = builds(1000, LONG);
        for (nodes, is_known, attempts, is_large) in
            [(1, false, 1, false), (200, false, 2, true), (200, true, 1, true)]
        {
            let (bases, release) = Bases::new();
            drop(release);
            let built = builds.build("n", request(nodes, &bases), is_known, &Queued::default()).await;
            let Objects { rendered, memory, is_large: large } = built.unwrap();
            assert_eq!((bases.asked(), large, rendered.manifests.len()), (attempts, is_large, 2));
            assert_eq!(builds.budget().usage().used, rendered.nodes, "what is left to apply");
            drop(memory);
        }
        let (bases, release) = Bases::new();
        drop(release);
        let built = builds.build("n", request(2000, &bases), false, &Queued::default()).await;
        let error = built.err().unwrap().to_string();
        assert!(
            error.ends_with("more than 1000 nodes in all files of a build (--build-max-nodes)"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn builds_of_one_namespace_leave_room_for_another_one() {
        let ((bases, release), builds) = (Bases::new(), Arc::new(builds(300, LONG)));
        let queued: Vec<_> = (0..3).map(|_| Queued::default()).collect();
        let hostile: Vec<_> = queued
            .iter()
            .map(|queued| {
                let (builds, request, queued) = (builds.clone(), request(1, &bases), queued.clone());
                tokio::spawn(async move { builds.build("hostile", request, false, &queued).await.is_ok() })
            })
            .collect();
        while queued.iter().filter(|queued| queued.is_set()).count() != 1 {
            tokio::task::yield_now().await;
        }
        let (free, released) = Bases::new();
        drop(released);
        assert!(builds.build("other", request(1, &free), false, &Queued::default()).await.is_ok());
        drop(release);
        for build in hostile {
            assert!(build.await.unwrap());
        }
        assert_eq!(builds.budget().usage().used, 0);
    }

    #[tokio::test]
    async fn objects_that_wait_to_be_applied_leave_room_to_their_own_namespace() {
        for concurrent in ["--concurrent=1", "--concurrent=4"] {
            let arguments = runtime::flags::try_parse_from(["kustomize-controller", concurrent]).unwrap();
            let builds = Builds::new(&MemoryShares::new(1 << 30, &arguments), LONG);
            let (bases, release) = Bases::new();
            drop(release);
            // As many as a large operator has.
            let _left = builds.budget().acquire(budget::Request::new("n", 100_000)).await;
            let queued = Queued::default();
            let build = builds.build("n", request(1, &bases), false, &queued);
            let built = tokio::time::timeout(LONG, build).await.unwrap();
            assert!(built.is_ok() && !queued.is_set(), "{concurrent}");
        }
    }

    #[tokio::test]
    async fn a_build_without_room_says_so_in_the_end() {
        let builds = builds(100, Duration::from_millis(20));
        let _held = builds.budget().acquire(budget::Request::new("other", 100)).await;
        let built = builds.build("n", request(1, &Bases::new().0), false, &Queued::default()).await;
        assert_eq!(built.err().unwrap().to_string(), "no kustomize build could begin within 20ms");
    }
}
