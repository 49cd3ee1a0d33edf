//! Trees nobody thought of: made by chance, built by castoff and by buildx in turn. Each finds every
//! `COPY` of the other in the cache.
//!
//! `CASTOFF_ROUNDS` says how many trees; some of the first ones are large. `CASTOFF_SEED` makes them all from
//! the seed that a failure named.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use castoff::inputs::{EntryKind, Filter, Patterns, Tree};

use crate::contexts::{buildx_misses, castoff_misses};
use crate::support::bed::Bed;
use crate::support::project::Project;

const NAMES: [&str; 16] = [
    "a",
    "b",
    "a-b",
    "a.b",
    "ab",
    "A",
    ".hidden",
    "spaß",
    "日本",
    "with space",
    "x.tmp",
    "keep",
    "drop",
    "-dash",
    "~tilde",
    "é",
];
const MODES: [u32; 7] = [0o644, 0o600, 0o755, 0o444, 0o4755, 0o000, 0o666];
const PATTERNS: [&str; 10] = [
    "*.tmp",
    "**/drop",
    "!**/drop/keep",
    "a",
    "!a/keep",
    "**/.hidden",
    "[ab]",
    "**/a-*",
    "spaß/**",
    "!**/é",
];
/// How many `COPY` steps a tree has.
const COPIES: usize = 3;

/// Numbers that look random and are the same for the same seed (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// A tree of about `files` files.
fn tree(seed: u64, files: usize) -> Project {
    let chance = &mut Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let base = Bed::base();
    let mut ignored = String::from(".home\ncompose.yaml\n");
    for _ in 0..chance.below(6) {
        ignored.push_str(chance.of(&PATTERNS));
        ignored.push('\n');
    }
    let project = Project::new()
        .file(
            "compose.yaml",
            &format!("name: trees\nservices:\n  tree:\n    image: trees\n    build: {{ context: ., args: {{ BASE: \"{base}\" }} }}\n"),
        )
        .file(
            "Dockerfile",
            "ARG BASE\nFROM $BASE\nCOPY [\"always\", \"/always\"]\nCOPY alway?/see* /flat/\nCOPY . /all\n",
        )
        .file(".dockerignore", &ignored)
        .file("always/seed", &Bed::unique("tree"));
    let mut folders: Vec<PathBuf> = vec![project.path().to_owned(), project.join("always")];
    let mut known: Vec<PathBuf> = vec![project.join("always/seed")];
    for number in 0..files {
        let folder = folders[chance.below(folders.len())].clone();
        let name = if files > 500 || chance.below(3) == 0 {
            format!("{}{number}", chance.of(&NAMES))
        } else {
            chance.of(&NAMES).to_owned()
        };
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            continue;
        }
        grow(chance, &path, &mut folders, &mut known, number);
    }
    if !is_clear(&project, &ignored) {
        std::fs::write(project.join(".dockerignore"), ".home\ncompose.yaml\n").unwrap();
    }
    project
}

/// Whether a walk agrees with asking for each path by itself. Where it does not (a later pattern would leave
/// out a folder that is left out already, and one between them takes something back), buildx sends the file
/// without its content: its walk lets it through, and then it does not open it.
fn is_clear(project: &Project, ignored: &str) -> bool {
    let patterns = Patterns::new(ignored.lines()).unwrap();
    let filter = Filter::excluding(patterns.clone());
    let mut clear = true;
    Tree::open(project.path())
        .unwrap()
        .walk(&filter, &mut |entry| {
            let is_folder = entry.kind == EntryKind::Directory;
            clear &= is_folder || !patterns.matches(&entry.path);
            true
        })
        .unwrap();
    clear
}

/// Makes one entry of some kind.
fn grow(
    chance: &mut Chance,
    path: &Path,
    folders: &mut Vec<PathBuf>,
    known: &mut Vec<PathBuf>,
    number: usize,
) {
    match chance.below(12) {
        0 | 1 => {
            std::fs::create_dir(path).unwrap();
            if chance.below(4) == 0 {
                let mode = chance.of(&[0o700, 0o1777, 0o2755]);
                std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
            }
            if path.components().count() < 12 {
                folders.push(path.to_owned());
            }
        }
        2 => {
            let target = chance.of(&[
                "seed",
                "../always/seed",
                "nowhere",
                "/always/seed",
                "../../..",
                ".",
                "a/../b",
            ]);
            symlink(target, path).unwrap();
        }
        3 => {
            let other = known[chance.below(known.len())].clone();
            std::fs::hard_link(other, path).unwrap();
        }
        _ => {
            let size = chance.of(&[0, 1, 10, 1000, 4_000]);
            std::fs::write(path, format!("{number}").repeat(size)).unwrap();
            std::fs::set_permissions(path, PermissionsExt::from_mode(chance.of(&MODES))).unwrap();
            known.push(path.to_owned());
        }
    }
}

#[test]
fn castoff_and_buildx_send_the_same_of_any_tree() {
    let rounds = std::env::var("CASTOFF_ROUNDS").map_or(12, |rounds| rounds.parse().unwrap());
    let given: Option<u64> = std::env::var("CASTOFF_SEED")
        .ok()
        .map(|seed| seed.parse().unwrap());
    for round in 0..rounds {
        let seed = given.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
        let files = match round {
            0 if given.is_none() => 5_000,
            round if round % 10 == 9 => 500,
            _ => 60,
        };
        let project = tree(seed, files);
        let folder = project.path();
        let missed = if round % 2 == 0 {
            castoff_misses(folder, COPIES);
            buildx_misses(folder, COPIES)
        } else {
            buildx_misses(folder, COPIES);
            castoff_misses(folder, COPIES)
        };
        assert_eq!(
            missed,
            Vec::<String>::new(),
            "seed {seed}, {files} files, round {round}"
        );
    }
}
