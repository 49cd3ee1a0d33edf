//! publish.toml + flags + environment → [`Settings`].
//!
//! What was typed ([`File`], everything optional) and what it means ([`Settings`], nothing is) are two
//! types; the JSON Schema and the known keys come from the first. Knows TOML and where each value
//! comes from. Must not know compose files, git or registries. Start reading at [`load`].

mod build;
mod builder;
mod document;
mod file;
mod known;
mod patterns;
mod settings;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use build::{Compression, ENTITLEMENTS};
pub use builder::{BuilderChoice, BuilderTls};
pub use document::{Document, Origin, text};
pub use file::{
    AnnotationLevel, CacheMode, CacheSource, CacheWrite, CacheWriter, CompressionKind, CreatedFrom,
    DirtyTree, File, MediaTypes, ProvenanceMode, Reuse, SbomChoice,
};
pub use known::schema;
pub use settings::{
    CacheSettings, Immutable, LocalPrune, RegistrySettings, ServiceSettings, Settings,
};

use self::known::Misfit;
use crate::excerpt::Excerpt;
use crate::interpolate::{InterpolateError, Lookup};

/// The name of the file where none is given.
pub const FILE_NAME: &str = "publish.toml";

/// What holds where nobody says anything, by the key that would say it, as TOML.
pub const DEFAULTS: &[(&str, &str)] = &[
    ("build.builder", "\"auto\""),
    ("build.provenance", "\"off\""),
    ("build.sbom", "false"),
    ("build.pull", "false"),
    ("build.no_cache", "false"),
    ("build.created", "\"commit\""),
    ("build.reuse", "\"unchanged\""),
    ("build.strict", "false"),
    ("build.reproducible", "false"),
    ("build.media_types", "\"oci\""),
    ("build.allow", "[]"),
    ("tags.dirty", "\"allow\""),
    ("tags.immutable", "true"),
    ("annotations.levels", "[]"),
    ("cache.sources", "[]"),
    ("cache.mode", "\"max\""),
    ("cache.write", "true"),
];

/// What is to be read.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The file and its text; `None` where there is no publish.toml, which is as good as an empty one.
    pub file: Option<(PathBuf, String)>,
    /// Values over those of the file: the key, the value, and the flag that said so.
    pub overrides: Vec<Override>,
}

/// A value that a flag puts over the file's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The key with its tables: `build.platforms`.
    pub key: String,
    /// The value as TOML, or as a bare text; a list may be written with commas.
    pub value: String,
    /// The flag, for messages: `--set`.
    pub flag: String,
}

/// Why publish.toml cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than anybody's publish.toml.
    #[error("{} is larger than 1 MiB", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file has more in it than anybody's publish.toml.
    #[error("more than {limit} keys, values and elements")]
    TooMany {
        /// The first that is too many.
        place: Box<Excerpt>,
        /// The most that are read.
        limit: usize,
    },
    /// The file is no text.
    #[error("the file is not UTF-8")]
    NotUtf8 {
        /// The first byte that is none.
        place: Box<Excerpt>,
    },
    /// It is no TOML.
    #[error("{message}")]
    Syntax {
        /// Where.
        place: Box<Excerpt>,
        /// What is wrong.
        message: String,
    },
    /// A variable in a value cannot be replaced.
    #[error("{source}")]
    Interpolation {
        /// Where.
        place: Box<Excerpt>,
        /// What is wrong.
        source: InterpolateError,
    },
    /// A key that nothing reads.
    #[error("unknown key `{key}`")]
    UnknownKey {
        /// Where, if it stands in the file.
        place: Option<Box<Excerpt>>,
        /// The key with its tables.
        key: String,
        /// The known key that is most like it.
        nearest: Option<String>,
    },
    /// Unknown keys that are not reported one by one.
    #[error("{more} more unknown keys")]
    More {
        /// How many.
        more: usize,
    },
    /// A value that does not make sense.
    #[error("`{key}`: {message}")]
    Value {
        /// Where, if it stands in the file.
        place: Option<Box<Excerpt>>,
        /// The key with its tables.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// `--set` was not given a key and a value.
    #[error("`{flag} {given}` is not of the form KEY=VALUE")]
    Override {
        /// The flag.
        flag: String,
        /// What was given.
        given: String,
    },
    /// More than one of these.
    #[error("{} mistakes in publish.toml", .0.len())]
    Several(Vec<Error>),
}

