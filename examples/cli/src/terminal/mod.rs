//! Output for people.
//!
//! Standard output and standard error have colours if they are terminals and `NO_COLOR` is not set, or if
//! `CLICOLOR_FORCE` is set. Otherwise the text is the same without colours, and `call` writes the body
//! unchanged.

mod body;
mod failure;

use anstyle::{AnsiColor, Style};

pub use body::write_json;
pub use failure::Failure;

pub const HEADING: Style = Style::new().bold();
pub const LABEL: Style = Style::new().dimmed();
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Whether standard output gets colours: it is a terminal, and the environment does not forbid it.
pub fn is_styled() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
}
