//! Recordings of what enters a plugin's guests, and their replay: on the same component or on another one, without a
//! server.
//!
//! Everything that enters comes through two gates: the calls ([`Job`](crate::job::Job)) and the answers of the
//! [`Host`](crate::Host), clock and random bytes among them. So a guest that is given the same again does the same again.

mod format;
mod functions;
mod recorder;
mod replay;
mod value;

pub use format::{Recording, RecordingError};
pub use recorder::Recorder;
pub use replay::{Asked, Difference, Replayed};

pub(crate) use format::Header;
pub(crate) use functions::RecordingHost;
pub(crate) use recorder::{Tape, Taping};
pub(crate) use value::{Bytes, ToValue};
