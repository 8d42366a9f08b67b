//! What a process was started with, for its log: the flags that differ from their defaults.

use clap::{Arg, ArgMatches, Command};
use url::Url;

/// The flags that have another value than their default, as they would be given on a command line. No flag holds a secret, but for a URL:
/// of that only scheme and host are told, as the path of a webhook may be its token.
pub(super) fn changed(command: &Command, matches: &ArgMatches) -> Vec<String> {
    command.get_arguments().flat_map(|arg| changed_values(arg, matches)).collect()
}

fn changed_values(arg: &Arg, matches: &ArgMatches) -> Vec<String> {
    let name = arg.get_long().unwrap_or_default();
    // What clap adds by itself, such as --help, has no values.
    let Ok(Some(values)) = matches.try_get_raw(arg.get_id().as_str()) else { return Vec::new() };
    let values: Vec<_> = values.collect();
    if values == arg.get_default_values() {
        return Vec::new();
    }
    values.iter().map(|value| format!("--{name}={}", shown(&value.to_string_lossy()))).collect()
}

fn shown(value: &str) -> String {
    match Url::parse(value) {
        Ok(url) if url.has_host() => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
        }
        _ if value.contains("://") => "***".to_owned(),
        _ => net::redact(value),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use crate::flags::{Flags, parse};

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        _flags: Flags,
        #[arg(long)]
        _manager: Vec<String>,
        #[arg(long, value_delimiter = ',')]
        _host: Vec<String>,
    }

    #[test]
    fn of_a_url_only_scheme_and_host_are_told() {
        for (value, shown) in [
            ("https://hooks.example/services/canary", "https://hooks.example"),
            ("http://me:canary@receiver:8080/canary?canary#canary", "http://receiver:8080"),
            ("http:/receiver/canary", "http://receiver"),
            ("http://[::1]:9292/canary", "http://[::1]:9292"),
            ("https://receiver:port/canary", "***"),
            ("file:///canary", "***"),
            ("receiver:9090", "receiver:9090"),
            (":8080", ":8080"),
            ("me:canary@receiver", "***@receiver"),
            ("a/b=c,d!=e", "a/b=c,d!=e"),
            ("/run/secrets/token", "/run/secrets/token"),
        ] {
            assert_eq!(super::shown(value), shown, "{value}");
        }
    }

    #[test]
    fn flags_that_differ_from_their_default_are_told_without_credentials() {
        let changed = |args: &[&str]| parse::<Program>([&["program"], args].concat()).unwrap().1;
        assert!(changed(&["--log-level=info", "--max-retry-delay", "15m"]).is_empty());
        let given = [
            "--log-level=debug",
            "--enable-leader-election",
            "--events-addr=http://me:canary@receiver/?token=canary",
            "--manager=a b",
            "--manager=c",
            "--host=x,y",
        ];
        let expected = [
            "--events-addr=http://receiver",
            "--log-level=debug",
            "--enable-leader-election=true",
            "--manager=a b",
            "--manager=c",
            "--host=x",
            "--host=y",
        ];
        assert_eq!(changed(&given), expected);
    }
}
