use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::execute::ports::RegistryFault;
use crate::oci::Digest;

/// Computes a digest of what passes by, each byte once, however often parts are sent again.
#[derive(Debug)]
pub(super) struct Verifier {
    expected: Digest,
    hash: Hash,
    hashed: u64,
}

#[derive(Clone, Debug)]
enum Hash {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Verifier {
    pub(super) fn new(expected: &Digest) -> Self {
        let hash = match expected.algorithm() {
            "sha512" => Hash::Sha512(Sha512::new()),
            "sha384" => Hash::Sha384(Sha384::new()),
            _ => Hash::Sha256(Sha256::new()),
        };
        Self {
            expected: expected.clone(),
            hash,
            hashed: 0,
        }
    }

    /// Takes in `bytes`, which stand at `offset`. What was taken in before is passed over.
    pub(super) fn take(&mut self, offset: u64, bytes: &[u8]) {
        let known = self.hashed.saturating_sub(offset);
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let Some(new) = bytes.get(known.min(bytes.len())..) else {
            return;
        };
        match &mut self.hash {
            Hash::Sha256(hash) => hash.update(new),
            Hash::Sha384(hash) => hash.update(new),
            Hash::Sha512(hash) => hash.update(new),
        }
        self.hashed += new.len() as u64;
    }

    /// Whether everything taken in so far has the digest that was expected.
    pub(super) fn check(&self) -> Result<(), RegistryFault> {
        let hex = match self.hash.clone() {
            Hash::Sha256(hash) => hex::encode(hash.finalize()),
            Hash::Sha384(hash) => hex::encode(hash.finalize()),
            Hash::Sha512(hash) => hex::encode(hash.finalize()),
        };
        if hex == self.expected.hex() {
            return Ok(());
        }
        Err(RegistryFault::Corrupt {
            expected: self.expected.clone(),
            found: format!("{}:{hex}", self.expected.algorithm()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_come_again_count_once() {
        let mut verifier = Verifier::new(&Digest::of(b"hello world"));
        verifier.take(0, b"hello wo");
        verifier.take(3, b"lo wor");
        assert!(verifier.check().is_err());
        verifier.take(0, b"he");
        verifier.take(9, b"ld");
        verifier.check().unwrap();
    }

    #[test]
    fn other_algorithms_are_known() {
        let hex = "ee26b0dd4af7e749aa1a8ee3c10ae9923f618980772e473f8819a5d4940e0db27ac185f8a0e1d5f84f88bc887fd67b143732c304cc5fa9ad8e6f57f50028a8ff";
        let mut verifier = Verifier::new(&format!("sha512:{hex}").parse().unwrap());
        verifier.take(0, b"test");
        verifier.check().unwrap();
    }
}
