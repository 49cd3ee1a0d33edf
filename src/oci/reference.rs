use std::fmt;
use std::str::FromStr;

use super::Digest;

/// The domain that a bare name belongs to.
const DEFAULT_DOMAIN: &str = "docker.io";
/// The old name of [`DEFAULT_DOMAIN`], which is normalised away.
const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";
/// Where Docker keeps the official images of its default domain.
const OFFICIAL_PREFIX: &str = "library/";
/// The longest path of a repository (distribution/reference, `RepositoryNameTotalLengthMax`).
const MAX_PATH: usize = 255;

/// A repository of a registry: `docker.io` and `library/redis`.
///
/// Always in Docker's normal form (distribution/reference, `ParseNormalizedNamed`): a bare name
/// lives in `docker.io`, and there a name without a slash in `library/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    domain: String,
    path: String,
}

/// A tag, which follows `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}` (distribution spec, "Pulling manifests").
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct Tag(String);

/// An image reference: a repository, and a tag, a digest, both or neither.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

/// Why a text is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing was given.
    #[error("an image reference is empty")]
    Empty,
    /// The text does not follow the grammar of `[registry/][namespace/]repository[:tag][@digest]`.
    #[error("invalid image reference `{text}`")]
    Grammar {
        /// What was given, shortened.
        text: String,
    },
    /// The repository has upper-case letters.
    #[error("invalid image reference `{text}`: a repository must be lower case")]
    UpperCase {
        /// What was given, shortened.
        text: String,
    },
    /// Sixty-four hexadecimal digits would be taken for an image id.
    #[error("invalid image reference `{text}`: 64 hexadecimal digits name an image id")]
    LooksLikeId {
        /// What was given, shortened.
        text: String,
    },
    /// The repository's path is longer than 255 characters.
    #[error(
        "invalid image reference `{text}`: the repository's path exceeds {MAX_PATH} characters"
    )]
    TooLong {
        /// What was given, shortened.
        text: String,
    },
    /// The digest is malformed or of an unknown algorithm.
    #[error("invalid image reference `{text}`: its digest is malformed")]
    Digest {
        /// What was given, shortened.
        text: String,
    },
    /// A tag or a digest stands where only a repository may.
    #[error("`{text}` names a tag or a digest where only a repository may stand")]
    NotARepository {
        /// What was given, shortened.
        text: String,
    },
    /// The tag does not follow the tag grammar.
    #[error(
        "invalid tag `{text}`: letters, digits, `_`, `.` and `-`, at most 128, not starting with `.` or `-`"
    )]
    Tag {
        /// What was given, shortened.
        text: String,
    },
}

impl Repository {
    /// The registry's host and port, for example `ghcr.io` or `127.0.0.1:5000`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The path within the registry, for example `library/redis`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The short form that people write: `redis` for `docker.io/library/redis`.
    pub fn familiar(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.to_string();
        }
        match self.path.strip_prefix(OFFICIAL_PREFIX) {
            Some(name) if !name.contains('/') => name.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// The host that answers the distribution API: `registry-1.docker.io` for `docker.io`, else
    /// the domain itself.
    pub fn api_host(&self) -> &str {
        if self.domain == DEFAULT_DOMAIN {
            "registry-1.docker.io"
        } else {
            &self.domain
        }
    }

    /// The reference of `tag` in this repository.
    pub fn with_tag(&self, tag: Tag) -> Reference {
        Reference {
            repository: self.clone(),
            tag: Some(tag),
            digest: None,
        }
    }

    /// The reference of `digest` in this repository.
    pub fn with_digest(&self, digest: Digest) -> Reference {
        Reference {
            repository: self.clone(),
            tag: None,
            digest: Some(digest),
        }
    }
}

impl FromStr for Repository {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let reference: Reference = text.parse()?;
        if reference.tag.is_some() || reference.digest.is_some() {
            return Err(ReferenceError::NotARepository {
                text: shortened(text),
            });
        }
        Ok(reference.repository)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.domain, self.path)
    }
}

