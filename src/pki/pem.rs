//! PEM files (RFC 7468), with the place of every block for error messages.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rustls_pki_types::pem::{self, PemObject as _, SectionKind};
use zeroize::Zeroizing;

use super::content::ContentKind;
use super::error::{LoadWarning, PemError};
use super::file::{self, FileError, MAX_FILE};
use super::text::Escaped;

/// The origin of bytes, for error messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    File(PathBuf),
    Bytes,
    /// What holds a key that cannot be read.
    Signer(String),
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
            Self::Signer(name) => f.write_str(name),
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
    /// `None` for a label that is not known. The content may be a private key: it is wiped unless it is
    /// taken. An encrypted key is a [`SectionKind::PrivateKey`] with the label
    /// [`ENCRYPTED`].
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

/// The label of an encrypted private key in PKCS#8.
pub(crate) const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// Whether a reader can decrypt keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EncryptedKeys {
    Reject,
    #[cfg_attr(not(feature = "encrypted-keys"), expect(dead_code))]
    Take,
}

/// The blocks of a file, and what is unusual about it.
pub(crate) struct Pem {
    pub(crate) blocks: Vec<Block>,
    pub(crate) warnings: Vec<LoadWarning>,
}

/// Decodes every block of `bytes`, and logs what is unusual. No block is an error.
pub(crate) fn read_blocks(bytes: &[u8], origin: &Origin) -> Result<Vec<Block>, PemError> {
    let pem = read_pem(bytes, origin, EncryptedKeys::Reject)?;
    for warning in &pem.warnings {
        tracing::warn!(reason = warning.reason(), "{warning}");
    }
    Ok(pem.blocks)
}

/// Decodes every block of `bytes`. No block is an error.
///
/// `rustls_pki_types::pem` decodes. It reports neither the places of blocks nor the blocks whose label
/// it does not know, so a pass over the lines finds those first.
pub(crate) fn read_pem(
    bytes: &[u8],
    origin: &Origin,
    encrypted: EncryptedKeys,
) -> Result<Pem, PemError> {
    let mut warnings = Vec::new();
    let decoded = from_utf16(bytes, origin)?;
    if decoded.is_some() {
        let place = origin.to_string();
        warnings.push(LoadWarning::Utf16 { place });
    }
    let bytes = decoded.as_ref().map_or(bytes, |text| text.as_slice());
    let outlines = Outlines::of(bytes, origin, encrypted)?;
    if outlines.blocks.is_empty() {
        return Err(without_blocks(bytes, origin));
    }
    warnings.extend(outlines.warnings);
    let blocks = outlines
        .blocks
        .into_iter()
        .map(|outline| outline.decode(bytes, &mut warnings))
        .collect::<Result<_, _>>()?;
    Ok(Pem { blocks, warnings })
}

/// The text of UTF-16 with a byte order mark, in UTF-8; `None` for other encodings.
fn from_utf16(bytes: &[u8], origin: &Origin) -> Result<Option<Zeroizing<Vec<u8>>>, PemError> {
    let error = |encoding| PemError::Encoding {
        place: origin.to_string(),
        encoding,
    };
    let (encoding, unit): (_, fn([u8; 2]) -> u16) = match bytes {
        [0xff, 0xfe, ..] => ("UTF-16LE", u16::from_le_bytes),
        [0xfe, 0xff, ..] => ("UTF-16BE", u16::from_be_bytes),
        // Without the mark, the encoding is a guess.
        _ => return unmarked_utf16(bytes).map_or(Ok(None), |encoding| Err(error(encoding))),
    };
    let units = bytes[2..].chunks_exact(2);
    if !units.remainder().is_empty() {
        return Err(error(encoding));
    }
    let units = units.map(|pair| unit([pair[0], pair[1]]));
    // A unit is three bytes of UTF-8 at most, so the text is in one allocation only, and is wiped.
    let mut text = Zeroizing::new(Vec::with_capacity(bytes.len() / 2 * 3));
    for character in char::decode_utf16(units) {
        let character = character.map_err(|_| error(encoding))?;
        let mut utf8 = [0; 4];
        text.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
    }
    Ok(Some(text))
}

/// The encoding of UTF-16 without a byte order mark, by the place of a BEGIN line.
fn unmarked_utf16(bytes: &[u8]) -> Option<&'static str> {
    const MARKER: &[u8] = b"-\0-\0B\0E\0G\0I\0N\0";
    let place = bytes
        .windows(MARKER.len())
        .position(|window| window == MARKER)?;
    Some(if place % 2 == 0 {
        "UTF-16LE"
    } else {
        "UTF-16BE"
    })
}

