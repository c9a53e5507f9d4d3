use std::fmt;

/// Why a connection was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The proof does not fit: the peer has another cluster secret.
    WrongSecret,
    /// The secret is right, the token of the server type is not.
    WrongToken,
    /// The master has tokens, but none for this server type.
    NoTokenForType,
    /// The peer speaks another version of the protocol.
    Version,
    /// Such connections are not taken here, such as a server link at the master's port.
    Purpose,
    /// The connection was meant for another server.
    OtherServer,
    /// Both sides were opening a link; the other one is used. Never seen outside this crate.
    Crossed,
    /// Registration: the reason in words, such as an id that is registered already.
    Registration(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongSecret => "wrong cluster secret",
            Self::WrongToken => "wrong token for the server type (adminServer.json)",
            Self::NoTokenForType => "adminServer.json there has no token for the server type",
            Self::Version => "it speaks another version of the cluster protocol; update both",
            Self::Purpose => "it does not take this kind of connection; is it the right port?",
            Self::OtherServer => "it is another server; the address in servers.json is out of date",
            Self::Crossed => "it is opening a link itself",
            Self::Registration(reason) => reason,
        })
    }
}

impl Refusal {
    /// For the wire: a code, and a text where there is one.
    pub(super) fn code(&self) -> (u8, &str) {
        match self {
            Self::WrongSecret => (1, ""),
            Self::WrongToken => (2, ""),
            Self::NoTokenForType => (3, ""),
            Self::Version => (4, ""),
            Self::Purpose => (5, ""),
            Self::OtherServer => (6, ""),
            Self::Crossed => (7, ""),
            Self::Registration(reason) => (8, reason),
        }
    }

    pub(super) fn from_code(code: u8, text: &[u8]) -> Option<Self> {
        let refusal = match code {
            1 => Self::WrongSecret,
            2 => Self::WrongToken,
            3 => Self::NoTokenForType,
            4 => Self::Version,
            5 => Self::Purpose,
            6 => Self::OtherServer,
            7 => Self::Crossed,
            8 => return String::from_utf8(text.to_vec()).ok().map(Self::Registration),
            _ => return None,
        };
        text.is_empty().then_some(refusal)
    }
}
