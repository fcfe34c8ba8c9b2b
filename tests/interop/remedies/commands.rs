//! The commands of a remedy, taken out of its text and run.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use countersign::Diagnostic;
use support::programs::{in_ci, is_there};

/// The commands in a remedy: what is in backticks and has a space.
pub(crate) fn commands(remedy: &str) -> Vec<String> {
    let quoted = remedy.split('`').skip(1).step_by(2);
    quoted
        .filter(|text| text.contains(' '))
        .map(str::to_owned)
        .collect()
}

/// A temporary folder in which remedies are run. Its files have the names that the remedies use.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("written");
        path
    }

    /// Runs the one command of the error's remedy, as it is printed.
    ///
    /// A program that asks for a passphrase reads it from `input`.
    #[track_caller]
    pub(crate) fn apply(&self, error: &dyn Diagnostic, input: &str) {
        self.apply_all(error, &[input]);
    }

    /// Runs the commands of the error's remedy, each with its own input.
    #[track_caller]
    pub(crate) fn apply_all(&self, error: &dyn Diagnostic, inputs: &[&str]) {
        let found = commands(&error.remedy());
        assert_eq!(found.len(), inputs.len(), "commands: {error}");
        for (command, input) in found.iter().zip(inputs) {
            self.shell(command, input);
        }
    }

    /// Runs a command line in this folder.
    #[track_caller]
    pub(crate) fn shell(&self, command: &str, input: &str) -> String {
        use std::io::Write as _;

        // Without a controlling terminal, programs read passphrases from standard input.
        let mut child = Command::new("setsid")
            .args(["--wait", "sh", "-c", command])
            .current_dir(self.0.path())
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).ok(); // a program may not read it
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        assert!(
            output.status.success(),
            "`{command}` failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// Whether each of these programs is installed. A test without them is skipped; in CI it fails.
pub(crate) fn has(programs: &[&str]) -> bool {
    ["setsid", "sh"].iter().chain(programs).all(|program| {
        let found = std::env::var_os("PATH").is_some_and(|path| {
            std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
        });
        is_there(found, program, in_ci())
    })
}

#[test]
fn commands_are_what_is_quoted_and_has_arguments() {
    assert_eq!(
        commands("convert it: `openssl x509 -in FILE`, or use `from_der`"),
        ["openssl x509 -in FILE"]
    );
    assert_eq!(commands("give another file"), Vec::<String>::new());
}
