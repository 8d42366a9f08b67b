//! An HTTP server that answers what it is told to answer, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use e2e::pki::Ca;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request: `METHOD /path?query`, its headers with names in lower case, its body.
#[derive(Clone, Debug)]
pub struct Question {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// What follows the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The next request.
    Next,
    /// The end of the connection.
    End,
    /// The last 64 KiB of the body, again and again.
    Endless,
    /// Nothing, and no end either.
    Silence,
}

#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    then: Then,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

type Script = dyn Fn(&Question) -> Answer + Send + Sync;

pub struct Hostile {
    port: u16,
    ca: Option<Ca>,
    stop: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<Question>>>,
}

impl Question {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn authorization(&self) -> Option<&str> {
        self.header("authorization")
    }

    pub fn is_head(&self) -> bool {
        self.line.starts_with("HEAD ")
    }
}

impl Answer {
    pub fn status(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: Vec::new(), then: Then::Next }
    }

    pub fn ok(body: impl Into<Vec<u8>>) -> Answer {
        Answer::status(200).body(body)
    }

    pub fn redirect(location: impl Into<String>) -> Answer {
        Answer::status(307).header("Location", location)
    }

    pub fn challenge(challenge: impl Into<String>) -> Answer {
        Answer::status(401).header("WWW-Authenticate", challenge)
    }

    pub fn body(self, body: impl Into<Vec<u8>>) -> Answer {
        Answer { body: body.into(), ..self }
    }

    /// Content-Length is sent unless it is given here, or the answer has no end.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Answer {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The body, as often as it fits.
    pub fn endless(self) -> Answer {
        Answer { then: Then::Endless, ..self }
    }

    /// The body, and then nothing any more.
    pub fn stalls(self) -> Answer {
        Answer { then: Then::Silence, ..self }
    }

    /// The body has no announced length and ends with the connection.
    pub fn until_the_end(self) -> Answer {
        Answer { then: Then::End, ..self }
    }
}

impl Hostile {
    /// Serves plain http. Pings are answered with 200, all else by the script.
    pub fn start(script: impl Fn(&Question) -> Answer + Send + Sync + 'static) -> Hostile {
        Hostile::serve(None, script)
    }

    /// The same by https.
    pub fn start_tls(script: impl Fn(&Question) -> Answer + Send + Sync + 'static) -> Hostile {
        e2e::init_tls();
        Hostile::serve(Some(Ca::new("hostile").unwrap()), script)
    }

    /// A server that accepts connections and says nothing.
    pub fn silent() -> Hostile {
        Hostile::start(|_| Answer { then: Then::Silence, ..Answer::status(0) })
    }

    /// Serves plain http, and lets whoever speaks TLS wait.
    pub fn start_mute_tls(script: impl Fn(&Question) -> Answer + Send + Sync + 'static) -> Hostile {
        Hostile::serve_with(None, true, script)
    }

    fn serve(ca: Option<Ca>, script: impl Fn(&Question) -> Answer + Send + Sync + 'static) -> Hostile {
        Hostile::serve_with(ca, false, script)
    }

    fn serve_with(
        ca: Option<Ca>,
        mute_tls: bool,
        script: impl Fn(&Question) -> Answer + Send + Sync + 'static,
    ) -> Hostile {
        let tls = ca.as_ref().map(|ca| {
            let identity = ca.issue(&["127.0.0.1", "localhost"]).unwrap();
            let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap())
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<_>>>::default());
        let (stopped, seen, script) =
            (stop.clone(), asked.clone(), Arc::<Script>::from(Box::new(script) as Box<Script>));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (seen, script, tls, mut stream) =
                    (seen.clone(), script.clone(), tls.clone(), stream.unwrap());
                // Clients that hang up are the point.
                std::thread::spawn(move || match tls {
                    None if mute_tls && is_tls(&stream) => stream.read_to_end(&mut Vec::new()).is_ok(),
                    None => answer_all(stream, &seen, &*script).is_ok(),
                    Some(tls) => {
                        let connection = ServerConnection::new(tls).unwrap();
                        answer_all(StreamOwned::new(connection, stream), &seen, &*script).is_ok()
                    }
                });
            }
        });
        Hostile { port, ca, stop, asked }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The same server under another name.
    pub fn other_address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    pub fn ca_pem(&self) -> Vec<u8> {
        self.ca.as_ref().unwrap().pem().as_bytes().to_vec()
    }

    /// What it was asked, without pings.
    pub fn asked(&self) -> Vec<Question> {
        self.asked.lock().unwrap().iter().filter(|question| question.line != "GET /v2/").cloned().collect()
    }

    /// The same without headers.
    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|question| question.line).collect()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Whether the client begins with a handshake.
fn is_tls(stream: &TcpStream) -> bool {
    let mut first = [0];
    matches!(stream.peek(&mut first), Ok(1)) && first == [0x16]
}

fn answer_all(stream: impl Stream, seen: &Mutex<Vec<Question>>, script: &Script) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(question) = read(&mut stream)? {
        seen.lock().unwrap().push(question.clone());
        let answer = match script(&question) {
            answer if answer.status == 0 => answer,
            _ if question.line == "GET /v2/" => Answer::status(200),
            answer => answer,
        };
        write(stream.get_mut(), &question, &answer)?;
        match answer.then {
            Then::Next => {}
            Then::End => return Ok(()),
            Then::Endless => loop {
                stream.get_mut().write_all(&answer.body)?;
            },
            // Ends when the client does.
            Then::Silence => return stream.read_to_end(&mut Vec::new()).map(drop),
        }
    }
    Ok(())
}

fn read(stream: &mut BufReader<impl Read>) -> std::io::Result<Option<Question>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let line = lines.first().cloned().unwrap_or_default();
    let headers: Vec<(String, String)> = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map(|(_, value)| value.parse().unwrap()).unwrap_or_default()];
    stream.read_exact(&mut body)?;
    let line = line.trim_end_matches(" HTTP/1.1").to_owned();
    Ok(Some(Question { line, headers, body: String::from_utf8_lossy(&body).into_owned() }))
}

fn write(stream: &mut impl Write, question: &Question, answer: &Answer) -> std::io::Result<()> {
    if answer.status == 0 {
        return Ok(());
    }
    let mut head = format!("HTTP/1.1 {} Whatever\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let has_length = answer.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    match answer.then {
        Then::Next if !has_length => head.push_str(&format!("Content-Length: {}\r\n", answer.body.len())),
        Then::End | Then::Endless => head.push_str("Connection: close\r\n"),
        _ => {}
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    if !question.is_head() {
        stream.write_all(&answer.body)?;
    }
    stream.flush()
}
