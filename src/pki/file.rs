//! Reads files without blocking and within a size limit.
//!
//! Opening a FIFO blocks until a process writes to it, and a device may have no end. The kind of file
//! is checked on the open handle, because the path can be replaced between a check and the opening.
//! The file is therefore opened in non-blocking mode first.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

/// The size limit: 256 MiB. A CRL with a million entries has 35 MB.
pub(crate) const MAX_FILE: u64 = 256 * 1024 * 1024;

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum FileError {
    /// The operating system reported an error.
    Io(io::Error),
    /// A pipe, a socket or a device.
    NotAFile,
    /// Over [`MAX_FILE`].
    TooLarge,
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Opens a file for reading, and returns its length.
///
/// Where the operating system allows it, a folder is opened too. Reading it is an error.
pub(crate) fn open(path: &Path) -> Result<(File, u64), FileError> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;

        // Opening a FIFO does not block, and a terminal does not become the controlling terminal.
        // Neither flag affects a regular file.
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    let file = options.open(path).map_err(|error| {
        // A socket cannot be opened.
        match fs::metadata(path) {
            Ok(found) if is_special(&found) => FileError::NotAFile,
            _ => FileError::Io(error),
        }
    })?;
    let found = file.metadata()?;
    if is_special(&found) {
        return Err(FileError::NotAFile);
    }
    if found.len() > MAX_FILE {
        return Err(FileError::TooLarge);
    }
    Ok((file, found.len()))
}

/// Reads a whole file.
///
/// The content is in the returned allocation only, unless the file grows while it is read. Wiping that
/// allocation therefore wipes a private key.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let (file, length) = open(path)?;
    let capacity = usize::try_from(length).map_err(|_| FileError::TooLarge)?;
    let mut bytes = Vec::new();
    let reserved = bytes.try_reserve_exact(capacity);
    reserved.map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(FileError::TooLarge);
    }
    Ok(bytes)
}

fn is_special(found: &Metadata) -> bool {
    !found.is_file() && !found.is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_and_without_growing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.pem");
        for length in [0, 33, 100_000] {
            let content = vec![b'x'; length];
            fs::write(&path, &content).expect("written");
            let read = read(&path).expect("a file");
            assert_eq!(read, content);
            assert_eq!(read.capacity(), length, "nothing was copied");
        }
    }

    #[test]
    fn a_file_over_the_limit_is_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("large.crl");
        let file = File::create(&path).expect("made");
        file.set_len(MAX_FILE + 1).expect("sparse");
        assert!(matches!(read(&path), Err(FileError::TooLarge)));
        file.set_len(10).expect("sparse");
        assert_eq!(read(&path).expect("a file").len(), 10);
        assert!(matches!(read(folder.path()), Err(FileError::Io(_))));
        let missing = read(&folder.path().join("missing"));
        assert!(
            matches!(missing, Err(FileError::Io(error)) if error.kind() == io::ErrorKind::NotFound)
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_fifo_a_socket_and_a_device_are_rejected_without_blocking() {
        use std::os::unix::net::UnixListener;
        use std::process::Command;
        use std::sync::mpsc;
        use std::time::Duration;

        let folder = tempfile::tempdir().expect("a folder");
        let fifo = folder.path().join("key.pem");
        let mut special = vec![Path::new("/dev/zero").to_path_buf()];
        match Command::new("mkfifo").arg(&fifo).status() {
            Ok(status) => {
                assert!(status.success());
                special.push(fifo.clone());
            }
            Err(error) => eprintln!("without mkfifo no FIFO is tried: {error}"),
        }
        let socket = folder.path().join("agent.sock");
        let _socket = UnixListener::bind(&socket).expect("bound");
        special.push(socket);
        for path in special {
            let (sender, receiver) = mpsc::channel();
            let name = path.clone();
            std::thread::spawn(move || sender.send(read(&path).map(drop)));
            let outcome = receiver.recv_timeout(Duration::from_secs(60));
            let outcome = outcome.unwrap_or_else(|_| panic!("{} blocks", name.display()));
            assert!(
                matches!(outcome, Err(FileError::NotAFile)),
                "{}: {outcome:?}",
                name.display()
            );
        }
    }
}
