use std::fs;

use super::*;
use crate::dial::Address;

/// A home with files in it.
struct Home(tempfile::TempDir);

impl Home {
    fn new(files: &[(&str, &str)]) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = home.0.path().join(".docker").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        home
    }

    fn docker(&self, variables: &[(&str, &str)]) -> Docker {
        let home = self.0.path().display().to_string();
        let mut all = vec![("HOME", home.as_str())];
        all.extend(variables);
        Docker::new(&all.into_iter().collect())
    }
}

/// Where docker keeps the context `far`.
fn far(kind: &str, file: &str) -> String {
    let id = crate::oci::Digest::of(b"far");
    format!("contexts/{kind}/{}/{file}", id.hex())
}

const META: &str =
    r#"{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://far:2376"}}}"#;

#[test]
fn a_host_wins_over_every_context() {
    let home = Home::new(&[("config.json", r#"{"currentContext":"far"}"#)]);
    let variables = [("DOCKER_HOST", "tcp://near:1"), ("DOCKER_CONTEXT", "far")];
    let engine = home.docker(&variables).engine().unwrap();
    assert_eq!(engine.context, "default");
    assert_eq!(engine.address.to_string(), "tcp://near:1");
}

#[test]
fn a_variable_wins_over_the_file_and_default_means_default() {
    let home = Home::new(&[
        ("config.json", r#"{"currentContext":"far"}"#),
        (&far("meta", "meta.json"), META),
    ]);
    let engine = home.docker(&[]).engine().unwrap();
    assert_eq!(engine.address.to_string(), "tcp://far:2376");
    let engine = home.docker(&[("DOCKER_CONTEXT", "default")]).engine();
    assert_eq!(engine.unwrap().context, "default");
    let error = home.docker(&[("DOCKER_CONTEXT", "fra")]).engine();
    let error = error.unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no docker context `fra`, which DOCKER_CONTEXT names"
    );
    assert_eq!(error.hint().unwrap(), "did you mean `far`?");
}

#[test]
fn a_contexts_certificates_are_found_beside_it() {
    let home = Home::new(&[
        (&far("meta", "meta.json"), META),
        (&far("tls", "docker/ca.pem"), "ca"),
        (&far("tls", "docker/cert.pem"), "cert"),
        (&far("tls", "docker/key.pem"), "key"),
    ]);
    let engine = home.docker(&[("DOCKER_CONTEXT", "far")]).engine().unwrap();
    let Address::Tcp { tls: Some(tls), .. } = engine.address else {
        panic!("{}", engine.address);
    };
    assert!(tls.verify && tls.client.is_some());
    assert!(tls.ca.unwrap().ends_with("docker/ca.pem"));
}

#[test]
fn tls_is_switched_on_by_variables_as_docker_has_them() {
    let home = Home::new(&[]);
    let tls = |variables: &[(&str, &str)]| {
        let mut all = vec![("DOCKER_HOST", "tcp://far:2376")];
        all.extend(variables);
        match home.docker(&all).engine().unwrap().address {
            Address::Tcp { tls, .. } => tls,
            other => panic!("{other}"),
        }
    };
    assert_eq!(tls(&[]), None);
    assert_eq!(tls(&[("DOCKER_TLS_VERIFY", "")]), None);
    let checked = tls(&[("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/certs")]);
    let checked = checked.unwrap();
    assert_eq!(checked.ca.as_deref(), Some(Path::new("/certs/ca.pem")));
    assert!(checked.verify && checked.client.is_none());
    assert!(!tls(&[("DOCKER_TLS", "1")]).unwrap().verify);
}

#[test]
fn the_builder_in_use_is_the_one_that_buildx_would_use() {
    let farm = r#"{"Name":"farm","Driver":"docker-container","Nodes":[
        {"Name":"farm0","Endpoint":"unix:///var/run/docker.sock","Platforms":null,"DriverOpts":null,"Flags":null,"Files":null},
        {"Name":"farm1","Endpoint":"far","Platforms":[{"architecture":"arm64","os":"linux"}]}],"Dynamic":false}"#;
    let near = r#"{"Key":"unix:///x.sock","Name":"farm","Global":false}"#;
    let home = Home::new(&[("buildx/instances/farm", farm), ("buildx/current", near)]);
    let here = home.docker(&[("DOCKER_HOST", "unix:///x.sock")]);
    let Some(Found::Instance(found)) = here.current_builder().unwrap() else {
        panic!("the builder in use is farm");
    };
    assert_eq!(found.nodes.len(), 2);
    assert_eq!(found.nodes[1].platforms[0].to_string(), "linux/arm64");
    // It is used with that Engine, and with no other.
    let elsewhere = home.docker(&[("DOCKER_HOST", "unix:///y.sock")]);
    assert_eq!(elsewhere.current_builder().unwrap(), None);
    let error = here.builder("frm", "--builder").unwrap_err();
    assert_eq!(error.hint().unwrap(), "did you mean `farm`?");
    assert!(matches!(
        here.builder("default", "--builder").unwrap(),
        Found::Engine(engine) if engine.host == "unix:///x.sock"
    ));
    // A name is no way out of the store.
    assert!(here.builder("../current", "--builder").is_err());
}

#[test]
fn a_builder_of_the_docker_driver_is_its_engine() {
    let home = Home::new(&[
        (&far("meta", "meta.json"), META),
        (
            "buildx/instances/one",
            r#"{"Name":"one","Driver":"docker","Nodes":[{"Name":"one0","Endpoint":"far"}]}"#,
        ),
        (
            "buildx/instances/bad",
            r#"{"Name":"bad","Driver":"remote","Nodes":[]}"#,
        ),
        ("buildx/instances/worse", "{"),
    ]);
    let docker = home.docker(&[]);
    let Found::Engine(engine) = docker.builder("one", "--builder").unwrap() else {
        panic!("an Engine");
    };
    assert_eq!(engine.address.to_string(), "tcp://far:2376");
    let error = docker.builder("bad", "--builder").unwrap_err();
    assert!(error.to_string().ends_with("the builder has no nodes"));
    let error = docker.builder("worse", "--builder").unwrap_err();
    assert!(error.to_string().contains("EOF"), "{error}");
}

#[test]
fn buildx_says_which_builders_run() {
    let said = br#"{"Name":"a","Driver":"docker-container","Nodes":[{"Name":"a0","Status":"running"},{"Name":"a1","Status":"inactive"}]}
{"Name":"b","Nodes":[{"Name":"b0","Status":"running","Platforms":["linux/amd64"]}]}
{"Name":"c","Nodes":[{"Name":"c0","Status":"error","Err":"dial unix /x:\nno such file"}]}
{"Name":"d","Nodes":null,"Err":"no such context"}
no JSON"#;
    let states = states(said);
    let shown: Vec<_> = states.into_iter().collect();
    let failing = |why: &str| Nodes::Failing(why.to_owned());
    assert_eq!(
        shown,
        [
            ("a".to_owned(), Nodes::Asleep),
            ("b".to_owned(), Nodes::Running),
            ("c".to_owned(), failing("dial unix /x: no such file")),
            ("d".to_owned(), failing("no such context")),
        ]
    );
}
