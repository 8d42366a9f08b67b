//! Every command that a document shows is run by a test, or is a verb of the Makefile.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Cluster, User};
use e2e::controller::find_binary;
use e2e::document;
use e2e::process::{output, temp_folder};
use e2e::workspace;

use crate::manifests::{arguments, of_kind, stdout};

/// A test by its file, below `e2e/tests`, and its function.
type Test = (&'static str, &'static str);

const HERE: &str = "install/documents.rs";

/// What runs all commands of a document, and fails if there are some below headings that it does not know.
const DOCUMENTS: [(&str, Test); 9] = [
    ("charts/ferroflux/README.md", (HERE, "the_commands_of_the_chart_work_in_an_empty_home")),
    ("docs/clusters.md", ("scenarios/remote_clusters.rs", "the_guide_works_as_it_is_written")),
    ("docs/empty-files.md", (HERE, "the_commands_on_empty_files_find_them")),
    ("docs/helm.md", ("scenarios/helm_guide.rs", "the_guide_works_as_it_is_written")),
    ("docs/install.md", ("node/user.rs", "has_followed_all")),
    ("docs/secrets.md", ("scenarios/decryption.rs", "the_guide_works_as_it_is_written")),
    ("docs/tenancy.md", ("scenarios/tenancy.rs", "the_guide_works_as_it_is_written")),
    ("docs/troubleshooting.md", ("scenarios/diagnostics.rs", "the_commands_of_the_documentation_work")),
    (
        "docs/verification.md",
        ("scenarios/oci_verify.rs", "the_guide_of_signed_artifacts_works_as_it_is_written"),
    ),
];

/// What runs the commands of a document below one heading.
const HEADINGS: [(&str, &str, Test); 4] = [
    (
        "README.md",
        "See it",
        ("scenarios/demo.rs", "the_demo_works_in_an_empty_home_and_takes_away_what_it_left"),
    ),
    ("docs/migrate.md", "Check", TAKEOVER),
    ("docs/migrate.md", "To Ferroflux", TAKEOVER),
    ("docs/migrate.md", "Back to Flux", TAKEOVER),
];
const TAKEOVER: Test =
    ("migration/takeover.rs", "a_cluster_is_taken_over_and_given_back_without_a_write_to_a_managed_object");

/// What runs the commands that need a Pod.
const IN_PODS: [(&str, &str, Test); 4] = [
    (
        "docs/migrate.md",
        "Check",
        (
            "scenarios/preflight.rs",
            "a_namespace_that_admits_restricted_pods_alone_admits_the_one_of_the_document",
        ),
    ),
    ("docs/empty-files.md", "Was I affected?", NODE),
    ("docs/troubleshooting.md", "Troubleshooting", NODE),
    ("docs/troubleshooting.md", "A controller does not start", NODE),
];
const NODE: Test = ("node/trouble.rs", "look_for_trouble");

/// What runs commands that stand in the text and in no block.
const IN_TEXT: [(&str, Test); 13] = [
    ("flux migrate", ("node/ways.rs", "&[\"migrate\"]")),
    ("flux reconcile", ("scenarios/flux_cli.rs", "&[\"reconcile\", \"source\", \"git\", \"app\"]")),
    (
        "flux reconcile helmrelease NAME",
        ("scenarios/flux_helm.rs", "&[\"reconcile\", \"helmrelease\", \"app\"]"),
    ),
    (
        "flux reconcile helmrelease NAME --reset",
        ("scenarios/flux_helm.rs", "&[\"reconcile\", \"helmrelease\", \"app\", \"--reset\"]"),
    ),
    (
        "flux reconcile source git NAME",
        ("scenarios/flux_cli.rs", "&[\"reconcile\", \"source\", \"git\", \"app\"]"),
    ),
    ("flux resume", ("scenarios/flux_cli.rs", "&[\"resume\", \"kustomization\", \"app\"]")),
    ("helm -n NAMESPACE history NAME", ("scenarios/helm_release.rs", "&[\"history\", \"app\"]")),
    ("helm list", ("scenarios/helm_release.rs", "&[\"list\"]")),
    (
        "kubectl apply --server-side -k config/rbac/workload-identity",
        (HERE, "the_commands_of_the_readme_work_in_an_empty_home"),
    ),
    (
        "kubectl apply --server-side -k config/source-watcher",
        (HERE, "the_commands_of_the_readme_work_in_an_empty_home"),
    ),
    (
        "kubectl apply --server-side -k config/prometheus",
        (HERE, "the_commands_of_the_readme_work_in_an_empty_home"),
    ),
    (
        "kubectl get gitrepositories,kustomizations,helmreleases -A",
        (HERE, "the_commands_of_the_readme_work_in_an_empty_home"),
    ),
    ("ctr --namespace k8s.io images import", ("../src/node.rs", "\"import\"")),
];

