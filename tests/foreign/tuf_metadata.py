"""Writes a TUF root and targets metadata signed by python-tuf: root.json and targets.json in the folder that is named."""

import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root, Targets

folder, kind = Path(sys.argv[1]), sys.argv[2]
signer = {"ecdsa": CryptoSigner.generate_ecdsa, "ed25519": CryptoSigner.generate_ed25519}[kind]()
expires = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=2)

root = Root(version=1, expires=expires, consistent_snapshot=True)
for role in ["root", "timestamp", "snapshot", "targets"]:
    root.add_key(signer.public_key, role)
for name, signed in [("root", root), ("targets", Targets(version=1, expires=expires))]:
    metadata = Metadata(signed)
    metadata.sign(signer)
    metadata.to_file(str(folder / f"{name}-{kind}.json"))
