//! The event's payload: a file of GitHub's that holds, among much else, text of strangers.
//!
//! Only the few fields below are kept, each of them optional and each ignored when it is not of
//! the expected kind; of a field that is there twice the last counts, as `JSON.parse` has it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::whole_file;

/// GitHub sends no payload over 25 MB (its documentation, "Webhook events and payloads").
const MAX_BYTES: u64 = 25 * 1024 * 1024;
/// A push event lists at most 2048 commits.
const MAX_COMMITS: usize = 2048;
/// The longest text that is kept; a title or a name is never longer.
const MAX_TEXT: usize = 4096;
/// The fields that are kept, of whatever object.
const FIELDS: [&str; 20] = [
    "base",
    "base_ref",
    "commits",
    "default_branch",
    "description",
    "full_name",
    "head",
    "head_commit",
    "html_url",
    "id",
    "license",
    "name",
    "number",
    "pull_request",
    "ref",
    "repo",
    "repository",
    "sha",
    "spdx_id",
    "timestamp",
];

#[derive(Debug, Default)]
pub(super) struct Payload {
    pub(super) number: Option<u64>,
    pub(super) base_ref: Option<String>,
    pub(super) repository: Repository,
    pub(super) pull_request: PullRequest,
    pub(super) head_commit: Commit,
    pub(super) commits: Vec<Commit>,
}

#[derive(Debug, Default)]
pub(super) struct Repository {
    pub(super) name: Option<String>,
    pub(super) full_name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) html_url: Option<String>,
    pub(super) default_branch: Option<String>,
    pub(super) license: License,
}

#[derive(Debug, Default)]
pub(super) struct License {
    pub(super) spdx_id: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct PullRequest {
    pub(super) head: End,
    pub(super) base: End,
}

/// One end of a pull request.
#[derive(Debug, Default)]
pub(super) struct End {
    pub(super) name: Option<String>,
    pub(super) sha: Option<String>,
    pub(super) repo: Repository,
}

#[derive(Debug, Default)]
pub(super) struct Commit {
    pub(super) id: Option<String>,
    pub(super) timestamp: Option<String>,
}

/// Reads the payload, or says why it cannot be read; `None` where there is no such file.
///
/// As actions/toolkit does (packages/github, `context.ts`): a file that is not there is passed over, one
/// that is there has to be JSON, and letters that are no UTF-8 are read as U+FFFD.
pub(super) fn read(path: &Path) -> Result<Option<Payload>, String> {
    let bytes = match whole_file::read(path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error.to_string()),
    };
    Payload::parse(&String::from_utf8_lossy(&bytes)).map(Some)
}

impl Payload {
    fn parse(text: &str) -> Result<Self, String> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if !raw.get().starts_with('{') {
            return Err("it is no JSON object".to_owned());
        }
        let payload = Object::read(raw);
        let request = payload.object("pull_request");
        Ok(Self {
            number: payload.number("number"),
            base_ref: payload.text("base_ref"),
            repository: Repository::read(&payload.object("repository")),
            pull_request: PullRequest {
                head: End::read(&request.object("head")),
                base: End::read(&request.object("base")),
            },
            head_commit: Commit::read(&payload.object("head_commit")),
            commits: payload.list("commits").iter().map(Commit::read).collect(),
        })
    }
}

impl Repository {
    fn read(object: &Object<'_>) -> Self {
        Self {
            name: object.text("name"),
            full_name: object.text("full_name"),
            description: object.text("description"),
            html_url: object.text("html_url"),
            default_branch: object.text("default_branch"),
            license: License {
                spdx_id: object.object("license").text("spdx_id"),
            },
        }
    }
}

impl End {
    fn read(object: &Object<'_>) -> Self {
        Self {
            name: object.text("ref"),
            sha: object.text("sha"),
            repo: Repository::read(&object.object("repo")),
        }
    }
}

impl Commit {
    fn read(object: &Object<'_>) -> Self {
        Self {
            id: object.text("id"),
            timestamp: object.text("timestamp"),
        }
    }
}

