//! What a right answer looks like, and counting them.

use anyhow::{Result, bail, ensure};

use crate::pomelo::{self, ServerMessage};

/// What arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Answers, or deliveries, of the right length.
    pub(crate) right: u32,
    /// Those of another length: error answers.
    pub(crate) wrong: u32,
    /// Answers that are not what is measured: to the push requests of a fan-out.
    pub(crate) aside: u32,
    pub(crate) heartbeats: u32,
}

impl Counts {
    /// Everything that is measured, right or wrong.
    pub(crate) fn answers(self) -> u32 {
        self.right + self.wrong
    }
}

/// What is measured on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Bare frames with a payload of this many bytes.
    Frames(usize),
    /// Responses with a body of this many bytes.
    Responses(usize),
    /// Pushes with a body of this many bytes.
    Pushes(usize),
}

impl Expected {
    /// Counts what one frame holds. A kick is an error.
    pub(crate) fn count(&self, mut payload: &[u8], counts: &mut Counts) -> Result<()> {
        if let Self::Frames(len) = self {
            counts.add(payload.len() == *len);
            return Ok(());
        }
        while let Some((kind, body)) = pomelo::take_package(&mut payload)? {
            match kind {
                pomelo::DATA => match (self, pomelo::server_message(body)?) {
                    (Self::Responses(len), ServerMessage::Response { body, .. })
                    | (Self::Pushes(len), ServerMessage::Push { body, .. }) => counts.add(body.len() == *len),
                    _ => counts.aside += 1,
                },
                pomelo::HEARTBEAT => counts.heartbeats += 1,
                pomelo::KICK => bail!("kicked: {}", String::from_utf8_lossy(body)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks one answer byte by byte, before lengths are trusted.
    pub(crate) fn verify(&self, mut payload: &[u8], body: &[u8]) -> Result<bool> {
        let same = |found: &[u8]| {
            let show = String::from_utf8_lossy;
            ensure!(
                found == body,
                "the server answered {:?} where {:?} was expected",
                show(found),
                show(body)
            );
            Ok(true)
        };
        if let Self::Frames(_) = self {
            return same(payload);
        }
        while let Some((kind, data)) = pomelo::take_package(&mut payload)? {
            if kind != pomelo::DATA {
                continue;
            }
            match (self, pomelo::server_message(data)?) {
                (Self::Responses(_), ServerMessage::Response { body, .. })
                | (Self::Pushes(_), ServerMessage::Push { body, .. }) => return same(body),
                _ => {}
            }
        }
        Ok(false)
    }
}

impl Counts {
    fn add(&mut self, right: bool) {
        if right { self.right += 1 } else { self.wrong += 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(expected: Expected, payload: &[u8]) -> Counts {
        let mut counts = Counts::default();
        expected.count(payload, &mut counts).unwrap();
        counts
    }

    #[test]
    fn answers_count_by_length_and_several_in_a_frame_all_count() {
        let two = [4, 0, 0, 4, 4, 1, b'{', b'}', 4, 0, 0, 3, 4, 2, b'7', 3, 0, 0, 0];
        let counts = count(Expected::Responses(2), &two);
        assert_eq!(counts, Counts { right: 1, wrong: 1, aside: 0, heartbeats: 1 });
        assert_eq!(counts.answers(), 2);
        assert_eq!(count(Expected::Pushes(2), &two), Counts { right: 0, wrong: 0, aside: 2, heartbeats: 1 });
        assert_eq!(count(Expected::Frames(two.len()), &two).right, 1);
        assert_eq!(count(Expected::Frames(5), &two).wrong, 1);
    }

    #[test]
    fn a_kick_is_an_error_with_its_reason() {
        let kick = [&[5, 0, 0, 3][..], b"bye"].concat();
        let error = Expected::Pushes(2).count(&kick, &mut Counts::default()).unwrap_err();
        assert!(error.to_string().contains("bye"), "{error}");
    }

    #[test]
    fn verification_compares_bytes_and_waits_for_the_right_kind() {
        let response = [4, 0, 0, 4, 4, 1, b'{', b'}'];
        assert!(Expected::Responses(2).verify(&response, b"{}").unwrap());
        assert!(!Expected::Pushes(2).verify(&response, b"{}").unwrap());
        assert!(Expected::Responses(2).verify(&response, b"[]").is_err());
        assert!(Expected::Frames(1).verify(b"a", b"b").is_err());
    }
}
