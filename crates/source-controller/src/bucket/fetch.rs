//! From a bucket to an index, and to a file with the objects that are not in the last artifact.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::Bucket;
use artifact::ignore::IGNORE_FILE;
use bucket::{Client, ListError, Object, RequestError, UnpackError, retried, unpacked, unpacked_bytes};
use budget::{Budget, Grant};
use bytes::BytesMut;
use futures::{StreamExt, TryStreamExt, stream};
use net::Deadline;
use runtime::error::TaskError;
use source::failure::{Failure, reason};

use super::index::{IgnoreFile, Index};
use super::snapshot::Snapshot;
use super::{layout, not_confirmed};

/// Objects of one bucket that are fetched at once.
const CONCURRENT_GETS: usize = 8;
/// Bytes that are written at once.
const WRITE_BYTES: usize = 256 << 10;
/// What the index of an object takes in memory beside its key and its etag.
const OBJECT_OVERHEAD_BYTES: u64 = 128;
/// The memory of an index is counted in such steps.
const MEMORY_STEP_BYTES: u64 = 64 << 10;
/// Objects may have grown since they were listed.
const ROOM_TO_GROW_BYTES: u64 = 1 << 20;

/// Where the content of each object of an index is.
pub struct Located {
    /// The place in the file of those that were fetched, as they are stored; the others are in the last artifact.
    pub offsets: Vec<Option<u64>>,
    pub file: File,
}

/// Bytes that the objects of one bucket may have.
#[derive(Clone, Copy)]
pub struct Space {
    /// As they come.
    pub room: u64,
    /// Those together that come packed, once unpacked.
    pub unpacked: u64,
}

/// A part of a file, without a place of its own.
pub struct Part<'a> {
    pub file: &'a File,
    pub at: u64,
    pub left: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(buffer.get_mut(..most).unwrap_or_default(), self.at)?;
        (self.at, self.left) = (self.at + read as u64, self.left - read as u64);
        Ok(read)
    }
}

/// Why a list is none.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error(transparent)]
    List(#[from] ListError),
    #[error("the lists of all buckets would take more than {0} bytes of memory")]
    Memory(u64),
}

/// All objects under the prefix, and the ignore file of the bucket, which is listed wherever the prefix leads. The grant is for
/// the memory that they take.
pub async fn list(
    client: &Client,
    object: &Bucket,
    memory: &Budget,
    namespace: &str,
    deadline: &Deadline,
) -> Result<(Vec<Object>, Option<Object>, Grant), Failure> {
    let prefix = object.spec.prefix.as_deref().unwrap_or_default();
    let (mut listed, mut bytes, mut grant) = (Vec::new(), 0_u64, memory.start(namespace));
    let mut take = |object: Object| {
        bytes += object.key.len() as u64 + object.etag.len() as u64 + OBJECT_OVERHEAD_BYTES;
        if bytes > grant.cost() {
            let step = bytes.next_multiple_of(MEMORY_STEP_BYTES);
            grant.try_grow(step).map_err(|exceeded| IndexError::Memory(exceeded.limit))?;
        }
        listed.push(object);
        Ok::<_, IndexError>(())
    };
    let mut result = client.list(prefix, deadline, &mut take).await;
    if result.is_ok() && !IGNORE_FILE.starts_with(prefix) {
        result = client.list(IGNORE_FILE, deadline, &mut take).await;
    }
    if let Err(error) = result {
        return Err(not_listed(client, object, error, listed.is_empty(), deadline).await);
    }
    let file = listed.iter().position(|object| object.key == IGNORE_FILE).map(|at| listed.swap_remove(at));
    listed.retain(|object| object.key.starts_with(prefix));
    Ok((listed, file, grant))
}

