//! The macro that makes a plugin with many calls in flight of functions.

/// Says what a plugin with many calls in flight offers. Each part can be left out; the order is this one:
///
/// ```
/// # use shaddock_sdk::concurrent::prelude::*;
/// shaddock_sdk::concurrent_plugin! {
///     // Requests and notifies of clients: `async fn(Message) -> Result<Answer>`, with `&mut Session` or `&Session` as a
///     // second argument where it is wanted, or without any argument; `async fn(Raw) -> Result<Raw>` sees the bytes. What
///     // waits for nothing and needs no session may be a plain `fn`; so may remotes.
///     routes { "area.playerHandler.move" => step }
///     // RPC of other plugins: `async fn(Args) -> Result<Answer>`, or without an argument.
///     remotes { "area.areaRemote.count" => count }
///     // `init`: every new instance; `start`, `stop`: once per server; `session_closed`: once per session that ends. They
///     // wait for nothing.
///     events { start => begin, session_closed => left }
///     // What timers call: `async fn(Payload) -> Result<()>`, or without an argument.
///     timers { "respawn" => respawn }
/// }
///
/// async fn step(to: (i32, i32), session: &mut Session) -> Result<()> { session.set("at", &to)?; session.push().await }
/// fn count() -> Result<u32> { Ok(0) }
/// fn begin() -> Result<()> { Ok(()) }
/// fn left(session: &Session, reason: &str) -> Result<()> { Ok(()) }
/// async fn respawn(monster: u32) -> Result<()> { rpc::notify("log", "all", "logRemote.note", &monster).await }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! concurrent_plugin {
    (
        $( routes { $( $route:literal => $handler:path ),* $(,)? } )?
        $( remotes { $( $method:literal => $remote:path ),* $(,)? } )?
        $( events { $( $event:ident => $listener:path ),* $(,)? } )?
        $( timers { $( $timer:literal => $fired:path ),* $(,)? } )?
    ) => {
        #[allow(dead_code, reason = "called by the exports, which only the target wasm32 has")]
        const PLUGIN: $crate::concurrent::glue::Plugin = $crate::concurrent::glue::Plugin {
            $( routes: &[ $( ($route, |body, session| {
                ::std::boxed::Box::pin($crate::concurrent::glue::Handler::handle(&$handler, body, session))
            }) ),* ], )?
            $( remotes: &[ $( ($method, |args| {
                ::std::boxed::Box::pin($crate::concurrent::glue::Remote::call(&$remote, args))
            }) ),* ], )?
            $( timers: &[ $( ($timer, |payload| {
                ::std::boxed::Box::pin($crate::concurrent::glue::Timer::fire(&$fired, payload))
            }) ),* ], )?
            $( $( $event: Some($listener), )* )?
            ..$crate::concurrent::glue::Plugin::EMPTY
        };

        #[cfg(target_arch = "wasm32")]
        $crate::__export_concurrent_plugin!();
    };
}

/// The exports of the component, each a call through `PLUGIN`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_concurrent_plugin {
    () => {
        const _: () = {
            use $crate::bindings::shaddock::plugin::types::{Failure, Session};
            use $crate::concurrent::bindings::exports::shaddock::plugin::{
                async_handler, async_remote, async_timer, lifecycle,
            };
            use $crate::concurrent::glue;

            struct Exports;

            impl async_handler::Guest for Exports {
                fn routes() -> Vec<String> {
                    glue::hook_panics();
                    glue::names(PLUGIN.routes)
                }
                async fn handle(route: String, body: Vec<u8>, session: Session) -> Result<Vec<u8>, Failure> {
                    glue::hook_panics();
                    PLUGIN.handle(&route, body, session).await
                }
            }

            impl async_remote::Guest for Exports {
                fn methods() -> Vec<String> {
                    glue::hook_panics();
                    glue::names(PLUGIN.remotes)
                }
                async fn call(method: String, args: Vec<u8>) -> Result<Vec<u8>, Failure> {
                    glue::hook_panics();
                    PLUGIN.call(&method, args).await
                }
            }

            impl async_timer::Guest for Exports {
                async fn fired(name: String, _: u64, payload: Vec<u8>) -> Result<(), Failure> {
                    glue::hook_panics();
                    PLUGIN.fire_timer(&name, payload).await
                }
            }

            impl lifecycle::Guest for Exports {
                fn init(settings: String) -> Result<(), Failure> {
                    glue::hook_panics();
                    PLUGIN.init(settings)
                }
                fn start(settings: String) -> Result<(), Failure> {
                    glue::hook_panics();
                    PLUGIN.start(settings)
                }
                fn session_closed(session: Session, reason: String) {
                    glue::hook_panics();
                    PLUGIN.session_closed(session, &reason);
                }
                fn stop() {
                    glue::hook_panics();
                    PLUGIN.stop();
                }
            }

    $crate::concurrent::bindings::export!(Exports with_types_in $crate::concurrent::bindings);
        };
    };
}
