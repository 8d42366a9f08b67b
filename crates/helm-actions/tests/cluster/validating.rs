//! Fields that the API server does not know, against the real client.

use anyhow::Result;
use helm_actions::options::{Apply, Install, Upgrade};

use crate::bed::*;

const UNKNOWN: (&str, &str) = (
    "templates/service.yaml",
    "apiVersion: v1\nkind: Service\nmetadata: {name: unknown}\nspec: {ports: [{port: 80}], nobodyKnowsThis: true}\n",
);

/// Whether the real client makes two revisions, with and without its own validation: the second one is of the chart with the field.
fn client(bed: &Bed, charts: [&str; 2], install: &[&str], upgrade: &[&str]) -> Result<[bool; 2]> {
    let mut both = [false; 2];
    for (accepts, flag) in
        both.iter_mut().zip(["--disable-openapi-validation=false", "--disable-openapi-validation"])
    {
        bed.helm(&[&["install", "web", charts[0]], install].concat())?;
        *accepts = bed.helm(&[&["upgrade", "web", charts[1], flag], upgrade].concat()).is_ok();
        bed.helm(&["uninstall", "web", "--wait"])?;
    }
    Ok(both)
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_are_refused_where_the_real_client_refuses_them_whatever_it_is_told() -> Result<()> {
    let (bed, beside) = (Bed::new().await?, Bed::new().await?);
    let known = (UNKNOWN.0, UNKNOWN.1.replace(", nobodyKnowsThis: true", ""));
    let charts = [
        bed.chart("1.0.0", &[MAP])?,
        bed.chart("2.0.0", &[MAP, UNKNOWN])?,
        bed.chart("3.0.0", &[MAP, (known.0, &known.1)])?,
    ];
    let [without, with, good_one] = charts.each_ref().map(String::as_str);
    for (from, apply, forces, flags, accepted) in [
        (without, Apply::ServerSide, false, &["--server-side=true"][..], false),
        (good_one, Apply::ServerSide, false, &["--server-side=true"], false),
        (without, Apply::ClientSide, false, &["--server-side=false"], true),
        (good_one, Apply::ClientSide, false, &["--server-side=false"], true),
        (without, Apply::ClientSide, true, &["--server-side=false", "--force-replace"], true),
        (good_one, Apply::ClientSide, true, &["--server-side=false", "--force-replace"], false),
    ] {
        let theirs = client(&beside, [from, with], &flags[..1], flags)?;
        assert_eq!(theirs, [accepted; 2], "{from} {flags:?}");
        good(bed.install_as("web", from, "{}", &Install { apply, ..install() }).await);
        let options = Upgrade { apply, forces, ..upgrade() };
        let ours = bed.upgrade_as("web", with, "{}", &options).await.unwrap().error;
        assert_eq!(ours.is_none(), accepted, "{from} {flags:?}: {ours:?}");
        good(bed.configuration.uninstall("web", &uninstall()).await);
    }
    Ok(())
}
