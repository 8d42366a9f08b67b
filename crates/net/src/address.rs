//! Which addresses a client may connect to on behalf of somebody who must not reach all that this process can.
//!
//! Names are judged by what they resolve to, at the time of the connection, so that a name cannot lead to another address
//! than the one that was judged. A host that is written as an address never reaches a resolver: callers ask
//! [`AddressPolicy::check_url`] for those.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;
use tokio::time::timeout;
use url::{Host, Url};

/// The longest lookup of a name that is judged before a connection.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// What answers without a name in clouds, beside link-local addresses: EC2's and GCP's over IPv6, Alibaba's.
const METADATA: [Network; 3] = [
    Network { address: IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0)), bits: 32 },
    Network { address: IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0)), bits: 64 },
    Network { address: IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)), bits: 32 },
];

/// Which addresses may be connected to. The default refuses link-local ones and those of cloud metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Allows link-local addresses and those of cloud metadata.
    pub allow_link_local: bool,
    /// What is refused beside.
    pub denied: Vec<Denied>,
}

/// Addresses that are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The own host.
    Loopback,
    /// What is not routed on the internet: RFC 1918, shared address space, unique local addresses.
    Private,
    /// One network.
    Network(Network),
}

/// Addresses with common first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text that is none of `loopback`, `private` and a network such as `10.0.0.0/8`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is none of loopback, private and a network in CIDR notation")]
pub struct NotANetwork(String);

/// A host may not be connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("connections to {host} are not allowed")]
pub struct Refused {
    /// The host as it was named. What it resolves to is not told.
    pub host: String,
}

impl AddressPolicy {
    /// Whether an address may be connected to.
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = embedded(address);
        let link_local = match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        let refused = link_local || METADATA.iter().any(|network| network.contains(address));
        (self.allow_link_local || !refused) && !self.denied.iter().any(|denied| denied.covers(address))
    }

    /// Judges a URL whose host is an address; a name is judged when it is resolved.
    ///
    /// # Errors
    /// When the address is refused.
    pub fn check_url(&self, url: &Url) -> Result<(), Refused> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        let refused = || Refused { host: address.to_string() };
        if self.permits(address) { Ok(()) } else { Err(refused()) }
    }

    /// Judges the addresses of a URL's host now, before a proxy may resolve its name. A name that does not resolve is for the
    /// client to tell, and connections are judged by [`AddressPolicy::resolve`] once more.
    ///
    /// # Errors
    /// When one of its addresses is refused.
    pub async fn check_host(&self, url: &Url) -> Result<(), Refused> {
        self.check_url(url)?;
        let (Some(host), Some(port)) = (url.domain(), url.port_or_known_default()) else { return Ok(()) };
        let addresses = timeout(LOOKUP_TIMEOUT, lookup_host((host, port))).await;
        let mut addresses = addresses.into_iter().flatten().flatten();
        let all = addresses.all(|address| self.permits(address.ip()));
        if all { Ok(()) } else { Err(Refused { host: host.to_owned() }) }
    }

    /// Those addresses of a name that may be connected to.
    ///
    /// # Errors
    /// When there are addresses and none of them may be.
    pub fn select(&self, host: &str, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refused> {
        let some = !addresses.is_empty();
        let permitted: Vec<_> = addresses.into_iter().filter(|address| self.permits(address.ip())).collect();
        if some && permitted.is_empty() { Err(Refused { host: host.to_owned() }) } else { Ok(permitted) }
    }
}

/// Resolves names for reqwest, and leaves out what may not be connected to.
impl Resolve for AddressPolicy {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.clone();
        Box::pin(async move {
            let found = lookup_host((name.as_str(), 0)).await?.collect();
            let permitted: Addrs = Box::new(policy.select(name.as_str(), found)?.into_iter());
            Ok(permitted)
        })
    }
}

impl Denied {
    fn covers(self, address: IpAddr) -> bool {
        match (self, address) {
            (Denied::Loopback, address) => address.is_loopback() || address.is_unspecified(),
            (Denied::Private, IpAddr::V4(v4)) => {
                let shared = Network { address: IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), bits: 10 };
                v4.is_private() || shared.contains(address)
            }
            (Denied::Private, IpAddr::V6(v6)) => v6.is_unique_local(),
            (Denied::Network(network), address) => network.contains(address),
        }
    }
}

