//! Bad compose files: what is said, with the file, line, column, the line
//! itself and what to do next.

use std::fs;
use std::path::Path;

use assert_cmd::Command;

/// A folder with files, and the arguments of `castoff config`.
struct Project<'a> {
    files: &'a [(&'a str, &'a str)],
    arguments: &'a [&'a str],
    environment: &'a [(&'a str, &'a str)],
}

impl Project<'_> {
    /// The exit code and what stands on the standard error.
    fn refused(&self) -> String {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("project");
        for (name, text) in self.files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        let output = Command::cargo_bin("castoff")
            .unwrap()
            .current_dir(&folder)
            .env_clear()
            .env("HOME", "/home/user")
            .envs(self.environment.iter().copied())
            .arg("config")
            .args(self.arguments)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
        format!(
            "exit code {}\n{}",
            output.status.code().unwrap(),
            hidden(&stderr, scratch.path())
        )
    }
}

/// The message without the folder of this run.
fn hidden(text: &str, folder: &Path) -> String {
    let real = fs::canonicalize(folder).unwrap();
    text.replace(&real.display().to_string(), "…")
        .replace(&folder.display().to_string(), "…")
}

fn refused(compose: &str) -> String {
    Project {
        files: &[("compose.yaml", compose)],
        arguments: &[],
        environment: &[],
    }
    .refused()
}

macro_rules! cases {
    ($($name:ident: $compose:expr,)*) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), refused($compose));
        }
    )*};
}

cases! {
    duplicate_key: "services:\n  api:\n    image: a\n    ports: []\n    image: b\n",
    tab: "services:\n\tapi:\n\t  image: a\n",
    tab_on_an_empty_line: "services:\n  api:\n    image: a\n\t\n",
    not_yaml: "services:\n  api: [a, b\n",
    mapping_in_a_value: "services:\n  api:\n    image: a: b\n",
    wrong_type: "services:\n  api:\n    image: [a]\n",
    wrong_type_below: "services:\n  api:\n    image: a\n    build:\n      args:\n        - 5\n",
    unknown_key: "services:\n  api:\n    imgae: a\n",
    unknown_build_key: "services:\n  api:\n    build:\n      contxt: .\n",
    unknown_top_key: "service:\n  api:\n    image: a\n",
    key_of_a_later_compose: "services:\n  api:\n    build: {no_cache_filter: [a]}\n",
    number_as_key: "services:\n  api:\n    image: a\n    environment: {1: a}\n",
    date: "services:\n  api:\n    image: a\n    labels: {built: 2020-01-01}\n",
    no_image: "services:\n  api: {}\n",
    empty_service: "services:\n  api:\n",
    empty_file: "",
    only_a_list: "- a\n",
    required_variable: "services:\n  api:\n    image: a:${TAG:?set the tag of the release}\n",
    invalid_variable: "services:\n  api:\n    image: a:${TAG\n",
    no_boolean: "services:\n  api:\n    image: a\n    init: maybe\n    read_only: perhaps\n",
    no_number: "services:\n  api:\n    image: a\n    scale: many\n",
    size: "services:\n  api:\n    image: a\n    mem_limit: 5 apples\n",
    duration: "services:\n  api:\n    image: a\n    stop_grace_period: soon\n",
    port: "services:\n  api:\n    image: a\n    ports: [\"80:99999\"]\n",
    mount: "services:\n  api:\n    image: a\n    volumes: [\"aa:bb:cc:dd\"]\n",
    undefined_volume: "services:\n  api:\n    image: a\n    volumes: [\"date:/x\"]\nvolumes: {data: }\n",
    undefined_network: "services:\n  api:\n    image: a\n    networks: [front]\n",
    undefined_dependency: "services:\n  api:\n    image: a\n    depends_on: [databse]\n  database: {image: b}\n",
    disabled_dependency: "services:\n  api:\n    image: a\n    depends_on: [db]\n  db: {image: b, profiles: [full]}\n",
    dependency_cycle: "services:\n  a: {image: a, depends_on: [b]}\n  b: {image: b, depends_on: [a]}\n",
    undefined_build_secret: "services:\n  api:\n    build: {secrets: [token]}\n",
    both_dockerfiles: "services:\n  api:\n    build:\n      dockerfile: a\n      dockerfile_inline: FROM scratch\n",
    platform_not_built: "services:\n  api:\n    platform: linux/386\n    build:\n      platforms: [linux/amd64]\n",
    secret_without_source: "services: {a: {image: a}}\nsecrets: {s: {labels: {a: b}}}\n",
    extends_itself: "services:\n  a:\n    extends: b\n  b:\n    extends: a\n",
    extends_nothing: "services:\n  a:\n    extends: {service: bsae}\n  base: {image: b}\n",
    extends_missing_file: "services:\n  a:\n    extends: {file: base.yaml, service: b}\n",
    includes_itself: "include: [compose.yaml]\nservices: {a: {image: a}}\n",
    includes_missing_file: "include: [sub/compose.yaml]\nservices: {a: {image: a}}\n",
    includes_from_git: "include: [\"https://me:secret@git.example.org/a/b.git#main\"]\n",
    missing_env_file: "services:\n  api:\n    image: a\n    env_file: [api.env]\n",
    merge_key: "x-a: &a [1]\nservices:\n  api:\n    <<: *a\n    image: a\n",
    unknown_anchor: "services:\n  api: *base\n",
    alias_cycle: "services:\n  api: &a\n    image: a\n    labels: *a\n",
    bind_without_source: "services:\n  api:\n    image: a\n    volumes: [{type: bind, target: /a}]\n",
    mounted_twice: "services:\n  api:\n    image: a\n    tmpfs: /a\n    volumes: [\"./b:/a\"]\n",
    control_character: "services:\n  api:\n    image: a\u{1b}[31m\n",
    letter_that_ends_a_line_elsewhere: "services:\n  api:\n    image: a # c\u{2028}    command: evil\n",
    version_of_yaml: "%YAML 1.2\n---\nservices: {api: {image: a}}\n",
    question_mark_in_brackets: "services:\n  api:\n    image: a\n    command: [curl, http://x/?a=b]\n",
    colon_in_brackets: "services:\n  api:\n    image: a\n    command: [Xvfb, :99]\n",
    reset_below_override: "services: !override\n  api: !reset\n",
    infinite_cpus: "services: {a: {image: a, cpus: .inf}}\n",
    name: "name: \"!!!\"\nservices: {a: {image: a}}\n",
}