impl serde::Serialize for Repository {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Repository {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Tag {
    /// The tag's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if is_tag(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ReferenceError::Tag {
                text: shortened(text),
            })
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Tag {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Reference {
    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag, where one was given.
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest, where one was given.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What a pull of this reference asks for: the digest where there is one, else the tag, else
    /// `latest` (distribution/reference, `ParseDockerRef`).
    #[must_use]
    pub fn canonical(&self) -> Self {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => self.repository.with_digest(digest.clone()),
            (None, Some(_)) => self.clone(),
            (None, None) => self.repository.with_tag(Tag("latest".to_owned())),
        }
    }

    /// What stands behind the repository in a request path: the digest, else the tag, else `latest`.
    pub fn selector(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.to_string(),
            (None, None) => "latest".to_owned(),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.len() == 64 && text.bytes().all(is_lower_hex) {
            return Err(ReferenceError::LooksLikeId {
                text: shortened(text),
            });
        }
        let (domain, remainder) = split_domain(text);
        parse_remainder(text, domain, &remainder)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

impl serde::Serialize for Reference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Reference {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Splits off the domain as Docker does (distribution/reference, `splitDockerDomain`): the first
/// component is one only when it is `localhost`, has a dot or a colon, or an upper-case letter.
fn split_domain(text: &str) -> (&str, String) {
    let Some((first, rest)) = text.split_once('/') else {
        return (DEFAULT_DOMAIN, format!("{OFFICIAL_PREFIX}{text}"));
    };
    let (domain, rest) = if first == LEGACY_DEFAULT_DOMAIN {
        (DEFAULT_DOMAIN, rest)
    } else if first == "localhost"
        || first.contains(['.', ':'])
        || first.chars().any(char::is_uppercase)
    {
        (first, rest)
    } else {
        (DEFAULT_DOMAIN, text)
    };
    if domain == DEFAULT_DOMAIN && !rest.contains('/') {
        (domain, format!("{OFFICIAL_PREFIX}{rest}"))
    } else {
        (domain, rest.to_owned())
    }
}

/// Reads `path[:tag][@digest]` behind a domain.
fn parse_remainder(text: &str, domain: &str, remainder: &str) -> Result<Reference, ReferenceError> {
    let grammar = || ReferenceError::Grammar {
        text: shortened(text),
    };
    let (named, digest) = match remainder.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (remainder, None),
    };
    let (path, tag) = match named.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (named, None),
    };
    if path.chars().any(char::is_uppercase) {
        return Err(ReferenceError::UpperCase {
            text: shortened(text),
        });
    }
    if !is_domain(domain) || !path.split('/').all(is_path_component) {
        return Err(grammar());
    }
    if path.len() > MAX_PATH {
        return Err(ReferenceError::TooLong {
            text: shortened(text),
        });
    }
    let tag = match tag {
        Some(tag) if is_tag(tag) => Some(Tag(tag.to_owned())),
        Some(_) => return Err(grammar()),
        None => None,
    };
    let digest = match digest {
        Some(digest) => Some(digest.parse().map_err(|_| ReferenceError::Digest {
            text: shortened(text),
        })?),
        None => None,
    };
    Ok(Reference {
        repository: Repository {
            domain: domain.to_owned(),
            path: path.to_owned(),
        },
        tag,
        digest,
    })
}

/// `domain-name-or-ipv6[:port]`.
fn is_domain(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, behind)) = rest.split_once(']') else {
                return false;
            };
            let is_address = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
            if address.is_empty() || !address.bytes().all(is_address) {
                return false;
            }
            if behind.is_empty() {
                return true;
            }
            match behind.strip_prefix(':') {
                Some(port) => ("v6", Some(port)),
                None => return false,
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    host.split('.').all(is_domain_component) && port.is_none_or(is_port)
}

/// `[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]`.
fn is_domain_component(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// `[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*`.
fn is_path_component(text: &str) -> bool {
    let is_separator = |byte: char| matches!(byte, '.' | '_' | '-');
    if text.is_empty() || text.starts_with(is_separator) || text.ends_with(is_separator) {
        return false;
    }
    let is_allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    text.bytes().all(is_allowed)
        && text
            .split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit())
            .filter(|run| !run.is_empty())
            .all(|run| matches!(run, "." | "_" | "__") || run.bytes().all(|byte| byte == b'-'))
}

/// `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`.
fn is_tag(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=128).contains(&text.len()) && !text.starts_with(['.', '-']) && text.bytes().all(is_allowed)
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// What an error shows of a text that may be hostile in length.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 120;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
