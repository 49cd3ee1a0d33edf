//! The event's payload: a file of GitHub's that holds, among much else, text of strangers.
//!
//! Only the few fields below are kept, each of them optional and each ignored when it is not of
//! the expected kind. The file is read as a stream, so that its size costs no memory.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::marker::PhantomData;
use std::path::Path;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// GitHub sends no payload over 25 MB (its documentation, "Webhook events and payloads").
const MAX_BYTES: u64 = 25 * 1024 * 1024;
/// A push event lists at most 2048 commits.
const MAX_COMMITS: usize = 2048;
/// The longest text that is kept; a title or a name is never longer.
const MAX_TEXT: usize = 4096;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Payload {
    #[serde(deserialize_with = "number")]
    pub(super) number: Option<u64>,
    #[serde(deserialize_with = "text")]
    pub(super) base_ref: Option<String>,
    #[serde(deserialize_with = "object")]
    pub(super) repository: Repository,
    #[serde(deserialize_with = "object")]
    pub(super) pull_request: PullRequest,
    #[serde(deserialize_with = "object")]
    pub(super) head_commit: Commit,
    #[serde(deserialize_with = "list")]
    pub(super) commits: Vec<Commit>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Repository {
    #[serde(deserialize_with = "text")]
    pub(super) name: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) full_name: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) description: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) html_url: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) default_branch: Option<String>,
    #[serde(deserialize_with = "object")]
    pub(super) license: License,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct License {
    #[serde(deserialize_with = "text")]
    pub(super) spdx_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PullRequest {
    #[serde(deserialize_with = "object")]
    pub(super) head: End,
    #[serde(deserialize_with = "object")]
    pub(super) base: End,
}

/// One end of a pull request.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct End {
    #[serde(rename = "ref", deserialize_with = "text")]
    pub(super) name: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) sha: Option<String>,
    #[serde(deserialize_with = "object")]
    pub(super) repo: Repository,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Commit {
    #[serde(deserialize_with = "text")]
    pub(super) id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) timestamp: Option<String>,
}

/// Reads the payload, or says why it cannot be read.
pub(super) fn read(path: &Path) -> Result<Payload, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    if size > MAX_BYTES {
        return Err(format!("{size} bytes, more than {MAX_BYTES}"));
    }
    let bounded = BufReader::new(file.take(MAX_BYTES));
    let object: Lenient<Payload> =
        serde_json::from_reader(bounded).map_err(|error| error.to_string())?;
    object.0.ok_or_else(|| "not a JSON object".to_owned())
}

/// An object, or anything else, which is ignored.
struct Lenient<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(Pick::<Object<T>>(PhantomData))
            .map(Self)
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(
        match deserializer.deserialize_any(Pick::<Scalar>(PhantomData))? {
            Some(Scalar::Text(text)) => Some(text),
            _ => None,
        },
    )
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(
        match deserializer.deserialize_any(Pick::<Scalar>(PhantomData))? {
            Some(Scalar::Number(number)) => Some(number),
            _ => None,
        },
    )
}

fn object<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Lenient::deserialize(deserializer)?.0.unwrap_or_default())
}

fn list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(deserializer
        .deserialize_any(Pick::<Elements<T>>(PhantomData))?
        .unwrap_or_default())
}

enum Scalar {
    Text(String),
    Number(u64),
}

/// Which kinds of JSON a reader keeps; all others are read over.
trait Shape<'de> {
    type Value;
    fn scalar(_scalar: Scalar) -> Option<Self::Value> {
        None
    }
    fn map<A: MapAccess<'de>>(mut access: A) -> Result<Option<Self::Value>, A::Error> {
        while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
    fn seq<A: SeqAccess<'de>>(mut access: A) -> Result<Option<Self::Value>, A::Error> {
        while access.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

struct Pick<S>(PhantomData<S>);

impl<'de, S: Shape<'de>> Visitor<'de> for Pick<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(S::scalar(Scalar::Number(number)))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        if text.len() > MAX_TEXT {
            return Ok(None);
        }
        Ok(S::scalar(Scalar::Text(text.to_owned())))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
        S::map(access)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
        S::seq(access)
    }
}

impl Shape<'_> for Scalar {
    type Value = Self;
    fn scalar(scalar: Scalar) -> Option<Self> {
        Some(scalar)
    }
}

/// What is no scalar is an object.
struct Object<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Shape<'de> for Object<T> {
    type Value = T;
    fn map<A: MapAccess<'de>>(access: A) -> Result<Option<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(access)).map(Some)
    }
}

/// What is no scalar may be a list of objects.
struct Elements<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Shape<'de> for Elements<T> {
    type Value = Vec<T>;
    fn seq<A: SeqAccess<'de>>(mut access: A) -> Result<Option<Vec<T>>, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < MAX_COMMITS {
            match access.next_element::<Lenient<T>>()? {
                Some(element) => kept.extend(element.0),
                None => return Ok(Some(kept)),
            }
        }
        while access.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Some(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_the_expected_kind_is_ignored() {
        let payload: Payload = serde_json::from_str(
            r#"{"number": "12", "base_ref": null, "repository": [1, {}], "pull_request": 7,
                "head_commit": {"id": 1, "timestamp": "now"}, "commits": [null, {"id": "a"}, 3, []]}"#,
        )
        .unwrap();
        assert_eq!(payload.number, None);
        assert_eq!(payload.head_commit.id, None);
        assert_eq!(payload.head_commit.timestamp.as_deref(), Some("now"));
        assert_eq!(payload.commits.len(), 1);
    }

    #[test]
    fn a_hostile_payload_is_refused_or_read_over() {
        let deep = format!("{{\"x\": {}", "[".repeat(100_000));
        assert!(serde_json::from_str::<Payload>(&deep).is_err());
        let long = format!("{{\"base_ref\": \"{}\"}}", "x".repeat(1_000_000));
        let payload: Payload = serde_json::from_str(&long).unwrap();
        assert_eq!(payload.base_ref, None);
    }

    #[test]
    fn a_file_over_the_limit_is_not_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(MAX_BYTES + 1).unwrap();
        assert!(read(file.path()).unwrap_err().contains("more than"));
        assert!(read(Path::new("/nonexistent")).is_err());
    }
}
