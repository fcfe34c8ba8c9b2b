//! The last connections of a channel.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::CallError;
use crate::{AlertWatch, DrainSignal};

/// What the last connections of a channel report, also after hyper has closed them.
#[derive(Clone, Debug, Default)]
pub(super) struct Connections(Arc<Mutex<Made>>);

#[derive(Debug, Default)]
struct Made {
    /// How many were made.
    count: u64,
    /// The last ones, the newest last.
    last: VecDeque<Observed>,
}

#[derive(Debug)]
struct Observed {
    number: u64,
    draining: DrainSignal,
    alert: AlertWatch,
}

impl Connections {
    /// A channel has one connection at a time; earlier ones have calls in progress.
    const KEPT: usize = 8;

    pub(super) fn add(&self, draining: DrainSignal, alert: AlertWatch) {
        let mut made = self.made();
        made.count += 1;
        let number = made.count;
        if made.last.len() == Self::KEPT {
            made.last.pop_front();
        }
        made.last.push_back(Observed {
            number,
            draining,
            alert,
        });
    }

    /// The number of the current connection.
    pub(super) fn current(&self) -> u64 {
        self.made().count
    }

    /// Whether the current one drains or was cut by our side.
    pub(super) fn is_draining(&self) -> bool {
        let made = self.made();
        let current = made.last.back();
        current.is_some_and(|current| current.draining.why().is_some())
    }

    /// Why the connection of a call was closed, which is one from this number on: the reason with this text,
    /// or, as errors of HTTP/2 lose the text, the one that all of them have.
    pub(super) fn why_closed(&self, since: u64, text: Option<&str>) -> Option<CallError> {
        let made = self.made();
        let is_complete = made.last.front()?.number <= since.max(1);
        let newest_first = made.last.iter().rev();
        let candidates = newest_first.take_while(|connection| connection.number >= since);
        let reasons: Vec<_> = candidates.map(Observed::why_closed).collect();
        drop(made);
        let texts: Vec<_> = reasons
            .iter()
            .map(|why| why.as_ref().map(ToString::to_string))
            .collect();
        let of_text = texts
            .iter()
            .position(|of_it| of_it.is_some() && of_it.as_deref() == text);
        let all_agree = is_complete && texts.iter().all(|of_it| *of_it == texts[0]);
        let found = of_text.or_else(|| all_agree.then_some(0))?;
        reasons.into_iter().nth(found)?
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        // No panic leaves it half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observed {
    fn why_closed(&self) -> Option<CallError> {
        if let Some(alert) = self.alert.get() {
            return Some(CallError::Alert(alert.clone()));
        }
        let why = self.draining.is_cut().then(|| self.draining.why());
        why.flatten().map(CallError::Closed)
    }
}
