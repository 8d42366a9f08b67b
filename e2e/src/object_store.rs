//! What the servers of object stores have in common: one bucket in memory, the requests that came, and the faults that they are told
//! to have.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzEncoder;
use http::Response;
use http::response::Builder;
use http_body_util::Full;
use sha2::{Digest, Sha256};

/// The bucket.
pub const BUCKET: &str = "team";

/// A bucket that tests fill; clones are the same one.
#[derive(Clone, Debug)]
pub struct ObjectStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Mutex<Shared>,
    etag: fn(&[u8], u64) -> String,
}

/// An object.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub content: Bytes,
    /// Without quotes.
    pub etag: String,
    /// Counts the writes to the store.
    pub generation: u64,
    /// The header `Content-Encoding`, if it has one.
    pub encoding: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub objects: BTreeMap<String, Stored>,
    generation: u64,
    requests: Vec<String>,
    page: usize,
    /// Answers to the next requests of a sort: how many, which sort, status and body.
    faults: Vec<(usize, String, u16, String)>,
    /// Objects that are removed or replaced after the next list.
    after_list: Vec<(String, Option<String>)>,
    /// Continuation tokens lead back to the beginning.
    circle: bool,
}

impl ObjectStore {
    /// An empty bucket whose objects have etags by content and number of the write.
    pub(crate) fn new(etag: fn(&[u8], u64) -> String) -> Self {
        let shared = Mutex::new(Shared { page: 1000, ..Shared::default() });
        Self(Arc::new(Inner { shared, etag }))
    }

    /// Stores an object.
    pub fn put(&self, key: &str, content: &str) {
        self.write(&mut self.lock(), key, content.to_owned().into(), None);
    }

    /// Stores an object whose content is as `encoding` says.
    pub fn put_encoded(&self, key: &str, content: &[u8], encoding: &str) {
        let (content, encoding) = (Bytes::copy_from_slice(content), Some(encoding.to_owned()));
        self.write(&mut self.lock(), key, content, encoding);
    }

    /// Removes an object.
    pub fn remove(&self, key: &str) {
        self.lock().objects.remove(key);
    }

    /// The etag of an object.
    pub fn etag(&self, key: &str) -> Option<String> {
        self.lock().objects.get(key).map(|object| object.etag.clone())
    }

    /// Objects in one page of a list.
    pub fn set_page(&self, objects: usize) {
        self.lock().page = objects;
    }

    /// Whether lists never end.
    pub fn set_circle(&self, circle: bool) {
        self.lock().circle = circle;
    }

    /// The next `count` requests whose line begins with `line` get this answer.
    pub fn fail(&self, count: usize, line: &str, status: u16, body: &str) {
        self.lock().faults.push((count, line.to_owned(), status, body.to_owned()));
    }

    /// No more faults.
    pub fn heal(&self) {
        let mut shared = self.lock();
        shared.faults.clear();
        shared.circle = false;
    }

    /// After the next list the object is gone, or has this content.
    pub fn after_list(&self, key: &str, content: Option<&str>) {
        self.lock().after_list.push((key.to_owned(), content.map(str::to_owned)));
    }

    /// The requests since the last call, such as `GET list` and `GET object <key>`.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().requests)
    }

    /// Writes a request down, and gives the fault that it meets.
    pub(crate) fn asked(&self, line: &str) -> anyhow::Result<Option<Response<Full<Bytes>>>> {
        let mut shared = self.lock();
        shared.requests.push(line.to_owned());
        let met = |fault: &&mut (usize, String, u16, String)| fault.0 > 0 && line.starts_with(&fault.1);
        let Some(fault) = shared.faults.iter_mut().find(met) else { return Ok(None) };
        fault.0 -= 1;
        let (status, text) = (fault.2, fault.3.clone());
        let response = Response::builder().status(status).header("location", "http://127.0.0.1:1/");
        Ok(Some(response.body(text.into())?))
    }

    /// An object as it is.
    pub(crate) fn find(&self, key: &str) -> Option<Stored> {
        self.lock().objects.get(key).cloned()
    }

    /// One page of a list, which begins after a key, and the last key of it if there is more.
    pub(crate) fn page(
        &self,
        prefix: &str,
        after: &str,
        most: usize,
    ) -> (Vec<(String, Stored)>, Option<String>) {
        let mut shared = self.lock();
        let after = if shared.circle { "" } else { after };
        let wanted = |(key, _): &(&String, &Stored)| key.starts_with(prefix) && key.as_str() > after;
        let mut found = shared.objects.range(after.to_owned()..).filter(wanted).peekable();
        let page =
            found.by_ref().take(shared.page.min(most)).map(|(key, object)| (key.clone(), object.clone()));
        let page: Vec<_> = page.collect();
        let is_truncated = shared.circle || found.peek().is_some();
        let next = page.last().map(|(key, _)| key.clone()).filter(|_| is_truncated);
        for (key, content) in std::mem::take(&mut shared.after_list) {
            match content {
                None => drop(shared.objects.remove(&key)),
                Some(text) => self.write(&mut shared, &key, text.into(), None),
            }
        }
        (page, next)
    }

    fn write(&self, shared: &mut Shared, key: &str, content: Bytes, encoding: Option<String>) {
        shared.generation += 1;
        let generation = shared.generation;
        let etag = (self.0.etag)(&content, generation);
        shared.objects.insert(key.to_owned(), Stored { content, etag, generation, encoding });
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored {
    /// The answer with its content.
    pub(crate) fn response(self, answer: Builder) -> anyhow::Result<Response<Full<Bytes>>> {
        let answer = match self.encoding {
            Some(encoding) => answer.header("content-encoding", encoding),
            None => answer,
        };
        Ok(answer.body(Full::new(self.content))?)
    }
}

/// A content as a gzip stream.
pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    // Reading and writing bytes in memory cannot fail.
    let _ = GzEncoder::new(content, Compression::fast()).read_to_end(&mut packed);
    packed
}

/// HMAC with SHA-256 (RFC 2104), for keys of no more than a block.
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |byte: u8| {
        let mut block = vec![byte; 64];
        block.iter_mut().zip(key).for_each(|(block, key)| *block ^= key);
        block
    };
    let inner = Sha256::digest([&pad(0x36)[..], message].concat());
    Sha256::digest([&pad(0x5c)[..], &inner].concat()).to_vec()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The pairs of a query or a form.
pub(crate) fn query(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(&key.replace('+', " ")), decode(&value.replace('+', " "))))
        .collect()
}

pub(crate) fn decode(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        let code = (*first == b'%').then(|| tail.get(..2)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) fn encode(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