impl Error {
    /// Where in the file the mistake is.
    pub fn place(&self) -> Option<&Excerpt> {
        match self {
            Self::TooMany { place, .. }
            | Self::NotUtf8 { place }
            | Self::Syntax { place, .. }
            | Self::Interpolation { place, .. } => Some(place),
            Self::UnknownKey { place, .. } | Self::Value { place, .. } => place.as_deref(),
            Self::Read { .. }
            | Self::TooLarge { .. }
            | Self::Override { .. }
            | Self::More { .. }
            | Self::Several(_) => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey {
                nearest: Some(nearest),
                ..
            } => Some(format!("did you mean `{nearest}`?")),
            Self::UnknownKey { .. } => {
                Some("`castoff schema` prints every key that there is".to_owned())
            }
            Self::Interpolation { source, .. } => source.hint(),
            Self::Override { .. } => {
                Some("write for example `--set build.platforms=linux/amd64`".to_owned())
            }
            Self::Read { .. } => Some("name another file with --config".to_owned()),
            Self::NotUtf8 { .. } => Some("save the file as UTF-8".to_owned()),
            Self::TooMany { .. } | Self::TooLarge { .. } => {
                Some("no real project needs so much; is it the right file?".to_owned())
            }
            Self::Syntax { .. } | Self::Value { .. } | Self::More { .. } | Self::Several(_) => None,
        }
    }
}

impl Settings {
    /// Takes remarks about any Dockerfile for errors, as a flag asks for it.
    pub fn be_strict(&mut self) {
        self.general.strict = true;
        for service in self.services.values_mut() {
            service.strict = true;
        }
    }
}

/// Reads and understands publish.toml. `lookup` gives the variables that its values may name.
pub fn load(ask: &Ask, lookup: &Lookup<'_>) -> Result<(Settings, Arc<Document>), Error> {
    let (mut document, folder) = match &ask.file {
        Some((path, text)) => {
            let folder = path.parent().unwrap_or(Path::new("")).to_owned();
            (Document::parse(path, text, lookup)?, folder)
        }
        None => (Document::default(), PathBuf::new()),
    };
    for over in &ask.overrides {
        apply(&mut document, over)?;
    }
    let mut unknown = known::unknown_keys(&document);
    match unknown.len() {
        0 => {}
        1 => {
            if let Some(error) = unknown.pop() {
                return Err(error);
            }
        }
        _ => return Err(Error::Several(unknown)),
    }
    if let Some(Misfit { path, message }) = known::misfit(&document.root) {
        return Err(Error::Value {
            place: document.place(&path),
            key: path.join("."),
            message,
        });
    }
    let root = toml::Value::Table(document.root.clone());
    let file: File = serde_path_to_error::deserialize(root).map_err(|error| {
        let path = key_path(error.path());
        Error::Value {
            place: document.place(&path),
            key: path.join("."),
            message: first_line(error.inner()),
        }
    })?;
    let document = Arc::new(document);
    let settings = Settings::new(file, &document, &folder)?;
    Ok((settings, document))
}

