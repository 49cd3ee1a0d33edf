use std::collections::{BTreeMap, BTreeSet};

use super::{Move, Release};
use crate::oci::{Reference, Repository};

/// The releases that are live or were replaced by later ones, oldest first: not those that failed, those
/// that were rolled back, and the rollbacks themselves.
pub fn live(releases: &[Release]) -> Vec<&Release> {
    let undone: BTreeSet<&str> = releases
        .iter()
        .filter(|release| release.is_live())
        .flat_map(|release| release.undid.iter().map(String::as_str))
        .collect();
    let mut live: Vec<&Release> = releases
        .iter()
        .filter(|release| release.is_live() && release.undid.is_empty())
        .filter(|release| !undone.contains(release.release.as_str()))
        .collect();
    live.sort_by_key(|release| release.age());
    live
}

/// The moves that take `releases` back, which are given oldest first: each tag goes to where it pointed
/// before the first of them moved it, and is expected where the last of them put it.
pub fn undo(releases: &[&Release]) -> Vec<Move> {
    let mut moves: BTreeMap<&Reference, Move> = BTreeMap::new();
    for moved in releases.iter().flat_map(|release| &release.moved) {
        let entry = moves.entry(&moved.reference);
        entry
            .and_modify(|known| known.from.clone_from(&moved.to))
            .or_insert_with(|| Move {
                reference: moved.reference.clone(),
                from: moved.to.clone(),
                to: moved.from.clone(),
            });
    }
    let moves = moves.into_values();
    moves.filter(|moved| moved.from != moved.to).collect()
}

/// The services of which nothing would be live once `moves` have taken `back` these releases: their tags are
/// only deleted, and none of the releases that `stay` has any of theirs.
pub fn emptied<'a>(moves: &[Move], back: &[&'a Release], stay: &[&Release]) -> BTreeSet<&'a str> {
    let mut services: BTreeMap<&str, BTreeSet<&Repository>> = BTreeMap::new();
    for image in back.iter().flat_map(|release| &release.images) {
        let repositories = services.entry(image.service.as_str()).or_default();
        repositories.extend(&image.repositories);
    }
    services.retain(|service, repositories| {
        let is_own = |moved: &&Move| repositories.contains(moved.reference.repository());
        let mut own = moves.iter().filter(is_own).peekable();
        let stays = stay.iter().flat_map(|release| &release.images);
        let mut stays = stays.filter(|image| image.service == *service);
        own.peek().is_some()
            && own.all(|moved| moved.to.is_none())
            && !stays.any(|image| !image.tags.is_empty())
    });
    services.into_keys().collect()
}

#[cfg(test)]
mod tests {
    use super::super::ReleasedImage;
    use super::*;
    use crate::oci::Digest;

    fn release(id: &str, exit: u8, moved: &[(&str, Option<&str>, &str)]) -> Release {
        let digest = |text: &str| Digest::of(text.as_bytes());
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        Release {
            exit,
            moved: moved
                .iter()
                .map(|(tag, from, to)| Move {
                    reference: format!("h.example/a:{tag}").parse().unwrap(),
                    from: from.map(digest),
                    to: Some(digest(to)),
                })
                .collect(),
            ..Release::begun("p", id, "publish", at)
        }
    }

    fn ids<'a>(releases: &[&'a Release]) -> Vec<&'a str> {
        releases
            .iter()
            .map(|release| release.release.as_str())
            .collect()
    }

    #[test]
    fn what_failed_or_was_rolled_back_is_not_live() {
        let mut rollback = release("4", 0, &[]);
        rollback.undid = vec!["3".to_owned()];
        let mut failed = release("5", 6, &[]);
        failed.undid = vec!["1".to_owned()];
        let all = [
            release("3", 0, &[]),
            release("1", 7, &[]),
            release("2", 5, &[]),
            rollback,
            failed,
        ];
        assert_eq!(ids(&live(&all)), ["1"]);
    }

    #[test]
    fn several_releases_are_taken_back_to_before_the_first_of_them() {
        let one = release("1", 0, &[("1", None, "a"), ("latest", Some("old"), "a")]);
        let two = release("2", 0, &[("2", None, "b"), ("latest", Some("a"), "b")]);
        let moves = undo(&[&one, &two]);
        let shown: Vec<_> = moves
            .iter()
            .map(|moved| {
                (
                    moved.reference.selector(),
                    moved.from.clone(),
                    moved.to.clone(),
                )
            })
            .collect();
        let digest = |text: &str| Some(Digest::of(text.as_bytes()));
        assert_eq!(
            shown,
            [
                ("1".to_owned(), digest("a"), None),
                ("2".to_owned(), digest("b"), None),
                ("latest".to_owned(), digest("b"), digest("old"))
            ]
        );
    }

    #[test]
    fn only_the_first_release_of_a_service_leaves_nothing_of_it() {
        let with_image = |mut release: Release| {
            release.images = vec![ReleasedImage {
                children: Vec::new(),
                service: "a".to_owned(),
                digest: Digest::of(b"a"),
                version: None,
                reused: false,
                repositories: vec!["h.example/a".parse().unwrap()],
                tags: release
                    .moved
                    .iter()
                    .map(|it| it.reference.clone())
                    .collect(),
                platforms: Vec::new(),
                labels: BTreeMap::new(),
                annotations: BTreeMap::new(),
                attestations: Vec::new(),
                signed: false,
                size: 1,
                seconds: 0.0,
            }];
            release
        };
        let one = with_image(release("1", 0, &[("main", None, "a")]));
        let two = release("2", 0, &[("main", Some("a"), "b"), ("2", None, "b")]);
        let two = with_image(two);
        let three = with_image(release("3", 0, &[("3", None, "c")]));
        let nothing_left = |back: &[&Release], stay: &[&Release]| {
            let moves = undo(back);
            !emptied(&moves, back, stay).is_empty()
        };
        assert!(nothing_left(&[&one], &[]));
        assert!(nothing_left(&[&one, &two], &[]));
        assert!(!nothing_left(&[&two], &[&one]));
        assert!(!nothing_left(&[&three], &[&one, &two]));
    }

    #[test]
    fn a_tag_that_came_back_by_itself_needs_no_move() {
        let one = release("1", 0, &[("latest", Some("a"), "b")]);
        let two = release("2", 0, &[("latest", Some("b"), "a")]);
        assert_eq!(undo(&[&one, &two]), []);
    }
}