/// What no test runs, and why.
const NOT_RUN: [(&str, &str); 10] = [
    ("docker load", "there is no container engine where the tests run"),
    ("podman load", "there is no container engine where the tests run"),
    ("skopeo copy oci-archive:target/images/source-controller.tar docker://…", "it is the reader's registry"),
    ("flux push artifact --output=json", "the registry of the tests is filled by their own client"),
    (
        "git config --global url.MIRROR.insteadOf https://github.com/RustSec/advisory-db",
        "it is the reader's mirror",
    ),
    ("git fsck", "whose words ours are"),
    ("helm rollback", "what Helm does with a release is Helm's"),
    ("helm template", "`make conformance` compares what it renders"),
    ("kubectl delete", "what not to do"),
    ("sops updatekeys", "what SOPS does with a file is its own"),
];

const PROGRAMS: [&str; 12] =
    ["kubectl", "flux", "helm", "make", "docker", "podman", "ctr", "skopeo", "git", "sops", "cosign", "curl"];

/// The documents for users.
fn documents() -> Result<Vec<String>> {
    let mut all = vec!["README.md".to_owned(), "charts/ferroflux/README.md".to_owned()];
    for file in fs::read_dir(workspace().join("docs"))? {
        let name = file?.file_name().into_string().ok().context("a name that is not text")?;
        if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
            all.push(format!("docs/{name}"));
        }
    }
    all.sort();
    Ok(all)
}

/// Commands between single backticks: those with an argument.
fn in_text(document: &str) -> Result<Vec<String>> {
    let text = document::without_blocks(document)?;
    let is_command = |span: &&str| {
        span.split_once(' ').is_some_and(|(program, rest)| PROGRAMS.contains(&program) && !rest.is_empty())
    };
    Ok(text.split('`').skip(1).step_by(2).filter(is_command).map(|span| span.replace('\n', " ")).collect())
}

/// Whether the Makefile has the verb of a command `make verb`.
fn is_verb(command: &str) -> Result<bool> {
    let makefile = fs::read_to_string(workspace().join("Makefile"))?;
    let verb = command.strip_prefix("make ").and_then(|rest| rest.split(' ').next());
    Ok(verb.is_some_and(|verb| makefile.lines().any(|line| line.starts_with(&format!("{verb}:")))))
}

fn ensure_exists((file, function): Test) -> Result<()> {
    let source =
        fs::read_to_string(workspace().join("e2e/tests").join(file)).with_context(|| file.to_owned())?;
    ensure!(source.contains(function), "{file} has no {function}");
    Ok(())
}

#[test]
fn every_command_of_the_documents_is_run_by_a_test() -> Result<()> {
    let (mut shown, mut used) = (Vec::new(), BTreeSet::new());
    for document in documents()? {
        for (heading, block) in document::sections(&document)? {
            let at = (document.as_str(), heading.as_str());
            let runs = |(document, heading, _): &&(&str, &str, Test)| (*document, *heading) == at;
            shown.extend(block.text.lines().map(|line| line.trim().to_owned()));
            let test = match &*block.language {
                "mermaid" | "yaml" | "text" => continue,
                "sh pod" => IN_PODS.iter().find(runs).map(|(_, _, test)| *test),
                "sh" => {
                    let whole = DOCUMENTS.iter().find(|(name, _)| *name == document).map(|(_, test)| *test);
                    whole.or_else(|| HEADINGS.iter().find(runs).map(|(_, _, test)| *test))
                }
                other => anyhow::bail!(
                    "{document}, {heading}: a block of {other:?} is neither commands nor a known format"
                ),
            };
            let Some(test) = test else {
                for line in block.text.lines() {
                    ensure!(is_verb(line)?, "{document}, {heading}: no test runs {line:?}");
                }
                continue;
            };
            used.insert(test);
            ensure_exists(test).with_context(|| format!("{document}, {heading}"))?;
        }
    }
    for document in documents()? {
        for command in in_text(&document)? {
            let is_shown = shown.iter().any(|line| line.starts_with(&command));
            let test = IN_TEXT.iter().find(|(known, _)| *known == command);
            let is_known =
                is_verb(&command)? || is_shown || NOT_RUN.iter().any(|(known, _)| *known == command);
            ensure!(is_known || test.is_some(), "{document}: no test runs {command:?}");
            if let Some((_, test)) = test {
                used.insert(*test);
                ensure_exists(*test).with_context(|| format!("{document}: {command}"))?;
            }
        }
    }
    let tests = DOCUMENTS.iter().chain(&IN_TEXT).map(|(_, test)| *test);
    let tests = tests.chain(HEADINGS.iter().chain(&IN_PODS).map(|(_, _, test)| *test));
    let unused: Vec<Test> = tests.filter(|test| !used.contains(test)).collect();
    ensure!(unused.is_empty(), "no document has what these run: {unused:?}");
    Ok(())
}

