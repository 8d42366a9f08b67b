//! Two tenants under the lockdown that `config/components/multi-tenancy` sets: each tries in many ways to reach the other, and fails
//! with the same words whether or not there is something to reach.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::document;
use e2e::objects::{Id, Look};
use e2e::scenario::{LIMIT, Scenario};
use e2e::sops::Key;
use e2e::testkit::config_map;
use e2e::wait::{self, Not, not_yet};
use serde_json::{Value, json};

/// The flags of kustomize-controller in the component; those of the chart are the same (`install/rendering.rs`).
fn lockdown() -> Result<Vec<String>> {
    let component =
        fs::read_to_string(e2e::workspace().join("config/components/multi-tenancy/kustomization.yaml"))?;
    let patches = component.split("- target:").find(|patch| patch.contains("=kustomize-controller"));
    let flags = patches.context("a patch of kustomize-controller")?.lines();
    let flags: Vec<_> =
        flags.filter_map(|line| line.trim().strip_prefix("value: ")).map(str::to_owned).collect();
    for flag in ["--no-cross-namespace-refs", "--no-remote-bases", "--default-service-account"] {
        ensure!(flags.iter().any(|set| set.starts_with(flag)), "{flag} is not in {flags:?}");
    }
    Ok(flags)
}

/// A namespace with a service account that may do all there and nothing elsewhere, a source and a Kustomization.
struct Tenant<'a> {
    test: &'a Scenario,
    namespace: String,
}

impl<'a> Tenant<'a> {
    async fn new(test: &'a Scenario, name: &str, key: &Key) -> Result<Self> {
        let namespace = format!("{}-{name}", test.namespace);
        let tenant = Self { test, namespace };
        let ns = &tenant.namespace;
        test.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {ns}}}")).await?;
        test.objects.apply_one(&key.secret("keys"), ns).await?;
        test.objects
            .apply_one(
                &json!({
                    "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "tenant"},
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
                    "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": ns}],
                }),
                ns,
            )
            .await?;
        tenant.put(&test.source_yaml("1h", "")).await?;
        tenant.kustomization("shop", "./shop", "").await?;
        tenant.until("shop", "is ready", Look::is_ready).await?;
        Ok(tenant)
    }

    /// Applies YAML of this tenant, without a target namespace, as the flags leave it to the manifests.
    async fn put(&self, yaml: &str) -> Result<()> {
        let namespace = format!("metadata: {{namespace: {}, name: ", self.namespace);
        self.test.apply(&yaml.replace("metadata: {name: ", &namespace)).await
    }

    async fn kustomization(&self, name: &str, path: &str, more: &str) -> Result<()> {
        let yaml = self.test.kustomization_yaml(name, path, more);
        let target = format!("targetNamespace: {}", self.test.namespace);
        let mut yaml = yaml.replace(&target, &format!("targetNamespace: {}", self.namespace));
        // A reference of its own in `more` takes the place of the usual one.
        if more.contains("sourceRef:") {
            yaml = yaml.replacen("  sourceRef: {kind: GitRepository, name: app}\n", "", 1);
        }
        self.put(&yaml).await
    }

    fn id(&self, name: &str) -> Id {
        Id::of("kustomize.toolkit.fluxcd.io/v1", "Kustomization", &self.namespace, name)
    }

    async fn until(&self, name: &str, what: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        let (test, id) = (self.test, self.id(name));
        wait::until(LIMIT, async || match test.objects.get(&id).await.map_err(not_yet)? {
            Some(object) if is(&object) => Ok(object),
            object => Err(Not::Yet(format!("{id} {what}: {object:?}"))),
        })
        .await
    }

    /// Applies Kustomization `name`, which must not become ready, and gives reason and message of Ready.
    async fn refused(&self, name: &str, path: &str, more: &str) -> Result<(String, String)> {
        self.kustomization(name, path, more).await?;
        let object = self.until(name, "has an answer", has_answer).await?;
        let ready = object.condition("Ready").context("checked above")?;
        ensure!(ready.status == "False", "{name} of {} is {ready:?}", self.namespace);
        Ok((ready.reason, ready.message))
    }
}

