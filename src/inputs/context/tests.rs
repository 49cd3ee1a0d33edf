use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use super::*;

/// Long after every change of these tests.
const LATER: i64 = i64::MAX;

struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("src/deep")).unwrap();
        std::fs::create_dir(root.join("empty")).unwrap();
        std::fs::write(root.join("src/a"), "aaaa").unwrap();
        std::fs::write(root.join("src/deep/ä"), "b").unwrap();
        std::fs::write(root.join("log"), "ignored").unwrap();
        std::fs::write(root.join(".dockerignore"), "log\n").unwrap();
        symlink("src/a", root.join("link")).unwrap();
        Self { folder }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn read(&self, cache: &mut StatCache) -> Listing {
        let content = Content::main(self.folder.path(), None).unwrap();
        let mut read = Contexts::new(vec![content.clone(), content]).read(cache, LATER);
        assert_eq!(read.len(), 1, "one folder is read once");
        read.remove(0).1.unwrap()
    }

    fn digest(&self) -> Digest {
        self.read(&mut StatCache::default()).digest
    }

    fn set_modified(&self, path: &str, time: SystemTime) {
        let file = std::fs::File::options().write(true).open(self.path(path));
        file.unwrap().set_modified(time).unwrap();
    }
}

#[test]
fn what_an_image_could_show_changes_the_digest_and_nothing_else_does() {
    type Change = fn(&Folder);
    let cases: [(&str, Change, bool); 14] = [
        ("nothing", |_| {}, false),
        (
            "date",
            |at| at.set_modified("src/a", SystemTime::UNIX_EPOCH),
            false,
        ),
        (
            "ignored file",
            |at| std::fs::write(at.path("log"), "other").unwrap(),
            false,
        ),
        (
            "hard link instead of a copy",
            |at| {
                std::fs::copy(at.path("src/a"), at.path("x")).unwrap();
                let copied = at.digest();
                std::fs::remove_file(at.path("x")).unwrap();
                std::fs::hard_link(at.path("src/a"), at.path("x")).unwrap();
                assert_eq!(at.digest(), copied);
                std::fs::remove_file(at.path("x")).unwrap();
            },
            false,
        ),
        (
            "content",
            |at| std::fs::write(at.path("src/a"), "aaab").unwrap(),
            true,
        ),
        (
            "mode",
            |at| {
                let mode = PermissionsExt::from_mode(0o755);
                std::fs::set_permissions(at.path("src/a"), mode).unwrap();
            },
            true,
        ),
        (
            "mode of a folder",
            |at| {
                let mode = PermissionsExt::from_mode(0o700);
                std::fs::set_permissions(at.path("empty"), mode).unwrap();
            },
            true,
        ),
        (
            "name",
            |at| std::fs::rename(at.path("src/a"), at.path("src/b")).unwrap(),
            true,
        ),
        (
            "letters of a name",
            |at| std::fs::rename(at.path("src/deep/ä"), at.path("src/deep/a\u{308}")).unwrap(),
            true,
        ),
        (
            "target of a link",
            |at| {
                std::fs::remove_file(at.path("link")).unwrap();
                symlink("src/deep", at.path("link")).unwrap();
            },
            true,
        ),
        (
            "link becomes a file",
            |at| {
                std::fs::remove_file(at.path("link")).unwrap();
                std::fs::write(at.path("link"), "aaaa").unwrap();
            },
            true,
        ),
        (
            "empty folder",
            |at| std::fs::remove_dir(at.path("empty")).unwrap(),
            true,
        ),
        (
            "new file",
            |at| std::fs::write(at.path("new"), "").unwrap(),
            true,
        ),
        (
            "ignore file",
            |at| std::fs::write(at.path(".dockerignore"), "log\nempty\n").unwrap(),
            true,
        ),
    ];
    for (name, change, expected) in cases {
        let folder = Folder::new();
        let before = folder.digest();
        change(&folder);
        assert_eq!(folder.digest() != before, expected, "{name}");
    }
}

#[test]
fn two_folders_with_the_same_in_them_have_one_digest() {
    assert_eq!(Folder::new().digest(), Folder::new().digest());
}

#[test]
fn the_cache_knows_files_and_sees_a_change_of_the_same_size_and_date() {
    let folder = Folder::new();
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    folder.set_modified("src/a", date);
    let mut cache = StatCache::default();
    let first = folder.read(&mut cache);
    assert_eq!(folder.read(&mut cache), first);
    // A file system's clock ticks every few milliseconds.
    std::thread::sleep(Duration::from_millis(30));
    std::fs::write(folder.path("src/a"), "aaab").unwrap();
    folder.set_modified("src/a", date);
    let second = folder.read(&mut cache);
    assert_ne!(second.digest, first.digest);
    let changed: Vec<&str> = first
        .entries
        .iter()
        .zip(&second.entries)
        .filter(|(one, other)| one != other)
        .map(|(_, (path, _))| path.as_str())
        .collect();
    assert_eq!(changed, ["src/a"]);
}

#[test]
fn what_the_cache_says_is_what_reading_says() {
    let folder = Folder::new();
    let file = folder.path("cache");
    let mut cache = StatCache::open(&file);
    let first = folder.read(&mut cache);
    cache.save(&file).unwrap();
    std::fs::write(folder.path(".dockerignore"), "log\ncache\n").unwrap();
    let mut warm = StatCache::open(&file);
    assert_eq!(folder.read(&mut warm).digest, folder.digest());
    assert_ne!(folder.digest(), first.digest);
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_no_digest() {
    let folder = Folder::new();
    let content = Content::main(&folder.path("missing"), None).unwrap();
    let read = Contexts::new(vec![content]).read(&mut StatCache::default(), LATER);
    assert!(read[0].1.is_err());
}

#[test]
#[cfg(target_os = "linux")]
fn extended_attributes_are_read_and_change_the_digest() {
    use rustix::fs::{XattrFlags, setxattr};

    let at = Folder::new();
    let mut before = at.digest();
    let long = "x".repeat(200);
    // The names of the last two are longer together than what is asked for at first.
    for (name, value) in [
        ("user.castoff".to_owned(), "one"),
        ("user.castoff".to_owned(), "two"),
        (format!("user.a{long}"), ""),
        (format!("user.b{long}"), ""),
        (format!("user.c{long}"), ""),
    ] {
        let set = setxattr(
            at.path("src/a"),
            &name,
            value.as_bytes(),
            XattrFlags::empty(),
        );
        if set == Err(rustix::io::Errno::NOTSUP) {
            eprintln!("SKIPPED: this file system keeps no attributes of users");
            return;
        }
        set.unwrap();
        let now = at.digest();
        assert_ne!(now, before, "{name}={value}");
        before = now;
        let (entry, _) = Entry::read(&at.path("src/a"), "src/a").unwrap();
        assert_eq!(entry.xattrs[&name], value.as_bytes());
    }
    let (entry, _) = Entry::read(&at.path("src/a"), "src/a").unwrap();
    let of_users = entry.xattrs.keys().filter(|name| name.starts_with("user."));
    assert_eq!(of_users.count(), 4);
}
