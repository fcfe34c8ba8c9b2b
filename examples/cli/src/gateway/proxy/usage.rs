//! The tokens that a response reports.
//!
//! A scanner reads along while a body is forwarded. It keeps the value of `usage` and nothing else, so that
//! its memory does not grow with the body and no frame waits for it.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::Serialize;
use serde_json::Value;

/// The longest `usage` that is read, in bytes.
const MAX_USAGE: usize = 4096;

/// Names of fields longer than this are none of ours.
const MAX_NAME: usize = 16;

/// The tokens of a request and of its response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    total_tokens: Option<u64>,
}

/// Reads along.
pub(super) struct UsageTap {
    format: Format,
    scanner: Scanner,
    found: Option<Usage>,
}

enum Format {
    Json,
    Events(Lines),
}

impl UsageTap {
    /// The tap for a response with these headers.
    ///
    /// # Errors
    /// Why its usage cannot be read.
    pub(super) fn new(headers: &HeaderMap) -> Result<Self, &'static str> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if text(CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity"))
        {
            return Err("encoded");
        }
        let kind = text(CONTENT_TYPE).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let format = match kind.to_ascii_lowercase().as_str() {
            "application/json" => Format::Json,
            "text/event-stream" => Format::Events(Lines::default()),
            _ => return Err("not_json"),
        };
        Ok(Self {
            format,
            scanner: Scanner::default(),
            found: None,
        })
    }

    pub(super) fn feed(&mut self, data: &[u8]) {
        match &mut self.format {
            Format::Json => data.iter().for_each(|byte| self.scanner.feed(*byte)),
            Format::Events(lines) => {
                for &byte in data {
                    match lines.feed(byte) {
                        Some(Part::Data(byte)) => self.scanner.feed(byte),
                        Some(Part::EventEnd) => {
                            self.scanner.take_into(&mut self.found);
                            self.scanner = Scanner::default();
                        }
                        None => {}
                    }
                }
            }
        }
    }

    /// The usage of the whole body, or of what arrived of it.
    pub(super) fn finish(mut self) -> Option<Usage> {
        self.scanner.take_into(&mut self.found);
        self.found
    }
}

impl Usage {
    /// Reads the fields of OpenAI and of Anthropic. Anthropic's streams report input first and output last.
    fn merge(&mut self, usage: &Value) {
        let number = |names: [&str; 2]| names.iter().find_map(|name| usage[*name].as_u64());
        let keep = |old: &mut Option<u64>, new: Option<u64>| *old = new.or(*old);
        keep(
            &mut self.input_tokens,
            number(["prompt_tokens", "input_tokens"]),
        );
        keep(
            &mut self.output_tokens,
            number(["completion_tokens", "output_tokens"]),
        );
        keep(
            &mut self.total_tokens,
            number(["total_tokens", "total_tokens"]),
        );
    }
}

/// Finds the objects `usage`, `message.usage` and `response.usage` of a JSON text.
#[derive(Default)]
struct Scanner {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    /// The last string, while it is short.
    text: Vec<u8>,
    /// The names of the fields at depth 1 and 2.
    names: [Vec<u8>; 2],
    /// The object that is being read, and the depth outside of it.
    open: Option<(Vec<u8>, usize)>,
    found: Vec<Vec<u8>>,
}

