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
///     // Also once per server: `after_start`, `all_started`, `before_stop`, `servers_added`, `servers_removed`,
///     // `servers_replaced`.
///     server_events { servers_removed => gone }
///     // `session_bound`, `session_unbound`.
///     session_events { session_bound => came }
///     // Before a client has a session: `fn(&Client) -> Result<Welcome>`.
///     handshake { check }
///     // What app.json may put before handlers: values of types that are a `Filter`.
///     filters { "quiet" => Quiet }
///     // What app.json may name as error handler: `fn(&Request, &mut Session, &Error) -> Result<Raw>`.
///     error_handlers { "polite" => sorry }
///     // What app.json may put before calls to other servers: values of types that are an `RpcFilter`.
///     rpc_filters { "audit" => Audit }
///     // What broadcasts may name: `fn(param: &str, &Session) -> bool`.
///     broadcast_filters { "level" => has_level }
///     // What crons.json may name: `fn(id: &str) -> Result<()>`.
///     crons { "areaCron.save" => save }
///     // What timers call: `fn(Payload) -> Result<()>`, or without an argument.
///     timers { "respawn" => respawn }
///     // The game loop: `fn(&Tick) -> Result<()>`.
///     tick { step_world }
///     // Before this version gets its first call: `fn() -> Result<()>`.
///     self_test { try_out }
///     // What a plugin with the pool policy `single` hands to its next version:
///     // `fn() -> Result<SavedState>`, `fn(SavedState) -> Result<()>`.
///     state { save_world, load_world }
/// }
///
/// fn step(to: (i32, i32)) -> Result<()> { Ok(()) }
/// fn count() -> Result<u32> { Ok(0) }
/// fn by_area(key: &RouteKey, areas: &[Server]) -> Result<Target> { Target::hashed(&key.text("area"), areas) }
/// fn begin() -> Result<()> { Ok(()) }
/// fn left(session: &Session, reason: &str) -> Result<()> { Ok(()) }
/// fn gone(ids: &[String]) -> Result<()> { Ok(()) }
/// fn came(session: &Session) -> Result<()> { Ok(()) }
/// fn check(client: &Client) -> Result<Welcome> { Ok(Welcome::new()) }
/// struct Quiet;
/// impl Filter for Quiet {
///     fn before(&self, request: &mut Request, session: &mut Session) -> Result<()> { Err(fail(403, "quiet, please")) }
/// }
/// fn sorry(request: &Request, session: &mut Session, error: &Error) -> Result<Raw> { Raw::of(&json!({ "sorry": error.code })) }
/// struct Audit;
/// impl RpcFilter for Audit {}
/// fn has_level(param: &str, session: &Session) -> bool { session.get::<String>("level").is_ok_and(|l| l.as_deref() == Some(param)) }
/// fn save(id: &str) -> Result<()> { Ok(()) }
/// fn respawn(monster: u32) -> Result<()> { Ok(()) }
/// fn step_world(tick: &Tick) -> Result<()> { Ok(()) }
/// fn try_out() -> Result<()> { Ok(()) }
/// fn save_world() -> Result<SavedState> { SavedState::json(1, &["a world"]) }
/// fn load_world(saved: SavedState) -> Result<()> { let world: Vec<String> = saved.decode()?; Ok(()) }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! plugin {
    (
        $( routes { $( $route:literal => $handler:path ),* $(,)? } )?
        $( remotes { $( $method:literal => $remote:path ),* $(,)? } )?
        $( routers { $( $server_type:literal => $router:path ),* $(,)? } )?
        $( events { $( $event:ident => $listener:path ),* $(,)? } )?
        $( server_events { $( $server_event:ident => $server_listener:path ),* $(,)? } )?
        $( session_events { $( $session_event:ident => $session_listener:path ),* $(,)? } )?
        $( handshake { $handshake:path } )?
        $( filters { $( $filter:literal => $filtering:expr ),* $(,)? } )?
        $( error_handlers { $( $error_handler:literal => $handling:path ),* $(,)? } )?
        $( rpc_filters { $( $rpc_filter:literal => $rpc_filtering:expr ),* $(,)? } )?
        $( broadcast_filters { $( $broadcast_filter:literal => $selecting:path ),* $(,)? } )?
        $( crons { $( $action:literal => $cron:path ),* $(,)? } )?
        $( timers { $( $timer:literal => $fired:path ),* $(,)? } )?
        $( tick { $tick:path } )?
        $( self_test { $self_test:path } )?
        $( state { $save:path, $load:path $(,)? } )?
    ) => {
        #[allow(dead_code, reason = "called by the exports, which only the target wasm32 has")]
        const PLUGIN: $crate::glue::Plugin = $crate::glue::Plugin {
            $( routes: &[ $( ($route, |body, session| $crate::glue::Handler::handle(&$handler, body, session)) ),* ], )?
            $( remotes: &[ $( ($method, |args| $crate::glue::Remote::call(&$remote, args)) ),* ], )?
            $( routers: &[ $(
                ($server_type, |key, servers, method| $crate::glue::Router::route(&$router, key, servers, method))
            ),* ], )?
            $( $( $event: Some($listener), )* )?
            roles: $crate::glue::Roles {
                $( $( $server_event: Some($server_listener), )* )?
                $( $( $session_event: Some($session_listener), )* )?
                $( handshake: Some($handshake), )?
                $( filters: &[ $( ($filter, &$filtering) ),* ], )?
                $( error_handlers: &[ $( ($error_handler, $handling) ),* ], )?
                $( rpc_filters: &[ $( ($rpc_filter, &$rpc_filtering) ),* ], )?
                $( broadcast_filters: &[ $( ($broadcast_filter, $selecting) ),* ], )?
                $( crons: &[ $( ($action, $cron) ),* ], )?
                $( timers: &[ $( ($timer, |payload| $crate::glue::Timer::fire(&$fired, payload)) ),* ], )?
                $( tick: Some($tick), )?
                $( self_test: Some($self_test), )?
                $( state: Some(($save, $load)), )?
                ..$crate::glue::Roles::EMPTY
            },
            ..$crate::glue::Plugin::EMPTY
        };

        #[cfg(target_arch = "wasm32")]
        $crate::__export_plugin!();
        $( $crate::__export_role!(server_events $( $server_event )*); )?
        $( $crate::__export_role!(session_events $( $session_event )*); )?
        $( $crate::__export_role!(handshake $handshake); )?
        $( $crate::__export_role!(filter $( $filter )*); )?
        $( $crate::__export_role!(error_handler $( $error_handler )*); )?
        $( $crate::__export_role!(rpc_filter $( $rpc_filter )*); )?
        $( $crate::__export_role!(broadcast_filter $( $broadcast_filter )*); )?
        $( $crate::__export_role!(cron $( $action )*); )?
        $( $crate::__export_role!(timer $( $timer )*); )?
        $( $crate::__export_role!(tick $tick); )?
        $( $crate::__export_role!(self_test $self_test); )?
        $( $crate::__export_role!(state $save); )?
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

/// The export of a role that not every plugin has; what follows the role's name only says that the plugin plays it.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_role {
    (server_events $( $_used:tt )*) => { $crate::__export_role!(@ server_events {
            fn after_start() { glue::hook_panics(); PLUGIN.after_start(); }
            fn all_started() { glue::hook_panics(); PLUGIN.all_started(); }
            fn before_stop() { glue::hook_panics(); PLUGIN.before_stop(); }
            fn servers_added(servers: Vec<ServerInfo>) { glue::hook_panics(); PLUGIN.servers_added(&servers); }
            fn servers_removed(ids: Vec<String>) { glue::hook_panics(); PLUGIN.servers_removed(&ids); }
            fn servers_replaced(servers: Vec<ServerInfo>) { glue::hook_panics(); PLUGIN.servers_replaced(&servers); }
    }); };
    (session_events $( $_used:tt )*) => { $crate::__export_role!(@ session_events {
            fn session_bound(session: Session) { glue::hook_panics(); PLUGIN.session_bound(session); }
            fn session_unbound(session: Session, uid: String) { glue::hook_panics(); PLUGIN.session_unbound(session, &uid); }
    }); };
    (handshake $( $_used:tt )*) => { $crate::__export_role!(@ handshake {
            fn check(client: role::Client) -> Result<role::Welcome, Failure> {
                glue::hook_panics();
                PLUGIN.check_handshake(client)
            }
    }); };
    (filter $( $_used:tt )*) => { $crate::__export_role!(@ filter {
            fn names() -> Vec<String> { glue::names(PLUGIN.roles.filters) }
            fn before(
                name: String, route: String, body: Vec<u8>, session: Session,
            ) -> Result<Option<Vec<u8>>, role::Refusal> {
                glue::hook_panics();
                PLUGIN.filter_before(&name, route, body, session)
            }
            fn after(
                name: String, route: String, body: Vec<u8>, session: Session, outcome: Result<Vec<u8>, Failure>,
            ) -> Option<Vec<u8>> {
                glue::hook_panics();
                PLUGIN.filter_after(&name, route, body, session, outcome)
            }
    }); };
    (error_handler $( $_used:tt )*) => { $crate::__export_role!(@ error_handler {
            fn names() -> Vec<String> { glue::names(PLUGIN.roles.error_handlers) }
            fn handle(
                name: String, route: String, body: Vec<u8>, session: Session, failure: Failure, answer: Option<Vec<u8>>,
            ) -> Result<Vec<u8>, Failure> {
                glue::hook_panics();
                PLUGIN.handle_error(&name, route, body, session, failure, answer)
            }
    }); };
    (rpc_filter $( $_used:tt )*) => { $crate::__export_role!(@ rpc_filter {
            fn names() -> Vec<String> { glue::names(PLUGIN.roles.rpc_filters) }
            fn before(
                name: String, server: String, method: String, args: Vec<u8>,
            ) -> Result<Option<Vec<u8>>, Failure> {
                glue::hook_panics();
                PLUGIN.rpc_before(&name, &server, &method, args)
            }
            fn after(name: String, server: String, method: String, outcome: Result<Vec<u8>, Failure>) {
                glue::hook_panics();
                PLUGIN.rpc_after(&name, &server, &method, outcome);
            }
    }); };
    (broadcast_filter $( $_used:tt )*) => { $crate::__export_role!(@ broadcast_filter {
            fn names() -> Vec<String> { glue::names(PLUGIN.roles.broadcast_filters) }
            fn select(name: String, param: String, sessions: Vec<Session>) -> Vec<bool> {
                glue::hook_panics();
                PLUGIN.select(&name, &param, sessions)
            }
    }); };
    (cron $( $_used:tt )*) => { $crate::__export_role!(@ cron {
            fn actions() -> Vec<String> { glue::names(PLUGIN.roles.crons) }
            fn run(action: String, id: String) -> Result<(), Failure> {
                glue::hook_panics();
                PLUGIN.run_cron(&action, &id)
            }
    }); };
    (timer $( $_used:tt )*) => { $crate::__export_role!(@ timer {
            fn fired(name: String, _: u64, payload: Vec<u8>) -> Result<(), Failure> {
                glue::hook_panics();
                PLUGIN.fire_timer(&name, &payload)
            }
    }); };
    (tick $( $_used:tt )*) => { $crate::__export_role!(@ tick {
            fn tick(number: u64, late_ns: u64, missed: u32) -> Result<(), Failure> {
                glue::hook_panics();
                PLUGIN.tick(number, late_ns, missed)
            }
    }); };
    (self_test $( $_used:tt )*) => { $crate::__export_role!(@ self_test {
            fn run() -> Result<(), Failure> {
                glue::hook_panics();
                PLUGIN.self_test()
            }
    }); };
    (state $( $_used:tt )*) => { $crate::__export_role!(@ state {
            fn save_state() -> Result<role::Saved, Failure> {
                glue::hook_panics();
                PLUGIN.save_state()
            }
            fn load_state(saved: role::Saved) -> Result<(), Failure> {
                glue::hook_panics();
                PLUGIN.load_state(saved)
            }
    }); };
    (@ $role:ident { $( $functions:tt )* }) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[allow(unused_imports, reason = "each role needs some of them")]
            use $crate::bindings::shaddock::plugin::types::{Failure, ServerInfo, Session};
            use $crate::glue;
            use $crate::roles::$role::exports::shaddock::plugin::$role as role;

            struct Exports;

            impl role::Guest for Exports { $( $functions )* }

            $crate::roles::$role::export!(Exports with_types_in $crate::roles::$role);
        };
    };
}
