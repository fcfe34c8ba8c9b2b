//! What all sources contain at one moment: the files, and the values of the streams.

use super::ReloadError;
use super::files::FileSnapshot;
use super::part::Watched;
use super::stream::Values;

/// The files and the values of all sources.
pub(super) struct Snapshot {
    files: FileSnapshot,
    pub(super) values: Values,
    /// By source.
    pub(super) contents: Vec<Content>,
}

/// The content of one source. Equal contents are loaded once.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// The digest of its files; `None` if it has none.
    files: Option<[u8; 32]>,
    /// The versions of its streams' values.
    versions: Vec<u64>,
}

impl Snapshot {
    pub(super) fn of<I>(watched: &[Watched<I>]) -> Self {
        // Values first: a value is not newer than the files that are read after it.
        let values = Values::of(watched.iter().flat_map(Watched::streams));
        let files = FileSnapshot::of(watched.iter().map(Watched::paths));
        let contents = watched.iter().zip(&files.contents);
        let contents = contents
            .map(|(watched, digest)| Content {
                files: (!watched.paths().is_empty()).then_some(*digest),
                versions: watched
                    .streams()
                    .iter()
                    .map(|stream| values.version(stream))
                    .collect(),
            })
            .collect();
        Self {
            files,
            values,
            contents,
        }
    }

    /// Whether no file was touched between the two.
    pub(super) fn has_same_files(&self, other: &Self) -> bool {
        self.files.is_same_as(&other.files)
    }

    /// Whether files have changed since `applied`, which may be half-written. The values of streams are
    /// whole.
    pub(super) fn has_other_files(&self, applied: &[Content]) -> bool {
        let before = |index: usize| {
            applied
                .get(index)
                .and_then(|content: &Content| content.files)
        };
        let mut contents = self.contents.iter().enumerate();
        contents.any(|(index, content)| content.files.is_some() && content.files != before(index))
    }

    /// The first file that must not be read.
    pub(super) const fn problem(&self) -> Option<&ReloadError> {
        self.files.problem.as_ref()
    }
}
