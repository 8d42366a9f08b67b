//! Git through proxies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::net::TcpListener;
use std::time::Duration;

use e2e::proxy::ProxyServer;
use e2e::sshd::{SshServer, keygen};
use git::{Auth, Cache, Connector, Limits, Outcome, Reference, Remote};
use net::{Deadline, Proxy, TlsConfig};
use secret::Secret;
use support::{Repository, Server, pki};
use tempfile::TempDir;

fn repository(server: &Server) -> Repository {
    let repository = server.repository("r");
    repository.write("f", "content");
    repository.commit("one");
    repository
}

fn fetch(remote: &Remote) -> Result<(), String> {
    let cache = TempDir::new().unwrap();
    let cache = Cache::new(cache.path().to_owned(), Limits::default());
    let deadline = Deadline::new(Duration::from_secs(20));
    let outcome = cache.checkout(&Connector::default(), remote, &Reference::default(), None, &deadline);
    match outcome.map_err(|error| error.to_string())? {
        Outcome::Checkout(_) => Ok(()),
        Outcome::Unchanged(_) => panic!("nothing was known"),
    }
}

fn proxy(address: &str, account: Option<(&str, &str)>) -> Proxy {
    Proxy::new(address, account.map(|(user, password)| (user.to_owned(), Secret::new(password)))).unwrap()
}

fn address(scheme: &str, server: &ProxyServer) -> String {
    format!("{scheme}://127.0.0.1:{}", server.port)
}

#[test]
fn http_goes_through_every_kind_of_proxy() {
    let server = Server::start();
    repository(&server);
    let remote = Remote::new(&server.url("r")).unwrap();
    let target = format!("127.0.0.1:{}", server.port);
    let asked = [format!("GET {target}"), format!("POST {target}"), format!("POST {target}")];

    let http = ProxyServer::http(None);
    fetch(&remote.clone().with_proxy(proxy(&address("http", &http), None))).unwrap();
    assert_eq!(http.take(), asked);

    let socks = ProxyServer::socks5(None);
    fetch(&remote.clone().with_proxy(proxy(&address("socks5", &socks), None))).unwrap();
    let seen = socks.take();
    assert!(!seen.is_empty() && seen.iter().all(|line| *line == format!("SOCKS5 {target}")), "{seen:?}");

    let pki = pki(false);
    let https = ProxyServer::https(pki.server.clone());
    let tls = TlsConfig { ca_bundle: Some(pki.ca_pem.clone().into_bytes()), client: None };
    fetch(&remote.clone().with_tls(tls).with_proxy(proxy(&address("https", &https), None))).unwrap();
    assert_eq!(https.take(), asked);
    assert_eq!(server.traffic().0.len(), 9, "all of it arrived");
}

#[test]
fn https_is_tunnelled_and_names_are_resolved_by_the_proxy() {
    let pki = pki(false);
    let server = Server::with_tls(Some(pki.server.clone()));
    repository(&server);
    let tls = TlsConfig { ca_bundle: Some(pki.ca_pem.clone().into_bytes()), client: None };
    let remote = Remote::new(&server.url("r").replace("http:", "https:")).unwrap().with_tls(tls);
    let target = format!("127.0.0.1:{}", server.port);

    let http = ProxyServer::http(None);
    fetch(&remote.clone().with_proxy(proxy(&address("http", &http), None))).unwrap();
    let seen = http.take();
    assert!(!seen.is_empty() && seen.iter().all(|line| *line == format!("CONNECT {target}")), "{seen:?}");

    let socks = ProxyServer::socks5(None);
    fetch(&remote.clone().with_proxy(proxy(&address("socks5", &socks), None))).unwrap();
    assert!(!socks.take().is_empty());
    let unknown = Remote::new("https://git.invalid/r").unwrap();
    fetch(&unknown.with_proxy(proxy(&address("socks5", &socks), None))).unwrap_err();
    assert_eq!(socks.take(), ["SOCKS5 git.invalid:443"]);
}

#[test]
fn proxies_get_user_and_password_and_nobody_else_does() {
    let server = Server::start();
    repository(&server);
    let remote = Remote::new(&server.url("r")).unwrap();
    let account = Some(("pat", "pr0xy pass"));
    let http = ProxyServer::http(account);
    let socks = ProxyServer::socks5(account);
    for (scheme, proxy_server) in [("http", &http), ("socks5", &socks)] {
        let through = |proxy| fetch(&remote.clone().with_proxy(proxy));
        let plain = address(scheme, proxy_server);
        through(proxy(&plain, account)).unwrap_or_else(|e| panic!("{scheme}: {e}"));
        let in_url = plain.replace("://", "://pat:pr0xy%20pass@");
        through(proxy(&in_url, None)).unwrap_or_else(|e| panic!("{scheme}: {e}"));
        let error = through(proxy(&plain, Some(("pat", "wr0ng")))).unwrap_err();
        assert!(!error.contains("wr0ng"), "{error}");
        let error = through(proxy(&in_url.replace("pr0xy", "wr0ng"), None)).unwrap_err();
        assert!(!error.contains("wr0ng"), "{error}");
        through(proxy(&plain, None)).unwrap_err();
    }
}

