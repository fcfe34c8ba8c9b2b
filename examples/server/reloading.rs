//! Keeps the server at what its files say.

use std::error::Error;
use std::fs;
use std::time::Duration;

use countersign::policy::{DenyEntry, DenyList};
use countersign::reload::{Handle, Reload, Source};
use countersign::trust::Revocation;
use countersign::{Acceptor, TrustStore};

use crate::Args;
use crate::shared::Identity;

/// Without `--reload`, files are looked at on SIGHUP only.
const NEVER: Duration = Duration::from_secs(10 * 365 * 86400);

/// Keeps everything at what its files say, until the handle is dropped.
pub(crate) async fn start(
    args: &Args,
    acceptor: &Acceptor<Identity>,
    deny_list: &DenyList<Identity>,
) -> Result<Handle, Box<dyn Error>> {
    let material = &args.material;
    let believed = material.believed.clone();
    let mut reload = Reload::of(acceptor)
        .every(args.reload.map_or(NEVER, Duration::from_secs))
        .credentials(Source::pem_files(&material.cert, &material.key))
        .trust(Source::files(believed.trust_paths(), move || {
            believed.read_trust(TrustStore::empty())
        }));
    let paths = material.believed.revocation_paths();
    if !paths.is_empty() {
        let believed = material.believed.clone();
        reload = reload.revocation(Source::files(paths, move || -> Result<Revocation, _> {
            let revocation = believed.read_revocation()?;
            revocation.ok_or_else(|| Box::<dyn Error + Send + Sync>::from("no --crl was given"))
        }));
    }
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
            // What comes of it stands in the log.
            let _ = handle.reload_now().await;
        }
    });
    Ok(())
}