#[test]
fn a_value_from_the_environment_is_not_shown() {
    let project = Project {
        files: &[(
            "compose.yaml",
            "services:\n  a:\n    image: a\n    mem_limit: \"${PASSWORD}\"\n",
        )],
        arguments: &[],
        environment: &[("PASSWORD", "hunter2")],
    };
    let refused = project.refused();
    assert!(!refused.contains("hunter2"));
    insta::assert_snapshot!(refused);
}

#[test]
fn no_file() {
    let project = Project {
        files: &[],
        arguments: &[],
        environment: &[],
    };
    let refused = project.refused();
    assert!(refused.contains("error: no compose file in …"));
    assert!(refused.contains("hint: write a compose.yaml"));
}

#[test]
fn missing_file() {
    let project = Project {
        files: &[],
        arguments: &["-f", "nope.yaml"],
        environment: &[],
    };
    insta::assert_snapshot!(project.refused());
}

#[test]
fn project_name() {
    let project = Project {
        files: &[("compose.yaml", "services: {a: {image: a}}\n")],
        arguments: &["-p", "My Project"],
        environment: &[],
    };
    insta::assert_snapshot!(project.refused());
}

#[test]
fn line_of_an_env_file() {
    let project = Project {
        files: &[
            (
                "compose.yaml",
                "services:\n  a:\n    image: a\n    env_file: a.env\n",
            ),
            ("a.env", "A=1\nPASS WORD=secret\n"),
        ],
        arguments: &[],
        environment: &[],
    };
    let refused = project.refused();
    assert!(!refused.contains("secret"));
    insta::assert_snapshot!(refused);
}

