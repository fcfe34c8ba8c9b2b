//! Says which mutant of the library is in force: the one whose number is in the variable `MUTANT`. With
//! `MUTANTS_REACHED`, a file, each mutant whose place is executed is written to it once.
#![feature(core_intrinsics, const_eval_select)]
#![allow(internal_features)]

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

const MOST: usize = 1 << 14;

static IN_FORCE: LazyLock<Option<u32>> =
    LazyLock::new(|| Some(std::env::var("MUTANT").ok()?.parse().expect("a number")));
static REACHED: LazyLock<Option<File>> = LazyLock::new(|| {
    let path = std::env::var_os("MUTANTS_REACHED")?;
    let file = OpenOptions::new().create(true).append(true).open(path);
    Some(file.expect("a file"))
});
static SEEN: [AtomicBool; MOST] = [const { AtomicBool::new(false) }; MOST];

/// Whether this mutant is in force. None is while the compiler evaluates a constant.
pub const fn on(mutant: u32) -> bool {
    core::intrinsics::const_eval_select((mutant,), never, at_run_time)
}

const fn never(_: u32) -> bool {
    false
}

fn at_run_time(mutant: u32) -> bool {
    if let Some(mut reached) = REACHED.as_ref()
        && !SEEN[mutant as usize].swap(true, Ordering::Relaxed)
    {
        let line = format!("{mutant}\n");
        reached.write_all(line.as_bytes()).expect("written");
    }
    *IN_FORCE == Some(mutant)
}
