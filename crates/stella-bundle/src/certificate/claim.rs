//! What Fulcio copies from a token into a certificate: names, numbers and encodings.

/// What Fulcio copies from a token into a certificate (`docs/oid-info.md` of Fulcio).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "the names are those of the table in Fulcio's oid-info"
)]
pub enum Claim {
    IssuerV1,
    GithubWorkflowTrigger,
    GithubWorkflowSha,
    GithubWorkflowName,
    GithubWorkflowRepository,
    GithubWorkflowRef,
    Issuer,
    BuildSignerUri,
    BuildSignerDigest,
    RunnerEnvironment,
    SourceRepositoryUri,
    SourceRepositoryDigest,
    SourceRepositoryRef,
    SourceRepositoryIdentifier,
    SourceRepositoryOwnerUri,
    SourceRepositoryOwnerIdentifier,
    BuildConfigUri,
    BuildConfigDigest,
    BuildTrigger,
    RunInvocationUri,
    SourceRepositoryVisibility,
    DeploymentEnvironment,
    TokenSubject,
}

impl Claim {
    /// Number under [`super::FULCIO_ARC`] and name in flags and reports.
    pub const ALL: [(Self, u8, &'static str); 23] = [
        (Self::IssuerV1, 1, "issuer-v1"),
        (Self::GithubWorkflowTrigger, 2, "github-workflow-trigger"),
        (Self::GithubWorkflowSha, 3, "github-workflow-sha"),
        (Self::GithubWorkflowName, 4, "github-workflow-name"),
        (
            Self::GithubWorkflowRepository,
            5,
            "github-workflow-repository",
        ),
        (Self::GithubWorkflowRef, 6, "github-workflow-ref"),
        (Self::Issuer, 8, "issuer"),
        (Self::BuildSignerUri, 9, "build-signer-uri"),
        (Self::BuildSignerDigest, 10, "build-signer-digest"),
        (Self::RunnerEnvironment, 11, "runner-environment"),
        (Self::SourceRepositoryUri, 12, "source-repository-uri"),
        (Self::SourceRepositoryDigest, 13, "source-repository-digest"),
        (Self::SourceRepositoryRef, 14, "source-repository-ref"),
        (
            Self::SourceRepositoryIdentifier,
            15,
            "source-repository-identifier",
        ),
        (
            Self::SourceRepositoryOwnerUri,
            16,
            "source-repository-owner-uri",
        ),
        (
            Self::SourceRepositoryOwnerIdentifier,
            17,
            "source-repository-owner-identifier",
        ),
        (Self::BuildConfigUri, 18, "build-config-uri"),
        (Self::BuildConfigDigest, 19, "build-config-digest"),
        (Self::BuildTrigger, 20, "build-trigger"),
        (Self::RunInvocationUri, 21, "run-invocation-uri"),
        (
            Self::SourceRepositoryVisibility,
            22,
            "source-repository-visibility",
        ),
        (Self::DeploymentEnvironment, 23, "deployment-environment"),
        (Self::TokenSubject, 24, "token-subject"),
    ];

    /// Returns the name used in flags and reports.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|row| row.0 == self)
            .map_or("", |row| row.2)
    }

    /// Finds a claim by its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|row| row.2 == name).map(|row| row.0)
    }

    /// Returns the number under [`super::FULCIO_ARC`].
    pub fn number(self) -> u8 {
        Self::ALL
            .iter()
            .find(|row| row.0 == self)
            .map_or(0, |row| row.1)
    }

    /// Returns the content octets of the extension's OID.
    pub fn id(self) -> [u8; 10] {
        // 1.3.6.1.4.1.57264.1, in base 128.
        [
            0x2b,
            0x06,
            0x01,
            0x04,
            0x01,
            0x83,
            0xbf,
            0x30,
            0x01,
            self.number(),
        ]
    }

    /// Says whether the extension holds bare text (.1 to .6) rather than a DER UTF8String.
    pub fn is_raw(self) -> bool {
        self.number() <= 6
    }
}
