//! A server that answers requests as it is told, counts them and keeps their text.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use artifact::{
    archive::ArchiveWriter,
    digest::{Algorithm, Digest},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::sleep,
};

/// What to do with a request.
#[derive(Clone)]
pub enum Reply {
    /// Send these bytes and close the connection.
    Raw(Vec<u8>),
    /// Send these bytes, then the second ones again and again with a pause between, without end.
    Endless(Vec<u8>, Vec<u8>, Duration),
}

pub struct Scripted {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Reply {
    pub fn status(line: &str) -> Self {
        Self::with_headers(line, "", b"")
    }

    pub fn ok(body: &[u8]) -> Self {
        Self::with_headers("200 OK", "", body)
    }

    /// `headers` as lines, each with its end.
    pub fn with_headers(line: &str, headers: &str, body: &[u8]) -> Self {
        let length = body.len();
        let head =
            format!("HTTP/1.1 {line}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
        Self::Raw([head.as_bytes(), body].concat())
    }
}

impl Scripted {
    /// Answers the n-th request with the n-th reply, and all after the last with the last one.
    pub async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (replies, seen) = (replies.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    let mut text = Vec::new();
                    while !text.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        if stream.read_exact(&mut byte).await.is_err() {
                            return;
                        }
                        text.extend(byte);
                    }
                    let number = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(String::from_utf8(text).unwrap());
                        seen.len() - 1
                    };
                    match &replies[number.min(replies.len() - 1)] {
                        Reply::Raw(bytes) => drop(stream.write_all(bytes).await),
                        Reply::Endless(head, more, pause) => {
                            let mut result = stream.write_all(head).await;
                            while result.is_ok() {
                                sleep(*pause).await;
                                result = stream.write_all(more).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

/// An archive with one file and its digest.
pub fn archive(content: &str) -> (Vec<u8>, Digest) {
    let mut archive = ArchiveWriter::new(Vec::new(), Algorithm::Sha256).unwrap();
    archive.file(b"file", false, content.len() as u64, &mut content.as_bytes()).unwrap();
    let (written, bytes) = archive.finish().unwrap();
    (bytes, written.digest)
}
