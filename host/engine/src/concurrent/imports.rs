//! The imports of the contract for instances with many calls in flight: what the plain ones do, in the name of the call
//! that asks.

use std::sync::Arc;

use wasmtime::component::{Accessor, Linker, LinkerInstance};
use wasmtime::{AsContextMut as _, StoreContextMut};

use super::data::{Data, InFlight};
use crate::bindings::shaddock::plugin::{app, channels, rpc, sessions, timers};
use crate::context::Context;
use crate::settings::Grants;
use crate::types::{Failure, Member, Session, SessionId};

/// Functions that never wait.
macro_rules! at_once {
    ($instance:ident, $host:path; $($name:literal $method:ident($($argument:ident: $type:ty),*);)*) => {$(
        $instance.func_wrap(
            $name,
            |store: StoreContextMut<'_, Data>, ($($argument,)*): ($($type,)*)| {
                let mut context = InFlight::current(store)?.context();
                Ok((<Context as $host>::$method(&mut context, $($argument),*)?,))
            },
        )?;
    )*};
}

/// Functions that may wait, and that the instance waits for.
macro_rules! waiting {
    ($instance:ident, $host:path; $($name:literal $method:ident($($argument:ident: $type:ty),*);)*) => {$(
        $instance.func_wrap_async(
            $name,
            |store: StoreContextMut<'_, Data>, ($($argument,)*): ($($type,)*)| {
                let call = InFlight::current(store);
                Box::new(async move {
                    let mut context = call?.context();
                    Ok((<Context as $host>::$method(&mut context, $($argument),*).await?,))
                })
            },
        )?;
    )*};
}

/// Functions that may wait while other calls go on, on a context of the kind named.
macro_rules! meanwhile {
    ($instance:ident, $host:path, $context:ident; $($name:literal $method:ident($($argument:ident: $type:ty),*);)*) => {$(
        $instance.func_wrap_concurrent(
            $name,
            |accessor: &Accessor<Data>, ($($argument,)*): ($($type,)*)| {
                Box::pin(async move {
                    let mut context = current(accessor)?.$context();
                    Ok((<Context as $host>::$method(&mut context, $($argument),*).await?,))
                })
            },
        )?;
    )*};
}

/// A linker that has what is granted and nothing else.
pub(super) fn linker(engine: &wasmtime::Engine, grants: Grants) -> wasmtime::Result<Linker<Data>> {
    let mut linker = Linker::new(engine);
    linker.instance("shaddock:plugin/types@0.1.0")?;
    add_app(&mut linker.instance("shaddock:plugin/app@0.1.0")?)?;
    if grants.sessions {
        add_sessions(&mut linker.instance("shaddock:plugin/async-sessions@0.1.0")?)?;
    }
    if grants.channels {
        add_channels(&mut linker.instance("shaddock:plugin/channels@0.1.0")?)?;
    }
    if grants.rpc {
        add_rpc(&mut linker.instance("shaddock:plugin/async-rpc@0.1.0")?)?;
    }
    if grants.timers {
        add_timers(&mut linker.instance("shaddock:plugin/timers@0.1.0")?)?;
    }
    Ok(linker)
}

type Instance<'l> = LinkerInstance<'l, Data>;

fn current(accessor: &Accessor<Data>) -> wasmtime::Result<InFlight> {
    accessor.with(|mut store| InFlight::current(store.as_context_mut()))
}

fn add_app(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    instance.func_wrap(
        "log",
        |store: StoreContextMut<'_, Data>, (level, message): (app::Level, String)| {
            app::Host::log(&mut InFlight::current(store)?.context(), level, message)
        },
    )?;
    at_once! { instance, app::Host;
        "own-server" own_server();
        "servers" servers(server_type: String);
        "server" server(id: String);
        "server-types" server_types();
        "settings" settings();
        "now-ms" now_ms();
        "monotonic-ns" monotonic_ns();
        "random-bytes" random_bytes(len: u32);
    }
    Ok(())
}

fn add_channels(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    at_once! { instance, channels::Host;
        "create" create(name: String);
        "join" join(name: String, member: Member);
        "leave" leave(name: String, member: Member);
        "members" members(name: String);
        "find" find(name: String, uid: String);
        "push" push(name: String, route: String, body: Vec<u8>);
        "push-to" push_to(members: Vec<Member>, route: String, body: Vec<u8>);
        "broadcast" broadcast(server_type: String, route: String, body: Vec<u8>, bound_only: bool);
        "destroy" destroy(name: String);
        "broadcast-to" broadcast_to(
            server_type: String, route: String, body: Vec<u8>, audience: channels::Audience
        );
        "set-delivery" set_delivery(name: String, delivery: channels::Delivery);
    }
    waiting! { instance, channels::Host;
        "push-and-report" push_and_report(name: String, route: String, body: Vec<u8>);
        "push-to-and-report" push_to_and_report(members: Vec<Member>, route: String, body: Vec<u8>);
    }
    Ok(())
}

