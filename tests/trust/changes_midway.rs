//! What changes while a handshake is under way: the new trust judges, whenever it comes.

mod decision;
mod handshake;
