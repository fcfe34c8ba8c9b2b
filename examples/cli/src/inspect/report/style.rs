//! The layout of the report for people: plain with `{}`, and with colours with `{:#}`.

use std::fmt::{Arguments, Display, Formatter, Result};

use anstyle::Style;

use crate::terminal::{HEADING, LABEL};

/// A line that is the title of the lines below it, and an empty line.
pub(super) fn heading(f: &mut Formatter<'_>, text: Arguments<'_>) -> Result {
    paint(f, HEADING, text)?;
    f.write_str("\n\n")
}

/// An indented line: the name in a column of 13, and the value.
pub(super) fn field(f: &mut Formatter<'_>, name: &str, value: impl Display) -> Result {
    f.write_str("  ")?;
    paint(f, LABEL, format_args!("{name:<13}"))?;
    writeln!(f, " {value}")
}

pub(super) fn paint(f: &mut Formatter<'_>, style: Style, text: Arguments<'_>) -> Result {
    if f.alternate() {
        write!(f, "{style}{text}{style:#}")
    } else {
        f.write_fmt(text)
    }
}
