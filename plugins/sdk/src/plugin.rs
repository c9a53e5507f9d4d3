//! The macro that makes a plugin of functions.

/// Says what a plugin offers. Each part can be left out; the order is this one:
///
/// ```
/// # use shaddock_sdk::prelude::*;
/// shaddock_sdk::plugin! {
///     // Requests and notifies of clients: `fn(Message) -> Result<Answer>`, with `&mut Session` or `&Session` as a
///     // second argument where it is wanted, or without any argument; `fn(Raw) -> Result<Raw>` sees the bytes.
///     routes { "area.playerHandler.move" => step }
///     // RPC of other plugins: `fn(Args) -> Result<Answer>`, or without an argument.
///     remotes { "area.areaRemote.count" => count }
///     // Route functions by server type: `fn(&RouteKey, &[Server]) -> Result<Target>`, with the method (`&str`) as a
///     // third argument where it is wanted.
///     routers { "area" => by_area }
///     // `init`: every new instance; `start`, `stop`: once per server; `session_closed`: once per session that ends.
///     events { start => begin, session_closed => left }
/// }
///
/// fn step(to: (i32, i32)) -> Result<()> { Ok(()) }
/// fn count() -> Result<u32> { Ok(0) }
/// fn by_area(key: &RouteKey, areas: &[Server]) -> Result<Target> { Target::hashed(&key.text("area"), areas) }
/// fn begin() -> Result<()> { Ok(()) }
/// fn left(session: &Session, reason: &str) -> Result<()> { Ok(()) }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! plugin {
    (
        $( routes { $( $route:literal => $handler:path ),* $(,)? } )?
        $( remotes { $( $method:literal => $remote:path ),* $(,)? } )?
        $( routers { $( $server_type:literal => $router:path ),* $(,)? } )?
        $( events { $( $event:ident => $listener:path ),* $(,)? } )?
    ) => {
        #[allow(dead_code, reason = "called by the exports, which only the target wasm32 has")]
        const PLUGIN: $crate::glue::Plugin = $crate::glue::Plugin {
            $( routes: &[ $( ($route, |body, session| $crate::glue::Handler::handle(&$handler, body, session)) ),* ], )?
            $( remotes: &[ $( ($method, |args| $crate::glue::Remote::call(&$remote, args)) ),* ], )?
            $( routers: &[ $(
                ($server_type, |key, servers, method| $crate::glue::Router::route(&$router, key, servers, method))
            ),* ], )?
            $( $( $event: Some($listener), )* )?
            ..$crate::glue::Plugin::EMPTY
        };

        #[cfg(target_arch = "wasm32")]
        $crate::__export_plugin!();
    };
}

/// The exports of the component, each a call through `PLUGIN`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_plugin {
    () => {
        const _: () = {
            use $crate::bindings::exports::shaddock::plugin::{handler, lifecycle, remote, router};
            use $crate::bindings::shaddock::plugin::types::{Failure, ServerInfo, Session};
            use $crate::glue;

            struct Exports;

            impl handler::Guest for Exports {
                fn routes() -> Vec<String> {
                    glue::hook_panics();
                    glue::names(PLUGIN.routes)
                }
                fn handle(route: String, body: Vec<u8>, session: Session) -> Result<Vec<u8>, Failure> {
                    glue::hook_panics();
                    PLUGIN.handle(&route, body, session)
                }
            }

            impl remote::Guest for Exports {
                fn methods() -> Vec<String> {
                    glue::hook_panics();
                    glue::names(PLUGIN.remotes)
                }
                fn call(method: String, args: Vec<u8>) -> Result<Vec<u8>, Failure> {
                    glue::hook_panics();
                    PLUGIN.call(&method, &args)
                }
            }

            impl router::Guest for Exports {
                fn server_types() -> Vec<String> {
                    glue::hook_panics();
                    glue::names(PLUGIN.routers)
                }
                fn set_servers(server_type: String, servers: Vec<ServerInfo>) {
                    glue::hook_panics();
                    glue::set_servers(server_type, servers);
                }
                fn route(
                    server_type: String,
                    key: router::RouteKey,
                    method: String,
                ) -> Result<router::Target, Failure> {
                    PLUGIN.route(&server_type, key, &method)
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

    $crate::bindings::export!(Exports with_types_in $crate::bindings);
        };
    };
}
