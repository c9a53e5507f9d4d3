//! Channels: named sets of users on this server, to push to all at once. Grant: `channels`.

use serde::Serialize;

use crate::bindings::shaddock::plugin::channels as host;
use crate::{Member, Result};

/// A channel of this server, by its name. Making one of these does nothing yet: a channel begins with its first
/// member, or with [`create`](Channel::create).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    name: String,
}

impl Channel {
    /// The channel of this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// Makes the channel stay while it is empty, until [`destroy`](Channel::destroy). True if it is new.
    pub fn create(&self) -> Result<bool> {
        Ok(host::create(&self.name)?)
    }

    /// Adds a member. False if it was one already.
    pub fn join(&self, member: &Member) -> Result<bool> {
        Ok(host::join(&self.name, member)?)
    }

    /// Removes a member. False if it was none.
    pub fn leave(&self, member: &Member) -> bool {
        host::leave(&self.name, member)
    }

    /// The members, in the order in which their frontends and then they themselves joined; an error (404) if there
    /// is no such channel.
    pub fn members(&self) -> Result<Vec<Member>> {
        Ok(host::members(&self.name)?)
    }

    /// The first member with this user id.
    pub fn find(&self, uid: &str) -> Option<Member> {
        host::find(&self.name, uid)
    }

    /// Sends a push message to everybody who is a member now; an error (404) if there is no such channel.
    ///
    /// Pushes of one call reach a client in order, and before the call's own answer.
    pub fn push<T: Serialize + ?Sized>(&self, route: &str, msg: &T) -> Result<()> {
        Ok(host::push(&self.name, route, &serde_json::to_vec(msg)?)?)
    }

    /// Removes the channel with all its members. False if there is none.
    pub fn destroy(&self) -> bool {
        host::destroy(&self.name)
    }
}

/// Sends a push message to the users named; an error (400) if there are none.
pub fn push_to<T: Serialize + ?Sized>(members: &[Member], route: &str, msg: &T) -> Result<()> {
    Ok(host::push_to(members, route, &serde_json::to_vec(msg)?)?)
}

/// Who gets a [`broadcast`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Every session.
    Everybody,
    /// The sessions that a user is bound to.
    Bound,
}

/// Sends a push message to sessions of every frontend of a type.
pub fn broadcast<T: Serialize + ?Sized>(server_type: &str, to: Audience, route: &str, msg: &T) -> Result<()> {
    Ok(host::broadcast(server_type, route, &serde_json::to_vec(msg)?, to == Audience::Bound)?)
}
