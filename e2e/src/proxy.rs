//! Small real proxies for tests: HTTP (with CONNECT, also over TLS) and SOCKS5, with user and password or without.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A running proxy; takes no more connections when dropped.
#[derive(Debug)]
pub struct ProxyServer {
    /// On the loopback address.
    pub port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

type Account = Option<(String, String)>;

impl ProxyServer {
    /// An HTTP proxy.
    pub fn http(account: Option<(&str, &str)>) -> ProxyServer {
        let expected = account.map(|(u, p)| format!("Basic {}", STANDARD.encode(format!("{u}:{p}"))));
        ProxyServer::start(move |stream, log| serve_http(stream, expected.as_deref(), None, log))
    }

    /// An HTTP proxy that leads connections to all hosts whose name ends with `suffix` to a port of the loopback address.
    pub fn redirecting(suffix: &str, port: u16) -> ProxyServer {
        let suffix = suffix.to_owned();
        ProxyServer::start(move |stream, log| serve_http(stream, None, Some((&suffix, port)), log))
    }

    /// An HTTP proxy that itself speaks TLS; only for plain http behind it.
    pub fn https(tls: Arc<rustls::ServerConfig>) -> ProxyServer {
        ProxyServer::start(move |stream, log| {
            let connection = rustls::ServerConnection::new(tls.clone()).map_err(io::Error::other)?;
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let (line, headers, body) = read_request(&mut BufReader::new(&mut stream))?;
            let (mut upstream, request) = forward(&line, &headers, log)?;
            upstream.write_all(request.as_bytes())?;
            upstream.write_all(&body)?;
            io::copy(&mut upstream, &mut stream)?;
            stream.conn.send_close_notify();
            stream.flush()
        })
    }

    /// A SOCKS5 proxy.
    pub fn socks5(account: Option<(&str, &str)>) -> ProxyServer {
        let account: Account = account.map(|(u, p)| (u.to_owned(), p.to_owned()));
        ProxyServer::start(move |stream, log| serve_socks5(stream, &account, log))
    }

    fn start(
        serve: impl Fn(TcpStream, &Mutex<Vec<String>>) -> io::Result<()> + Send + Sync + 'static,
    ) -> ProxyServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, stop): (Arc<Mutex<Vec<String>>>, Arc<AtomicBool>) = Default::default();
        let (log, stopped, serve) = (requests.clone(), stop.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (log, serve) = (log.clone(), serve.clone());
                std::thread::spawn(move || serve(stream, &log));
            }
        });
        ProxyServer { port, requests, stop }
    }

    /// What it was asked for since the last call: a method and `host:port`.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

impl Drop for ProxyServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn read_request(reader: &mut impl BufRead) -> io::Result<(String, Vec<String>, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim().is_empty() {
            break;
        }
        headers.push(header.trim_end().to_owned());
    }
    let mut body = vec![0; value(&headers, "content-length").and_then(|v| v.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok((line, headers, body))
}

fn value<'a>(headers: &'a [String], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find_map(|h| h.split_once(':').filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()))
}

/// Connects to the host of an absolute URL; gives the request as that host wants it.
fn forward(line: &str, headers: &[String], log: &Mutex<Vec<String>>) -> io::Result<(TcpStream, String)> {
    let (method, rest) = line.split_once(" http://").ok_or_else(|| io::Error::other("no absolute URL"))?;
    let (host, path) = rest.split_once('/').unwrap();
    log.lock().unwrap().push(format!("{method} {host}"));
    let kept = headers.iter().filter(|h| !h.to_ascii_lowercase().starts_with("proxy-"));
    let head: String = kept.map(|h| format!("{h}\r\n")).collect();
    Ok((TcpStream::connect(host)?, format!("{method} /{path}{head}\r\n")))
}

fn serve_http(
    mut stream: TcpStream,
    expected: Option<&str>,
    redirected: Option<(&str, u16)>,
    log: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let (line, headers, body) = read_request(&mut BufReader::new(stream.try_clone()?))?;
    if expected.is_some() && value(&headers, "proxy-authorization") != expected {
        let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n";
        return write!(stream, "{answer}Connection: close\r\nContent-Length: 0\r\n\r\n");
    }
    if let Some(rest) = line.strip_prefix("CONNECT ") {
        let host = rest.split(' ').next().unwrap();
        log.lock().unwrap().push(format!("CONNECT {host}"));
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let upstream = match redirected {
            Some((suffix, port)) if name.ends_with(suffix) => TcpStream::connect(("127.0.0.1", port))?,
            _ => TcpStream::connect(host)?,
        };
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
        return pipe(stream, upstream);
    }
    let (mut upstream, request) = forward(&line, &headers, log)?;
    upstream.write_all(request.as_bytes())?;
    upstream.write_all(&body)?;
    pipe(stream, upstream)
}

fn pipe(client: TcpStream, server: TcpStream) -> io::Result<()> {
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    let upload = std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut from, mut to) = (server, client);
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
    let _ = upload.join();
    Ok(())
}

fn serve_socks5(mut stream: TcpStream, account: &Account, log: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut read = |count: usize| {
        let mut bytes = vec![0; count];
        stream.read_exact(&mut bytes).map(|()| bytes)
    };
    let methods = usize::from(read(2)?[1]);
    let methods = read(methods)?;
    let wanted = if account.is_some() { 2 } else { 0 };
    if !methods.contains(&wanted) {
        return stream.write_all(&[5, 0xff]);
    }
    stream.write_all(&[5, wanted])?;
    let mut read = |count: usize| {
        let mut bytes = vec![0; count];
        stream.read_exact(&mut bytes).map(|()| bytes)
    };
    if let Some((user, password)) = account {
        let mut text = |skip: usize| -> io::Result<String> {
            let length = read(skip + 1)?[skip];
            Ok(String::from_utf8_lossy(&read(length.into())?).into_owned())
        };
        let right = (&text(1)?, &text(0)?) == (user, password);
        stream.write_all(&[1, u8::from(!right)])?;
        if !right {
            return Ok(());
        }
    }
    let mut read = |count: usize| {
        let mut bytes = vec![0; count];
        stream.read_exact(&mut bytes).map(|()| bytes)
    };
    let host = match read(4)?[3] {
        1 => read(4)?.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        3 => {
            let length = read(1)?[0];
            String::from_utf8_lossy(&read(length.into())?).into_owned()
        }
        _ => return stream.write_all(&[5, 8, 0, 1, 0, 0, 0, 0, 0, 0]),
    };
    let port = read(2)?;
    let target = format!("{host}:{}", u16::from_be_bytes([port[0], port[1]]));
    log.lock().unwrap().push(format!("SOCKS5 {target}"));
    match TcpStream::connect(&target) {
        Ok(upstream) => {
            stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
            pipe(stream, upstream)
        }
        Err(_) => stream.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]),
    }
}
