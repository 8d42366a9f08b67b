//! Attacks by what is in a repository.

use anyhow::Result;
use serde_json::json;

use crate::trial::Trial;

/// Kustomizations of the attacker at once: more than there are workers.
const KUSTOMIZATIONS: u32 = 8;

/// Kustomizations for a repository, once they have begun to fail for `reason`.
async fn apply_all(trial: &Trial, repository: &str, reason: &str) -> Result<()> {
    trial.apply_source(repository, repository, "").await?;
    for n in 0..KUSTOMIZATIONS {
        trial.apply_kustomization(&format!("{repository}-{n}"), repository, ".", json!({})).await?;
    }
    trial.reached("Kustomization", &format!("{repository}-0"), &[reason]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn yaml_that_grows_when_it_is_read_leaves_memory_to_others() -> Result<()> {
    let trial = Trial::new("yaml").await?;
    let repo = trial.test.git.create("yaml")?;
    let list = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: NAME}}\ndata: [{}]\n",
        "{},".repeat(100_000)
    );
    for file in 0..8 {
        repo.write(&format!("{file}.yaml"), &list.replace("NAME", &format!("m{file}")))?;
    }
    let names: Vec<_> = (0..8).map(|file| format!("{file}.yaml")).collect();
    repo.write("kustomization.yaml", &format!("resources: [{}]\n", names.join(", ")))?;
    repo.commit("attack")?;
    trial.run(async |trial| apply_all(trial, "yaml", "BuildFailed").await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_kinds_leave_workers_and_discovery_to_others() -> Result<()> {
    let trial = Trial::new("kinds").await?;
    let repo = trial.test.git.create("kinds")?;
    let kind = |n: u32| format!("apiVersion: made{n}.up/v1\nkind: Kind{n}\nmetadata: {{name: a}}\n---\n");
    repo.commit_file("all.yaml", &(0..300).map(kind).collect::<String>())?;
    trial.run(async |trial| apply_all(trial, "kinds", "ReconciliationFailed").await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn large_artifacts_leave_memory_and_disk_to_others() -> Result<()> {
    let trial = Trial::new("large").await?;
    let repo = trial.test.git.create("large")?;
    // Compressible, and different for each source by its ignore rules.
    for n in 0..KUSTOMIZATIONS {
        repo.write(&format!("{n}/blob"), &n.to_string().repeat(48 << 20))?;
        repo.write(&format!("{n}/map.yaml"), &e2e::testkit::config_map("map", "1"))?;
    }
    repo.commit("attack")?;
    trial
        .run(async |trial| {
            for n in 0..KUSTOMIZATIONS {
                let (name, only) = (format!("large-{n}"), format!("/*\n!/{n}\n"));
                trial.apply_source(&name, "large", &only).await?;
                trial.apply_kustomization(&name, &name, &n.to_string(), json!({})).await?;
            }
            for n in 0..KUSTOMIZATIONS {
                trial.reached("GitRepository", &format!("large-{n}"), &["Succeeded"]).await?;
            }
            Ok(())
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_that_compute_without_end_leave_time_to_others() -> Result<()> {
    let trial = Trial::new("expressions").await?;
    trial.test.git.create("maps")?.commit_file("map.yaml", &e2e::testkit::config_map("map", "1"))?;
    let letters = "'a'".to_owned() + &", 'a'".repeat(200);
    let nested = |depth: u32| {
        let lists = (0..depth).map(|n| format!("[{letters}].all(x{n}, ")).collect::<String>();
        format!("{lists}x0 == 'a'{}", ")".repeat(depth as usize))
    };
    let pattern = format!("'{}b'.matches('(a*)*(a*)*c')", "a".repeat(2_000));
    trial
        .run(async |trial| {
            trial.apply_source("maps", "maps", "").await?;
            for n in 0..KUSTOMIZATIONS {
                let expression =
                    if n % 2 == 0 { nested(6) } else { format!("[{letters}].all(x, {pattern})") };
                let check = json!([{"apiVersion": "v1", "kind": "ConfigMap", "current": expression}]);
                let more = json!({"wait": true, "healthCheckExprs": check});
                trial.apply_kustomization(&format!("maps-{n}"), "maps", ".", more).await?;
            }
            for n in 0..2 {
                let reasons =
                    ["HealthCheckFailed", "Progressing", "InvalidCELExpression", "ReconciliationSucceeded"];
                trial.reached("Kustomization", &format!("maps-{n}"), &reasons).await?;
            }
            Ok(())
        })
        .await
}
