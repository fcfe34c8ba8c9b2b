//! What every error's text has in common.

/// A text without line breaks and other control characters.
pub fn one_line(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
}

/// An error has a stable reason, and is one line.
pub fn refused(error: &(impl countersign::Diagnostic + std::fmt::Display + std::fmt::Debug)) {
    assert!(!error.reason().is_empty());
    one_line(&error.to_string());
    one_line(&error.cause());
    one_line(&error.remedy());
    let _ = format!("{error:?}");
}
