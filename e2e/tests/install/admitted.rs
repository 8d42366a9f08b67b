//! The install manifests.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::Result;
use e2e::cluster::Cluster;
use e2e::controller::find_binary;
use e2e::objects::documents;

#[tokio::test(flavor = "multi_thread")]
async fn the_install_manifests_and_the_samples_are_admitted_as_they_are() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: flux-system}";
    cluster.objects().await?.apply(namespace, "").await?;
    let config = e2e::workspace().join("config");
    for (flag, folder) in [("-k", "default"), ("-f", "samples")] {
        let mut kubectl = cluster.kubectl();
        kubectl.args([
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "--validate=strict",
            "-o=name",
        ]);
        let applied = stdout(kubectl.arg(flag).arg(config.join(folder)));
        assert!(applied.lines().count() >= 5, "{folder}: {applied}");
    }
    Ok(())
}

#[test]
fn the_controllers_understand_the_arguments_of_their_manifests() -> Result<()> {
    for name in ["source-controller", "kustomize-controller"] {
        let manifest = e2e::workspace().join(format!("config/manager/{name}/deployment.yaml"));
        let deployment = documents(&fs::read_to_string(manifest)?)?.remove(0);
        let arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
        let arguments: Vec<&str> = arguments.iter().map(|argument| argument.as_str().unwrap()).collect();
        assert!(arguments.contains(&"--enable-leader-election"), "{arguments:?}");
        // With --help nothing runs, but what stands before it has been read.
        stdout(Command::new(find_binary(name)?).args(arguments).arg("--help"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pods_of_the_controllers_are_admitted_under_the_restricted_standard() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = format!("restricted-{:x}", rand::random::<u32>());
    let config = e2e::workspace().join("config");
    let labelled = fs::read_to_string(config.join("default/namespace.yaml"))?;
    assert!(labelled.contains("pod-security.kubernetes.io/enforce: restricted"), "{labelled}");
    let objects = cluster.objects().await?;
    objects.apply(&labelled.replace("name: flux-system", &format!("name: {namespace}")), "").await?;
    for name in ["source-controller", "kustomize-controller"] {
        objects
            .apply(&format!("apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}}}"), &namespace)
            .await?;
        let manifest = config.join(format!("manager/{name}/deployment.yaml"));
        let deployment = documents(&fs::read_to_string(manifest)?)?.remove(0);
        let mut pod = deployment["spec"]["template"].clone();
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"]["name"] = name.into();
        let create = |pod: &serde_json::Value| {
            let mut kubectl = cluster.kubectl();
            kubectl.args(["create", "--dry-run=server", "-n", &namespace, "-f", "-"]);
            run_with_input(&mut kubectl, &pod.to_string())
        };
        let (admitted, said) = create(&pod);
        assert!(admitted, "{said}");
        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
        let (admitted, said) = create(&pod);
        assert!(!admitted && said.contains("violates PodSecurity"), "{said}");
    }
    cluster.kubectl().args(["delete", "namespace", &namespace, "--wait=false"]).output()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn editors_may_change_objects_and_not_what_their_status_says() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = format!("editors-{:x}", rand::random::<u32>());
    let roles = fs::read_to_string(e2e::workspace().join("config/rbac/user_roles.yaml"))?;
    let binding = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\n\
         metadata: {{name: editors, namespace: {namespace}}}\n\
         subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: editor}}]\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: flux-edit}}\n"
    );
    cluster.objects().await?.apply(&format!("{roles}\n---\n{binding}"), "").await?;
    let may = |verb: &str, resource: &str, subresource: &str| {
        let mut kubectl = cluster.kubectl();
        kubectl.args(["auth", "can-i", verb, resource, "--as=editor", "-n", &namespace]);
        kubectl.args(["--subresource", subresource]);
        String::from_utf8(kubectl.output().unwrap().stdout).unwrap().trim() == "yes"
    };
    for resource in ["gitrepositories.source.toolkit.fluxcd.io", "kustomizations.kustomize.toolkit.fluxcd.io"]
    {
        for (subresource, expected) in [("", true), ("status", false), ("finalizers", false)] {
            for verb in ["patch", "update"] {
                assert_eq!(may(verb, resource, subresource), expected, "{verb} {resource}/{subresource}");
            }
        }
    }
    cluster.kubectl().args(["delete", "namespace", &namespace, "--wait=false"]).output()?;
    Ok(())
}

/// Runs a command with this on its standard input; whether it succeeded, and what it said on standard error.
fn run_with_input(command: &mut Command, input: &str) -> (bool, String) {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
