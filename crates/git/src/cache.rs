//! From a reference to a commit's objects, asking the server for as little as possible.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use gix::ObjectId;
use gix::bstr::BString;
use gix::objs::Kind;

use crate::lazy_session::LazySession;
use crate::objects::{Buffer, Objects};
use crate::ref_cache::RefCache;
use crate::reference::{Selector, highest_tags, revision};
use crate::session::Depth;
use crate::signed::TagRefName;
use crate::sparse::Selection;
use crate::store::{ReadLock, Store};
use crate::{
    Commit, Connector, Error, Limits, Reference, Remote, RemoteRef, TransportError, current_revision, history,
};
use net::{Deadline, redact};

pub(crate) const TAGS_PREFIX: &str = "refs/tags/";

/// The objects of one source, kept between reconciles so that a new commit costs only what changed.
///
/// The directory belongs to this cache; callers make sure that one thread at a time calls its methods. What they gave may
/// be read meanwhile.
#[derive(Debug, Clone)]
pub struct Cache {
    dir: PathBuf,
    limits: Limits,
    shared: Arc<SharedState>,
    since: Instant,
}

/// What all users of one cache directory share in memory.
#[derive(Debug, Default)]
pub struct SharedState {
    refs: RefCache,
    /// Directories of packs that were found to be whole.
    checked: Mutex<HashSet<PathBuf>>,
}

/// What a look at the remote gave.
#[derive(Debug)]
pub enum Outcome {
    /// The remote still is at the known revision, which is named; nothing was fetched.
    Unchanged(String),
    /// The wanted commit, ready to be read.
    Checkout(Box<Checkout>),
}

/// A commit whose tree can be read from the cache.
pub struct Checkout {
    /// How Flux names it, such as `main@sha1:<hex>`.
    pub revision: String,
    /// The commit.
    pub commit: Commit,
    pub(crate) tag: Option<TagRefName>,
    pub(crate) objects: Objects,
    read_lock: ReadLock,
    pub(crate) limits: Limits,
    pub(crate) selection: Selection,
    /// The submodules that are here, by their paths.
    pub(crate) modules: BTreeMap<BString, Checkout>,
}

impl std::fmt::Debug for Checkout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkout").field("revision", &self.revision).finish_non_exhaustive()
    }
}

/// A commit that the remote has under the wanted reference.
struct Target {
    revision: String,
    commit: ObjectId,
    tag: Option<TagRefName>,
}

impl Cache {
    /// A cache in `dir`, which is made when needed.
    pub fn new(dir: PathBuf, limits: Limits) -> Cache {
        Cache { dir, limits, shared: Arc::default(), since: Instant::now() }
    }