impl Scanner {
    fn feed(&mut self, byte: u8) {
        if let Some((read, _)) = &mut self.open {
            read.push(byte);
            if read.len() > MAX_USAGE {
                self.open = None;
            }
        }
        if self.in_string {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            if self.in_string && self.text.len() <= MAX_NAME {
                self.text.push(byte);
            }
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.text.clear();
            }
            b':' => {
                if let Some(name) = self
                    .depth
                    .checked_sub(1)
                    .and_then(|at| self.names.get_mut(at))
                {
                    std::mem::swap(name, &mut self.text);
                }
            }
            b'{' | b'[' => {
                if byte == b'{' && self.open.is_none() && self.is_usage() {
                    self.open = Some((vec![byte], self.depth));
                }
                if let Some(name) = self.names.get_mut(self.depth) {
                    name.clear();
                }
                self.depth = self.depth.saturating_add(1);
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                let is_end = |open: &mut (Vec<u8>, usize)| open.1 == self.depth;
                if let Some((read, _)) = self.open.take_if(is_end) {
                    // One at depth 1, and one inside an object of depth 1.
                    if self.found.len() < 4 {
                        self.found.push(read);
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether the object that begins is the value of `usage`.
    fn is_usage(&self) -> bool {
        let [outer, inner] = &self.names;
        match self.depth {
            1 => outer == b"usage",
            2 => inner == b"usage" && (outer == b"message" || outer == b"response"),
            _ => false,
        }
    }

    fn take_into(&mut self, found: &mut Option<Usage>) {
        for text in std::mem::take(&mut self.found) {
            if let Ok(value) = serde_json::from_slice::<Value>(&text) {
                found.get_or_insert_default().merge(&value);
            }
        }
    }
}

/// The lines of an event stream.
#[derive(Default)]
struct Lines {
    /// The start of the line, up to `data:`.
    start: Vec<u8>,
    at: At,
    after_cr: bool,
}

#[derive(Default, PartialEq, Eq)]
enum At {
    #[default]
    Start,
    /// After `data:`.
    Data,
    /// In another line.
    Other,
}

enum Part {
    Data(u8),
    EventEnd,
}

impl Lines {
    fn feed(&mut self, byte: u8) -> Option<Part> {
        const FIELD: &[u8] = b"data:";

        let follows_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
        match byte {
            b'\n' if follows_cr => None,
            b'\n' | b'\r' => {
                let is_empty = self.at == At::Start && self.start.is_empty();
                let was_data = self.at == At::Data;
                self.at = At::Start;
                self.start.clear();
                match (is_empty, was_data) {
                    (true, _) => Some(Part::EventEnd),
                    (false, true) => Some(Part::Data(b'\n')),
                    (false, false) => None,
                }
            }
            _ => match self.at {
                At::Data => Some(Part::Data(byte)),
                At::Other => None,
                At::Start => {
                    self.start.push(byte);
                    if self.start == FIELD {
                        self.at = At::Data;
                    } else if !FIELD.starts_with(&self.start) {
                        self.at = At::Other;
                    }
                    None
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn tap(kind: &'static str) -> UsageTap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        UsageTap::new(&headers).ok().unwrap()
    }

    /// Of a body that arrives in pieces of every size.
    fn usage(kind: &'static str, body: &str) -> Option<[Option<u64>; 3]> {
        let read = |size: usize| {
            let mut tap = tap(kind);
            body.as_bytes()
                .chunks(size)
                .for_each(|piece| tap.feed(piece));
            let usage = tap.finish();
            usage.map(|usage| [usage.input_tokens, usage.output_tokens, usage.total_tokens])
        };
        let whole = read(body.len().max(1));
        for size in 1..20 {
            assert_eq!(read(size), whole, "{size} {body}");
        }
        whole
    }

    #[test]
    fn reads_the_usage_of_json() {
        let json = "application/json; charset=utf-8";
        for (body, expected) in [
            (
                r#"{"id":"a","usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#,
                Some([Some(3), Some(4), Some(7)]),
            ),
            (
                r#"{"usage" : {"input_tokens":3,"details":{"usage":{"input_tokens":9}},"output_tokens":4},"x":[{}]}"#,
                Some([Some(3), Some(4), None]),
            ),
            (
                r#"{"response":{"usage":{"input_tokens":3}}}"#,
                Some([Some(3), None, None]),
            ),
            // None of these is the usage of the response.
            (
                r#"{"choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":9}"}}]}"#,
                None,
            ),
            (
                r#"{"choices":{"usage":{"prompt_tokens":9}},"usage":null}"#,
                None,
            ),
            (
                r#"{"x":"usage","y":{"prompt_tokens":9},"response":["usage",{"input_tokens":1}]}"#,
                None,
            ),
            (r#"{"usage":{"prompt_tokens":3"#, None),
            (
                r#"{"usage":{"prompt_tokens":-3,"completion_tokens":"4"}}"#,
                Some([None; 3]),
            ),
            ("", None),
            ("]]}}{\"", None),
        ] {
            assert_eq!(usage(json, body), expected, "{body}");
        }
        // It is bounded, and what follows it is not read as another.
        let long = format!(
            r#"{{"usage":{{"a":"{}","prompt_tokens":3}},"b":1}}"#,
            "x".repeat(MAX_USAGE)
        );
        assert_eq!(usage(json, &long), None);
    }

    #[test]
    fn reads_the_usage_of_the_last_events() {
        let openai = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n\
             : a comment\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\n\
             data: [DONE]\n\n";
        let expected = Some([Some(3), Some(4), Some(7)]);
        assert_eq!(usage("text/event-stream", openai), expected);
        for end in ["\r\n", "\r"] {
            let other = openai.replace('\n', end);
            assert_eq!(usage("text/event-stream", &other), expected);
        }
        let anthropic = "event: message_start\ndata: {\"message\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n\
             event: message_delta\ndata: {\"usage\":\ndata: {\"output_tokens\":9}}\n\n";
        assert_eq!(
            usage("text/event-stream", anthropic),
            Some([Some(3), Some(9), None])
        );
        assert_eq!(usage("text/event-stream", "data: [DONE]\n\n"), None);
        let without_end = "data:{\"usage\":{\"prompt_tokens\":3}}";
        assert_eq!(
            usage("text/event-stream", without_end),
            Some([Some(3), None, None])
        );
    }

    #[test]
    fn says_why_it_cannot_be_read() {
        let mut headers = HeaderMap::new();
        assert_eq!(UsageTap::new(&headers).err(), Some("not_json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        assert!(UsageTap::new(&headers).is_ok());
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(UsageTap::new(&headers).err(), Some("encoded"));
    }
}