/// The error for a file without a block.
fn without_blocks(bytes: &[u8], origin: &Origin) -> PemError {
    let place = origin.to_string();
    if contains(bytes, b"-----BEGIN ") && contains(bytes, b"\\n") {
        return PemError::EscapedNewlines { place };
    }
    match ContentKind::of_file(bytes) {
        Some(found) => PemError::NotPem { place, found },
        None => PemError::Empty { place },
    }
}

struct Outlines {
    blocks: Vec<Outline>,
    warnings: Vec<LoadWarning>,
}

struct Outline {
    label: String,
    place: BlockPlace,
    /// From its BEGIN line to the end of its END line.
    whole: Range<usize>,
    /// Between the two lines.
    body: Range<usize>,
}

impl Outline {
    fn decode(self, bytes: &[u8], warnings: &mut Vec<LoadWarning>) -> Result<Block, PemError> {
        let Self {
            label,
            place,
            whole,
            body,
        } = self;
        let body = &bytes[body];
        let content = match label.as_str() {
            label if is_decoded(label) => Some(decode(&bytes[whole], &place)?),
            ENCRYPTED => Some(decode_as("PRIVATE KEY", body, &place)?),
            // The names that OpenSSL and Netscape used: the same DER.
            "X509 CERTIFICATE" | "X.509 CERTIFICATE" => {
                Some(decode_as("CERTIFICATE", body, &place)?)
            }
            "OPENSSH PRIVATE KEY" => {
                // An encrypted or damaged one is an OpenSSH key, too.
                let key = decode_as("PRIVATE KEY", body, &place).ok();
                let is_ed25519 = key.is_some_and(|(_, key)| contains(&key, b"ssh-ed25519"));
                return Err(PemError::OpenSshKey { place, is_ed25519 });
            }
            _ => None,
        };
        if let Some((SectionKind::Certificate, der)) = &content {
            match ContentKind::of_der(der) {
                None => {} // damaged: reported by its reader
                Some(ContentKind::Certificate) if label == "CERTIFICATE" => {}
                Some(ContentKind::Certificate) => warnings.push(LoadWarning::Mislabelled {
                    place: place.clone(),
                    label: label.clone(),
                    found: ContentKind::Certificate,
                }),
                Some(found) => {
                    return Err(PemError::Mislabelled {
                        place,
                        label: Escaped(&label).to_string(),
                        found,
                    });
                }
            }
        }
        Ok(Block {
            label,
            content,
            place,
        })
    }
}

type Section = (SectionKind, Zeroizing<Vec<u8>>);

fn decode(block: &[u8], place: &BlockPlace) -> Result<Section, PemError> {
    match <(SectionKind, Vec<u8>)>::pem_slice_iter(block).next() {
        Some(Ok((kind, der))) => Ok((kind, Zeroizing::new(der))),
        Some(Err(error)) => Err(PemError::Damaged {
            place: place.clone(),
            problem: match error {
                pem::Error::Base64Decode(_) => "its base64 cannot be decoded".into(),
                error => error.to_string(),
            },
        }),
        None => Err(PemError::CutOff {
            place: place.clone(),
        }),
    }
}

