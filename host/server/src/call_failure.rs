//! What a call that broke on its way to another server means to whoever made it.

use shaddock_cluster::RpcError;
use shaddock_engine::types::Failure;

/// To a plugin that calls a remote: an unknown server, a dead one, one that refuses and one that is late differ.
pub(crate) fn of_rpc(server: &str, error: &RpcError) -> Failure {
    let (code, message) = match error {
        RpcError::UnknownServer => (404, format!("no server {server:?} is in the cluster")),
        RpcError::Unreachable => (502, format!("the server {server:?} is dead: it cannot be reached")),
        RpcError::LinkLost => {
            (502, format!("the server {server:?} is dead: the link to it broke during the call"))
        }
        RpcError::Overloaded => {
            (503, format!("the server {server:?} is overloaded: too many calls or bytes wait for it"))
        }
        RpcError::Refused(reason) => (503, format!("the server {server:?} refused the call: {reason}")),
        RpcError::TimedOut => (504, format!("the server {server:?} did not answer in time")),
        RpcError::TooLarge => {
            (413, format!("the message to {server:?} is longer than messageBytesMax of rpc in app.json"))
        }
    };
    Failure { code, message, retryable: error.is_retryable() }
}

/// To a client whose request another server handles: where pomelo answers 500, it does.
pub(crate) fn of_forward(server: &str, error: &RpcError) -> Failure {
    let code = match error {
        RpcError::UnknownServer => 404,
        RpcError::Unreachable | RpcError::Overloaded => 503,
        RpcError::TimedOut => 504,
        RpcError::TooLarge => 413,
        RpcError::LinkLost | RpcError::Refused(_) => 500,
    };
    Failure { code, ..of_rpc(server, error) }
}

/// To a plugin that asks a frontend for a session: the frontend is not there, 503, or late, 504.
pub(crate) fn of_session(server: &str, error: &RpcError) -> Failure {
    let failure = of_rpc(server, error);
    if failure.code == 502 { Failure { code: 503, ..failure } } else { failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_ways_to_fail_have_four_codes_and_name_the_server() {
        for (error, rpc, forward, session, retryable) in [
            (RpcError::UnknownServer, 404, 404, 404, true),
            (RpcError::Unreachable, 502, 503, 503, true),
            (RpcError::LinkLost, 502, 500, 503, false),
            (RpcError::Overloaded, 503, 503, 503, true),
            (RpcError::Refused("it is stopping".to_owned()), 503, 500, 503, false),
            (RpcError::TimedOut, 504, 504, 504, false),
            (RpcError::TooLarge, 413, 413, 413, false),
        ] {
            let failure = of_rpc("chat-1", &error);
            assert!(failure.message.contains("\"chat-1\""), "{}", failure.message);
            assert_eq!((failure.code, failure.retryable), (rpc, retryable), "{error:?}");
            assert_eq!(of_forward("chat-1", &error).code, forward, "{error:?}");
            assert_eq!(of_session("chat-1", &error).code, session, "{error:?}");
        }
    }
}