#[test]
fn each_flag_that_flux_does_not_have_is_named_among_the_differences() -> Result<()> {
    let read = |file: &str| fs::read_to_string(workspace().join(file));
    let (flags, differences) = (read("docs/flags.md")?, read("docs/differences.md")?);
    let row =
        |name: &str| differences.lines().find(|line| line.starts_with(&format!("| Extra flags of {name} |")));
    let of_all = row("all").context("no row of all")?;
    let (mut own, mut missing, mut extra) = ("", Vec::new(), 0);
    for line in flags.lines() {
        if let Some(program) = line.strip_prefix("## ") {
            own = row(program).with_context(|| format!("no row of {program}"))?;
        }
        let cells: Vec<_> = line.split(" | ").map(str::trim).collect();
        if let [flag, _, of_flux, ..] = cells[..]
            && let Some(flag) = flag.strip_prefix("| `--")
            && of_flux.is_empty()
        {
            extra += 1;
            let is_named = [own, of_all].iter().any(|row| row.contains(&format!("`--{flag}")));
            missing.extend((!is_named).then_some((own, flag)));
        }
    }
    ensure!(
        extra > 50 && missing.is_empty(),
        "{extra} flags, of which docs/differences.md lacks {missing:?}"
    );
    Ok(())
}

#[test]
fn the_patch_of_the_documents_sends_the_events_of_all_controllers() -> Result<()> {
    let folder = temp_folder("events")?;
    let mut copy = Command::new("cp");
    output(copy.arg("-r").arg(workspace().join("config")).arg(folder.path()))?;
    let events = folder.path().join("config/events");
    fs::create_dir(&events)?;
    let patch = document::file("docs/troubleshooting.md", "Events are missing")?;
    fs::write(events.join("kustomization.yaml"), patch)?;
    let built = stdout(Command::new(find_binary("kustomize-build")?).arg(&events));
    let objects = e2e::objects::documents(&built)?;
    let deployments = of_kind(&objects, "Deployment");
    ensure!(deployments.len() == 3, "{built}");
    for deployment in deployments {
        let flag = "--events-addr=http://notification-controller.flux-system.svc.cluster.local./";
        ensure!(arguments(deployment).last() == Some(&flag), "{deployment}");
    }
    Ok(())
}

/// Somebody new: an empty home, a cluster that has nothing, and the programs that the documents speak of.
struct Newcomer {
    cluster: Cluster,
    home: tempfile::TempDir,
}

impl Newcomer {
    async fn new() -> Result<Self> {
        Ok(Self { cluster: Cluster::start().await?, home: temp_folder("home")? })
    }

    /// Runs commands in a folder; answers what they print.
    fn run(&self, commands: &str, folder: &Path) -> Result<String> {
        let kubectl = self.cluster.kubectl();
        let programs = [kubectl.get_program().as_ref(), &*toolchain::helm()?];
        let path = document::search_path(&programs)?;
        let kubeconfig = self.cluster.kubeconfig(User::Admin);
        let environment: [(&str, &OsStr); 3] =
            [("PATH", &path), ("HOME", self.home.path().as_ref()), ("KUBECONFIG", kubeconfig.as_ref())];
        tokio::task::block_in_place(|| document::run(commands, folder, &environment))
    }

