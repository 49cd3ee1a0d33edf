//! Paths as text, as Go's `path/filepath` works on them: no file is touched.
//!
//! Compose's paths are relative to different folders at different times, and some are never
//! resolved; so they stay text until the model is made.

use std::path::Path;

/// The shortest equivalent of a path, without `.` and with as few `..` as can be.
pub(super) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&"..") | None if !rooted => parts.push(".."),
                None => {}
                _ => {
                    parts.pop();
                }
            },
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// A path below another one. Empty paths count as nothing, and two of them stay empty.
pub(super) fn join(base: &str, path: &str) -> String {
    match (base.is_empty(), path.is_empty()) {
        (true, true) => String::new(),
        (true, false) => clean(path),
        (false, true) => clean(base),
        (false, false) => clean(&format!("{base}/{path}")),
    }
}

/// Whether a path begins at a root.
pub(super) fn is_absolute(path: &str) -> bool {
    Path::new(path).is_absolute()
}

/// The folder that a path is in.
pub(super) fn folder(path: &str) -> String {
    match path.rfind('/') {
        Some(at) => clean(path.get(..=at).unwrap_or_default()),
        None => ".".to_owned(),
    }
}

/// The last part of a path.
pub(super) fn base(path: &str) -> &str {
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
}

/// The way from `base` to `target`; none if there is no way to tell.
pub(super) fn relative(base: &str, target: &str) -> Option<String> {
    let base = clean(base);
    let target = clean(target);
    if base == target {
        return Some(".".to_owned());
    }
    let base = if base == "." { "" } else { &base };
    if base.starts_with('/') != target.starts_with('/') {
        return None;
    }
    let from: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    let to: Vec<&str> = target.split('/').filter(|part| !part.is_empty()).collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let rest = from.get(common..).unwrap_or_default();
    if rest.contains(&"..") {
        return None;
    }
    let mut parts = vec![".."; rest.len()];
    parts.extend(to.get(common..).unwrap_or_default());
    Some(parts.join("/"))
}

/// Whether a path is absolute on Windows, which compose checks everywhere: a drive and a
/// separator, or two separators and a host.
pub(super) fn is_windows_absolute(path: &str) -> bool {
    let separator = |byte: u8| matches!(byte, b'/' | b'\\');
    match path.as_bytes() {
        [_, b':', third, ..] => separator(*third),
        [first, second, ..] => separator(*first) && separator(*second),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_does() {
        for (path, want) in [
            ("", "."),
            ("a//b/./c/..", "a/b"),
            ("../a/../..", "../.."),
            ("/../a", "/a"),
            ("./", "."),
        ] {
            assert_eq!(clean(path), want, "{path}");
        }
        assert_eq!(join("sub", "./x"), "sub/x");
        assert_eq!(folder("a/b.yaml"), "a");
        assert_eq!(folder("b.yaml"), ".");
        assert_eq!(relative("/a/b", "/a/c/d").as_deref(), Some("../c/d"));
        assert_eq!(relative("a", "/a"), None);
        assert!(is_windows_absolute("C:\\x") && !is_windows_absolute("C:"));
    }
}
