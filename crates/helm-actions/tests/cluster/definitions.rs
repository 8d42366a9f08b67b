//! The definitions in `crds/`.

use std::collections::BTreeMap;

use anyhow::Result;
use e2e::objects::Id;
use helm::Crd;
use helm_actions::CrdPolicy;
use helm_release::ApplyMethod;

use crate::bed::*;

pub fn definition(plural: &str, text: &str) -> Crd {
    let content = format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {plural}.example.org, annotations: {{text: {text}}}}}\n\
         spec:\n  group: example.org\n  scope: Namespaced\n  names: {{plural: {plural}, singular: {plural}x, kind: K{plural}}}\n  versions:\n  \
         - name: v1\n    served: true\n    storage: true\n    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}\n\
         ---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: not-a-definition}}\n"
    );
    Crd { name: "app/crds/a.yaml".into(), content: content.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_created_once_and_replaced_if_asked() -> Result<()> {
    let bed = Bed::new().await?;
    let plural = format!("w{:05x}", rand::random_range(0..0x10_0000));
    let id = Id::new(&format!("CustomResourceDefinition/{plural}.example.org"), "")?;
    let labels = BTreeMap::from([("helm.toolkit.fluxcd.io/name".to_owned(), "web".to_owned())]);
    let kind =
        format!("apiVersion: example.org/v1\nkind: K{plural}\nmetadata: {{name: k}}\nspec: {{a: 1}}\n");
    let chart = bed.chart("1.0.0", &[("templates/k.yaml", &kind)])?;
    refusal(bed.install("web", &chart, "{}").await);
    let apply = async |text: &str, policy, method| {
        let files = [definition(&plural, text)];
        bed.configuration.apply_crds(&files, policy, method, &labels, &wait()).await.unwrap();
        let live = bed.objects.get(&id).await.unwrap();
        live.map(|live| (live["metadata"]["annotations"]["text"].clone(), live["metadata"]["labels"].clone()))
    };
    assert_eq!(apply("one", CrdPolicy::Skip, ApplyMethod::ServerSide).await, None);
    let made = apply("one", CrdPolicy::Create, ApplyMethod::ServerSide).await.unwrap();
    assert_eq!(made.0, "one");
    assert_eq!(made.1["helm.toolkit.fluxcd.io/name"], "web");
    assert_eq!(apply("two", CrdPolicy::Create, ApplyMethod::ServerSide).await.unwrap().0, "one");
    assert_eq!(apply("three", CrdPolicy::CreateReplace, ApplyMethod::ServerSide).await.unwrap().0, "three");
    assert_eq!(apply("four", CrdPolicy::CreateReplace, ApplyMethod::ClientSide).await.unwrap().0, "four");
    assert!(bed.get("ConfigMap", "not-a-definition").await?.is_none());
    // The kind is known at once.
    good(bed.install("web", &chart, "{}").await);
    bed.objects.delete(&id).await?;
    Ok(())
}
