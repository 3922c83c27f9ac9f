"""Verifies one bundle with sigstore-python, offline.

    verify.py TRUSTED_ROOT BUNDLE ARTIFACT IDENTITY ISSUER

Ends with 0 for accepted, 1 for refused (the reason on standard error), 2 for a mistake of this driver.
"""

import hashlib
import json
import sys
from pathlib import Path

from sigstore.errors import Error
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier, policy


class NotASubject(Error):
    """The statement speaks of other files."""


def verifier_of(trusted_root):
    return Verifier(trusted_root=TrustedRoot.from_file(str(trusted_root)))


def verify(verifier, text, content, identity, issuer):
    """Verifies the bundle in `text` over the artifact's `content`, or raises."""
    wanted = policy.Identity(identity=identity, issuer=issuer)
    signed = Bundle.from_json(text)
    if "dsseEnvelope" not in json.loads(text):
        verifier.verify_artifact(content, signed, wanted)
        return
    # The library returns the payload; that the artifact is among its subjects is its caller's question.
    _, payload = verifier.verify_dsse(signed, wanted)
    digest = hashlib.sha256(content).hexdigest()
    if digest not in [subject["digest"].get("sha256") for subject in json.loads(payload)["subject"]]:
        raise NotASubject(f"sha256:{digest} is no subject of the statement")


def main(arguments):
    trusted_root, bundle, artifact, identity, issuer = arguments
    try:
        text, content = Path(bundle).read_text(), Path(artifact).read_bytes()
        verify(verifier_of(trusted_root), text, content, identity, issuer)
    except Error as refusal:
        print(f"{type(refusal).__name__}: {refusal}", file=sys.stderr)
        return 1
    except Exception as mistake:  # a crash is no refusal
        print(f"driver: {type(mistake).__name__}: {mistake}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
