use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use bollard_buildkit_proto::moby::buildkit::v1::CacheOptionsEntry;
use serde_json::json;

use super::Environment;
use super::layout::Layout;
use super::session::Stores;
use super::status::Waits;
use crate::execute::ports::{BuildOrder, BuilderError};
use crate::oci::Digest;
use crate::plan::{BuildSpec, CacheRef};
use crate::secret::Secret;

/// The caches of a build in BuildKit's words, with what only the builder may know: addresses and tokens
/// of this run. They are added here, on the last step of the way, and stand nowhere else.
#[derive(Default)]
pub(super) struct Caches {
    pub(super) imports: Vec<CacheOptionsEntry>,
    pub(super) exports: Vec<CacheOptionsEntry>,
    /// What must not be seen in what the builder says.
    pub(super) secrets: Vec<Secret>,
    /// What is amiss with caches on this machine.
    pub(super) warnings: Vec<String>,
    /// Folders that get a cache, with the name that its manifest has there.
    written: Vec<(Layout, String)>,
}

impl Caches {
    /// Reads what is needed of caches on this machine, and offers their folders; so not for a thread
    /// of the runtime.
    pub(super) fn new(spec: &BuildSpec, environment: &Environment, stores: &mut Stores) -> Self {
        let mut caches = Self::default();
        for cache in &spec.cache_from {
            let mut entry = caches.entry(cache, environment);
            let is_there = cache.kind != "local" || caches.read_folder(&mut entry, stores);
            caches.imports.extend(is_there.then_some(entry));
        }
        for cache in &spec.cache_to {
            let mut entry = caches.entry(cache, environment);
            caches.add_rest_api(&mut entry, environment);
            let is_there = cache.kind != "local" || caches.write_folder(&mut entry, stores);
            caches.exports.extend(is_there.then_some(entry));
        }
        caches
    }

