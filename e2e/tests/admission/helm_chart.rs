//! HelmChart.

use anyhow::Result;
use serde_json::json;

use crate::server::{Server, helm_chart};

#[tokio::test(flavor = "multi_thread")]
async fn helm_charts_are_judged_by_their_schema() -> Result<()> {
    let server = Server::connect().await?;
    for field in ["chart", "interval", "sourceRef"] {
        server.rejects(&helm_chart(json!({field: null})), &format!("spec.{field}: Required value")).await;
    }
    for kind in ["HelmRepository", "GitRepository", "Bucket"] {
        server.accepts(&helm_chart(json!({"sourceRef": {"kind": kind, "name": "a"}}))).await;
    }
    let foreign = json!({"sourceRef": {"kind": "OCIRepository", "name": "a"}});
    server.rejects(&helm_chart(foreign), "spec.sourceRef.kind: Unsupported value: \"OCIRepository\"").await;
    for strategy in ["ChartVersion", "Revision"] {
        server.accepts(&helm_chart(json!({"reconcileStrategy": strategy}))).await;
    }
    let never = helm_chart(json!({"reconcileStrategy": "Never"}));
    server.rejects(&never, "spec.reconcileStrategy: Unsupported value: \"Never\"").await;
    for interval in ["", "1", "1d"] {
        server
            .rejects(&helm_chart(json!({"interval": interval})), "spec.interval in body should match")
            .await;
    }
    let all = json!({"version": ">=1.0.0", "valuesFiles": ["a", "b"], "ignoreMissingValuesFiles": true, "suspend": true,
        "verify": {"provider": "cosign", "secretRef": {"name": "a"}}});
    server.accepts(&helm_chart(all)).await;
    let verify =
        json!({"verify": {"provider": "cosign"}, "sourceRef": {"kind": "GitRepository", "name": "a"}});
    let message = "spec.verify is only supported when spec.sourceRef.kind is 'HelmRepository'";
    server.rejects(&helm_chart(verify), message).await;
    server.rejects_strictly(&helm_chart(json!({"values": {}})), "unknown field \"spec.values\"").await;
    Ok(())
}
