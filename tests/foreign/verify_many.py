"""Verifies many bundles with sigstore-python in one process, offline.

    verify_many.py FOLDER

The folder has `trusted_root.json`, `artifact`, `signer.json` (identity and issuer) and, below `cases/`, a folder for each
form: `form.json` says how many log entries, SCTs and times are asked for and gives the managed key in PEM, if any, and
every other file there, `*.sigstore.json`, is a bundle. One line is printed for each: `FORM/FILE accept`, or
`FORM/FILE refuse REASON`. A reason that begins with `crash` is an exception that is none of the client's own.
"""

import json
import sys
from pathlib import Path

from sigstore.errors import Error

from verify import verifier_of, verify


def answer(verifier, asked, text, content, signer):
    if asked["key"] is not None:
        return "refuse unsupported: the library verifies certificates only"
    try:
        verify(verifier, text, content, signer["identity"], signer["issuer"])
    except Error as refusal:
        return f"refuse {type(refusal).__name__}: {refusal}"
    except Exception as crash:
        return f"refuse crash {type(crash).__name__}: {crash}"
    return "accept"


def main(folder):
    verifier = verifier_of(folder / "trusted_root.json")
    content = (folder / "artifact").read_bytes()
    signer = json.loads((folder / "signer.json").read_text())
    for form in sorted((folder / "cases").iterdir()):
        asked = json.loads((form / "form.json").read_text())
        for bundle in sorted(form.glob("*.sigstore.json")):
            said = answer(verifier, asked, bundle.read_text(), content, signer)
            print(f"{form.name}/{bundle.name} {' '.join(said.split())}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
