//! A text that must never be shown.
//!
//! Passwords, tokens and build secrets travel in this type from the door they came in by to the
//! wire they leave on. It has no `Display` and no `Serialize`, and `Debug` prints `***`, so that
//! showing one takes an explicit [`Secret::expose`].

use std::fmt;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// A secret text.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the wire only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// Whether a variable or argument of this name is taken to hold a secret: one of its words says so,
/// as BuildKit's check `SecretsUsedInArgOrEnv` has it (frontend/dockerfile, `validateNoSecretKey`), and two more.
pub fn is_secret_name(name: &str) -> bool {
    const SECRET: [&str; 12] = [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "pass",
        "passphrase",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    const HARMLESS: [&str; 3] = ["public", "file", "version"];
    let name = name.to_lowercase();
    let has = |words: &[&str]| name.split('_').any(|word| words.contains(&word));
    has(&SECRET) && !has(&HARMLESS)
}

/// `NAME=value`, or `ENV NAME value` as it was written once.
static ASSIGNED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let value = r#""(?:[^"\\]|\\.)*"|'[^']*'|[^\s"';&|]+"#;
    let pattern = format!(
        r"(?i)\b(?P<name>\w+)(?P<is>=)(?P<value>{value})|^(?P<env>\s*ENV\s+)(?P<old>\w+)(?P<gap>\s+)(?P<rest>\S.*)$"
    );
    Regex::new(&pattern).ok()
});

/// A line of a Dockerfile without the values that it assigns to names of secrets. What only names
/// another variable (`$NAME`) stays.
pub fn hide_assigned(line: &str) -> String {
    let Some(assigned) = ASSIGNED.as_ref() else {
        return "***".to_owned();
    };
    let replaced = assigned.replace_all(line, |found: &Captures<'_>| {
        let part = |name: &str| found.name(name).map_or("", |part| part.as_str());
        let (front, name, gap, value) = if found.name("name").is_some() {
            ("", part("name"), part("is"), part("value"))
        } else {
            (part("env"), part("old"), part("gap"), part("rest"))
        };
        if is_secret_name(name) && !value.trim_start_matches('"').starts_with('$') {
            format!("{front}{name}{gap}***")
        } else {
            part_of(found)
        }
    });
    replaced.into_owned()
}

fn part_of(found: &Captures<'_>) -> String {
    found.get(0).map_or("", |whole| whole.as_str()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_a_secret() {
        for name in [
            "API_KEY",
            "password",
            "SIGNING_PASSPHRASE",
            "DB_PASS",
            "GITHUB_TOKEN",
            "secret_message",
            "AUTH",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "BASE",
            "KEYBOARD",
            "PUBLIC_KEY",
            "TOKEN_FILE",
            "PASSWORD_VERSION",
            "",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn a_line_of_a_dockerfile_is_shown_without_what_it_assigns_to_secrets() {
        for (line, shown) in [
            ("ENV API_KEY=abc123 MODE=fast", "ENV API_KEY=*** MODE=fast"),
            ("ARG TOKEN=\"a b\\\"c\" X=1", "ARG TOKEN=*** X=1"),
            ("ENV password hunter2 and more", "ENV password ***"),
            ("RUN TOKEN='x y' make; echo", "RUN TOKEN=*** make; echo"),
            ("RUN TOKEN=$TOKEN make", "RUN TOKEN=$TOKEN make"),
            ("ENV TOKEN=\"${OTHER}\"", "ENV TOKEN=\"${OTHER}\""),
            ("ENV MODE fast", "ENV MODE fast"),
            ("COPY a=b /", "COPY a=b /"),
            ("ARG TOKEN", "ARG TOKEN"),
        ] {
            assert_eq!(hide_assigned(line), shown);
        }
    }
}
