//! Channels: named sets of (user, frontend) on this server.
//!
//! Members are kept by frontend, since that is how a push travels: once to each frontend, with the list
//! of users there. A push takes a snapshot, so a member added later never gets it (pomelo shared the list
//! by reference, and sometimes did).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indexmap::{IndexMap, IndexSet};
use shaddock_config::ChannelSettings;
use shaddock_engine::types::{Delivery, Member};

use crate::delivery::Policy;

/// The users of one push at one frontend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) frontend_id: Arc<str>,
    pub(crate) uids: Vec<Arc<str>>,
}

/// What can be wrong with a channel operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChannelError {
    #[error("no such channel")]
    NotFound,
    #[error("the server has its maximum of {0} channels (app.json: channel.channelsMax)")]
    TooManyChannels(usize),
    #[error("the channel has its maximum of {0} members (app.json: channel.membersMax)")]
    TooManyMembers(usize),
    #[error("a channel name has 1 to {NAME_BYTES_MAX} bytes")]
    BadName,
    #[error("the field of a delivery policy has 1 to {FIELD_BYTES_MAX} bytes")]
    BadField,
}

/// Bytes of a channel's name at the most.
pub(crate) const NAME_BYTES_MAX: usize = 256;
/// Bytes of the field that a delivery policy names at the most.
const FIELD_BYTES_MAX: usize = 256;

#[derive(Debug, Default)]
struct Channel {
    /// Made by `create`, so it stays while empty.
    lasting: bool,
    /// None: every message is queued.
    policy: Option<Arc<Policy>>,
    groups: IndexMap<Arc<str>, IndexSet<Arc<str>>>,
    len: usize,
}

/// The channels of this server.
#[derive(Debug)]
pub(crate) struct Channels {
    by_name: Mutex<HashMap<String, Channel>>,
    limits: ChannelSettings,
}