/// One way to reach something called `name` of the namespace `of`: path and further lines of spec.
type Attempt = fn(of: &str, name: &str) -> (&'static str, String);

/// What is tried, what of the other tenant it is about, and reason and words of the answer; `OF` and `ME` stand for the namespaces,
/// `NAME` for what is tried to reach.
const ATTEMPTS: [(&str, &str, Attempt, &str, &str); 15] = [
    (
        "source",
        "app",
        |of, name| {
            ("./shop", format!("  sourceRef: {{kind: GitRepository, name: {name}, namespace: {of}}}\n"))
        },
        "AccessDenied",
        "can't access 'GitRepository/OF/NAME', cross-namespace references have been blocked",
    ),
    (
        "external-artifact",
        "app",
        |of, name| {
            ("./shop", format!("  sourceRef: {{kind: ExternalArtifact, name: {name}, namespace: {of}}}\n"))
        },
        "AccessDenied",
        "can't access 'ExternalArtifact/OF/NAME', cross-namespace references have been blocked",
    ),
    (
        "substitute",
        "keys",
        |of, name| {
            let name = format!("../../{of}/secrets/{name}");
            ("./shop", format!("  postBuild: {{substituteFrom: [{{kind: Secret, name: {name}}}]}}\n"))
        },
        "BuildFailed",
        "substitute from 'Secret/../../OF/secrets/NAME' error: invalid resource name \"../../OF/secrets/NAME\": may not contain '/'",
    ),
    (
        "decryption",
        "keys",
        |of, name| {
            let name = format!("../../{of}/secrets/{name}");
            ("./shop", format!("  decryption: {{provider: sops, secretRef: {{name: {name}}}}}\n"))
        },
        "BuildFailed",
        "cannot get sops decryption Secret 'ME/../../OF/secrets/NAME': invalid resource name",
    ),
    (
        "decryption-account",
        "default",
        |of, name| {
            let name = format!("../../{of}/serviceaccounts/{name}");
            ("./shop", format!("  decryption: {{provider: sops, serviceAccountName: {name}}}\n"))
        },
        "BuildFailed",
        "failed to get decryption service account 'ME/../../OF/serviceaccounts/NAME': invalid resource name",
    ),
    (
        "kubeconfig",
        "keys",
        |of, name| {
            let name = format!("../../{of}/secrets/{name}");
            ("./shop", format!("  kubeConfig: {{secretRef: {{name: {name}}}}}\n"))
        },
        "ReconciliationFailed",
        "invalid resource name",
    ),
    (
        "cluster",
        "shop",
        |of, name| {
            let name = format!("../../{of}/configmaps/{name}");
            ("./shop", format!("  kubeConfig: {{configMapRef: {{name: {name}}}}}\n"))
        },
        "ReconciliationFailed",
        "failed to get configmap ME/../../OF/configmaps/NAME: invalid resource name",
    ),
    (
        "cluster-account",
        "default",
        |_, name| ("./shop", format!("  kubeConfig: {{configMapRef: {{name: access-{name}}}}}\n")),
        "ReconciliationFailed",
        "failed to get service account 'ME/../../OF/serviceaccounts/NAME': invalid resource name",
    ),
    (
        "cluster-objects",
        "shop",
        |_, name| {
            (
                if name == "shop" { "./foreign-shop" } else { "./foreign-missing" },
                "  kubeConfig: {configMapRef: {name: access}}\n".to_owned(),
            )
        },
        "ReconciliationFailed",
        "User \"system:serviceaccount:ME:default\" cannot ",
    ),
    (
        // A source has a status, too, but it is no Kustomization.
        "other-kind",
        "app",
        |of, name| {
            let expression = "dep.status.artifact.revision != ''";
            (
                "./shop",
                format!("  dependsOn: [{{namespace: {of}, name: {name}, readyExpr: \"{expression}\"}}]\n"),
            )
        },
        "DependencyNotReady",
        "dependency 'OF/NAME' not found",
    ),
    (
        "account",
        "default",
        |of, name| ("./shop", format!("  serviceAccountName: \"{of}:{name}\"\n")),
        "ReconciliationFailed",
        "service account: ",
    ),
    (
        "objects",
        "shop",
        |_, name| {
            (
                if name == "shop" { "./foreign-shop" } else { "./foreign-missing" },
                "  wait: false\n".to_owned(),
            )
        },
        "ReconciliationFailed",
        "User \"system:serviceaccount:ME:default\" cannot patch resource \"configmaps\" in API group \"\" in the namespace \"OF\"",
    ),
    (
        "health",
        "shop",
        |of, name| {
            let check = format!("{{apiVersion: v1, kind: ConfigMap, namespace: {of}, name: {name}}}");
            ("./shop", format!("  healthChecks: [{check}]\n"))
        },
        "HealthCheckFailed",
        "User \"system:serviceaccount:ME:default\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"OF\"",
    ),
    (
        "path",
        "shop",
        |of, name| {
            if name == "shop" {
                ("./../../../etc", format!("  namePrefix: {of}-\n"))
            } else {
                ("./../nothing", String::new())
            }
        },
        "ArtifactFailed",
        "kustomization path not found: stat /",
    ),
    (
        "remote-base",
        "shop",
        |_, name| {
            (if name == "shop" { "./remote-shop" } else { "./remote-missing" }, "  wait: false\n".to_owned())
        },
        "BuildFailed",
        "is not allowed",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn neither_tenant_reaches_the_other() -> Result<()> {
    let flags = lockdown()?;
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let test = Scenario::with_own_controllers("tenants", &flags).await?;
    let (a, b) = (format!("{}-a", test.namespace), format!("{}-b", test.namespace));
    test.repo.write("shop/shop.yaml", &config_map("shop", "1"))?;
    for (folder, url) in [
        ("remote-shop", test.git.url("app")),
        ("remote-missing", "https://127.0.0.1:1/nothing.git".to_owned()),
    ] {
        test.repo
            .write(&format!("{folder}/kustomization.yaml"), &format!("resources: ['{url}?ref=main']\n"))?;
    }
    let in_namespace = |namespace: &str, name: &str| {
        config_map(name, "2").replace("metadata: {", &format!("metadata: {{namespace: {namespace}, "))
    };
    for (me, of) in [(&a, &b), (&b, &a)] {
        for (folder, name) in [("foreign-shop", "shop"), ("foreign-missing", "missing")] {
            test.repo.write(&format!("{me}/{folder}/map.yaml"), &in_namespace(of, name))?;
        }
        let claim = in_namespace(of, "shop").replace(
            "name: shop",
            "name: shop, labels: {kustomize.toolkit.fluxcd.io/name: shop, kustomize.toolkit.fluxcd.io/namespace: NS}",
        );
        test.repo.write(&format!("{me}/owner/map.yaml"), &claim.replace("NS", of))?;
        let event = format!(
            "apiVersion: v1\nkind: Event\nmetadata: {{namespace: {of}, name: forged}}\nreason: Forged\n\
             involvedObject: {{kind: Kustomization, namespace: {of}, name: shop}}\n"
        );
        test.repo.write(&format!("{me}/event/event.yaml"), &event)?;
    }
    test.repo.commit("start")?;
    let key = Key::age();
    let (first, second) = (Tenant::new(&test, "a", &key).await?, Tenant::new(&test, "b", &key).await?);
    for (me, of) in [(&first, &second), (&second, &first)] {
        me.describe_clusters(&of.namespace).await?;
        for (what, there, attempt, reason, words) in ATTEMPTS {
            let mut answers = Vec::new();
            for name in [there, "missing"] {
                let (path, more) = attempt(&of.namespace, name);
                // What is written into the other's namespace is in a folder of this tenant's; no target namespace moves it.
                let foreign = path.contains("foreign").then(|| format!("./{}/{}", me.namespace, &path[2..]));
                let answer = match &foreign {
                    Some(path) => me.refused_as_written(what, path, &more).await?,
                    None => me.refused(what, path, &more).await?,
                };
                let expected =
                    words.replace("NAME", name).replace("OF", &of.namespace).replace("ME", &me.namespace);
                ensure!(answer.0 == reason && answer.1.contains(&expected), "{what} {name}: {answer:?}");
                let url = if name == there {
                    test.git.url("app")
                } else {
                    "https://127.0.0.1:1/nothing.git".to_owned()
                };
                answers.push((
                    answer.0,
                    generic(&answer.1, &[(name, "NAME"), (&url, "URL"), ("/etc", "/nothing")]),
                ));
            }
            ensure!(answers[0] == answers[1], "{what} tells what exists: {answers:?}");
        }
        me.cannot_write_as_the_other(of).await?;
        // What the other has is as it was, and nothing is said in its name.
        let own = Id::of("v1", "ConfigMap", &of.namespace, "shop");
        ensure!(test.objects.get(&own).await?.is_some_and(|own| own.text("/data/value") == "1"));
        let events = test.kubectl(&["get", "events", "-n", &of.namespace, "-o", "json"])?;
        ensure!(!events.contains("Forged"), "{events}");
    }
    for tenant in [&first, &second] {
        test.kubectl(&["delete", "namespace", &tenant.namespace, "--wait=false"])?;
    }
    test.finish().await
}

/// A message without what was asked for.
fn generic(message: &str, words: &[(&str, &str)]) -> String {
    words.iter().fold(message.to_owned(), |text, (word, stand_in)| text.replace(word, stand_in))
}

impl Tenant<'_> {
    /// ConfigMaps of the tenant for the cluster of the test: one for its own account, and such as name accounts of another namespace.
    async fn describe_clusters(&self, of: &str) -> Result<()> {
        for (name, account) in [("access", ""), ("access-default", "default"), ("access-missing", "missing")]
        {
            let account = Some(account).filter(|account| !account.is_empty());
            let account = account.map(|account| format!("../../{of}/serviceaccounts/{account}"));
            let mut access = self.test.cluster.access(name)?;
            access["data"]["serviceAccountName"] = account.unwrap_or_default().into();
            self.test.objects.apply_one(&access, &self.namespace).await?;
        }
        Ok(())
    }

    /// As [`Tenant::refused`], without a target namespace.
    async fn refused_as_written(&self, name: &str, path: &str, more: &str) -> Result<(String, String)> {
        let yaml = self.test.kustomization_yaml(name, path, more);
        let target = format!("  targetNamespace: {}\n", self.test.namespace);
        self.put(&yaml.replace(&target, "")).await?;
        let object = self.until(name, "has an answer", has_answer).await?;
        let ready = object.condition("Ready").context("checked above")?;
        ensure!(ready.status == "False", "{name} of {} is {ready:?}", self.namespace);
        Ok((ready.reason, ready.message))
    }

    /// Owner labels, an edited inventory, the status of a source, an event, an expression over the other's spec.
    async fn cannot_write_as_the_other(&self, of: &Tenant<'_>) -> Result<()> {
        let (test, user) = (self.test, format!("system:serviceaccount:{}:default", self.namespace));
        for (name, resource) in [("owner", "configmaps"), ("event", "events")] {
            let (reason, message) =
                self.refused_as_written(name, &format!("./{}/{name}", self.namespace), "").await?;
            let words = format!("User \"{user}\" cannot patch resource \"{resource}\"");
            ensure!(reason == "ReconciliationFailed" && message.contains(&words), "{name}: {message}");
        }

        // An inventory that names the other's object: the tenant itself may not write it, and if it could, its account may not delete.
        let can = |verb: &str, resource: &str| {
            let subject = format!("--as={user}");
            let args =
                ["auth", "can-i", verb, resource, "--subresource=status", &subject, "-n", &self.namespace];
            // The answer is also the exit code.
            let answer = test.kubectl(&args);
            answer.is_ok_and(|answer| answer.trim() == "yes")
        };
        for resource in [
            "kustomizations.kustomize.toolkit.fluxcd.io",
            "gitrepositories.source.toolkit.fluxcd.io",
            "externalartifacts.source.toolkit.fluxcd.io",
        ] {
            ensure!(!can("patch", resource), "{user} may patch the status of {resource}");
        }
        let entry = json!({"id": format!("{}_shop__ConfigMap", of.namespace), "v": "v1"});
        let own = test.objects.get(&self.id("shop")).await?.context("shop")?;
        let mut entries = own.pointer("/status/inventory/entries").cloned().unwrap_or_default();
        entries.as_array_mut().context("entries")?.push(entry);
        let status = json!({"status": {"inventory": {"entries": entries}}}).to_string();
        let patch = [
            "patch",
            "kustomization/shop",
            "--subresource=status",
            "--type=merge",
            "-n",
            &self.namespace,
            "-p",
            &status,
        ];
        test.kubectl(&patch)?;
        let token = format!("{:x}", rand::random::<u64>());
        let request = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}}});
        test.objects.patch(&self.id("shop"), &request).await?;
        self.until("shop", "has run", |object| object.text("/status/lastHandledReconcileAt") == token)
            .await?;

        // Metadata and status of a dependency are told across namespaces, as in Flux; what is in its spec is not, however it is asked for.
        for (name, expression) in [
            ("expression", "dep.spec.path == './shop'"),
            ("expression-has", "has(dep.spec.path)"),
            ("expression-index", "dep['spec']['path'] == './shop'"),
        ] {
            let expression = format!(
                "  dependsOn: [{{name: shop, namespace: {}, readyExpr: \"{expression}\"}}]\n",
                of.namespace
            );
            let (reason, message) = self.refused(name, "./shop", &expression).await?;
            ensure!(
                reason == "DependencyNotReady" && message.ends_with("no such key: spec"),
                "{name}: {reason}: {message}"
            );
        }
        let missing = "  dependsOn: [{name: missing, namespace: OF}]\n".replace("OF", &of.namespace);
        let (reason, message) = self.refused("dependency", "./shop", &missing).await?;
        let words = format!("dependency '{}/missing' not found", of.namespace);
        ensure!(reason == "DependencyNotReady" && message.contains(&words), "{reason}: {message}");

        // A Secret of the other's for a source.
        let source =
            test.source_yaml("1h", &format!("  secretRef: {{name: ../../{}/secrets/keys}}\n", of.namespace));
        self.put(&source.replace("{name: app}", "{name: secret}")).await?;
        let id = Id::of("source.toolkit.fluxcd.io/v1", "GitRepository", &self.namespace, "secret");
        wait::until(LIMIT, async || match test.objects.get(&id).await.map_err(not_yet)? {
            Some(object)
                if object.condition("Ready").is_some_and(|r| r.message.contains("invalid resource name")) =>
            {
                Ok(())
            }
            object => Err(Not::Yet(format!("{object:?}"))),
        })
        .await
    }
}

