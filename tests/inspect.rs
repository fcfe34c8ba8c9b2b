//! The example `inspect`: whatever the file, its JSON fits the schema and says what is true.
#![cfg(unix)] // as the other tests of examples

#[path = "inspect/chains.rs"]
mod chains;
#[path = "../examples/inspect/connect/mod.rs"]
#[allow(dead_code, reason = "the program uses the rest")]
mod connect;
#[path = "inspect/connecting.rs"]
mod connecting;
#[path = "common/example.rs"]
mod example;
#[path = "inspect/explain.rs"]
mod explain;
#[path = "inspect/files.rs"]
mod files;
#[path = "inspect/hostile.rs"]
mod hostile;
#[path = "common/identities.rs"]
mod identities;
#[path = "inspect/looking.rs"]
mod looking;
#[path = "inspect/mutated.rs"]
mod mutated;
#[path = "inspect/program.rs"]
mod program;
#[path = "common/programs.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod programs;
#[path = "../examples/inspect/report/mod.rs"]
#[allow(dead_code, reason = "the program uses the rest")]
mod report;
#[path = "inspect/schema.rs"]
mod schema;
#[path = "../examples/shared/mod.rs"]
mod shared;