/// The compose files that publish.toml names, relative to it. Read before anything else, as the variables
/// of all other values come from the project that these files make.
pub fn compose_files(ask: &Ask) -> Result<Vec<PathBuf>, Error> {
    let Some((path, text)) = &ask.file else {
        return Ok(Vec::new());
    };
    let document = Document::parse(path, text, &|_| Some(String::new()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let files = document
        .root
        .get("project")
        .and_then(|project| project.get("compose"))
        .and_then(toml::Value::as_array);
    // A value of another type is reported when the whole file is read.
    let names = files.into_iter().flatten().enumerate();
    let names = names.filter_map(|(index, name)| Some((index, name.as_str()?)));
    let file = |(index, name): (usize, &str)| {
        let file = folder.join(name);
        if name == "-" || file.symlink_metadata().is_ok() {
            return Ok(file);
        }
        let path = ["project", "compose", &index.to_string()].map(str::to_owned);
        Err(Error::Value {
            place: document.place(&path),
            key: "project.compose".to_owned(),
            message: format!(
                "there is no file `{}`: a path is meant from the folder of publish.toml",
                file.display()
            ),
        })
    };
    names.map(file).collect()
}

/// Puts a flag's value over the file's.
fn apply(document: &mut Document, over: &Override) -> Result<(), Error> {
    let wrong = || Error::Override {
        flag: over.flag.clone(),
        given: format!("{}={}", over.key, over.value),
    };
    let path: Vec<String> = over
        .key
        .split('.')
        .map(|key| key.trim().to_owned())
        .collect();
    if path.iter().any(String::is_empty) {
        return Err(wrong());
    }
    let parsed = toml::from_str::<toml::Table>(&format!("value = {}", over.value));
    let parsed = parsed.ok().and_then(|mut table| table.remove("value"));
    let value = parsed.unwrap_or_else(|| toml::Value::String(over.value.clone()));
    let value = match value {
        toml::Value::String(list) if known::is_list(&path) => {
            let item = |item: &str| toml::Value::String(item.trim().to_owned());
            toml::Value::Array(list.split(',').map(item).collect())
        }
        value => value,
    };
    document.set(&path, value, &over.flag);
    Ok(())
}

/// What a TOML error says, without the path that it repeats below.
fn first_line(error: &toml::de::Error) -> String {
    error
        .message()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn key_path(path: &serde_path_to_error::Path) -> Vec<String> {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

impl Document {
    /// What holds for the keys of [`DEFAULTS`] that nobody said: each with its value as TOML.
    pub fn defaults(&self) -> Vec<(&'static str, &'static str)> {
        let is_annotated = self
            .root
            .get("annotations")
            .and_then(|table| table.get("values")?.as_table())
            .is_some_and(|values| !values.is_empty());
        let default = |(key, value): &(&'static str, &'static str)| {
            let (table, name) = key.split_once('.')?;
            let is_said = self.root.get(table).and_then(|it| it.get(name)).is_some();
            let value = match *key {
                "annotations.levels" if is_annotated => "[\"manifest\"]",
                _ => *value,
            };
            (!is_said).then_some((*key, value))
        };
        DEFAULTS.iter().filter_map(default).collect()
    }

    /// Where the value at `path` stands in the file.
    fn place(&self, path: &[String]) -> Option<Box<Excerpt>> {
        match self.value_origin(path) {
            Origin::File(place) => Some(Box::new(place)),
            Origin::Flag(_) | Origin::Default => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, overrides: &[(&str, &str)]) -> Result<Settings, Error> {
        let ask = Ask {
            file: Some((PathBuf::from("publish.toml"), text.to_owned())),
            overrides: overrides
                .iter()
                .map(|(key, value)| Override {
                    key: (*key).to_owned(),
                    value: (*value).to_owned(),
                    flag: "--set".to_owned(),
                })
                .collect(),
        };
        let lookup = |name: &str| (name == "OWNER").then(|| "acme".to_owned());
        load(&ask, &lookup).map(|(settings, _)| settings)
    }

    #[test]
    fn variables_are_replaced_and_a_service_overrides_what_is_general() {
        let settings = read(
            r#"
            [registries.ghcr]
            repository = "ghcr.io/${OWNER}/{{service}}"
            [build]
            platforms = ["linux/amd64", "linux/arm64"]
            [labels]
            a = "1"
            [services.web]
            platforms = ["linux/amd64"]
            labels = { b = "2" }
            "#,
            &[],
        )
        .unwrap();
        assert_eq!(
            settings.registries[0].repository,
            "ghcr.io/acme/{{service}}"
        );
        assert!(settings.registries[0].required);
        assert_eq!(settings.service("api").platforms.len(), 2);
        assert_eq!(settings.service("web").platforms.len(), 1);
        assert_eq!(settings.service("web").labels.len(), 2);
    }

    #[test]
    fn an_unknown_key_has_its_place_and_the_nearest_known_one() {
        let error = read("[build]\nplatfroms = []\n", &[]).unwrap_err();
        assert_eq!(error.to_string(), "unknown key `build.platfroms`");
        assert_eq!(error.place().unwrap().to_string(), "publish.toml:2:1");
        assert_eq!(error.hint().unwrap(), "did you mean `platforms`?");
    }

    #[test]
    fn a_key_that_is_like_no_known_one_has_no_nearest_one() {
        for key in ["\"日本語キー\"", "x", "zzzzzz"] {
            let error = read(&format!("[build]\n{key} = 1\n"), &[]).unwrap_err();
            let hint = error.hint().unwrap();
            assert!(hint.contains("castoff schema"), "{key}: {hint}");
        }
        for (key, nearest) in [("no-cache", "no_cache"), ("Platform", "platforms")] {
            let error = read(&format!("[build]\n{key} = 1\n"), &[]).unwrap_err();
            assert_eq!(error.hint().unwrap(), format!("did you mean `{nearest}`?"));
        }
    }

    /// Each of these took minutes while a place was looked up from the beginning of the file.
    #[test]
    fn what_nobody_needs_is_refused_at_once() {
        let table = |count: usize, line: &dyn Fn(usize) -> String| -> String {
            (0..count).map(line).collect()
        };
        let list = |key: &str, count, item: &str| {
            format!("{key} = [{}]\n", format!("\"{item}\",").repeat(count))
        };
        let registry = |i| format!("[registries.r{i}]\nrepository = \"r/{i}\"\n");
        let rules = list("rules", 1_000, "type=sha");
        let rules = format!("[tags]\n{rules}");
        for (text, message) in [
            (
                table(40_000, &|i| format!("[services.a{i}]\n")),
                "more than 20000",
            ),
            (table(100_000, &|i| format!("[x{i}]\n")), "more than 20000"),
            (
                table(60_000, &|_| "[[gates.test]]\n".to_owned()),
                "more than 20000",
            ),
            (
                format!("[build]\n{}", list("platforms", 50_000, "linux/a")),
                "more than 20000",
            ),
            (
                table(5_000, &registry),
                "`registries`: there are 5000, and at most 200",
            ),
            (
                format!("[tags]\n{}", list("rules", 6_000, "type=sha")),
                "there are 6000",
            ),
            (
                rules + &table(5_000, &|i| format!("[services.a{i}]\n")),
                "`services`: they take over more than 200000 values",
            ),
            (table(15_000, &|i| format!("[x{i}]\n")), "51 mistakes"),
        ] {
            let start = std::time::Instant::now();
            let error = read(&text, &[]).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
            let took = start.elapsed();
            assert!(
                took < std::time::Duration::from_secs(10),
                "{took:?}: {error}"
            );
        }
        let many = table(9_000, &|i| format!("[services.a{i}]\nskip = true\n"));
        assert_eq!(read(&many, &[]).unwrap().named_services.len(), 9_000);
    }

    #[test]
    fn all_unknown_keys_are_reported_at_once() {
        let error = read("buildd = 1\n[services.a]\nx = 1\n", &[]).unwrap_err();
        assert!(matches!(error, Error::Several(all) if all.len() == 2));
    }

    #[test]
    fn a_wrong_type_and_a_wrong_value_have_their_place() {
        let error = read("[build]\npull = \"often\"\n", &[]).unwrap_err();
        assert_eq!(error.place().unwrap().to_string(), "publish.toml:2:8");
        let error = read("[build]\nplatforms = [\"linux/amd64\", \"a b\"]\n", &[]).unwrap_err();
        assert_eq!(error.place().unwrap().to_string(), "publish.toml:2:29");
        let error = read("[cache]\nsources = [\"ftp\"]\n", &[]).unwrap_err();
        assert_eq!(error.place().unwrap().to_string(), "publish.toml:2:12");
    }

    #[test]
    fn a_wrong_value_is_told_what_is_expected_in_the_words_of_the_file() {
        for (key, value, message) in [
            (
                "build.provenance",
                "true",
                "expected \"off\", \"min\" or \"max\", not `true`",
            ),
            ("build", "1", "expected a table, not `1`"),
            (
                "build.compression",
                "foo",
                "expected \"gzip\", \"zstd\", \"estargz\", \"uncompressed\" or a table, not `\"foo\"`",
            ),
            (
                "build.compression",
                "{ kind = \"zstd\", level = 300 }",
                "expected a whole number from 0 to 22, not `300`",
            ),
            (
                "build.sbom",
                "1",
                "expected true or false or a table, not `1`",
            ),
            (
                "build.pull",
                "often",
                "expected true or false, not `\"often\"`",
            ),
            ("build.platforms", "1", "expected a list of texts, not `1`"),
            (
                "cache.sources",
                "ftp",
                "expected \"gha\", \"registry\" or \"inline\", not `\"ftp\"`",
            ),
            (
                "cache.write",
                "never",
                "expected true or false or \"default-branch\", not `\"never\"`",
            ),
            (
                "build.cgroup_parent",
                "2026-01-01",
                "expected a text, not `2026-01-01`",
            ),
        ] {
            let error = read("", &[(key, value)]).unwrap_err();
            let Error::Value { message: found, .. } = &error else {
                panic!("{key}: {error}");
            };
            assert_eq!(found, message, "{key}");
        }
        let error = read("", &[("", "x")]).unwrap_err();
        assert_eq!(error.to_string(), "`--set =x` is not of the form KEY=VALUE");
        let error = read("[cache]\ntimeout = \"soon\"\n", &[]).unwrap_err();
        assert!(matches!(error, Error::Value { .. }), "{error}");
    }

    #[test]
    fn flags_win_over_the_file() {
        let text = "[build]\nplatforms = [\"linux/amd64\"]\n";
        let over = [
            ("build.platforms", "linux/arm64,linux/arm/v7"),
            ("build.pull", "true"),
        ];
        let settings = read(text, &over).unwrap();
        assert_eq!(settings.general.platforms.len(), 2);
        assert!(settings.general.pull);
        let error = read(text, &[("build.pul", "true")]).unwrap_err();
        assert_eq!(error.hint().unwrap(), "did you mean `pull`?");
    }

    #[test]
    fn saying_a_default_changes_nothing() {
        let silent = read("", &[]).unwrap();
        for (key, value) in DEFAULTS {
            let said = read("", &[(key, value)]).unwrap();
            let (said, silent) = (&said.general, &silent.general);
            let off = Some(ProvenanceMode::Off);
            let provenance = said.provenance.filter(|mode| Some(*mode) != off);
            assert_eq!(provenance, silent.provenance, "{key}");
            // Off is what nobody asks for, but it also holds against a compose file that does.
            let sbom = said
                .sbom
                .as_ref()
                .filter(|choice| **choice != SbomChoice::Off);
            assert_eq!(sbom, silent.sbom.as_ref(), "{key}");
            assert_eq!(said.builder, silent.builder, "{key}");
            assert_eq!(
                (said.pull, said.no_cache),
                (silent.pull, silent.no_cache),
                "{key}"
            );
            assert_eq!(said.cache, silent.cache, "{key}");
            assert_eq!(
                (said.created, said.dirty),
                (silent.created, silent.dirty),
                "{key}"
            );
            assert_eq!(
                (said.reproducible, said.media_types, &said.allow),
                (silent.reproducible, silent.media_types, &silent.allow),
                "{key}"
            );
            assert_eq!(said.annotated(), silent.annotated(), "{key}");
        }
    }

    #[test]
    fn the_schema_knows_every_key_of_every_table() {
        let schema = schema();
        let text = schema.to_string();
        for key in [
            "repository",
            "platforms",
            "unused_for",
            "keep_last",
            "flavor",
        ] {
            assert!(text.contains(&format!("\"{key}\"")), "{key}");
        }
        assert_eq!(schema["additionalProperties"], false);
    }
}
