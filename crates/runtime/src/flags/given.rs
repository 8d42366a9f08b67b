//! What a process was started with, for its log: the flags that differ from their defaults.

use clap::{Arg, ArgMatches, Command};

/// The flags that have another value than their default, as they would be given on a command line. No flag holds a secret; of a URL its
/// credentials are left out.
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
    values.iter().map(|value| format!("--{name}={}", net::redact(&value.to_string_lossy()))).collect()
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
            "--events-addr=http://receiver/",
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
