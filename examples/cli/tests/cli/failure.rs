//! What a failed command writes to standard error.

use crate::programs::Finished;

/// The cause and the remedy in one line, without the code. The command must have written nothing else.
#[track_caller]
pub(crate) fn failure(finished: &Finished) -> String {
    assert_eq!((finished.code, &*finished.stdout), (Some(1), ""));
    let mut lines = finished.stderr.lines();
    let first = lines.next().unwrap_or_default();
    let (head, cause) = first.split_once(": ").unwrap_or_default();
    let is_head = head == "error" || head.starts_with("error[") && head.ends_with(']');
    assert!(is_head, "{finished:?}");
    let remedy = lines.next().map(|line| {
        let remedy = line.strip_prefix("help: ");
        remedy.unwrap_or_else(|| panic!("{finished:?}"))
    });
    assert_eq!(lines.next(), None, "{finished:?}");
    match remedy {
        Some(remedy) => format!("{cause}; {remedy}"),
        None => cause.to_owned(),
    }
}
