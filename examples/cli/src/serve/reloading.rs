//! The reload of the server's files.

use std::error::Error;
use std::fs;
use std::time::Duration;

use countersign::Acceptor;
use countersign::policy::{DenyEntry, DenyList};
use countersign::reload::{Handle, Reload, Source};

use super::Args;
use crate::options::Identity;
use crate::terminal::Failure;

/// Without `--reload`, the server checks its files on SIGHUP only.
const NEVER: Duration = Duration::from_secs(10 * 365 * 86400);

/// Applies changed files until the handle is dropped.
pub(super) async fn start(
    args: &Args,
    acceptor: &Acceptor<Identity>,
    deny_list: &DenyList<Identity>,
) -> Result<Handle, Failure> {
    // It has the acceptor's sources.
    let mut reload = Reload::of(acceptor).every(args.reload.map_or(NEVER, Duration::from_secs));
    if let Some(file) = args.deny_file.clone() {
        let kind = args.identity;
        let source = Source::files(
            [file.clone()],
            move || -> Result<_, Box<dyn Error + Send + Sync>> {
                let named = |error: &dyn Error| format!("{}: {error}", file.display());
                let text = fs::read_to_string(&file).map_err(|error| named(&error))?;
                DenyEntry::parse_list_with(&text, |identity| kind.parse(identity))
                    .map_err(|error| named(&error).into())
            },
        );
        reload = reload.deny_list(deny_list, source);
    }
    let handle = reload.start().await?;
    #[cfg(unix)]
    reload_on_hangup(handle.clone())?;
    Ok(handle)
}

#[cfg(unix)]
fn reload_on_hangup(handle: Handle) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            // The audit trail records the result.
            let _ = handle.reload_now().await;
        }
    });
    Ok(())
}
