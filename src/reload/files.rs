//! The content of the files of a reload, and whether it is stable.
//!
//! A change is noticed by content (SHA-256), because times are unreliable: on some file systems they do
//! not advance, and in a restored backup they go back. The times take part in one decision only: whether
//! a file was touched between two reads that found the same content.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::ReloadError;
use crate::pki::file::{self, FileError, MAX_FILE};

type Digest = [u8; 32];

/// The files of all sources, as one read of them found them.
pub(super) struct FileSnapshot {
    /// By source: the digest of its paths, names and content.
    pub(super) contents: Vec<Digest>,
    /// Identity and time of the last change of each file and of each symlink on its path.
    stamps: Digest,
    /// The first file that must not be read.
    pub(super) problem: Option<ReloadError>,
}

impl FileSnapshot {
    /// Reads the paths of each source.
    pub(super) fn of<'a>(sources: impl IntoIterator<Item = &'a [PathBuf]>) -> Self {
        let mut stamps = Sha256::new();
        let mut problem = None;
        let contents = sources
            .into_iter()
            .map(|paths| {
                let mut reader = Reader {
                    contents: Sha256::new(),
                    stamps: &mut stamps,
                    problem: &mut problem,
                };
                for path in paths {
                    reader.read(path);
                }
                reader.contents.finalize().into()
            })
            .collect();
        Self {
            contents,
            stamps: stamps.finalize().into(),
            problem,
        }
    }

    /// Whether nothing was touched between the two.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.contents == other.contents && self.stamps == other.stamps
    }
}

/// Reads the files of one source. That a file cannot be read is content as well, which can change.
struct Reader<'a> {
    contents: Sha256,
    stamps: &'a mut Sha256,
    problem: &'a mut Option<ReloadError>,
}

impl Reader<'_> {
    fn read(&mut self, path: &Path) {
        self.stamp(path);
        put(
            &mut self.contents,
            b'p',
            path.as_os_str().as_encoded_bytes(),
        );
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => self.read_folder(path),
            Ok(_) => self.read_file(path),
            Err(error) => self.unreadable(&error),
        }
    }

    /// All files except hidden ones, by name.
    fn read_folder(&mut self, folder: &Path) {
        let names: io::Result<Vec<OsString>> = fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
        let mut names = match names {
            Ok(names) => names,
            Err(error) => return self.unreadable(&error),
        };
        names.retain(|name| !name.as_encoded_bytes().starts_with(b"."));
        names.sort();
        for name in names {
            let path = folder.join(&name);
            let found = fs::metadata(&path);
            if found.as_ref().is_ok_and(Metadata::is_dir) {
                continue;
            }
            self.stamp(&path);
            put(&mut self.contents, b'n', name.as_encoded_bytes());
            match found {
                Ok(_) => self.read_file(&path),
                Err(error) => self.unreadable(&error),
            }
        }
    }

    fn read_file(&mut self, path: &Path) {
        match digest(path) {
            Ok(digest) => put(&mut self.contents, b'f', &digest),
            Err(FileError::NotAFile) => {
                put(&mut self.contents, b's', b"");
                self.report(ReloadError::NotAFile { path: path.into() });
            }
            Err(FileError::TooLarge) => {
                put(&mut self.contents, b'l', b"");
                self.report(ReloadError::TooLarge {
                    file: path.into(),
                    limit: MAX_FILE,
                });
            }
            Err(FileError::Io(error)) => self.unreadable(&error),
        }
    }

    fn unreadable(&mut self, error: &io::Error) {
        let kind = format!("{:?}", error.kind());
        put(&mut self.contents, b'e', kind.as_bytes());
    }

    fn stamp(&mut self, path: &Path) {
        for path in trail(path) {
            let stamp = fs::symlink_metadata(&path).map(|found| stamp_of(&found));
            let stamp = stamp.unwrap_or_default();
            put(self.stamps, b't', path.as_os_str().as_encoded_bytes());
            put(self.stamps, b'm', &stamp);
        }
    }

    /// Keeps the first problem.
    fn report(&mut self, problem: ReloadError) {
        self.problem.get_or_insert(problem);
    }
}

/// Adds a value with its kind and length, so that no two sequences have the same bytes.
fn put(digest: &mut Sha256, kind: u8, bytes: &[u8]) {
    digest.update([kind]);
    digest.update((bytes.len() as u64).to_be_bytes());
    digest.update(bytes);
}