#[test]
fn a_dead_proxy_is_an_error_not_a_way_around() {
    let server = Server::start();
    repository(&server);
    let remote = Remote::new(&server.url("r")).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for scheme in ["http", "https", "socks5"] {
        let dead = proxy(&format!("{scheme}://me:s3cret@127.0.0.1:{port}"), None);
        let error = fetch(&remote.clone().with_proxy(dead)).unwrap_err();
        assert!(error.contains("(Connect)") && !error.contains("s3cret"), "{scheme}: {error}");
    }
    assert_eq!(server.traffic().0.len(), 0);
}

#[test]
fn ssh_goes_through_socks5_only() {
    let files = Server::start();
    let repository = repository(&files);
    let ssh = SshServer::start(&["ed25519"]);
    let key = keygen(ssh.dir.path(), "user", "ed25519", &[]);
    ssh.authorize(&key);
    let remote = |url: &str, known_hosts: String| {
        let auth = Auth::Key { identity: Secret::new(&key.private), passphrase: None, known_hosts };
        Remote::new(url).unwrap().with_auth(auth).unwrap()
    };
    let direct = remote(&ssh.url(&repository.bare), ssh.known_hosts());
    let target = format!("127.0.0.1:{}", ssh.port);

    let open = ProxyServer::socks5(None);
    fetch(&direct.clone().with_proxy(proxy(&address("socks5", &open), None))).unwrap();
    assert_eq!(open.take(), [format!("SOCKS5 {target}")]);

    let account = Some(("pat", "pr0xy"));
    let closed = ProxyServer::socks5(account);
    fetch(&direct.clone().with_proxy(proxy(&address("socks5", &closed), account))).unwrap();
    let refused = |proxy| fetch(&direct.clone().with_proxy(proxy)).unwrap_err();
    let at = format!("proxy: socks5 127.0.0.1:{}: ", closed.port);
    let wrong = refused(proxy(&address("socks5", &closed), Some(("pat", "wr0ng"))));
    assert!(wrong.ends_with(&format!("{at}user and password were refused")), "{wrong}");
    let anonymous = refused(proxy(&address("socks5", &closed), None));
    assert!(anonymous.ends_with(&format!("{at}no acceptable authentication method")), "{anonymous}");

    let http = ProxyServer::http(None);
    let error = refused(proxy(&address("http", &http), None));
    assert!(error.ends_with("proxy: unknown scheme: http (SSH needs socks5)"), "{error}");
    assert!(http.take().is_empty());

    let gone = remote("ssh://git.invalid/r", ssh.known_hosts());
    let error = fetch(&gone.with_proxy(proxy(&address("socks5", &open), None))).unwrap_err();
    assert!(error.ends_with(": connection refused"), "{error}");
    assert_eq!(open.take(), ["SOCKS5 git.invalid:22"], "the proxy resolves names");
}

/// The environment of a process is its own, so the test runs itself once more, with another one.
#[test]
fn the_environment_names_proxies_too() {
    if let Ok(url) = std::env::var("FETCH_URL") {
        let mut remote = Remote::new(&url).unwrap();
        if let (Ok(identity), Ok(known_hosts)) =
            (std::env::var("FETCH_KEY"), std::env::var("FETCH_KNOWN_HOSTS"))
        {
            let identity = Secret::new(std::fs::read_to_string(identity).unwrap());
            remote = remote.with_auth(Auth::Key { identity, passphrase: None, known_hosts }).unwrap();
        }
        return fetch(&remote).unwrap();
    }
    let run = |environment: &[(&str, &str)]| {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "the_environment_names_proxies_too"]).envs(environment.iter().copied());
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    };
    let server = Server::start();
    let repository = repository(&server);
    let (http, socks) = (ProxyServer::http(None), ProxyServer::socks5(None));
    let (url, http_address, socks_address) =
        (server.url("r"), address("http", &http), address("socks5", &socks));
    run(&[("FETCH_URL", &url), ("HTTP_PROXY", &http_address)]);
    assert_eq!(http.take().len(), 3);
    run(&[("FETCH_URL", &url), ("HTTP_PROXY", &http_address), ("NO_PROXY", "127.0.0.0/8")]);
    assert_eq!(http.take().len(), 0);

    let ssh = SshServer::start(&["ed25519"]);
    let key = keygen(ssh.dir.path(), "user", "ed25519", &[]);
    ssh.authorize(&key);
    let (url, known) = (ssh.url(&repository.bare), ssh.known_hosts());
    let identity = key.path.to_str().unwrap();
    let fetch = [("FETCH_URL", url.as_str()), ("FETCH_KEY", identity), ("FETCH_KNOWN_HOSTS", &known)];
    run(&[&fetch[..], &[("ALL_PROXY", &socks_address)]].concat());
    assert_eq!(socks.take().len(), 1);
    run(&[&fetch[..], &[("ALL_PROXY", &socks_address), ("NO_PROXY", "127.0.0.1")]].concat());
    run(&[&fetch[..], &[("HTTP_PROXY", &http_address), ("HTTPS_PROXY", &http_address)]].concat());
    assert_eq!((socks.take().len(), http.take().len()), (0, 0));
}
