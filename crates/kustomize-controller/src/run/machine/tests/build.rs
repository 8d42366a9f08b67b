//! From the start of a run to its objects.

use std::time::Duration;

use artifact::{
    cache::CacheError,
    digest::{Algorithm, Hasher},
    fetch::FetchError,
};
use clusters::ConnectError;
use runtime::error::TaskError;
use tokio_util::task::AbortOnDropHandle;

use super::script::{Script, built, drive_all, entry, inputs, run, slow, tree};
use crate::{
    builds::Queued,
    render::RenderError,
    run::{
        BuildTask, Ending, Phase,
        build::BuildError,
        effects::{Background, Build, Built, Downloaded},
        machine::drive,
    },
    variables::VariablesError,
};

fn not_found() -> CacheError {
    CacheError::Fetch(FetchError::NotFound.into())
}

fn mismatch() -> CacheError {
    CacheError::Fetch(FetchError::Mismatch(Hasher::new(Algorithm::Sha256).finish()).into())
}

#[tokio::test(start_paused = true)]
async fn a_run_downloads_builds_applies_and_looks_for_health() {
    let (mut run, mut script) = (run(vec![]), Script::default());
    assert_eq!(drive_all(&mut run, &mut script).await, (vec![], "succeeded".into()));
    assert_eq!(script.asked, ["download", "build", "apply ConfigMap/a", "applied", "health checks"]);
    assert!(run.progress.attempted);
    assert_eq!(run.progress.digest, "sha256:new");
    assert_eq!(run.progress.desired, [entry("ConfigMap", "a")]);
    assert_eq!(run.progress.inventory, Some(vec![entry("ConfigMap", "a")]));
    assert!(run.progress.memory.is_none(), "nothing is left to apply");
    assert_eq!(run.progress.message, "Detecting drift for revision r2 with a timeout of 5m0s");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_until_the_cluster_answers() {
    let no_cluster = || Err(ConnectError::NoReference);
    let text = "ReconciliationFailed: exactly one of spec.kubeConfig.configMapRef or \
                spec.kubeConfig.secretRef must be specified, not recorded";
    let mut script = Script { connected: Some(Background::Now(no_cluster())), ..Script::default() };
    assert_eq!(drive_all(&mut run(vec![]), &mut script).await, (vec![], text.into()));
    assert_eq!(script.asked, [""; 0]);
    for (result, end, asked) in [
        (Ok(None), "succeeded", vec!["announce", "announce", "download"]),
        (no_cluster(), text, vec!["announce", "announce"]),
    ] {
        let connected = Some(slow(Duration::from_secs(8), result));
        let mut script = Script { connected, ..Script::default() };
        let (waits, ended) = drive_all(&mut run(vec![]), &mut script).await;
        let waited = [("Connect".to_owned(), 5), ("Connect".to_owned(), 5)];
        assert_eq!((&waits[..], ended.as_str()), (&waited[..], end));
        assert_eq!(script.asked[..asked.len()], asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_build_that_would_change_nothing_is_skipped_before_or_after_the_download() {
    for before_download in [true, false] {
        let (mut run, mut script) = (run(vec![entry("ConfigMap", "old")]), Script::default());
        match before_download {
            true => script.unchanged = Some(inputs("d2")),
            false => script.built = Some(Built::Now(Ok(Build::Unchanged(inputs("d2"))))),
        }
        assert_eq!(drive_all(&mut run, &mut script).await.1, "succeeded");
        let downloads: &[&str] = if before_download { &[] } else { &["download", "build"] };
        assert_eq!(script.asked, [downloads, &["applied", "health checks"]].concat());
        assert!(run.progress.attempted && !run.progress.changes.wrote());
        assert_eq!(run.progress.inventory, Some(vec![entry("ConfigMap", "old")]));
        assert_eq!(run.progress.digest, "sha256:old");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_download_is_announced_and_waited_for_without_a_worker() {
    let (mut run, mut script) = (run(vec![]), Script::default());
    script.download = Some(slow(Duration::from_secs(7), Ok(tree())));
    let waits = vec![("Download".to_owned(), 5), ("Download".to_owned(), 5)];
    assert_eq!(drive_all(&mut run, &mut script).await, (waits, "succeeded".into()));
    assert_eq!(script.asked[..4], ["download", "announce", "announce", "build"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_build_is_waited_for_without_a_worker_and_announced_if_it_goes_on() {
    for (time, looks) in [(3, 1), (7, 2)] {
        let (mut run, mut script) = (run(vec![]), Script::default());
        let built = Ok(built(&[("ConfigMap", "a")]));
        script.built = Some(slow(Duration::from_secs(time), built));
        let waits = vec![("Build".to_owned(), 5); looks];
        assert_eq!(drive_all(&mut run, &mut script).await, (waits, "succeeded".into()));
        let announced = script.asked.iter().filter(|asked| *asked == "announce").count();
        assert_eq!(announced, looks - 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_build_that_waits_for_its_turn_says_so() {
    let (mut run, mut script) = (run(vec![]), Script::default());
    let queued = Queued::default();
    queued.set(true);
    let task = AbortOnDropHandle::new(tokio::spawn(std::future::pending()));
    let phase = Phase::Build(BuildTask { task, queued });
    let Ok(Ending::Waiting(Phase::Build(build), _)) = drive(&mut run, phase, &mut script).await else {
        panic!("it does not wait");
    };
    assert_eq!(run.progress.message, "Waiting to build manifests for revision r2 with a timeout of 5m0s");
    build.queued.set(false);
    assert!(drive(&mut run, Phase::Build(build), &mut script).await.is_ok());
    assert_eq!(run.progress.message, "Building manifests for revision r2 with a timeout of 5m0s");
    assert_eq!(script.asked, ["announce", "announce"]);
}

#[tokio::test(start_paused = true)]
async fn a_build_whose_task_panics_fails_the_run() {
    let (mut run, mut script) = (run(vec![]), Script::default());
    let task = AbortOnDropHandle::new(tokio::spawn(async { panic!("no objects") }));
    script.built = Some(Built::Later(task));
    let end = drive_all(&mut run, &mut script).await.1;
    // Not what it says, which may quote what it was about.
    assert_eq!(end, "BuildFailed: the work panicked: the log of the controller says where, not recorded");
}

#[tokio::test(start_paused = true)]
async fn a_download_that_fails_ends_the_run() {
    let panicking = || {
        let task = tokio::spawn(async { panic!("no bytes") });
        Downloaded::Later(AbortOnDropHandle::new(task))
    };
    let aborted = "ArtifactFailed: failed to extract archive: aborted, not recorded";
    for (download, end) in [
        (Downloaded::Now(Err(not_found())), "artifact not found"),
        (slow(Duration::ZERO, Err(not_found())), "artifact not found"),
        (Downloaded::Now(Err(mismatch())), "artifact digest changed"),
        (Downloaded::Now(Err(CacheError::Aborted)), aborted),
        (slow(Duration::ZERO, Err(CacheError::Aborted)), aborted),
        (
            panicking(),
            "ArtifactFailed: the work panicked: the log of the controller says where, not recorded",
        ),
    ] {
        let (mut run, mut script) = (run(vec![]), Script::default());
        script.download = Some(download);
        let ended = drive_all(&mut run, &mut script).await.1;
        assert_eq!(ended.replace(|c: char| c.is_ascii_digit(), ""), end);
        assert!(!run.progress.attempted && run.progress.inventory.is_none());
        assert_eq!(script.asked, ["download"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_download_is_given_up_when_the_object_cannot_be_written() {
    let (mut run, mut script) = (run(vec![]), Script { unwritable: true, ..Script::default() });
    script.download = Some(slow(Duration::from_secs(7), Ok(tree())));
    let ended = drive_all(&mut run, &mut script).await.1;
    assert_eq!(ended, "given up: the object was replaced by another of the same name");
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_is_missing_fails_before_the_revision_counts_as_attempted() {
    let (mut run, mut script) = (run(vec![]), Script::default());
    run.plan.path = "elsewhere".into();
    let message = "ArtifactFailed: kustomization path not found: stat /elsewhere: no such file or directory";
    assert_eq!(drive_all(&mut run, &mut script).await.1, format!("{message}, not recorded"));
    assert!(!run.progress.attempted);
}

#[tokio::test(start_paused = true)]
async fn a_build_that_fails_ends_the_run_and_the_revision_counts_as_attempted() {
    let timeout = Duration::from_secs(90);
    let variables = VariablesError::Invalid(substitute::Variables::new([("0", "")]).unwrap_err());
    let object = RenderError::Object(apply::object::Manifest::new(serde_json::json!({}), None).unwrap_err());
    for error in [
        BuildError::Variables(variables),
        BuildError::Render(object),
        BuildError::Panic(TaskError::Panicked),
        BuildError::Timeout(timeout),
    ] {
        let (mut run, mut script) = (run(vec![entry("ConfigMap", "old")]), Script::default());
        let message = error.to_string();
        script.built = Some(Built::Now(Err(error)));
        let ended = drive_all(&mut run, &mut script).await.1;
        assert_eq!(ended, format!("BuildFailed: {message}, not recorded"));
        assert!(run.progress.attempted && run.progress.inventory.is_none());
        assert_eq!(run.progress.message, "Building manifests for revision r2 with a timeout of 5m0s");
    }
    assert_eq!(BuildError::Timeout(timeout).to_string(), "kustomize build did not finish within 1m30s");
}
