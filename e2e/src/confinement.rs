//! Memory and processor time of a process, limited as a container's are.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";
/// Microseconds in which a processor's time is shared out.
const PERIOD: u64 = 100_000;

/// A control group with limits; removed when this is dropped and its processes have ended.
#[derive(Debug)]
pub struct Confinement {
    folders: Vec<PathBuf>,
}

impl Confinement {
    /// A group with so many bytes of memory and one processor; `None`, and a line that says why, where the machine does not let us
    /// make one.
    pub fn new(name: &str, memory_bytes: u64) -> Option<Self> {
        let name = format!("ferroflux-{name}-{}", std::process::id());
        match Self::version_2(&name, memory_bytes).or_else(|_| Self::version_1(&name, memory_bytes)) {
            Ok(confinement) => Some(confinement),
            Err(error) => {
                eprintln!("{name} is not confined, there is no control group for it: {error:#}");
                None
            }
        }
    }

    fn version_2(name: &str, memory_bytes: u64) -> Result<Self> {
        let folder = Path::new(ROOT).join(name);
        let group = Self { folders: vec![folder.clone()] };
        let controllers = fs::read_to_string(Path::new(ROOT).join("cgroup.controllers"))?;
        anyhow::ensure!(controllers.contains("memory") && controllers.contains("cpu"), "no such controllers");
        fs::write(Path::new(ROOT).join("cgroup.subtree_control"), "+memory +cpu")
            .context("subtree_control")?;
        fs::create_dir(&folder)?;
        fs::write(folder.join("memory.max"), memory_bytes.to_string())?;
        fs::write(folder.join("cpu.max"), format!("{PERIOD} {PERIOD}"))?;
        Ok(group)
    }

    fn version_1(name: &str, memory_bytes: u64) -> Result<Self> {
        let [memory, cpu] = ["memory", "cpu"].map(|controller| Path::new(ROOT).join(controller).join(name));
        let group = Self { folders: vec![memory.clone(), cpu.clone()] };
        for folder in &group.folders {
            fs::create_dir(folder).with_context(|| format!("create {}", folder.display()))?;
        }
        fs::write(memory.join("memory.limit_in_bytes"), memory_bytes.to_string())?;
        fs::write(cpu.join("cpu.cfs_period_us"), PERIOD.to_string())?;
        fs::write(cpu.join("cpu.cfs_quota_us"), PERIOD.to_string())?;
        Ok(group)
    }

    /// Takes a process in, with all its threads.
    pub fn add(&self, process: u32) -> Result<()> {
        self.folders.iter().try_for_each(|folder| {
            fs::write(folder.join("cgroup.procs"), process.to_string())
                .with_context(|| format!("move the process to {}", folder.display()))
        })
    }
}

impl Drop for Confinement {
    fn drop(&mut self) {
        for folder in &self.folders {
            // Left behind if a process still ends; it costs nothing.
            let _ = fs::remove_dir(folder);
        }
    }
}
