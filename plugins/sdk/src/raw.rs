/// The body of a message, or of its answer, as it travels: JSON text in UTF-8.
///
/// For a handler that hands bodies on without looking into them, or that has its own way to read and write JSON:
/// `fn(Raw) -> Result<Raw>`, with `&mut Session` as a second argument where it is wanted. What comes in is valid
/// JSON; of an answer that is none the client gets `{"code":500}`, of an empty one `{}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw(pub Vec<u8>);