    /// Offers a folder with a cache. One that is not there yet is left out without a word, as are
    /// those in registries.
    fn read_folder(&mut self, entry: &mut CacheOptionsEntry, stores: &mut Stores) -> bool {
        let path = PathBuf::from(entry.attrs.get("src").cloned().unwrap_or_default());
        let found = Layout::open(&path).and_then(|layout| {
            let digest = match entry.attrs.get("digest") {
                Some(digest) => Some(digest.parse().map_err(io::Error::other)?),
                None => layout.find(tag(entry))?,
            };
            if let Some(digest) = &digest {
                layout.verify(digest)?;
            }
            Ok(digest.map(|digest: Digest| (layout, digest)))
        });
        match found {
            Ok(Some((layout, digest))) => {
                let store = stores.offer("local", &path, layout, false);
                entry.attrs.insert("src".to_owned(), store);
                let digest = digest.as_str().to_owned();
                entry.attrs.insert("digest".to_owned(), digest);
                true
            }
            Ok(None) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                let path = path.display();
                self.warnings
                    .push(format!("the cache in {path} could not be read: {error}"));
                false
            }
        }
    }

    /// Offers a folder for a cache, and makes it where there is none.
    fn write_folder(&mut self, entry: &mut CacheOptionsEntry, stores: &mut Stores) -> bool {
        let path = PathBuf::from(entry.attrs.get("dest").cloned().unwrap_or_default());
        match Layout::create(&path) {
            Ok(layout) => {
                self.written.push((layout.clone(), tag(entry).to_owned()));
                let store = stores.offer("local", &path, layout, true);
                entry.attrs.insert("dest".to_owned(), store);
                true
            }
            Err(error) => {
                let path = path.display();
                self.warnings
                    .push(format!("the cache in {path} could not be written: {error}"));
                false
            }
        }
    }

    /// Gives the manifest of the cache that was written its name, in every folder that has it: a
    /// builder writes blobs alone (BuildKit, client/solve.go, `solve`). Says what went wrong.
    pub(super) fn finish(&self, manifest: Option<&str>) -> Vec<String> {
        let Some(manifest) = manifest.and_then(|text| serde_json::from_str(text).ok()) else {
            return Vec::new();
        };
        let put = |(layout, tag): &(Layout, String)| {
            let error = layout.put(&manifest, tag).err()?;
            Some(format!("the cache could not be written: {error}"))
        };
        self.written.iter().filter_map(put).collect()
    }

    fn entry(&mut self, cache: &CacheRef, environment: &Environment) -> CacheOptionsEntry {
        let mut entry = Entry {
            attributes: cache.attributes.clone().into_iter().collect(),
            environment,
            secrets: &mut self.secrets,
        };
        match cache.kind.as_str() {
            "gha" => entry.add_github(),
            "s3" => entry.add_amazon(),
            _ => {}
        }
        CacheOptionsEntry {
            r#type: cache.kind.clone(),
            attrs: entry.attributes,
        }
    }

    /// With these BuildKit lists the entries that GitHub has, once, where it would otherwise ask for
    /// each layer by itself (BuildKit, cache/remotecache/gha, `initActiveKeyMap`). It asks
    /// github.com whatever server the job runs on, so no other server's token may go there.
    fn add_rest_api(&mut self, entry: &mut CacheOptionsEntry, environment: &Environment) {
        let is_github = get(environment, "GITHUB_SERVER_URL")
            .is_none_or(|server| server.expose() == "https://github.com");
        let token = get(environment, "GITHUB_TOKEN");
        let repository = get(environment, "GITHUB_REPOSITORY");
        let (Some(token), Some(repository), true) = (token, repository, is_github) else {
            return;
        };
        if entry.r#type != "gha" || entry.attrs.contains_key("ghtoken") {
            return;
        }
        let (key, value) = ("ghtoken".to_owned(), token.expose().to_owned());
        entry.attrs.insert(key, value);
        let of = entry.attrs.entry("repository".to_owned());
        of.or_insert_with(|| repository.expose().to_owned());
        self.secrets.push(token);
    }

    /// The imports as the frontend takes them, which hands them to the stages that it solves itself
    /// (BuildKit, client/solve.go, `parseCacheOptions`).
    pub(super) fn imports_for_frontend(&self) -> Option<String> {
        let import =
            |cache: &CacheOptionsEntry| json!({"Type": cache.r#type, "Attrs": cache.attrs});
        let imports: Vec<_> = self.imports.iter().map(import).collect();
        (!imports.is_empty()).then(|| json!(imports).to_string())
    }
}

/// The name of a cache within its folder.
fn tag(entry: &CacheOptionsEntry) -> &str {
    entry.attrs.get("tag").map_or("latest", String::as_str)
}

/// Takes the exports out of `spec` that the builder refused to begin with, and says why; `None` where
/// the failure is about something else. A kind that it does not know, or that is not configured as
/// it wants, fails a build even where errors of caches are ignored (BuildKit, control/control.go,
/// `Solve`). It says so before it builds anything.
pub(super) fn take_refused(spec: &mut BuildSpec, message: &str) -> Option<String> {
    let (kind, reason) = if let Some((_, rest)) = message.split_once("unknown cache exporter: \"") {
        let (kind, _) = rest.split_once('"')?;
        (kind, "the builder has no such cache".to_owned())
    } else {
        let (_, rest) = message.split_once("failed to configure ")?;
        let (kind, rest) = rest.split_once(" cache exporter")?;
        (kind, rest.trim_start_matches([':', ' ']).to_owned())
    };
    let before = spec.cache_to.len();
    spec.cache_to.retain(|cache| cache.kind != kind);
    (spec.cache_to.len() < before).then(|| format!("the `{kind}` cache is not written: {reason}"))
}

/// Takes the caches out of `order` that a build waited for in vain, and says so. One that is only
/// written can be left. One that is read cannot: BuildKit asks for it in the one loop that moves all
/// of its builds, and lets no cancellation through (solver/scheduler.go; solver/llbsolver/bridge.go,
/// `newLazyCacheManager`), so there is no build to be had from it until the cache's server answers
/// or its connection breaks.
pub(super) fn take_stuck(order: &mut BuildOrder, waits: Waits) -> Result<String, BuilderError> {
    let seconds = order.spec.cache_timeout.as_secs_f64();
    if waits.reading || std::mem::take(&mut order.spec.cache_to).is_empty() {
        return Err(BuilderError::Input {
            what: format!("the cache of service `{}`", order.service),
            message: format!(
                "no sign of it for {seconds} s, and BuildKit does nothing else until there is one"
            ),
            hint: Some(
                "take the cache out of publish.toml or compose.yaml; if the builder still hangs, restart it".to_owned(),
            ),
        });
    }
    Ok(format!(
        "the cache could not be written: no sign of it for {seconds} s"
    ))
}

/// The attributes of one cache as they come together. What is written in a file is left as it is.
struct Entry<'a> {
    attributes: HashMap<String, String>,
    environment: &'a Environment,
    secrets: &'a mut Vec<Secret>,
}

impl Entry<'_> {
    fn has(&self, key: &str) -> bool {
        self.attributes.contains_key(key)
    }

    /// Adds the first of the variables that is set.
    fn add(&mut self, key: &str, variables: &[&str]) {
        let found = variables
            .iter()
            .find_map(|name| get(self.environment, name));
        if let Some(value) = found.filter(|_| !self.has(key)) {
            let text = value.expose().to_owned();
            self.attributes.insert(key.to_owned(), text);
        }
    }

    fn add_secret(&mut self, key: &str, variable: &str) {
        self.add(key, &[variable]);
        self.secrets
            .extend(self.attributes.get(key).map(Secret::new));
    }

    /// The cache service of GitHub's runtime (buildx, build/opt.go, `addGithubToken`).
    fn add_github(&mut self) {
        let is_new = get(self.environment, "ACTIONS_CACHE_SERVICE_V2")
            .is_some_and(|flag| is_true(flag.expose()));
        if is_new && !self.has("version") {
            self.attributes.insert("version".to_owned(), "2".to_owned());
        }
        if self.attributes.get("version").is_some_and(|it| it == "2") {
            self.add("url_v2", &["ACTIONS_RESULTS_URL"]);
        }
        self.add("url", &["ACTIONS_CACHE_URL", "ACTIONS_RESULTS_URL"]);
        self.add_secret("token", "ACTIONS_RUNTIME_TOKEN");
    }

    /// Keys for a bucket, from the environment alone (buildx, build/opt.go, `addAwsCredentials`). A
    /// pair that a file names has no session of ours.
    fn add_amazon(&mut self) {
        self.add("region", &["AWS_REGION", "AWS_DEFAULT_REGION"]);
        let is_named = self.has("access_key_id") && self.has("secret_access_key");
        if !is_named {
            self.add_secret("access_key_id", "AWS_ACCESS_KEY_ID");
            self.add_secret("secret_access_key", "AWS_SECRET_ACCESS_KEY");
            self.add_secret("session_token", "AWS_SESSION_TOKEN");
        }
    }
}

