//! `docs/flags.md`: the flags of all controllers, as `--help` shows them.

use clap::{Arg, Command, CommandFactory};
use runtime::flags::Description;

const HEAD: &str = "\
# Flags

`make docs` writes this file from what the programs know of themselves; a test fails when it is out of date. `--help` of a controller shows
the same.

Flags are read as Flux reads them: `--flag=value` or `--flag value`. A boolean may be bare, which means true, and has its value after an
equals sign otherwise. Of a flag that is given twice the last one counts, unless it is a list. An environment variable counts where its flag
is not given. Durations are Go's: `90s`, `1h30m`. A value that cannot be used ends the process with one line and status 2.

With the word `preflight` in place of flags, a controller says what would not work if it took over a cluster from Flux, and ends; it only
reads ([migrate.md](migrate.md#check)).

The column *Flux* says whether Flux's controller has a flag of this name; the others are of Ferroflux alone.
";

/// Flags of Flux's source-controller 1.10, kustomize-controller 1.10, helm-controller 1.7 and source-watcher 2.2, and of the packages that set them up.
const OF_FLUX: [&str; 51] = [
    "artifact-digest-algo",
    "artifact-retention-records",
    "artifact-retention-ttl",
    "concurrent",
    "concurrent-ssa",
    "custom-apply-stage-kinds",
    "default-decryption-service-account",
    "default-kubeconfig-service-account",
    "default-service-account",
    "enable-leader-election",
    "events-addr",
    "feature-gates",
    "health-addr",
    "helm-chart-file-max-size",
    "helm-chart-max-size",
    "helm-index-max-size",
    "http-retry",
    "http-timeout",
    "insecure-kubeconfig-exec",
    "insecure-kubeconfig-tls",
    "interval-jitter-percentage",
    "kube-api-burst",
    "kube-api-qps",
    "leader-election-lease-duration",
    "leader-election-release-on-cancel",
    "leader-election-renew-deadline",
    "leader-election-retry-period",
    "log-encoding",
    "log-level",
    "max-retry-delay",
    "metrics-addr",
    "min-retry-delay",
    "no-cross-namespace-refs",
    "no-remote-bases",
    "override-manager",
    "override-manager-before-dry-run",
    "reconciliation-timeout",
    "requeue-dependency",
    "snapshot-digest-algo",
    "sops-age-secret",
    "sops-vault-configmap",
    "ssh-hostkey-algos",
    "ssh-kex-algos",
    "storage-addr",
    "storage-adv-addr",
    "storage-path",
    "token-cache-max-duration",
    "token-cache-max-size",
    "watch-all-namespaces",
    "watch-configs-label-selector",
    "watch-label-selector",
];

/// A flag that Flux has in one controller alone.
const OF_FLUX_ALONE: (&str, &str) = ("helm-controller", "graceful-shutdown-timeout");

/// The whole file.
pub fn markdown() -> String {
    let commands = commands();
    let parts = commands.iter().map(controller);
    std::iter::once(HEAD.to_owned()).chain(parts).collect::<Vec<_>>().join("\n")
}

fn commands() -> [Command; 4] {
    [
        source_controller::Arguments::command(),
        kustomize_controller::Arguments::command(),
        helm_controller::Arguments::command(),
        source_watcher::Arguments::command(),
    ]
}

fn controller(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = format!("## {}\n\n{about}.\n", command.get_name());
    let shown: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_hide_set()).collect();
    let mut headings: Vec<&str> = Vec::new();
    for heading in shown.iter().filter_map(|arg| arg.get_help_heading()) {
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    for heading in headings {
        text += &format!("\n### {heading}\n\n| Flag | Default | Flux | |\n|---|---|---|---|\n");
        let of_heading = shown.iter().filter(|arg| arg.get_help_heading() == Some(heading));
        text.extend(of_heading.map(|arg| row(command.get_name(), arg)));
    }
    text
}

fn row(controller: &str, arg: &Arg) -> String {
    let name = arg.get_long().unwrap_or_default();
    let Description { text, default, variable, values } = Description::of(arg);
    let default = default.map(|default| format!("`{default}`")).unwrap_or_default();
    let is_of_flux = OF_FLUX.contains(&name) || OF_FLUX_ALONE == (controller, name);
    let of_flux = if is_of_flux { "yes" } else { "" };
    let values =
        if values.is_empty() { String::new() } else { format!(" One of `{}`.", values.join("`, `")) };
    let variable = variable.map(|name| format!(" Environment: `{name}`.")).unwrap_or_default();
    let text = text.replace('*', "\\*").replace('|', "\\|");
    format!("| `--{name}` | {default} | {of_flux} | {text}{values}{variable} |\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_has_a_heading_and_a_sentence() {
        for command in commands() {
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                assert!(arg.get_help_heading().is_some(), "{arg} is in no group of --help");
                assert!(arg.get_help().is_some(), "{arg} is not explained");
            }
        }
    }
}
