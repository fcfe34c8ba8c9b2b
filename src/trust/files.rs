//! The files of a folder that are loaded.

use std::path::{Path, PathBuf};

/// The files with one of these extensions, sorted, symlinks followed. Hidden files and subfolders are
/// ignored, because Kubernetes has its `..data` folder beside the links.
pub(super) fn named(folder: &Path, extensions: &[&str]) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let has_extension = path
            .extension()
            .is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted));
        // `is_dir` follows symlinks. A dangling one is kept, and is an error when it is read.
        if !hidden && has_extension && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
