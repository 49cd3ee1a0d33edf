//! What crane and oras say of what castoff did.

use castoff::execute::ports::{Registry as _, WriteTarget};
use castoff::oci::{Parsed, Reference};

use super::support::images;
use super::{Client, OPEN, Others, bed, own, tagged};

#[tokio::test]
async fn copies_between_all_pairs_of_registries_are_what_crane_sees() {
    let client = Client::new();
    let others = Others::new();
    for source in OPEN {
        let from = own(source);
        let tree = images::real_tree(images::fresh(), 300_000);
        client.push(&from, "1.0", &tree).await;
        let digest = tree.index.digest();
        for target in OPEN {
            let to = own(target);
            let (registries, cx) = (&client.registries, &client.cx);
            let copied = registries.copy(cx, &from, digest, &to).await.unwrap();
            assert!(client.tag_names(&to).await.is_empty(), "no tag moves");
            client.tag(&to, "2.0", &tree).await;
            let reference = tagged(&to, "2.0").to_string();
            let reference = reference.as_str();
            assert_eq!(others.crane(&["digest", reference]), digest.to_string());
            let manifest = others.run("crane", &["manifest", reference]);
            assert_eq!(manifest, tree.index.bytes(), "byte for byte");
            for platform in ["linux/amd64", "linux/arm64"] {
                let validate = ["validate", "--remote", reference, "--platform", platform];
                others.crane(&validate);
            }
            for image in &tree.images {
                let child = to.with_digest(image.manifest.digest().clone());
                let found = registries.resolve(cx, &child).await.unwrap();
                assert_eq!(found, Some(image.manifest.descriptor()), "{child}");
            }
            // crane's registry ignores the wish to mount.
            let is_mounted = source == target && source != "BED_REGISTRY_CRANE";
            assert_eq!(copied.mounted > 300_000, is_mounted, "{source} {target}");
            let again = registries.copy(cx, &from, digest, &to).await.unwrap();
            assert_eq!((again.sent, again.mounted), (0, 0));
        }
    }
    assert_eq!(client.told.retries(), 0);
}

#[tokio::test]
async fn what_is_read_is_what_crane_reads() {
    let client = Client::new();
    let others = Others::new();
    let (registries, cx) = (&client.registries, &client.cx);
    for image in ["BED_BASE", "BED_BASE_APP", "BED_REDIS"] {
        let image = bed(image);
        let reference: Reference = image.parse().unwrap();
        let index = registries.manifest(cx, &reference).await.unwrap().unwrap();
        assert_eq!(index.bytes(), others.run("crane", &["manifest", &image]));
        let found = registries.resolve(cx, &reference).await.unwrap().unwrap();
        assert_eq!(found.digest.to_string(), others.crane(&["digest", &image]));
        assert_eq!(found, index.descriptor());
        let Parsed::Index(index) = index.parse().unwrap() else {
            panic!("{image} is no index");
        };
        for entry in &index.manifests {
            let repository = reference.repository();
            let child = repository.with_digest(entry.digest.clone());
            let manifest = registries.manifest(cx, &child).await.unwrap().unwrap();
            let Parsed::Manifest(manifest) = manifest.parse().unwrap() else {
                panic!("{child} is no image");
            };
            let limit = 1024 * 1024;
            let config = registries
                .blob(cx, repository, &manifest.config, limit)
                .await;
            let theirs = others.run("crane", &["config", &child.to_string()]);
            assert_eq!(config.unwrap(), theirs);
        }
        let repository = reference.repository();
        let theirs = others.crane(&["ls", &repository.to_string()]);
        let mut theirs: Vec<&str> = theirs.lines().collect();
        theirs.sort_unstable();
        assert_eq!(client.tag_names(repository).await, theirs);
    }
}

#[tokio::test]
async fn referrers_are_found_by_oras_and_those_of_oras_by_us() {
    let client = Client::new();
    let others = Others::new();
    let (registries, cx) = (&client.registries, &client.cx);
    for host in ["BED_REGISTRY", "BED_REGISTRY_CRANE"] {
        let repository = own(host);
        let tree = images::tree(images::fresh(), 1000);
        client.push(&repository, "1.0", &tree).await;
        let kind = "application/vnd.example.record.v1";
        let record = images::artifact(&tree.index, kind);
        client.push_image(&repository, &record).await;
        let reference = tagged(&repository, "1.0").to_string();
        let discover = ["discover", "--plain-http", "--format", "json", &reference];
        let seen = others.run("oras", &discover);
        let seen: serde_json::Value = serde_json::from_slice(&seen).unwrap();
        let entry = &seen["referrers"][0];
        assert_eq!(entry["digest"], record.manifest.digest().as_str(), "{seen}");
        assert_eq!(entry["artifactType"], kind);

        let theirs = "application/vnd.example.note.v1";
        let attach = [
            "attach",
            "--plain-http",
            "--artifact-type",
            theirs,
            "--annotation",
            "a=b",
            &reference,
        ];
        others.run("oras", &attach);
        let subject = tree.index.digest();
        let found = registries.referrers(cx, &repository, subject).await;
        let mut kinds: Vec<_> = found
            .unwrap()
            .into_iter()
            .filter_map(|entry| entry.artifact_type)
            .collect();
        kinds.sort();
        assert_eq!(kinds, [theirs, kind], "{host}");
    }
}

#[tokio::test]
async fn an_image_pushed_by_crane_is_copied_and_one_of_ours_is_copied_by_crane() {
    let client = Client::new();
    let others = Others::new();
    let (registries, cx) = (&client.registries, &client.cx);
    let base = bed("BED_BASE");
    let theirs = own("BED_REGISTRY_CRANE");
    others.crane(&["copy", &base, &tagged(&theirs, "x").to_string()]);
    let digest = others.crane(&["digest", &base]).parse().unwrap();
    let ours = own("BED_REGISTRY_AUTH");
    let copied = registries.copy(cx, &theirs, &digest, &ours).await.unwrap();
    assert!(copied.sent > 100_000, "{copied:?}");
    let source = ours.with_digest(digest.clone()).to_string();
    let back = own("BED_REGISTRY");
    others.crane(&["copy", &source, &tagged(&back, "y").to_string()]);
    let found = registries.resolve(cx, &tagged(&back, "y")).await.unwrap();
    assert_eq!(found.unwrap().digest, digest);
    let index = registries.manifest(cx, &back.with_digest(digest)).await;
    let index = index.unwrap().unwrap();
    let tag = "z".parse().unwrap();
    let target = WriteTarget::Tag(&tag);
    let put = registries.put_manifest(cx, &back, target, &index).await;
    put.unwrap();
    assert_eq!(client.tag_names(&back).await, ["y", "z"]);
}
