//! The commands and files that documents show, so that tests run what people copy.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cluster::{Cluster, User};

/// A block of a document between lines of three backticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What stands behind the first line's backticks, such as `sh`.
    pub language: String,
    /// The lines between.
    pub text: String,
}

/// Commands for everybody, and those that need a Pod, which few tests have.
const COMMANDS: &str = "sh";
const POD_COMMANDS: &str = "sh pod";

/// Every block of a document of the workspace, with the heading that it stands below.
pub fn sections(document: &str) -> Result<Vec<(String, Block)>> {
    Ok(split(&read(document)?).0)
}

/// The text of a document outside of its blocks.
pub fn without_blocks(document: &str) -> Result<String> {
    Ok(split(&read(document)?).1)
}

/// The blocks below a heading of a document, up to the next heading.
pub fn blocks(document: &str, heading: &str) -> Result<Vec<Block>> {
    let blocks = below(&read(document)?, heading);
    ensure!(!blocks.is_empty(), "{document} has no block below {heading:?}");
    Ok(blocks)
}

/// The headings of a document that have commands directly below them.
pub fn headings_with_commands(document: &str) -> Result<Vec<String>> {
    let mut found: Vec<String> = sections(document)?
        .into_iter()
        .filter(|(_, block)| block.language == COMMANDS)
        .map(|(heading, _)| heading)
        .collect();
    found.dedup();
    Ok(found)
}

/// The only file below a heading: a block of YAML.
pub fn file(document: &str, heading: &str) -> Result<String> {
    let mut files = blocks(document, heading)?.into_iter().filter(|block| block.language == "yaml");
    let file = files.next().with_context(|| format!("{document} shows no file below {heading:?}"))?;
    ensure!(files.next().is_none(), "{document} shows several files below {heading:?}");
    Ok(file.text)
}

/// The commands below a heading, block by block.
pub fn commands(document: &str, heading: &str) -> Result<Vec<String>> {
    in_language(document, heading, COMMANDS)
}

/// The same of commands that need a Pod.
pub fn pod_commands(document: &str, heading: &str) -> Result<Vec<String>> {
    in_language(document, heading, POD_COMMANDS)
}

fn in_language(document: &str, heading: &str, language: &str) -> Result<Vec<String>> {
    let commands = blocks(document, heading)?.into_iter().filter(|block| block.language == language);
    Ok(commands.map(|block| block.text).collect())
}

fn read(document: &str) -> Result<String> {
    fs::read_to_string(crate::workspace().join(document)).with_context(|| format!("read {document}"))
}

/// Runs a block of commands in `folder`, in a shell that ends with the first failure. Answers what they print.
pub fn run(commands: &str, folder: &Path, environment: &[(&str, &OsStr)]) -> Result<String> {
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &format!("exec 2>&1\n{commands}")]);
    shell.current_dir(folder).envs(environment.iter().copied());
    let ended = shell.output().context("start bash")?;
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    ensure!(ended.status.success(), "{}\n{commands}\n{said}", ended.status);
    Ok(said)
}

/// The same with the `kubectl` of a cluster, in which the commands may do all, and with further programs; blocks nothing else.
pub async fn run_beside(
    commands: &str,
    folder: &Path,
    cluster: &Cluster,
    programs: &[&Path],
) -> Result<String> {
    let kubectl = cluster.kubectl();
    let path = search_path(&[&[Path::new(kubectl.get_program())], programs].concat())?;
    let environment =
        [("PATH", path.as_os_str()), ("KUBECONFIG", cluster.kubeconfig(User::Admin).as_os_str())];
    tokio::task::block_in_place(|| run(commands, folder, &environment))
}

/// The search path with the folders of some programs before it.
pub fn search_path(programs: &[&Path]) -> Result<OsString> {
    let folders = programs.iter().filter_map(|program| program.parent()).map(Path::to_owned);
    let rest = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(folders.chain(std::env::split_paths(&rest)))?)
}

fn below(text: &str, heading: &str) -> Vec<Block> {
    split(text).0.into_iter().filter(|(at, _)| at == heading).map(|(_, block)| block).collect()
}

/// Every block, with the heading that it stands below, and the text between them.
fn split(text: &str) -> (Vec<(String, Block)>, String) {
    let (mut blocks, mut rest) = (Vec::new(), String::new());
    let (mut heading, mut open) = (String::new(), None::<Block>);
    for line in text.lines() {
        // Blocks in lists are indented.
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (Some(_), Some(_)) => blocks.extend(open.take().map(|block| (heading.clone(), block))),
            (Some(block), None) => {
                block.text += line;
                block.text.push('\n');
            }
            (None, Some(language)) => {
                open = Some(Block { language: language.to_owned(), text: String::new() });
            }
            (None, None) => {
                if line.starts_with('#') {
                    heading = line.trim_start_matches('#').trim().to_owned();
                }
                rest += line;
                rest.push('\n');
            }
        }
    }
    (blocks, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocks_below_a_heading_are_found() {
        let text = "# A\n```sh\none\n```\n## B\n\n```yaml\n# no heading\nx: y\n```\n1. text\n   ```sh\n   two\n\n   three\n   ```\n# C\n```sh\nfour\n```\n";
        let block = |language: &str, text: &str| Block { language: language.into(), text: text.into() };
        assert_eq!(
            below(text, "B"),
            [block("yaml", "# no heading\nx: y\n"), block("sh", "   two\n\n   three\n")]
        );
        assert_eq!(below(text, "D"), []);
        assert_eq!(split(text).1, "# A\n## B\n\n1. text\n# C\n");
    }
}
