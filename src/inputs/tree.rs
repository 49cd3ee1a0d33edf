use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::follow::follow;
use super::pattern::{MatchInfo, PatternError, Patterns};
use super::stat::{Entry, EntryKind, Inode};

/// A folder whose content a build may read.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
}

/// Which entries of a tree are wanted (fsutil, `FilterOpt`).
#[derive(Clone, Debug, Default)]
pub struct Filter {
    include: Option<Patterns>,
    exclude: Option<Patterns>,
}

/// Why a tree could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The file system refused.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// What was being read.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The context is a file.
    #[error("{} is not a folder", path.display())]
    NotAFolder {
        /// The path that was given.
        path: PathBuf,
    },
    /// A name that BuildKit's protocol cannot carry.
    #[error("{} has a name that is not UTF-8", path.display())]
    NotUnicode {
        /// The path.
        path: PathBuf,
    },
    /// A pattern of the builder's is malformed.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// Whoever the entries are for has gone.
    #[error("the reader of the tree has gone")]
    Stopped,
}

/// A name in a folder.
struct Name {
    name: OsString,
    is_folder: bool,
}

/// A folder that the walk is in.
struct Level {
    /// Its path below the root, empty for the root itself.
    path: String,
    /// Names still to come, last first.
    names: Vec<Name>,
    include: MatchInfo,
    exclude: MatchInfo,
    /// Whether its own entry has been handed out. A folder that is itself not wanted is handed out
    /// right before the first entry below it that is.
    is_told: bool,
}

impl Filter {
    /// The entries of `tree` that match `include` or lie on the way of `follow_paths`, without those
    /// that match `exclude`. Empty lists do not restrict anything.
    pub fn new(
        tree: &Tree,
        include: &[String],
        exclude: &[String],
        follow_paths: &[String],
    ) -> Result<Self, PatternError> {
        let mut wanted = include.to_vec();
        if !follow_paths.is_empty() {
            wanted.extend(follow(&tree.root, follow_paths).unwrap_or_default());
        }
        let patterns = |list: &[String]| -> Result<Option<Patterns>, PatternError> {
            if list.is_empty() {
                return Ok(None);
            }
            Patterns::new(list).map(Some)
        };
        Ok(Self {
            include: patterns(&wanted)?,
            exclude: patterns(exclude)?,
        })
    }

    /// Only what `.dockerignore` leaves in.
    pub fn excluding(patterns: Patterns) -> Self {
        Self {
            include: None,
            exclude: Some(patterns),
        }
    }
}

impl Tree {
    /// The folder at `root`, links to it resolved.
    pub fn open(root: &Path) -> Result<Self, TreeError> {
        let read = |source| TreeError::Read {
            path: root.to_owned(),
            source,
        };
        let resolved = root.canonicalize().map_err(read)?;
        if !resolved.is_dir() {
            return Err(TreeError::NotAFolder {
                path: root.to_owned(),
            });
        }
        Ok(Self { root: resolved })
    }

    /// Where the folder is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file of the tree, for reading.
    pub fn open_file(&self, path: &str) -> io::Result<File> {
        File::open(self.root.join(path))
    }

    /// Hands every entry that `filter` wants to `visit`, each folder before its content, names in
    /// the order of their bytes. `visit` answers whether to go on.
    ///
    /// What vanishes while the tree is read is left out, as docker leaves it out.
    pub fn walk(
        &self,
        filter: &Filter,
        visit: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<(), TreeError> {
        let mut seen: HashMap<Inode, String> = HashMap::new();
        let mut levels = vec![Level {
            path: String::new(),
            names: self.names("")?.unwrap_or_default(),
            include: MatchInfo::default(),
            exclude: MatchInfo::default(),
            is_told: true,
        }];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.pop() else {
                levels.pop();
                continue;
            };
            let shown = name.name.to_string_lossy();
            let path = if level.path.is_empty() {
                shown.into_owned()
            } else {
                format!("{}/{shown}", level.path)
            };
            let step = self.classify(filter, level, &name, path)?;
            if step.is_wanted {
                for level in levels.iter_mut().filter(|level| !level.is_told) {
                    level.is_told = true;
                    if let Some(entry) = self.entry(&level.path, &mut seen)?
                        && !visit(entry)
                    {
                        return Err(TreeError::Stopped);
                    }
                }
                let Some(entry) = self.entry(&step.path, &mut seen)? else {
                    continue;
                };
                if !visit(entry) {
                    return Err(TreeError::Stopped);
                }
            }
            if step.descend
                && let Some(names) = self.names_unless_denied(&step)?
            {
                levels.push(Level {
                    path: step.path,
                    names,
                    include: step.include,
                    exclude: step.exclude,
                    is_told: step.is_wanted,
                });
            }
        }
        Ok(())
    }