#[test]
fn quote_of_an_env_file() {
    let project = Project {
        files: &[
            ("compose.yaml", "services: {a: {image: a}}\n"),
            (".env", "A=1\nPASSWORD='secret\n"),
        ],
        arguments: &[],
        environment: &[],
    };
    let refused = project.refused();
    assert!(!refused.contains("secret"));
    insta::assert_snapshot!(refused);
}

#[test]
fn two_files_that_do_not_fit() {
    let project = Project {
        files: &[
            (
                "a.yaml",
                "services:\n  a:\n    image: a\n    build: .\n    volumes: [\"./a:/a\"]\n",
            ),
            ("b.yaml", "services:\n  a:\n    volumes: {a: b}\n"),
        ],
        arguments: &["-f", "a.yaml", "-f", "b.yaml"],
        environment: &[],
    };
    insta::assert_snapshot!(project.refused());
}

#[test]
fn included_twice_and_differently() {
    let project = Project {
        files: &[
            (
                "compose.yaml",
                "include: [a.yaml]\nservices:\n  web: {image: one}\n",
            ),
            ("a.yaml", "services:\n  web:\n    image: two\n"),
        ],
        arguments: &[],
        environment: &[],
    };
    insta::assert_snapshot!(project.refused());
}

#[test]
fn warnings_tell_what_is_odd() {
    let scratch = tempfile::tempdir().unwrap();
    let compose = "version: '3'\nservices:\n  a:\n    image: \"a:$TAG\"\n    tty: \"yes\"\n";
    fs::write(scratch.path().join("compose.yaml"), compose).unwrap();
    let output = Command::cargo_bin("castoff")
        .unwrap()
        .current_dir(scratch.path())
        .env_clear()
        .args(["config", "--services"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    insta::assert_snapshot!(hidden(&stderr, scratch.path()));
}

/// What is said of a project whose `.env` is this.
fn refused_env(env: &str) -> String {
    Project {
        files: &[
            ("compose.yaml", "services: {a: {image: a}}\n"),
            (".env", env),
        ],
        arguments: &[],
        environment: &[],
    }
    .refused()
}

#[test]
fn a_variable_of_an_env_file_has_the_line_where_it_stands() {
    insta::assert_snapshot!(refused_env("A=1\nK=${Z:?no}\nB=2\n"));
    insta::assert_snapshot!(refused_env("A=1\r\nK=secret ${"));
    insta::assert_snapshot!(refused_env("A=1\nK=\"x\nsecret=y ${1}\nz\"\nB=2\n"));
    let project = Project {
        files: &[
            ("compose.yaml", "services: {a: {image: a, env_file: e}}\n"),
            ("e", "A=1\nK=ab${\nB=2\n"),
        ],
        arguments: &[],
        environment: &[],
    };
    insta::assert_snapshot!(project.refused());
}

#[test]
fn nothing_of_an_env_file_is_shown_but_names() {
    for env in [
        "A=1\nDB_PASSWORD hunter2\n",
        "export DB_PASSWORD hunter2\n",
        "hunter2 is it=1\n",
        "KEY=-----BEGIN PRIVATE KEY-----\nhunter2/AAIBAAKCAQEA+7==\n-----END PRIVATE KEY-----\n",
        "hunter2+abc==\n",
        "A=\"1\nhunter2: ${\nhunter2=3\"\n",
        "A='hunter2\nhunter2=3",
        "A=hunter2 ${ hunter2\n",
    ] {
        let refused = refused_env(env);
        assert!(refused.starts_with("exit code 2\n"), "{env}: {refused}");
        assert!(!refused.contains("hunter2"), "{env}: {refused}");
        assert!(refused.contains(".env:"), "{env}: {refused}");
    }
}

#[test]
fn a_mistake_far_behind_in_a_long_line_is_seen() {
    let services: Vec<String> = (0..200)
        .map(|i| format!("\"s{i}\":{{\"image\":\"registry.example/acme/s{i}\"}}"))
        .collect();
    let services = services
        .join(",")
        .replace("\"s150\":{\"image", "\"s150\":{\"imgae");
    insta::assert_snapshot!(refused(&format!("{{\"services\":{{{services}}}}}")));
}

#[test]
fn a_variable_in_a_text_of_several_lines() {
    for (value, place) in [
        ("|\n      one $${X}\n      two ${bad-", "6:11"),
        ("|-\n\n      one\n\n      ${A}${bad-", "8:11"),
        (">\n      one\n      two ${bad-\n      # ${", "6:11"),
        ("\n      one\n      two ${bad-", "6:11"),
        (
            "\"one ''\\n\n\n      two \\\n      \\\"${A}${bad-\"",
            "7:13",
        ),
        ("'one ''\n\n      two ${bad-'", "6:11"),
        ("'it''s ${bad-'", "4:21"),
        // What an escape makes a variable of has no place of its own.
        ("\"one\n      two \\x24{bad-\"", "4:14"),
    ] {
        let compose =
            format!("services:\n  a:\n    image: a\n    command: {value}\n    tty: true\n");
        let refused = refused(&compose);
        let at = format!("compose.yaml:{place}\n");
        assert!(refused.contains(&at), "{compose}\n{refused}");
        assert!(refused.contains("invalid variable"), "{compose}\n{refused}");
    }
}

#[test]
fn lines_that_end_with_a_carriage_return_are_lines() {
    let compose = "services:\r  a:\r    image: a\r    tty: true\r    unknownkey: 1\r";
    insta::assert_snapshot!(refused(compose));
}

#[test]
fn a_file_that_is_too_large_is_named_where_it_is_named() {
    let large = "#".repeat(8 * 1024 * 1024 + 1);
    for (more, place, is_env) in [
        ("    env_file: large\n", Some("4:15"), true),
        ("    label_file: large\n", Some("4:17"), true),
        (
            "    extends: {file: large, service: a}\n",
            Some("4:21"),
            false,
        ),
        ("include: [large]\n", Some("4:11"), false),
        (
            "include: [{path: b.yaml, env_file: large}]\n",
            Some("4:36"),
            true,
        ),
        ("", None, true),
    ] {
        let compose = format!("services:\n  a:\n    image: a\n{more}");
        let refused = Project {
            files: &[
                ("compose.yaml", &compose),
                ("b.yaml", "services: {b: {image: b}}\n"),
                (if place.is_some() { "large" } else { ".env" }, &large),
            ],
            arguments: &[],
            environment: &[],
        }
        .refused();
        assert!(refused.contains("larger than 8388608 bytes"), "{refused}");
        assert!(refused.contains("hint: "), "{is_env} {refused}");
        if let Some(place) = place {
            let at = format!("compose.yaml:{place}\n");
            assert!(refused.contains(&at), "{more}{refused}");
        }
    }
}

#[test]
fn too_many_containers_are_not_a_negative_number_of_them() {
    insta::assert_snapshot!(refused(
        "services: {a: {image: a, deploy: {replicas: 99999999999999999999}}}\n"
    ));
    insta::assert_snapshot!(refused(
        "services: {a: {image: a, scale: 9223372036854775808}}\n"
    ));
    insta::assert_snapshot!(refused("services: {a: {image: a, scale: -1}}\n"));
}

#[test]
fn keys_of_a_build_beside_it_and_names_with_letters_swapped() {
    insta::assert_snapshot!(refused(
        "services:\n  web:\n    build: .\n    dockerfile: web.Dockerfile\n"
    ));
    insta::assert_snapshot!(refused(
        "services:\n  web: {image: a, depends_on: [bd]}\n  db: {image: b}\n"
    ));
}

/// Only a `.env` that is not there is none: compose ignores a folder and a link to nowhere, too.
#[cfg(unix)]
#[test]
fn a_default_env_file_that_cannot_be_looked_at() {
    use std::os::unix::fs::symlink;
    for (target, code) in [(".env", 2), ("nowhere", 0), (".", 0)] {
        let folder = tempfile::tempdir().unwrap();
        let compose = folder.path().join("compose.yaml");
        fs::write(compose, "services: {a: {image: a}}\n").unwrap();
        symlink(target, folder.path().join(".env")).unwrap();
        let output = Command::cargo_bin("castoff")
            .unwrap()
            .current_dir(folder.path())
            .env_clear()
            .arg("config")
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{target}: {stderr}");
        assert_eq!(stderr.contains("symbolic links"), code == 2, "{stderr}");
    }
}
