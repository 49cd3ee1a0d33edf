//! A version that is published, and is published once more.

use crate::support::bed::Bed;
use crate::support::program::Ran;
use crate::support::project::Project;

#[test]
fn a_version_is_published_again_from_its_own_commit_only() {
    let host = Bed::registry();
    let prefix = Bed::unique("immutable");
    let base = Bed::base();
    let project = Project::new()
        .file(
            "compose.yaml",
            &format!("name: {prefix}\nservices:\n  api:\n    build: {{context: api, args: {{BASE: \"{base}\"}}}}\n"),
        )
        .file("api/Dockerfile", "ARG BASE\nFROM $BASE\nCOPY file /file\nRUN cp /file /copy\n")
        .file("api/file", &prefix)
        .file(
            "publish.toml",
            &format!(
                "[registries.a]\nrepository = \"{host}/{prefix}/{{{{service}}}}\"\n[tags]\nrules = [\"type=semver,pattern={{{{version}}}}\"]\n"
            ),
        )
        .file(".gitignore", ".home\n")
        .git();
    project.run_git(&["tag", "v1.0.0"]);
    project.run_git(&["checkout", "-q", "v1.0.0"]);
    let publish = |arguments: &[&str]| -> Ran {
        project
            .castoff(["publish"])
            .args(arguments)
            .envs(Bed::environment())
            .run()
    };
    let tag = format!("{host}/{prefix}/api:1.0.0");
    publish(&[]).exits(0);
    let first = Bed::digest(&tag);
    // The job of the release runs once more.
    publish(&[]).exits(0);
    assert_eq!(Bed::digest(&tag), first);
    // Built anew the same comes out, which not even a tag that never moves is in the way of.
    publish(&["--rebuild", "--set", "tags.immutable=[\"1.*\"]"]).exits(0);
    assert_eq!(Bed::digest(&tag), first);
    // The same commit comes out differently, as with a base image that moved.
    project.write("api/file", "another base\n");
    let ran = publish(&["--set", "tags.immutable=[\"1.*\"]"]).exits(3);
    assert!(ran.stderr.contains("it is immutable"), "{}", ran.stderr);
    assert_eq!(Bed::digest(&tag), first);
    publish(&[]).exits(0);
    let second = Bed::digest(&tag);
    assert_ne!(second, first);
    // Another commit under the same name.
    project.commit();
    project.run_git(&["tag", "-f", "v1.0.0"]);
    project.write("api/file", "another commit\n");
    let ran = publish(&[]).exits(3);
    assert!(
        ran.stderr.contains("it is a version of commit "),
        "{}",
        ran.stderr
    );
    assert_eq!(Bed::digest(&tag), second);
    publish(&["--allow-overwrite"]).exits(0);
    assert_ne!(Bed::digest(&tag), second);
}
