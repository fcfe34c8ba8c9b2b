//! Files that are written together.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use crate::terminal::Failure;

pub(super) struct File {
    name: String,
    text: String,
    is_secret: bool,
}

impl File {
    pub(super) fn public(name: impl Into<String>, text: String) -> Self {
        Self {
            name: name.into(),
            text,
            is_secret: false,
        }
    }

    /// A file that only its owner can read.
    pub(super) fn secret(name: impl Into<String>, text: String) -> Self {
        Self {
            is_secret: true,
            ..Self::public(name, text)
        }
    }
}

/// Creates the files. Without `force`, it writes none of them if one exists.
pub(super) fn write(dir: &Path, files: &[File], force: bool) -> Result<(), Failure> {
    fs::create_dir_all(dir).map_err(|error| at(dir, &error))?;
    for file in files {
        let path = dir.join(&file.name);
        // Not `exists`, which is false for a dangling link.
        if !force && path.symlink_metadata().is_ok() {
            return Err(exists(&path));
        }
    }
    for file in files {
        let path = dir.join(&file.name);
        // A new file, so that neither the mode nor the target of an old one remains.
        if force {
            remove(&path).map_err(|error| at(&path, &error))?;
        }
        create(&path, file).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => exists(&path),
            _ => at(&path, &error),
        })?;
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn create(path: &Path, file: &File) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;

        options.mode(if file.is_secret { 0o600 } else { 0o644 });
    }
    options.open(path)?.write_all(file.text.as_bytes())
}

fn exists(path: &Path) -> Failure {
    let cause = format!("{} exists", path.display());
    Failure::new(
        cause,
        "give --force to replace the files, or another folder",
    )
}

fn at(path: &Path, error: &io::Error) -> Failure {
    format!("{}: {error}", path.display()).into()
}
