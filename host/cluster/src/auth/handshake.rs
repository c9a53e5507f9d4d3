//! The exchange on a socket, from both ends.

use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{
    Refusal,
    message::{AuthMessage, Hello, MESSAGE_BYTES_MAX, Mac, Purpose},
    proof::{Key, Role, Transcript},
};
use crate::{ClusterError, Secret, secret::random};

/// The opener: who it is and whom it means.
pub(crate) struct Caller<'a> {
    pub(crate) secret: &'a Secret,
    pub(crate) token: Option<&'a str>,
    /// The other side, for errors.
    pub(crate) peer: &'a str,
    pub(crate) hello: Hello,
}

/// The acceptor: what it takes.
pub(crate) struct Gate<'a> {
    pub(crate) secret: &'a Secret,
    /// Token by server type, for connections of servers to the master.
    pub(crate) tokens: Option<&'a BTreeMap<String, String>>,
    pub(crate) purposes: &'a [Purpose],
}

/// A peer that has proved itself and waits for the acceptor's proof.
pub(crate) struct Verified {
    pub(crate) hello: Hello,
    hello_bytes: Bytes,
    challenge_bytes: Bytes,
}

/// A peer that has not.
pub(crate) struct Rejected {
    /// Who it said it is, which nobody checked; empty if it did not say.
    pub(crate) claimed_id: String,
    pub(crate) reason: String,
}

/// Proves and checks, as the opener. Gives the acceptor's incarnation.
pub(crate) async fn open(
    stream: &mut TcpStream,
    caller: &Caller<'_>,
    limit: Duration,
) -> Result<u64, ClusterError> {
    let peer = || caller.peer.to_owned();
    timeout(limit, exchange(stream, caller))
        .await
        .unwrap_or(Err(ClusterError::TimedOut { peer: peer(), limit }))
}

async fn exchange(stream: &mut TcpStream, caller: &Caller<'_>) -> Result<u64, ClusterError> {
    let peer = || caller.peer.to_owned();
    let broke = |source| ClusterError::Connection { peer: peer(), source };
    let hello = AuthMessage::Hello(caller.hello.clone()).encode();
    write(stream, &hello).await.map_err(broke)?;
    let challenge = read(stream).await.map_err(broke)?;
    let asks_token = match understood(caller, &challenge)? {
        AuthMessage::Challenge { asks_token, .. } => asks_token,
        other => return Err(unexpected(caller, &other)),
    };
    let said = Transcript { hello: &hello, challenge: &challenge, incarnation: 0 };
    let key = Key::of_secret(caller.secret);
    let token = if asks_token { Some(token_proof(caller, said)?) } else { None };
    let proof = AuthMessage::Proof { secret: key.prove(Role::Opener, said), token };
    write(stream, &proof.encode()).await.map_err(broke)?;
    let answer = read(stream).await.map_err(broke)?;
    match understood(caller, &answer)? {
        AuthMessage::Welcome { proof, incarnation } => {
            if key.verify(Role::Acceptor, Transcript { incarnation, ..said }, &proof) {
                Ok(incarnation)
            } else {
                Err(ClusterError::Impostor { peer: peer() })
            }
        }
        other => Err(unexpected(caller, &other)),
    }
}

fn token_proof(caller: &Caller<'_>, said: Transcript<'_>) -> Result<Mac, ClusterError> {
    let Some(token) = caller.token else {
        return Err(ClusterError::NoToken { server_type: caller.hello.server_type.clone() });
    };
    Ok(Key::of_token(caller.secret, token).prove(Role::OpenerToken, said))
}

fn understood(caller: &Caller<'_>, bytes: &[u8]) -> Result<AuthMessage, ClusterError> {
    let peer = caller.peer.to_owned();
    match AuthMessage::decode(bytes) {
        Ok(AuthMessage::Refused(refusal)) => Err(ClusterError::Refused { peer, refusal }),
        Ok(message) => Ok(message),
        Err(what) => Err(ClusterError::Protocol { peer, what: format!("it sent {what}") }),
    }
}

fn unexpected(caller: &Caller<'_>, message: &AuthMessage) -> ClusterError {
    let name = match message {
        AuthMessage::Hello(_) => "hello",
        AuthMessage::Challenge { .. } => "challenge",
        AuthMessage::Proof { .. } => "proof",
        AuthMessage::Welcome { .. } => "welcome",
        AuthMessage::Refused(_) => "refusal",
    };
    ClusterError::Protocol { peer: caller.peer.to_owned(), what: format!("a {name} out of turn") }
}

