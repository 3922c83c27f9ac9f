//! What lies in a kit for people: what to do with it, step by step, with stella and without.

use std::fmt::Write as _;

use stella_attest::kit::{Contents, ORGANISATION, SUMS};

use crate::trust::TrustMaterial;

/// Whether the organisation signs the kit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Signed {
    /// Its digest alone names it.
    No,
    /// Bundles lie beside its list.
    Yes,
}

/// Writes the kit's README.
pub(super) fn write(contents: &Contents, trust: Option<&TrustMaterial>, signed: Signed) -> String {
    let mut text = format!(
        "# An air-gap kit\n\nMade {} by {}.\n\nWho packed it told you a digest (`sha256:…`) another way than this folder. It names all of it. Nothing in here,\n\
         least of all a program, is to be used before that was compared.\n\n## With a stella that is there already\n\n\
         ```sh\nstella airgap check . --digest sha256:…\nstella airgap load . registry.inside --digest sha256:…\n```\n\n\
         ## With sha256sum\n\n```sh\nsha256sum {SUMS}                      # the digest that you were told\n\
         sha256sum --check --strict {SUMS}\nfind . -type f ! -path './{SUMS}*' | wc -l    # as many as lines in {SUMS}\n```\n",
        contents.created, contents.made_by,
    );
    if signed == Signed::Yes {
        let _ = write!(
            text,
            "\n## With the organisation's anchor\n\nIts keys signed {SUMS}. Whoever has the anchor (`org.anchor`, which came another way) needs no digest; the keysets\n\
             in `{ORGANISATION}/` lead from any anchor to the keys of today.\n\n\
             ```sh\nstella airgap check . --anchor org.anchor\nstella airgap load . registry.inside --anchor org.anchor\n```\n",
        );
    }
    text.push_str("\n## With cosign\n\nOnce the images are in a registry, with what is attached to them (skopeo takes the image alone):\n\n```sh\n");
    let root = match &contents.trusted_root {
        Some(path) if trust.is_some() => format!("--trusted-root {path} "),
        _ => String::new(),
    };
    for (set, image) in contents
        .sets
        .iter()
        .flat_map(|set| set.images.iter().map(move |image| (set, image)))
    {
        let _ = writeln!(
            text,
            "cosign verify-attestation {root}--type TYPE \\\n    --certificate-identity SIGNER --certificate-oidc-issuer ISSUER \\\n    registry.inside/{}@{}",
            set.repository, image.digest,
        );
    }
    text.push_str("```\n\ncosign says whose an attestation is. Whether what it says allows is for the policy, or for your own eyes.\n\n## What is in it\n\n");
    for set in &contents.sets {
        let _ = writeln!(text, "- `{}`, from {}", set.file, set.source);
        for image in &set.images {
            let _ = writeln!(text, "  - {} {}", image.name, image.digest);
        }
    }
    let _ = writeln!(text, "- `{}`", contents.policy);
    if let (Some(path), Some(material)) = (&contents.trusted_root, trust) {
        let _ = writeln!(text, "- `{path}`, {}", material.digest());
    }
    for path in &contents.programs {
        let _ = writeln!(text, "- `{path}`");
    }
    text
}