/// Whether Ready is about the newest generation, and says yes or no.
fn has_answer(object: &Value) -> bool {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    conditions.into_iter().any(|condition| {
        condition.text("/type") == "Ready"
            && condition.text("/status") != "Unknown"
            && condition.get("observedGeneration") == object.pointer("/metadata/generation")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_works_as_it_is_written() -> Result<()> {
    const GUIDE: &str = "docs/tenancy.md";
    const HEADING: &str = "A tenant";
    let flags = lockdown()?;
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let test = Scenario::with_own_controllers("tenancy-guide", &flags).await?;
    let tenant = format!("{}-team", test.namespace);
    let rename = |text: String| text.replace("team-a", &tenant);
    test.repo.commit_file("deploy/map.yaml", &config_map("shop", "1"))?;
    let folder = tempfile::tempdir()?;
    let mut said = String::new();
    for (number, commands) in document::commands(GUIDE, HEADING)?.into_iter().enumerate() {
        if number == 1 {
            let file = document::file(GUIDE, HEADING)?;
            let file = file.replace("https://git.example.com/team-a/app", &test.git.url("app"));
            test.apply(&rename(file)).await?;
        }
        said = document::run_beside(&rename(commands), folder.path(), test.cluster, &[]).await?;
    }
    let answers: Vec<_> = said.lines().rev().take(2).collect();
    ensure!(answers == ["no", "yes"], "{said}");
    ensure!(document::headings_with_commands(GUIDE)? == [HEADING]);
    test.kubectl(&["delete", "namespace", &tenant, "--wait=false"])?;
    test.finish().await
}