/// The fields of an object that are of interest; of what is no object, none.
#[derive(Default)]
struct Object<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Object<'a> {
    fn read(raw: &'a RawValue) -> Self {
        serde_json::from_str(raw.get()).unwrap_or_default()
    }

    fn get<T: Deserialize<'a>>(&self, key: &str) -> Option<T> {
        serde_json::from_str(self.0.get(key)?.get()).ok()
    }

    fn text(&self, key: &str) -> Option<String> {
        self.get(key).filter(|text: &String| text.len() <= MAX_TEXT)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.get(key)
    }

    fn object(&self, key: &str) -> Self {
        self.0
            .get(key)
            .map(|raw| Self::read(raw))
            .unwrap_or_default()
    }

    fn list(&self, key: &str) -> Vec<Self> {
        let list: Option<List<'a>> = self.get(key);
        list.map(|list| list.0).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Object<'de>, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some(key) = access.next_key::<String>()? {
                    if FIELDS.contains(&key.as_str()) {
                        fields.insert(key, access.next_value()?);
                    } else {
                        access.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// The first objects of a list.
struct List<'a>(Vec<Object<'a>>);

impl<'de> Deserialize<'de> for List<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = List<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<List<'de>, A::Error> {
                let mut kept = Vec::new();
                while kept.len() < MAX_COMMITS {
                    match access.next_element::<&RawValue>()? {
                        Some(raw) => kept.push(Object::read(raw)),
                        None => return Ok(List(kept)),
                    }
                }
                while access.next_element::<IgnoredAny>()?.is_some() {}
                Ok(List(kept))
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_the_expected_kind_is_ignored() {
        let payload = Payload::parse(
            r#"{"number": "12", "base_ref": null, "repository": [1, {}], "pull_request": 7,
                "head_commit": {"id": 1, "timestamp": "now"}, "commits": [null, {"id": "a"}, 3, []]}"#,
        )
        .unwrap();
        assert_eq!(payload.number, None);
        assert_eq!(payload.head_commit.id, None);
        assert_eq!(payload.head_commit.timestamp.as_deref(), Some("now"));
        let ids = payload.commits.iter().filter_map(|it| it.id.as_deref());
        assert_eq!(ids.collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn of_a_field_that_is_there_twice_the_last_counts() {
        let payload = Payload::parse(
            r#"{"repository": {"default_branch": "a", "name": "x"}, "number": 1,
                "repository": {"default_branch": "b", "default_branch": "main"}, "number": 2}"#,
        )
        .unwrap();
        assert_eq!(payload.repository.default_branch.as_deref(), Some("main"));
        assert_eq!(payload.repository.name, None);
        assert_eq!(payload.number, Some(2));
    }

    #[test]
    fn a_hostile_payload_is_refused_or_read_over() {
        let deep = format!("{{\"x\": {}", "[".repeat(100_000));
        assert!(Payload::parse(&deep).is_err());
        let long = format!("{{\"base_ref\": \"{}\"}}", "x".repeat(1_000_000));
        assert_eq!(Payload::parse(&long).unwrap().base_ref, None);
        let many = format!("{{\"commits\": [{}1]}}", "1,".repeat(1_000_000));
        assert_eq!(Payload::parse(&many).unwrap().commits.len(), MAX_COMMITS);
    }

    #[test]
    fn what_javascript_reads_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("event.json");
        let read_bytes = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read(&path)
        };
        let latin = b"{\"repository\": {\"name\": \"caf\xe9\"}}";
        let payload = read_bytes(latin).unwrap().unwrap();
        assert_eq!(payload.repository.name.as_deref(), Some("caf\u{fffd}"));
        // Half a letter, which no text can hold: that field is not known, all the others are.
        let half = br#"{"repository": {"description": "\ud83d", "name": "x"}, "title": "\ud83d"}"#;
        let payload = read_bytes(half).unwrap().unwrap();
        assert_eq!(payload.repository.description, None);
        assert_eq!(payload.repository.name.as_deref(), Some("x"));
        for refused in [
            &b"\xef\xbb\xbf{}"[..],
            b"\xff\xfe{\0}\0",
            b"{",
            b"",
            b"null",
            b"[]",
        ] {
            assert!(read_bytes(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn a_file_over_the_limit_is_not_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(MAX_BYTES + 1).unwrap();
        assert!(read(file.path()).unwrap_err().contains("larger than"));
        assert!(read(Path::new("/nonexistent")).unwrap().is_none());
        assert!(read(Path::new("/")).is_err());
    }
}
