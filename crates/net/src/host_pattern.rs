//! Which hosts a client may speak with, by their names.

use std::str::FromStr;

use url::{Host, Url};

/// A host such as `example.com`, or all hosts below a domain as `*.example.com`; with a port behind it, that port alone.
///
/// Letters count alike in both cases, and a dot at the end makes no difference. Addresses are compared as such, however they
/// are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    /// As in a URL, without a dot at the end.
    host: String,
    /// Whether `host` stands for the hosts below it and not for itself.
    is_below: bool,
    port: Option<u16>,
}

/// A text that is no pattern for hosts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no host such as example.com, *.example.com or example.com:8080")]
pub struct NotAHost(String);

impl HostPattern {
    /// Whether a URL leads to such a host. The port of a URL without one is that of its scheme.
    pub fn matches(&self, url: &Url) -> bool {
        let host = without_dot(url.host_str().unwrap_or_default());
        let is_host = match self.is_below {
            true => host.strip_suffix(&self.host).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            false => host == self.host,
        };
        is_host && (self.port.is_none() || self.port == url.port_or_known_default())
    }

    fn parse(text: &str) -> Option<Self> {
        let (rest, is_below) = text.strip_prefix("*.").map_or((text, false), |rest| (rest, true));
        let with_port = rest.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = with_port.map_or((rest, None), |(host, port)| (host, Some(port)));
        let host = Host::parse(host).ok()?;
        if is_below && !matches!(host, Host::Domain(_)) {
            return None;
        }
        let host = without_dot(&host.to_string()).to_owned();
        (!host.is_empty() && !host.contains('*')).then_some(Self { host, is_below, port })
    }
}

impl FromStr for HostPattern {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        Self::parse(text).ok_or_else(|| NotAHost(text.to_owned()))
    }
}

fn without_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn matches(pattern: &str, url: &str) -> bool {
        pattern.parse::<HostPattern>().unwrap().matches(&url.parse().unwrap())
    }

    #[test]
    fn host_pattern_compares_names_whatever_their_case_and_final_dot() {
        let controller = "source-controller.flux-system.svc.cluster.local.";
        for (pattern, url, expected) in [
            (controller, "http://source-controller.flux-system.svc.cluster.local./a", true),
            (controller, "http://Source-Controller.flux-system.SVC.cluster.local/a", true),
            (controller, "http://source-controller.flux-system.svc.cluster.local.:8080/a", true),
            (controller, "http://source-controller.flux-system.svc/a", false),
            (controller, "http://x.source-controller.flux-system.svc.cluster.local/a", false),
            (controller, "http://source-controller.flux-system.svc.cluster.local.evil.example/a", false),
            (controller, "http://evil.example/source-controller.flux-system.svc.cluster.local.", false),
            ("Example.COM", "https://example.com/", true),
            ("bücher.example", "https://xn--bcher-kva.example/", true),
        ] {
            assert_eq!(matches(pattern, url), expected, "{pattern} {url}");
        }
    }

    #[test]
    fn host_pattern_with_a_star_is_for_what_lies_below() {
        for (host, expected) in [
            ("a.example.com", true),
            ("a.b.example.com.", true),
            ("example.com", false),
            (".example.com", false),
            ("aexample.com", false),
            ("a.example.com.evil.example", false),
        ] {
            assert_eq!(matches("*.example.com", &format!("http://{host}/")), expected, "{host}");
        }
    }

    #[test]
    fn host_pattern_with_a_port_is_for_that_port() {
        for (pattern, url, expected) in [
            ("h:80", "http://h/", true),
            ("h:80", "https://h/", false),
            ("h:443", "https://h/", true),
            ("*.h:9090", "http://a.h:9090/", true),
            ("*.h:9090", "http://a.h/", false),
            ("127.0.0.1:9090", "http://127.0.0.1:9090/", true),
            ("127.0.0.1", "http://2130706433:1/", true),
            ("[::1]:80", "http://[0:0:0:0:0:0:0:1]/", true),
            ("[::1]", "http://[::2]/", false),
        ] {
            assert_eq!(matches(pattern, url), expected, "{pattern} {url}");
        }
    }

    #[test]
    fn host_pattern_refuses_what_is_no_host() {
        for text in [
            "",
            ".",
            "*",
            "*.",
            "a.*.b",
            "**.a",
            "http://a",
            "a/b",
            "u@a",
            "a:",
            "a:99999",
            "::1",
            "*.127.0.0.1",
            "a b",
        ] {
            let error = text.parse::<HostPattern>().unwrap_err().to_string();
            assert_eq!(
                error,
                format!("'{text}' is no host such as example.com, *.example.com or example.com:8080")
            );
        }
    }
}
