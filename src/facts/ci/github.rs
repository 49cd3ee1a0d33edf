use std::path::PathBuf;

use super::actions_cache;
use super::payload::{self, Payload};
use super::{Ci, Project, System, owned};
use crate::facts::{Environment, Error, Warning};

/// Reads GitHub Actions' variables and the event's payload
/// (<https://docs.github.com/en/actions/reference/workflows-and-actions/variables>).
pub(super) fn read(environment: &Environment, warnings: &mut Vec<Warning>) -> Result<Ci, Error> {
    let payload = payload(environment, warnings)?;
    let event = owned(environment, "GITHUB_EVENT_NAME");
    let repository = owned(environment, "GITHUB_REPOSITORY").or(payload.repository.full_name);
    let is_pull_request = event
        .as_deref()
        .is_some_and(|it| it.contains("pull_request"));
    let from_fork = is_pull_request
        && match (&payload.pull_request.head.repo.full_name, &repository) {
            (Some(head), Some(base)) => head != base,
            _ => false,
        };
    let reference = reference(environment, event.as_deref(), payload.number);
    if payload.number.is_none() && event.as_deref().is_some_and(is_pull_request_target) {
        warnings.push(Warning::PullRequestUnknown);
    }
    let sha = sha(environment, is_pull_request, payload.pull_request.head.sha);
    let base_ref = match &reference {
        Some(name) if name.starts_with("refs/tags/") => payload
            .base_ref
            .map(|base| base.trim_start_matches("refs/heads/").to_owned()),
        Some(name) if name.starts_with("refs/pull/") => payload
            .pull_request
            .base
            .name
            .or_else(|| owned(environment, "GITHUB_BASE_REF")),
        _ => None,
    };
    let commit_time = payload
        .commits
        .into_iter()
        .chain([payload.head_commit])
        .find(|commit| commit.id.is_some() && commit.id == sha)
        .and_then(|commit| commit.timestamp?.parse().ok());
    let name = payload.repository.name.or_else(|| {
        let full_name = repository.as_deref()?;
        Some(full_name.rsplit('/').next()?.to_owned())
    });
    let server = environment
        .non_empty("GITHUB_SERVER_URL")
        .unwrap_or("https://github.com");
    let page = repository.as_ref().map(|name| format!("{server}/{name}"));
    let run_url = match (&page, environment.non_empty("GITHUB_RUN_ID")) {
        (Some(page), Some(run)) => Some(format!("{page}/actions/runs/{run}")),
        _ => None,
    };
    Ok(Ci {
        system: System::GitHub,
        pull_request: reference.as_deref().and_then(pull_request_number),
        cache: actions_cache::read(environment, from_fork, crate::facts::timestamp()),
        project: Project {
            name,
            description: payload.repository.description,
            url: payload.repository.html_url.or(page),
            license: payload.repository.license.spdx_id,
        },
        actor: owned(environment, "GITHUB_ACTOR"),
        head_ref: owned(environment, "GITHUB_HEAD_REF"),
        default_branch: payload.repository.default_branch,
        event,
        reference,
        sha,
        commit_time,
        base_ref,
        repository,
        run_url,
        from_fork,
    })
}

/// The event's payload. Without it, tags would be others than with it: the default branch is known from
/// there alone. So only a file that is not there is passed over, as by the actions of GitHub and docker.
fn payload(environment: &Environment, warnings: &mut Vec<Warning>) -> Result<Payload, Error> {
    let Some(path) = environment.non_empty("GITHUB_EVENT_PATH") else {
        return Ok(Payload::default());
    };
    let path = PathBuf::from(path);
    match payload::read(&path) {
        Ok(Some(payload)) => Ok(payload),
        Ok(None) => {
            warnings.push(Warning::NoPayload { path });
            Ok(Payload::default())
        }
        Err(reason) => Err(Error::Payload { path, reason }),
    }
}

/// `pull_request_target` runs on the base branch, but is about the request's merge.
fn reference(
    environment: &Environment,
    event: Option<&str>,
    number: Option<u64>,
) -> Option<String> {
    match (event, number) {
        (Some(event), Some(number)) if is_pull_request_target(event) => {
            Some(format!("refs/pull/{number}/merge"))
        }
        _ => owned(environment, "GITHUB_REF"),
    }
}

fn is_pull_request_target(event: &str) -> bool {
    event.contains("pull_request_target")
}

