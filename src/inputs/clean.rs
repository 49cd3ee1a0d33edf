/// The shortest path that names the same thing, by its text alone (Go's `path.Clean`).
///
/// Patterns and link targets are compared after this, so it has to agree with Go to the letter:
/// an empty path is `.`, `a/../b` is `b`, `/..` is `/`, and no slash is left at the end.
pub fn clean_path(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(".."),
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

#[cfg(test)]
mod tests {
    use super::clean_path;

    #[test]
    fn paths_are_cleaned_as_go_cleans_them() {
        for (path, cleaned) in [
            ("", "."),
            ("abc/def", "abc/def"),
            ("abc//def//ghi", "abc/def/ghi"),
            ("abc/./def/.", "abc/def"),
            ("abc/def/ghi/../jkl", "abc/def/jkl"),
            ("abc/def/../../..", ".."),
            ("../../abc", "../../abc"),
            ("/abc/..", "/"),
            ("/..", "/"),
            ("/../abc/", "/abc"),
            ("a/", "a"),
            ("**/", "**"),
        ] {
            assert_eq!(clean_path(path), cleaned, "{path}");
        }
    }
}
