//! `rpc`: session keys become the call's copy, values are bounded in both directions.

use super::{check, check_name, check_route, check_value};
use crate::bindings::shaddock::plugin::rpc::{self, Host};
use crate::context::Context;
use crate::limits::CALL_DEPTH_MAX;
use crate::types::{CallOptions, Failure, RouteKey};

type Answer<T> = wasmtime::Result<Result<T, Failure>>;
type Outcome = Result<Vec<u8>, Failure>;

/// A route key of the caller's own is a name that may be longish, such as a path.
const KEY_BYTES_MAX: usize = 8 * 1024;

impl Host for Context {
    async fn call(
        &mut self,
        server_type: String,
        key: rpc::RouteKey,
        method: String,
        args: Vec<u8>,
    ) -> Answer<Vec<u8>> {
        let options = rpc::CallOptions { timeout_ms: None, idempotent: false };
        self.call_with(server_type, key, method, args, options).await
    }

    async fn call_with(
        &mut self,
        server_type: String,
        key: rpc::RouteKey,
        method: String,
        args: Vec<u8>,
        options: rpc::CallOptions,
    ) -> Answer<Vec<u8>> {
        let key = match self
            .check_call("server type", &server_type, &method, &args)
            .and_then(|()| self.resolve(key))
        {
            Ok(key) => key,
            Err(failure) => return Ok(Err(failure)),
        };
        let rpc::CallOptions { timeout_ms, idempotent } = options;
        let options = CallOptions { timeout_ms, idempotent };
        let host = self.host();
        let outcome = host.rpc_call(&self.scope, &server_type, key, &method, args, options).await;
        Ok(self.bounded(outcome))
    }

    async fn call_server(&mut self, server_id: String, method: String, args: Vec<u8>) -> Answer<Vec<u8>> {
        if let Err(failure) = self.check_call("server id", &server_id, &method, &args) {
            return Ok(Err(failure));
        }
        let outcome = self.host().rpc_call_server(&self.scope, &server_id, &method, args).await;
        Ok(self.bounded(outcome))
    }

    async fn call_all(
        &mut self,
        server_type: String,
        method: String,
        args: Vec<u8>,
    ) -> wasmtime::Result<Vec<(String, Outcome)>> {
        if let Err(failure) = self.check_call("server type", &server_type, &method, &args) {
            // There is no place for a failure of the call as a whole, and none to whom it happened.
            wasmtime::bail!("rpc.call-all: {failure}");
        }
        let outcomes = self.host().rpc_call_all(&self.scope, &server_type, &method, args).await;
        let mut bytes_left = self.shared.limits.value_bytes_max;
        let bounded = outcomes.into_iter().map(|(server, outcome)| {
            let outcome = outcome.and_then(|value| {
                check_value("results together", &value, bytes_left)?;
                bytes_left -= value.len();
                Ok(value)
            });
            (server.to_string(), outcome)
        });
        Ok(bounded.collect())
    }

    async fn notify(
        &mut self,
        server_type: String,
        key: rpc::RouteKey,
        method: String,
        args: Vec<u8>,
    ) -> Answer<()> {
        let key = match self
            .check_call("server type", &server_type, &method, &args)
            .and_then(|()| self.resolve(key))
        {
            Ok(key) => key,
            Err(failure) => return Ok(Err(failure)),
        };
        Ok(self.host().rpc_notify(&self.scope, &server_type, key, &method, args).await)
    }
}

impl Context {
    fn check_call(&self, what: &str, name: &str, method: &str, args: &[u8]) -> Result<(), Failure> {
        if self.scope.depth >= CALL_DEPTH_MAX {
            return Err(Failure::new(500, format!("calls are nested too deeply (at most {CALL_DEPTH_MAX})")));
        }
        check_name(what, name)?;
        check_route("method", method)?;
        check_value("arguments", args, self.shared.limits.value_bytes_max)
    }

    fn resolve(&self, key: rpc::RouteKey) -> Result<RouteKey, Failure> {
        match key {
            rpc::RouteKey::Session(id) => self.copies.get(&id).cloned().map(RouteKey::Session),
            rpc::RouteKey::Value(text) if text.is_empty() => Ok(RouteKey::Value(text.into())),
            rpc::RouteKey::Value(text) => {
                check("route key", &text, KEY_BYTES_MAX).map(|()| RouteKey::Value(text.into()))
            }
        }
    }

    fn bounded(&self, outcome: Outcome) -> Outcome {
        let value = outcome?;
        check_value("result", &value, self.shared.limits.value_bytes_max)?;
        Ok(value)
    }
}
