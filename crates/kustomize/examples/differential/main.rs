//! Builds random trees with this engine and with the real kustomize and reports every difference.
//!
//! ```text
//! cargo run --release -p kustomize --example differential -- KUSTOMIZE [CASES [FIRST-SEED [KEEP-FOLDER]]]
//! ```
//!
//! A difference is an output that is not the same bytes, or a failure of only one of the two. The tree of each is kept in
//! `KEEP-FOLDER`, if given. Exit status 1 when there was any. Failures that `docs/differences.md` lists are counted apart.

mod labels;
mod objects;
mod random;
mod structured;
mod tree;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use kustomize::{DiskTree, Options};
use random::Random;

fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let kustomize =
        arguments.next().context("usage: differential KUSTOMIZE [CASES [FIRST-SEED [KEEP-FOLDER]]]")?;
    let cases: u64 = arguments.next().map_or(Ok(2000), |text| text.parse())?;
    let first: u64 = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let keep = arguments.next();
    let (mut same, mut both_failed, mut listed, mut different) = (0, 0, 0, 0);
    for seed in first..first + cases {
        let folder = tempfile::tempdir()?;
        tree::write(&mut Random::new(seed), folder.path())?;
        match compare(&kustomize, folder.path())? {
            Outcome::Same => same += 1,
            Outcome::Listed => listed += 1,
            Outcome::BothFailed(why) => {
                both_failed += 1;
                if std::env::var_os("SHOW_FAILURES").is_some() {
                    println!("--- seed {seed} fails in both: {why}");
                }
            }
            Outcome::Different(how) => {
                different += 1;
                println!("=== seed {seed}: {how}");
                if let Some(keep) = &keep {
                    let target = Path::new(keep).join(seed.to_string());
                    std::fs::create_dir_all(keep)?;
                    copy(folder.path(), &target)?;
                }
            }
        }
    }
    println!(
        "{cases} trees: {same} the same, {both_failed} failed in both, {listed} listed, {different} different"
    );
    Ok(if different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// kustomize cannot write a key of a label or annotation that YAML reads as another type than string.
const KEY_IS_NO_STRING: &str = "json: unsupported type: map[interface {}]interface {}";

/// A text that a replacement puts over a number or boolean, which a patch has put over a text in quotes.
const TEXT_IS_NO_VALUE: &str = "yaml: cannot decode !!str";

enum Outcome {
    Same,
    Listed,
    BothFailed(String),
    Different(String),
}

fn compare(kustomize: &str, folder: &Path) -> Result<Outcome> {
    let root = folder.join("top");
    let theirs = Command::new(kustomize).arg("build").arg(&root).stdin(Stdio::null()).output()?;
    let tree = DiskTree::new(folder)?;
    let options = Options { openapi_adds_to_builtin: false, ..Options::default() };
    let ours =
        kustomize::build(&tree, "top", &options, None).and_then(|resources| kustomize::to_yaml(&resources));
    let their_error =
        || String::from_utf8_lossy(&theirs.stderr).lines().last().unwrap_or_default().to_owned();
    Ok(match (theirs.status.success(), ours) {
        (false, Err(error)) => Outcome::BothFailed(format!("{} / {error}", their_error())),
        (true, Err(error)) => Outcome::Different(format!("only ours fails: {error}")),
        (false, Ok(_))
            if [KEY_IS_NO_STRING, TEXT_IS_NO_VALUE].iter().any(|why| their_error().contains(why)) =>
        {
            Outcome::Listed
        }
        (false, Ok(_)) => Outcome::Different(format!("only theirs fails: {}", their_error())),
        (true, Ok(text)) if text.as_bytes() == theirs.stdout => Outcome::Same,
        (true, Ok(text)) if differ_in_listed_hashes(&String::from_utf8_lossy(&theirs.stdout), &text) => {
            Outcome::Listed
        }
        (true, Ok(text)) => Outcome::Different(difference(&String::from_utf8_lossy(&theirs.stdout), &text)),
    })
}

/// Whether nothing differs but the hashes in names of objects that are generated and that a patch has made something else than a
/// ConfigMap or a Secret.
fn differ_in_listed_hashes(theirs: &str, ours: &str) -> bool {
    let (theirs, ours): (Vec<&str>, Vec<&str>) =
        (theirs.split("\n---\n").collect(), ours.split("\n---\n").collect());
    let is_data = |document: &str| document.lines().any(|l| matches!(l, "kind: ConfigMap" | "kind: Secret"));
    let same = |a: &str, b: &str| a == b || !is_data(a) && without_hashes(a).eq(without_hashes(b));
    theirs.len() == ours.len() && theirs.iter().zip(ours).all(|(a, b)| same(a, b))
}

/// The lines of a document, those with a name without its hash.
fn without_hashes(document: &str) -> impl Iterator<Item = &str> {
    document.lines().map(|line| match line.rsplit_once('-') {
        Some((name, hash)) if name.trim_start().starts_with("name: ") && hash.len() == 10 => name,
        _ => line,
    })
}

/// The first lines that differ, with some before them.
fn difference(theirs: &str, ours: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (theirs.lines().collect(), ours.lines().collect());
    let at = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let show = |lines: &[&str], sign: char| -> String {
        let lines = lines.iter().enumerate().skip(at.saturating_sub(6)).take(12);
        lines.map(|(number, line)| format!("{}{line}\n", if number < at { ' ' } else { sign })).collect()
    };
    format!("theirs and ours:\n{}{}", show(&a, '-'), show(&b, '+'))
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
