//! The certificates of a file, up to the first damage.
//!
//! The library reads a file as a whole or not at all. For debugging, every readable certificate counts.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use countersign::pki_types::CertificateDer;
use countersign::pki_types::pem::{Error, PemObject as _};
use countersign::{Certificate, Diagnostic as _};

use super::text::on_one_line;

/// More than any chain or bundle needs, and small enough for memory.
const MAX_FILE_SIZE: u64 = 16 << 20;

const BEGIN: &[u8] = b"-----BEGIN ";

/// The content of a file, up to the first damage.
#[derive(Default)]
pub(super) struct Chain {
    /// Each decoded from PEM, but not parsed.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// Why there is no certificate, or where the file is damaged after the certificates.
    pub(super) problem: Option<String>,
}

pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE_SIZE {
        return Err(format!(
            "over {MAX_FILE_SIZE} bytes long, which is no chain"
        ));
    }
    Ok(bytes)
}

impl Chain {
    /// Ignores PEM blocks of other kinds, such as private keys.
    pub(super) fn read(bytes: Result<&[u8], &String>) -> Self {
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(problem) => return Self::unreadable(problem),
        };
        // A certificate in DER may hold bytes that look like PEM.
        if Certificate::from_der(bytes).is_ok() {
            return Self::of(bytes);
        }
        let blocks = pem_blocks(bytes);
        if blocks.is_empty() {
            return match bytes {
                [] => Self::unreadable("the file is empty"),
                [0x30, ..] => Self::of(bytes), // probably DER: its parser says what is wrong
                _ => Self::unreadable("neither a PEM block nor a certificate in DER"),
            };
        }
        let mut chain = Self::default();
        for (number, block) in (1..).zip(&blocks) {
            match decode(block) {
                Ok(certificate) => chain.certificates.extend(certificate),
                // The blocks after it may belong to another chain.
                Err(problem) => {
                    chain.problem = Some(format!("PEM block {number} cannot be read: {problem}"));
                    return chain;
                }
            }
        }
        if chain.certificates.is_empty() {
            let label = String::from_utf8_lossy(label(blocks[0]).unwrap_or_default());
            chain.problem = Some(format!(
                "no CERTIFICATE among its PEM blocks, of which the first is \"{}\"",
                on_one_line(&label)
            ));
        }
        chain
    }

    /// The first certificate, or why there is none.
    pub(super) fn first(&self) -> Result<Certificate, String> {
        match self.certificates.first() {
            Some(der) => Certificate::from_der(der).map_err(|error| error.cause().into_owned()),
            None => Err(self.problem.clone().unwrap_or_default()),
        }
    }

    /// The next few certificates after the first, and the number of the remaining ones.
    pub(super) fn others(&self) -> (&[CertificateDer<'static>], usize) {
        const MOST: usize = 10;
        let others = self.certificates.get(1..).unwrap_or_default();
        let shown = others.len().min(MOST);
        (&others[..shown], others.len() - shown)
    }

    fn of(der: &[u8]) -> Self {
        Self {
            certificates: vec![CertificateDer::from(der.to_vec())],
            problem: None,
        }
    }

    fn unreadable(problem: &str) -> Self {
        Self {
            certificates: Vec::new(),
            problem: Some(problem.to_owned()),
        }
    }
}

/// Splits before each BEGIN line, so that a block without END does not include the next one.
fn pem_blocks(bytes: &[u8]) -> Vec<&[u8]> {
    let mut starts = Vec::new();
    let mut position = 0;
    for line in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        if as_begin_line(line).is_some() {
            starts.push(position);
        }
        position += line.len();
    }
    let ends = starts.iter().copied().skip(1).chain([bytes.len()]);
    let blocks = starts.iter().copied().zip(ends);
    blocks.map(|(start, end)| &bytes[start..end]).collect()
}

/// The text after `BEGIN` on a line that starts a block, well-formed or not.
fn as_begin_line(line: &[u8]) -> Option<&[u8]> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    line.trim_ascii_start().strip_prefix(BEGIN)
}

/// The label of the BEGIN line; `None` if its dashes are damaged.
fn label(block: &[u8]) -> Option<&[u8]> {
    let line = block.split(|byte| matches!(byte, b'\n' | b'\r')).next()?;
    let label = as_begin_line(line)?
        .trim_ascii_end()
        .strip_suffix(b"-----")?;
    (!label.ends_with(b"-")).then_some(label)
}

/// `None` for a block of another kind.
fn decode(block: &[u8]) -> Result<Option<CertificateDer<'static>>, String> {
    match label(block) {
        None => return Err("its BEGIN line does not end in five dashes".into()),
        Some(b"CERTIFICATE") => {}
        Some(_) => return Ok(None),
    }
    let decoded = CertificateDer::from_pem_slice(block);
    decoded.map(Some).map_err(|error| match error {
        Error::MissingSectionEnd { .. } => "it is cut off: there is no -----END line".into(),
        Error::Base64Decode(_) => "its base64 is damaged".into(),
        Error::NoItemsFound => "a space or an invisible byte order mark precedes its BEGIN".into(),
        other => on_one_line(&other.to_string()),
    })
}
