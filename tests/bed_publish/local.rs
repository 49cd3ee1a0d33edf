//! `castoff build` and `castoff prune local`: what is in the Engine, and what of it may go.

use crate::support::bed::Bed;
use crate::support::program::Castoff;
use crate::support::project::Project;

fn project(name: &str) -> Project {
    Project::new()
        .file(
            "compose.yaml",
            &format!(
                "name: {name}\nservices:\n  api:\n    image: {name}-api\n    build:\n      context: .\n      args:\n        BASE: {}\n",
                Bed::base()
            ),
        )
        .file("Dockerfile", "ARG BASE\nFROM $BASE\nCOPY file /file\nCMD [\"sleep\", \"600\"]\n")
        .file(
            "publish.toml",
            "[prune.local]\nimages = { unused_for = \"0\", keep_last = 1 }\ncontainers = { stopped_for = \"0\" }\n",
        )
        .file("file", "1")
}

fn castoff<const N: usize>(project: &Project, arguments: [&str; N]) -> Castoff {
    project.castoff(arguments).envs(Bed::environment()).env(
        "CASTOFF_STATE",
        project.join(".state").display().to_string(),
    )
}

fn images(name: &str) -> Vec<String> {
    let filter = format!("label=dev.castoff.project={name}");
    let text = Bed::output(
        "docker",
        &["images", "-q", "--no-trunc", "--filter", &filter],
    );
    let mut images: Vec<String> = text.lines().map(str::to_owned).collect();
    images.sort();
    images.dedup();
    images
}

#[test]
fn only_old_images_of_the_project_that_no_container_uses_are_removed() {
    let name = Bed::unique("local");
    let project = project(&name);
    let other = Bed::unique("other");
    let others = Project::new()
        .file(
            "compose.yaml",
            &format!("name: {other}\nservices:\n  api:\n    image: {other}-api\n    build:\n      context: .\n      args:\n        BASE: {}\n", Bed::base()),
        )
        .file("Dockerfile", "ARG BASE\nFROM $BASE\nRUN echo other\n");
    castoff(&others, ["build"]).run().exits(0);
    let mut digests = Vec::new();
    for content in ["1", "2", "3"] {
        project.write("file", content);
        let built = castoff(&project, ["build", "--format", "json"])
            .run()
            .exits(0)
            .json();
        let digest = built[0]["digest"].as_str().unwrap().to_owned();
        // The name moves on, so each generation is given one of its own.
        Bed::output(
            "docker",
            &["tag", &digest, &format!("{name}-api:gen{content}")],
        );
        digests.push(digest);
    }
    assert_eq!(images(&name).len(), 3);
    let container = Bed::output(
        "docker",
        &[
            "run",
            "-d",
            "--network",
            "none",
            "--name",
            &name,
            &format!("{name}-api:gen1"),
        ],
    );

    // A dry run says what would go, and removes nothing.
    let dry = castoff(&project, ["prune", "local", "--format", "json"])
        .run()
        .exits(0)
        .json();
    assert_eq!(images(&name).len(), 3);
    let dry = dry.as_array().unwrap();
    assert_eq!(dry.len(), 1, "{dry:?}");
    assert_eq!(
        dry[0]["id"],
        format!("docker.io/library/{name}-api:gen2").replace("docker.io/library/", "")
    );
    assert_eq!(dry[0]["applied"], false);

    // What a container uses stays; the last one stays; other projects are not touched.
    castoff(&project, ["prune", "local", "--apply"])
        .run()
        .exits(0);
    let left = images(&name);
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(!left.contains(&digests[1]));
    assert_eq!(images(&other).len(), 1);

    // Stopped containers go first, and their images with them.
    Bed::output("docker", &["stop", "-t", "0", &container]);
    castoff(&project, ["prune", "local", "--apply"])
        .run()
        .exits(0);
    castoff(&project, ["prune", "local", "--apply"])
        .run()
        .exits(0);
    assert_eq!(images(&name), [digests[2].clone()]);
    let containers = Bed::output(
        "docker",
        &["ps", "-aq", "--filter", &format!("name={name}")],
    );
    assert_eq!(containers, "");
    for leftover in [
        format!("{name}-api:gen3"),
        format!("{name}-api"),
        format!("{other}-api"),
    ] {
        Bed::output("docker", &["image", "rm", &leftover]);
    }
}

