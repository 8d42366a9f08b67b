//! Starting and ending programs, so that none outlives its owner.
//!
//! An [`Owner::Harness`] process ends when its [`Process`] is dropped, and also when this whole
//! program ends in any other way (a panic in a static, Ctrl-C, `kill -9`): a watchdog shell holds the
//! other end of a pipe and ends whatever is still registered once the pipe closes. An
//! [`Owner::Folder`] process is meant to stay; its folder records it so that [`stop_recorded`] can
//! end it later, from another program.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, getuid, kill_process, prlimit, test_kill_process};
pub use toolchain::command::{on_path, output};

/// How long a process may take to stop after SIGTERM before it is killed: as Kubernetes would, by the longest
/// `terminationGracePeriodSeconds` of our Deployments.
const STOP_GRACE: Duration = Duration::from_secs(60);

/// Who ends a process.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'a> {
    /// This program, at the latest when it ends itself.
    Harness,
    /// Whoever calls [`stop_recorded`] with this folder.
    Folder(&'a Path),
}

/// A running program with its output in a log file.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    owned: bool,
}

impl Process {
    /// Starts `program` in a process group of its own, with standard output and error appended to `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path, owner: Owner<'_>) -> Result<Self> {
        let out = OpenOptions::new().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {name}: {}", Path::new(command.get_program()).display()))?;
        match owner {
            Owner::Harness => watchdog(&format!("+{}", child.id())),
            Owner::Folder(folder) => record(folder, name, child.id())?,
        }
        let owned = matches!(owner, Owner::Harness);
        Ok(Self { name: name.into(), child, log: log.into(), owned })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails with the end of the log when the process has ended.
    pub fn expect_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended early ({status}):\n{}", self.name, self.log_tail(20)),
        }
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.reap();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("no process id")?;
        kill_process(pid, signal).with_context(|| format!("signal {}", self.name))
    }

    /// From now on its files cannot grow beyond so many bytes; `None` lifts that.
    pub fn limit_file_size(&self, bytes: Option<u64>) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("no process id")?;
        let maximum = getrlimit(Resource::Fsize).maximum;
        prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum })
            .map(drop)
            .with_context(|| format!("limit the files of {}", self.name))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// SIGTERM, and waits for the end; killed when it takes longer than [`STOP_GRACE`].
    pub fn stop(&mut self) -> Result<ExitStatus> {
        if self.child.try_wait()?.is_none() {
            let _ = self.signal(Signal::TERM);
        }
        let deadline = Instant::now() + STOP_GRACE;
        while self.child.try_wait()?.is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        self.reap();
        Ok(self.child.wait()?)
    }

    fn reap(&mut self) {
        let _ = self.child.wait();
        if self.owned {
            watchdog(&format!("-{}", self.child.id()));
            self.owned = false;
        }
    }

    /// The last `lines` lines of its output.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = fs::read(&self.log).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all.iter().skip(all.len().saturating_sub(lines)).copied().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.owned {
            self.kill();
        }
    }
}

/// Runs a program in the foreground: with our terminal, in our process group. It ends with this program.
pub fn run(command: &mut Command) -> Result<ExitStatus> {
    let program = Path::new(command.get_program()).to_owned();
    let mut child = command.spawn().with_context(|| format!("start {}", program.display()))?;
    watchdog(&format!("+{}", child.id()));
    let status = child.wait()?;
    watchdog(&format!("-{}", child.id()));
    Ok(status)
}

/// A temporary folder that is removed when dropped, and at the latest when this program ends.
pub fn temp_folder(prefix: &str) -> Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix(&format!("ferroflux-{prefix}-")).tempdir()?;
    watchdog(&format!("dir {}", folder.path().display()));
    Ok(folder)
}

