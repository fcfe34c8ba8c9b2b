//! What a feed takes its values from.

#[cfg(feature = "stream")]
use std::future::poll_fn;
#[cfg(feature = "stream")]
use std::{error::Error, pin::Pin, sync::Arc};

use tokio::sync::watch;

use crate::reload::source::LoadError;

/// Yields values.
pub(in crate::reload) trait Next: Send + 'static {
    type Value: Send + Sync + 'static;

    /// The next value, or `None` at the end.
    fn next(&mut self) -> impl Future<Output = Option<Result<Self::Value, LoadError>>> + Send;
}

/// The items of a stream.
#[cfg(feature = "stream")]
pub(in crate::reload) struct OfStream<S>(pub(in crate::reload) Pin<Box<S>>);

#[cfg(feature = "stream")]
impl<S, T, E> Next for OfStream<S>
where
    S: futures_core::Stream<Item = Result<T, E>> + Send + 'static,
    T: Send + Sync + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    type Value = T;

    async fn next(&mut self) -> Option<Result<T, LoadError>> {
        poll_fn(|cx| {
            let item = self.0.as_mut().poll_next(cx);
            item.map(|item| Some(item?.map_err(|error| Arc::from(error.into()))))
        })
        .await
    }
}

/// The value of a channel, and each later one.
pub(in crate::reload) struct OfWatch<T> {
    pub(in crate::reload) receiver: watch::Receiver<T>,
    pub(in crate::reload) is_first: bool,
}

impl<T: Clone + Send + Sync + 'static> Next for OfWatch<T> {
    type Value = T;

    async fn next(&mut self) -> Option<Result<T, LoadError>> {
        if !std::mem::take(&mut self.is_first) {
            self.receiver.changed().await.ok()?;
        }
        let value = self.receiver.borrow_and_update().clone();
        Some(Ok(value))
    }
}
