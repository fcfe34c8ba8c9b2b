//! Keeps the server at what its files say.

use std::error::Error;
use std::fs;
use std::time::Duration;

use countersign::policy::{DenyEntry, DenyList};
use countersign::reload::{Handle, Reload, Source};
use countersign::trust::Revocation;
use countersign::{Acceptor, TrustStore};

use crate::shared::Identity;
use crate::{Args, log};

/// Reads the deny list, and with `--reload` goes on to look whether any file has changed.
pub(crate) async fn start(
    args: &Args,
    acceptor: &Acceptor<Identity>,
    deny_list: &DenyList<Identity>,
) -> Result<Option<Handle>, Box<dyn Error>> {
    let kind = args.identity;
    let denied = args.deny_file.clone().map(|file| {
        Source::files(
            [file.clone()],
            move || -> Result<_, Box<dyn Error + Send + Sync>> {
                let named = |error: &dyn Error| format!("{}: {error}", file.display());
                let text = fs::read_to_string(&file).map_err(|error| named(&error))?;
                DenyEntry::parse_list_with(&text, |identity| kind.parse(identity))
                    .map_err(|error| named(&error).into())
            },
        )
    });
    let mut reload = Reload::of(acceptor);
    if let Some(denied) = denied {
        reload = reload.deny_list(deny_list, denied);
    }
    let Some(seconds) = args.reload else {
        // Once: what it holds stays in force when the reload ends.
        reload.start().await?;
        return Ok(None);
    };
    let material = &args.material;
    reload = reload
        .every(Duration::from_secs(seconds))
        .credentials(Source::pem_files(&material.cert, &material.key));
    let believed = material.believed.clone();
    reload = reload.trust(Source::files(believed.trust_paths(), move || {
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
    let handle = reload.start().await?;
    #[cfg(unix)]
    reload_on_hangup(handle.clone())?;
    Ok(Some(handle))
}

#[cfg(unix)]
fn reload_on_hangup(handle: Handle) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            log::reloaded(&handle.reload_now().await);
        }
    });
    Ok(())
}