/// The run's commit; the request's own head where `DOCKER_METADATA_PR_HEAD_SHA` asks for it.
fn sha(
    environment: &Environment,
    is_pull_request: bool,
    head_of_request: Option<String>,
) -> Option<String> {
    let wants_head = environment
        .get("DOCKER_METADATA_PR_HEAD_SHA")
        .is_some_and(|value| value.to_ascii_lowercase().contains("true"));
    if is_pull_request && wants_head && head_of_request.is_some() {
        return head_of_request;
    }
    owned(environment, "GITHUB_SHA")
}

fn pull_request_number(reference: &str) -> Option<u64> {
    let rest = reference.strip_prefix("refs/pull/")?;
    rest.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_payload(payload: &str, variables: &[(&str, &str)]) -> (Ci, Vec<Warning>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("event.json");
        std::fs::write(&path, payload).unwrap();
        let environment = variables
            .iter()
            .copied()
            .chain([("GITHUB_EVENT_PATH", path.to_str().unwrap())])
            .collect();
        let mut warnings = Vec::new();
        (read(&environment, &mut warnings).unwrap(), warnings)
    }

    const REQUEST: &str = r#"{
        "number": 15,
        "pull_request": {
            "head": {"sha": "f11797189c1aa4f83a2e4be9bcd8f1e5b4d2b5a1", "repo": {"full_name": "fork/app"}},
            "base": {"ref": "main"}
        },
        "repository": {"default_branch": "main", "full_name": "acme/app", "license": {"spdx_id": "MIT"}}
    }"#;

    #[test]
    fn pull_request_target_is_the_merge_of_the_request_with_the_base_commit() {
        let (ci, _) = with_payload(
            REQUEST,
            &[
                ("GITHUB_EVENT_NAME", "pull_request_target"),
                ("GITHUB_REF", "refs/heads/main"),
                ("GITHUB_SHA", "266574110acf203503badf966df2ea24b5d732d7"),
            ],
        );
        assert_eq!(ci.reference.as_deref(), Some("refs/pull/15/merge"));
        assert_eq!(ci.pull_request, Some(15));
        assert_eq!(
            ci.sha.as_deref(),
            Some("266574110acf203503badf966df2ea24b5d732d7")
        );
        assert_eq!(ci.base_ref.as_deref(), Some("main"));
        assert_eq!(ci.project.license.as_deref(), Some("MIT"));
    }

    #[test]
    fn the_commit_of_the_request_is_taken_when_asked_for() {
        let (ci, _) = with_payload(
            REQUEST,
            &[
                ("GITHUB_EVENT_NAME", "pull_request"),
                ("GITHUB_REF", "refs/pull/15/merge"),
                ("GITHUB_SHA", "266574110acf203503badf966df2ea24b5d732d7"),
                ("DOCKER_METADATA_PR_HEAD_SHA", "True"),
            ],
        );
        assert_eq!(
            ci.sha.as_deref(),
            Some("f11797189c1aa4f83a2e4be9bcd8f1e5b4d2b5a1")
        );
    }

    #[test]
    fn a_request_of_another_repository_is_from_a_fork() {
        let (ci, _) = with_payload(
            REQUEST,
            &[
                ("GITHUB_EVENT_NAME", "pull_request"),
                ("GITHUB_REPOSITORY", "acme/app"),
                ("ACTIONS_RUNTIME_TOKEN", "secret"),
                ("ACTIONS_RESULTS_URL", "https://results.example/"),
            ],
        );
        assert!(ci.from_fork && !ci.cache.can_write);
        assert!(!format!("{ci:?}").contains("secret"));
    }

    #[test]
    fn only_a_payload_that_is_not_there_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("event.json");
        let environment = [
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_EVENT_PATH", path.to_str().unwrap()),
        ];
        let environment = environment.into_iter().collect();
        let mut warnings = Vec::new();
        let ci = read(&environment, &mut warnings).unwrap();
        assert_eq!(ci.reference.as_deref(), Some("refs/heads/main"));
        assert!(matches!(warnings.as_slice(), [Warning::NoPayload { .. }]));
        std::fs::write(&path, "{").unwrap();
        let error = read(&environment, &mut warnings).unwrap_err();
        assert!(matches!(error, Error::Payload { .. }));
    }

    #[test]
    fn the_date_of_the_commit_is_in_the_event() {
        let (ci, _) = with_payload(
            r#"{"commits": [{"id": "a", "timestamp": "2022-04-19T11:27:24+02:00"}], "head_commit": null}"#,
            &[("GITHUB_SHA", "a")],
        );
        assert_eq!(ci.commit_time.unwrap().to_string(), "2022-04-19T09:27:24Z");
    }
}