/// A TCP port of the loopback address that nobody listens on and that no test program of this user has got, this one included: what is
/// restarted finds its port again. Taken from below the range from which the system gives ports to outgoing connections.
pub fn free_port() -> Result<u16> {
    static TAKEN: LazyLock<Mutex<HashMap<u16, File>>> = LazyLock::new(Mutex::default);
    let folder = std::env::temp_dir().join(format!("ferroflux-ports-{}", getuid().as_raw()));
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for _ in 0..1000 {
        let port = rand::random_range(15_000..32_000);
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.contains_key(&port) {
            continue;
        }
        if let Some(file) = reserve(&folder, port)?
            && TcpListener::bind(("127.0.0.1", port)).is_ok()
        {
            taken.insert(port, file);
            return Ok(port);
        }
    }
    bail!("no free port on the loopback address")
}

/// Reserves a port until the file is closed, which it is at the latest when this program ends.
fn reserve(folder: &Path, port: u16) -> Result<Option<File>> {
    let file = File::create(folder.join(port.to_string())).context("create the file of a port")?;
    Ok(file.try_lock().is_ok().then_some(file))
}

/// Ends every process that `folder` records and that is still the one recorded, the last one started
/// first, and forgets them. Answers the names of those that were running.
pub fn stop_recorded(folder: &Path) -> Result<Vec<String>> {
    let file = folder.join("pids");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let mut stopped = Vec::new();
    for line in text.lines().rev() {
        let mut fields = line.split_whitespace();
        let (Some(name), Some(pid), Some(started)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) else { continue };
        let ours = || start_time(pid).is_some_and(|t| t == started);
        if !ours() {
            continue;
        }
        let _ = kill_process(pid, Signal::TERM);
        let deadline = Instant::now() + STOP_GRACE;
        while ours() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        if ours() {
            let _ = kill_process(pid, Signal::KILL);
        }
        stopped.push(name.to_owned());
    }
    let _ = fs::remove_file(file);
    Ok(stopped)
}

/// True while a process with this id exists.
pub fn exists(pid: u32) -> bool {
    Pid::from_raw(pid.cast_signed()).is_some_and(|pid| test_kill_process(pid).is_ok())
}

fn record(folder: &Path, name: &str, pid: u32) -> Result<()> {
    let started = Pid::from_raw(pid.cast_signed()).and_then(start_time).unwrap_or_default();
    let mut file = OpenOptions::new().create(true).append(true).open(folder.join("pids"))?;
    writeln!(file, "{name} {pid} {started}")?;
    Ok(())
}

/// When the process started, in clock ticks since boot: with the pid it names one process for good.
/// Nothing for a process that has ended and was not waited for.
fn start_time(pid: Pid) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name in parentheses may hold spaces; the state is the first field behind it, the start the 20th.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

/// Tells the watchdog one line, starting it first if needed. Without a shell there is no watchdog;
/// processes then still end with their owner.
fn watchdog(line: &str) {
    static PIPE: LazyLock<Option<Mutex<ChildStdin>>> = LazyLock::new(|| {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(include_str!("watchdog.sh"));
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = shell.process_group(0).spawn();
        child.ok().and_then(|mut c| c.stdin.take()).map(Mutex::new)
    });
    if let Some(pipe) = PIPE.as_ref() {
        let mut pipe = pipe.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(pipe, "{line}");
    }
}

/// The processes whose command line names a folder.
pub fn processes_of(folder: &Path) -> Vec<u32> {
    let folder = folder.display().to_string();
    let entries = fs::read_dir("/proc").into_iter().flatten();
    let all = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let names_it =
        |id: &u32| fs::read_to_string(format!("/proc/{id}/cmdline")).is_ok_and(|line| line.contains(&folder));
    all.filter(names_it).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_reserved_once_until_who_has_it_gives_it_back() {
        let folder = temp_folder("ports").unwrap();
        let first = reserve(folder.path(), 15_000).unwrap();
        assert!(first.is_some());
        assert!(reserve(folder.path(), 15_000).unwrap().is_none());
        assert!(reserve(folder.path(), 15_001).unwrap().is_some());
        drop(first);
        assert!(reserve(folder.path(), 15_000).unwrap().is_some());
    }
}