/// Digests a file without holding it in memory, since it may be a large CRL. The buffer is wiped, since
/// the file may be a private key.
fn digest(path: &Path) -> Result<Digest, FileError> {
    let mut digest = Sha256::new();
    let mut buffer = Zeroizing::new(vec![0; 64 * 1024]);
    let (file, _) = file::open(path)?;
    let mut rest = file.take(MAX_FILE + 1);
    loop {
        match rest.read(&mut buffer) {
            Ok(0) if rest.limit() == 0 => return Err(FileError::TooLarge),
            Ok(0) => return Ok(digest.finalize().into()),
            Ok(length) => digest.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(unix)]
fn stamp_of(found: &Metadata) -> Vec<u8> {
    use std::os::unix::fs::MetadataExt as _;

    // The time of the last change of any kind, which no program can set, and the file's identity.
    [found.ctime(), found.ctime_nsec()]
        .map(i64::to_be_bytes)
        .into_iter()
        .chain([found.dev(), found.ino(), found.size()].map(u64::to_be_bytes))
        .flatten()
        .collect()
}

#[cfg(not(unix))]
fn stamp_of(found: &Metadata) -> Vec<u8> {
    format!("{:?} {}", found.modified().ok(), found.len()).into_bytes()
}

/// The symlinks on the path to a file, then the file itself. No path contains a symlink before its last
/// component.
pub(super) fn trail(path: &Path) -> Vec<PathBuf> {
    /// As in Linux.
    const MAX_LINKS: usize = 40;

    let names = |path: &Path| -> Vec<OsString> {
        let names = path.components().rev();
        names.map(|name| name.as_os_str().to_owned()).collect()
    };
    let mut found = Vec::new();
    let mut at = PathBuf::new();
    let mut rest = names(&std::path::absolute(path).unwrap_or_else(|_| path.into()));
    while let Some(name) = rest.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        at.push(name);
        if let Ok(target) = fs::read_link(&at) {
            found.push(at.clone());
            if found.len() == MAX_LINKS {
                return found;
            }
            at.pop();
            rest.extend(names(&target));
        }
    }
    found.push(at);
    found
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn snapshot(paths: &[PathBuf]) -> FileSnapshot {
        FileSnapshot::of([paths])
    }

    #[test]
    fn a_change_is_noticed_by_content_and_not_by_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.pem");
        let paths = [file.clone(), folder.path().to_path_buf()];
        let mut seen = Vec::new();
        let mut differs = |what: &str| {
            let contents = snapshot(&paths).contents;
            assert!(!seen.contains(&contents), "{what}");
            seen.push(contents);
        };
        differs("missing");
        fs::write(&file, "").expect("written");
        differs("empty");
        fs::write(&file, "a").expect("written");
        differs("a letter");
        fs::write(folder.path().join("b.pem"), "").expect("written");
        differs("another file");
        fs::rename(folder.path().join("b.pem"), folder.path().join("c.pem")).expect("renamed");
        differs("another name");
        fs::remove_file(&file).expect("removed");
        fs::create_dir(&file).expect("made");
        differs("a folder");

        // The same content, written again, and files that do not count.
        let before = snapshot(&paths);
        fs::write(folder.path().join("c.pem"), "").expect("written");
        fs::write(folder.path().join(".hidden"), "x").expect("written");
        fs::create_dir(folder.path().join("sub")).expect("made");
        fs::write(folder.path().join("sub/d.pem"), "x").expect("written");
        assert_eq!(snapshot(&paths).contents, before.contents);
    }

    #[cfg(unix)]
    #[test]
    fn a_swap_there_and_back_is_noticed() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for set in ["one", "two"] {
            fs::create_dir(at(set)).expect("made");
            fs::write(at(set).join("a.pem"), set).expect("written");
        }
        let point_to = |set: &str| {
            symlink(set, at("..new")).expect("linked");
            fs::rename(at("..new"), at("..data")).expect("renamed");
        };
        point_to("one");
        symlink("..data/a.pem", at("a.pem")).expect("linked");
        let paths = [at("a.pem")];
        let before = snapshot(&paths);
        assert!(snapshot(&paths).is_same_as(&before));
        let there_and_back = || {
            point_to("two");
            assert_ne!(snapshot(&paths).contents, before.contents);
            point_to("one");
            let after = snapshot(&paths);
            assert_eq!(after.contents, before.contents);
            after.is_same_as(&before)
        };
        // A tick of the file system's clock may take milliseconds.
        let unnoticed = (0..100_000).take_while(|_| there_and_back()).count();
        assert!(unnoticed < 100_000);
    }

    #[cfg(unix)]
    #[test]
    fn the_trail_ends_at_the_file() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().expect("a folder");
        let folder = fs::canonicalize(folder.path()).expect("there");
        let at = |name: &str| folder.join(name);
        fs::create_dir_all(at("sets/one")).expect("made");
        symlink("sets/one", at("..data")).expect("linked");
        symlink("..data/a.pem", at("a.pem")).expect("linked");
        symlink(at("..data"), at("sets/back")).expect("linked");
        assert_eq!(
            trail(&at("a.pem")),
            [at("a.pem"), at("..data"), at("sets/one/a.pem")]
        );
        assert_eq!(
            trail(&at("sets/back/../x")),
            [at("sets/back"), at("..data"), at("sets/x")]
        );
        symlink("ring", at("ring")).expect("linked");
        assert_eq!(trail(&at("ring")).len(), 40);
    }

    #[cfg(unix)]
    #[test]
    fn sockets_and_large_files_are_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let large = folder.path().join("large.crl");
        let file = File::create(&large).expect("made");
        file.set_len(MAX_FILE + 1).expect("sparse");
        let reason = |path: &Path| {
            snapshot(&[path.into()])
                .problem
                .map(|problem| problem.reason())
        };
        assert_eq!(reason(&large), Some("too_large"));
        assert_eq!(reason(folder.path()), Some("too_large"));
        file.set_len(10).expect("sparse");
        assert_eq!(reason(&large), None);

        let socket = folder.path().join("agent.sock");
        let _socket = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
        assert_eq!(reason(&socket), Some("not_a_file"));
        assert_eq!(reason(folder.path()), Some("not_a_file"));
    }

    /// The FIFO replaces a file after its type was checked.
    #[cfg(unix)]
    #[test]
    fn a_fifo_that_replaces_a_file_does_not_block_the_reload() {
        use std::process::Command;
        use std::sync::mpsc;
        use std::time::Duration;

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        let Ok(made) = Command::new("mkfifo").arg(&path).status() else {
            eprintln!("no mkfifo here");
            return;
        };
        assert!(made.success());
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || sender.send(digest(&path)));
        let outcome = receiver.recv_timeout(Duration::from_secs(60));
        assert!(
            matches!(outcome, Ok(Err(FileError::NotAFile))),
            "{outcome:?}"
        );
    }
}
