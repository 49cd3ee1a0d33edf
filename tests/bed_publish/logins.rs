//! Logins: docker's own file and its absence, and that no password is ever shown.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::Shop;
use crate::support::bed::Bed;
use crate::support::program::Castoff;

/// A docker configuration with one login, besides what the bed's has.
fn with_login(shop: &Shop, host: &str, user: &str, password: &str) -> Castoff {
    let auth = BASE64_STANDARD.encode(format!("{user}:{password}"));
    let config = serde_json::json!({"auths": {host: {"auth": auth}}});
    shop.project
        .write(".home/docker/config.json", &config.to_string());
    shop.castoff(["publish"]).env(
        "DOCKER_CONFIG",
        shop.project.join(".home/docker").display().to_string(),
    )
}

#[test]
fn a_login_of_docker_is_good_for_upload_and_tags() {
    for kind in ["AUTH", "TOKEN"] {
        let host = Bed::var(&format!("BED_REGISTRY_{kind}"));
        let user = Bed::var(&format!("BED_REGISTRY_{kind}_USER"));
        let password = Bed::var(&format!("BED_REGISTRY_{kind}_PASSWORD"));
        let shop = Shop::going_to(&["api"], &[("a", host.clone())]);
        let events = shop.project.join(".home/events");
        let ran = with_login(&shop, &host, &user, &password)
            .args(["--events"])
            .args([&events])
            .run()
            .exits(0);
        let told = std::fs::read_to_string(events).unwrap();
        for text in [&ran.stdout, &ran.stderr, &told] {
            assert!(!text.contains(&password));
            assert!(!text.contains(&BASE64_STANDARD.encode(format!("{user}:{password}"))));
        }
    }
}

