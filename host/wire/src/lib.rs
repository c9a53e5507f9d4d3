//! The pomelo client protocol, sans I/O.
//!
//! Bytes in, values out, and back: packages ([`package`]), messages ([`message`]), the route
//! dictionary ([`dictionary`]), pomelo's own protobuf dialect ([`protobuf`]), and the state of one
//! connection ([`connection`]) under the settings of its connector ([`protocol`]). The other end of
//! the wire, for load generators and tests, is [`client`].
//!
//! **Invariants.** This crate opens no socket, starts no task, reads no clock and knows neither tokio
//! nor sessions. Nothing a client sends makes it panic, and nothing makes it allocate more than a small
//! multiple of the bytes that really arrived. The bytes it accepts and sends are described in
//! `docs/protocol.md`, together with the few places where they differ from pomelo's.
#![forbid(unsafe_code)]

pub mod client;
pub mod connection;
pub mod dictionary;
mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod handshake;
mod js_order;
pub mod json;
pub mod message;
pub mod package;
pub mod protobuf;
pub mod protocol;
pub mod text;
mod varint;

pub use error::WireError;
