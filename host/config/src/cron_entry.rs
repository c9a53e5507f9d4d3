//! The entries of crons.json.

use crate::Schedule;

/// Something that servers of a type do at given times.
#[derive(Clone, Debug)]
pub struct CronEntry {
    /// Unique among the crons of one server; a number stands here as its text.
    pub id: String,
    /// The key in crons.json.
    pub server_type: String,
    /// The one server that runs it; none: every server of the type.
    pub server_id: Option<String>,
    /// When it is due.
    pub schedule: Schedule,
    /// What runs, such as `chatCron.send`.
    pub action: String,
}

impl CronEntry {
    /// Whether a server runs it.
    pub fn is_for(&self, server_type: &str, server_id: &str) -> bool {
        let is_its = |own: &String| own == server_id;
        self.server_type == server_type && self.server_id.as_ref().is_none_or(is_its)
    }
}
