//! Packages as the runner needs them: their length, what they answer, and a line for people.

use serde_json::Value;

pub(crate) const HANDSHAKE: u8 = 1;
pub(crate) const ACK: u8 = 2;
pub(crate) const HEARTBEAT: u8 = 3;
pub(crate) const DATA: u8 = 4;
pub(crate) const KICK: u8 = 5;

/// A client's heartbeat.
pub(crate) const HEARTBEAT_PACKAGE: [u8; 4] = [HEARTBEAT, 0, 0, 0];

const HEAD: usize = 4;

/// Length of the package that `bytes` begin with, by its head; `None` if the head is not there yet.
pub(crate) fn whole_len(bytes: &[u8]) -> Option<usize> {
    let [_, a, b, c] = *bytes.first_chunk::<HEAD>()?;
    Some(HEAD + u32::from_be_bytes([0, a, b, c]) as usize)
}

/// Cuts whole packages off the front.
pub(crate) fn take_whole(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let len = whole_len(bytes).filter(|len| *len <= bytes.len())?;
    let rest = bytes.split_off(len);
    Some(std::mem::replace(bytes, rest))
}

pub(crate) fn kind(package: &[u8]) -> Option<u8> {
    package.first().copied()
}

pub(crate) fn body(package: &[u8]) -> &[u8] {
    package.get(HEAD..).unwrap_or_default()
}

/// The message in a DATA package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) kind: MessageKind,
    pub(crate) id: u32,
    pub(crate) route: Route<'a>,
    pub(crate) body: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageKind {
    Request,
    Notify,
    Response,
    Push,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    None,
    Code(u16),
    Text(&'a [u8]),
}

/// The message of a DATA package; `None` if it is another package or not well formed.
pub(crate) fn message(package: &[u8]) -> Option<Message<'_>> {
    if kind(package)? != DATA {
        return None;
    }
    let (flag, mut rest) = body(package).split_first()?;
    let kind = match (flag >> 1) & 7 {
        0 => MessageKind::Request,
        1 => MessageKind::Notify,
        2 => MessageKind::Response,
        3 => MessageKind::Push,
        _ => return None,
    };
    let mut id = 0;
    if matches!(kind, MessageKind::Request | MessageKind::Response) {
        for shift in (0..=28).step_by(7) {
            let (byte, after) = rest.split_first()?;
            rest = after;
            id |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    let route = match (kind, flag & 1) {
        (MessageKind::Response, _) => Route::None,
        (_, 1) => {
            let (code, after) = rest.split_first_chunk::<2>()?;
            rest = after;
            Route::Code(u16::from_be_bytes(*code))
        }
        _ => {
            let (len, after) = rest.split_first()?;
            let (text, after) = after.split_at_checked(usize::from(*len))?;
            rest = after;
            Route::Text(text)
        }
    };
    Some(Message { kind, id, route, body: rest })
}

/// What a package of the server is about: one that came in another's place is about the same.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Subject<'a> {
    Response(u32),
    Push(Route<'a>),
    Package(Option<u8>),
}

pub(crate) fn subject(package: &[u8]) -> Subject<'_> {
    match message(package) {
        Some(Message { kind: MessageKind::Response, id, .. }) => Subject::Response(id),
        Some(Message { kind: MessageKind::Push, route, .. }) => Subject::Push(route),
        _ => Subject::Package(kind(package)),
    }
}

/// Whether it is a push message.
pub(crate) fn is_push(package: &[u8]) -> bool {
    matches!(subject(package), Subject::Push(_))
}

/// The body of a handshake reply or a message, as JSON.
pub(crate) fn json(package: &[u8]) -> Option<Value> {
    let text = message(package).map_or_else(|| body(package), |message| message.body);
    serde_json::from_slice(text).ok()
}

/// One line for people: `DATA RESP #1 {"code":200}`.
#[must_use]
pub fn describe(package: &[u8]) -> String {
    let (name, len) = (kind_name(kind(package)), body(package).len());
    let Some(message) = message(package) else {
        return format!("{name}({len}) {}", text(body(package)));
    };
    let route = match message.route {
        Route::None => String::new(),
        Route::Code(code) => format!("code={code} "),
        Route::Text(route) => format!("{} ", String::from_utf8_lossy(route)),
    };
    let body = text(message.body);
    match message.kind {
        MessageKind::Request => format!("DATA REQ #{} {route}{body}", message.id),
        MessageKind::Notify => format!("DATA NOTIFY {route}{body}"),
        MessageKind::Response => format!("DATA RESP #{} {body}", message.id),
        MessageKind::Push => format!("DATA PUSH {route}{body}"),
    }
}

fn kind_name(kind: Option<u8>) -> String {
    match kind {
        Some(HANDSHAKE) => "HANDSHAKE".to_owned(),
        Some(ACK) => "ACK".to_owned(),
        Some(HEARTBEAT) => "HEARTBEAT".to_owned(),
        Some(DATA) => "DATA".to_owned(),
        Some(KICK) => "KICK".to_owned(),
        Some(other) => format!("TYPE{other}"),
        None => "NOTHING".to_owned(),
    }
}

/// Text if it is such, else the bytes; long ones are cut.
fn text(bytes: &[u8]) -> String {
    const SHOWN: usize = 400;
    let whole = match str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => format!("<bin {}>", hex(bytes)),
    };
    match whole.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}… ({} bytes)", whole.get(..cut).unwrap_or_default(), bytes.len()),
        None => whole,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(message: &[u8]) -> Vec<u8> {
        [&[DATA, 0, 0, message.len() as u8][..], message].concat()
    }

    #[test]
    fn packages_are_described_as_in_a_capture() {
        assert_eq!(describe(&[3, 0, 0, 0]), "HEARTBEAT(0) ");
        assert_eq!(describe(&data(b"\x00\x01\x03a.b{}")), "DATA REQ #1 a.b {}");
        assert_eq!(describe(&data(b"\x04\xac\x02{}")), "DATA RESP #300 {}");
        assert_eq!(describe(&data(b"\x07\x00\x30{}")), "DATA PUSH code=48 {}");
        assert_eq!(describe(&data(b"\x06\x01r\x0a\x01x")), "DATA PUSH r <bin 0a0178>");
        assert_eq!(describe(&data(b"\x02\x01r")), "DATA NOTIFY r ");
        assert_eq!(describe(&data(b"\x06\x09r")), "DATA(3) <bin 060972>", "a push whose route is cut off");
    }

    #[test]
    fn packages_are_taken_only_whole() {
        let mut bytes = vec![3, 0, 0, 0, 4, 0, 0, 2, 9];
        assert_eq!(take_whole(&mut bytes), Some(vec![3, 0, 0, 0]));
        assert_eq!(take_whole(&mut bytes), None);
        bytes.push(9);
        assert_eq!(take_whole(&mut bytes), Some(vec![4, 0, 0, 2, 9, 9]));
        assert!(bytes.is_empty());
    }

    #[test]
    fn what_answers_the_same_has_the_same_subject() {
        let (one, other) = (data(b"\x04\x01{}"), data(b"\x04\x01{\"code\":500}"));
        assert_eq!(subject(&one), subject(&other));
        assert_ne!(subject(&one), subject(&data(b"\x04\x02{}")));
        assert_ne!(subject(&data(b"\x06\x01a{}")), subject(&data(b"\x06\x01b{}")));
        assert!(is_push(&data(b"\x06\x01a{}")) && !is_push(&one));
    }
}
