//! A file of limited size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file that is rotated when it is full: `audit.jsonl` becomes `audit.jsonl.1`, that becomes
/// `audit.jsonl.2`, and the oldest file is removed.
///
/// The bytes of one write stay in one file, so that no line is split. On Unix, only the owner may read a
/// file that this type creates; an existing file keeps its permissions. If a file cannot be rotated or
/// opened, the write fails, and the next write tries again: no line is lost silently.
///
/// Only one process may use the file: two processes would remove each other's lines.
///
/// ```
/// use countersign::audit::RotatingFile;
///
/// # fn main() -> std::io::Result<()> {
/// # let folder = std::env::temp_dir().join("countersign-rotating-file");
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("audit.jsonl");
/// let file = RotatingFile::open(path)?.max_bytes(10 * 1024 * 1024).keep(30);
/// # drop(file);
/// # std::fs::remove_dir_all(&folder)
/// # }
/// ```
///
/// # Security
/// New lines push out old ones: see [refusals of unauthenticated
/// peers](crate::audit#refusals-of-unauthenticated-peers).
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    max_bytes: u64,
    keep: usize,
    /// `None` after a failure.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    length: u64,
}

impl RotatingFile {
    /// Appends to this file, and creates it if it does not exist. By default it holds 64 MiB, and nine
    /// older files are kept.
    ///
    /// # Errors
    /// The file cannot be opened: its folder does not exist or is not writable.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        Ok(Self {
            open: Some(Open::append_to(&path)?),
            path,
            max_bytes: 64 * 1024 * 1024,
            keep: 9,
        })
    }

    /// Sets the maximum size of a file in bytes. A larger single write gets a file of its own.
    /// Default: 64 MiB.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets the number of older files to keep beside the current one. Default: 9.
    #[must_use]
    pub const fn keep(mut self, files: usize) -> Self {
        self.keep = files;
        self
    }

    /// The current file, with room for this number of bytes.
    fn with_room(&mut self, bytes: u64) -> io::Result<&mut Open> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Open::append_to(&self.path)?,
        };
        if open.length > 0 && open.length + bytes > self.max_bytes {
            drop(open); // some systems cannot rename an open file
            rotate(&self.path, self.keep)?;
            open = Open::append_to(&self.path)?;
        }
        Ok(self.open.insert(open))
    }
}

/// Renames every file to the next number, the oldest first, so that only the last is overwritten.
fn rotate(path: &Path, keep: usize) -> io::Result<()> {
    if keep == 0 {
        return missing_is_fine(fs::remove_file(path));
    }
    // The number of existing files limits the loop: `keep` may be any number.
    let last = (1..keep).find(|number| !numbered(path, *number).exists());
    for number in (1..last.unwrap_or(keep)).rev() {
        missing_is_fine(fs::rename(
            numbered(path, number),
            numbered(path, number + 1),
        ))?;
    }
    missing_is_fine(fs::rename(path, numbered(path, 1)))
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl Open {
    fn append_to(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }
}

impl Write for RotatingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let open = self.with_room(bytes.len() as u64)?;
        let mut written = 0;
        while written < bytes.len() {
            match open.file.write(&bytes[written..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(count) if count > 0 => written += count,
                // The next write opens it and reads its length.
                stopped => {
                    self.open = None;
                    return match stopped {
                        // The caller learns the cause when it writes the rest.
                        _ if written > 0 => Ok(written),
                        Ok(_) => Err(io::ErrorKind::WriteZero.into()),
                        Err(error) => Err(error),
                    };
                }
            }
        }
        open.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.open {
            Some(open) => open.file.flush(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        fs::read_to_string(path).expect("a file")
    }

    #[test]
    fn lines_stay_whole_and_the_oldest_file_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let mut file = RotatingFile::open(&path)
            .expect("opened")
            .max_bytes(10)
            .keep(2);
        for line in [
            "one..\n",
            "two\n",
            "three\n",
            "a line of its own\n",
            "five\n",
        ] {
            file.write_all(line.as_bytes()).expect("written");
        }
        assert_eq!(read(&path), "five\n");
        assert_eq!(read(&numbered(&path, 1)), "a line of its own\n");
        assert_eq!(read(&numbered(&path, 2)), "three\n");
        assert!(!numbered(&path, 3).exists(), "two older files are kept");

        // The next process appends to it.
        let mut again = RotatingFile::open(&path).expect("opened").max_bytes(10);
        again.write_all(b"six\n").expect("written");
        assert_eq!(read(&path), "five\nsix\n");
    }

    #[test]
    fn a_failed_write_is_an_error_and_the_next_write_tries_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        assert!(RotatingFile::open(folder.path().join("none/audit.jsonl")).is_err());

        let mut file = RotatingFile::open(&path)
            .expect("opened")
            .max_bytes(4)
            .keep(1);
        file.write_all(b"one\n").expect("written");
        // A folder has the name of the old file.
        let in_the_way = numbered(&path, 1);
        fs::create_dir_all(in_the_way.join("full")).expect("a folder");
        assert!(file.write_all(b"two\n").is_err());
        assert!(file.write_all(b"two\n").is_err());
        assert_eq!(read(&path), "one\n", "nothing is lost");
        fs::remove_dir_all(&in_the_way).expect("removed");
        file.write_all(b"two\n").expect("written");
        assert_eq!(read(&path), "two\n");
        assert_eq!(read(&in_the_way), "one\n");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        RotatingFile::open(&path).expect("opened");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
