//! `connector.protoHandler`: bodies with schemas.

use shaddock_sdk::prelude::*;

/// Answers what came; request and answer have the same schema.
pub(crate) fn all(msg: Raw) -> Result<Raw> {
    Ok(msg)
}

/// Answers without the field that the schema requires.
pub(crate) fn bad() -> Result<Value> {
    Ok(json!({ "notInSchema": 1 }))
}
