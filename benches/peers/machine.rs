//! Where the figures come from: the machine, and the versions of all programs.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::find;
use crate::subjects::{Kind, Programs, workspace};

/// The lines of a list in Markdown.
pub fn describe(programs: &Programs, kinds: &[Kind]) -> Vec<String> {
    let mut lines = vec![
        format!("CPU: {}", cpu()),
        format!(
            "kernel: {}",
            first_line("uname", &["-sr"], "").unwrap_or_else(unknown)
        ),
        format!(
            "date: {}",
            first_line("date", &["-u", "+%Y-%m-%d"], "").unwrap_or_else(unknown)
        ),
        format!("commit: {}", commit()),
        format!(
            "compiler: {}",
            first_line("rustc", &["--version"], "").unwrap_or_else(unknown)
        ),
        format!(
            "rustls {}, tokio-rustls {}, aws-lc-rs {}, tokio {}, hyper {}",
            locked("rustls"),
            locked("tokio-rustls"),
            locked("aws-lc-rs"),
            locked("tokio"),
            locked("hyper"),
        ),
    ];
    let versions = kinds.iter().filter_map(|kind| version(programs, *kind));
    lines.extend(versions);
    lines
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let name = name.map_or("unknown", |name| name.trim_matches([' ', '\t', ':']));
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{name}, {count} cores for this run")
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        let output = git.arg("-C").arg(workspace()).args(arguments).output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match (
        git(&["rev-parse", "--short", "HEAD"]),
        git(&["status", "--porcelain"]),
    ) {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), _) => format!("{commit}, with uncommitted changes"),
        (None, _) => unknown(),
    }
}

/// The version of a crate in `Cargo.lock`.
fn locked(name: &str) -> String {
    let lock = fs::read_to_string(workspace().join("Cargo.lock")).unwrap_or_default();
    let entry = format!("name = \"{name}\"\nversion = \"");
    let version = lock
        .split(&entry)
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    version.map_or_else(unknown, str::to_owned)
}

fn version(programs: &Programs, kind: Kind) -> Option<String> {
    let (name, arguments, words) = match kind {
        Kind::GoTls => ("go", &["version"][..], ["go", "go"]),
        Kind::Envoy => ("envoy", &["--version"][..], ["version", "version"]),
        Kind::Nginx => ("nginx", &["-V"][..], ["nginx", "OpenSSL"]),
        Kind::Haproxy => ("haproxy", &["-vv"][..], ["HAProxy", "Running on OpenSSL"]),
        Kind::Stunnel => ("stunnel", &["-version"][..], ["stunnel ", "Running"]),
        _ => return None,
    };
    let program = match kind {
        Kind::GoTls => find(name, None).ok_or_else(|| "go not found".to_owned()),
        _ => programs.find(name),
    };
    Some(match program {
        Ok(path) => {
            let lines = version_lines(&path, arguments, words);
            lines.unwrap_or_else(|| format!("{name}: version unknown"))
        }
        Err(reason) => format!("{} not measured: {reason}", kind.label()),
    })
}

/// The line with the version, and the one that says which cryptography is used.
fn version_lines(program: &Path, arguments: &[&str], words: [&str; 2]) -> Option<String> {
    let program = program.to_str()?;
    let [first, second] = words.map(|words| first_line(program, arguments, words));
    // Envoy prints the path of the program first.
    let first = first?.replace(program, "envoy");
    Some(match second.filter(|_| words[0] != words[1]) {
        Some(second) => format!("{first}; {second}"),
        None => first,
    })
}

/// The first line with these words that a program prints to either output.
fn first_line(program: &str, arguments: &[&str], words: &str) -> Option<String> {
    let mut command = Command::new(program);
    if program.ends_with("go") {
        command.env("GOTOOLCHAIN", "local");
    }
    let output = command.args(arguments).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && line.contains(words))?;
    Some(line.to_owned())
}