    /// Whether one name of a folder is wanted, and whether to look inside of it.
    fn classify(
        &self,
        filter: &Filter,
        level: &Level,
        name: &Name,
        path: String,
    ) -> Result<Step, TreeError> {
        let mut step = Step {
            is_wanted: true,
            descend: name.is_folder,
            include: MatchInfo::default(),
            exclude: MatchInfo::default(),
            path,
        };
        if let Some(patterns) = &filter.include {
            let (matches, info) = patterns.matches_below(&step.path, &level.include);
            step.include = info;
            if !matches {
                step.is_wanted = false;
                step.descend &= patterns.may_match_inside(&step.path, false);
            }
        }
        if let Some(patterns) = &filter.exclude {
            let (matches, info) = patterns.matches_below(&step.path, &level.exclude);
            step.exclude = info;
            if matches {
                step.is_wanted = false;
                step.descend &= patterns.may_match_inside(&step.path, true);
            }
        }
        if (step.is_wanted || step.descend) && name.name.to_str().is_none() {
            let path = self.root.join(&level.path).join(&name.name);
            return Err(TreeError::NotUnicode { path });
        }
        Ok(step)
    }

    /// The entry at `path`; `None` where it has vanished.
    fn entry(
        &self,
        path: &str,
        seen: &mut HashMap<Inode, String>,
    ) -> Result<Option<Entry>, TreeError> {
        let full = self.root.join(path);
        let (mut entry, inode) = match Entry::read(&full, path) {
            Ok(read) => read,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(source) => return Err(TreeError::Read { path: full, source }),
        };
        if let Some(inode) = inode {
            match seen.get(&inode) {
                Some(first) => entry.link.clone_from(first),
                None => {
                    seen.insert(inode, entry.path.clone());
                }
            }
        }
        Ok(Some(entry))
    }

    /// The names in a folder; a folder that is left out and may not be read holds nothing.
    fn names_unless_denied(&self, step: &Step) -> Result<Option<Vec<Name>>, TreeError> {
        match self.names(&step.path) {
            Err(TreeError::Read { source, .. })
                if !step.is_wanted && source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Ok(None)
            }
            other => other,
        }
    }

    /// The names in a folder, last first; `None` where it has vanished.
    fn names(&self, path: &str) -> Result<Option<Vec<Name>>, TreeError> {
        let full = self.root.join(path);
        let name = |entry: io::Result<std::fs::DirEntry>| -> io::Result<Name> {
            let entry = entry?;
            Ok(Name {
                is_folder: entry.file_type().is_ok_and(|kind| kind.is_dir()),
                name: entry.file_name(),
            })
        };
        let list = || -> io::Result<Vec<Name>> { full.read_dir()?.map(name).collect() };
        match list() {
            Ok(mut names) => {
                let bytes = |name: &Name| name.name.as_encoded_bytes().to_vec();
                names.sort_by_cached_key(|name| std::cmp::Reverse(bytes(name)));
                Ok(Some(names))
            }
            Err(error) if is_gone(&error) && !path.is_empty() => Ok(None),
            Err(source) => Err(TreeError::Read { path: full, source }),
        }
    }
}

/// What the walk does with one name.
struct Step {
    path: String,
    is_wanted: bool,
    descend: bool,
    include: MatchInfo,
    exclude: MatchInfo,
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

impl Entry {
    /// Whether a builder may ask for the content: regular files under their first name, and what
    /// looks like one (fsutil, `fileCanRequestData`).
    pub fn has_content(&self) -> bool {
        matches!(self.kind, EntryKind::File | EntryKind::Special)
            && self.mode & !(0o777 | (1 << 23) | (1 << 22) | (1 << 20)) == 0
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn paths(tree: &Tree, filter: &Filter) -> Vec<String> {
        let mut found = Vec::new();
        tree.walk(filter, &mut |entry| {
            found.push(entry.path);
            true
        })
        .unwrap();
        found
    }

    fn tree(files: &[&str]) -> (tempfile::TempDir, Tree) {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let full = folder.path().join(file);
            std::fs::create_dir_all(full.parent().unwrap()).unwrap();
            std::fs::write(full, file).unwrap();
        }
        let tree = Tree::open(folder.path()).unwrap();
        (folder, tree)
    }

