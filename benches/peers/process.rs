//! A server in a process of its own: what it takes, and its end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// The time for a server to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// The processes that run, so that a signal ends them too.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Killed when dropped, with all processes that it has started.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program. `cpus` is a list of `taskset`; what it writes to standard error goes to `log`.
    pub fn start(mut command: Command, cpus: Option<&str>, log: PathBuf) -> Result<Self, String> {
        if let Some(cpus) = cpus {
            let mut pinned = Command::new("taskset");
            pinned.args(["-c", cpus]).arg(command.get_program());
            pinned.args(command.get_args());
            for (name, value) in command.get_envs() {
                if let Some(value) = value {
                    pinned.env(name, value);
                }
            }
            command = pinned;
        }
        // Appended to, so that it can be truncated.
        let stderr = File::create(&log).and_then(|_| File::options().append(true).open(&log));
        let stderr = stderr.map_err(|error| format!("{}: {error}", log.display()))?;
        let child = command
            .stdin(Stdio::piped()) // our own servers stop at its end
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(|error| format!("{:?} does not start: {error}", command.get_program()))?;
        running().push(child.id());
        Ok(Self { child, log })
    }

    /// The address in the line `listening on ADDRESS`.
    pub fn address(&mut self) -> Result<SocketAddr, String> {
        let output = self.child.stdout.take().ok_or("its output was read")?;
        let (sender, line) = mpsc::channel();
        // It reads to the end, so that the server never waits for a full pipe.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let line = line
            .recv_timeout(PATIENCE)
            .map_err(|_| format!("it does not listen: {}", self.errors()))?;
        let address = line.rsplit(' ').next().unwrap_or_default();
        address
            .parse()
            .map_err(|_| format!("no address in {line:?}"))
    }

    /// Waits until connections to these addresses succeed.
    pub fn wait_for(&mut self, addresses: &[SocketAddr]) -> Result<(), String> {
        if let Some(mut output) = self.child.stdout.take() {
            thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        }
        let deadline = Instant::now() + PATIENCE;
        for address in addresses {
            while TcpStream::connect(address).is_err() {
                if self.child.try_wait().is_ok_and(|exited| exited.is_some()) {
                    return Err(format!("it exits: {}", self.errors()));
                }
                if Instant::now() > deadline {
                    return Err(format!("it does not listen: {}", self.errors()));
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// Empties what it has written to standard error: with an audit trail, much.
    pub fn truncate_log(&self) {
        let file = File::options().write(true).open(&self.log);
        let _ = file.and_then(|file| file.set_len(0));
    }

    /// The last line that it wrote to standard error.
    fn errors(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        last.unwrap_or("it writes nothing").trim().to_owned()
    }

    /// The CPU time that the process and all that it has started have used so far.
    pub fn cpu(&self) -> Cpu {
        let tree = tree(self.child.id());
        let ticks = tree.iter().map(|pid| {
            let fields = fields(*pid).unwrap_or_default();
            // utime, stime, cutime, cstime
            let ticks = fields.iter().skip(11).take(4);
            let ticks = ticks.filter_map(|field| field.parse::<u64>().ok());
            ticks.sum::<u64>()
        });
        Cpu {
            ticks: ticks.sum(),
            threads: tree.into_iter().flat_map(threads).collect(),
        }
    }

    /// The resident memory of the process and all that it has started, in bytes.
    pub fn memory(&self) -> u64 {
        let resident = tree(self.child.id()).into_iter().map(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            kilobytes.unwrap_or(0_u64)
        });
        resident.sum::<u64>() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill(&tree(self.child.id()));
        let _ = self.child.wait();
        running().retain(|pid| *pid != self.child.id());
    }
}

/// Ends all servers, before the bench itself exits early.
pub fn kill_all() {
    let running = running().clone();
    kill(&running.into_iter().flat_map(tree).collect::<Vec<_>>());
}

fn running() -> std::sync::MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kill(pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    let mut kill = Command::new("kill");
    // Those that are gone already are reported; that is no error here.
    let _ = kill.arg("-KILL").args(pids).stderr(Stdio::null()).status();
}

/// The process and its descendants.
fn tree(root: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let parents: Vec<(u32, u32)> = processes
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, fields(pid)?.get(1)?.parse().ok()?))
        })
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        let children = parents.iter().filter(|(_, of)| *of == parent);
        found.extend(children.map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

/// The fields of `/proc/PID/stat` after the name, which may contain spaces: state, parent…
fn fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// CPU time, user and system, of some processes.
pub struct Cpu {
    /// Of all threads that there ever were, in steps of 10 ms.
    ticks: u64,
    /// Of each thread that there is, in nanoseconds.
    threads: BTreeMap<u32, u64>,
}

impl Cpu {
    /// The seconds since an earlier moment. Exact if no thread has begun or ended in between, which only
    /// servers with a thread for each connection do.
    pub fn since(&self, before: &Self) -> f64 {
        let all = self.ticks.saturating_sub(before.ticks) as f64 / ticks_per_second();
        if self.threads.is_empty() || !self.threads.keys().eq(before.threads.keys()) {
            return all;
        }
        let sum = |threads: &BTreeMap<u32, u64>| threads.values().sum::<u64>();
        let known = sum(&self.threads).saturating_sub(sum(&before.threads)) as f64 / 1e9;
        // Threads that both began and ended in between are in the ticks only.
        if all > 2.0 * known + 2.0 / ticks_per_second() {
            all
        } else {
            known
        }
    }
}

/// The time of each thread on a CPU; none where the kernel does not say.
fn threads(pid: u32) -> Vec<(u32, u64)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let times = tasks.into_iter().flatten().flatten().filter_map(|task| {
        let tid = task.file_name().to_str()?.parse().ok()?;
        let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
        Some((tid, times.split_whitespace().next()?.parse().ok()?))
    });
    times.collect()
}

fn ticks_per_second() -> f64 {
    static TICKS: std::sync::OnceLock<f64> = std::sync::OnceLock::new();
    *TICKS.get_or_init(|| {
        let getconf = Command::new("getconf").arg("CLK_TCK").output().ok();
        let text = getconf.and_then(|output| String::from_utf8(output.stdout).ok());
        text.and_then(|text| text.trim().parse().ok())
            .unwrap_or(100.0)
    })
}

/// A port that is free now, chosen by the system.
pub fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// A program on the path, where Debian keeps servers, or in one more folder.
pub fn find(name: &str, more: Option<&Path>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin", "/usr/local/go/bin"].map(PathBuf::from);
    let folders = std::env::split_paths(&path).chain(usual);
    folders
        .chain(more.map(Path::to_owned))
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}