#[test]
fn a_wrong_password_is_found_before_anything_is_built() {
    let host = Bed::var("BED_REGISTRY_AUTH");
    let user = Bed::var("BED_REGISTRY_AUTH_USER");
    let shop = Shop::going_to(&["api"], &[("a", host.clone())]);
    let ran = with_login(&shop, &host, &user, "hunter2hunter2")
        .run()
        .exits(3);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    let problem = ran.stderr.split_once("error: ").unwrap().1;
    let shown = problem
        .replace(&host, "[registry]")
        .replace(&shop.prefix, "[prefix]");
    insta::assert_snapshot!(shown, @"
    [registry]/[prefix]-a/api: registry answered 401 UNAUTHORIZED; the login was refused
    hint: the stored login is wrong or has expired: `docker login [registry]`
    ");
}

#[test]
fn a_missing_login_is_said_with_the_command_that_makes_one() {
    let host = Bed::var("BED_REGISTRY_AUTH");
    let shop = Shop::going_to(&["api"], &[("a", host.clone())]);
    let ran = shop.castoff(["publish"]).run().exits(3);
    let problem = ran.stderr.split_once("error: ").unwrap().1;
    let shown = problem
        .replace(&host, "[registry]")
        .replace(&shop.prefix, "[prefix]");
    insta::assert_snapshot!(shown, @"
    [registry]/[prefix]-a/api: registry answered 401 UNAUTHORIZED; no login was found
    hint: log in with `docker login [registry]`
    ");
}

#[test]
fn an_unknown_host_is_said() {
    let shop = Shop::going_to(&["api"], &[("a", "registry.invalid".to_owned())]);
    let ran = shop.castoff(["publish"]).run().exits(3);
    let problem = ran.stderr.split_once("error: ").unwrap().1;
    assert!(
        problem.starts_with("registry.invalid: cannot reach registry.invalid"),
        "{problem}"
    );
    assert!(
        problem.contains("hint: is registry.invalid the right address"),
        "{problem}"
    );
}

#[test]
fn a_registry_behind_a_ca_of_ones_own() {
    let host = Bed::var("BED_TLS");
    let shop = Shop::going_to(&["api"], &[("a", host.clone())]);
    let ran = shop.castoff(["publish"]).run().exits(3);
    assert!(
        ran.stderr.contains("no trusted TLS connection"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr
            .contains("give the registry's CA in publish.toml"),
        "{}",
        ran.stderr
    );
    let publish = std::fs::read_to_string(shop.project.join("publish.toml")).unwrap();
    let ca = format!("ca = \"{}\"\n[tags]", Bed::var("BED_CA"));
    shop.project
        .write("publish.toml", &publish.replace("[tags]", &ca));
    shop.castoff(["publish"]).run().exits(0);
    // A repository that is named by hand is asked in the project's ways, too.
    let repository = shop.repository(&host, "api");
    let listed = shop.castoff(["ls", &repository]).run().exits(0);
    assert!(listed.stdout.contains(&format!("{repository}:latest")));
    std::fs::remove_file(shop.project.join("publish.toml")).unwrap();
    shop.castoff(["ls", &repository]).run().exits(3);
}

#[test]
fn a_credential_helper_that_fails_is_not_a_lost_builder() {
    let private = Bed::var("BED_REGISTRY_AUTH");
    let shop = Shop::of(&["api"]);
    let config = serde_json::json!({"credHelpers": {&private: "castoff-test-fails"}});
    shop.project
        .write(".home/docker/config.json", &config.to_string());
    shop.project.write(
        ".home/bin/docker-credential-castoff-test-fails",
        "#!/bin/sh\necho 'the vault is locked' >&2\nexit 1\n",
    );
    let helper = shop
        .project
        .join(".home/bin/docker-credential-castoff-test-fails");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(helper, executable).unwrap();
    let base = format!("FROM {private}/none/{}:1\n", shop.prefix);
    shop.project.write("api/Dockerfile", &base);
    let bin = shop.project.join(".home/bin").display().to_string();
    let ran = shop
        .castoff(["publish"])
        .env(
            "DOCKER_CONFIG",
            shop.project.join(".home/docker").display().to_string(),
        )
        .env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap()))
        .run()
        .exits(4);
    assert!(!ran.stderr.contains("lost"), "{}", ran.stderr);
    assert!(ran.stderr.contains("castoff-test-fails"), "{}", ran.stderr);
}

#[test]
fn a_registry_with_a_certificate_is_not_spoken_to_as_one_without() {
    let plain = Bed::registry();
    let host = Bed::var("BED_TLS");
    let shop = Shop::going_to(&["api"], &[("a", plain.clone()), ("b", host.clone())]);
    let publish = std::fs::read_to_string(shop.project.join("publish.toml")).unwrap();
    let ca = format!(
        "plain_http = false\nca = \"{}\"\n[build]\nprovenance = \"min\"\n[tags]",
        Bed::var("BED_CA")
    );
    let publish = publish.replace("[tags]", &ca);
    let publish = publish.replacen("\"\n", "\"\nplain_http = true\n", 1);
    shop.project.write("publish.toml", &publish);
    let ran = shop
        .castoff(["publish", "--progress", "json"])
        .run()
        .exits(0);
    // One push for both would take the plain registry's ways to the other one: no TLS, no check.
    let pushed = |host: &str| ran.stderr.contains(&format!("pushing manifest for {host}"));
    assert!(pushed(&plain), "{}", ran.stderr);
    assert!(!pushed(&host), "{}", ran.stderr);
    let digest = shop.latest(&plain, "api");
    assert!(digest.is_some());
    assert_eq!(digest, shop.latest(&host, "api"));
}

#[test]
fn builds_are_told_of_the_proxies_that_docker_is_told_of() {
    let shop = Shop::of(&["api"]);
    // Proxies are no part of what a step is known by: it would be found in the cache.
    let own = &shop.prefix;
    let steps = "RUN [ \"$http_proxy$HTTP_PROXY\" = http://one.example:3128http://one.example:3128 ] && [ \"$NO_PROXY\" = own ]\n";
    let text = format!("FROM {}\nENV OWN={own}\nARG NO_PROXY\n{steps}", Bed::base());
    std::fs::write(shop.project.join("api/Dockerfile"), text).unwrap();
    shop.project.write(
        "docker/config.json",
        r#"{"proxies": {"default": {"httpProxy": "http://one.example:3128", "noProxy": "theirs"}}}"#,
    );
    let folder = shop.project.join("docker").display().to_string();
    let compose = shop.project.join("compose.yaml");
    let written = std::fs::read_to_string(&compose).unwrap();
    // An argument of the project's own goes before.
    let more = written.replace("      args:\n", "      args:\n        NO_PROXY: own\n");
    assert_ne!(written, more);
    std::fs::write(&compose, more).unwrap();
    shop.castoff(["build"])
        .env("DOCKER_CONFIG", folder)
        .run()
        .exits(0);
}