fn add_timers(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    at_once! { instance, timers::Host;
        "after" after(delay_ms: u64, name: String, payload: Vec<u8>);
        "every" every(period_ms: u64, name: String, payload: Vec<u8>);
        "cancel" cancel(id: u64);
    }
    Ok(())
}

fn add_rpc(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    meanwhile! { instance, rpc::Host, context_with_copies;
        "call" call(server_type: String, key: rpc::RouteKey, method: String, args: Vec<u8>);
        "call-server" call_server(server_id: String, method: String, args: Vec<u8>);
        "call-all" call_all(server_type: String, method: String, args: Vec<u8>);
        "notify" notify(server_type: String, key: rpc::RouteKey, method: String, args: Vec<u8>);
        "call-with" call_with(
            server_type: String, key: rpc::RouteKey, method: String, args: Vec<u8>, options: rpc::CallOptions
        );
    }
    Ok(())
}

fn add_sessions(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    meanwhile! { instance, sessions::Host, context;
        "kick" kick(id: SessionId, reason: String);
        "kick-uid" kick_uid(frontend_id: String, uid: String, reason: String);
        "kick-everywhere" kick_everywhere(uid: String, reason: String);
        "address" address(id: SessionId);
        "send" send(id: SessionId, route: String, body: Vec<u8>);
    }
    add_copies(instance)
}

/// Those that change the call's copies of sessions.
fn add_copies(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    instance.func_wrap(
        "set",
        |store: StoreContextMut<'_, Data>, (id, key, value): (SessionId, String, String)| {
            Ok((InFlight::current(store)?.copies().set(&id, &key, &value),))
        },
    )?;
    instance.func_wrap_concurrent("get", |accessor: &Accessor<Data>, (id,): (SessionId,)| {
        Box::pin(async move {
            let call = current(accessor)?;
            let answer = sessions::Host::get(&mut call.context(), id).await?;
            Ok((answer.and_then(|session| call.fetched(std::slice::from_ref(&session)).map(|()| session)),))
        })
    })?;
    instance.func_wrap_concurrent(
        "by-uid",
        |accessor: &Accessor<Data>, (frontend_id, uid): (String, String)| {
            Box::pin(async move {
                let call = current(accessor)?;
                let answer = sessions::Host::by_uid(&mut call.context(), frontend_id, uid).await?;
                Ok((answer.and_then(|sessions| call.fetched(&sessions).map(|()| sessions)),))
            })
        },
    )?;
    instance.func_wrap_concurrent("find", |accessor: &Accessor<Data>, (uid,): (String,)| {
        Box::pin(async move {
            let call = current(accessor)?;
            let answer = sessions::Host::find(&mut call.context(), uid).await?;
            Ok((answer.and_then(|sessions| call.fetched(&sessions).map(|()| sessions)),))
        })
    })?;
    instance.func_wrap_concurrent("bind", |accessor: &Accessor<Data>, (id, uid): (SessionId, String)| {
        Box::pin(async move {
            let call = current(accessor)?;
            let answer = sessions::Host::bind(&mut call.context(), id.clone(), uid.clone()).await?;
            Ok((answer.map(|()| call.copies().bound(&id, Some(&uid))),))
        })
    })?;
    instance.func_wrap_concurrent(
        "unbind",
        |accessor: &Accessor<Data>, (id, uid): (SessionId, String)| {
            Box::pin(async move {
                let call = current(accessor)?;
                let answer = sessions::Host::unbind(&mut call.context(), id.clone(), uid).await?;
                Ok((answer.map(|()| call.copies().bound(&id, None)),))
            })
        },
    )?;
    instance.func_wrap_concurrent(
        "push",
        |accessor: &Accessor<Data>, (id, keys): (SessionId, Vec<String>)| {
            Box::pin(async move {
                let call = current(accessor)?;
                let mut context = call.context_with_copies();
                let written: Vec<Arc<str>> = match context.copies.settings(&id, &keys) {
                    Ok(settings) => settings.into_iter().map(|setting| setting.key).collect(),
                    Err(failure) => return Ok((Err(failure),)),
                };
                let answer = sessions::Host::push(&mut context, id.clone(), keys).await?;
                Ok((answer.map(|()| call.copies().pushed(&id, &written)),))
            })
        },
    )
}

impl InFlight {
    fn fetched(&self, sessions: &[Session]) -> Result<(), Failure> {
        let mut copies = self.copies();
        sessions.iter().try_for_each(|session| copies.fetched(Arc::new(session.clone())))
    }
}
