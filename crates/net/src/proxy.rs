//! Proxies between us and a server.

use hyper_util::client::proxy::matcher::Matcher;
use secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use crate::{ClientError, percent_decode, redact, remove_credentials};

/// Bytes that the address of a proxy may have.
const MAX_ADDRESS_BYTES: usize = 2048;

/// The address is not one of a proxy.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProxyError {
    /// More bytes than anybody needs.
    #[error("proxy URL exceeds maximum length of {MAX_ADDRESS_BYTES} characters")]
    TooLong,
    /// Not a URL at all.
    #[error("failed to parse proxy address '{address}': {source}")]
    Invalid {
        /// The address, redacted.
        address: String,
        /// Why not.
        source: url::ParseError,
    },
    /// Nothing that we can speak.
    #[error("proxy URL must use one of the supported schemes (http, https, socks5), got '{0}'")]
    Scheme(String),
}

/// Why a proxy gives no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It speaks HTTP, which carries requests but not connections.
    #[error("unknown scheme: {0} (SSH needs socks5)")]
    Scheme(String),
    /// It was not reached, or refuses.
    #[error("socks5 {address}: {source}")]
    Socks5 {
        /// Host and port of the proxy.
        address: String,
        /// What it says.
        source: std::io::Error,
    },
}

/// An HTTP or SOCKS5 proxy. Names are resolved by the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// Without user and password.
    url: Url,
    credentials: Option<(String, Secret)>,
}

