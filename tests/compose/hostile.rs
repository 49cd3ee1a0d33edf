//! Files that are meant to hurt: each is refused or read in a short time and little memory.
//!
//! `tests/fuzz_corpus` keeps what the fuzz targets found.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use castoff::compose::{EnvFormat, LoadOptions, env_file, load};
use castoff::interpolate::interpolate;

/// A second is the aim for the program as it is shipped; an unoptimised one may take longer.
const LIMIT: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 1 });

const SERVICE: &str = "services:\n  a:\n    image: a\n";

/// Runs `castoff config` with a gigabyte of address space; says whether it accepts the file.
#[track_caller]
fn accepts(files: &[(&str, &str)]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let start = Instant::now();
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 1000000; exec \"$0\" config --services"])
        .arg(env!("CARGO_BIN_EXE_castoff"))
        .current_dir(folder.path())
        .output()
        .unwrap();
    let took = start.elapsed();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(took < LIMIT, "{took:?}: {stderr}");
    match output.status.code() {
        Some(0) => true,
        Some(2) => false,
        other => panic!("{other:?}: {stderr}"),
    }
}

fn compose(text: &str) -> bool {
    accepts(&[("compose.yaml", text)])
}

/// `x-1: &a1 [*a0, *a0, …]` and so on: ten times as much with each line.
fn bomb(first: &str, line: impl Fn(usize) -> String) -> String {
    let mut text = format!("{SERVICE}x-0: &a0 {first}\n");
    for level in 1..=9 {
        let _ = writeln!(text, "x-{level}: &a{level} {}", line(level - 1));
    }
    text
}

#[test]
fn alias_bombs_are_refused() {
    assert!(!compose(&bomb("[z,z,z]", |below| format!(
        "[{}]",
        vec![format!("*a{below}"); 10].join(", ")
    ))));
    let entries = |below: usize| {
        let entries: Vec<String> = (0..10).map(|key| format!("k{key}: *a{below}")).collect();
        format!("{{{}}}", entries.join(", "))
    };
    assert!(!compose(&bomb("{a: 1}", entries)));
    assert!(!compose(&bomb("{a: 1}", |below| format!(
        "{{<<: [{}]}}",
        vec![format!("*a{below}"); 10].join(", ")
    ))));
    let long = "x".repeat(1_000_000);
    let uses = vec!["*s"; 5_000].join(", ");
    assert!(!compose(&format!(
        "{SERVICE}x-s: &s {long}\nx-l: [{uses}]\n"
    )));
}

#[test]
fn deep_nesting_is_refused() {
    let block: String = (0..200).fold(String::new(), |mut text, level| {
        let _ = writeln!(text, "{}a:", " ".repeat(level + 1));
        text
    });
    assert!(!compose(&format!("{SERVICE}x-a:\n{block}")));
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("[", "")] {
        for depth in [200, 100_000] {
            let (open, close) = (open.repeat(depth), close.repeat(depth));
            assert!(!compose(&format!("{SERVICE}x-a: {open}{close}\n")));
        }
    }
    assert!(!compose(&format!(
        "{SERVICE}x-a:\n  {}a\n",
        "- ".repeat(100_000)
    )));
}

#[test]
fn sizes() {
    let long = "x".repeat(1_000_000);
    assert!(compose(&format!(
        "{SERVICE}    labels: {{a: \"{long}\"}}\n"
    )));
    assert!(!compose(&format!("#{}\n{SERVICE}", "x".repeat(50_000_000))));
    assert!(!compose(&format!("{SERVICE}    ports: [{}]\n", ports())));
}

fn ports() -> String {
    let ranges: Vec<String> = (1..99)
        .map(|host| format!("\"{host}.0.0.1:1-60000:1-60000\""))
        .collect();
    ranges.join(", ")
}

#[test]
fn variables_that_grow() {
    let nested = format!("{}{}", "${A:-".repeat(100_000), "}".repeat(100_000));
    assert!(!compose(&format!(
        "{SERVICE}    labels: {{a: \"{nested}\"}}\n"
    )));
    let doubled: String = (0..60).fold("A0=xxxxxxxx\n".to_owned(), |mut text, line| {
        let _ = writeln!(text, "A{}=$A{line}$A{line}", line + 1);
        text
    });
    assert!(!accepts(&[("compose.yaml", SERVICE), (".env", &doubled)]));
    let many = format!(
        "{SERVICE}    labels: {{a: \"{}\"}}\n",
        "${A}".repeat(100_000)
    );
    let long = format!("A={}\n", "x".repeat(1_000_000));
    assert!(!accepts(&[("compose.yaml", &many), (".env", &long)]));
}

#[test]
fn files_that_include_and_extend_one_another() {
    let names: Vec<String> = (0..40).map(|file| format!("i{file}.yaml")).collect();
    let texts: Vec<String> = (1..=40)
        .map(|next| format!("include: [i{next}.yaml, {{path: i{next}.yaml}}]\n"))
        .collect();
    let mut files: Vec<(&str, &str)> = names
        .iter()
        .zip(&texts)
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    files.push(("i40.yaml", SERVICE));
    files.push(("compose.yaml", "include: [i0.yaml]\n"));
    assert!(!accepts(&files));

    let mut wide = format!("{SERVICE}    labels: {{");
    for label in 0..2_000 {
        let _ = write!(wide, "l{label}: a, ");
    }
    wide.push_str("}\n");
    for service in 0..2_000 {
        let _ = writeln!(wide, "  s{service}: {{extends: a}}");
    }
    assert!(!compose(&wide));
}

/// What the fuzz targets found ends, and soon.
#[test]
fn the_kept_finds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz_corpus");
    let lookup = |name: &str| (name == "A").then(|| "value".to_owned());
    let finds = |target: &str| -> Vec<(PathBuf, Vec<u8>)> {
        let files = fs::read_dir(corpus.join(target)).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        paths
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    };
    for (path, bytes) in finds("compose") {
        let start = Instant::now();
        let options = LoadOptions {
            working_directory: PathBuf::from("/nowhere/project"),
            files: vec![PathBuf::from("-")],
            profiles: vec!["*".to_owned()],
            standard_input: Some(String::from_utf8_lossy(&bytes).into_owned()),
            ..LoadOptions::default()
        };
        if let Ok(project) = load(&options) {
            let _ = (project.document.to_json(), project.document.to_yaml());
        }
        assert!(start.elapsed() < LIMIT, "{}", path.display());
    }
    for (path, bytes) in finds("interpolate") {
        let start = Instant::now();
        let _ = interpolate(&String::from_utf8_lossy(&bytes), &lookup);
        assert!(start.elapsed() < LIMIT, "{}", path.display());
    }
    for (path, bytes) in finds("dotenv") {
        let start = Instant::now();
        for format in [EnvFormat::Dotenv, EnvFormat::Raw] {
            let _ = env_file(&bytes, format, &lookup);
        }
        assert!(start.elapsed() < LIMIT, "{}", path.display());
    }
}
