use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::host_key::HostKey;
use crate::execute::ports::Credential;
use crate::secret::Secret;

/// The user name that marks a secret as an identity token (docker/cli, `native_store.go`).
pub(super) const TOKEN_USERNAME: &str = "<token>";

/// The login part of docker's configuration file (docker/cli, `configfile`), which podman's
/// `auth.json` and `DOCKER_AUTH_CONFIG` share.
#[derive(Debug, Default)]
pub struct DockerConfig {
    auths: BTreeMap<String, Entry>,
    store: Option<String>,
    helpers: BTreeMap<String, String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    auth: Secret,
    username: String,
    password: Secret,
    identity_token: Secret,
    registry_token: Secret,
}

/// The file as it is written. Everything may be missing or null.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    auths: Option<BTreeMap<String, Option<WrittenEntry>>>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct WrittenEntry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl DockerConfig {
    /// Reads the file's bytes; an empty file is an empty configuration, as it is for docker.
    ///
    /// The error says where the mistake is and never what stands there, as that may be a password.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let written: Written = serde_json::from_slice(bytes).map_err(|error| {
            let kind = match error.classify() {
                serde_json::error::Category::Data => "a value of another kind was expected",
                serde_json::error::Category::Eof => "the JSON ends too early",
                _ => "not valid JSON",
            };
            format!("{kind}, line {} column {}", error.line(), error.column())
        })?;
        let auths = written.auths.unwrap_or_default();
        Ok(Self {
            auths: auths
                .into_iter()
                .filter_map(|(key, entry)| Some((key, Entry::from(entry?))))
                .collect(),
            store: written.store.filter(|name| !name.is_empty()),
            helpers: written.helpers.unwrap_or_default(),
        })
    }

    /// The helper to ask about `host`: its own, else the one for all.
    pub(super) fn helper(&self, host: &HostKey) -> Option<&str> {
        let own = self.helpers.get(host.docker_key()).or_else(|| {
            let mut helpers = self.helpers.iter();
            let found = helpers.find(|(key, _)| host.is_named_by(key));
            found.map(|(_, helper)| helper)
        });
        // docker writes an empty name for "no helper for this one".
        match own {
            Some(name) => Some(name.as_str()).filter(|name| !name.is_empty()),
            None => self.store.as_deref(),
        }
    }

    /// The login written for `host`, out of the entry under docker's own key for it, else any
    /// other entry that names it. An entry with nothing in it, as docker leaves behind when a
    /// helper keeps the login, says nothing.
    pub(super) fn login(&self, host: &HostKey) -> Result<Option<Credential>, String> {
        let exact = self.auths.get_key_value(host.docker_key());
        let others = self.auths.iter().filter(|(key, _)| host.is_named_by(key));
        for (key, entry) in exact.into_iter().chain(others) {
            let login = entry.login().map_err(|what| {
                // The key is a host, and yet whoever wrote the file wrote this too.
                format!("{what} of `{}`", super::super::shown::clean(key, []))
            })?;
            if login.is_some() {
                return Ok(login);
            }
        }
        Ok(None)
    }
}

impl From<WrittenEntry> for Entry {
    fn from(written: WrittenEntry) -> Self {
        let secret = |text: Option<String>| Secret::new(text.unwrap_or_default());
        Self {
            auth: secret(written.auth),
            username: written.username.unwrap_or_default(),
            password: secret(written.password),
            identity_token: secret(written.identitytoken),
            registry_token: secret(written.registrytoken),
        }
    }
}

impl Entry {
    fn login(&self) -> Result<Option<Credential>, &'static str> {
        if !self.identity_token.is_empty() {
            return Ok(Some(Credential::IdentityToken(self.identity_token.clone())));
        }
        if !self.registry_token.is_empty() {
            return Ok(Some(Credential::RegistryToken(self.registry_token.clone())));
        }
        if !self.auth.is_empty() {
            let (username, password) = decode_auth(self.auth.expose())?;
            return Ok(Some(named(&username, password)));
        }
        if self.username.is_empty() || self.password.is_empty() {
            return Ok(None);
        }
        Ok(Some(named(&self.username, self.password.expose())))
    }
}

/// A login by name and secret, where the name may say that the secret is a token.
pub(super) fn named(username: &str, secret: impl Into<String>) -> Credential {
    let secret = Secret::new(secret);
    if username == TOKEN_USERNAME {
        Credential::IdentityToken(secret)
    } else {
        Credential::Password {
            username: username.to_owned(),
            password: secret,
        }
    }
}