    /// Shares state with others that use the same directory. Refs that a server listed count if it was asked at `since` or
    /// later.
    pub fn sharing(self, shared: Arc<SharedState>, since: Instant) -> Cache {
        Cache { shared, since, ..self }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Finds out what `reference` points to and, unless that is the revision already `known`, makes its objects available.
    ///
    /// A known revision in an old form counts too.
    ///
    /// # Guarantees
    /// - Nothing is taken from the server beyond the limits of the cache, nor after the deadline.
    /// - A cache that does not fit the server's answer, or that a former process left damaged, is emptied and filled anew.
    /// - Objects of a checkout stay as long as the checkout is held, whatever is fetched meanwhile.
    ///
    /// # Caveats
    /// - It blocks. One caller at a time for a directory: others wait for its lock outside.
    /// - An object that is unreadable in the middle of a tree shows when the tree is walked, not here.
    pub fn checkout(
        &self,
        connector: &Connector,
        remote: &Remote,
        reference: &Reference,
        known: Option<&str>,
        deadline: &Deadline,
    ) -> Result<Outcome, Error> {
        let selector = reference.selector();
        check_syntax(&selector)?;
        // Flux lists before it clones when it has something to compare with, and says so in its errors.
        let lists = match selector {
            Selector::Name(_) => true,
            Selector::Branch(_) | Selector::Tag(_) => known.is_some(),
            Selector::Commit { .. } | Selector::Semver(_) => false,
        };
        let url = || redact(remote.url());
        let clone_error = |source| Error::Clone { url: url(), source };
        let list_error =
            |source| if lists { Error::List { url: url(), source } } else { clone_error(source) };
        let mut session = self.session(connector, remote, deadline);
        let mut store = Store::open(self.dir.join("content"))?;

        let target = match selector {
            Selector::Branch(branch) => {
                let name = format!("refs/heads/{branch}");
                match find(&mut session, &name).map_err(list_error)? {
                    Some(tip) => Target::new(Some(branch), tip.target()),
                    None if !is_empty(&mut session) => {
                        return Err(clone_error(TransportError::RefNotFound(name)));
                    }
                    None if lists => return Err(list_error(TransportError::Empty)),
                    None => return Err(Error::EmptyRepository),
                }
            }
            Selector::Tag(tag) => {
                let name = format!("refs/tags/{tag}");
                let found = find(&mut session, &name).map_err(list_error)?;
                let found = found.ok_or_else(|| clone_error(TransportError::RefNotFound(name)))?;
                Target::new(Some(tag), found.target()).found_by(&found)
            }
            Selector::Name(name) => {
                let found = find_name(&mut session, name).map_err(list_error)?;
                let found = found.ok_or_else(|| Error::UnresolvedName(name.to_owned()))?;
                Target::new(Some(name), found.target()).found_by(&found)
            }
            Selector::Semver(constraint) => {
                let tags = session.refs("refs/tags/").map_err(clone_error)?;
                let tags = highest_tags(constraint, &tags)?;
                let tag = self.newest(&mut session, &mut store, tags).map_err(clone_error)?;
                Target::new(tag.name.strip_prefix("refs/tags/"), tag.target()).found_by(&tag)
            }
            Selector::Commit { commit, branch, name } => {
                let missing =
                    || Error::Commit { commit: commit.to_owned(), source: TransportError::ObjectNotFound };
                let id = ObjectId::from_hex(commit.as_bytes())
                    .ok()
                    .filter(|id| id.kind() == gix::hash::Kind::Sha1);
                let id = id.ok_or_else(missing)?;
                // A server that is down, or that does not let us in any more, is news even if nothing is asked of it.
                if branch.is_none() {
                    session.open().map_err(clone_error)?;
                }
                if let Some(branch) = branch {
                    let full = format!("refs/heads/{branch}");
                    let tip = find(&mut session, &full).map_err(clone_error)?;
                    let tip = tip.ok_or_else(|| clone_error(TransportError::RefNotFound(full)))?.target();
                    history::reach(&mut session, self.dir.join("history"), tip, id)
                        .map_err(|e| e.into_error(commit, branch))?;
                }
                let target = Target::new(name.or(branch), id);
                match name.filter(|name| name.starts_with(TAGS_PREFIX)) {
                    Some(name) => match find_name(&mut session, name).map_err(clone_error)? {
                        Some(found) => target.found_by(&found),
                        None => target,
                    },
                    None => target,
                }
            }
        };
        if known.map(current_revision).as_ref() == Some(&target.revision) {
            return Ok(Outcome::Unchanged(target.revision));
        }
        let checkout = self.fetch(&mut session, &mut store, target);
        checkout.map(|c| Outcome::Checkout(Box::new(c))).map_err(|source| match (selector, source) {
            (Selector::Commit { commit, .. }, source @ TransportError::ObjectNotFound) => {
                Error::Commit { commit: commit.to_owned(), source }
            }
            (_, source) => clone_error(source),
        })
    }

    /// The tag whose commit is the newest, of those that semver holds for equal.
    fn newest(
        &self,
        session: &mut LazySession<'_>,
        store: &mut Store,
        tags: Vec<RemoteRef>,
    ) -> Result<RemoteRef, TransportError> {
        let mut newest: Option<(i64, RemoteRef)> = None;
        let only = tags.len() == 1;
        for tag in tags {
            let time = if only { 0 } else { self.commit(session, store, tag.target(), None)?.committed };
            if newest.as_ref().is_none_or(|(t, _)| time > *t) {
                newest = Some((time, tag));
            }
        }
        newest.map(|(_, tag)| tag).ok_or(TransportError::ObjectNotFound)
    }

    fn fetch(
        &self,
        session: &mut LazySession<'_>,
        store: &mut Store,
        target: Target,
    ) -> Result<Checkout, TransportError> {
        let tag = target.tag.as_ref().and_then(|tag| tag.object);
        let commit = self.commit(session, store, target.commit, tag)?;
        Ok(Checkout { tag: target.tag, ..self.opened(target.revision, commit, store)? })
    }

    fn session<'a>(
        &'a self,
        connector: &'a Connector,
        remote: &'a Remote,
        deadline: &'a Deadline,
    ) -> LazySession<'a> {
        let (limits, cached, since) = (&self.limits, &self.shared.refs, self.since);
        LazySession { connector, remote, limits, deadline, cached, since, opened: None }
    }

    fn opened(&self, revision: String, commit: Commit, store: &Store) -> std::io::Result<Checkout> {
        Ok(Checkout {
            revision,
            commit,
            tag: None,
            read_lock: store.read_lock()?,
            objects: store.objects(&self.limits)?,
            limits: self.limits.clone(),
            selection: Selection::default(),
            modules: BTreeMap::new(),
        })
    }

    /// A commit, whatever refs lead to it, and the bytes of packs that came for it. The server is asked only for what is
    /// not here.
    pub(crate) fn commit_named(
        &self,
        connector: &Connector,
        remote: &Remote,
        id: ObjectId,
        deadline: &Deadline,
    ) -> Result<(Checkout, u64), Error> {
        let failed = |source| Error::Clone { url: redact(remote.url()), source };
        let mut store = Store::open(self.dir.join("content"))?;
        if let Some(commit) = self.cached(&mut store, id, None)? {
            return Ok((self.opened(id.to_string(), commit, &store)?, 0));
        }
        let before = store.bytes()?;
        let mut session = self.session(connector, remote, deadline);
        let found = match self.commit(&mut session, &mut store, id, None) {
            // A server of the old protocol gives what refs lead to, and refuses in words that gix takes for a broken pack.
            Err(TransportError::ObjectNotFound | TransportError::Protocol(_)) => {
                let session = session.open().map_err(failed)?;
                session.restart().map_err(failed)?;
                let refs = session.refs(&["refs/heads/", "refs/tags/"]).map_err(failed)?;
                let tips: Vec<_> =
                    refs.iter().map(RemoteRef::target).collect::<BTreeSet<_>>().into_iter().collect();
                store.clear()?;
                store.fetch(session, &tips, Depth::All).map_err(failed)?;
                read_commit(&store.objects(&self.limits)?, id).map_err(|_| TransportError::ObjectNotFound)
            }
            other => other,
        };
        let commit = found.map_err(|source| match source {
            TransportError::ObjectNotFound => Error::Commit { commit: id.to_string(), source },
            source => failed(source),
        })?;
        Ok((self.opened(id.to_string(), commit, &store)?, store.bytes()?.saturating_sub(before)))
    }

    /// The commit from the store, unless it or the tag object is not there. A store that is damaged is emptied.
    fn cached(
        &self,
        store: &mut Store,
        id: ObjectId,
        tag: Option<ObjectId>,
    ) -> std::io::Result<Option<Commit>> {
        let is_here = store.has(&id) && tag.is_none_or(|tag| store.has(&tag));
        let commit = match (self.check(store), is_here) {
            (Err(error), _) => Err(error),
            (Ok(()), false) => return Ok(None),
            (Ok(()), true) => read_commit(&store.objects(&self.limits)?, id),
        };
        match commit {
            Ok(commit) => Ok(Some(commit)),
            Err(error) => {
                tracing::warn!(%error, "object cache is damaged, fetching anew");
                store.clear()?;
                Ok(None)
            }
        }
    }

    /// Reads what an earlier process has left, once: from then on only a disk that forgets can damage it.
    fn check(&self, store: &Store) -> Result<(), TransportError> {
        let mut checked = self.shared.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if !checked.contains(store.dir()) {
            store.check()?;
            checked.insert(store.dir().to_owned());
        }
        Ok(())
    }

    /// The commit from the store, fetched with the tag object if one of them is not there or cannot be read.
    fn commit(
        &self,
        session: &mut LazySession<'_>,
        store: &mut Store,
        id: ObjectId,
        tag: Option<ObjectId>,
    ) -> Result<Commit, TransportError> {
        if let Some(cached) = self.cached(store, id, tag)? {
            return Ok(cached);
        }
        let missing: Vec<ObjectId> = tag.into_iter().chain([id]).filter(|id| !store.has(id)).collect();
        store.fetch(session.open()?, &missing, Depth::One)?;
        read_commit(&store.objects(&self.limits)?, id)
    }
}

