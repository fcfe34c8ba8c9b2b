//! `countersign gateway`: in the test's process where a test looks inside, and as a program.

mod behind;
mod bounds;
mod events;
mod floods;
mod forging;
mod front;
mod program;
mod proxied;
mod rotation;
mod routes;
mod smuggling;
mod support;
