//! How often a verifier agrees with limbo.

use std::fmt;

#[derive(Default)]
pub(crate) struct Tally {
    agrees: usize,
    more_lenient: usize,
    stricter: usize,
}

impl Tally {
    pub(crate) fn count(&mut self, accepted: bool, expected: bool) {
        match (accepted, expected) {
            (true, false) => self.more_lenient += 1,
            (false, true) => self.stricter += 1,
            _ => self.agrees += 1,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "agrees on {}, is more lenient on {}, stricter on {}",
            self.agrees, self.more_lenient, self.stricter
        )
    }
}
