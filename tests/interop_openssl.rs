//! Our acceptor with `openssl s_client`, and our connector with `openssl s_server`.

#[path = "interop_openssl/client.rs"]
mod client;
#[path = "common/interop.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod interop;
#[path = "common/programs.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod programs;
#[path = "interop_openssl/server.rs"]
mod server;
