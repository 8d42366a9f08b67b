//! A Git repository that tests commit to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A bare repository that a server serves, and a work tree that pushes to it.
#[derive(Debug)]
pub struct Repository {
    bare: PathBuf,
    work: PathBuf,
}

impl Repository {
    /// Creates `<root>/<name>.git` without a commit, with `main` checked out in a work tree in `work`.
    pub fn create(root: &Path, work: &Path, name: &str) -> Result<Self> {
        let bare = root.join(format!("{name}.git"));
        let work = work.join(name);
        git(root, &["init", "-q", "--bare", "-b", "main", &path(&bare)])?;
        git(root, &["init", "-q", "-b", "main", &path(&work)])?;
        git(&work, &["remote", "add", "origin", &path(&bare)])?;
        // A plain `git push` does it, without an upstream.
        git(&work, &["config", "push.default", "current"])?;
        Ok(Self { bare, work })
    }

    /// Where the server has it.
    pub fn bare(&self) -> &Path {
        &self.bare
    }

    /// The work tree.
    pub fn folder(&self) -> &Path {
        &self.work
    }

    /// Writes a file of the work tree.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        let file = self.work.join(file);
        fs::create_dir_all(file.parent().context("no folder")?)?;
        Ok(fs::write(file, text)?)
    }

    /// Removes a file or a folder of the work tree.
    pub fn remove(&self, file: &str) -> Result<()> {
        let file = self.work.join(file);
        let removed = if file.is_dir() { fs::remove_dir_all(file) } else { fs::remove_file(file) };
        Ok(removed?)
    }

    /// Commits the work tree and pushes the branch; answers the commit.
    pub fn commit(&self, message: &str) -> Result<String> {
        self.git(&["add", "-A"])?;
        self.git(&["commit", "-q", "--allow-empty", "-m", message])?;
        self.git(&["push", "-q", "origin", "HEAD"])?;
        self.head()
    }

    /// Replaces the last commit by the work tree and force-pushes; answers the commit.
    pub fn rewrite(&self, message: &str) -> Result<String> {
        self.git(&["add", "-A"])?;
        self.git(&["commit", "-q", "--amend", "--allow-empty", "-m", message])?;
        self.git(&["push", "-q", "--force", "origin", "HEAD"])?;
        self.head()
    }

    /// Writes one file, commits and pushes.
    pub fn commit_file(&self, file: &str, text: &str) -> Result<String> {
        self.write(file, text)?;
        self.commit(&format!("write {file}"))
    }

    /// Switches to a branch, which starts at the current commit when it is new.
    pub fn switch(&self, branch: &str) -> Result<()> {
        let known = self.git(&["rev-parse", "-q", "--verify", &format!("refs/heads/{branch}")]).is_ok();
        let create: &[&str] = if known { &[] } else { &["-c"] };
        self.git(&[&["switch", "-q"], create, &[branch]].concat()).map(drop)
    }

    /// Pushes a tag of the current commit: an annotated one when it has a message.
    pub fn tag(&self, name: &str, message: Option<&str>) -> Result<()> {
        match message {
            Some(message) => self.git(&["tag", "-a", "-f", "-m", message, name])?,
            None => self.git(&["tag", "-f", name])?,
        };
        self.git(&["push", "-q", "--force", "origin", &format!("refs/tags/{name}")]).map(drop)
    }

    /// Deletes a branch or tag on the server.
    pub fn delete(&self, reference: &str) -> Result<()> {
        git(&self.bare, &["update-ref", "-d", reference]).map(drop)
    }

    /// Points a branch or tag of the server to a commit that it has.
    pub fn point(&self, reference: &str, commit: &str) -> Result<()> {
        git(&self.bare, &["update-ref", reference, commit]).map(drop)
    }

    /// The current commit.
    pub fn head(&self) -> Result<String> {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git in the work tree; answers its output.
    pub fn git(&self, args: &[&str]) -> Result<String> {
        git(&self.work, args)
    }
}

/// Runs git in `folder`, without the settings of the user or the machine.
pub fn git(folder: &Path, args: &[&str]) -> Result<String> {
    let output = command()
        .args(args)
        .current_dir(folder)
        .envs([("GIT_AUTHOR_NAME", "e2e"), ("GIT_AUTHOR_EMAIL", "e2e@localhost")])
        .envs([("GIT_COMMITTER_NAME", "e2e"), ("GIT_COMMITTER_EMAIL", "e2e@localhost")])
        .output()
        .context("run git")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {}: {}", args.join(" "), error.trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// git, kept away from the settings of the user and the machine, and from asking for passwords.
pub fn command() -> Command {
    let mut git = Command::new("git");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"GIT_")) {
        git.env_remove(name);
    }
    git.envs([
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ]);
    git
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
