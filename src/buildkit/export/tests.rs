use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};

use super::*;

const FOLDER: u32 = 1 << 31;
const LINK: u32 = 1 << 27;

fn order(kind: ExportKind, path: &Path) -> ExportOrder {
    ExportOrder {
        kind,
        path: path.to_owned(),
        names: Vec::new(),
    }
}

fn stat(path: &str, mode: u32, link: &str) -> Packet {
    Packet {
        r#type: PacketType::PacketStat.into(),
        stat: Some(Stat {
            path: path.to_owned(),
            mode,
            linkname: link.to_owned(),
            mod_time: 1_000_000_000_000_000_001,
            ..Stat::default()
        }),
        ..Packet::default()
    }
}

fn data(id: u32, data: &[u8]) -> Packet {
    Packet {
        r#type: PacketType::PacketData.into(),
        id,
        data: data.to_vec(),
        ..Packet::default()
    }
}

fn end() -> Packet {
    Packet {
        r#type: PacketType::PacketStat.into(),
        ..Packet::default()
    }
}

/// What `packets` are answered by, or why they are refused.
fn taken(root: &Path, packets: Vec<Packet>) -> io::Result<(Taking, Vec<(PacketType, u32)>)> {
    let mut taking = Taking::new(root);
    let mut answers = Vec::new();
    for packet in packets {
        for answer in taking.take(packet)? {
            answers.push((answer.r#type(), answer.id));
        }
    }
    Ok((taking, answers))
}

#[test]
fn a_folder_comes_with_its_modes_times_and_links() {
    let root = tempfile::tempdir().unwrap();
    let packets = vec![
        stat("bin", FOLDER | 0o555, ""),
        stat("bin/a", (1 << 23) | 0o755, ""),
        stat("bin/b", 0o755, "bin/a"),
        stat("bin/c", LINK | 0o777, "../../etc/passwd"),
        stat("empty", 0o600, ""),
        end(),
        data(1, b"he"),
        data(4, b""),
        data(1, b"llo"),
        data(1, b""),
    ];
    let (taking, answers) = taken(root.path(), packets).unwrap();
    assert!(taking.is_whole());
    // What has no content is asked for, too; another name of a file is not.
    assert_eq!(
        answers,
        [
            (PacketType::PacketReq, 1),
            (PacketType::PacketReq, 4),
            (PacketType::PacketFin, 0)
        ]
    );
    let of = |path: &str| fs::symlink_metadata(root.path().join(path)).unwrap();
    assert_eq!(of("bin").mode() & 0o7777, 0o555);
    assert_eq!(of("bin/a").mode() & 0o7777, 0o4755);
    assert_eq!(of("bin/a").ino(), of("bin/b").ino());
    for path in ["bin", "bin/a", "bin/c", "empty"] {
        let time = (of(path).mtime(), of(path).mtime_nsec());
        assert_eq!(time, (1_000_000_000, 1), "{path}");
    }
    assert_eq!(fs::read(root.path().join("bin/b")).unwrap(), b"hello");
    let link = fs::read_link(root.path().join("bin/c")).unwrap();
    assert_eq!(link, Path::new("../../etc/passwd"));
}

#[test]
fn nothing_lands_outside_of_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    let away = outside.path().display().to_string();
    let deep = format!("{}x", "d/".repeat(3000));
    for packets in [
        vec![stat("../x", 0o644, "")],
        vec![stat("/x", 0o644, "")],
        vec![stat("a/../../x", 0o644, "")],
        vec![stat("", FOLDER, "")],
        vec![stat(".", FOLDER, "")],
        vec![stat("a//b", 0o644, "")],
        vec![stat("a\0b", 0o644, "")],
        vec![stat(&deep, 0o644, "")],
        // Through a link that the builder made itself.
        vec![stat("a", LINK | 0o777, &away), stat("a/x", 0o644, "")],
        vec![
            stat("a", LINK | 0o777, &away),
            stat("a", FOLDER | 0o755, ""),
        ],
        vec![
            stat("a", LINK | 0o777, &victim.display().to_string()),
            stat("a", 0o644, ""),
        ],
        // Below what is no folder, or was never sent.
        vec![stat("a", 0o644, ""), stat("a/x", 0o644, "")],
        vec![stat("a/x", 0o644, "")],
        // Another name of a file that is not the builder's.
        vec![stat("a", 0o644, "../victim")],
        vec![stat("a", 0o644, &victim.display().to_string())],
        vec![stat("a", LINK | 0o777, &away), stat("b", 0o644, "a/victim")],
        vec![
            stat("a", LINK | 0o777, &victim.display().to_string()),
            stat("b", 0o644, "a"),
        ],
        // What was not asked for.
        vec![data(0, b"x")],
        vec![stat("a", 0o644, ""), data(0, b"x")],
        vec![stat("a", FOLDER | 0o755, ""), end(), data(0, b"x")],
        vec![end(), stat("a", 0o644, "")],
        vec![stat("a", (1 << 24) | 0o644, "")],
    ] {
        let root = outside.path().join("root");
        fs::create_dir(&root).unwrap();
        let shown = format!("{packets:?}");
        assert!(taken(&root, packets).is_err(), "{shown}");
        let mut left: Vec<_> = fs::read_dir(outside.path())
            .unwrap()
            .map(|it| it.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["root", "victim"], "{shown}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine", "{shown}");
        fs::remove_dir_all(root).unwrap();
    }
}

#[test]
fn more_files_than_can_be_open_are_asked_for_in_turn() {
    let root = tempfile::tempdir().unwrap();
    let mut packets: Vec<Packet> = (0..100)
        .map(|n| stat(&format!("f{n:03}"), 0o644, ""))
        .collect();
    packets.push(end());
    let (mut taking, mut answers) = taken(root.path(), packets).unwrap();
    assert!(answers.len() < 50, "{}", answers.len());
    while let Some((PacketType::PacketReq, id)) = answers.pop() {
        for answer in taking.take(data(id, b"")).unwrap() {
            answers.push((answer.r#type(), answer.id));
        }
    }
    assert!(taking.is_whole());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 100);
}

#[test]
fn an_archive_is_there_whole_or_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/out.tar");
    let write = |text: &str| {
        let landing = Landing::begin(&order(ExportKind::Tar, &path)).unwrap();
        io::Write::write_all(&mut landing.file().unwrap(), text.as_bytes()).unwrap();
        landing
    };
    drop(write("half"));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    write("one").finish(None).unwrap();
    write("half").abandon();
    assert_eq!(fs::read_to_string(&path).unwrap(), "one");
    write("two").finish(None).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "two");
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    // Through a link to a file, and never in the place of anything but a file.
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    let landing = Landing::begin(&order(ExportKind::Tar, &link)).unwrap();
    landing.finish(None).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    for path in [Path::new("/dev/null"), folder.path()] {
        assert!(Landing::begin(&order(ExportKind::Docker, path)).is_err());
    }
}