/// Flux asks first whether there is such a bucket. A list says the same; what kept it from being one is found out when it is none.
async fn not_listed(
    client: &Client,
    object: &Bucket,
    error: IndexError,
    is_first: bool,
    deadline: &Deadline,
) -> Failure {
    let name = &object.spec.bucket_name;
    if let (true, IndexError::List(ListError::Request(request))) = (is_first, &error) {
        let exists = match request {
            RequestError::Refused(refusal) if refusal.is_of_missing_bucket() => Ok(false),
            RequestError::Refused(_) => client.find(deadline).await,
            RequestError::Malformed { .. } | RequestError::TooLarge { .. } => Ok(true),
            unreachable => return not_confirmed(object, unreachable),
        };
        match exists {
            Ok(true) => {}
            Ok(false) => return bucket_failure(format!("bucket '{name}' not found")),
            Err(error) => return not_confirmed(object, &error),
        }
    }
    let text = format!("indexation of objects from bucket '{name}' failed");
    bucket_failure(format!("{text}: listing objects from bucket '{name}' failed: {error}"))
}

/// The text of the ignore file: the one that is known, if that is still it.
pub async fn ignore_file(
    client: &Client,
    listed: Option<&Object>,
    known: Option<&Snapshot>,
    limit: usize,
    deadline: &Deadline,
) -> Result<Option<IgnoreFile>, Failure> {
    let Some(listed) = listed else { return Ok(None) };
    let known = known.and_then(|snapshot| snapshot.ignore.as_ref());
    if let Some(known) = known.filter(|known| known.etag == listed.etag) {
        return Ok(Some(known.clone()));
    }
    let failed = |error: &dyn Display| {
        bucket_failure(format!("failed to get Etag for '{IGNORE_FILE}' object: {error}"))
    };
    let got = retried(deadline, GetError::request, || async {
        let Some(mut body) = client.get(listed, deadline).await? else { return Ok(None) };
        let mut text = Vec::new();
        while let Some(chunk) = body.chunk().await? {
            text.extend_from_slice(&chunk);
            // That there is more is all that counts.
            if text.len() > limit {
                break;
            }
        }
        if body.is_packed() && text.len() <= limit {
            let packed = std::mem::take(&mut text);
            let content = unpacked(packed.as_slice()).take(limit as u64 + 1).read_to_end(&mut text);
            content.map_err(UnpackError::from)?;
        }
        Ok(Some(IgnoreFile { etag: body.etag().to_owned(), text }))
    });
    got.await.map_err(|error| failed(&error))
}

/// The bytes that objects take that `known` does not have.
pub fn missing_bytes(index: &Index, known: Option<&Snapshot>) -> u64 {
    let missing = index.objects().iter().filter(|object| known_object(object, known).is_none());
    missing.fold(0, |sum, object| sum.saturating_add(object.size))
}

/// Room for [`missing_bytes`], and for what may have been added since.
pub fn room(missing: u64) -> u64 {
    if missing == 0 { 0 } else { missing.saturating_add(ROOM_TO_GROW_BYTES) }
}

/// The object as it is in the last artifact, if it is.
fn known_object<'a>(object: &Object, known: Option<&'a Snapshot>) -> Option<&'a Object> {
    let known = known.filter(|_| layout::is_path(&object.key))?;
    let same = known.index.objects().get(known.index.find(&object.key)?)?;
    Some(same).filter(|same| same.etag == object.etag && same.size == object.size)
}

/// Fetches the objects that `known` does not have into a file without a name. What is gone meanwhile is left out, and what has
/// changed counts as it has become.
pub async fn objects(
    client: &Client,
    object: &Bucket,
    index: Index,
    known: Option<&Snapshot>,
    space: Space,
    deadline: &Deadline,
) -> Result<(Index, Located), Failure> {
    let name = &object.spec.bucket_name;
    let failed = |why: &dyn Display| bucket_failure(format!("fetch from bucket '{name}' failed: {why}"));
    let file = Arc::new(tempfile::tempfile().map_err(|error| failed(&error))?);
    let (end, unpacked) = (AtomicU64::new(0), AtomicU64::new(0));
    let fetch = |listed: Object| {
        let sink = Sink { file: file.clone(), end: &end, unpacked: &unpacked, space };
        let same = known_object(&listed, known).cloned();
        async move {
            if let Some(same) = same {
                return Ok::<_, Failure>(Some((same, None)));
            }
            let got = sink.fetch(client, &listed, deadline).await;
            let got =
                got.map_err(|error| failed(&format!("failed to get '{}' object: {error}", listed.key)))?;
            if got.is_none() {
                tracing::info!("indexed object '{}' disappeared from '{name}' bucket", listed.key);
            }
            Ok(got.map(|(object, offset)| (object, Some(offset))))
        }
    };
    let got = stream::iter(index.into_objects().into_iter().map(fetch)).buffered(CONCURRENT_GETS);
    let got: Vec<Option<(Object, Option<u64>)>> = got.try_collect().await?;
    // In the order of the index, which has each key once.
    let (objects, offsets): (Vec<Object>, Vec<Option<u64>>) = got.into_iter().flatten().unzip();
    let file = file.try_clone().map_err(|error| failed(&error))?;
    Ok((Index::of(objects), Located { offsets, file }))
}

