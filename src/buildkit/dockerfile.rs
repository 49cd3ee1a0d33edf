//! Where a build's Dockerfile lies, and which texts of the build must not be shown.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::excerpt::Excerpt;
use crate::execute::ports::BuildOrder;
use crate::plan::Dockerfile;
use crate::printable::without_url_secrets;
use crate::secret::{self, Secret};

/// The name that the builder is given for a Dockerfile that is written in the compose file.
pub(super) const INLINE_NAME: &str = "Dockerfile";
/// A shorter value would be found in texts that do not mean it.
const SHORTEST: usize = 4;

/// What is known of a build's texts beside what the builder says.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    /// The name that the builder knows the Dockerfile by, and what it is.
    pub(super) dockerfile: Option<(String, PathBuf)>,
    /// Values of build arguments that look like secrets by their names, the longest first.
    pub(super) hidden: Vec<String>,
}

impl Texts {
    pub(super) fn of(order: &BuildOrder) -> Self {
        let dockerfile = match &order.spec.dockerfile {
            Dockerfile::Local(path) => {
                let name = path.file_name().unwrap_or_default();
                Some((name.to_string_lossy().into_owned(), path.clone()))
            }
            Dockerfile::Inline(_) => {
                let name = format!("dockerfile_inline of {}", order.service);
                Some((INLINE_NAME.to_owned(), PathBuf::from(name)))
            }
            Dockerfile::InContext(_) => None,
        };
        let arguments = order.spec.args.iter();
        let mut hidden: Vec<String> = arguments
            .filter(|(name, value)| secret::is_secret_name(name) && value.len() >= SHORTEST)
            .map(|(_, value)| value.clone())
            .collect();
        hidden.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self { dockerfile, hidden }
    }

    /// Hides other secrets, too.
    pub(super) fn also_hide(&mut self, secrets: &[Secret]) {
        let values = secrets.iter().map(|secret| secret.expose().to_owned());
        self.hidden.extend(values.filter(|value| !value.is_empty()));
        self.hidden
            .sort_by_key(|value| std::cmp::Reverse(value.len()));
    }

    /// The file that the builder calls `name`.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        match &self.dockerfile {
            Some((known, path)) if known == name => path.clone(),
            _ => PathBuf::from(name),
        }
    }

    /// The lines `first..=last` of a file that the builder calls `name`.
    pub(super) fn excerpt(
        &self,
        name: &str,
        source: &[u8],
        first: usize,
        last: usize,
    ) -> Option<Excerpt> {
        let source = String::from_utf8_lossy(source);
        let path = self.path(name);
        let mut excerpt = Excerpt::of_lines(Path::new(&path), &source, first, last)?;
        let clean = |line: &str| without_url_secrets(&self.hide(&secret::hide_assigned(line)));
        excerpt.text = clean(&excerpt.text);
        excerpt.length = excerpt.text.chars().skip(excerpt.column - 1).count().max(1);
        for line in &mut excerpt.following {
            *line = clean(line);
        }
        Some(excerpt)
    }

    /// The text without the values of arguments that look like secrets.
    pub(super) fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for value in &self.hidden {
            if text.contains(value.as_str()) {
                text = Cow::Owned(text.replace(value.as_str(), "***"));
            }
        }
        text
    }
}
