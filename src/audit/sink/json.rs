//! A sink that writes lines of JSON.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Stderr, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{AuditSink, RecordError, RotatingFile};
use crate::audit::AuditEvent;
use crate::audit::ecs::Texts;

/// The most bytes of several lines that are written at once: what a pipe takes whole.
const AT_ONCE: usize = 4 * 1024;
/// The same for files.
const AT_ONCE_TO_A_FILE: usize = 64 * 1024;

/// Writes every event as one line of JSON, with the names of the Elastic Common Schema: see
/// [`AuditEvent::to_json`].
///
/// ```no_run
/// use countersign::audit::{Json, Queue};
///
/// # fn f() -> std::io::Result<()> {
/// let to_standard_error = Json::to_stderr();
/// let to_a_file = Queue::builder(Json::to_file("/var/log/orders/audit.jsonl")?).start();
/// # Ok(())
/// # }
/// ```
///
/// Each call of the writer has whole lines. Behind a [`Queue`](super::Queue) it has as many of those that wait as
/// fit 4 KiB, which a pipe takes whole (POSIX `PIPE_BUF`), or 64 KiB in a file ([`to_file`](Json::to_file), and
/// [`to_stderr`](Json::to_stderr) if it is one); a longer line is alone. If the writer has a buffer of its own, the queue
/// flushes it after its last waiting event.
///
/// It remembers what it writes of the last 512 certificates: about 2 kB each, at most 20 kB.
#[doc(alias = "ecs")]
#[doc(alias = "jsonl")]
pub struct Json<W> {
    texts: Texts,
    out: Mutex<Out<W>>,
}

struct Out<W> {
    writer: W,
    /// The last line may be incomplete.
    is_torn: bool,
    /// Lines that are not written yet.
    lines: String,
    /// How many they are.
    count: usize,
    /// The most bytes of several lines that are written at once.
    at_once: usize,
}

impl<W: Write + Send> Json<W> {
    /// Writes to this writer.
    pub fn new(writer: W) -> Self {
        Self {
            texts: Texts::new(),
            out: Mutex::new(Out {
                writer,
                is_torn: false,
                lines: String::new(),
                count: 0,
                at_once: AT_ONCE,
            }),
        }
    }

