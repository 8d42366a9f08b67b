//! One session with a server: handshake, ls-refs, fetch.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use gix::ObjectId;
use gix::protocol::fetch::negotiate::{Action, Round, one_round};
use gix::protocol::fetch::{Arguments, Context, Negotiate, Options, Shallow, Tags};
use gix::protocol::handshake::Ref;
use gix::protocol::ls_refs::RefPrefixes;
pub(crate) use gix::protocol::transport::client::blocking_io::Transport;
use gix::protocol::transport::{Protocol, Service};
use gix::protocol::{Handshake, LsRefsCommand};

use crate::connection::{Connection, EXCERPT_BYTES, printable};
use crate::error::chain;
use crate::objects::Objects;
use crate::{Bound, Limits, TransportError, pack};

/// A ref as the server advertises it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteRef {
    /// Full name, such as `refs/tags/v1`.
    pub name: String,
    /// What it points to, for an annotated tag the tag object.
    pub object: ObjectId,
    /// What an annotated tag finally points to.
    pub peeled: Option<ObjectId>,
}

impl RemoteRef {
    /// The commit (for all well-formed branches and tags).
    pub fn target(&self) -> ObjectId {
        self.peeled.unwrap_or(self.object)
    }
}

/// Opens connections to one repository.
pub(crate) trait Connect {
    /// Connects; the handshake of the Git protocol comes after that. With `use_cached` the server's
    /// advertisement may come from the cache, and whether it does is told with the transport; without, it is dropped there.
    fn connect(&self, use_cached: bool) -> Result<(Box<dyn Transport>, bool), TransportError>;

    /// The repository, without secrets.
    fn url(&self) -> &str;
}

/// An open session; requests reuse its handshake and its connection.
pub struct Session {
    transport: Box<dyn Transport>,
    handshake: Handshake,
    /// Whether a pack was asked for. A server of protocol 0 or 1 hangs up then, unless each request is its own, as with HTTP.
    fetched: bool,
    /// Whether the handshake used a cached advertisement, so that the server has yet to show that it still holds.
    is_cached: bool,
    connect: Box<dyn Connect>,
    connection: Connection,
    limits: Limits,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("url", &self.connect.url()).finish_non_exhaustive()
    }
}

/// What to ask a server for.
pub(crate) struct Request<'a> {
    /// Objects wanted.
    pub(crate) want: &'a [ObjectId],
    /// Commits we have, with everything they need.
    pub(crate) have: &'a [ObjectId],
    /// Which ancestors of the wanted commits.
    pub(crate) depth: Depth,
}

/// How much comes with a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// It alone, complete.
    One,
    /// All ancestors, if the server can do that without trees and blobs.
    Commits,
    /// All ancestors, complete.
    All,
}

/// Where a pack goes.
pub(crate) struct Destination<'a> {
    /// Directory of packs.
    pub(crate) packs: &'a Path,
    /// File with the shallow boundary.
    pub(crate) shallow: &'a Path,
    /// Objects that a thin pack may build on; `None` when there are none yet.
    pub(crate) bases: Option<Objects>,
}

/// Bytes of the longest ref name: no file system that Git runs on has longer paths.
const REF_NAME_BYTES: usize = 4096;

fn agent() -> (&'static str, Option<String>) {
    ("agent", Some(concat!("git/ferroflux-", env!("CARGO_PKG_VERSION")).into()))
}

impl Session {
    pub(crate) fn start(
        connect: Box<dyn Connect>,
        connection: Connection,
        limits: Limits,
    ) -> Result<Session, TransportError> {
        let (transport, handshake, is_cached) = open(&*connect, &connection, &limits, true)?;
        Ok(Session { transport, handshake, fetched: false, is_cached, connect, connection, limits })
    }

    /// Connects anew after a connection broke off.
    pub(crate) fn restart(&mut self) -> Result<(), TransportError> {
        (self.transport, self.handshake, self.is_cached) =
            open(&*self.connect, &self.connection, &self.limits, false)?;
        self.fetched = false;
        Ok(())
    }

