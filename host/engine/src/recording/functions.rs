//! The host functions, in one list, from which both hosts are made: the one that writes down and the one that answers from
//! what was written.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::replay::ReplayHost;
use super::value::ToValue;
use crate::host::{CallScope, Host};
use crate::types::{
    Audience, CallOptions, Delivery, Failure, Level, Member, RouteKey, ServerInfo, Session, SessionId,
    Setting,
};

/// Hands on what a plugin asks the host for, and takes down the answers.
pub(crate) struct RecordingHost(pub(crate) Arc<dyn Host>);

// Those that a replay answers in a way of their own.
pub(super) const LOG: &str = "app.log";
pub(super) const NOW: &str = "app.now-ms";
pub(super) const MONOTONIC: &str = "app.monotonic-ns";
pub(super) const RANDOM: &str = "app.random-bytes";

fn arguments<const N: usize>(named: [(&str, Value); N]) -> Value {
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into()
}

macro_rules! hosts {
    (
        at_once { $($name:ident $wit:literal ($($argument:ident: $type:ty),*) -> $answer:ty;)* }
        waiting { $($slow:ident $slow_wit:literal ($($slow_argument:ident: $slow_type:ty),*) -> $slow_answer:ty;)* }
    ) => {
        #[async_trait]
        impl Host for RecordingHost {
            fn log(&self, call: &CallScope, level: Level, message: &str) {
                if let Some(tape) = call.tape() {
                    let question = tape.ask(LOG, arguments([("level", format!("{level:?}").to_lowercase().into()), ("message", message.into())]));
                    tape.answer(question, Value::default);
                }
                self.0.log(call, level, message);
            }

            // A recording begins with it.
            fn own_server(&self) -> Arc<ServerInfo> {
                self.0.own_server()
            }

            $(fn $name(&self, call: &CallScope, $($argument: $type),*) -> $answer {
                let Some(tape) = call.tape() else { return self.0.$name(call, $($argument),*) };
                let question = tape.ask($wit, arguments([$((stringify!($argument), $argument.to_value())),*]));
                let answer = self.0.$name(call, $($argument),*);
                tape.answer(question, || answer.to_value());
                answer
            })*

            $(async fn $slow(&self, call: &CallScope, $($slow_argument: $slow_type),*) -> $slow_answer {
                let Some(tape) = call.tape() else { return self.0.$slow(call, $($slow_argument),*).await };
                let question = tape.ask($slow_wit, arguments([$((stringify!($slow_argument), $slow_argument.to_value())),*]));
                let answer = self.0.$slow(call, $($slow_argument),*).await;
                tape.answer(question, || answer.to_value());
                answer
            })*
        }

        #[async_trait]
        impl Host for ReplayHost {
            fn log(&self, _: &CallScope, level: Level, message: &str) {
                self.logged(level, message);
            }

            fn own_server(&self) -> Arc<ServerInfo> {
                self.server.clone()
            }

            $(fn $name(&self, _: &CallScope, $($argument: $type),*) -> $answer {
                self.answer_at_once($wit, arguments([$((stringify!($argument), $argument.to_value())),*]))
            })*

            $(async fn $slow(&self, _: &CallScope, $($slow_argument: $slow_type),*) -> $slow_answer {
                self.answer($slow_wit, arguments([$((stringify!($slow_argument), $slow_argument.to_value())),*])).await
            })*
        }
    };
}

hosts! {
    at_once {
        servers "app.servers" (server_type: &str) -> Vec<Arc<ServerInfo>>;
        server "app.server" (id: &str) -> Option<Arc<ServerInfo>>;
        server_types "app.server-types" () -> Vec<Arc<str>>;
        now_ms "app.now-ms" () -> u64;
        monotonic_ns "app.monotonic-ns" () -> u64;
        random_bytes "app.random-bytes" (len: u32) -> Result<Vec<u8>, Failure>;
        channel_create "channels.create" (name: &str) -> Result<bool, Failure>;
        channel_join "channels.join" (name: &str, member: Member) -> Result<bool, Failure>;
        channel_leave "channels.leave" (name: &str, member: &Member) -> bool;
        channel_members "channels.members" (name: &str) -> Result<Vec<Member>, Failure>;
        channel_find "channels.find" (name: &str, uid: &str) -> Option<Member>;
        channel_push "channels.push" (name: &str, route: &str, body: Vec<u8>) -> Result<(), Failure>;
        push_to "channels.push-to" (members: Vec<Member>, route: &str, body: Vec<u8>) -> Result<(), Failure>;
        broadcast "channels.broadcast"
            (server_type: &str, route: &str, body: Vec<u8>, audience: Audience) -> Result<(), Failure>;
        channel_destroy "channels.destroy" (name: &str) -> bool;
        channel_set_delivery "channels.set-delivery" (name: &str, delivery: Delivery) -> Result<(), Failure>;
        timer_set "timers.set"
            (delay_ms: u64, period_ms: Option<u64>, name: &str, payload: Vec<u8>) -> Result<u64, Failure>;
        timer_cancel "timers.cancel" (id: u64) -> bool;
    }
    waiting {
        session_get "sessions.get" (id: &SessionId) -> Result<Session, Failure>;
        sessions_by_uid "sessions.by-uid" (frontend_id: &str, uid: &str) -> Result<Vec<Session>, Failure>;
        session_bind "sessions.bind" (id: &SessionId, uid: &str) -> Result<(), Failure>;
        session_unbind "sessions.unbind" (id: &SessionId, uid: &str) -> Result<(), Failure>;
        session_push "sessions.push" (id: &SessionId, settings: Vec<Setting>) -> Result<(), Failure>;
        session_kick "sessions.kick" (id: &SessionId, reason: &str) -> Result<(), Failure>;
        kick_uid "sessions.kick-uid" (frontend_id: &str, uid: &str, reason: &str) -> Result<u32, Failure>;
        sessions_find "sessions.find" (uid: &str) -> Result<Vec<Session>, Failure>;
        kick_everywhere "sessions.kick-everywhere" (uid: &str, reason: &str) -> Result<u32, Failure>;
        session_address "sessions.address" (id: &SessionId) -> Result<String, Failure>;
        session_send "sessions.send" (id: &SessionId, route: &str, body: Vec<u8>) -> Result<(), Failure>;
        channel_push_and_report "channels.push-and-report"
            (name: &str, route: &str, body: Vec<u8>) -> Result<Vec<Member>, Failure>;
        push_to_and_report "channels.push-to-and-report"
            (members: Vec<Member>, route: &str, body: Vec<u8>) -> Result<Vec<Member>, Failure>;
        rpc_call "rpc.call"
            (server_type: &str, key: RouteKey, method: &str, args: Vec<u8>, options: CallOptions)
            -> Result<Vec<u8>, Failure>;
        rpc_call_server "rpc.call-server" (server_id: &str, method: &str, args: Vec<u8>) -> Result<Vec<u8>, Failure>;
        rpc_call_all "rpc.call-all"
            (server_type: &str, method: &str, args: Vec<u8>) -> Vec<(Arc<str>, Result<Vec<u8>, Failure>)>;
        rpc_notify "rpc.notify"
            (server_type: &str, key: RouteKey, method: &str, args: Vec<u8>) -> Result<(), Failure>;
    }
}