impl Channels {
    /// None yet.
    pub(crate) fn new(limits: ChannelSettings) -> Self {
        Self { by_name: Mutex::default(), limits }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Channel>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Makes a channel that stays while empty. True if it is new.
    pub(crate) fn create(&self, name: &str) -> Result<bool, ChannelError> {
        let mut channels = self.lock();
        let known = channels.contains_key(name);
        self.channel(&mut channels, name)?.lasting = true;
        Ok(!known)
    }

    /// Adds a member, making the channel if needed. False if it was one already.
    pub(crate) fn join(&self, name: &str, member: Member) -> Result<bool, ChannelError> {
        let mut channels = self.lock();
        let channel = self.channel(&mut channels, name)?;
        let known = channel.groups.get(&member.frontend_id).is_some_and(|group| group.contains(&member.uid));
        if known {
            return Ok(false);
        }
        if channel.len >= self.limits.members_max {
            return Err(ChannelError::TooManyMembers(self.limits.members_max));
        }
        channel.len += 1;
        channel.groups.entry(member.frontend_id).or_default().insert(member.uid);
        Ok(true)
    }

    /// Removes a member; a channel made by `join` goes with its last one. False if it was none.
    pub(crate) fn leave(&self, name: &str, uid: &str, frontend_id: &str) -> bool {
        let mut channels = self.lock();
        let Some(channel) = channels.get_mut(name) else { return false };
        let Some(group) = channel.groups.get_mut(frontend_id) else { return false };
        if !group.shift_remove(uid) {
            return false;
        }
        channel.len -= 1;
        if group.is_empty() {
            channel.groups.shift_remove(frontend_id);
        }
        if channel.groups.is_empty() && !channel.lasting {
            channels.remove(name);
        }
        true
    }

    /// The members in order: frontends as they first came, then users as they joined.
    pub(crate) fn members(&self, name: &str) -> Result<Vec<Member>, ChannelError> {
        let channels = self.lock();
        let channel = channels.get(name).ok_or(ChannelError::NotFound)?;
        let of_group = |(frontend_id, uids): (&Arc<str>, &IndexSet<Arc<str>>)| {
            let frontend_id = Arc::clone(frontend_id);
            uids.iter()
                .map(move |uid| Member { uid: Arc::clone(uid), frontend_id: Arc::clone(&frontend_id) })
                .collect::<Vec<_>>()
        };
        Ok(channel.groups.iter().flat_map(of_group).collect())
    }

    /// The first member with that user id.
    pub(crate) fn find(&self, name: &str, uid: &str) -> Option<Member> {
        let channels = self.lock();
        channels.get(name)?.groups.iter().find_map(|(frontend_id, uids)| {
            let uid = uids.get(uid)?;
            Some(Member { uid: Arc::clone(uid), frontend_id: Arc::clone(frontend_id) })
        })
    }

    /// Sets the delivery policy of a channel. As [`Channels::create`], it makes one that stays while empty.
    pub(crate) fn set_delivery(&self, name: &str, delivery: Delivery) -> Result<(), ChannelError> {
        if let Delivery::Latest(Some(field)) = &delivery
            && (field.is_empty() || field.len() > FIELD_BYTES_MAX)
        {
            return Err(ChannelError::BadField);
        }
        let mut channels = self.lock();
        let channel = self.channel(&mut channels, name)?;
        channel.lasting = true;
        channel.policy =
            (delivery != Delivery::Every).then(|| Arc::new(Policy { channel: name.into(), delivery }));
        Ok(())
    }

    /// The members as a push needs them, and the delivery policy if it is not the default.
    pub(crate) fn audience(&self, name: &str) -> Result<(Vec<Group>, Option<Arc<Policy>>), ChannelError> {
        let channels = self.lock();
        let channel = channels.get(name).ok_or(ChannelError::NotFound)?;
        let group = |(frontend_id, uids): (&Arc<str>, &IndexSet<Arc<str>>)| Group {
            frontend_id: Arc::clone(frontend_id),
            uids: uids.iter().cloned().collect(),
        };
        Ok((channel.groups.iter().map(group).collect(), channel.policy.clone()))
    }

    /// Removes the channel with all members. False if there is none.
    pub(crate) fn destroy(&self, name: &str) -> bool {
        self.lock().remove(name).is_some()
    }

    /// The channel of that name, made if it is new.
    fn channel<'a>(
        &self,
        channels: &'a mut HashMap<String, Channel>,
        name: &str,
    ) -> Result<&'a mut Channel, ChannelError> {
        if !channels.contains_key(name) {
            if name.is_empty() || name.len() > NAME_BYTES_MAX {
                return Err(ChannelError::BadName);
            }
            if channels.len() >= self.limits.channels_max {
                return Err(ChannelError::TooManyChannels(self.limits.channels_max));
            }
        }
        Ok(channels.entry(name.to_owned()).or_default())
    }
}

