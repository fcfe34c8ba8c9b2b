//! PEM files (RFC 7468), with the place of every block for error messages.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls_pki_types::pem::{PemObject as _, SectionKind};
use zeroize::Zeroizing;

use super::error::PemError;
use super::file::{self, FileError, MAX_FILE};
use super::text::Escaped;

/// The origin of bytes, for error messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    File(PathBuf),
    Bytes,
}

impl Origin {
    pub(crate) fn read(path: &Path) -> Result<(Self, Vec<u8>), PemError> {
        let file = || path.to_path_buf();
        match file::read(path) {
            Ok(bytes) => Ok((Self::File(file()), bytes)),
            Err(FileError::Io(source)) => Err(PemError::Io {
                file: file(),
                source,
            }),
            Err(FileError::NotAFile) => Err(PemError::NotAFile { path: file() }),
            Err(FileError::TooLarge) => Err(PemError::TooLarge {
                file: file(),
                limit: MAX_FILE,
            }),
        }
    }

    /// As [`read`](Self::read), for a file with a private key: its bytes are wiped when dropped.
    pub(crate) fn read_secret(path: &Path) -> Result<(Self, Zeroizing<Vec<u8>>), PemError> {
        let (origin, bytes) = Self::read(path)?;
        Ok((origin, Zeroizing::new(bytes)))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", Escaped(&path.to_string_lossy())),
            Self::Bytes => f.write_str("the given bytes"),
        }
    }
}

/// The place of one PEM block: `ca.pem, block 2 (line 24)`.
///
/// ```
/// use countersign::TrustStore;
/// use countersign::pki::PemError;
/// use countersign::trust::TrustError;
///
/// let error = TrustStore::from_pem("-----BEGIN CERTIFICATE-----\nMAA=\n").unwrap_err();
/// let TrustError::Pem(PemError::CutOff { place }) = error else {
///     panic!("{error}");
/// };
/// assert_eq!(place.to_string(), "the given bytes, block 1 (line 1)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockPlace {
    origin: Origin,
    /// Counted from 1.
    block: usize,
    /// Counted from 1.
    line: usize,
}

impl fmt::Display for BlockPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, block {} (line {})",
            self.origin, self.block, self.line
        )
    }
}

/// One decoded block.
pub(crate) struct Block {
    pub(crate) label: String,
    /// `None` for a label that pki-types does not decode. The content may be a private key: it is wiped
    /// unless it is taken.
    pub(crate) content: Option<(SectionKind, Zeroizing<Vec<u8>>)>,
    pub(crate) place: BlockPlace,
}

impl Block {
    /// Takes the content, without a copy.
    pub(crate) fn take(&mut self) -> Option<(SectionKind, Vec<u8>)> {
        let (kind, mut der) = self.content.take()?;
        Some((kind, std::mem::take(&mut *der)))
    }

    pub(crate) fn unexpected(self, expected: &'static str) -> PemError {
        PemError::Unexpected {
            place: self.place,
            label: Escaped(&self.label).to_string(),
            expected,
        }
    }
}

/// Decodes every block of `bytes`. No block is an error.
///
/// `rustls_pki_types::pem` decodes. It reports neither the places of blocks nor the blocks whose label
/// it does not know, so a pass over the lines finds those first.
pub(crate) fn read_blocks(bytes: &[u8], origin: &Origin) -> Result<Vec<Block>, PemError> {
    let outlines = outline(bytes, origin)?;
    if outlines.is_empty() {
        return Err(PemError::Empty {
            place: origin.to_string(),
            looks_like_der: bytes.starts_with(&[0x30]),
        });
    }
    let mut sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes);
    outlines
        .into_iter()
        .map(|Outline { label, place }| {
            let content = if is_decoded(&label) {
                match sections.next() {
                    Some(Ok((kind, der))) => Some((kind, Zeroizing::new(der))),
                    Some(Err(error)) => {
                        return Err(PemError::Damaged {
                            place,
                            problem: error.to_string(),
                        });
                    }
                    None => return Err(PemError::CutOff { place }),
                }
            } else {
                None
            };
            Ok(Block {
                label,
                content,
                place,
            })
        })
        .collect()
}

struct Outline {
    label: String,
    place: BlockPlace,
}

/// Whether pki-types decodes this label: the labels of `SectionKind`, which has no list of them.
fn is_decoded(label: &str) -> bool {
    matches!(
        label,
        "CERTIFICATE"
            | "PUBLIC KEY"
            | "RSA PRIVATE KEY"
            | "PRIVATE KEY"
            | "EC PRIVATE KEY"
            | "X509 CRL"
            | "CERTIFICATE REQUEST"
            | "ECHCONFIG"
    )
}

