//! Which files of a folder are read.

use std::path::{Path, PathBuf};

/// The files with one of these extensions, sorted, symlinks followed. Hidden files and subfolders
/// are left out: Kubernetes keeps its `..data` beside the links that count.
pub(super) fn named(folder: &Path, extensions: &[&str]) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let named_so = path
            .extension()
            .is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted));
        // `is_dir` follows symlinks; a dangling one stays in, to fail by name when it is read.
        if !hidden && named_so && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
