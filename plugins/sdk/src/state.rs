use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Result;

/// What a plugin with the pool policy `single` hands to its next version (`state { … }` of
/// [`plugin!`](crate::plugin)).
///
/// The function that saves runs in a copy of the server's process: it sees the state and can change nothing, and of the
/// host it has time, randomness and the settings only. The function that loads runs in an instance that has served no
/// call yet; an error refuses the state, and the version before goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedState {
    /// Counts up with each change of what the bytes mean. A version that is rolled back gets the state of a later one.
    pub schema_version: u32,
    /// The state, in whatever form the plugin likes.
    pub bytes: Vec<u8>,
}

impl SavedState {
    /// A state as JSON.
    pub fn json(schema_version: u32, state: &(impl Serialize + ?Sized)) -> Result<SavedState> {
        Ok(SavedState { schema_version, bytes: serde_json::to_vec(state)? })
    }

    /// A state that was saved as JSON.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_slice(&self.bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded() {
        let saved = SavedState::json(3, &(7, "x")).unwrap();
        assert_eq!(saved.schema_version, 3);
        assert_eq!(saved.decode::<(u32, String)>().unwrap(), (7, "x".to_owned()));
        assert!(saved.decode::<bool>().is_err());
    }
}
