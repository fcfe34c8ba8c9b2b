//! The headers of a request of the Model Context Protocol.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::HeaderMap;

use super::conditions::{SingleError, single};

const VERSION: &str = "mcp-protocol-version";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";

/// The first revision with the headers `Mcp-Method` and `Mcp-Name`, which a server must compare with the
/// body.
const FIRST_VERSION: &str = "2026-07-28";

/// What the headers of a request of the Model Context Protocol contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct McpRequest {
    pub(super) method: String,
    pub(super) name: Option<String>,
}

impl McpRequest {
    /// Reads the headers, if their revision requires the server to compare them with the body.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, String> {
        let version =
            text(headers, VERSION).map_err(|why| format!("MCP-Protocol-Version {why}"))?;
        if !is_date(version) {
            return Err("MCP-Protocol-Version is no date".to_owned());
        }
        if version < FIRST_VERSION {
            return Err(format!(
                "MCP-Protocol-Version is {version}; servers compare the headers with the body since {FIRST_VERSION}"
            ));
        }
        Self::read(headers)
    }

    /// Reads the headers for the audit trail: what the client claims, of any revision.
    pub(super) fn claimed(headers: &HeaderMap) -> Option<Self> {
        Self::read(headers).ok()
    }

    fn read(headers: &HeaderMap) -> Result<Self, String> {
        let method = text(headers, METHOD).map_err(|why| format!("Mcp-Method {why}"))?;
        let name = match text(headers, NAME) {
            Ok(value) => Some(decoded(value).ok_or("Mcp-Name is no valid base64 of UTF-8")?),
            Err(Problem::Single(SingleError::Missing)) => None,
            Err(why) => return Err(format!("Mcp-Name {why}")),
        };
        let method = method.to_owned();
        Ok(Self { method, name })
    }
}

enum Problem {
    Single(SingleError),
    NotAscii,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Single(problem) => problem.fmt(f),
            Self::NotAscii => f.write_str("has characters outside printable ASCII"),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Problem> {
    let value = single(headers, name).map_err(Problem::Single)?;
    match std::str::from_utf8(value) {
        Ok(text) if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => Ok(text),
        _ => Err(Problem::NotAscii),
    }
}

/// `YYYY-MM-DD`, so that dates are in the order of their text.
fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// A value that is not plain ASCII is sent as `=?base64?…?=`.
fn decoded(value: &str) -> Option<String> {
    let encoded = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    match encoded {
        None => Some(value.to_owned()),
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
    }
}
