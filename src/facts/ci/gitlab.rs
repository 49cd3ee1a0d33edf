use super::{Cache, Ci, Project, System, owned};
use crate::facts::Environment;

/// Reads GitLab CI's variables (<https://docs.gitlab.com/ci/variables/predefined_variables/>).
pub(super) fn read(environment: &Environment) -> Ci {
    let number = environment
        .non_empty("CI_MERGE_REQUEST_IID")
        .or_else(|| environment.non_empty("CI_EXTERNAL_PULL_REQUEST_IID"))
        .and_then(|text| text.parse().ok());
    let base_ref = owned(environment, "CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
        .or_else(|| owned(environment, "CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_NAME"));
    let from_fork = match (
        environment.non_empty("CI_MERGE_REQUEST_SOURCE_PROJECT_ID"),
        environment.non_empty("CI_MERGE_REQUEST_PROJECT_ID"),
    ) {
        (Some(source), Some(target)) => source != target,
        _ => false,
    };
    Ci {
        system: System::GitLab,
        event: owned(environment, "CI_PIPELINE_SOURCE"),
        reference: reference(environment, number),
        sha: owned(environment, "CI_COMMIT_SHA"),
        commit_time: environment
            .non_empty("CI_COMMIT_TIMESTAMP")
            .and_then(|text| text.parse().ok()),
        base_ref,
        head_ref: owned(environment, "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME")
            .or_else(|| owned(environment, "CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_NAME")),
        repository: owned(environment, "CI_PROJECT_PATH"),
        default_branch: owned(environment, "CI_DEFAULT_BRANCH"),
        actor: owned(environment, "GITLAB_USER_LOGIN"),
        run_url: owned(environment, "CI_PIPELINE_URL"),
        pull_request: number,
        from_fork,
        // GitLab's cache is files, not a service that BuildKit can talk to.
        cache: Cache::default(),
        project: Project {
            name: owned(environment, "CI_PROJECT_NAME"),
            description: owned(environment, "CI_PROJECT_DESCRIPTION"),
            url: owned(environment, "CI_PROJECT_URL"),
            license: None,
        },
    }
}

/// The reference in GitHub's words: a tag, a merge request, or a branch.
fn reference(environment: &Environment, request: Option<u64>) -> Option<String> {
    if let Some(tag) = environment.non_empty("CI_COMMIT_TAG") {
        return Some(format!("refs/tags/{tag}"));
    }
    if let Some(number) = request {
        return Some(format!("refs/pull/{number}/merge"));
    }
    environment
        .non_empty("CI_COMMIT_BRANCH")
        .or_else(|| environment.non_empty("CI_COMMIT_REF_NAME"))
        .map(|branch| format!("refs/heads/{branch}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ci(variables: &[(&str, &str)]) -> Ci {
        read(&variables.iter().copied().collect())
    }

    #[test]
    fn a_branch_a_tag_and_a_merge_request() {
        let branch = ci(&[("CI_COMMIT_BRANCH", "main"), ("CI_COMMIT_REF_NAME", "main")]);
        assert_eq!(branch.reference.as_deref(), Some("refs/heads/main"));
        let tag = ci(&[("CI_COMMIT_TAG", "v1"), ("CI_COMMIT_REF_NAME", "v1")]);
        assert_eq!(tag.reference.as_deref(), Some("refs/tags/v1"));
        let request = ci(&[
            ("CI_MERGE_REQUEST_IID", "12"),
            ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main"),
            ("CI_COMMIT_REF_NAME", "feature"),
            ("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "2"),
            ("CI_MERGE_REQUEST_PROJECT_ID", "1"),
        ]);
        assert_eq!(request.reference.as_deref(), Some("refs/pull/12/merge"));
        assert_eq!(request.base_ref.as_deref(), Some("main"));
        assert!(request.from_fork);
    }

    #[test]
    fn a_schedule_and_the_date_of_the_commit() {
        let ci = ci(&[
            ("CI_PIPELINE_SOURCE", "schedule"),
            ("CI_COMMIT_TIMESTAMP", "2022-01-31T16:47:55Z"),
            ("CI_DEFAULT_BRANCH", "trunk"),
        ]);
        assert_eq!(ci.event.as_deref(), Some("schedule"));
        assert_eq!(ci.commit_time.unwrap().to_string(), "2022-01-31T16:47:55Z");
        assert_eq!(ci.default_branch.as_deref(), Some("trunk"));
    }
}