/// Decodes a block under another label, which the decoder knows.
fn decode_as(label: &str, body: &[u8], place: &BlockPlace) -> Result<Section, PemError> {
    let begin = format!("-----BEGIN {label}-----\n");
    let end = format!("\n-----END {label}-----\n");
    // The capacity is exact: no copy of a key remains.
    let mut block = Zeroizing::new(Vec::with_capacity(begin.len() + body.len() + end.len()));
    for part in [begin.as_bytes(), body, end.as_bytes()] {
        block.extend_from_slice(part);
    }
    decode(&block, place)
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

impl Outlines {
    /// Finds BEGIN and END lines. Lines end at CR or LF, as in the decoder.
    fn of(bytes: &[u8], origin: &Origin, encrypted: EncryptedKeys) -> Result<Self, PemError> {
        let mut found = Self {
            blocks: Vec::new(),
            warnings: Vec::new(),
        };
        let mut open = false;
        let mut line_number = 1;
        let mut previous_end = 0;
        let mut next_start = 0;
        for line in bytes.split_inclusive(|&byte| byte == b'\n' || byte == b'\r') {
            let start = next_start;
            next_start += line.len();
            // CRLF ends one line, not two.
            let is_lf_of_crlf = line == b"\n" && previous_end == b'\r';
            if open {
                open = found.inside(line, start)?;
            } else {
                let place = BlockPlace {
                    origin: origin.clone(),
                    block: found.blocks.len() + 1,
                    line: line_number,
                };
                open = found.outside(line, start, place, encrypted)?;
            }
            if !is_lf_of_crlf {
                line_number += 1;
            }
            previous_end = line.last().copied().unwrap_or(0);
        }
        match found.blocks.last().filter(|_| open) {
            Some(unclosed) => Err(PemError::CutOff {
                place: unclosed.place.clone(),
            }),
            None => Ok(found),
        }
    }

    /// A line of the last block. Whether the block is still open after it.
    fn inside(&mut self, line: &[u8], start: usize) -> Result<bool, PemError> {
        let Some(current) = self.blocks.last_mut() else {
            return Ok(false);
        };
        let place = || current.place.clone();
        if line.starts_with(BEGIN) {
            return Err(PemError::CutOff { place: place() });
        }
        if let Some(rest) = line.trim_ascii_start().strip_prefix(b"-----END ") {
            let label = current.label.as_bytes();
            let after = rest.strip_prefix(label);
            let Some(after) = after.and_then(|rest| rest.strip_prefix(b"-----")) else {
                return Ok(true);
            };
            if !line.starts_with(b"-----") {
                return Err(PemError::Indented { place: place() });
            }
            if contains(after, BEGIN) {
                return Err(PemError::LineBreaks { place: place() });
            }
            current.body.end = start;
            current.whole.end = start + line.len();
            return Ok(false);
        }
        if line.starts_with(b"Proc-Type:") && contains(line, b"ENCRYPTED") {
            return Err(PemError::EncryptedKey {
                place: place(),
                is_traditional: true,
            });
        }
        Ok(true)
    }

    /// A line outside all blocks. Whether it begins one.
    fn outside(
        &mut self,
        line: &[u8],
        start: usize,
        place: BlockPlace,
        encrypted: EncryptedKeys,
    ) -> Result<bool, PemError> {
        let after_mark = line.strip_prefix(BYTE_ORDER_MARK);
        let (text, mark) = after_mark.map_or((line, 0), |text| (text, BYTE_ORDER_MARK.len()));
        let Some(rest) = text.strip_prefix(BEGIN) else {
            return match stray_marker(text) {
                None => Ok(false),
                Some(Stray::Begin) => Err(PemError::Indented { place }),
                Some(Stray::Broken(problem)) => Err(PemError::Damaged {
                    place,
                    problem: problem.into(),
                }),
            };
        };
        let label = label_of(rest, &place)?;
        if label == ENCRYPTED && encrypted == EncryptedKeys::Reject {
            return Err(PemError::EncryptedKey {
                place,
                is_traditional: false,
            });
        }
        if mark > 0 {
            let place = place.clone();
            self.warnings.push(LoadWarning::ByteOrderMark { place });
        }
        let end = start + line.len();
        self.blocks.push(Outline {
            label,
            place,
            whole: start + mark..end,
            body: end..end,
        });
        Ok(true)
    }
}

const BEGIN: &[u8] = b"-----BEGIN ";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The label on a BEGIN line, by what follows its first word.
fn label_of(rest: &[u8], place: &BlockPlace) -> Result<String, PemError> {
    let rest = String::from_utf8_lossy(rest);
    let rest = rest.trim_end();
    match rest.split_once("-----") {
        Some((label, "")) => Ok(label.to_owned()),
        Some((_, more)) if more.starts_with("\\n") || more.starts_with("\\r") => {
            Err(PemError::EscapedNewlines {
                place: place.origin.to_string(),
            })
        }
        Some((_, more)) if more.contains("-----END ") => Err(PemError::LineBreaks {
            place: place.clone(),
        }),
        _ => Err(PemError::Damaged {
            place: place.clone(),
            problem: "its BEGIN line does not end in five dashes".into(),
        }),
    }
}

enum Stray {
    /// A BEGIN line after white space.
    Begin,
    Broken(&'static str),
}

/// The problem of a line outside all blocks that looks like a BEGIN or END line.
///
/// The decoder would skip the line, and the block with it. A block in a comment is no problem.
fn stray_marker(line: &[u8]) -> Option<Stray> {
    let trimmed = line.trim_ascii_start();
    let word = trimmed.strip_prefix(b"--")?;
    let dashes = word.iter().take_while(|&&byte| byte == b'-').count();
    let word = &word[dashes..];
    let starts_with = |wanted: &[u8]| {
        word.get(..wanted.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(wanted))
    };
    if trimmed.len() < line.len() && trimmed.starts_with(BEGIN) {
        Some(Stray::Begin)
    } else if starts_with(b"BEGIN ") {
        Some(Stray::Broken(
            "its line must start with \"-----BEGIN \", in capitals and with five dashes",
        ))
    } else if starts_with(b"END ") {
        Some(Stray::Broken("an END line without its BEGIN line"))
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
            ("0\u{1}", "not_pem", "is unknown data in DER"),
            ("\\n -----BEGIN ", "pem_escaped_newlines", "printf '%b"),
            (
                &GOOD.replace("\n", "\\n"),
                "pem_escaped_newlines",
                "printf '%b",
            ),
            (
                &GOOD[8..].replace("\n", "\\n"),
                "pem_escaped_newlines",
                "printf '%b",
            ),
            (
                &GOOD[8..].replace('\n', " "),
                "pem_line_breaks",
                "block 1 (line 1)",
            ),
            (
                &format!("{}{}", GOOD.trim_end(), &GOOD[8..]),
                "pem_line_breaks",
                "block 1 (line 2)",
            ),
            (
                &GOOD.replace("-----B", "    -----B"),
                "pem_indented",
                "block 1 (line 2)",
            ),
            (
                &GOOD.replace("-----E", "\t-----E"),
                "pem_indented",
                "block 1 (line 2)",
            ),
            (
                &GOOD.replace("-----B", "----B"),
                "pem_damaged",
                "five dashes",
            ),
            (
                &GOOD.replace("CERTIFICATE", "OPENSSH PRIVATE KEY"),
                "openssh_key",
                "ssh-keygen",
            ),
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

    fn in_utf16(pem: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let units = std::iter::once(0xfeff).chain(pem.encode_utf16());
        units.flat_map(unit).collect()
    }

    #[test]
    fn byte_order_marks_are_taken_with_a_warning() {
        let marked = format!("\u{feff}{}\u{feff}{}{GOOD}", &GOOD[8..], &GOOD[8..]);
        let pem = read_pem(marked.as_bytes(), &Origin::Bytes, EncryptedKeys::Reject);
        let pem = pem.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(pem.blocks.len(), 3);
        let warnings: Vec<_> = pem.warnings.iter().map(LoadWarning::to_string).collect();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(
            warnings[1].contains("block 2 (line 4) was loaded"),
            "{warnings:?}"
        );
        // A comment with a mark is a comment.
        let pem = format!("\u{feff}{GOOD}");
        assert_eq!(read(&pem).map_or(0, |blocks| blocks.len()), 1);
    }

    #[test]
    fn utf16_is_taken_with_its_mark_and_named_without() {
        for (unit, name) in [
            (u16::to_le_bytes as fn(u16) -> [u8; 2], "UTF-16LE"),
            (u16::to_be_bytes, "UTF-16BE"),
        ] {
            let marked = in_utf16(&GOOD.replace('\n', "\r\n"), unit);
            let pem = read_pem(&marked, &Origin::Bytes, EncryptedKeys::Reject);
            let pem = pem.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(pem.blocks.len(), 1);
            assert_eq!(pem.warnings[0].reason(), "utf16");
            let lone_surrogate = [&marked[..], &unit(0xd800)].concat();
            for bytes in [&marked[2..], &marked[..marked.len() - 1], &lone_surrogate] {
                let Err(error) = read_blocks(bytes, &Origin::Bytes) else {
                    panic!("{bytes:?} was read")
                };
                assert_eq!(error.reason(), "text_encoding");
                assert!(error.to_string().contains(name), "{error}");
            }
        }
    }

    #[test]
    fn no_prefix_of_a_file_panics() {
        let utf16 = in_utf16(GOOD, u16::to_le_bytes);
        for bytes in [GOOD.as_bytes(), &utf16, b"\xef\xbb\xbf-----BEGIN A-----"] {
            for length in 0..bytes.len() {
                let _ = read_blocks(&bytes[..length], &Origin::Bytes);
            }
        }
    }
}