/// Members grouped by frontend, in the order in which the frontends first appear; doubles count once.
pub(crate) fn group(members: impl IntoIterator<Item = Member>) -> Vec<Group> {
    let mut groups: IndexMap<Arc<str>, IndexSet<Arc<str>>> = IndexMap::new();
    for member in members {
        groups.entry(member.frontend_id).or_default().insert(member.uid);
    }
    let group = |(frontend_id, uids): (Arc<str>, IndexSet<Arc<str>>)| Group {
        frontend_id,
        uids: uids.into_iter().collect(),
    };
    groups.into_iter().map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(uid: &str, frontend_id: &str) -> Member {
        Member { uid: uid.into(), frontend_id: frontend_id.into() }
    }

    fn channels() -> Channels {
        Channels::new(ChannelSettings { channels_max: 2, members_max: 4 })
    }

    fn names(channels: &Channels, name: &str) -> Vec<String> {
        channels.members(name).unwrap().iter().map(|m| format!("{}@{}", m.uid, m.frontend_id)).collect()
    }

    #[test]
    fn members_are_a_set_in_order_of_frontends_then_of_joining() {
        let channels = channels();
        for (uid, at) in [("a", "c2"), ("b", "c1"), ("c", "c2"), ("d", "c1")] {
            assert!(channels.join("room", member(uid, at)).unwrap());
        }
        assert!(!channels.join("room", member("a", "c2")).unwrap());
        assert_eq!(names(&channels, "room"), ["a@c2", "c@c2", "b@c1", "d@c1"]);
        assert_eq!(channels.join("room", member("a", "c9")), Err(ChannelError::TooManyMembers(4)));
        assert!(channels.leave("room", "c", "c2"));
        assert_eq!(
            channels.join("room", member("a", "c1")),
            Ok(true),
            "at another frontend it is another member"
        );
    }

    #[test]
    fn a_joined_channel_goes_with_its_last_member_and_a_created_one_stays() {
        let channels = channels();
        channels.join("loose", member("a", "c1")).unwrap();
        assert!(channels.create("lasting").unwrap());
        assert!(!channels.create("lasting").unwrap());
        channels.join("lasting", member("a", "c1")).unwrap();
        for name in ["loose", "lasting"] {
            assert!(channels.leave(name, "a", "c1"));
            assert!(!channels.leave(name, "a", "c1"));
        }
        assert_eq!(channels.members("loose"), Err(ChannelError::NotFound));
        assert_eq!(channels.members("lasting"), Ok(vec![]));
        assert!(channels.destroy("lasting"));
        assert!(!channels.destroy("lasting"));
        assert_eq!(channels.len(), 0);
    }

    #[test]
    fn find_names_the_frontend_of_a_user() {
        let channels = channels();
        channels.join("room", member("a", "c1")).unwrap();
        assert_eq!(channels.find("room", "a"), Some(member("a", "c1")));
        assert_eq!(channels.find("room", "b"), None);
        assert_eq!(channels.find("other", "a"), None);
    }

    #[test]
    fn channels_and_members_are_bounded() {
        let channels = channels();
        for uid in ["a", "b", "c", "d"] {
            channels.join("full", member(uid, "c1")).unwrap();
        }
        assert_eq!(channels.join("full", member("e", "c1")), Err(ChannelError::TooManyMembers(4)));
        assert_eq!(channels.join("full", member("a", "c1")), Ok(false));
        channels.create("second").unwrap();
        assert_eq!(channels.create("third"), Err(ChannelError::TooManyChannels(2)));
        assert!(channels.destroy("second"));
        assert_eq!(channels.create("third"), Ok(true));
    }

    #[test]
    fn names_are_bounded() {
        let channels = channels();
        assert_eq!(channels.create(""), Err(ChannelError::BadName));
        assert_eq!(channels.create(&"x".repeat(NAME_BYTES_MAX)), Ok(true));
        assert_eq!(channels.create(&"x".repeat(NAME_BYTES_MAX + 1)), Err(ChannelError::BadName));
    }

    #[test]
    fn a_policy_stays_with_its_channel() {
        let channels = channels();
        let policy = |name: &str| channels.audience(name).map(|(_, policy)| policy);
        channels.join("room", member("a", "c1")).unwrap();
        assert_eq!(policy("room"), Ok(None));
        channels.set_delivery("room", Delivery::DropOldest(3)).unwrap();
        assert!(channels.leave("room", "a", "c1"));
        let expected = Policy { channel: "room".into(), delivery: Delivery::DropOldest(3) };
        assert_eq!(policy("room"), Ok(Some(Arc::new(expected))), "the channel stays while empty");
        channels.set_delivery("room", Delivery::Every).unwrap();
        assert_eq!(policy("room"), Ok(None));
        assert!(channels.destroy("room"));
        assert_eq!(policy("room"), Err(ChannelError::NotFound));
        channels.set_delivery("new", Delivery::Latest(Some("id".into()))).unwrap();
        assert_eq!(channels.members("new"), Ok(vec![]));
        for field in [String::new(), "x".repeat(FIELD_BYTES_MAX + 1)] {
            assert_eq!(
                channels.set_delivery("new", Delivery::Latest(Some(field))),
                Err(ChannelError::BadField)
            );
        }
    }

    #[test]
    fn a_list_of_members_is_grouped_without_doubles() {
        let groups = group([member("a", "c1"), member("b", "c2"), member("a", "c1"), member("c", "c1")]);
        let expected = [
            Group { frontend_id: "c1".into(), uids: vec!["a".into(), "c".into()] },
            Group { frontend_id: "c2".into(), uids: vec!["b".into()] },
        ];
        assert_eq!(groups, expected);
    }
}
