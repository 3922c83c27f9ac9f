//! What the well-known CI systems' claims become in a certificate: the table of Fulcio's config/identity/config.yaml.

/// A CI system's templates.
pub(super) struct Preset {
    /// The name in `type` and `ci-provider`.
    pub(super) name: &'static str,
    /// The SAN.
    pub(super) subject: &'static str,
    /// Extension name (as `stella_bundle::certificate::Claim`) and template.
    pub(super) extensions: &'static [(&'static str, &'static str)],
    /// Values of claims that a token may lack.
    pub(super) defaults: &'static [(&'static str, &'static str)],
    /// What `{{ .url }}` is when the configuration does not say; none means the issuer's origin.
    pub(super) url: Option<&'static str>,
    /// The claim that goes into our own extension for protected refs.
    pub(super) ref_protected: Option<&'static str>,
}

impl Preset {
    /// Finds a preset by its name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }
}

/// All presets.
pub(super) static PRESETS: [Preset; 4] = [
    Preset {
        name: "github-workflow",
        subject: "{{ .url }}/{{ .job_workflow_ref }}",
        extensions: &[
            ("github-workflow-trigger", "event_name"),
            ("github-workflow-sha", "sha"),
            ("github-workflow-name", "workflow"),
            ("github-workflow-repository", "repository"),
            ("github-workflow-ref", "ref"),
            ("build-signer-uri", "{{ .url }}/{{ .job_workflow_ref }}"),
            ("build-signer-digest", "job_workflow_sha"),
            ("runner-environment", "runner_environment"),
            ("source-repository-uri", "{{ .url }}/{{ .repository }}"),
            ("source-repository-digest", "sha"),
            ("source-repository-ref", "ref"),
            ("source-repository-identifier", "repository_id"),
            (
                "source-repository-owner-uri",
                "{{ .url }}/{{ .repository_owner }}",
            ),
            ("source-repository-owner-identifier", "repository_owner_id"),
            ("build-config-uri", "{{ .url }}/{{ .workflow_ref }}"),
            ("build-config-digest", "workflow_sha"),
            ("build-trigger", "event_name"),
            (
                "run-invocation-uri",
                "{{ .url }}/{{ .repository }}/actions/runs/{{ .run_id }}/attempts/{{ .run_attempt }}",
            ),
            ("source-repository-visibility", "repository_visibility"),
            ("deployment-environment", "environment"),
        ],
        defaults: &[("environment", "")],
        url: Some("https://github.com"),
        ref_protected: None,
    },
    Preset {
        name: "gitlab-pipeline",
        subject: "https://{{ .ci_config_ref_uri }}",
        extensions: &[
            ("build-signer-uri", "https://{{ .ci_config_ref_uri }}"),
            ("build-signer-digest", "ci_config_sha"),
            ("runner-environment", "runner_environment"),
            ("source-repository-uri", "{{ .url }}/{{ .project_path }}"),
            ("source-repository-digest", "sha"),
            (
                "source-repository-ref",
                r#"{{if eq .ref_type "branch"}}refs/heads/{{else}}refs/tags/{{end}}{{ .ref }}"#,
            ),
            ("source-repository-identifier", "project_id"),
            (
                "source-repository-owner-uri",
                "{{ .url }}/{{ .namespace_path }}",
            ),
            ("source-repository-owner-identifier", "namespace_id"),
            ("build-config-uri", "https://{{ .ci_config_ref_uri }}"),
            ("build-config-digest", "ci_config_sha"),
            ("build-trigger", "pipeline_source"),
            (
                "run-invocation-uri",
                "{{ .url }}/{{ .project_path }}/-/jobs/{{ .job_id }}",
            ),
            ("source-repository-visibility", "project_visibility"),
            ("deployment-environment", "environment"),
        ],
        defaults: &[("environment", "")],
        // Upstream's template says gitlab.com for every installation (fulcio #1325).
        url: None,
        ref_protected: Some("ref_protected"),
    },
    Preset {
        // Forgejo's tokens resemble GitHub's and lack what concerns reusable workflows and hosted runners.
        name: "forgejo-workflow",
        subject: "{{ .url }}/{{ .workflow_ref }}",
        extensions: &[
            ("github-workflow-trigger", "event_name"),
            ("github-workflow-sha", "sha"),
            ("github-workflow-name", "workflow"),
            ("github-workflow-repository", "repository"),
            ("github-workflow-ref", "ref"),
            ("build-signer-uri", "{{ .url }}/{{ .workflow_ref }}"),
            ("source-repository-uri", "{{ .url }}/{{ .repository }}"),
            ("source-repository-digest", "sha"),
            ("source-repository-ref", "ref"),
            ("source-repository-identifier", "repository_id"),
            (
                "source-repository-owner-uri",
                "{{ .url }}/{{ .repository_owner }}",
            ),
            ("source-repository-owner-identifier", "repository_owner_id"),
            ("build-config-uri", "{{ .url }}/{{ .workflow_ref }}"),
            ("build-trigger", "event_name"),
            (
                "run-invocation-uri",
                "{{ .url }}/{{ .repository }}/actions/runs/{{ .run_id }}",
            ),
            ("source-repository-visibility", "repository_visibility"),
            ("deployment-environment", "environment"),
        ],
        defaults: &[
            ("environment", ""),
            ("repository_id", ""),
            ("repository_owner_id", ""),
            ("repository_visibility", ""),
            ("workflow", ""),
        ],
        url: None,
        ref_protected: None,
    },
    Preset {
        name: "buildkite-job",
        subject: "{{ .url }}/{{ .organization_slug }}/{{ .pipeline_slug }}",
        extensions: &[
            ("runner-environment", "runner_environment"),
            ("source-repository-digest", "build_commit"),
            ("build-trigger", "build_source"),
            (
                "run-invocation-uri",
                "{{ .url }}/{{ .organization_slug }}/{{ .pipeline_slug }}/builds/{{ .build_number }}#{{ .job_id }}",
            ),
        ],
        defaults: &[("build_source", ""), ("runner_environment", "")],
        url: Some("https://buildkite.com"),
        ref_protected: None,
    },
];
