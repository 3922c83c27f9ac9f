"""Signs one file with sigstore-python, against the services of a client trust config.

    sign.py TRUST_CONFIG BUNDLE FILE               a message signature over FILE
    sign.py TRUST_CONFIG BUNDLE --statement FILE   the in-toto statement in FILE, in a DSSE envelope

The identity token comes in the environment variable FOREIGN_TOKEN.
"""

import os
import sys
from pathlib import Path

from sigstore.dsse import Statement
from sigstore.models import ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext


def main(arguments):
    trust_config, bundle, *what = arguments
    is_statement = what[0] == "--statement"
    content = Path(what[-1]).read_bytes()
    context = SigningContext.from_trust_config(ClientTrustConfig.from_json(Path(trust_config).read_text()))
    with context.signer(IdentityToken(os.environ["FOREIGN_TOKEN"])) as signer:
        signed = signer.sign_dsse(Statement(content)) if is_statement else signer.sign_artifact(content)
    Path(bundle).write_text(signed.to_json())


if __name__ == "__main__":
    main(sys.argv[1:])