    /// Asks the server something, and once more after a new handshake if it refuses and the last one used a cached advertisement.
    fn ask<T>(
        &mut self,
        question: impl Fn(&mut Self) -> Result<T, TransportError>,
    ) -> Result<T, TransportError> {
        match question(self) {
            Err(error) if std::mem::take(&mut self.is_cached) && may_be_stale(&error) => {
                self.restart()?;
                question(self)
            }
            answer => answer,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// All refs that start with one of `prefixes`, those with names that no ref may have left out.
    pub fn refs(&mut self, prefixes: &[&str]) -> Result<Vec<RemoteRef>, TransportError> {
        self.ask(|session| session.list(prefixes))
    }

    fn list(&mut self, prefixes: &[&str]) -> Result<Vec<RemoteRef>, TransportError> {
        let answer;
        let advertised = match &self.handshake.refs {
            // Protocol 0 and 1 advertise everything at once.
            Some(all) => all,
            None => {
                let mut wanted = RefPrefixes::new();
                wanted.extend(prefixes.iter().map(|p| (*p).into()));
                let command = LsRefsCommand::new(Some(wanted), &self.handshake.capabilities, agent());
                let transport = &mut self.transport;
                answer = guarded(|| command.invoke_blocking(transport, &mut gix::progress::Discard, false))
                    .map_err(|e| explain(&self.connection, &self.limits, &e))?;
                &answer
            }
        };
        if advertised.len() > self.limits.refs {
            return Err(TransportError::Limit { limit: self.limits.refs as u64, what: Bound::Refs });
        }
        let refs = advertised.iter().filter_map(remote_ref);
        Ok(refs.filter(|r| prefixes.iter().any(|p| r.name.starts_with(p))).collect())
    }

    /// Receives one pack. The pack is complete, checked and indexed when this returns.
    pub(crate) fn fetch(
        &mut self,
        request: &Request<'_>,
        to: &Destination<'_>,
    ) -> Result<(), TransportError> {
        self.ask(|session| session.receive(request, to))
    }

    fn receive(&mut self, request: &Request<'_>, to: &Destination<'_>) -> Result<(), TransportError> {
        let hung_up = self.fetched
            && self.handshake.server_protocol_version != Protocol::V2
            && self.transport.connection_persists_across_multiple_requests();
        if hung_up {
            self.restart()?;
        }
        self.fetched = true;
        let (limits, connection) = (&self.limits, &self.connection);
        connection.meter.allow(limits.answer_bytes, Bound::AnswerBytes);
        let shallow = match request.depth {
            Depth::One => Shallow::DepthAtRemote(NonZeroU32::MIN),
            Depth::Commits | Depth::All => Shallow::NoChange,
        };
        let want = advertised(self.handshake.refs.as_deref().unwrap_or_default(), request.want);
        let context = Context {
            handshake: &mut self.handshake,
            transport: &mut self.transport,
            user_agent: agent(),
            trace_packetlines: false,
        };
        let options = Options {
            shallow_file: to.shallow.to_owned(),
            shallow: &shallow,
            tags: Tags::None,
            reject_shallow_remote: false,
        };
        let result = guarded(|| {
            gix::protocol::fetch(
                &mut Request { want: &want, ..*request },
                |pack, _, _| {
                    let counted = connection.meter.go_on(limits.pack_bytes, Bound::PackBytes);
                    let received = counted
                        .and_then(|()| pack::receive(pack, to.packs, to.bases.as_ref(), limits, connection));
                    received.map_err(|error| gix::Error::from_error(connection.failure.set(error)))?;
                    Ok(true)
                },
                gix::progress::Discard,
                connection.deadline.cancel_flag(),
                context,
                options,
            )
        });
        result.map(drop).map_err(|error| explain(connection, limits, &error))
    }
}

/// What to ask for to get `wanted`: with protocol 0 and 1 a server gives what it advertised, such as an annotated tag, but
/// not the commit that only the tag points to.
fn advertised(refs: &[Ref], wanted: &[ObjectId]) -> Vec<ObjectId> {
    let mut ways = HashMap::new();
    for found in refs.iter().filter_map(remote_ref) {
        let way = ways.entry(found.target()).or_insert(found.object);
        if found.object == found.target() {
            *way = found.object;
        }
    }
    wanted.iter().map(|id| ways.get(id).unwrap_or(id).to_owned()).collect()
}

/// gix trusts servers not to say certain things, and panics where they do.
fn guarded<T>(call: impl FnOnce() -> gix::Result<T>) -> gix::Result<T> {
    let broken = || std::io::Error::other("the server's answer is not one of Git's protocol");
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(gix::Error::from_error(broken())))
}

fn open(
    connect: &dyn Connect,
    connection: &Connection,
    limits: &Limits,
    use_cached: bool,
) -> Result<(Box<dyn Transport>, Handshake, bool), TransportError> {
    // Why an earlier connection broke off does not concern this one.
    connection.failure.take();
    connection.meter.allow(limits.advertised_bytes, Bound::RefBytes);
    let (mut transport, is_cached) = connect.connect(use_cached)?;
    // The transport has the credentials already; a server that wants others will not get them.
    let refuse = |_| Err(gix::Error::from_error(std::io::Error::from(std::io::ErrorKind::PermissionDenied)));
    let (service, progress) = (Service::UploadPack, &mut gix::progress::Discard);
    let handshake =
        guarded(|| gix::protocol::handshake(&mut transport, service, refuse, Vec::new(), progress))
            .map_err(|e| explain(connection, limits, &e))?;
    let format = handshake.capabilities.capability("object-format");
    if format.is_some_and(|f| f.supports("sha256").unwrap_or(false)) {
        return Err(TransportError::Protocol(
            "repositories with SHA-256 objects are not supported".to_owned(),
        ));
    }
    Ok((transport, handshake, is_cached))
}

/// Whether the error may mean that the cached advertisement is stale.
fn may_be_stale(error: &TransportError) -> bool {
    use TransportError::*;
    let refused = matches!(error, AuthenticationRequired(_) | AuthorizationFailed(_) | RepositoryNotFound(_));
    refused || matches!(error, Protocol(_) | Redirect(_) | Status { .. })
}

/// The failure that the transport saw, else what gix says.
fn explain(connection: &Connection, limits: &Limits, error: &gix::Error) -> TransportError {
    if let Some(error) = connection.failure.take() {
        return error;
    }
    if connection.deadline.is_over() {
        return TransportError::Deadline;
    }
    if error.is_resource_exhausted() {
        return TransportError::Limit { limit: limits.allocation_bytes as u64, what: Bound::ObjectBytes };
    }
    let text = chain(error);
    if text.contains("not our ref") {
        return TransportError::ObjectNotFound;
    }
    // Much of it may be the server's words.
    TransportError::Protocol(printable(text.as_bytes(), EXCERPT_BYTES))
}

fn remote_ref(from: &Ref) -> Option<RemoteRef> {
    let (name, object, peeled) = match from {
        Ref::Direct { full_ref_name, object } => (full_ref_name, object, None),
        Ref::Peeled { full_ref_name, tag, object } => (full_ref_name, tag, Some(object)),
        Ref::Symbolic { full_ref_name, tag, object, .. } => {
            (full_ref_name, tag.as_ref().unwrap_or(object), tag.as_ref().map(|_| object))
        }
        Ref::Unborn { .. } => return None,
    };
    if name.len() > REF_NAME_BYTES {
        return None;
    }
    gix::validate::reference::name(name.as_ref()).ok()?;
    let name = std::str::from_utf8(name).ok()?.to_owned();
    Some(RemoteRef { name, object: *object, peeled: peeled.copied() })
}

/// One round: these we want, these we have, send the pack. Right because what we have is always complete.
impl Negotiate for Request<'_> {
    fn mark_complete_and_common_ref(&mut self) -> gix::Result<Action> {
        Ok(Action::MustNegotiate { remote_ref_target_known: Vec::new() })
    }