    /// The names of the objects of a kind, in all namespaces.
    fn names(&self, kind: &str) -> Result<Vec<String>> {
        let said = self.run(&format!("kubectl get {kind} -A -o name"), &workspace())?;
        Ok(said.lines().map(str::to_owned).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_work_in_an_empty_home() -> Result<()> {
    let newcomer = Newcomer::new().await?;
    let definitions = toolchain::prometheus_crds()?;
    let define = format!(
        "kubectl create -f {} && kubectl wait --for=condition=Established crd --all",
        definitions.display()
    );
    newcomer.run(&define, &workspace())?;
    let mut commands = in_text("README.md")?;
    commands.extend(in_text("docs/install.md")?);
    commands.retain(|command| command.starts_with("kubectl apply --server-side -k config/"));
    commands.sort();
    commands.dedup();
    ensure!(commands.len() == 4, "{commands:?}");
    for command in commands {
        newcomer.run(&command, &workspace())?;
    }
    for kind in ["podmonitors", "prometheusrules"] {
        ensure!(!newcomer.names(kind)?.is_empty(), "no {kind}");
    }
    let controllers = ["helm-controller", "kustomize-controller", "source-controller", "source-watcher"];
    let deployments = controllers.map(|name| format!("deployment.apps/{name}"));
    ensure!(newcomer.names("deployments")? == deployments, "{:?}", newcomer.names("deployments")?);
    let folder = temp_folder("readme")?;
    fs::write(folder.path().join("app.yaml"), document::file("README.md", "Use it")?)?;
    newcomer.run("kubectl apply -f app.yaml", folder.path())?;
    let looks = in_text("README.md")?.into_iter().find(|command| command.starts_with("kubectl get "));
    let said = newcomer.run(&looks.context("no kubectl get")?, folder.path())?;
    ensure!(said.contains("my-app-repo") && said.contains("nginx-app"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_chart_work_in_an_empty_home() -> Result<()> {
    const DOCUMENT: &str = "charts/ferroflux/README.md";
    let newcomer = Newcomer::new().await?;
    for heading in document::headings_with_commands(DOCUMENT)? {
        for commands in document::commands(DOCUMENT, &heading)? {
            newcomer.run(&commands, &workspace()).with_context(|| format!("{DOCUMENT}, {heading}"))?;
        }
    }
    let controllers = ["helm-controller", "kustomize-controller", "source-controller"];
    let deployments = controllers.map(|name| format!("deployment.apps/{name}"));
    ensure!(newcomer.names("deployments")? == deployments, "{:?}", newcomer.names("deployments")?);
    let said = newcomer.run("kubectl get namespace flux-system --show-labels", &workspace())?;
    ensure!(said.contains("pod-security.kubernetes.io/enforce=restricted"), "{said}");
    // Who forgets that the chart is there is asked, and nothing happens without an answer.
    let components = "--components=source-controller,kustomize-controller,helm-controller";
    let flux = toolchain::flux()?;
    let install = format!("{} install {components} < /dev/null 2>&1 || true", flux.display());
    let said = newcomer.run(&install, &workspace())?;
    ensure!(said.contains("has been installed on this cluster with Helm!"), "{said}");
    let images = newcomer.run("kubectl get deployments -A -o jsonpath='{..image}'", &workspace())?;
    ensure!(images.contains("ferroflux/") && !images.contains("fluxcd"), "{images}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_on_empty_files_find_them() -> Result<()> {
    const DOCUMENT: &str = "docs/empty-files.md";
    const HEADING: &str = "Was I affected?";
    let (newcomer, folder) = (Newcomer::new().await?, temp_folder("clone")?);
    let clone = "git init -q . && mkdir app && echo x > app/a.env && : > app/b.env && git add app && \
                 git -c user.name=a -c user.email=a commit -qm files && tar -czf artifact.tar.gz app";
    newcomer.run(clone, folder.path())?;
    let mut said = String::new();
    for commands in document::commands(DOCUMENT, HEADING)? {
        said += &newcomer.run(&commands, folder.path())?;
    }
    let found: Vec<_> = said.lines().filter(|line| line.contains("app/b.env")).collect();
    ensure!(found.len() == 2 && !said.contains("a.env"), "{said}");
    ensure!(document::headings_with_commands(DOCUMENT)? == [HEADING]);
    Ok(())
}