fn get(environment: &Environment, name: &str) -> Option<Secret> {
    environment(name).filter(|value| !value.is_empty())
}

/// Go's `strconv.ParseBool`, for true.
fn is_true(text: &str) -> bool {
    ["1", "t", "T", "TRUE", "true", "True"].contains(&text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;

    fn environment(variables: &'static [(&'static str, &'static str)]) -> Environment {
        Arc::new(move |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| Secret::new(*value))
        })
    }

    fn entry(
        kind: &str,
        attributes: &[(&str, &str)],
        variables: &'static [(&'static str, &'static str)],
    ) -> (BTreeMap<String, String>, Caches) {
        let cache = CacheRef {
            kind: kind.to_owned(),
            attributes: attributes
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        };
        let mut caches = Caches::default();
        let environment = environment(variables);
        let mut entry = caches.entry(&cache, &environment);
        caches.add_rest_api(&mut entry, &environment);
        (entry.attrs.into_iter().collect(), caches)
    }

    fn map(attributes: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        attributes.iter().map(owned).collect()
    }

    #[test]
    fn github_has_an_address_of_each_version_and_a_token() {
        let (attributes, caches) = entry(
            "gha",
            &[("scope", "api")],
            &[
                ("ACTIONS_RUNTIME_TOKEN", "tok"),
                ("ACTIONS_CACHE_URL", "https://one/"),
                ("ACTIONS_RESULTS_URL", "https://two/"),
                ("ACTIONS_CACHE_SERVICE_V2", "True"),
            ],
        );
        let expected = [
            ("scope", "api"),
            ("token", "tok"),
            ("url", "https://one/"),
            ("url_v2", "https://two/"),
            ("version", "2"),
        ];
        assert_eq!(attributes, map(&expected));
        assert_eq!(caches.secrets, [Secret::new("tok")]);
    }

    #[test]
    fn what_the_file_says_is_left_as_it_is() {
        let (attributes, _) = entry(
            "gha",
            &[("token", "own"), ("url", "https://own/"), ("version", "1")],
            &[
                ("ACTIONS_RUNTIME_TOKEN", "tok"),
                ("ACTIONS_RESULTS_URL", "https://two/"),
                ("ACTIONS_CACHE_SERVICE_V2", "1"),
            ],
        );
        let expected = [("token", "own"), ("url", "https://own/"), ("version", "1")];
        assert_eq!(attributes, map(&expected));
    }

    #[test]
    fn the_token_of_another_server_does_not_go_to_github() {
        let variables: &[_] = &[("GITHUB_TOKEN", "gh"), ("GITHUB_REPOSITORY", "a/b")];
        let (attributes, caches) = entry("gha", &[], variables);
        assert_eq!(attributes["ghtoken"], "gh");
        assert_eq!(attributes["repository"], "a/b");
        assert!(caches.secrets.contains(&Secret::new("gh")));
        let (attributes, _) = entry(
            "gha",
            &[],
            &[
                ("GITHUB_TOKEN", "gh"),
                ("GITHUB_REPOSITORY", "a/b"),
                ("GITHUB_SERVER_URL", "https://git.example"),
            ],
        );
        assert!(attributes.is_empty(), "{attributes:?}");
        let (attributes, _) = entry("registry", &[], variables);
        assert!(attributes.is_empty(), "{attributes:?}");
    }

    const KEYS: &[(&str, &str)] = &[
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "key"),
        ("AWS_SESSION_TOKEN", "session"),
        ("AWS_REGION", "eu-west-1"),
    ];

    #[test]
    fn amazon_has_keys_unless_they_are_named() {
        let (attributes, caches) = entry("s3", &[], KEYS);
        let expected = [
            ("access_key_id", "id"),
            ("secret_access_key", "key"),
            ("session_token", "session"),
            ("region", "eu-west-1"),
        ];
        assert_eq!(attributes, map(&expected));
        assert_eq!(caches.secrets.len(), 3);
        let own = [
            ("access_key_id", "own"),
            ("secret_access_key", "own"),
            ("region", "x"),
        ];
        assert_eq!(entry("s3", &own, KEYS).0, map(&own));
        assert!(entry("azblob", &[], KEYS).0.is_empty());
    }
}