/// Decodes `auth`: base64 of `name:password`, the password without the NULs that old versions of
/// docker padded it with (docker/cli, `decodeAuth`). Padding may be missing, as in files written
/// by hand.
fn decode_auth(auth: &str) -> Result<(String, String), &'static str> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engine = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    let decoded = engine
        .decode(auth.trim())
        .map_err(|_| "base64 was expected in `auth`")?;
    let decoded = String::from_utf8(decoded).map_err(|_| "UTF-8 was expected in `auth`")?;
    match decoded.split_once(':') {
        Some((username, password)) if !username.is_empty() => {
            Ok((username.to_owned(), password.trim_matches('\0').to_owned()))
        }
        _ => Err("base64 of `name:password` was expected in `auth`"),
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    fn login(json: &str, host: &str) -> Result<Option<Credential>, String> {
        DockerConfig::parse(json.as_bytes())
            .unwrap()
            .login(&HostKey::new(host))
    }

    fn password(username: &str, password: &str) -> Credential {
        Credential::Password {
            username: username.to_owned(),
            password: Secret::new(password),
        }
    }

    fn auth(text: &str) -> String {
        BASE64_STANDARD.encode(text)
    }

    #[test]
    fn the_hub_has_many_names() {
        let json = format!(
            r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{}"}}}}}}"#,
            auth("me:pw")
        );
        for host in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
            assert_eq!(login(&json, host), Ok(Some(password("me", "pw"))), "{host}");
        }
        let json = format!(
            r#"{{"auths":{{"docker.io":{{"auth":"{}"}}}}}}"#,
            auth("me:pw")
        );
        assert_eq!(login(&json, "docker.io"), Ok(Some(password("me", "pw"))));
    }

    #[test]
    fn keys_may_carry_scheme_and_path_and_passwords_colons() {
        let pw = auth("me:p:w\0\0");
        for key in [
            "r.lan:5000",
            "https://r.lan:5000",
            "http://r.lan:5000/v1/",
            "R.lan:5000/v2/",
        ] {
            let json = format!(r#"{{"auths":{{"{key}":{{"auth":"{pw}"}}}}}}"#);
            assert_eq!(
                login(&json, "r.lan:5000"),
                Ok(Some(password("me", "p:w"))),
                "{key}"
            );
            assert_eq!(login(&json, "r.lan"), Ok(None));
            assert_eq!(login(&json, "r.lan:50"), Ok(None));
        }
    }

    #[test]
    fn an_empty_entry_says_nothing_and_the_next_one_counts() {
        let json = format!(
            r#"{{"auths":{{"h":{{}},"https://h":{{"auth":"{}"}},"n":null}}}}"#,
            auth("me:pw")
        );
        assert_eq!(login(&json, "h"), Ok(Some(password("me", "pw"))));
        assert_eq!(login(&json, "n"), Ok(None));
        assert_eq!(login(r#"{"auths":{"h":{"auth":""}}}"#, "h"), Ok(None));
    }

    #[test]
    fn tokens_come_before_passwords() {
        let json = format!(
            r#"{{"auths":{{"a":{{"auth":"{}","identitytoken":"id"}},"b":{{"registrytoken":"rt"}},
               "c":{{"username":"<token>","password":"id2"}},"d":{{"username":"me","password":"pw"}}}}}}"#,
            auth("00000000-0000-0000-0000-000000000000:")
        );
        let id = |text| Ok(Some(Credential::IdentityToken(Secret::new(text))));
        assert_eq!(login(&json, "a"), id("id"));
        assert_eq!(
            login(&json, "b"),
            Ok(Some(Credential::RegistryToken(Secret::new("rt"))))
        );
        assert_eq!(login(&json, "c"), id("id2"));
        assert_eq!(login(&json, "d"), Ok(Some(password("me", "pw"))));
    }

    #[test]
    fn helpers_are_found_by_any_name_of_the_host() {
        let config = DockerConfig::parse(
            br#"{"credsStore":"desktop","credHelpers":{"docker.io":"hub","gcr.io":"gcloud","plain":""}}"#,
        )
        .unwrap();
        let helper = |host: &str| config.helper(&HostKey::new(host)).map(str::to_owned);
        assert_eq!(helper("registry-1.docker.io").as_deref(), Some("hub"));
        assert_eq!(helper("gcr.io").as_deref(), Some("gcloud"));
        assert_eq!(helper("other").as_deref(), Some("desktop"));
        assert_eq!(helper("plain"), None);
    }

    #[test]
    fn mistakes_are_placed_and_not_quoted() {
        let wrong = |json: &str| DockerConfig::parse(json.as_bytes()).unwrap_err();
        assert_eq!(
            wrong(r#"{"auths": "hunter2"}"#),
            "a value of another kind was expected, line 1 column 19"
        );
        assert_eq!(
            wrong("{\"auths\": {\n"),
            "the JSON ends too early, line 2 column 0"
        );
        assert_eq!(wrong("hunter2"), "not valid JSON, line 1 column 1");
        for bad in ["%%%", &auth("nocolon"), &auth(":pw")] {
            let json = format!(r#"{{"auths":{{"h":{{"auth":"{bad}"}}}}}}"#);
            let message = login(&json, "h").unwrap_err();
            assert!(
                message.ends_with("of `h`") && !message.contains(bad),
                "{message}"
            );
            assert_eq!(login(&json, "other"), Ok(None), "only who needs it is told");
        }
    }

    #[test]
    fn empty_files_are_empty() {
        for text in ["", " \n", "{}", "\u{feff}{}", r#"{"auths":null}"#] {
            assert_eq!(login(text, "h"), Ok(None), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
            auth in "[A-Za-z0-9+/=]{0,40}",
        ) {
            let _ = DockerConfig::parse(&bytes);
            let json = format!(r#"{{"auths":{{"h":{{"auth":"{auth}"}}}}}}"#);
            let _ = login(&json, "h");
        }

        #[test]
        fn what_docker_writes_comes_back(username in "[^:\0]{1,20}", secret in "[^\0]{1,20}") {
            proptest::prop_assume!(username != TOKEN_USERNAME);
            let json = format!(r#"{{"auths":{{"h":{{"auth":"{}"}}}}}}"#, auth(&format!("{username}:{secret}")));
            proptest::prop_assert_eq!(login(&json, "h"), Ok(Some(password(&username, &secret))));
        }
    }
}
