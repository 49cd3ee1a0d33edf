use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// A content digest: an algorithm and its lower-case hexadecimal value, as
/// `sha256:9f86d081884c7d65…`.
///
/// The grammar and the three algorithms are those of the OCI image specification
/// (descriptor.md, "Digests") and of opencontainers/go-digest; what it cannot verify it refuses.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    text: String,
}

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid digest `{text}`: expected sha256, sha384 or sha512 and its lower-case hex value")]
pub struct DigestError {
    text: String,
}

impl Digest {
    /// The sha256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_sha256(Sha256::digest(bytes).as_ref())
    }

    /// The digest whose sha256 value is `hash` (32 bytes).
    pub fn from_sha256(hash: &[u8]) -> Self {
        Self {
            text: format!("sha256:{}", hex::encode(hash)),
        }
    }

    /// The whole text, `algorithm:hex`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The algorithm, for example `sha256`.
    pub fn algorithm(&self) -> &str {
        self.text.split_once(':').map_or("", |(name, _)| name)
    }

    /// The hexadecimal value without its algorithm.
    pub fn hex(&self) -> &str {
        self.text.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// The first twelve hexadecimal digits, as Docker abbreviates ids.
    pub fn short(&self) -> &str {
        self.hex().get(..12).unwrap_or_default()
    }

    /// Whether `bytes` have this digest.
    pub fn verifies(&self, bytes: &[u8]) -> bool {
        match self.algorithm() {
            "sha256" => self.hex() == hex::encode(Sha256::digest(bytes)),
            "sha384" => self.hex() == hex::encode(sha2::Sha384::digest(bytes)),
            "sha512" => self.hex() == hex::encode(sha2::Sha512::digest(bytes)),
            _ => false,
        }
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let wrong = || DigestError {
            text: text.chars().take(80).collect(),
        };
        let (algorithm, hex) = text.split_once(':').ok_or_else(wrong)?;
        let length = match algorithm {
            "sha256" => 64,
            "sha384" => 96,
            "sha512" => 128,
            _ => return Err(wrong()),
        };
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hex.len() != length || !hex.bytes().all(is_hex) {
            return Err(wrong());
        }
        Ok(Self {
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_of_bytes_reads_back_and_verifies_only_those_bytes() {
        let digest = Digest::of(b"");
        assert_eq!(digest.as_str(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>().unwrap(), digest);
        assert!(digest.verifies(b""));
        assert!(!digest.verifies(b"x"));
        assert_eq!(digest.short(), "e3b0c44298fc");
    }

    #[test]
    fn what_cannot_be_verified_is_refused() {
        for text in [
            "",
            "sha256",
            "sha256:",
            "sha256:abc",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            &EMPTY.to_uppercase(),
            &EMPTY.replace('e', "E"),
            &format!("{EMPTY}0"),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
