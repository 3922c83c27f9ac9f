//! rekor-cli's words.

use super::Becomes::{Named, NothingWithValue, Output, Refused, Same, Sha};
use super::{Flags, Rule, Tool, rule};

pub(super) const TOOL: Tool = Tool {
    name: "rekor-cli",
    rules: RULES,
    own: &["completion", "version", "help"],
    types: &[],
    with_defaults: |_, turned| turned,
};

const NO_TYPE: &str = "what an entry is follows from the signature: leave it out";

const SERVER: Flags = &[("--rekor_server", Named("--rekor")), ("--format", Output)];

const SIGNATURE: Flags = &[
    ("--artifact", Same),
    ("--signature", Same),
    ("--public-key", Same),
    ("--pki-format", Same),
    ("--type", Refused(NO_TYPE)),
    (
        "--entry",
        Refused("name the parts: --artifact, --signature, --public-key"),
    ),
];

const RULES: &[Rule] = &[
    rule("upload", &["log", "upload"], None, &[SERVER, SIGNATURE]),
    rule(
        "verify",
        &["log", "verify"],
        None,
        // The proof was kept by `upload`: no log is asked.
        &[
            SIGNATURE,
            &[("--rekor_server", NothingWithValue), ("--format", Output)],
        ],
    ),
    rule(
        "get",
        &["log", "get"],
        None,
        &[
            SERVER,
            &[
                ("--log-index", Named("--index")),
                (
                    "--uuid",
                    Refused("entries are named by their index: --log-index N"),
                ),
            ],
        ],
    ),
    rule(
        "search",
        &["log", "search"],
        None,
        &[
            SERVER,
            &[
                ("--artifact", Same),
                ("--public-key", Same),
                ("--sha", Sha),
                (
                    "--email",
                    Refused(
                        "entries name keys and certificates, and are found by those: --public-key FILE",
                    ),
                ),
                ("--pki-format", NothingWithValue),
            ],
        ],
    ),
    rule("loginfo", &["log", "info"], None, &[SERVER]),
    rule(
        "logproof",
        &["log", "proof"],
        None,
        &[
            SERVER,
            &[
                ("--first-size", Named("--from")),
                ("--last-size", Named("--to")),
            ],
        ],
    ),
];

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::tests::turned;
    use super::*;

    #[test]
    fn the_spellings_of_daily_use_are_turned_into_ours() {
        for (theirs, ours) in [
            (
                "upload --rekor_server https://r.example --signature f.asc --public-key k.asc --artifact f --pki-format=pgp",
                "log upload --rekor https://r.example --signature f.asc --public-key k.asc --artifact f --pki-format pgp",
            ),
            (
                "verify --rekor_server https://r.example --signature f.asc --public-key k.asc --artifact f --format json",
                "log verify --signature f.asc --public-key k.asc --artifact f --json",
            ),
            ("get --log-index 7", "log get --index 7"),
            ("search --sha 0a0b", "log search --artifact sha256:0a0b"),
            ("loginfo", "log info"),
            (
                "logproof --first-size 3 --last-size 7",
                "log proof --from 3 --to 7",
            ),
        ] {
            assert_eq!(turned(&TOOL, theirs).as_deref(), Ok(ours), "{theirs}");
        }
        let refused = turned(&TOOL, "get --uuid 00").unwrap_err();
        assert!(
            refused.contains("rekor-cli get --uuid is not supported"),
            "{refused}"
        );
        let refused = turned(&TOOL, "get \u{2013}log-index 7").unwrap_err();
        assert!(refused.contains("long dash"), "{refused}");
    }
}