    #[test]
    fn a_folder_comes_right_before_its_content_and_names_in_the_order_of_their_bytes() {
        let (_folder, tree) = tree(&["a-b", "a/z", "a/ä", "a.c", "B/x"]);
        assert_eq!(
            paths(&tree, &Filter::default()),
            ["B", "B/x", "a", "a/z", "a/ä", "a-b", "a.c"]
        );
    }

    #[test]
    fn an_excluded_folder_is_sent_only_for_the_sake_of_what_is_taken_back() {
        let (_folder, tree) = tree(&["docs/a.md", "docs/sub/keep.md", "src/x", "tmp/y"]);
        let exclude = ["docs", "!docs/sub/keep.md", "tmp"].map(str::to_owned);
        let filter = Filter::new(&tree, &[], &exclude, &[]).unwrap();
        assert_eq!(
            paths(&tree, &filter),
            ["docs", "docs/sub", "docs/sub/keep.md", "src", "src/x"]
        );
    }

    #[test]
    fn followed_paths_restrict_the_tree_to_them_and_their_folders() {
        let (folder, tree) = tree(&["app/main.py", "app/other.py", "lib/x", "readme"]);
        symlink("../lib", folder.path().join("app/lib")).unwrap();
        let follow = ["app/main.py", "app/lib/x"].map(str::to_owned);
        let filter = Filter::new(&tree, &[], &[], &follow).unwrap();
        assert_eq!(
            paths(&tree, &filter),
            ["app", "app/lib", "app/main.py", "lib", "lib/x"]
        );
    }

    #[test]
    fn later_names_of_a_file_point_to_the_first_that_is_sent() {
        let (folder, tree) = tree(&["a", "z"]);
        let root = folder.path();
        std::fs::hard_link(root.join("a"), root.join("b")).unwrap();
        std::fs::hard_link(root.join("a"), root.join("c")).unwrap();
        let filter = Filter::new(&tree, &[], &["a".to_owned()], &[]).unwrap();
        let mut links = Vec::new();
        tree.walk(&filter, &mut |entry| {
            links.push((entry.path.clone(), entry.link.clone()));
            true
        })
        .unwrap();
        let expected = [("b", ""), ("c", "b"), ("z", "")];
        assert_eq!(links, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn modes_are_those_of_go() {
        let (folder, tree) = tree(&["plain", "dir/x"]);
        let set = |path: &str, mode| {
            let full = folder.path().join(path);
            std::fs::set_permissions(full, PermissionsExt::from_mode(mode)).unwrap();
        };
        set("plain", 0o4751);
        set("dir", 0o1777);
        symlink("plain", folder.path().join("link")).unwrap();
        let mut modes = HashMap::new();
        tree.walk(&Filter::default(), &mut |entry| {
            modes.insert(entry.path.clone(), (entry.mode, entry.has_content()));
            true
        })
        .unwrap();
        assert_eq!(modes["plain"], (0o751 | 1 << 23, true));
        assert_eq!(modes["dir"], (0o777 | 1 << 31 | 1 << 20, false));
        assert_eq!(modes["link"], (0o777 | 1 << 27, false));
    }

    #[test]
    fn a_name_that_is_not_utf8_is_an_error_only_where_it_is_wanted() {
        use std::os::unix::ffi::OsStrExt;
        let (folder, tree) = tree(&["ok"]);
        let name = std::ffi::OsStr::from_bytes(b"bad\xff");
        std::fs::write(folder.path().join(name), "x").unwrap();
        let all = tree.walk(&Filter::default(), &mut |_| true);
        assert!(matches!(all, Err(TreeError::NotUnicode { .. })));
        let filter = Filter::new(&tree, &[], &["bad*".to_owned()], &[]).unwrap();
        assert_eq!(paths(&tree, &filter), ["ok"]);
    }
}
