//! How two processes prove to each other that they belong to one cluster.
//!
//! Four messages, each at most 1 KiB, all within [`Settings::auth_timeout`](crate::Settings):
//!
//! 1. The opener says *hello*: what the connection is for, its id and server type, whom it means to
//!    reach, a random nonce.
//! 2. The acceptor answers with a nonce of its own, and nothing else.
//! 3. The opener sends HMAC-SHA256, keyed with the cluster secret, over its role, the hello and the
//!    challenge as they were sent. If the challenge asks for the token of the server type, a second proof
//!    is keyed with it (and the secret, so that nobody without the secret can try out tokens).
//! 4. The acceptor sends its own proof, over the other role and the same bytes, or says why it refuses.
//!
//! Fresh nonces from both sides make a recorded proof worthless. The role inside the proof, and a hello
//! that names both ends, make it worthless to send a side's own proof back to it or to another server.
//! Proofs are compared in constant time; secret and tokens never travel.
//!
//! This tells members from strangers. It does not encrypt: who can change packets between two machines
//! can take over a connection after its proofs. Such networks need a tunnel.

mod handshake;
mod message;
mod proof;
mod refusal;

pub(crate) use handshake::{Caller, Gate, log_rejected, open, refuse};
pub(crate) use message::{Hello, Purpose};
pub use refusal::Refusal;
