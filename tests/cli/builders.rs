//! Ways to a builder that lead nowhere: what is said of them, and what would help.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use crate::shop;
use crate::support::program::Ran;
use crate::support::project::Project;

/// Runs `castoff build` with these variables.
fn build(project: &Project, variables: &[(&str, &str)]) -> Ran {
    let mut castoff = project.castoff(["build"]);
    for (name, value) in variables {
        castoff = castoff.env(name, *value);
    }
    castoff.run()
}

fn shown(project: &Project, ran: &Ran) -> String {
    let folder = project.path().display().to_string();
    ran.shown(&[(&folder, "[project]")])
}

#[test]
fn a_docker_context_that_is_not_there() {
    let project = shop().file(".home/.docker/config.json", r#"{"currentContext":"far"}"#);
    let ran = build(&project, &[]);
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 2
    --- stdout
    --- stderr
    error: there is no docker context `far`, which [project]/.home/.docker/config.json names
    hint: `docker context ls` shows the contexts that there are
    ");
}

#[test]
fn a_builder_that_is_not_there() {
    let project = shop()
        .file(
            ".home/.docker/buildx/instances/farm",
            r#"{"Name":"farm","Driver":"remote","Nodes":[{"Name":"farm0","Endpoint":"tcp://far:1"}]}"#,
        )
        .file("publish.toml", "[build]\nbuilder = \"frm\"\n");
    let ran = build(&project, &[]);
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 2
    --- stdout
    --- stderr
    error: there is no builder `frm`, which publish.toml names
    hint: did you mean `farm`?
    ");
    // A plan makes no promises that cannot be kept, and asks nobody.
    let ran = project.castoff(["plan", "--offline"]).run();
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 2
    --- stdout
    --- stderr
    error: there is no builder `frm`, which publish.toml names
    hint: did you mean `farm`?
    ");
    let ran = build(
        &project,
        &[("CASTOFF_BUILDER", "else"), ("BUILDX_BUILDER", "x")],
    );
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 2
    --- stdout
    --- stderr
    error: there is no builder `else`, which --builder names
    hint: `castoff check` lists the builders; make this one with `docker buildx create --driver docker-container --name else`
    ");
    let ran = build(
        &project,
        &[("CASTOFF_BUILDER", "auto"), ("BUILDKIT_HOST", "ftp://x")],
    );
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 2
    --- stdout
    --- stderr
    error: BUILDKIT_HOST names the builder `ftp://x`: it is neither unix:// nor tcp://
    hint: a buildkitd is at unix:///PATH or tcp://HOST:PORT
    ");
}

#[test]
fn an_address_that_is_none() {
    let project = shop();
    let ran = build(&project, &[("DOCKER_HOST", "ssh://me:secret@far")]);
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 2
    --- stdout
    --- stderr
    error: DOCKER_HOST is `ssh://far`: a password does not belong into an address: use a key
    hint: an Engine is at unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST
    ");
    let ran = build(
        &project,
        &[("DOCKER_HOST", "npipe:////./pipe/docker_engine")],
    );
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 3
    --- stdout
    --- stderr
       [t]  plan     1 service to build, 0 to reuse, 0 tags
       [t]  web      building with engine
       [t]  web      failed: cannot reach the builder at npipe:////./pipe/docker_engine: named pipes (npipe://) are there on Windows only
    error: build `web`
      caused by: cannot reach the builder at npipe:////./pipe/docker_engine: named pipes (npipe://) are there on Windows only
    hint: start the Docker Engine, or name another one with DOCKER_HOST or --builder
    ");
}

#[test]
fn certificates_that_are_not_there() {
    let project = shop();
    let host = listening();
    let ran = build(
        &project,
        &[
            ("DOCKER_HOST", &host),
            ("DOCKER_TLS_VERIFY", "1"),
            ("DOCKER_CERT_PATH", "/nonexistent"),
        ],
    );
    insta::assert_snapshot!(shown(&project, &ran).replace(&host, "[host]"), @"
    exit 3
    --- stdout
    --- stderr
       [t]  plan     1 service to build, 0 to reuse, 0 tags
       [t]  web      building with engine
       [t]  web      failed: cannot reach the builder at [host]: CA certificates /nonexistent/ca.pem: No such file or directory (os error 2)
    error: build `web`
      caused by: cannot reach the builder at [host]: CA certificates /nonexistent/ca.pem: No such file or directory (os error 2)
    hint: name a file with the CA certificates in PEM form
    ");
}

/// A port where somebody listens and says nothing.
fn listening() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let streams: Vec<_> = listener.incoming().collect();
        drop(streams);
    });
    format!("tcp://127.0.0.1:{port}")
}

