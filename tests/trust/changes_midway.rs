//! Changes during a handshake: the new trust decides, whenever it comes.

mod decision;
mod handshake;
