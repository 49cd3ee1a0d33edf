//! A text that must never be shown.
//!
//! Passwords, tokens and build secrets travel in this type from the door they came in by to the
//! wire they leave on. It has no `Display` and no `Serialize`, and `Debug` prints `***`, so that
//! showing one takes an explicit [`Secret::expose`].

use std::fmt;

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
