//! JSON, written into a text without intermediate values.

use std::fmt::{self, Display, Write as _};

use crate::pki::text::{Bounded, MAX_SENTENCE, MAX_VALUE, Thousands, is_plain};

/// The maximum number of entries of a list of names.
const MAX_NAMES: usize = 32;
/// The maximum bytes of all names of a list, as JSON. The first name may have more.
const MAX_LIST: usize = MAX_SENTENCE;

/// A JSON object that is being written.
pub(super) struct Object<'a> {
    out: &'a mut String,
    is_empty: bool,
}

impl<'a> Object<'a> {
    /// Writes an object.
    pub(super) fn write(out: &'a mut String, fill: impl FnOnce(&mut Object<'_>)) {
        out.push('{');
        Self::members(out, fill);
        out.push('}');
    }

    /// Writes the members of an object without its braces, for [`insert`](Self::insert).
    pub(super) fn members(out: &mut String, fill: impl FnOnce(&mut Object<'_>)) {
        fill(&mut Object {
            out,
            is_empty: true,
        });
    }

    fn name(&mut self, name: &str) -> &mut String {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(',');
        }
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str("\":");
        self.out
    }

    /// A text that needs no escapes.
    pub(super) fn code(&mut self, name: &str, code: &str) {
        let out = self.name(name);
        out.push('"');
        out.push_str(code);
        out.push('"');
    }

    /// As [`code`](Self::code), for a value that is written as such a text.
    pub(super) fn shown(&mut self, name: &str, value: impl Display) {
        self.value(name, format_args!("\"{value}\""));
    }

    /// A list of texts that need no escapes.
    pub(super) fn codes(&mut self, name: &str, codes: &[&str]) {
        let out = self.name(name);
        out.push('[');
        for (index, code) in codes.iter().enumerate() {
            out.push_str(if index > 0 { ",\"" } else { "\"" });
            out.push_str(code);
            out.push('"');
        }
        out.push(']');
    }

    /// A text, which may be the peer's, escaped and cut to this number of bytes.
    pub(super) fn text(&mut self, name: &str, text: &str, limit: usize) {
        if text.len() <= limit && is_plain(text) {
            return self.code(name, text);
        }
        cut(self.name(name), limit, |bounded| bounded.text(text));
    }

    /// A value that writes its text into the limit.
    pub(super) fn cut(
        &mut self,
        name: &str,
        limit: usize,
        write: impl FnOnce(Bounded<'_>) -> fmt::Result,
    ) {
        cut(self.name(name), limit, write);
    }

    /// A number, a boolean, or JSON.
    pub(super) fn value(&mut self, name: &str, value: impl Display) {
        // Writing to a string does not fail.
        let _ = write!(self.name(name), "{value}");
    }

    /// An object.
    pub(super) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        Object::write(self.name(name), fill);
    }

    /// An object, unless it is empty.
    pub(super) fn object_if_any(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        let (before, was_empty) = (self.out.len(), self.is_empty);
        self.object(name, fill);
        if self.out.ends_with(":{}") {
            self.out.truncate(before);
            self.is_empty = was_empty;
        }
    }

    /// A list of objects.
    pub(super) fn objects<T>(
        &mut self,
        name: &str,
        items: impl Iterator<Item = T>,
        fill: impl Fn(&mut Object<'_>, T),
    ) {
        let out = self.name(name);
        out.push('[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                out.push(',');
            }
            Object::write(out, |object| fill(object, item));
        }
        out.push(']');
    }

    /// The first texts of a list, and the number of further ones.
    pub(super) fn texts(&mut self, name: &str, all: impl Iterator<Item = impl AsRef<str>>) {
        let mut all = all.fuse();
        let out = self.name(name);
        out.push('[');
        let (mut shown, mut bytes) = (0, 0);
        while shown < MAX_NAMES && bytes < MAX_LIST {
            let Some(text) = all.next() else { break };
            if shown > 0 {
                out.push(',');
            }
            let before = out.len();
            cut(out, MAX_VALUE, |bounded| bounded.text(text.as_ref()));
            bytes += out.len() - before - 2; // without the quotes
            shown += 1;
        }
        match all.count() {
            0 => {}
            more => {
                // Writing to a string does not fail.
                let _ = write!(out, ",\"… and {} more\"", Thousands(more as u64));
            }
        }
        out.push(']');
    }

    /// As [`texts`](Self::texts), and nothing if there are none.
    pub(super) fn texts_if_any(&mut self, name: &str, all: impl Iterator<Item = impl AsRef<str>>) {
        let mut all = all.peekable();
        if all.peek().is_some() {
            self.texts(name, all);
        }
    }

    /// Members that were written before.
    pub(super) fn insert(&mut self, members: &str) {
        if members.is_empty() {
            return;
        }
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(',');
        }
        self.out.push_str(members);
    }
}

/// Writes a text, escaped and cut to this number of bytes as JSON.
fn cut(out: &mut String, limit: usize, write: impl FnOnce(Bounded<'_>) -> fmt::Result) {
    out.push('"');
    // Writing to a string does not fail.
    let _ = write(Bounded::new(&mut Escaping(out), limit).counting_json());
    out.push('"');
}

/// Escapes what [`Bounded`] leaves: it has no control characters, so quotes and backslashes remain.
struct Escaping<'a>(&'a mut String);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain = 0;
        for (at, byte) in text.bytes().enumerate() {
            if matches!(byte, b'"' | b'\\') {
                self.0.push_str(&text[plain..at]);
                self.0.push('\\');
                plain = at;
            }
        }
        self.0.push_str(&text[plain..]);
        Ok(())
    }
}
