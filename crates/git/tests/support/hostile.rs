//! A smart HTTP server that says what it is told to say.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gix::ObjectId;

/// What it is asked: `info/refs`, `ls-refs` or `fetch`.
pub type Question<'a> = &'a str;

/// What it says: a head without the status line's protocol, a body, and what then comes again and again.
#[derive(Clone)]
pub struct Answer {
    pub head: String,
    pub body: Vec<u8>,
    pub endless: Option<(Vec<u8>, Duration)>,
}

impl Answer {
    pub fn of(kind: &str, body: impl Into<Vec<u8>>) -> Answer {
        let head = format!("200 OK\r\nContent-Type: application/x-git-upload-pack-{kind}");
        Answer { head, body: body.into(), endless: None }
    }

    pub fn then_for_ever(self, chunk: impl Into<Vec<u8>>, pause: Duration) -> Answer {
        Answer { endless: Some((chunk.into(), pause)), ..self }
    }
}

pub struct Hostile {
    port: u16,
    stop: Arc<AtomicBool>,
    /// Questions and headers of all requests.
    pub requests: Arc<Mutex<Vec<(String, String)>>>,
}

impl Hostile {
    pub fn start(answer: impl Fn(Question<'_>) -> Answer + Send + Sync + 'static) -> Hostile {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, requests) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<_>>>::default());
        let (stopped, seen, answer) = (stop.clone(), requests.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (seen, answer, stopped) = (seen.clone(), answer.clone(), stopped.clone());
                // Clients that hang up are the point.
                std::thread::spawn(move || serve(stream.unwrap(), &seen, &*answer, &stopped).is_ok());
            }
        });
        Hostile { port, stop, requests }
    }

    /// One branch at `commit`, and a pack for whoever asks.
    pub fn with_pack(commit: ObjectId, pack: Vec<u8>) -> Hostile {
        Hostile::with_fetch(commit, Answer::of("result", pack_answer(&pack)))
    }

    /// One branch at `commit`, and this answer to a fetch.
    pub fn with_fetch(commit: ObjectId, fetch: Answer) -> Hostile {
        Hostile::start(move |question| match question {
            "fetch" => fetch.clone(),
            "ls-refs" => Answer::of("result", lines(&[&format!("{commit} refs/heads/master\n")])),
            _ => Answer::of("advertisement", version_2()),
        })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/r", self.port)
    }

    pub fn questions(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(question, _)| question.clone()).collect()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// The packet line of `data`.
pub fn line(data: impl AsRef<[u8]>) -> Vec<u8> {
    let data = data.as_ref();
    [format!("{:04x}", data.len() + 4).as_bytes(), data].concat()
}

/// Packet lines and a flush.
pub fn lines(data: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes: Vec<u8> = data.iter().flat_map(line).collect();
    bytes.extend_from_slice(b"0000");
    bytes
}

/// What a server of protocol 2 begins with.
pub fn version_2() -> Vec<u8> {
    lines(&["version 2\n", "agent=git/hostile\n", "ls-refs=unborn\n", "fetch=shallow filter\n"])
}

/// What follows the word that a pack comes.
pub fn band(number: u8, data: &[u8]) -> Vec<u8> {
    data.chunks(65_000).flat_map(|chunk| line([&[number], chunk].concat())).collect()
}

/// An answer to a fetch that is all right, whatever the pack.
pub fn pack_answer(pack: &[u8]) -> Vec<u8> {
    [line("packfile\n"), band(1, pack), b"0000".to_vec()].concat()
}

fn serve(
    stream: TcpStream,
    seen: &Mutex<Vec<(String, String)>>,
    answer: &dyn Fn(Question<'_>) -> Answer,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let length =
        head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let question = match String::from_utf8_lossy(&body) {
        body if body.contains("command=ls-refs") => "ls-refs",
        body if body.is_empty() => "info/refs",
        _ => "fetch",
    };
    seen.lock().unwrap().push((question.to_owned(), head));
    let Answer { head, body, endless } = answer(question);
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&body)?;
    if let Some((chunk, pause)) = endless {
        while !stop.load(Ordering::Relaxed) {
            stream.write_all(&chunk)?;
            std::thread::sleep(pause);
        }
    }
    Ok(())
}