impl Proxy {
    /// Reads an address such as `http://proxy:3128`; user and password in it are used if there are no `credentials`.
    ///
    /// # Errors
    /// For what is no address of a proxy.
    pub fn new(address: &str, credentials: Option<(String, Secret)>) -> Result<Proxy, ProxyError> {
        if address.len() > MAX_ADDRESS_BYTES {
            return Err(ProxyError::TooLong);
        }
        let invalid = |source| ProxyError::Invalid { address: redact(address), source };
        let mut url = Url::parse(address).map_err(invalid)?;
        if !matches!(url.scheme(), "http" | "https" | "socks5") {
            return Err(ProxyError::Scheme(url.scheme().to_owned()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(invalid(url::ParseError::EmptyHost));
        }
        let password = || Secret::new(percent_decode(url.password().unwrap_or_default()));
        let in_url = (!url.username().is_empty()).then(|| (percent_decode(url.username()), password()));
        remove_credentials(&mut url);
        Ok(Proxy { url, credentials: credentials.or(in_url) })
    }

    /// Its address, without user and password.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// User and password that it asks for.
    pub fn credentials(&self) -> Option<(&str, &Secret)> {
        self.credentials.as_ref().map(|(username, password)| (username.as_str(), password))
    }

    /// What `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say about requests to a server, as Go reads them. A value that is no address of
    /// a proxy is none.
    pub fn of_environment(server: &Url, variable: impl Fn(&str) -> Option<String>) -> Option<Proxy> {
        let read = |upper: &str| variable(upper).or_else(|| variable(&upper.to_lowercase()));
        let name = if server.scheme() == "https" { "HTTPS_PROXY" } else { "HTTP_PROXY" };
        let address = read(name).filter(|address| !address.is_empty())?;
        let whole = if address.contains("://") { address } else { format!("http://{address}") };
        let proxy = Proxy::new(&whole, None).ok()?;
        let rules = Matcher::builder().all(whole).no(read("NO_PROXY").unwrap_or_default()).build();
        rules.intercept(&server.as_str().parse().ok()?).map(|_| proxy)
    }

    /// What `ALL_PROXY` and `NO_PROXY` say about a connection that is not HTTP: only SOCKS5 can carry it.
    pub fn from_environment(
        host: &str,
        port: u16,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Option<Proxy> {
        let read = |upper: &str| variable(upper).or_else(|| variable(&upper.to_lowercase()));
        let all = read("ALL_PROXY")?.replacen("socks5h://", "socks5://", 1);
        let proxy = Proxy::new(&all, None).ok().filter(|proxy| proxy.url.scheme() == "socks5")?;
        let rules = Matcher::builder().all(all).no(read("NO_PROXY").unwrap_or_default()).build();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let target = format!("https://{host}:{port}/").parse().ok()?;
        rules.intercept(&target).map(|_| proxy)
    }

    /// The same for the HTTP client.
    pub(crate) fn for_http(&self) -> Result<reqwest::Proxy, ClientError> {
        // With `socks5` the client would resolve names itself.
        let address = self.url.as_str().replacen("socks5://", "socks5h://", 1);
        let proxy = reqwest::Proxy::all(address).map_err(|e| ClientError::Proxy(e.to_string()))?;
        Ok(match &self.credentials {
            Some((username, password)) => proxy.basic_auth(username, password.expose()),
            None => proxy,
        })
    }

    /// A connection to `host` through this proxy.
    ///
    /// # Errors
    /// For a proxy of HTTP, and what the proxy says.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        if self.url.scheme() != "socks5" {
            return Err(ConnectError::Scheme(self.url.scheme().to_owned()));
        }
        let address = (self.url.host_str().unwrap_or_default(), self.url.port().unwrap_or(1080));
        let address = (address.0.trim_matches(['[', ']']), address.1);
        let failed =
            |source| ConnectError::Socks5 { address: format!("{}:{}", address.0, address.1), source };
        let mut stream = TcpStream::connect(address).await.map_err(failed)?;
        socks5(&mut stream, host, port, self.credentials.as_ref()).await.map_err(failed)?;
        Ok(stream)
    }
}

/// The client's side of RFC 1928, with user and password as in RFC 1929.
async fn socks5(
    stream: &mut TcpStream,
    host: &str,
    port: u16,
    credentials: Option<&(String, Secret)>,
) -> std::io::Result<()> {
    let error = |text: &str| std::io::Error::other(text.to_owned());
    let length = |text: &str| u8::try_from(text.len()).map_err(|_| error("name or password is too long"));
    let greeting: &[u8] = if credentials.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
    stream.write_all(greeting).await?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await?;
    match (answer, credentials) {
        ([5, 0], _) => {}
        ([5, 2], Some((username, password))) => {
            let mut request = vec![1, length(username)?];
            request.extend_from_slice(username.as_bytes());
            request.push(length(password.expose())?);
            request.extend_from_slice(password.expose().as_bytes());
            stream.write_all(&request).await?;
            stream.read_exact(&mut answer).await?;
            if answer != [1, 0] {
                return Err(error("user and password were refused"));
            }
        }
        ([5, 0xff], _) => return Err(error("no acceptable authentication method")),
        _ => return Err(error("not a SOCKS5 server")),
    }
    let mut request = vec![5, 1, 0];
    match host.parse() {
        Ok(std::net::IpAddr::V4(ip)) => {
            request.push(1);
            request.extend_from_slice(&ip.octets());
        }
        Ok(std::net::IpAddr::V6(ip)) => {
            request.push(4);
            request.extend_from_slice(&ip.octets());
        }
        Err(_) => {
            request.extend_from_slice(&[3, length(host)?]);
            request.extend_from_slice(host.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    stream.write_all(&request).await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let rest = match head {
        [5, 0, _, 1] => 4,
        [5, 0, _, 4] => 16,
        [5, 0, _, 3] => usize::from(stream.read_u8().await?),
        [5, 0, ..] => return Err(error("not a SOCKS5 server")),
        [5, code, ..] => return Err(error(refusal(code))),
        _ => return Err(error("not a SOCKS5 server")),
    };
    // Where the proxy is bound to; nobody needs it, and SSH begins after it.
    stream.read_exact(&mut vec![0; rest + 2]).await?;
    Ok(())
}

fn refusal(code: u8) -> &'static str {
    match code {
        2 => "connection not allowed by ruleset",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "general SOCKS server failure",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_proxies_are_checked() {
        let error = |address: &str| Proxy::new(address, None).unwrap_err().to_string();
        let scheme = "proxy URL must use one of the supported schemes (http, https, socks5), got 'ftp'";
        assert_eq!(error("ftp://h:1"), scheme);
        assert_eq!(
            error(&format!("http://{}", "x".repeat(2048))),
            "proxy URL exceeds maximum length of 2048 characters"
        );
        assert_eq!(
            error("http://me:secret@h:port"),
            "failed to parse proxy address '***@h:port': invalid port number"
        );
        for empty in ["socks5://", "http://", "socks5:///x"] {
            assert!(error(empty).contains("empty host"), "{empty}");
        }
        assert!(!error("nonsense").is_empty());
    }

    #[test]
    fn credentials_given_beside_the_address_win_and_are_never_shown() {
        let given = Some(("u".to_owned(), Secret::new("p1")));
        let proxy = Proxy::new("socks5://me:s%40cret@h:1", given.clone()).unwrap();
        assert_eq!(proxy.credentials, given);
        let proxy = Proxy::new("socks5://me:s%40cret@h:1", None).unwrap();
        assert_eq!(proxy.credentials, Some(("me".to_owned(), Secret::new("s@cret"))));
        let debug = format!("{proxy:?}");
        assert!(!debug.contains("s@cret") && !debug.contains("s%40cret"), "{debug}");
    }

    #[test]
    fn the_environment_is_asked_for_what_is_not_http() {
        let ask = |host: &str, all: &str, no: &str| {
            let variable = |name: &str| match name {
                "ALL_PROXY" => Some(all.to_owned()),
                "no_proxy" => Some(no.to_owned()),
                _ => None,
            };
            Proxy::from_environment(host, 22, variable)
        };
        let proxy = Proxy::new("socks5://h:1", None).unwrap();
        assert_eq!(ask("git.example.com", "socks5://h:1", ""), Some(proxy.clone()));
        assert_eq!(ask("git.example.com", "socks5h://h:1", "example.org"), Some(proxy.clone()));
        assert_eq!(ask("::1", "socks5h://h:1", "10.0.0.0/8"), Some(proxy));
        assert_eq!(ask("git.example.com", "socks5://h:1", "example.com"), None);
        assert_eq!(ask("10.1.2.3", "socks5://h:1", "10.0.0.0/8"), None);
        assert_eq!(ask("git.example.com", "http://h:1", ""), None);
        assert_eq!(Proxy::from_environment("h", 22, |_| None), None);
    }
}
