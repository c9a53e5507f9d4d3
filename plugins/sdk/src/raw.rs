/// The body of a message, or of its answer, as it travels: JSON text in UTF-8.
///
/// For a handler that hands bodies on without looking into them, or that has its own way to read and write JSON:
/// `fn(Raw) -> Result<Raw>`, with `&mut Session` as a second argument where it is wanted. What comes in is valid
/// JSON; of an answer that is none the client gets `{"code":500}`, of an empty one `{}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw(pub Vec<u8>);

impl Raw {
    /// The JSON text of a value.
    pub fn of<T: serde::Serialize + ?Sized>(value: &T) -> crate::Result<Self> {
        Ok(Self(serde_json::to_vec(value)?))
    }

    /// The value; an error (400) if it is no `T`.
    pub fn get<T: serde::de::DeserializeOwned>(&self) -> crate::Result<T> {
        serde_json::from_slice(&self.0).map_err(|e| crate::fail(400, e.to_string()))
    }
}