    fn add_wants(&mut self, arguments: &mut Arguments, _known: &[bool]) -> bool {
        if self.depth == Depth::Commits && arguments.can_use_filter() {
            arguments.filter("tree:0");
        }
        for id in self.want {
            arguments.want(id);
        }
        !self.want.is_empty()
    }

    fn one_round(
        &mut self,
        _state: &mut one_round::State,
        arguments: &mut Arguments,
        previous: Option<&gix::protocol::fetch::Response>,
    ) -> gix::Result<(Round, bool)> {
        if previous.is_some() {
            // gix would go on asking for ever.
            return Err(gix::Error::from_error(std::io::Error::other("the server sent no pack")));
        }
        for id in self.have {
            arguments.have(id);
        }
        let haves = self.have.len();
        let round = Round {
            haves_sent: haves,
            in_vain: haves,
            haves_to_send: haves,
            previous_response_had_at_least_one_in_common: false,
        };
        Ok((round, true))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn id(number: usize) -> ObjectId {
        ObjectId::from_hex(format!("{number:040x}").as_bytes()).unwrap()
    }

    #[test]
    fn commits_of_very_many_tags_are_asked_for_by_what_is_advertised() {
        const MANY: usize = 100_000;
        let mut refs: Vec<_> = (1..=MANY)
            .map(|i| Ref::Peeled {
                full_ref_name: format!("refs/tags/{i}").into(),
                tag: id(MANY + i),
                object: id(i),
            })
            .collect();
        // One is advertised by itself, too.
        refs.push(Ref::Direct { full_ref_name: "refs/heads/a".into(), object: id(7) });
        let wanted: Vec<_> = (0..=MANY).map(id).collect();
        let asked = advertised(&refs, &wanted);
        assert_eq!(asked.len(), wanted.len());
        for (number, asked) in asked.into_iter().enumerate() {
            let expected = if matches!(number, 0 | 7) { number } else { MANY + number };
            assert_eq!(asked, id(expected));
        }
    }
}
