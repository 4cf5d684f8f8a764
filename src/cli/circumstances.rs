//! What the surroundings say about a publication: the time, and the CI run, by the variables that CI
//! systems set. It goes into the publish record, never into an image.

use std::collections::BTreeMap;

use floe::build::Circumstances;

/// A CI system: the variable that it sets always, and where it says what. A name in braces is replaced
/// by that variable's value; a text with a variable that is not set says nothing.
struct System {
    name: &'static str,
    mark: &'static str,
    source: &'static str,
    revision: &'static str,
    facts: &'static [(&'static str, &'static str)],
}

/// The variables are those of the systems' documents ("Predefined variables" and alike).
const SYSTEMS: &[System] = &[
    System {
        name: "github",
        mark: "GITHUB_ACTIONS",
        source: "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}",
        revision: "{GITHUB_SHA}",
        facts: &[
            ("run", "{GITHUB_RUN_ID}"),
            ("attempt", "{GITHUB_RUN_ATTEMPT}"),
            ("workflow", "{GITHUB_WORKFLOW}"),
            ("branch", "{GITHUB_REF}"),
            ("url", "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}"),
        ],
    },
    System {
        name: "gitlab",
        mark: "GITLAB_CI",
        source: "{CI_PROJECT_URL}",
        revision: "{CI_COMMIT_SHA}",
        facts: &[
            ("run", "{CI_PIPELINE_ID}"),
            ("job", "{CI_JOB_ID}"),
            ("branch", "{CI_COMMIT_REF_NAME}"),
            ("url", "{CI_JOB_URL}"),
        ],
    },
    System {
        name: "azure",
        mark: "TF_BUILD",
        source: "{BUILD_REPOSITORY_URI}",
        revision: "{BUILD_SOURCEVERSION}",
        facts: &[
            ("run", "{BUILD_BUILDID}"),
            ("workflow", "{BUILD_DEFINITIONNAME}"),
            ("branch", "{BUILD_SOURCEBRANCH}"),
        ],
    },
    System {
        name: "bitbucket",
        mark: "BITBUCKET_BUILD_NUMBER",
        source: "{BITBUCKET_GIT_HTTP_ORIGIN}",
        revision: "{BITBUCKET_COMMIT}",
        facts: &[("run", "{BITBUCKET_BUILD_NUMBER}"), ("branch", "{BITBUCKET_BRANCH}")],
    },
    System {
        name: "buildkite",
        mark: "BUILDKITE",
        source: "{BUILDKITE_REPO}",
        revision: "{BUILDKITE_COMMIT}",
        facts: &[
            ("run", "{BUILDKITE_BUILD_NUMBER}"),
            ("branch", "{BUILDKITE_BRANCH}"),
            ("url", "{BUILDKITE_BUILD_URL}"),
        ],
    },
    System {
        name: "circleci",
        mark: "CIRCLECI",
        source: "{CIRCLE_REPOSITORY_URL}",
        revision: "{CIRCLE_SHA1}",
        facts: &[("run", "{CIRCLE_BUILD_NUM}"), ("branch", "{CIRCLE_BRANCH}"), ("url", "{CIRCLE_BUILD_URL}")],
    },
    System {
        name: "jenkins",
        mark: "JENKINS_URL",
        source: "{GIT_URL}",
        revision: "{GIT_COMMIT}",
        facts: &[
            ("run", "{BUILD_NUMBER}"),
            ("workflow", "{JOB_NAME}"),
            ("branch", "{GIT_BRANCH}"),
            ("url", "{BUILD_URL}"),
        ],
    },
];

/// The longest value that is taken over.
const MAX_VALUE: usize = 1024;

/// What is known of this run; `get` gives the variables.
pub(crate) fn of(time: String, builder: &str, get: &dyn Fn(&str) -> Option<String>) -> Circumstances {
    let mut all = Circumstances { time, builder: builder.to_owned(), ..Circumstances::default() };
    let Some(system) = SYSTEMS.iter().find(|s| get(s.mark).is_some()) else { return all };
    all.source = fill(system.source, get);
    all.revision = fill(system.revision, get);
    all.ci = BTreeMap::from([("system".to_owned(), system.name.to_owned())]);
    for (key, text) in system.facts {
        if let Some(value) = fill(text, get) {
            all.ci.insert((*key).to_owned(), value);
        }
    }
    all
}

/// A text with the values of variables in it.
fn fill(text: &str, get: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        out.push_str(before);
        out.push_str(&get(name)?);
        rest = after;
    }
    out.push_str(rest);
    (out.len() <= MAX_VALUE && !out.chars().any(char::is_control)).then(|| without_login(&out))
}

/// A web address without the login that some systems put into it, for cloning.
fn without_login(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{host}{}", &rest[end..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(variables: &[(&str, &str)]) -> Circumstances {
        let get = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        of("t".to_owned(), "floe", &get)
    }

    #[test]
    fn a_run_is_told_by_what_its_system_says() {
        let seen = at(&[
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_SERVER_URL", "https://github.example"),
            ("GITHUB_REPOSITORY", "team/churn"),
            ("GITHUB_SHA", "0123"),
            ("GITHUB_RUN_ID", "7"),
        ]);
        assert_eq!(seen.source.as_deref(), Some("https://github.example/team/churn"));
        assert_eq!(seen.revision.as_deref(), Some("0123"));
        assert_eq!(seen.ci["url"], "https://github.example/team/churn/actions/runs/7");
        assert!(!seen.ci.contains_key("workflow"), "what is not set is not said");
        assert_eq!(at(&[]).ci.len(), 0);
        assert_eq!(at(&[("GITLAB_CI", "1")]).ci["system"], "gitlab");
    }

    #[test]
    fn no_login_gets_into_a_record() {
        for (url, clean) in [
            ("https://bot:token@git.example/a.git", "https://git.example/a.git"),
            ("https://token@git.example", "https://git.example"),
            ("https://a:p@ss@git.example/x@y", "https://git.example/x@y"),
            ("git@git.example:a.git", "git@git.example:a.git"),
            ("https://git.example/a", "https://git.example/a"),
        ] {
            let seen = at(&[("JENKINS_URL", "x"), ("GIT_URL", url)]);
            assert_eq!(seen.source.as_deref(), Some(clean));
        }
        assert_eq!(at(&[("JENKINS_URL", "x"), ("GIT_URL", "a\nb")]).source, None);
    }
}
