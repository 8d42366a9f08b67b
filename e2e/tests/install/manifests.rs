//! Where the objects come from.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::cluster::{Cluster, User};
use e2e::controller::find_binary;
use e2e::objects::documents;
use e2e::process::output;
use serde_json::Value;

/// The namespace of an installation.
pub const NAMESPACE: &str = "flux-system";

/// What Helm adds for whoever writes a chart.
const HINT: &str = "\n\nUse --debug flag to render out invalid YAML";

/// The folder of the chart.
pub fn chart() -> PathBuf {
    e2e::workspace().join("charts/ferroflux")
}

/// The objects of a folder of the repository, built by our engine.
pub fn build(folder: &str) -> Vec<Value> {
    let mut build = Command::new(find_binary("kustomize-build").unwrap());
    documents(&stdout(build.arg(e2e::workspace().join(folder)))).unwrap()
}

/// The objects of the chart in a namespace, CRDs included; `values` as `--set` takes them. Or what Helm says against them. Our own
/// engine gives the same bytes, and says the same.
pub fn render(namespace: &str, values: &[&str]) -> Result<Vec<Value>, String> {
    let options = [&["--include-crds"], values].concat();
    let rendered = helm(None, &["template", "ferroflux"], namespace, &options);
    let mut ours = Command::new(find_binary("helm-template").unwrap());
    ours.args(["template", "ferroflux"]).arg(chart()).args(["--namespace", namespace]);
    add_options(&mut ours, &options);
    match (&rendered, outcome(&mut ours)) {
        (Err(theirs), Err(own)) => {
            let theirs = theirs.trim_end();
            // Helm names the places that are wrong in any order.
            let sorted = |said: &str| {
                let mut lines: Vec<_> = said.trim_end().lines().map(str::to_owned).collect();
                lines.sort_unstable();
                lines
            };
            let theirs = theirs.strip_suffix(HINT).unwrap_or(theirs);
            assert_eq!(sorted(&own), sorted(theirs), "{values:?}");
        }
        (theirs, own) => assert_eq!(own.as_ref(), theirs.as_ref(), "{values:?}"),
    }
    rendered.map(|yaml| documents(&yaml).unwrap())
}

/// Runs a command of Helm over the chart, in a cluster if there is one; the standard output, or the standard error of a failure.
pub fn helm(
    cluster: Option<&Cluster>,
    command: &[&str],
    namespace: &str,
    options: &[&str],
) -> Result<String, String> {
    let mut helm = Command::new(toolchain::helm().unwrap());
    // No plugin, repository or cluster of whoever runs the test.
    for variable in ["HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME"] {
        helm.env(variable, "/nonexistent");
    }
    helm.env(
        "KUBECONFIG",
        cluster.map_or(Path::new("/nonexistent"), |cluster| cluster.kubeconfig(User::Admin)),
    );
    helm.args(command).args(["--namespace", namespace]);
    if command[0] != "uninstall" {
        helm.arg(chart());
    }
    add_options(&mut helm, options);
    outcome(&mut helm)
}

/// An option that is no flag is a value.
fn add_options(command: &mut Command, options: &[&str]) {
    for option in options {
        if option.starts_with("--") {
            command.arg(option)
        } else {
            command.args(["--set", option])
        };
    }
}

/// The standard output, or the standard error of a failure.
fn outcome(command: &mut Command) -> Result<String, String> {
    let output = command.output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

/// Objects by version, kind, namespace and name; each may be there once.
pub fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for object in objects {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
        let name = format!(
            "{} {} {}/{}",
            text("/apiVersion"),
            text("/kind"),
            text("/metadata/namespace"),
            text("/metadata/name")
        );
        assert!(all.insert(name.clone(), object).is_none(), "{name} is there twice");
    }
    all
}

/// Those of a kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// The arguments of the container of a Deployment.
pub fn arguments(deployment: &Value) -> Vec<&str> {
    let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    arguments.as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect()
}

/// Runs a command with this on its standard input; its output if it succeeded, else what it said on standard error.
pub fn run_with_input(command: &mut Command, input: &str) -> Result<String, String> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // Beside the reading: neither side waits for the other when both are long.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// What a command prints, which has to succeed.
pub fn stdout(command: &mut Command) -> String {
    output(command).unwrap()
}

/// Objects as one stream, which YAML readers understand.
pub fn stream<'a>(objects: impl IntoIterator<Item = &'a Value>) -> String {
    objects.into_iter().map(|object| format!("---\n{object}\n")).collect()
}
