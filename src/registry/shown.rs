//! What may be shown of a URL and of a text that a registry sent.
//!
//! Upload locations and redirects carry signatures in their query, and a registry may say back
//! anything that it was sent, so nothing of either reaches an error without passing through here.

use std::fmt;

use url::Url;

use crate::printable::{is_hidden, without_url_secrets};

/// How many characters of a registry's message an error carries.
const MESSAGE: usize = 300;

/// A URL as it may be shown: without login, query and fragment.
pub(super) struct Shown<'a>(pub(super) &'a Url);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.0;
        write!(formatter, "{}://{}", url.scheme(), authority(url))?;
        let path = url.path();
        formatter.write_str(path.get(..200).unwrap_or(path))?;
        if url.query().is_some() {
            formatter.write_str("?…")?;
        }
        Ok(())
    }
}

/// A URL's host, with the port where it is not the scheme's own: `ghcr.io`, `127.0.0.1:5000`.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// A text from outside as it may be shown: one line without control and direction characters, at
/// most 300 characters, no query strings or logins in URLs, and none of `secrets`.
pub(super) fn clean<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    // Whatever is dropped behind the first few kilobytes would not be shown anyway.
    let head: String = text.chars().take(16 * MESSAGE).collect();
    let mut text = head;
    for secret in secrets {
        if secret.len() >= 4 {
            text = text.replace(secret, "***");
        }
    }
    let mut shown = String::new();
    for word in text.split(|letter: char| letter.is_whitespace() || is_hidden(letter)) {
        if word.is_empty() {
            continue;
        }
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown.push_str(&without_url_secrets(word));
    }
    if shown.chars().count() > MESSAGE {
        shown = shown.chars().take(MESSAGE).collect();
        shown.push('…');
    }
    shown
}

/// An error code as it may be shown: the letters of `UNAUTHORIZED`, or nothing.
pub(super) fn clean_code(code: &str) -> String {
    let is_code = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    if code.len() <= 64 && code.chars().all(is_code) {
        code.to_owned()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_login_and_no_signature_is_shown() {
        let url = Url::parse("https://me:pw@s3.example:9000/b/x?X-Amz-Signature=abc#frag").unwrap();
        assert_eq!(Shown(&url).to_string(), "https://s3.example:9000/b/x?…");
        assert_eq!(
            clean(
                "see https://me:pw@h/p?sig=1#x for more, token t0ps3cret",
                ["t0ps3cret"]
            ),
            "see https://h/p?… for more, token ***"
        );
    }

    #[test]
    fn messages_are_one_bounded_line_without_control_characters() {
        let text = clean("a\u{1b}[31mred\r\nb\u{202e}c\tz\0", []);
        assert_eq!(text, "a [31mred b c z");
        assert_eq!(clean(&"x".repeat(100_000), []).chars().count(), MESSAGE + 1);
        assert_eq!(clean(&"\n ".repeat(1_000), []), "");
    }

    #[test]
    fn codes_are_words() {
        assert_eq!(clean_code("NAME_UNKNOWN"), "NAME_UNKNOWN");
        assert_eq!(clean_code("<b>"), "");
        assert_eq!(clean_code(&"A".repeat(65)), "");
    }

    proptest::proptest! {
        #[test]
        fn nothing_hidden_passes(text in "\\PC*|.{0,400}", secret in "[a-z0-9]{8}") {
            let shown = clean(&format!("{text}{secret}"), [secret.as_str()]);
            proptest::prop_assert!(!shown.contains(&secret));
            proptest::prop_assert!(!shown.chars().any(is_hidden));
            proptest::prop_assert!(shown.chars().count() <= MESSAGE + 1);
        }
    }
}