#[test]
fn a_folder_that_is_there_takes_the_result_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir_all(path.join("kept")).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    fs::write(path.join("kept/mine"), "mine").unwrap();
    fs::write(path.join("old"), "old").unwrap();
    symlink(&elsewhere, path.join("sub")).unwrap();
    let landing = Landing::begin(&order(ExportKind::Local, &path)).unwrap();
    let root = landing.folder().unwrap().to_owned();
    for name in ["kept", "sub"] {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("new"), "new").unwrap();
    }
    fs::write(root.join("old"), "new").unwrap();
    fs::set_permissions(root.join("kept"), fs::Permissions::from_mode(0o555)).unwrap();
    landing.finish(None).unwrap();
    let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
    assert_eq!(read("kept/mine"), "mine");
    assert_eq!(read("kept/new"), "new");
    assert_eq!(read("old"), "new");
    assert_eq!(read("sub/new"), "new");
    // A link in the user's folder is replaced, and not gone through.
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    let kept = fs::metadata(path.join("kept")).unwrap();
    assert_eq!(kept.permissions().mode() & 0o777, 0o555);
    let left = fs::read_dir(&path).unwrap().count();
    assert_eq!(left, 3, "nothing of castoff's is left");
    // A file is not put over a folder.
    let landing = Landing::begin(&order(ExportKind::Local, &path)).unwrap();
    fs::write(landing.folder().unwrap().join("kept"), "file").unwrap();
    assert!(landing.finish(None).is_err());
    assert_eq!(fs::read_dir(&path).unwrap().count(), 3);
}

#[test]
fn a_layout_takes_other_images_in_and_nothing_else_is_taken_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layout");
    let write = |text: &[u8]| {
        let landing = Landing::begin(&order(ExportKind::OciFolder, &path)).unwrap();
        let layout = Layout::open(landing.folder().unwrap()).unwrap();
        let mut ingest = layout.begin().unwrap();
        ingest.write(text).unwrap();
        let digest = ingest.commit().unwrap();
        let manifest = serde_json::json!({"digest": digest.as_str(), "size": text.len()});
        (landing, manifest, digest)
    };
    let (landing, manifest, one) = write(b"one");
    landing.finish(Some(&manifest)).unwrap();
    let (landing, manifest, two) = write(b"two");
    landing.finish(Some(&manifest)).unwrap();
    let layout = Layout::open(&path).unwrap();
    layout.verify(&one).unwrap();
    assert_eq!(layout.find("latest").unwrap(), Some(two));
    let (landing, ..) = write(b"three");
    assert!(landing.finish(None).is_err(), "no manifest");
    let mut names: Vec<_> = fs::read_dir(&path)
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["blobs", "index.json", "oci-layout"]);
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.txt"), "years").unwrap();
    assert!(Landing::begin(&order(ExportKind::OciFolder, &other)).is_err());
}
