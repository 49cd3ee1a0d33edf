//! Names and texts of others that are no text for a terminal: not UTF-8, or with control sequences and
//! letters that turn the text around.

use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use crate::shop;
use crate::support::project::Project;
use crate::support::registry::TestRegistry;

/// A branch's and a tag's name that is Latin-1, as old repositories have them.
const LATIN: &[u8] = b"caf\xe9";
const HIDDEN: &str = "\u{1b}[31m\u{202e}";

fn git(project: &Project, arguments: &[&str], latin: &[u8]) {
    let status = Command::new("git")
        .args(arguments)
        .arg(std::ffi::OsStr::from_bytes(latin))
        .current_dir(project.path())
        .status()
        .unwrap();
    assert!(status.success());
}

fn tags(project: &Project) -> String {
    project.castoff(["tags"]).run().exits(0).stdout
}

#[test]
fn a_tag_that_is_not_utf8_is_described_as_git_describes_it() {
    let rules = "[tags]\nrules = [\"type=raw,value=x{{describe}}\"]\n";
    let project = shop().file("publish.toml", rules).git();
    git(&project, &["tag"], LATIN);
    assert_eq!(tags(&project), "web:\nghcr.io/acme/shop-web:xcaf-\n");
    // A version is described as ever where another name is no UTF-8.
    project.commit();
    git(&project, &["tag"], b"v1.0.0");
    assert_eq!(tags(&project), "web:\nghcr.io/acme/shop-web:xv1.0.0\n");
}

#[test]
fn a_tag_that_is_not_utf8_needs_git_only_where_it_is_described() {
    let with = |rule: &str| {
        let rules = format!("[tags]\nrules = [\"{rule}\"]\n");
        let project = shop().file("publish.toml", &rules).git();
        git(&project, &["tag"], LATIN);
        let ran = project.castoff(["tags"]).env("PATH", "/nonexistent").run();
        (ran.code, ran.stdout, ran.stderr)
    };
    let (code, _, stderr) = with("type=raw,value=x{{describe}}");
    assert_eq!(code, Some(3), "{stderr}");
    assert!(
        stderr.contains("the name of a tag is not UTF-8"),
        "{stderr}"
    );
    assert!(stderr.contains("hint: install git"), "{stderr}");
    let (_, stdout, _) = with("type=raw,value=x");
    assert_eq!(stdout, "web:\nghcr.io/acme/shop-web:x\n");
}

#[test]
fn a_branch_that_is_not_utf8_is_a_branch() {
    let rules = "[tags]\nrules = [\"type=ref,event=branch\", \"type=raw,value=latest,enable={{is_default_branch}}\"]\n";
    let project = shop().file("publish.toml", rules).git();
    git(&project, &["checkout", "-q", "-b"], LATIN);
    // As docker/metadata-action has it: what is no UTF-8 is read as U+FFFD, which no tag may have.
    assert_eq!(tags(&project), "web:\nghcr.io/acme/shop-web:caf-\n");
}

/// Every line that a terminal or a comment on a pull request would show, of all there is to say about a
/// project whose files are full of control sequences.
#[test]
fn no_view_shows_control_sequences() {
    let escaped = "\\u001b[31m\\u202e";
    let yaml = "\\e[31m\\u202E";
    let publish = format!(
        "[tags]\nrules = [\"type=raw,value=a{escaped}b\"]\n[labels]\n\"l{escaped}\" = \"v{escaped}\"\n"
    );
    let registry = TestRegistry::start();
    let host = registry.host();
    let compose = format!(
        "name: shop\nservices:\n  web:\n    build: web\n    image: {host}/web\n  run:\n    image: \"x{yaml}\"\n    profiles: [\"p{yaml}\"]\n"
    );
    let dockerfiles = [
        format!("FROM scratch\nCO{HIDDEN} x y\n"),
        format!("FROM x{HIDDEN}\n"),
        format!("# syntax=x{HIDDEN}\nFROM scratch\n"),
        format!("FROM scratch\nADD http://x{HIDDEN}/ y\n"),
    ];
    let mut views: Vec<&[&str]> = vec![
        &["tags", "--explain"],
        &["config", "--publish"],
        &["config", "--profiles"],
        &["config", "--images", "--profile", "*"],
    ];
    let plans: [&[&str]; 3] = [&["plan"], &["plan", "--format", "markdown"], &["check"]];
    let look = |project: &Project, view: &[&str]| {
        let ran = project.castoff([]).args(view).run();
        let is_hidden =
            |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
        assert!(
            !ran.stdout.contains(is_hidden),
            "{view:?}\n{:?}",
            ran.stdout
        );
        assert!(
            !ran.stderr.contains(is_hidden),
            "{view:?}\n{:?}",
            ran.stderr
        );
        ran.stdout
    };
    let project = Project::new()
        .file("compose.yaml", &compose)
        .file("publish.toml", &publish);
    for (index, dockerfile) in dockerfiles.iter().enumerate() {
        project.write("web/Dockerfile", dockerfile);
        for view in plans {
            look(&project, view);
        }
        if index == 0 {
            for view in views.drain(..) {
                assert!(
                    look(&project, view).contains("\u{fffd}[31m\u{fffd}"),
                    "{view:?}"
                );
            }
        }
    }
    let address = format!("https://h/x{yaml}.git#a{yaml}");
    let compose = compose.replace("build: web", &format!("build: \"{address}\""));
    project.write("compose.yaml", &compose);
    for view in plans {
        look(&project, view);
    }
}
