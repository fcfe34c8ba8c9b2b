//! `countersign inspect`: for any file, its JSON matches the schema and reports what is true.

mod chains;
mod connecting;
mod explain;
mod files;
mod hostile;
mod mutated;
mod program;
mod reports;
mod schema;