    fn out_mut(&mut self) -> &mut Out<W> {
        self.out.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Json<Stderr> {
    /// Writes to standard error.
    ///
    /// ```
    /// use countersign::audit::{Json, Queue};
    ///
    /// let audit = Queue::builder(Json::to_stderr()).start();
    /// ```
    pub fn to_stderr() -> Self {
        let stderr = io::stderr();
        let is_file = is_file(&stderr).unwrap_or(false);
        let mut json = Self::new(stderr);
        if is_file {
            json.out_mut().at_once = AT_ONCE_TO_A_FILE;
        }
        json
    }
}

#[cfg(unix)]
fn is_file(open: &impl std::os::fd::AsFd) -> io::Result<bool> {
    let own = open.as_fd().try_clone_to_owned()?;
    Ok(File::from(own).metadata()?.is_file())
}

#[cfg(windows)]
fn is_file(open: &impl std::os::windows::io::AsHandle) -> io::Result<bool> {
    let own = open.as_handle().try_clone_to_owned()?;
    Ok(File::from(own).metadata()?.is_file())
}

#[cfg(not(any(unix, windows)))]
const fn is_file<T>(_: &T) -> io::Result<bool> {
    Ok(false)
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
        let out = json.out_mut();
        out.is_torn = is_torn;
        out.at_once = AT_ONCE_TO_A_FILE;
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

impl<W: Write> Out<W> {
    /// Writes the lines up to this length, of which there are so many, and adds to `recorded` the number of those
    /// that are written.
    fn write(
        &mut self,
        (length, count): (usize, usize),
        recorded: &mut usize,
    ) -> Result<(), RecordError> {
        let written = self.try_write((length, count), recorded);
        self.lines.drain(..length);
        self.count -= count;
        written.map_err(|error| RecordError::new(error.to_string()))
    }

    fn try_write(
        &mut self,
        (length, count): (usize, usize),
        recorded: &mut usize,
    ) -> io::Result<()> {
        if self.is_torn {
            self.writer.write_all(b"\n")?;
        }
        self.is_torn = true;
        let mut rest = &self.lines.as_bytes()[..length];
        while !rest.is_empty() {
            let written = match self.writer.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                written => written?.min(rest.len()),
            };
            if written == length {
                *recorded += count; // as nearly always
                break;
            }
            let (done, left) = rest.split_at(written);
            *recorded += done.iter().filter(|&&byte| byte == b'\n').count();
            rest = left;
        }
        self.is_torn = false;
        Ok(())
    }
}

impl<W: Write + Send> AuditSink for Json<W> {
    fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        self.record_batch(std::slice::from_ref(event), &mut 0)
    }

    fn record_batch(
        &self,
        events: &[Arc<AuditEvent>],
        recorded: &mut usize,
    ) -> Result<(), RecordError> {
        // A writer that panicked is used again.
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.lines.clear();
        out.count = 0;
        for event in events {
            let before = (out.lines.len(), out.count);
            event.append_json(&mut out.lines, &self.texts);
            out.lines.push('\n');
            out.count += 1;
            if before.1 > 0 && out.lines.len() > out.at_once {
                out.write(before, recorded)?;
            }
        }
        let rest = (out.lines.len(), out.count);
        out.write(rest, recorded)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Action, Memory, Overflow, Queue};
    use crate::side::Side;

    /// A disk with room for some bytes, which writes as much as fits.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize, usize)>>);

    impl Disk {
        fn with_room(bytes: usize) -> Self {
            let disk = Self::default();
            disk.add_room(bytes);
            disk
        }

        fn add_room(&self, bytes: usize) {
            self.0.lock().unwrap().1 += bytes;
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().0.clone()).unwrap()
        }

        fn writes(&self) -> usize {
            self.0.lock().unwrap().2
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (text, room, writes) = &mut *self.0.lock().unwrap();
            *writes += 1;
            if *room == 0 {
                return Err(io::Error::other("no space left"));
            }
            let fit = bytes.len().min(*room);
            text.extend_from_slice(&bytes[..fit]);
            *room -= fit;
            Ok(fit)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn events(count: usize) -> Vec<Arc<AuditEvent>> {
        let event = || Arc::new(AuditEvent::new(Action::Admitted, Side::Server, None));
        std::iter::repeat_with(event).take(count).collect()
    }

    /// The ids of the whole lines.
    fn ids(text: &str) -> Vec<String> {
        let lines = text.lines().map(serde_json::from_str::<serde_json::Value>);
        let id = |line: serde_json::Value| line["event"]["id"].as_str().unwrap().to_owned();
        lines.flatten().map(id).collect()
    }

    fn expected(events: &[Arc<AuditEvent>]) -> Vec<String> {
        events.iter().map(|event| event.id.to_string()).collect()
    }

    #[test]
    fn a_write_has_as_many_whole_lines_as_a_pipe_takes_whole() {
        let disk = Disk::with_room(usize::MAX);
        let batch = events(50);
        let mut recorded = 0;
        let json = Json::new(disk.clone());
        json.record_batch(&batch, &mut recorded).unwrap();
        assert_eq!(recorded, 50);
        assert_eq!(ids(&disk.text()), expected(&batch));
        let together = AT_ONCE / (batch[0].to_json().len() + 1);
        assert!(together > 1);
        assert_eq!(disk.writes(), 50_usize.div_ceil(together));

        json.out.lock().unwrap().at_once = AT_ONCE_TO_A_FILE;
        json.record_batch(&batch, &mut recorded).unwrap();
        assert_eq!(disk.writes(), 50_usize.div_ceil(together) + 1);
        json.record_batch(&[], &mut recorded).unwrap();
        assert_eq!(recorded, 100);
    }

    #[cfg(any(unix, windows))]
    #[test]
    fn a_pipe_is_not_taken_for_a_file() {
        let own = std::env::current_exe().unwrap();
        assert!(is_file(&File::open(own).unwrap()).unwrap());
        let (reader, writer) = io::pipe().unwrap();
        assert!(!is_file(&writer).unwrap());
        drop(reader);
    }

    #[test]
    fn a_full_disk_leaves_the_number_of_whole_lines_and_the_next_line_is_whole() {
        let batch = events(5);
        let length = batch[0].to_json().len() + 1;
        for room in 0..3 * length {
            let disk = Disk::with_room(room);
            let json = Json::new(disk.clone());
            let mut recorded = 0;
            let error = json.record_batch(&batch, &mut recorded).unwrap_err();
            assert_eq!(error, RecordError::new("no space left"));
            assert_eq!(recorded, disk.text().matches('\n').count(), "{room}");
            disk.add_room(usize::MAX / 2);
            json.record_batch(&batch[recorded..], &mut recorded)
                .unwrap();
            assert_eq!(recorded, 5);
            // A line that was cut after its brace is whole too, and there twice.
            let mut found = ids(&disk.text());
            found.dedup();
            assert_eq!(found, expected(&batch), "{room}");
        }
    }

    #[test]
    fn a_queue_that_loses_nothing_writes_each_line_once_when_there_is_room_again() {
        let batch = events(300);
        let length = batch[0].to_json().len() + 1;
        let disk = Disk::with_room(10 * length + 5);
        let queue = Queue::builder(Json::new(disk.clone()));
        let queue = queue.overflow(Overflow::FailClosed).start();
        for event in &batch[..100] {
            queue.record(event).unwrap();
        }
        assert!(!queue.flush_within(std::time::Duration::from_millis(50)));
        assert!(queue.record(&batch[100]).is_err(), "the sink has failed");
        disk.add_room(usize::MAX / 2);
        assert!(queue.flush_within(std::time::Duration::from_secs(60)));
        for event in &batch[100..] {
            queue.record(event).unwrap();
        }
        assert!(queue.flush_within(std::time::Duration::from_secs(60)));
        let found = ids(&disk.text());
        let notice = found.len() - 300; // about the event that was refused
        assert_eq!(notice, 1);
        let of_events = |id: &String| expected(&batch).contains(id);
        let found: Vec<_> = found.into_iter().filter(of_events).collect();
        assert_eq!(found, expected(&batch));
        assert_eq!(queue.dropped(), 0);
    }

    #[test]
    fn a_batch_stops_at_the_first_event_that_a_sink_rejects() {
        struct Third(Memory, std::sync::atomic::AtomicUsize);
        impl AuditSink for Third {
            fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
                match self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                    2 => Err(RecordError::new("the third")),
                    _ => self.0.record(event),
                }
            }
        }

        let batch = events(200);
        let memory = Memory::new();
        let queue = Queue::builder(Third(memory.clone(), 0.into())).start();
        for event in &batch {
            queue.record(event).unwrap();
        }
        assert!(queue.flush_within(std::time::Duration::from_secs(60)));
        assert_eq!(queue.dropped(), 1);
        let mut recorded = memory.events();
        let notice = recorded
            .iter()
            .position(|it| it.action == Action::EventsDropped);
        let notice = recorded.remove(notice.expect("the loss is reported"));
        assert_eq!(notice.dropped, Some(1));
        let ids: Vec<_> = recorded.iter().map(|event| event.id).collect();
        let others = batch.iter().enumerate().filter(|(index, _)| *index != 2);
        assert_eq!(ids, others.map(|(_, event)| event.id).collect::<Vec<_>>());
    }
}
