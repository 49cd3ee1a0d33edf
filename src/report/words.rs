//! How views write sizes, times, digests and names.

use crate::oci::Digest;

/// `12.3 MB`, in decimal units as Docker shows sizes.
pub(super) fn size(bytes: u64) -> String {
    humansize::format_size(bytes, humansize::DECIMAL.decimal_places(1))
}

/// `0.4 s`, `12 s`, `3 m 05 s`.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a span of time that a person waits for"
    )]
    let whole = seconds.round() as u64;
    if whole < 100 {
        format!("{whole} s")
    } else {
        format!("{} m {:02} s", whole / 60, whole % 60)
    }
}

/// `sha256:0123456789ab`.
pub(super) fn digest(digest: &Digest) -> String {
    format!("{}:{}", digest.algorithm(), digest.short())
}

/// `1 service`, `3 services`.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else if let Some(stem) = noun.strip_suffix('y') {
        format!("{number} {stem}ies")
    } else {
        format!("{number} {noun}s")
    }
}

/// Text of others on one line of a view.
pub(super) fn one_line(text: &str) -> String {
    crate::printable::one_line(text, 1000)
}

/// The text, cut to at most `width` cells of a terminal: wide characters take two.
pub(super) fn cut(text: &str, width: usize) -> String {
    if width == 0 {
        return String::new();
    }
    console::truncate_str(text, width, "…").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(size(12_345_678), "12.3 MB");
        assert_eq!(size(0), "0 B");
        assert_eq!(seconds(0.44), "0.4 s");
        assert_eq!(seconds(12.6), "13 s");
        assert_eq!(seconds(185.2), "3 m 05 s");
        assert_eq!(count(1, "repository"), "1 repository");
        assert_eq!(count(2, "repository"), "2 repositories");
        assert_eq!(count(0, "tag"), "0 tags");
    }
}
