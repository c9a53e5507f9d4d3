//! Channels: named sets of users on this server, to push to all at once. Grant: `channels`.

use serde::Serialize;

use crate::host::channels as host;
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

    /// As [`push`](Channel::push), but waits for the frontends; answers the members that were not reached.
    pub fn push_and_report<T: Serialize + ?Sized>(&self, route: &str, msg: &T) -> Result<Vec<Member>> {
        Ok(host::push_and_report(&self.name, route, &serde_json::to_vec(msg)?)?)
    }

    /// Says what becomes of the channel's pushes for a client that does not keep up. Makes the channel if needed.
    pub fn set_delivery(&self, delivery: Delivery) -> Result<()> {
        let delivery = match delivery {
            Delivery::Every => host::Delivery::Every,
            Delivery::Latest => host::Delivery::Latest(None),
            Delivery::LatestBy(field) => host::Delivery::Latest(Some(field)),
            Delivery::DropOldest(waiting_max) => host::Delivery::DropOldest(waiting_max),
            Delivery::Disconnect => host::Delivery::Disconnect,
        };
        Ok(host::set_delivery(&self.name, &delivery)?)
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

/// As [`push_to`], but waits for the frontends; answers the members that were not reached.
pub fn push_to_and_report<T: Serialize + ?Sized>(
    members: &[Member],
    route: &str,
    msg: &T,
) -> Result<Vec<Member>> {
    Ok(host::push_to_and_report(members, route, &serde_json::to_vec(msg)?)?)
}

/// What becomes of a channel's pushes for a client that does not keep up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Every message is queued; the client is closed when too much waits.
    #[default]
    Every,
    /// Of the waiting messages with one route only the latest is kept.
    Latest,
    /// Of the waiting messages with one route and one value of this field only the latest is kept, such as positions
    /// by player.
    LatestBy(String),
    /// At most so many messages of the channel wait; the oldest are dropped.
    DropOldest(u32),
    /// The client is closed at once.
    Disconnect,
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

/// The same to those whom a filter of broadcasts selects on their frontend; `param` is what the filter gets to see.
pub fn broadcast_where<T: Serialize + ?Sized>(
    server_type: &str,
    to: Audience,
    filter: &str,
    param: &str,
    route: &str,
    msg: &T,
) -> Result<()> {
    let audience = host::Audience {
        bound_only: to == Audience::Bound,
        filter: Some((filter.to_owned(), param.to_owned())),
    };
    Ok(host::broadcast_to(server_type, route, &serde_json::to_vec(msg)?, &audience)?)
}
