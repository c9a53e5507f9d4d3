//! `init` does what the free setting of that name says; the others write to the log that they were called.

use shaddock_sdk::bindings::exports::shaddock::plugin::lifecycle;
use shaddock_sdk::bindings::shaddock::plugin::app;
use shaddock_sdk::bindings::shaddock::plugin::sessions;
use shaddock_sdk::bindings::shaddock::plugin::types::{Failure, Session};

use crate::{Probe, SETTINGS, attack, fail, setting};

impl lifecycle::Guest for Probe {
    fn init(settings: String) -> Result<(), Failure> {
        crate::forward_panics();
        SETTINGS.set(serde_json::from_str(&settings).unwrap());
        match setting("init").as_str() {
            None => Ok(()),
            Some("fail") => Err(fail(500, "init was asked to fail")),
            Some("panic") => panic!("init was asked to panic"),
            Some("spin") => attack::spin(),
            Some("clock") => {
                app::now_ms();
                Ok(())
            }
            Some(other) => Err(fail(500, other)),
        }
    }

    fn start(settings: String) -> Result<(), Failure> {
        app::log(app::Level::Info, &format!("start {settings}"));
        if setting("start") == "fail" { Err(fail(500, "start was asked to fail")) } else { Ok(()) }
    }

    fn session_closed(session: Session, reason: String) {
        // The copy of the session is there.
        sessions::set(&session.id, "last", "1").unwrap();
        app::log(app::Level::Info, &format!("closed {} {reason}", session.id.number));
    }

    fn stop() {
        app::log(app::Level::Info, "stop");
    }
}