#[test]
fn what_somebody_built_on_an_image_of_the_project_is_left_alone() {
    let name = Bed::unique("based");
    let project = project(&name);
    castoff(&project, ["build"]).run().exits(0);
    Bed::output(
        "docker",
        &["tag", &format!("{name}-api"), &format!("{name}-api:old")],
    );
    let theirs = format!("{name}-somebody-elses");
    // A name that somebody gave an image of ours is not ours to take.
    Bed::output(
        "docker",
        &["tag", &format!("{name}-api:old"), &format!("{theirs}:kept")],
    );
    project.write("file", "2");
    castoff(&project, ["build"]).run().exits(0);
    // Newer than both, and with the labels of the image that it is built on.
    let folder = project.join("theirs").display().to_string();
    project.write(
        "theirs/Dockerfile",
        &format!("FROM {name}-api\nRUN echo > /theirs\n"),
    );
    for tag in ["1", "2"] {
        Bed::output(
            "docker",
            &["build", "-q", "-t", &format!("{theirs}:{tag}"), &folder],
        );
    }
    let dry = castoff(&project, ["prune", "local", "--format", "json"])
        .run()
        .exits(0)
        .json();
    let offered: Vec<&str> = dry
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    assert_eq!(offered, [format!("{name}-api:old")]);
    castoff(&project, ["prune", "local", "--apply"])
        .run()
        .exits(0);
    let left = ["--format", "{{.Repository}}:{{.Tag}}", "--filter"];
    let filter = format!("reference={name}*");
    let left = Bed::output("docker", &[&["images"], &left[..], &[&filter]].concat());
    let mut left: Vec<&str> = left.lines().collect();
    left.sort_unstable();
    let all = [
        format!("{name}-api:latest"),
        format!("{theirs}:1"),
        format!("{theirs}:2"),
        format!("{theirs}:kept"),
    ];
    assert_eq!(left, all);
    for leftover in &all {
        Bed::output("docker", &["image", "rm", leftover]);
    }
}

#[test]
fn the_build_cache_is_measured_and_cut() {
    let name = Bed::unique("cache");
    let project = project(&name);
    project.write(
        "publish.toml",
        "[prune.local]\nbuild_cache = { keep = \"500GB\" }\n",
    );
    let nothing = castoff(&project, ["prune", "local"]).run().exits(0);
    assert_eq!(nothing.stdout, "nothing to clean up\n");
    project.write(
        "publish.toml",
        "[prune.local]\nbuild_cache = { unused_for = \"10000h\" }\n",
    );
    let nothing = castoff(&project, ["prune", "local"]).run().exits(0);
    assert_eq!(nothing.stdout, "nothing to clean up\n");
    castoff(&project, ["build"]).run().exits(0);
    project.write(
        "publish.toml",
        "[prune.local]\nbuild_cache = { keep = \"0B\" }\n",
    );
    // Only measured: other tests of the bed live on the same cache.
    let dry = castoff(&project, ["prune", "local", "--format", "json"])
        .run()
        .exits(0)
        .json();
    assert_eq!(dry[0]["kind"], "build cache");
    assert!(dry[0]["bytes"].as_u64().unwrap() > 0);
    assert_eq!(
        dry[0]["because"],
        "more than 0 B in the cache of all projects"
    );
    Bed::output("docker", &["image", "rm", &format!("{name}-api")]);
}

#[test]
fn without_a_policy_nothing_is_cleaned_up_and_it_is_said_how_to_make_one() {
    let project = project(&Bed::unique("none"));
    std::fs::remove_file(project.join("publish.toml")).unwrap();
    let ran = castoff(&project, ["prune", "local"]).run().exits(2);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: publish.toml does not say what may be cleaned up here
    hint: add for example `[prune.local]` with `images = { unused_for = "720h", keep_last = 3 }`
    "#);
}
