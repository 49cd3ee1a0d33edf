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

/// A project that is meant to hurt.
struct Hostile<'a> {
    files: &'a [(&'a str, &'a str)],
    arguments: &'a [&'a str],
    environment: &'a [(&'a str, &'a str)],
}

impl Hostile<'_> {
    /// Runs `castoff config` with a gigabyte of address space; says whether it accepts the files.
    #[track_caller]
    fn accepts(&self) -> bool {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in self.files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let start = Instant::now();
        let output = Command::new("sh")
            .args([
                "-c",
                "ulimit -v 1000000; exec \"$0\" config --services \"$@\"",
            ])
            .arg(env!("CARGO_BIN_EXE_castoff"))
            .args(self.arguments)
            .envs(self.environment.iter().copied())
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
}

#[track_caller]
fn accepts(files: &[(&str, &str)]) -> bool {
    Hostile {
        files,
        arguments: &[],
        environment: &[],
    }
    .accepts()
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
            standard_input: Some(bytes.clone()),
            ..LoadOptions::default()
        };
        if let Ok(project) = load(&options) {
            let _ = (
                project.document.json().to_string(),
                project.document.yaml().to_string(),
            );
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

/// The same as for one file holds for all of a project together.
#[test]
fn what_many_services_and_files_make_of_little_is_bounded() {
    let services = |count: usize, keys: &str| {
        (0..count).fold("services:\n".to_owned(), |mut text, service| {
            let _ = writeln!(text, "  s{service}: {{image: x, {keys}}}");
            text
        })
    };
    let long = "v".repeat(100_000);
    for keys in [
        "environment: [V]",
        "environment: {V: }",
        "build: {context: ., args: [V]}",
        "build: {context: ., secrets: [s]}",
    ] {
        let text = services(20_000, keys) + "secrets: {s: {environment: V}}\n";
        let project = Hostile {
            files: &[("compose.yaml", &text)],
            arguments: &[],
            environment: &[("V", &long)],
        };
        assert!(!project.accepts(), "{keys}");
    }
    let lines = |count: usize| {
        (0..count).fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "A{line}=v{line}");
            text
        })
    };
    let value = format!("A={}\n", "x".repeat(8_000_000));
    for (count, file) in [(500, lines(20_000)), (200, lines(5_000)), (100, value)] {
        for key in ["env_file: e", "label_file: e"] {
            let text = services(count, key);
            assert!(!accepts(&[("compose.yaml", &text), ("e", &file)]), "{key}");
        }
    }
    let names: Vec<String> = (0..40).map(|file| format!("e{file}")).collect();
    let text = services(1, &format!("env_file: [{}]", names.join(", ")));
    let hundred_thousand = lines(100_000);
    let mut files: Vec<(&str, &str)> = vec![("compose.yaml", &text)];
    files.extend(names.iter().map(|name| (name.as_str(), &*hundred_thousand)));
    assert!(!accepts(&files));

    // A large project is none of this.
    let (text, file) = (services(400, "env_file: e"), lines(400));
    assert!(accepts(&[("compose.yaml", &text), ("e", &file)]));
}

#[test]
fn bombs_in_many_files_are_one() {
    let list = |level: usize| format!("[{}]", vec![format!("*a{level}"); 7].join(", "));
    let mut text = format!("{SERVICE}x-0: &a0 [z]\n");
    for level in 1..=6 {
        let _ = writeln!(text, "x-{level}: &a{level} {}", list(level - 1));
    }
    let project = Hostile {
        files: &[("f.yaml", &text)],
        arguments: &["-f", "f.yaml"].repeat(250),
        environment: &[],
    };
    assert!(!project.accepts());
    let names: Vec<String> = (0..60).map(|file| format!("f{file}.yaml")).collect();
    let all = format!("include: [{}]\n", names.join(", "));
    let mut files: Vec<(&str, &str)> = vec![("compose.yaml", &all)];
    files.extend(names.iter().map(|name| (name.as_str(), text.as_str())));
    assert!(!accepts(&files));

    // One file that is read over and over, and one that is merged over and over.
    let long = format!("#{}\nx-a: 1\n", "x".repeat(7_000_000));
    let all = format!("include: [{}]\n{SERVICE}", vec!["c.yaml"; 900].join(", "));
    assert!(!accepts(&[("compose.yaml", &all), ("c.yaml", &long)]));
    let wide = (0..60_000).fold("x-a:\n".to_owned(), |mut text, key| {
        let _ = writeln!(text, "  v{key}: 1");
        text
    });
    let over = "---\nx-b: 1\n".repeat(3_000);
    assert!(!compose(&format!("{SERVICE}{wide}{over}")));
    let reset = wide.replace(": 1", ": !reset 1");
    let project = Hostile {
        files: &[
            ("compose.yaml", &format!("{SERVICE}{wide}")),
            ("over.yaml", &reset),
        ],
        arguments: &["-f", "compose.yaml", "-f", "over.yaml"],
        environment: &[],
    };
    assert!(project.accepts());
}

/// Read, these would take more than a second and 200 MB.
#[test]
fn values_that_are_only_many() {
    let items = (0..400_000).fold(String::new(), |mut text, item| {
        let _ = writeln!(text, "    - K{item}=v");
        text
    });
    assert!(!compose(&format!("{SERVICE}    environment:\n{items}")));
    let labels = (0..1_000).fold("x-l: &l\n  labels:\n".to_owned(), |mut text, label| {
        let _ = writeln!(text, "    l{label}: v");
        text
    });
    let services = |count: usize| {
        (0..count).fold("services:\n".to_owned(), |mut text, service| {
            let _ = writeln!(text, "  s{service}: {{<<: *l, image: a}}");
            text
        })
    };
    assert!(!compose(&(labels.clone() + &services(450))));
    assert!(compose(&(labels + &services(250))));
}

#[test]
fn long_keys_long_lines_and_many_repairs() {
    let key = "k".repeat(1_000_000);
    let uses = vec!["*s"; 50_000].join(",");
    assert!(!compose(&format!(
        "x-s: &s 1\nx-b:\n  ? {key}\n  : [{uses}]\n{SERVICE}"
    )));
    assert!(!compose(&format!(
        "x-s: &s\n  ? {key}\n  : 1\nx-b: [{uses}]\n{SERVICE}"
    )));
    let one_line: Vec<String> = (0..10_000)
        .map(|service| format!("s{service}: {{build: {{context: ., target: a}}}}"))
        .collect();
    assert!(compose(&format!("services: {{{}}}\n", one_line.join(","))));
    assert!(compose(&format!(
        "{SERVICE}x-a: [{}]\n",
        "it's:,".repeat(100_000)
    )));
}

#[test]
fn chains_are_followed_and_end() {
    let chain = |length: usize| {
        let mut text = "services:\n".to_owned();
        for service in 0..length {
            let _ = writeln!(text, "  s{service}: {{extends: s{}}}", service + 1);
        }
        text + &format!("  s{length}: {{image: x}}\n")
    };
    assert!(compose(&chain(900)));
    assert!(!compose(&chain(2_000)));
    let includes = |length: usize| {
        let names: Vec<String> = (0..=length).map(|file| format!("i{file}.yaml")).collect();
        let texts: Vec<String> = (1..=length)
            .map(|next| format!("include: [i{next}.yaml]\n"))
            .chain([SERVICE.to_owned()])
            .collect();
        let pairs = names.iter().zip(&texts);
        let mut files: Vec<(&str, &str)> = pairs
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        files.push(("compose.yaml", "include: [i0.yaml]\n"));
        accepts(&files)
    };
    assert!(includes(450));
    assert!(!includes(600));
}