#[test]
fn ssh_that_fails_is_quoted() {
    let project = shop().file(
        ".home/bin/ssh",
        "#!/bin/sh\necho 'me@far: Permission denied (publickey).' >&2\nexit 255\n",
    );
    let ssh = project.join(".home/bin/ssh");
    std::fs::set_permissions(ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!(
        "{}:{}",
        project.join(".home/bin").display(),
        std::env::var("PATH").unwrap()
    );
    let ran = build(
        &project,
        &[("PATH", &path), ("DOCKER_HOST", "ssh://me@far")],
    );
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 3
    --- stdout
    --- stderr
       [t]  plan     1 service to build, 0 to reuse, 0 tags
       [t]  web      building with engine
       [t]  web      failed: cannot reach the builder at ssh://me@far: ssh: me@far: Permission denied (publickey).
    error: build `web`
      caused by: cannot reach the builder at ssh://me@far: ssh: me@far: Permission denied (publickey).
    hint: try `ssh` to that machine by hand: it has to work without a question, and docker has to be there
    ");
}

/// What answers as podman 4 and 5 do, at a socket in the project's folder.
fn podman(project: &Project) -> String {
    let path = project.join("podman.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let (status, body) = if head.starts_with(b"GET /version") {
                (
                    "200 OK",
                    r#"{"Components":[{"Name":"Podman Engine","Version":"4.3.1"}]}"#,
                )
            } else {
                (
                    "404 Not Found",
                    r#"{"cause":"","message":"Not Found","response":404}"#,
                )
            };
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    format!("unix://{}", path.display())
}

#[test]
fn podman_is_no_builder() {
    let project = shop();
    let host = podman(&project);
    let ran = build(&project, &[("DOCKER_HOST", &host)]);
    insta::assert_snapshot!(shown(&project, &ran), @"
    exit 3
    --- stdout
    --- stderr
       [t]  plan     1 service to build, 0 to reuse, 0 tags
       [t]  web      building with engine
       [t]  web      failed: unix://[project]/podman.sock cannot build: it is podman, which has no BuildKit
    error: build `web`
      caused by: unix://[project]/podman.sock cannot build: it is podman, which has no BuildKit
    hint: run a buildkitd and name it: `podman run -d --name buildkitd --privileged docker.io/moby/buildkit`, then `--builder` with a buildx builder of the driver remote at podman-container://buildkitd, or BUILDKIT_HOST where it listens
    ");
}

#[test]
fn services_that_build_on_each_other_need_one_builder() {
    let project = Project::new()
        .file(
            "compose.yaml",
            "name: shop\nservices:\n  base:\n    build: base\n  web:\n    build:\n      context: base\n      additional_contexts:\n        base: service:base\n",
        )
        .file("base/Dockerfile", "FROM scratch\nCOPY . /\n")
        .file(
            "publish.toml",
            "[services.web]\nbuilder = \"unix:///nonexistent/buildkitd.sock\"\n",
        );
    let ran = build(&project, &[]).exits(3);
    let says = "web: it builds on `base`, but buildkitd builds it and engine builds `base`";
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
    assert!(!ran.stderr.contains("building"), "{}", ran.stderr);
}
