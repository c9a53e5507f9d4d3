use serde::{Deserialize, Serialize};

/// Most bytes of a component in one [`ComponentChunk`], before base64.
pub const CHUNK_BYTES_MAX: usize = 256 * 1024;

/// Answer to [`Ask::PluginComponent`](crate::Ask::PluginComponent). What arrives as a whole is to be checked by its
/// digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentChunk {
    /// Bytes of the whole component.
    pub size: u64,
    /// The bytes from the offset on, in standard base64 with padding: at most [`CHUNK_BYTES_MAX`] of them, and fewer
    /// only at the end.
    pub data: String,
}
