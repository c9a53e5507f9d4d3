use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::message::Mac;
use crate::Secret;

/// Inside every proof: whose it is. One side's proof is never the other's.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    Opener,
    OpenerToken,
    Acceptor,
}

impl Role {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Opener => b"shaddock cluster 1: opener\0",
            Self::OpenerToken => b"shaddock cluster 1: opener token\0",
            Self::Acceptor => b"shaddock cluster 1: acceptor\0",
        }
    }
}

/// What was said before a proof, as it was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transcript<'a> {
    pub(crate) hello: &'a [u8],
    pub(crate) challenge: &'a [u8],
    /// The acceptor's incarnation, in its own proof; else 0.
    pub(crate) incarnation: u64,
}

/// A key for proofs.
pub(crate) struct Key([u8; 32]);

impl Key {
    pub(crate) fn of_secret(secret: &Secret) -> Self {
        Self(*secret.bytes())
    }

    /// Both are needed to make it: who has only the token, or only the secret, has nothing.
    pub(crate) fn of_token(secret: &Secret, token: &str) -> Self {
        let mut mac = Self::of_secret(secret).hmac();
        mac.update(b"shaddock cluster 1: token\0");
        mac.update(token.as_bytes());
        Self(mac.finalize().into_bytes().into())
    }

    pub(crate) fn prove(&self, role: Role, transcript: Transcript<'_>) -> Mac {
        self.over(role, transcript).finalize().into_bytes().into()
    }

    /// Compares in constant time.
    pub(crate) fn verify(&self, role: Role, transcript: Transcript<'_>, proof: &Mac) -> bool {
        self.over(role, transcript).verify_slice(proof).is_ok()
    }

    fn over(&self, role: Role, transcript: Transcript<'_>) -> Hmac<Sha256> {
        let mut mac = self.hmac();
        mac.update(role.label());
        for part in [transcript.hello, transcript.challenge] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.update(&transcript.incarnation.to_be_bytes());
        mac
    }

    fn hmac(&self) -> Hmac<Sha256> {
        // HMAC pads shorter keys with zeros to the block of its hash.
        let mut block = [0; 64];
        for (to, from) in block.iter_mut().zip(self.0) {
            *to = from;
        }
        Hmac::new(&block.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: Transcript<'_> = Transcript { hello: b"hello", challenge: b"challenge", incarnation: 0 };

    #[test]
    fn a_proof_fits_one_key_one_role_and_one_exchange() {
        let (secret, other) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        let key = Key::of_secret(&secret);
        let proof = key.prove(Role::Opener, SAID);
        assert!(key.verify(Role::Opener, SAID, &proof));
        assert!(!key.verify(Role::Acceptor, SAID, &proof), "sent back to its maker");
        assert!(!key.verify(Role::OpenerToken, SAID, &proof));
        assert!(!Key::of_secret(&other).verify(Role::Opener, SAID, &proof));
        let moved = Transcript { hello: b"hell", challenge: b"ochallenge", ..SAID };
        assert!(!key.verify(Role::Opener, moved, &proof));
        let replayed = Transcript { challenge: b"another one", ..SAID };
        assert!(!key.verify(Role::Opener, replayed, &proof));
        assert!(!key.verify(Role::Opener, Transcript { incarnation: 1, ..SAID }, &proof));
    }

    #[test]
    fn a_token_proof_needs_secret_and_token() {
        let (secret, other) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        let proof = Key::of_token(&secret, "agarxhqb98").prove(Role::OpenerToken, SAID);
        assert!(Key::of_token(&secret, "agarxhqb98").verify(Role::OpenerToken, SAID, &proof));
        assert!(!Key::of_token(&secret, "wrong").verify(Role::OpenerToken, SAID, &proof));
        assert!(!Key::of_token(&other, "agarxhqb98").verify(Role::OpenerToken, SAID, &proof));
    }

    /// RFC 4231, test case 2 with its key padded by zeros, which HMAC takes for the same key.
    #[test]
    fn the_hash_is_hmac_sha256() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mut mac = Key(key).hmac();
        mac.update(b"what do ya want for nothing?");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }
}
