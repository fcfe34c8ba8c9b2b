//! The program under test.

use tokio::process::Command;

use crate::programs::command;

/// A subcommand of the program.
pub(crate) fn countersign(subcommand: &str) -> Command {
    let mut program = command(env!("CARGO_BIN_EXE_countersign"));
    program.arg(subcommand);
    program
}