/// Where objects go as they come.
struct Sink<'a> {
    file: Arc<File>,
    /// Where the next one begins.
    end: &'a AtomicU64,
    /// Bytes that those have together that came packed.
    unpacked: &'a AtomicU64,
    space: Space,
}

/// Why there is no content.
#[derive(Debug, thiserror::Error)]
enum GetError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the objects have more bytes than were listed")]
    Room,
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    #[error("the objects have more than {0} bytes once unpacked (--bucket-temporary-max-size)")]
    Unpacked(u64),
    #[error("failed to write a temporary file: {0}")]
    Write(#[from] io::Error),
}

impl GetError {
    fn request(&self) -> Option<&RequestError> {
        match self {
            GetError::Request(error) => Some(error),
            _ => None,
        }
    }
}

impl Sink<'_> {
    /// The object as it is, and where its content begins.
    async fn fetch(
        &self,
        client: &Client,
        listed: &Object,
        deadline: &Deadline,
    ) -> Result<Option<(Object, u64)>, GetError> {
        // Of an attempt that failed the place can be taken by the next one.
        let place = std::sync::Mutex::new(None::<(u64, u64)>);
        let attempt = || async {
            let Some(mut body) = client.get(listed, deadline).await? else { return Ok(None) };
            let size = body.size();
            let known = *place.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let begin = match known.filter(|(_, former)| *former >= size) {
                Some((begin, _)) => begin,
                None => {
                    let begin = self.end.fetch_add(size, Ordering::Relaxed);
                    if begin.saturating_add(size) > self.space.room {
                        return Err(GetError::Room);
                    }
                    *place.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((begin, size));
                    begin
                }
            };
            let (mut at, mut buffer) = (begin, BytesMut::new());
            loop {
                let chunk = body.chunk().await?;
                let is_last = chunk.is_none();
                buffer.extend_from_slice(&chunk.unwrap_or_default());
                if (is_last && !buffer.is_empty()) || buffer.len() >= WRITE_BYTES {
                    let (file, bytes) = (self.file.clone(), buffer.split().freeze());
                    let length = bytes.len() as u64;
                    let written = tokio::task::spawn_blocking(move || file.write_all_at(&bytes, at)).await;
                    written.map_err(|error| io::Error::other(TaskError::from(error)))??;
                    at = at.saturating_add(length);
                }
                if is_last {
                    break;
                }
            }
            let (key, etag) = (listed.key.clone(), body.etag().to_owned());
            let unpacked = match body.is_packed() {
                true => Some(self.unpacked_bytes(begin, size, client.limits().object_bytes, deadline).await?),
                false => None,
            };
            Ok(Some((Object { key, etag, size, generation: None, unpacked }, begin)))
        };
        retried(deadline, GetError::request, attempt).await
    }

    /// What a packed object has once unpacked. It stays packed in the file, so it takes no more room.
    async fn unpacked_bytes(
        &self,
        at: u64,
        left: u64,
        limit: u64,
        deadline: &Deadline,
    ) -> Result<u64, GetError> {
        let (file, work) = (self.file.clone(), Deadline::new(deadline.remaining()));
        let _guard = work.cancel_on_drop();
        let counted =
            tokio::task::spawn_blocking(move || unpacked_bytes(Part { file: &file, at, left }, limit, &work));
        let bytes = counted.await.map_err(|error| io::Error::other(TaskError::from(error)))??;
        let before = self.unpacked.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.space.unpacked {
            return Err(GetError::Unpacked(self.space.unpacked));
        }
        Ok(bytes)
    }
}

/// Something about the bucket went wrong.
pub fn bucket_failure(message: String) -> Failure {
    Failure::fetch(reason::BUCKET_OPERATION_FAILED, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