/// Finds BEGIN and END lines. Lines end at CR or LF, as in the decoder.
fn outline(bytes: &[u8], origin: &Origin) -> Result<Vec<Outline>, PemError> {
    let mut outlines: Vec<Outline> = Vec::new();
    let mut open = false;
    let mut line_number = 1;
    let mut previous_end = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n' || byte == b'\r') {
        // CRLF ends one line, not two.
        let is_lf_of_crlf = line == b"\n" && previous_end == b'\r';
        if let Some(rest) = line.strip_prefix(b"-----BEGIN ") {
            if let Some(unclosed) = outlines.last().filter(|_| open) {
                return Err(PemError::CutOff {
                    place: unclosed.place.clone(),
                });
            }
            let place = BlockPlace {
                origin: origin.clone(),
                block: outlines.len() + 1,
                line: line_number,
            };
            let rest = String::from_utf8_lossy(rest);
            let Some(label) = rest.trim_end().strip_suffix("-----") else {
                return Err(PemError::Damaged {
                    place,
                    problem: "its BEGIN line does not end in five dashes".into(),
                });
            };
            let label = label.to_owned();
            if label == "ENCRYPTED PRIVATE KEY" {
                return Err(PemError::EncryptedKey { place });
            }
            outlines.push(Outline { label, place });
            open = true;
        } else if let Some(current) = outlines.last().filter(|_| open) {
            if let Some(rest) = line.strip_prefix(b"-----END ") {
                open = !rest
                    .strip_prefix(current.label.as_bytes())
                    .is_some_and(|rest| rest.starts_with(b"-----"));
            } else if line.starts_with(b"Proc-Type:") && contains(line, b"ENCRYPTED") {
                return Err(PemError::EncryptedKey {
                    place: current.place.clone(),
                });
            }
        } else if let Some(problem) = stray_marker(line) {
            return Err(PemError::Damaged {
                place: BlockPlace {
                    origin: origin.clone(),
                    block: outlines.len() + 1,
                    line: line_number,
                },
                problem: problem.into(),
            });
        }
        if !is_lf_of_crlf {
            line_number += 1;
        }
        previous_end = line.last().copied().unwrap_or(0);
    }
    match outlines.last().filter(|_| open) {
        Some(unclosed) => Err(PemError::CutOff {
            place: unclosed.place.clone(),
        }),
        None => Ok(outlines),
    }
}

/// The problem of a line outside all blocks that looks like a BEGIN or END line.
///
/// The decoder would skip the line, and the block with it. A block in a comment is no problem.
fn stray_marker(line: &[u8]) -> Option<&'static str> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    let line = line.trim_ascii_start().strip_prefix(b"--")?;
    let dashes = line.iter().take_while(|&&byte| byte == b'-').count();
    let word = &line[dashes..];
    let starts_with = |wanted: &[u8]| {
        word.get(..wanted.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(wanted))
    };
    if starts_with(b"BEGIN ") {
        Some(
            "its line must start with \"-----BEGIN \", without a space or an invisible byte order mark before",
        )
    } else if starts_with(b"END ") {
        Some("an END line without its BEGIN line")
    } else {
        None
    }
}

fn contains(line: &[u8], wanted: &[u8]) -> bool {
    line.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "comment\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

    fn read(pem: &str) -> Result<Vec<Block>, PemError> {
        read_blocks(pem.as_bytes(), &Origin::Bytes)
    }

    fn error(pem: &str) -> (&'static str, String) {
        let Err(error) = read(pem) else {
            panic!("{pem:?} was read")
        };
        (error.reason(), error.to_string())
    }

    #[test]
    fn blocks_have_labels_and_places() {
        let pem = format!(
            "{GOOD}-----BEGIN EC PARAMETERS-----\nAA==\n-----END EC PARAMETERS-----\n{GOOD}"
        );
        let blocks = read(&pem.replace('\n', "\r\n")).expect("three blocks");
        let places: Vec<_> = blocks.iter().map(|block| block.place.to_string()).collect();
        assert_eq!(
            places,
            [
                "the given bytes, block 1 (line 2)",
                "the given bytes, block 2 (line 5)",
                "the given bytes, block 3 (line 9)"
            ]
        );
        assert_eq!(blocks[1].label, "EC PARAMETERS");
        assert!(blocks[1].content.is_none());
        assert_eq!(
            blocks[2].content.as_ref().map(|c| &c.1[..]),
            Some(&[0x30, 0][..])
        );
    }

    #[test]
    fn text_between_blocks_may_have_dashes() {
        let text = "# -----BEGIN CERTIFICATE-----\n-- \n---- roots ----\n--ending\n-----\n";
        assert_eq!(
            read(&format!("{text}{GOOD}{text}")).map_or(0, |blocks| blocks.len()),
            1
        );
    }

    #[test]
    fn errors_name_the_damaged_block() {
        for (pem, reason, words) in [
            ("", "no_pem_block", "holds no PEM block"),
            ("0\u{1}", "no_pem_block", "it looks like DER"),
            (&GOOD[..40], "pem_cut_off", "block 1 (line 2)"),
            (
                &format!("{}{GOOD}", &GOOD[..30]),
                "pem_damaged",
                "five dashes",
            ),
            (
                &format!("{}\n{GOOD}", &GOOD[..36]),
                "pem_cut_off",
                "block 1 (line 2) has no matching",
            ),
            (
                &GOOD.replace("MAA=", "M!A="),
                "pem_damaged",
                "block 1 (line 2)",
            ),
            (
                &GOOD.replace("END CERT", "END X CERT"),
                "pem_cut_off",
                "no matching -----END",
            ),
            (
                &format!("{GOOD}\u{feff}{GOOD}").replace("comment\n", ""),
                "pem_damaged",
                "block 2 (line 4) is damaged: its line must start with",
            ),
            (
                "-----END CERTIFICATE-----",
                "pem_damaged",
                "without its BEGIN",
            ),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
                "encrypted_key",
                "openssl pkey -in",
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n",
                "encrypted_key",
                "openssl pkey -in",
            ),
        ] {
            let (actual, message) = error(pem);
            assert_eq!(actual, reason, "{pem:?}: {message}");
            assert!(message.contains(words), "{message}");
        }
    }
}
