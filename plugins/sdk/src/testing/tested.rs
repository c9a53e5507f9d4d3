//! What a test calls: plugins of both kinds.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::state::Failed;
use crate::bindings::shaddock::plugin::types;
use crate::{concurrent, glue};

/// A plugin's table of functions.
pub trait Tested {
    #[doc(hidden)]
    fn handle(&self, route: &str, body: Vec<u8>, session: types::Session) -> Failed<Vec<u8>>;
    #[doc(hidden)]
    fn call(&self, method: &str, args: Vec<u8>) -> Failed<Vec<u8>>;
    #[doc(hidden)]
    fn fire(&self, name: &str, payload: Vec<u8>) -> Failed<()>;
}

impl Tested for glue::Plugin {
    fn handle(&self, route: &str, body: Vec<u8>, session: types::Session) -> Failed<Vec<u8>> {
        glue::Plugin::handle(self, route, body, session)
    }

    fn call(&self, method: &str, args: Vec<u8>) -> Failed<Vec<u8>> {
        glue::Plugin::call(self, method, &args)
    }

    fn fire(&self, name: &str, payload: Vec<u8>) -> Failed<()> {
        self.fire_timer(name, &payload)
    }
}

impl Tested for concurrent::glue::Plugin {
    fn handle(&self, route: &str, body: Vec<u8>, session: types::Session) -> Failed<Vec<u8>> {
        at_once(concurrent::glue::Plugin::handle(self, route, body, session))
    }

    fn call(&self, method: &str, args: Vec<u8>) -> Failed<Vec<u8>> {
        at_once(concurrent::glue::Plugin::call(self, method, args))
    }

    fn fire(&self, name: &str, payload: Vec<u8>) -> Failed<()> {
        at_once(self.fire_timer(name, payload))
    }
}

/// The host of a test answers everything at once, so that a call never waits for it.
fn at_once<T>(call: impl Future<Output = Failed<T>>) -> Failed<T> {
    let mut call = pin!(call);
    // A future may wait for another one beside it that has not run yet.
    for _ in 0..WAITS_MAX {
        if let Poll::Ready(done) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
    }
    Err(super::state::failure(504, "the call waits for what the host of a test never does"))
}

const WAITS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use crate::concurrent::prelude::*;
    use crate::testing::Host;

    crate::concurrent_plugin! {
        routes { "market.shopHandler.prices" => prices, "market.shopHandler.never" => never }
        remotes { "market.shopRemote.whoIs" => who_is }
        timers { "tidy" => tidy }
    }

    async fn prices(areas: Vec<String>, session: &mut Session) -> Result<Vec<u32>> {
        session.bind("ada").await?;
        session.set("asked", &areas.len())?;
        session.push().await?;
        session.send("onAsked", &areas).await?;
        timers::after(std::time::Duration::from_secs(1), "tidy", &())?;
        let calls = areas.iter().map(|area| rpc::call("shop", area, "shopRemote.price", area));
        join_all(calls).await.into_iter().collect()
    }

    async fn never() -> Result<()> {
        std::future::pending().await
    }

    async fn who_is(uid: String) -> Result<usize> {
        Ok(sessions::find(&uid).await?.len())
    }

    async fn tidy() -> Result<()> {
        rpc::notify("shop", "all", "shopRemote.tidy", &7).await
    }

    #[test]
    fn calls_that_wait_meet_the_same_host() {
        let host = Host::new();
        host.answer("shop.shopRemote.price", |area| Ok(area.as_str().map_or(0, str::len).into()));
        let session = host.session();
        let answer = host.request(&PLUGIN, "market.shopHandler.prices", &["a", "bcd"], &session);
        assert_eq!(answer, Ok(json!([1, 3])));
        let now = host.session_now(&session);
        assert_eq!((now.uid(), now.get::<u32>("asked")), (Some("ada"), Ok(Some(2))));
        assert_eq!(host.pushes()[0].route, "onAsked");
        assert_eq!(host.call(&PLUGIN, "market.shopRemote.whoIs", &"ada"), Ok(json!(1)));
        host.fire(&PLUGIN, &host.timers()[0]).unwrap();
        assert_eq!(host.calls().last().map(|call| call.method.clone()), Some("shopRemote.tidy".to_owned()));
    }

    #[test]
    fn a_call_that_waits_for_nobody_fails() {
        let host = Host::new();
        let failed = host.request(&PLUGIN, "market.shopHandler.never", &(), &host.session()).unwrap_err();
        assert_eq!(failed.code, 504);
    }
}