impl Gate<'_> {
    /// Challenges and checks, as the acceptor. A peer that passes is still to be welcomed or refused; one
    /// that does not has been told why, as far as it may know.
    pub(crate) async fn check(&self, stream: &mut TcpStream, limit: Duration) -> Result<Verified, Rejected> {
        let mut claimed_id = String::new();
        let checked = timeout(limit, self.challenge(stream, &mut claimed_id)).await;
        let reason = match checked {
            Ok(Ok(verified)) => return Ok(verified),
            Ok(Err(Fault::Refuse(refusal))) => {
                refuse(stream, &refusal).await;
                format!("{refusal}")
            }
            Ok(Err(Fault::Said(what))) => format!("it sent {what}"),
            Ok(Err(Fault::Io(error))) => format!("the connection broke before it proved the secret: {error}"),
            Err(_) => format!("it did not prove the secret within {limit:?}"),
        };
        Err(Rejected { claimed_id, reason })
    }

    async fn challenge(&self, stream: &mut TcpStream, claimed_id: &mut String) -> Result<Verified, Fault> {
        let hello_bytes = read(stream).await?;
        if AuthMessage::is_other_version(&hello_bytes) {
            return Err(Fault::Refuse(Refusal::Version));
        }
        let AuthMessage::Hello(hello) = AuthMessage::decode(&hello_bytes).map_err(Fault::Said)? else {
            return Err(Fault::Said("no hello".to_owned()));
        };
        claimed_id.clone_from(&hello.id);
        if !self.purposes.contains(&hello.purpose) {
            return Err(Fault::Refuse(Refusal::Purpose));
        }
        let asks_token = hello.purpose == Purpose::Server && self.tokens.is_some();
        let nonce = random().map_err(|error| Fault::Said(error.to_string()))?;
        let challenge_bytes = AuthMessage::Challenge { nonce, asks_token }.encode();
        write(stream, &challenge_bytes).await?;
        let proof = read(stream).await?;
        let AuthMessage::Proof { secret, token } = AuthMessage::decode(&proof).map_err(Fault::Said)? else {
            return Err(Fault::Said("no proof".to_owned()));
        };
        let said = Transcript { hello: &hello_bytes, challenge: &challenge_bytes, incarnation: 0 };
        if !Key::of_secret(self.secret).verify(Role::Opener, said, &secret) {
            return Err(Fault::Refuse(Refusal::WrongSecret));
        }
        if asks_token {
            self.check_token(&hello, said, token.as_ref())?;
        }
        Ok(Verified { hello, hello_bytes, challenge_bytes })
    }

    fn check_token(&self, hello: &Hello, said: Transcript<'_>, proof: Option<&Mac>) -> Result<(), Fault> {
        let Some(token) = self.tokens.and_then(|tokens| tokens.get(&hello.server_type)) else {
            return Err(Fault::Refuse(Refusal::NoTokenForType));
        };
        let key = Key::of_token(self.secret, token);
        if proof.is_some_and(|proof| key.verify(Role::OpenerToken, said, proof)) {
            Ok(())
        } else {
            Err(Fault::Refuse(Refusal::WrongToken))
        }
    }
}

impl Verified {
    /// The acceptor's own proof; from here on frames flow.
    pub(crate) async fn welcome(
        &self,
        stream: &mut TcpStream,
        secret: &Secret,
        incarnation: u64,
    ) -> io::Result<()> {
        let said = Transcript { hello: &self.hello_bytes, challenge: &self.challenge_bytes, incarnation };
        let proof = Key::of_secret(secret).prove(Role::Acceptor, said);
        write(stream, &AuthMessage::Welcome { proof, incarnation }.encode()).await
    }
}

/// Tells a peer why it is not taken; it is closed anyway, so whether that arrives does not matter.
pub(crate) async fn refuse(stream: &mut TcpStream, refusal: &Refusal) {
    let bytes = AuthMessage::Refused(refusal.clone()).encode();
    if write(stream, &bytes).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}

/// The address and the claimed id of a peer that was turned away, for the log.
pub(crate) fn log_rejected(address: SocketAddr, rejected: &Rejected) {
    tracing::warn!(%address, claimed_id = %rejected.claimed_id, reason = %rejected.reason, "refused a connection");
}

enum Fault {
    Refuse(Refusal),
    Said(String),
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::InvalidData {
            Self::Said(error.to_string())
        } else {
            Self::Io(error)
        }
    }
}

async fn write(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let mut out = BytesMut::with_capacity(message.len() + 4);
    // At most 1 KiB.
    out.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    out.put_slice(message);
    stream.write_all(&out).await
}

/// Reads exactly one message, so that nothing of what follows is lost.
async fn read(stream: &mut TcpStream) -> io::Result<Bytes> {
    let length = stream.read_u32().await? as usize;
    if length > MESSAGE_BYTES_MAX {
        let what = format!(
            "a message of {length} bytes before the secret was proved, {MESSAGE_BYTES_MAX} is the limit; is it no Shaddock process?"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message.into())
}
