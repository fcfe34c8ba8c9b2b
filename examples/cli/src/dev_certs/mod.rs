//! `countersign dev-certs`: a CA and certificates for development.
//!
//! ```text
//! countersign dev-certs certs
//! ```
//!
//! The private key of the CA is not written, so no other certificate can be issued from it.

mod certificates;
mod files;

use std::fmt::{self, Display};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::terminal::{Failure, HEADING, LABEL};
use certificates::Certificates;

/// Every certificate is for tests on one machine: the CA must not be trusted elsewhere.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder for the files; it is created if it does not exist
    dir: PathBuf,
    /// Replace existing files
    #[arg(long)]
    force: bool,
}

/// Writes the files, and prints commands that use them.
pub fn run(args: &Args) -> Result<(), Failure> {
    let certificates = Certificates::new();
    let files = certificates.files();
    files::write(&args.dir, &files, args.force)?;
    let text = Written {
        dir: &args.dir,
        certificates: &certificates,
        count: files.len(),
    };
    // A reader such as `head` may close the pipe early.
    let _ = anstream::stdout().write_all(text.to_string().as_bytes());
    Ok(())
}

/// The summary for people.
struct Written<'a> {
    dir: &'a Path,
    certificates: &'a Certificates,
    count: usize,
}

impl Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dir, count) = (self.dir.display(), self.count);
        writeln!(f, "{HEADING}Wrote {count} files to {dir}{HEADING:#}\n")?;
        for (file, content) in self.certificates.descriptions() {
            writeln!(f, "  {LABEL}{file:<13}{LABEL:#} {content}")?;
        }
        writeln!(
            f,
            "\nThe key of NAME.crt is NAME.key, readable by its owner only."
        )?;
        writeln!(f, "The key of the CA was not written.\n")?;
        writeln!(f, "{HEADING}Next{HEADING:#}\n")?;
        for (comment, command) in self.commands() {
            writeln!(f, "  {LABEL}# {comment}{LABEL:#}\n  {command}\n")?;
        }
        Ok(())
    }
}

impl Written<'_> {
    fn commands(&self) -> Vec<(&'static str, String)> {
        let file = |name: &str| quoted(&self.dir.join(name));
        let of = |name: &str| {
            let (cert, key) = (file(&format!("{name}.crt")), file(&format!("{name}.key")));
            format!("--cert {cert} --key {key}")
        };
        let trust = format!("--trust {}", file("ca.crt"));
        let url = "https://localhost:8443/";
        let call = |name| format!("countersign call {} {trust} {url}", of(name));
        vec![
            (
                "serve on port 8443, and allow the clients of billing",
                format!(
                    "countersign serve {} {trust} --identity spiffe --allow 'spiffe://example.org/ns/billing/*'",
                    of("server")
                ),
            ),
            ("allowed", call("billing")),
            ("denied by the policy", call("shipping")),
            ("rejected: the certificate is expired", call("expired")),
            (
                "allowed, with curl",
                format!("curl --cacert {} {} {url}", file("ca.crt"), of("billing")),
            ),
            (
                "explain why a certificate is rejected",
                format!(
                    "countersign inspect {} {trust} --explain",
                    file("expired.crt")
                ),
            ),
        ]
    }
}

/// A word for a shell.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "/._-".contains(character);
    if text.chars().all(is_plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        for (path, word) in [
            ("certs/ca.crt", "certs/ca.crt"),
            ("my certs/ca.crt", "'my certs/ca.crt'"),
            ("it's/ca.crt", r"'it'\''s/ca.crt'"),
        ] {
            assert_eq!(quoted(Path::new(path)), word);
        }
    }
}
