//! `timers`: kept by the host.

use super::{check_name, check_value};
use crate::bindings::shaddock::plugin::timers::Host;
use crate::context::Context;
use crate::limits::{TIMER_MS_MAX, TIMER_PERIOD_MS_MIN};
use crate::types::Failure;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl Host for Context {
    fn after(&mut self, delay_ms: u64, name: String, payload: Vec<u8>) -> Answer<u64> {
        Ok(self.set(delay_ms, None, &name, payload))
    }

    fn every(&mut self, period_ms: u64, name: String, payload: Vec<u8>) -> Answer<u64> {
        if period_ms < TIMER_PERIOD_MS_MIN {
            let message = format!("a period of {period_ms} ms; at least {TIMER_PERIOD_MS_MIN} are allowed");
            return Ok(Err(Failure::new(400, message)));
        }
        Ok(self.set(period_ms, Some(period_ms), &name, payload))
    }

    fn cancel(&mut self, id: u64) -> wasmtime::Result<bool> {
        Ok(self.host().timer_cancel(&self.scope, id))
    }
}

impl Context {
    fn set(
        &self,
        delay_ms: u64,
        period_ms: Option<u64>,
        name: &str,
        payload: Vec<u8>,
    ) -> Result<u64, Failure> {
        check_name("timer's name", name)?;
        check_value("payload", &payload, self.shared.limits.value_bytes_max)?;
        if delay_ms > TIMER_MS_MAX {
            let message = format!("a timer of {delay_ms} ms; at most {TIMER_MS_MAX} are allowed (100 days)");
            return Err(Failure::new(400, message));
        }
        if !self.shared.roles.has_timer() {
            return Err(Failure::new(400, "the plugin has no export `timer` that could be called"));
        }
        self.host().timer_set(&self.scope, delay_ms, period_ms, name, payload)
    }
}