impl FromStr for Denied {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        match text {
            "loopback" => Ok(Denied::Loopback),
            "private" => Ok(Denied::Private),
            network => network.parse().map(Denied::Network),
        }
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let parsed = text.split_once('/').and_then(|(address, bits)| {
            let address: IpAddr = address.parse().ok()?;
            let longest = if address.is_ipv4() { 32 } else { 128 };
            Some(Network { address, bits: bits.parse().ok().filter(|bits| *bits <= longest)? })
        });
        parsed.ok_or_else(|| NotANetwork(text.to_owned()))
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = u32::from(own) ^ u32::from(other);
                differing.checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = u128::from(own) ^ u128::from(other);
                differing.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped, compatible, of NAT64 or of 6to4.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, d, e, f, high, low] = v6.segments();
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => v4(high, low),
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0] if high != 0 => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn policy(allow_link_local: bool, denied: &[&str]) -> AddressPolicy {
        let denied = denied.iter().map(|text| text.parse().unwrap()).collect();
        AddressPolicy { allow_link_local, denied }
    }

    #[test]
    fn address_policy_judges_addresses_in_every_spelling() {
        let (default, open) = (policy(false, &[]), policy(true, &[]));
        let closed = policy(false, &["loopback", "private", "203.0.113.0/24", "2001:db8::/32"]);
        for (address, by_default, when_closed, when_open) in [
            ("169.254.169.254", false, false, true),
            ("::ffff:169.254.169.254", false, false, true),
            ("64:ff9b::a9fe:a9fe", false, false, true),
            ("2002:a9fe:a9fe::1", false, false, true),
            ("::169.254.169.254", false, false, true),
            ("fe80::1", false, false, true),
            ("fd00:ec2::254", false, false, true),
            ("fd20:ce::254", false, false, true),
            ("100.100.100.200", false, false, true),
            ("127.0.0.1", true, false, true),
            ("0.0.0.0", true, false, true),
            ("::1", true, false, true),
            ("::", true, false, true),
            ("::ffff:127.0.0.1", true, false, true),
            ("10.1.2.3", true, false, true),
            ("172.31.0.1", true, false, true),
            ("192.168.0.1", true, false, true),
            ("100.64.0.1", true, false, true),
            ("fd12::1", true, false, true),
            ("203.0.113.9", true, false, true),
            ("2001:db8::9", true, false, true),
            ("203.0.114.9", true, true, true),
            ("2001:db9::9", true, true, true),
            ("172.32.0.1", true, true, true),
        ] {
            let address: IpAddr = address.parse().unwrap();
            let verdicts = [&default, &closed, &open].map(|policy| policy.permits(address));
            assert_eq!(verdicts, [by_default, when_closed, when_open], "{address}");
        }
    }

    #[test]
    fn address_policy_reads_networks() {
        assert!(policy(false, &["0.0.0.0/0"]).denied.iter().all(|d| d.covers([9, 9, 9, 9].into())));
        for text in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0/8", "public", "10.0.0.0/x"] {
            let error = text.parse::<Denied>().unwrap_err().to_string();
            assert_eq!(
                error,
                format!("'{text}' is none of loopback, private and a network in CIDR notation")
            );
        }
    }

    #[test]
    fn address_policy_judges_urls_whose_host_is_an_address() {
        let check = |url: &str| policy(false, &[]).check_url(&url.parse().unwrap());
        for url in
            ["http://169.254.169.254/x", "http://2852039166/", "http://0xa9.254.43518/", "http://[fe80::1]/"]
        {
            assert!(check(url).is_err(), "{url}");
        }
        assert_eq!(check("http://metadata.example/"), Ok(()), "names are judged when they are resolved");
        let error = check("http://169.254.169.254/latest").unwrap_err().to_string();
        assert_eq!(error, "connections to 169.254.169.254 are not allowed");
    }

    #[test]
    fn address_policy_leaves_out_addresses_of_names() {
        let addresses = |list: &[&str]| list.iter().map(|a| a.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let select = |list: &[&str]| policy(false, &[]).select("h", addresses(list));
        assert_eq!(select(&["169.254.1.1:0", "1.1.1.1:0"]), Ok(addresses(&["1.1.1.1:0"])));
        assert_eq!(select(&["169.254.1.1:0"]), Err(Refused { host: "h".into() }));
        assert_eq!(select(&[]), Ok(Vec::new()));
    }

    #[tokio::test]
    async fn address_policy_judges_a_host_before_a_proxy_resolves_it() {
        let check = async |url: &str| policy(false, &["loopback"]).check_host(&url.parse().unwrap()).await;
        let refused = |host: &str| Err(Refused { host: host.to_owned() });
        assert_eq!(check("http://localhost:1/").await, refused("localhost"));
        assert_eq!(check("http://127.0.0.1:1/").await, refused("127.0.0.1"));
        assert_eq!(check("http://nowhere.invalid/").await, Ok(()), "for the client to tell");
    }

    #[tokio::test]
    async fn address_policy_resolves_for_a_client() {
        let client = |policy: AddressPolicy| {
            reqwest::Client::builder().dns_resolver(std::sync::Arc::new(policy)).no_proxy().build().unwrap()
        };
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
        let error = client(policy(false, &["loopback"])).get(&url).send().await.unwrap_err();
        let text = crate::causes(&error);
        assert!(text.ends_with("connections to localhost are not allowed"), "{text}");
    }
}
