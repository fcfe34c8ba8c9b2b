//! A sink that writes lines of JSON.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{AuditSink, RecordError, RotatingFile};
use crate::audit::AuditEvent;

/// Writes every event as one line of JSON, with the names of the Elastic Common Schema: see
/// [`AuditEvent::to_json`].
///
/// ```no_run
/// use countersign::audit::{Json, Queue};
///
/// # fn f() -> std::io::Result<()> {
/// let to_standard_error = Json::new(std::io::stderr());
/// let to_a_file = Queue::builder(Json::to_file("/var/log/orders/audit.jsonl")?).start();
/// # Ok(())
/// # }
/// ```
///
/// Each line is one call of the writer. If the writer has a buffer of its own, a
/// [`Queue`](super::Queue) flushes it after its last waiting event.
#[doc(alias = "ecs")]
#[doc(alias = "jsonl")]
pub struct Json<W> {
    out: Mutex<Out<W>>,
}

struct Out<W> {
    writer: W,
    /// The last line may be incomplete.
    is_torn: bool,
}

impl<W: Write + Send> Json<W> {
    /// Writes to this writer.
    pub const fn new(writer: W) -> Self {
        Self {
            out: Mutex::new(Out {
                writer,
                is_torn: false,
            }),
        }
    }
}

impl Json<RotatingFile> {
    /// Writes to a [`RotatingFile`] with its defaults: 64 MiB, and nine older files.
    ///
    /// # Errors
    /// The file cannot be opened: its folder does not exist or is not writable.
    pub fn to_file(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let is_torn = ends_torn(&path)?;
        let mut json = Self::new(RotatingFile::open(path)?);
        json.out
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .is_torn = is_torn;
        Ok(json)
    }
}

/// Whether the file ends with an incomplete line of an earlier process.
fn ends_torn(path: &Path) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

impl<W: Write + Send> AuditSink for Json<W> {
    fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        let mut line = event.to_json();
        line.push('\n');
        // A writer that panicked is used again.
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if out.is_torn {
            line.insert(0, '\n');
        }
        out.is_torn = true;
        match out.writer.write_all(line.as_bytes()) {
            Ok(()) => {
                out.is_torn = false;
                Ok(())
            }
            Err(error) => Err(RecordError::new(error.to_string())),
        }
    }

    fn flush(&self) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // A buffering writer returns a failed flush with the next line.
        let _ = out.writer.flush();
    }
}

impl<W: fmt::Debug> fmt::Debug for Json<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.out.try_lock() {
            Ok(out) => f.debug_tuple("Json").field(&out.writer).finish(),
            Err(_) => f.write_str("Json(..)"),
        }
    }
}
