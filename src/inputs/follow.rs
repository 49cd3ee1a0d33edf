use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::clean_path;
use super::pattern::Patterns;

/// The most links that are followed for one request, as a bound on trees that are made to be slow.
const MAX_LINKS: usize = 10_000;

/// The paths that have to be sent so that `paths` can be read: the paths themselves, each link on
/// the way to them, and where it leads (fsutil, `FollowLinks`). `None` where the whole tree is
/// asked for.
///
/// A name with a wildcard is followed for every entry that it matches. Links never lead out of the
/// tree: an absolute target counts from its root.
pub(super) fn follow(root: &Path, paths: &[String]) -> Option<Vec<String>> {
    let mut resolver = Resolver {
        root,
        resolved: BTreeSet::new(),
        links: 0,
    };
    for path in paths {
        resolver.add(path);
    }
    without_nested(resolver.resolved)
}

/// Sorted paths without those that lie below another one; `None` where one is the root.
fn without_nested(paths: BTreeSet<String>) -> Option<Vec<String>> {
    let mut kept: Vec<String> = Vec::new();
    for path in paths {
        if path == "." {
            return None;
        }
        let is_below = |last: &String| {
            path.strip_prefix(last.as_str())
                .is_some_and(|rest| rest.starts_with('/'))
        };
        if !kept.last().is_some_and(is_below) {
            kept.push(path);
        }
    }
    Some(kept)
}

struct Resolver<'a> {
    root: &'a Path,
    resolved: BTreeSet<String>,
    links: usize,
}

impl Resolver<'_> {
    /// Adds `path`. Links met on the way wait on a list of their own, so that no chain of links
    /// can exhaust the stack.
    fn add(&mut self, path: &str) {
        let mut waiting = vec![relative(path)];
        while let Some(path) = waiting.pop() {
            self.add_one(&path, &mut waiting);
        }
    }

    fn add_one(&mut self, path: &str, waiting: &mut Vec<String>) {
        let mut current = String::new();
        let mut rest = Some(path);
        while let Some(remaining) = rest {
            let (part, behind) = match remaining.split_once('/') {
                Some((part, behind)) => (part, Some(behind)),
                None => (remaining, None),
            };
            if !current.is_empty() {
                current.push('/');
            }
            current.push_str(part);
            let targets = self.targets(&current);
            if (behind.is_none() || !targets.is_empty()) && !self.resolved.insert(current.clone()) {
                return;
            }
            if !targets.is_empty() {
                self.links += targets.len();
                if self.links > MAX_LINKS {
                    return;
                }
                for target in targets {
                    let joined = match behind {
                        Some(behind) => format!("{target}/{behind}"),
                        None => target,
                    };
                    waiting.push(relative(&joined));
                }
                return;
            }
            rest = behind;
        }
    }

    /// Where the link at `path` leads, from the root; several where its last name is a wildcard;
    /// none where it is no link.
    fn targets(&self, path: &str) -> Vec<String> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if !has_wildcard(name) {
            return self.target(path).into_iter().collect();
        }
        let Ok(entries) = self.full(folder).read_dir() else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|entry| Patterns::name_matches(name, entry))
            .collect();
        names.sort();
        let in_folder = |name: &String| {
            if folder.is_empty() {
                name.clone()
            } else {
                format!("{folder}/{name}")
            }
        };
        names
            .iter()
            .filter_map(|name| self.target(&in_folder(name)))
            .collect()
    }

    fn target(&self, path: &str) -> Option<String> {
        // `..data` is a name as any other: only `..` itself leads out.
        if path == "." || path == ".." || path.starts_with("../") {
            return None;
        }
        let full = self.full(path);
        if !full.symlink_metadata().ok()?.is_symlink() {
            return None;
        }
        let target = full.read_link().ok()?.into_os_string().into_string().ok()?;
        if target.starts_with('/') {
            return Some(clean_path(&target));
        }
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        Some(clean_path(&format!("/{folder}/{target}")))
    }

    fn full(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

/// `path` seen from the root of the tree.
fn relative(path: &str) -> String {
    let cleaned = clean_path(path);
    match cleaned.trim_start_matches('/') {
        "" => ".".to_owned(),
        path => path.to_owned(),
    }
}

/// Whether a name has `*`, `?` or `[` that no backslash stands before.
fn has_wildcard(name: &str) -> bool {
    let mut letters = name.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                letters.next();
            }
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn followed(root: &Path, paths: &[&str]) -> Option<Vec<String>> {
        let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
        follow(root, &paths)
    }

    /// As Kubernetes lays out what it mounts from a `ConfigMap`.
    #[test]
    fn a_link_whose_name_begins_with_two_dots_stays_within_the_tree() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        std::fs::create_dir_all(root.join("..2024_01")).unwrap();
        std::fs::write(root.join("..2024_01/config.yaml"), "x").unwrap();
        symlink("..2024_01", root.join("..data")).unwrap();
        symlink("..data/config.yaml", root.join("config.yaml")).unwrap();
        assert_eq!(
            followed(root, &["config.yaml"]).unwrap(),
            ["..2024_01/config.yaml", "..data", "config.yaml"]
        );
    }

    #[test]
    fn links_on_the_way_and_their_targets_are_included() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        std::fs::create_dir_all(root.join("real/deep")).unwrap();
        std::fs::write(root.join("real/deep/file"), "x").unwrap();
        symlink("real", root.join("link")).unwrap();
        symlink("/real/deep", root.join("absolute")).unwrap();
        symlink("../../../etc", root.join("real/out")).unwrap();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        let paths = |list: &[&str]| Some(list.iter().map(ToString::to_string).collect());

        assert_eq!(
            followed(root, &["link/deep/file"]),
            paths(&["link", "real/deep/file"])
        );
        assert_eq!(
            followed(root, &["absolute/file"]),
            paths(&["absolute", "real/deep/file"])
        );
        assert_eq!(followed(root, &["/real/out"]), paths(&["etc", "real/out"]));
        assert_eq!(followed(root, &["a"]), paths(&["a", "b"]));
        assert_eq!(followed(root, &["l*"]), paths(&["l*", "real"]));
        assert_eq!(followed(root, &["real", "real/deep"]), paths(&["real"]));
        assert_eq!(followed(root, &["."]), None);
        assert_eq!(followed(root, &["missing"]), paths(&["missing"]));
    }
}