impl Checkout {
    /// Forgets all that its objects come from, because one of them cannot be read. Others that read there go on.
    pub fn discard(&self) -> std::io::Result<()> {
        self.read_lock.discard()?;
        self.modules.values().try_for_each(Checkout::discard)
    }
}

impl Target {
    fn new(label: Option<&str>, commit: ObjectId) -> Target {
        Target { revision: revision(label, &commit), commit, tag: None }
    }

    /// The ref by which it was found, which may be a tag.
    fn found_by(mut self, found: &RemoteRef) -> Target {
        self.tag = found.name.strip_prefix(TAGS_PREFIX).map(|name| TagRefName {
            name: name.to_owned(),
            object: found.peeled.is_some().then_some(found.object),
        });
        self
    }
}

/// What can be refused without asking anyone.
fn check_syntax(selector: &Selector<'_>) -> Result<(), Error> {
    match *selector {
        Selector::Name(name) if name.starts_with('/') || name.ends_with('/') => {
            Err(Error::InvalidName(name.to_owned()))
        }
        Selector::Semver(constraint) => Ok(versions::Constraint::parse(constraint).map(drop)?),
        _ => Ok(()),
    }
}

fn find(session: &mut LazySession<'_>, name: &str) -> Result<Option<RemoteRef>, TransportError> {
    Ok(session.refs(name)?.into_iter().find(|r| r.name == name))
}

/// `refs/tags/v1^{}` names what an annotated tag points to, without the tag object, and nothing for other refs.
fn find_name(session: &mut LazySession<'_>, name: &str) -> Result<Option<RemoteRef>, TransportError> {
    let Some(tag) = name.strip_suffix("^{}") else { return find(session, name) };
    let peeled = find(session, tag)?.and_then(|found| found.peeled);
    Ok(peeled.map(|object| RemoteRef { name: name.to_owned(), object, peeled: None }))
}

/// Whether the server advertises no ref at all; an error means it does, or that it does not matter any more.
fn is_empty(session: &mut LazySession<'_>) -> bool {
    session.refs("refs/").is_ok_and(|refs| refs.is_empty())
}

fn read_commit(objects: &Objects, id: ObjectId) -> Result<Commit, TransportError> {
    let data = &mut Buffer::default();
    let commit = Commit::parse(id, objects.read(&id, Kind::Commit, data)?)?;
    objects.read(&commit.tree, Kind::Tree, data)?;
    Ok(commit)
}
