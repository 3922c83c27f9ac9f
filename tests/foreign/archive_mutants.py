"""Makes changed archives, and says what the verifier that archives carry thinks of each.

    archive_mutants.py VERIFIER ARCHIVE KEYS TIMESTAMPS OUT

ARCHIVE is an OCI layout, KEYS a folder with the organisation's private keys and anchors, TIMESTAMPS the address of a
timestamp authority, OUT a new folder. Each changed archive is a layout `OUT/NUMBER`. One line of JSON is printed for each:
`archive`, `anchor` and `arguments` for a verifier, `name`, and what was said: `existed` where it is good, else `refused`,
or `crashed` by a mistake of the verifier's own.

There are changes of single bytes, as they are and with all digests of the carrier made to fit; and changes of values where
everything around them is made to fit too, up to new signatures and timestamps, so that one rule alone can refuse.
"""

import base64
import copy
import datetime
import hashlib
import importlib.util
import json
import multiprocessing
import os
import random
import struct
import sys
import urllib.request
from pathlib import Path

import zstandard
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

TITLE, NAME = "org.opencontainers.image.title", "org.opencontainers.image.ref.name"
LATER = ["--at", "2046-01-01T00:00:00Z"]
STATING = ("classical", "post-quantum")  # roles whose keys sign statements


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def b64(data):
    return base64.b64encode(data).decode()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def digests(data):
    return {"sha256": sha256(data), "sha3": hashlib.sha3_256(data).hexdigest()}


def sorted_members(value):
    return json.loads(json.dumps(value), object_pairs_hook=lambda pairs: dict(sorted(pairs)))


# ---- Archives that are read and written


class Source:
    """A layout as it was made."""

    def __init__(self, folder):
        self.folder = folder
        self.index = json.loads((folder / "index.json").read_bytes())

    def blob(self, digest):
        return (self.folder / "blobs/sha256" / digest.split(":")[1]).read_bytes()

    def manifest(self, period):
        for each in self.index["manifests"]:
            if each["annotations"][NAME] == period:
                return json.loads(self.blob(each["digest"]))
        raise KeyError(period)

    def files(self, period):
        return {layer["annotations"][TITLE]: self.blob(layer["digest"]) for layer in self.manifest(period)["layers"]}


class Sink:
    """Where changed archives are written to. Equal blobs are one file."""

    def __init__(self, folder, source):
        self.folder, self.source, self.cases = folder, source, []
        (folder / "pool").mkdir(parents=True)

    def link(self, blobs, data, name=None):
        pooled = self.folder / "pool" / sha256(data)
        if not pooled.exists():
            pooled.write_bytes(data)
        os.link(pooled, blobs / (name or sha256(data)))

    def write(self, name, period, files, arguments=(), manifest=None, layers=None, broken=None, anchor="org.anchor", label=None):
        """`manifest` and `layers` change those, `broken` gives other bytes to the blobs of some names."""
        place = self.folder / f"{len(self.cases):04}"
        blobs = place / "blobs/sha256"
        blobs.mkdir(parents=True)
        described = []
        for title, data in files.items():
            media_type = "application/vnd.stella-ops.archive.part.v1" + ("+zstd" if title.endswith(".zst") else "")
            described.append({"mediaType": media_type, "digest": f"sha256:{sha256(data)}", "size": len(data), "annotations": {TITLE: title}})
            data = (broken or {}).get(title, data)
            if not (blobs / described[-1]["digest"][7:]).exists():
                self.link(blobs, data, described[-1]["digest"][7:])
        if layers:
            described = layers(described)
        whole = self.source.manifest(period)
        whole["layers"] = described
        if manifest:
            manifest(whole)
        raw = compact(whole)
        self.link(blobs, raw)
        if not (blobs / sha256(b"{}")).exists():
            self.link(blobs, b"{}")
        entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": f"sha256:{sha256(raw)}", "size": len(raw)}
        entry["annotations"] = {NAME: label or period}
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]}
        (place / "index.json").write_bytes(compact(index))
        (place / "oci-layout").write_bytes(compact({"imageLayoutVersion": "1.0.0"}))
        self.case(name, place, anchor, ["--period", label or period, *arguments])

    def case(self, name, archive, anchor, arguments):
        self.cases.append({"name": name, "archive": str(archive), "anchor": anchor, "arguments": list(arguments)})


# ---- Keys and clocks


class Office:
    """The organisation's keys, and an authority that knows the time."""

    def __init__(self, folder, timestamps):
        self.folder, self.timestamps = folder, timestamps
        self.keys = {}
        for path in sorted(folder.glob("*.key")):
            key = serialization.load_pem_private_key(path.read_bytes(), None)
            spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
            self.keys[sha256(spki)] = key

    def stamp(self, signature):
        """Asks for a token (RFC 3161 §2.4.1)."""
        digest = hashlib.sha256(signature).digest()
        algorithm = bytes.fromhex("300d06096086480165030402010500")
        imprint = algorithm + b"\x04\x20" + digest
        body = b"\x02\x01\x01" + b"\x30" + bytes([len(imprint)]) + imprint + b"\x01\x01\xff"
        request = b"\x30" + bytes([len(body)]) + body
        asked = urllib.request.Request(self.timestamps, request, {"Content-Type": "application/timestamp-query"})
        with urllib.request.urlopen(asked) as answer:
            return answer.read()

    def sign(self, payload, key_id, tokens=None):
        """Returns a bundle. `tokens` are those of the bundle; without them one is asked for."""
        key, kind = self.keys[key_id], b"application/vnd.in-toto+json"
        message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            sha2 = hashes.SHA384() if key.curve.key_size == 384 else hashes.SHA256()
            signature = key.sign(message, ec.ECDSA(sha2))
        else:
            signature = key.sign(message)
        tokens = [self.stamp(signature)] if tokens is None else tokens
        return bundle_of(payload, bytes.fromhex(key_id), signature, tokens)


def bundle_of(payload, key_id, signature, tokens):
    stamps = [{"signedTimestamp": b64(token)} for token in tokens]
    return compact({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "publicKey": {"hint": b64(key_id)},
            "tlogEntries": [],
            "timestampVerificationData": {"rfc3161Timestamps": stamps},
        },
        "dsseEnvelope": {"payload": b64(payload), "payloadType": "application/vnd.in-toto+json", "signatures": [{"sig": b64(signature)}]},
    })


def parts_of(bundle):
    """Returns key id, signature and tokens of a bundle."""
    value = json.loads(bundle)
    material, envelope = value["verificationMaterial"], value["dsseEnvelope"]
    stamps = material["timestampVerificationData"]["rfc3161Timestamps"]
    tokens = [base64.b64decode(each["signedTimestamp"]) for each in stamps]
    return base64.b64decode(material["publicKey"]["hint"]), base64.b64decode(envelope["signatures"][0]["sig"]), tokens


def without_log_entries(bundle):
    value = json.loads(bundle)
    value["verificationMaterial"]["tlogEntries"] = []
    return compact(value)


def key_of(bundle):
    """Returns the beginning of a key's id, if the bundle has one."""
    try:
        return parts_of(bundle)[0].hex()[:8]
    except (ValueError, LookupError, TypeError):
        return None


# ---- An archive in parts, and put together again

CLASSES = ("evidence", "rejected", "records")


class Document:
    def __init__(self, raw, bundles):
        self.raw, self.bundles = raw, bundles

    def to_json(self):
        return {"bytes": b64(self.raw), "bundles": [b64(each) for each in self.bundles]}

    def evidence(self):
        return sorted((digests(each) for each in self.bundles), key=lambda pair: pair["sha256"])


class Book:
    """A period's archive, open."""

    def __init__(self, files, verifier):
        self.files, self.verifier = dict(files), verifier
        history = json.loads(files["history.json"])
        read = lambda each: Document(base64.b64decode(each["bytes"]), [base64.b64decode(one) for one in each["bundles"]])
        self.keysets = [read(each) for each in history["keysets"]]
        self.statements = [read(each) for each in history["statements"]]
        self.lines = self.unpacked("leaves").splitlines(keepends=True)
        self.things = {}
        at, sizes = 0, [verifier.leaf_of(line[:-1]) for line in self.lines]
        for part, name in enumerate(CLASSES):
            whole, at, self.things[name] = self.unpacked(name), 0, []
            for leaf in (each for each in sizes if each.part == part):
                self.things[name].append(whole[at : at + leaf.size])
                at += leaf.size
        self.frontier = json.loads(files["frontier.json"])

    def unpacked(self, name):
        names = sorted(each for each in self.files if each.startswith(name + "/"))
        frames = (frame for each in names for frame, _ in self.verifier.frames_of(self.files[each]))
        return b"".join(zstandard.ZstdDecompressor().decompress(frame) for frame in frames)

    def copy(self):
        return copy.deepcopy(self)

    def __deepcopy__(self, memo):
        new = copy.copy(self)
        for name in ("files", "keysets", "statements", "lines", "things", "frontier"):
            setattr(new, name, copy.deepcopy(getattr(self, name), memo))
        return new

    @property
    def newest(self):
        return self.statements[-1]

    def predicate(self):
        return json.loads(self.newest.raw)["predicate"]

    def tree(self):
        tree = self.verifier.Tree(self.frontier["size"], [bytes.fromhex(each) for each in self.frontier["hashes"]])
        for line in self.lines:
            tree.add(line[:-1])
        return tree

    def pack(self):
        """Puts lines, bytes and hashes into their files."""
        for name in [each for each in self.files if each.split("/")[0] in ("leaves", "hashes", *CLASSES)]:
            del self.files[name]
        if self.lines:
            self.files["leaves/00000.jsonl.zst"] = frame(b"".join(self.lines))
        for name in CLASSES:
            if b"".join(self.things[name]):
                self.files[f"{name}/00000.zst"] = frame(b"".join(self.things[name]))
        for level, roots in self.tree().complete.items():
            self.files[f"hashes/{level}"] = b"".join(roots)

    def seal(self, office, change=None, outer=None, signers=None, tokens=None, counts=True, write=None):
        """Makes a new statement of everything as it is and has it signed: `change` changes the predicate, `outer` the statement
        around it, `write` its bytes."""
        fields, tree = self.predicate(), self.tree()
        fields["tree"] = {"size": self.frontier["size"] + len(self.lines), "root": tree.root().hex()}
        sha3 = hashlib.sha3_256(b"".join(self.lines)).hexdigest()
        fields["range"] = {"start": self.frontier["size"], "end": fields["tree"]["size"], "sha3": sha3}
        if counts:
            parts = [self.verifier.leaf_of(line[:-1]).part for line in self.lines]
            fields["counts"] = dict(zip(("verified", "rejected", "records"), (parts.count(part) for part in range(3))))
        keyset = self.keysets[fields["keyset"]["version"] - 1]
        fields["keyset"].update(file=digests(keyset.raw), evidence=keyset.evidence())
        if change:
            fields = change(fields) or fields
        checkpoint = f"{fields['origin']}\n{fields['tree']['size']}\n{b64(bytes.fromhex(fields['tree']['root']))}\n".encode()
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "checkpoint.txt", "digest": {"sha256": sha256(checkpoint)}}],
            "predicateType": "https://stella-ops.org/org/archive-manifest/v1",
            "predicate": sorted_members(fields),
        }
        if outer:
            outer(statement)
        payload = (write or compact)(statement)
        wanted = signers or [each for each in fields["signers"] if each in office.keys]
        bundles = [office.sign(payload, each, tokens) for each in wanted]
        self.put_newest(Document(payload, bundles), checkpoint)
        return self

    def put_newest(self, document, checkpoint=None):
        self.statements[-1] = document
        if checkpoint:
            self.files["checkpoint.txt"] = checkpoint
        for name in [each for each in self.files if each.startswith("checkpoint.txt.")]:
            del self.files[name]
        for at, each in enumerate(document.bundles):
            self.files[f"checkpoint.txt.{key_of(each) or f'{at:08}'}.sigstore.json"] = each

    def event(self, office, change, signers, of=None, write=None, bundles=None):
        """Changes the newest keyset, has its event signed, and the newest statement name it."""
        fields = json.loads(self.keysets[-1].raw)
        fields = change(fields) or fields
        raw = (write or (lambda value: json.dumps(value, indent=2).encode() + b"\n"))(fields)
        event = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": f"keyset-{fields['version']}.json", "digest": {"sha256": sha256(raw)}}],
            "predicateType": "https://stella-ops.org/org/keyset-event/v1",
            "predicate": {"action": fields["action"], "file": digests(raw), "origin": fields["origin"], "reason": fields["reason"], "version": fields["version"]},
        }
        if of:
            of(event)
        payload = compact(event)
        made = [office.sign(payload, each) for each in signers]
        self.keysets[-1] = Document(raw, bundles(made) if bundles else made)
        return self

    def to_files(self):
        history = {"keysets": [each.to_json() for each in self.keysets], "statements": [each.to_json() for each in self.statements]}
        self.files["history.json"] = compact(history) + b"\n"
        return self.files


def frame(data):
    return zstandard.ZstdCompressor(level=3).compress(data)


def flipped(data, random_):
    at, bit = random_.randrange(len(data)), 1 << random_.randrange(8)
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :], f"byte {at} bit {bit:#x}"


# ---- Changes of single bytes


def single_bytes(sink, period, files, book, office):
    random_ = random.Random(7)
    # 1. As they are: a digest refuses.
    for title in files:
        bad, what = flipped(files[title], random_)
        sink.write(f"{title} as it is: {what}", period, files, broken={title: bad})
    # 2. With digests that fit.
    for title in files:
        for _ in range(2 if title in ("README.txt", "FORMAT.md", "verify.py") else 6):
            bad, what = flipped(files[title], random_)
            sink.write(f"{title}: {what}", period, {**files, title: bad})
        sink.write(f"{title}: cut off", period, {**files, title: files[title][:-1]})
        sink.write(f"{title}: one byte more", period, {**files, title: files[title] + b" "})
        sink.write(f"{title}: gone", period, {name: data for name, data in files.items() if name != title})
    # 3. Of every document of the past.
    for kind in ("keysets", "statements"):
        for number in range(len(getattr(book, kind))):
            for place in range(4):
                changed = book.copy()
                document = getattr(changed, kind)[number]
                if place == 0:
                    document.raw, what = flipped(document.raw, random_)
                else:
                    at = place % len(document.bundles)
                    document.bundles[at], what = flipped(document.bundles[at], random_)
                sink.write(f"{kind} {number}, {place}: {what}", period, changed.to_files())
    # 4. Of the newest bundles, everywhere.
    for at in range(len(book.newest.bundles)):
        parts = parts_of(book.newest.bundles[at])
        for round_ in range(36):
            changed = book.copy()
            key_id, signature, tokens = parts
            if round_ < 16:
                bad, what = flipped(changed.newest.bundles[at], random_)
            elif round_ < 24:
                signature, what = flipped(signature, random_)
                bad = bundle_of(book.newest.raw, key_id, signature, tokens)
            elif round_ < 28:
                key_id, what = flipped(key_id, random_)
                bad = bundle_of(book.newest.raw, key_id, signature, tokens)
            else:
                token, what = flipped(tokens[0], random_)
                bad = bundle_of(book.newest.raw, key_id, signature, [token])
            bundles = list(changed.newest.bundles)
            bundles[at] = bad
            changed.put_newest(Document(book.newest.raw, bundles))
            sink.write(f"bundle {at}, {round_}: {what}", period, changed.to_files())
    # 5. Of the only token that counts: after the keys have ended nothing else says when this was.
    key_id, signature, tokens = parts_of(book.newest.bundles[0])
    stranger = Authority()
    others = []
    for each in book.newest.bundles[1:]:
        other = parts_of(each)
        others.append(bundle_of(book.newest.raw, *other[:2], [stranger.token(other[1])]))
    token = tokens[0]
    for at in [None, *sorted(random_.sample(range(len(token)), 150))]:
        bad = token if at is None else token[:at] + bytes([token[at] ^ 1 << random_.randrange(8)]) + token[at + 1 :]
        changed = book.copy()
        changed.put_newest(Document(book.newest.raw, [bundle_of(book.newest.raw, key_id, signature, [bad]), *others]))
        sink.write(f"the only token: byte {at}", period, changed.to_files(), LATER)
    # 6. Of the authority's certificates, in a trusted root that the statement names.
    (root,) = [data for name, data in book.files.items() if name.startswith("trust/")]
    for number in range(2):
        for round_ in range(24):
            value = json.loads(root)
            certificate = value["timestampAuthorities"][0]["certChain"]["certificates"][number]
            raw, what = flipped(base64.b64decode(certificate["rawBytes"]), random_)
            certificate["rawBytes"] = b64(raw)
            sealed = with_root(book, office, compact(value))
            sink.write(f"certificate {number}: {what}", period, sealed.to_files(), LATER)


def with_root(book, office, root):
    """Puts another trusted root in the place of the only one."""
    changed = book.copy()
    for name in [name for name in changed.files if name.startswith("trust/")]:
        del changed.files[name]
    changed.files[f"trust/{sha256(root)}.json"] = root
    return changed.seal(office, lambda fields: fields["profiles"][0].update(trustedRoot=sha256(root)))


# ---- Changes of values: everything around them fits


def setting(path, value):
    """Returns a change that sets the member at a path, or what a function makes of it."""
    *front, last = path.split(".")
    front, last = [int(each) if each.isdigit() else each for each in front], int(last) if last.isdigit() else last

    def change(fields):
        at = fields
        for each in front:
            at = at[each]
        at[last] = value(at[last]) if callable(value) else value

    return change


def other_digit(text):
    return ("0" if text[0] != "0" else "1") + text[1:]


def more(value):
    return value + 1


def of_statements(sink, period, book, office):
    def sealed(name, *changes, arguments=(), label=None, **how):
        def change(fields):
            for each in changes:
                each(fields)

        changed = book.copy().seal(office, change, **how)
        sink.write(f"statement: {name}", period, changed.to_files(), arguments, label=label)

    sealed("as it was")
    sealed("as it was, later", arguments=LATER)
    for path, value in {
        "sequence": more, "origin": "archive.example.com", "tree.size": more, "tree.root": other_digit, "range.start": more,
        "range.end": more, "range.sha3": other_digit, "previous": None, "previous.statement.sha256": other_digit,
        "previous.statement.sha3": other_digit, "previous.evidence": lambda each: each[::-1], "previous.evidence.0.sha3": other_digit,
        "counts.verified": more, "counts.rejected": more, "counts.records": more, "profiles": [], "profiles.0.trustedRoot": "0" * 64,
        "profiles.0.policy": "1" * 64, "keyset.version": more, "keyset.file.sha256": other_digit, "keyset.file.sha3": other_digit,
        "keyset.evidence": lambda each: each[::-1], "signers": lambda each: each[::-1], "require.timestamps": 2, "created": "2026-11-30",
        "retention.months": "24", "retention.years": 2, "more": 1, "period.more": 1, "sequence ": 1, "period.name": "other",
        "period.start": None, "period.end": "2027-01-01T00:00:00.5Z", "tree.root ": "", "range.sha3 ": "", "profiles.0.root": "",
        "coverage": [{"log": "rekor"}], "coverage ": [], "profiles.0.verifier": None, "retention": {}, "require": {},
    }.items():
        sealed(f"{path} changed", setting(path, value))
    sealed("a policy that is no digest", setting("profiles.0.policy", "none"))
    for seconds in (290, 310):
        later = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        at = ["--at", f"{later:%Y-%m-%dT%H:%M:%SZ}"]
        soon = f"{later + datetime.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"
        sealed(f"made in {seconds} seconds", setting("created", soon), arguments=at)
    sealed("bytes kept for ever", setting("retention.months", 4294967295))
    sealed("bytes kept for longer than ever", setting("retention.months", 4294967296))
    sealed("two tokens of one signer", setting("require.timestamps", 2))
    sealed("range.start less", setting("range.start", lambda each: each - 1))
    sealed("sequence less", setting("sequence", lambda each: each - 1))
    sealed("sequence true", setting("sequence", True))
    sealed("sequence with a fraction", setting("sequence", lambda each: float(each)))
    sealed("tree and range end later", setting("tree.size", more), setting("range.end", more))
    sealed("verified and rejected exchanged", lambda fields: fields["counts"].update(
        verified=fields["counts"]["rejected"], rejected=fields["counts"]["verified"]))
    sealed("previous without a bundle", lambda fields: fields["previous"]["evidence"].pop())
    sealed("keyset without a bundle", lambda fields: fields["keyset"]["evidence"].pop())
    sealed("no tokens asked for, none there", setting("require.timestamps", 0), tokens=[])
    sealed("no tokens asked for, none there, later", setting("require.timestamps", 0), tokens=[], arguments=LATER)
    sealed("no tokens", tokens=[])
    for time in ("2029-12-31T23:59:59Z", "2046-01-01T00:05:00Z", "2046-01-01T00:05:01Z"):
        sealed(f"made at {time}", setting("created", time))
        sealed(f"made at {time}, later", setting("created", time), arguments=LATER)
    sealed("a member is missing", lambda fields: fields.pop("retention") and None)
    for version in range(1, len(book.keysets)):
        def earlier(fields, version=version):
            keyset = book.keysets[version - 1]
            keys = json.loads(keyset.raw)["keys"]
            fields["keyset"] = {"version": version, "file": digests(keyset.raw), "evidence": keyset.evidence()}
            fields["signers"] = sorted(each["keyId"] for each in keys if each["status"] == "active" and each["role"] in STATING)

        sealed(f"under keyset {version}", earlier)
    active = book.predicate()["signers"]
    keys = json.loads(book.keysets[-1].raw)["keys"]
    recovery = next(each["keyId"] for each in keys if each["role"] == "recovery")
    fallen = next(each["keyId"] for each in keys if each["status"] == "compromised")
    for at in (0, 1):
        sealed(f"one signer, {at}", setting("signers", [active[at]]))
        sealed(f"one signature, {at}", signers=[active[at]])
    sealed("recovery signs too", setting("signers", sorted([*active, recovery])))
    sealed("recovery signs too, unnamed", signers=[*active, recovery])
    checkpoint = next(each["keyId"] for each in keys if each["role"] == "checkpoint")
    sealed("the checkpoint key signs too", setting("signers", sorted([*active, checkpoint])))
    sealed("the checkpoint key signs too, unnamed", signers=[*active, checkpoint])
    sealed("the compromised key signs", setting("signers", sorted([fallen, active[1]])))
    sealed("a signer twice", setting("signers", [*active, active[1]]), signers=active)
    sealed("signatures in another order", signers=active[::-1])
    # The statement around the predicate.
    subject = lambda statement: statement["subject"][0]
    for name, outer in {
        "subject's name": lambda each: subject(each).update(name="checkpoint"),
        "subject's digest": lambda each: subject(each)["digest"].update(sha256="0" * 64),
        "subject's second digest": lambda each: subject(each)["digest"].update(sha512="0" * 128),
        "a second subject": lambda each: each["subject"].append(dict(each["subject"][0])),
        "no subject": lambda each: each.update(subject=[]),
        "predicate type": lambda each: each.update(predicateType="https://stella-ops.org/org/keyset-event/v1"),
        "unknown predicate type": lambda each: each.update(predicateType="https://stella-ops.org/org/archive-manifest/v2"),
        "type": lambda each: each.update(_type="https://in-toto.io/Statement/v0.1"),
        "a further member": lambda each: each.update(more=1),
    }.items():
        sealed(name, outer=outer)
    for name, write in {
        "spaces": lambda each: json.dumps(each).encode(),
        "a newline": lambda each: compact(each) + b"\n",
        "another order": lambda each: compact({**each, "predicate": dict(reversed(each["predicate"].items()))}),
        "another order around": lambda each: compact(dict(reversed(each.items()))),
        "a member twice": lambda each: compact(each).replace(b'"counts":', b'"origin":"archive.example.org","counts":'),
        "an escape": lambda each: compact(each).replace(b"archive.example.org", b"archive\\u002eexample.org"),
    }.items():
        sealed(f"written with {name}", write=write)


def of_bundles(sink, period, book, office):
    made = book.copy().seal(office)
    good, payload = made.newest.bundles, made.newest.raw
    parts = [parts_of(each) for each in good]
    previous = made.statements[-2].bundles
    old = [parts_of(each) for each in previous]

    def changed(name, bundles, raw=payload, arguments=()):
        book = made.copy()
        book.put_newest(Document(raw, bundles))
        sink.write(f"bundles: {name}", period, book.to_files(), arguments)

    def edited(name, edit, arguments=()):
        value = json.loads(good[0])
        edit(value, value["verificationMaterial"], value["dsseEnvelope"])
        changed(name, [compact(value), good[1]], arguments=arguments)

    changed("as they were", good)
    changed("in another order", good[::-1])
    changed("one missing", good[:1])
    changed("one twice", [*good, good[0]])
    changed("of the statement before", previous)
    changed("none", [])
    changed("with indents", [json.dumps(json.loads(each), indent=1).encode() for each in good])
    changed("the payload has one space more", good, payload + b" ")
    changed("of the same statement as it was signed before", book.newest.bundles)
    key = lambda at: parts[at][0]
    again = lambda at, key_id=None, signature=None, tokens=None: bundle_of(
        payload, key_id or parts[at][0], signature or parts[at][1], parts[at][2] if tokens is None else tokens)
    changed("keys exchanged", [again(0, key_id=key(1)), again(1, key_id=key(0))])
    changed("signatures exchanged", [again(0, signature=parts[1][1]), again(1, signature=parts[0][1])])
    changed("signature of the statement before", [again(0, signature=old[0][1]), good[1]])
    for when, arguments in (("", ()), (", later", LATER)):
        changed(f"tokens exchanged{when}", [again(0, tokens=parts[1][2]), again(1, tokens=parts[0][2])], arguments=arguments)
        changed(f"tokens of the statement before{when}", [again(each, tokens=old[each][2]) for each in (0, 1)], arguments=arguments)
        changed(f"a token of the statement before{when}", [again(0, tokens=old[0][2]), good[1]], arguments=arguments)
        changed(f"a token twice{when}", [again(0, tokens=parts[0][2] * 2), good[1]], arguments=arguments)
        changed(f"a token dropped{when}", [again(0, tokens=[]), good[1]], arguments=arguments)
        changed(f"no DER for tokens{when}", [again(each, tokens=[b"token"]) for each in (0, 1)], arguments=arguments)
        changed(f"a bad token beside{when}", [again(0, tokens=[b"token", *parts[0][2]]), good[1]], arguments=arguments)
        longer = [parts[0][2][0] + b"\0"]
        changed(f"tokens with a byte more{when}", [again(0, tokens=longer), again(1, tokens=[b"token"])], arguments=arguments)
    r, s = ec_numbers(parts[0][1]) if parts[0][1][0] == 0x30 and len(parts[0][1]) < 200 else ec_numbers(parts[1][1])
    at = 0 if len(parts[0][1]) < 200 else 1
    order = {True: 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973}[True]
    other = again(at, signature=ec_der(r, order - s))
    changed("the other signature of ECDSA", [other, good[1 - at]])
    changed("the other signature of ECDSA, later", [other, good[1 - at]], arguments=LATER)
    changed("a signature of ECDSA with a byte more", [again(at, signature=ec_der(r, s) + b"\0"), good[1 - at]])
    for name, edit in {
        "media type with a parameter": lambda b, m, e: b.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.3"),
        "media type v0.2": lambda b, m, e: b.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2"),
        "no media type": lambda b, m, e: b.pop("mediaType"),
        "a further member": lambda b, m, e: b.update(more=1),
        "payload type": lambda b, m, e: e.update(payloadType="application/json"),
        "two signatures": lambda b, m, e: e["signatures"].append(e["signatures"][0]),
        "no signature": lambda b, m, e: e.update(signatures=[]),
        "a keyid in the signature": lambda b, m, e: e["signatures"][0].update(keyid="anything"),
        "no hint": lambda b, m, e: m["publicKey"].pop("hint"),
        "a hint in hex": lambda b, m, e: m["publicKey"].update(hint=key(0).hex()),
        "no log entries": lambda b, m, e: m.pop("tlogEntries"),
        "no timestamps": lambda b, m, e: m.pop("timestampVerificationData"),
        "timestamps null": lambda b, m, e: m.update(timestampVerificationData=None),
        "an empty list of timestamps": lambda b, m, e: m["timestampVerificationData"].update(rfc3161Timestamps=[]),
        "a certificate": lambda b, m, e: m.update(certificate={"rawBytes": ""}),
        "the hint without padding": lambda b, m, e: m["publicKey"].update(hint=m["publicKey"]["hint"].rstrip("=")),
        "the hint with other spare bits": lambda b, m, e: m["publicKey"].update(hint=spare_bits(m["publicKey"]["hint"])),
        "the payload with a newline": lambda b, m, e: e.update(payload=e["payload"] + "\n"),
        "the signature with a newline": lambda b, m, e: e["signatures"][0].update(sig=e["signatures"][0]["sig"] + "\n"),
        "another payload": lambda b, m, e: e.update(payload=b64(payload + b" ")),
    }.items():
        edited(name, edit)


def spare_bits(text):
    """Changes bits of the last letter that are in no byte."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    end = text.rstrip("=")
    return text if end == text else end[:-1] + alphabet[alphabet.index(end[-1]) ^ 1] + text[len(end) :]


def ec_numbers(signature):
    first = 4 + signature[3]
    return int.from_bytes(signature[4:first], "big"), int.from_bytes(signature[first + 2 :], "big")


def ec_der(*numbers):
    parts = (number.to_bytes(number.bit_length() // 8 + 1, "big") for number in numbers)
    body = b"".join(b"\x02" + bytes([len(part)]) + part for part in parts)
    return b"\x30" + bytes([len(body)]) + body


def of_keysets(sink, period, book, office):
    fields = json.loads(book.keysets[-1].raw)
    keys = {each["keyId"]: each for each in fields["keys"]}
    active = [each["keyId"] for each in fields["keys"] if each["status"] == "active" and each["role"] in STATING]
    recovery, checkpoint = (next(each["keyId"] for each in fields["keys"] if each["role"] == role) for role in ("recovery", "checkpoint"))
    fallen = next(at for at, each in enumerate(fields["keys"]) if each["status"] == "compromised")
    by_role = {each["role"]: at for at, each in enumerate(fields["keys"]) if each["status"] == "active"}
    stranger = next(each for each in office.keys if each not in keys)

    def changed(name, *changes, signers=active, anchor="org.anchor", arguments=(), named=None, **how):
        def change(fields):
            for each in changes:
                each(fields)

        new = book.copy().event(office, change, signers, **how)
        try:
            now = json.loads(new.keysets[-1].raw)["keys"]
            wanted = sorted(each["keyId"] for each in now if each["status"] == "active" and each["role"] in STATING)
        except (KeyError, TypeError):
            wanted = active
        new.seal(office, lambda fields: fields.update(signers=wanted), signers=[each for each in wanted if each in office.keys])
        sink.write(f"keyset: {name}", period, new.to_files(), arguments, anchor=anchor)

    def edited(name, path, value, **how):
        changed(name, setting(path, value), **how)

    changed("as it was")
    changed("as it was, later", arguments=LATER)
    changed("as it was, by the anchor of the one before", anchor="anchor3")
    edited("reason, by its own anchor", "reason", "other", anchor="anchor5")
    for number in (0, 1, 3, 4, -1, "2", None):
        edited(f"threshold {number}", "threshold", number)
    for path, value in {
        "type": "stella.keyset/v2", "origin": "archive.example.com", "version": more, "created": "yesterday", "action": "celebrate",
        "action ": "", "reason": "another", "previous": None, "previous.file.sha256": other_digit, "previous.file.sha3": other_digit,
        "previous.evidence": lambda each: each[::-1], "previous.evidence.0.sha3": other_digit, "more": 1, "keys.0.more": 1,
        "authorities": [], "compromised": [], "sunsets": [], "reason ": "", "authorities.0": lambda each: each.upper(),
        "compromised.0.since": "2027-01-01T00:00:00Z", "compromised.0.key": other_digit, "sunsets.0.on": "2041-01-01T00:00:00Z",
        "sunsets.0.algorithm": "P-521", "compromised.0.what": "", "compromised.0.why": "", "sunsets.0.why": "",
    }.items():
        edited(f"{path} changed", path, value)
    edited("authorities and one more", "authorities", lambda each: [*each, "0" * 64])
    edited("a sunset earlier", "sunsets.0.on", "2039-01-01T00:00:00Z")
    edited("a compromise earlier", "compromised.0.since", lambda each: each[:3] + "0" + each[4:])
    edited("a compromise a second time, later", "compromised", lambda each: [*each, {**each[0], "since": "2040-01-01T00:00:00Z"}])
    for algorithm in ("P-256", "P-384", "ML-DSA-65", "Ed25519", "XMSS"):
        for year in ("2020", "2030", "2100"):
            entry = {"algorithm": algorithm, "on": f"{year}-01-01T00:00:00Z"}
            edited(f"a sunset of {algorithm} in {year}", "sunsets", lambda each, entry=entry: [*each, entry])
            edited(f"a sunset of {algorithm} in {year}, later", "sunsets", lambda each, entry=entry: [*each, entry], arguments=LATER)
    for id in active:
        for year in ("2020", "2100"):
            entry = {"key": id, "since": f"{year}-01-01T00:00:00Z", "what": ""}
            edited(f"a compromise of {keys[id]['role']} in {year}", "compromised", lambda each, entry=entry: [*each, entry])
    # Keys.
    edited("a compromised key is gone", "keys", lambda each: each[:fallen] + each[fallen + 1 :])
    edited("a compromised key is active", f"keys.{fallen}.status", "active")
    edited("a compromised key is retired", f"keys.{fallen}.status", "retired")
    edited("a compromised key lasts longer", f"keys.{fallen}.until", "2050-01-01T00:00:00Z")
    edited("a compromised key lasts shorter", f"keys.{fallen}.until", "2026-01-01T00:00:00Z")
    edited("no such status", f"keys.{fallen}.status", "lost")
    edited("no such role", f"keys.{fallen}.role", "king")
    edited("a key without an end", f"keys.{fallen}.until", None)
    edited("keys in another order", "keys", lambda each: each[::-1])
    edited("a key twice", "keys", lambda each: [*each, each[0]])
    for role, at in by_role.items():
        edited(f"{role} lasts longer", f"keys.{at}.until", "2090-01-01T00:00:00Z")
        edited(f"{role} lasts longer, later", f"keys.{at}.until", "2090-01-01T00:00:00Z", arguments=LATER)
        edited(f"{role} ended", f"keys.{at}.until", "2026-01-01T00:00:00Z")
        edited(f"{role} retired", f"keys.{at}.status", "retired")
        edited(f"{role} since earlier", f"keys.{at}.from", "2026-01-01T00:00:00Z")
        edited(f"{role} in another role", f"keys.{at}.role", "recovery" if role != "recovery" else "classical")
        edited(f"{role} with another id", f"keys.{at}.keyId", other_digit)
        edited(f"{role} is another key", f"keys.{at}.publicKey", fields["keys"][at - 1]["publicKey"])
    public = office.keys[stranger].public_key()
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    new = {**fields["keys"][by_role["recovery"]], "keyId": stranger, "publicKey": b64(spki)}
    edited("a new key that signed", "keys", lambda each: [*each, new], signers=[*active, stranger])
    edited("a new key that did not sign", "keys", lambda each: [*each, new])
    edited("a new key in the place of a signer", "keys", lambda each: [*each, new], signers=[active[0], stranger])
    edited("a new key for checkpoints of another kind", "keys", lambda each: [*each, {**new, "role": "checkpoint"}], signers=[*active, stranger])
    edited("a new classical key", "keys", lambda each: [*each, {**new, "role": "classical"}], signers=[*active, stranger])
    edited("a new post-quantum key of another kind", "keys", lambda each: [*each, {**new, "role": "post-quantum"}], signers=[*active, stranger])
    # Who signs the event.
    fallen_id = fields["keys"][fallen]["keyId"]
    for name, signers in {
        "nobody": [], "one": active[:1], "the other": active[1:], "recovery and one": [recovery, active[1]],
        "a compromised key and one": [fallen_id, active[1]], "a compromised key too": [*active, fallen_id],
        "a stranger too": [*active, stranger], "recovery alone": [recovery], "all": [*active, recovery],
        "the checkpoint key and one": [checkpoint, active[1]], "the checkpoint key too": [*active, checkpoint],
    }.items():
        changed(f"signed by {name}", signers=signers)
    changed("a bundle twice", bundles=lambda made: [*made, made[0]])
    changed("the event without tokens", bundles=lambda made: [bundle_of_same(each, []) for each in made])
    changed("the event without tokens, later", bundles=lambda made: [bundle_of_same(each, []) for each in made], arguments=LATER)
    changed("bundles of the event before", bundles=lambda made: book.keysets[-2].bundles)
    # How it is written, and the event.
    changed("compact", write=compact)
    changed("a member twice", write=lambda each: compact(each)[:-1] + b',"threshold":1}')
    changed("no object", write=lambda each: b"[]")
    for name, of in {
        "reason": lambda each: each["predicate"].update(reason="no reason"),
        "order": lambda each: each.update(predicate=dict(reversed(each["predicate"].items()))),
        "sha3": lambda each: each["predicate"]["file"].update(sha3="0" * 64),
        "subject": lambda each: each["subject"][0].update(name="keyset.json"),
        "type": lambda each: each.update(predicateType="https://stella-ops.org/org/archive-manifest/v1"),
    }.items():
        changed(f"event with another {name}", of=of)


def bundle_of_same(bundle, tokens):
    key_id, signature, _ = parts_of(bundle)
    payload = base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"])
    return bundle_of(payload, key_id, signature, tokens)


def of_the_past(sink, period, book):
    def changed(name, change, **how):
        new = book.copy()
        change(new)
        sink.write(f"history: {name}", period, new.to_files(), **how)

    def raw(name, change):
        files = book.copy().to_files()
        value = json.loads(files["history.json"])
        files["history.json"] = (change(value) or compact(value)) + b"\n"
        sink.write(f"history: {name}", period, files)

    changed("as it was", lambda each: None)
    for kind in ("keysets", "statements"):
        for at in range(len(getattr(book, kind))):
            changed(f"{kind} without {at}", lambda each, at=at: getattr(each, kind).pop(at))
            for bundle in range(2):
                changed(f"{kind} {at} without bundle {bundle}", lambda each, at=at: getattr(each, kind)[at].bundles.pop(bundle))
            changed(f"{kind} {at}: bundles in another order", lambda each, at=at: getattr(each, kind)[at].bundles.reverse())
            changed(f"{kind} {at}: a bundle twice", lambda each, at=at: getattr(each, kind)[at].bundles.append(getattr(each, kind)[at].bundles[0]))
        changed(f"{kind} in another order", lambda each: getattr(each, kind).reverse())
        changed(f"{kind} with one twice", lambda each: getattr(each, kind).append(getattr(each, kind)[-1]))
        changed(f"no {kind}", lambda each: getattr(each, kind).clear())
    changed("bundles of two statements exchanged", lambda each: exchange(each.statements))
    changed("bundles of two keysets exchanged", lambda each: exchange(each.keysets))
    for anchor in ("anchor3", "anchor5", "stranger.anchor"):
        changed(f"by {anchor}", lambda each: None, anchor=anchor)
        changed(f"without keyset 1, by {anchor}", lambda each: each.keysets.pop(0), anchor=anchor)
    raw("a further member", lambda each: each.update(more=1))
    raw("a document with a further member", lambda each: each["keysets"][0].update(more=1))
    raw("a document without bundles", lambda each: each["keysets"][0].pop("bundles") and None)
    raw("with spaces", lambda each: json.dumps(each, indent=2).encode())
    raw("a member twice", lambda each: compact(each).replace(b'{"keysets":', b'{"keysets":[],"keysets":'))
    raw("bytes without padding", lambda each: setting("keysets.0.bytes", lambda text: text.rstrip("=") + "A")(each))


def exchange(documents):
    documents[-1].bundles, documents[-2].bundles = documents[-2].bundles, documents[-1].bundles


def of_leaves(sink, period, book, office):
    count = {name: len(book.things[name]) for name in CLASSES}
    rejected, records = count["evidence"], count["evidence"] + count["rejected"]

    def changed(name, edit, seal=True, arguments=(), pack=True, **how):
        new = book.copy()
        edit(new)
        if pack:
            new.pack()
        if seal:
            new.seal(office, **how)
        sink.write(f"leaves: {name}{'' if seal else ', not sealed'}", period, new.to_files(), arguments)

    def line(name, at, old, new):
        def change(book):
            assert old in book.lines[at], (old, book.lines[at])
            book.lines[at] = book.lines[at].replace(old, new, 1)

        changed(name, change, counts=False)

    def exchange(names, a, b):
        def change(book):
            book.lines[a], book.lines[b] = book.lines[b], book.lines[a]
            for name in names:
                things = book.things[name]
                things[0], things[1] = things[1], things[0]

        return change

    for seal in (True, False):
        changed("as they were", lambda book: None, seal)
        changed("two exchanged with their bytes", exchange(["evidence"], 0, 1), seal)
        changed("two exchanged without their bytes", exchange([], 0, 1), seal)
        changed("records exchanged with their bytes", exchange(["records"], records, records + 1), seal)
        changed("a rejected one before a verified one", exchange([], rejected - 1, rejected), seal)
        changed("a record before a rejected one", exchange([], records - 1, records), seal)
        changed("the first is last", lambda book: book.lines.append(book.lines.pop(0)), seal)
        changed("one dropped with its bytes", lambda book: (book.lines.pop(0), book.things["evidence"].pop(0)), seal)
        changed("one dropped without its bytes", lambda book: book.lines.pop(0), seal)
        changed("a record dropped with its bytes", lambda book: (book.lines.pop(), book.things["records"].pop()), seal)
        changed("one twice", lambda book: (book.lines.insert(0, book.lines[0]), book.things["evidence"].insert(0, book.things["evidence"][0])), seal)
        changed("one twice without bytes", lambda book: book.lines.insert(0, book.lines[0]), seal)
        changed("none", lambda book: (book.lines.clear(), [each.clear() for each in book.things.values()]), seal)
    changed("none, and another root", lambda book: (book.lines.clear(), [each.clear() for each in book.things.values()]),
            change=setting("tree.root", other_digit))
    changed("none is verified", lambda book: (book.lines.__delitem__(slice(0, rejected)), book.things["evidence"].clear()))
    changed("a rejected one is verified", lambda book: book.lines.__setitem__(rejected, verified(book.lines[rejected])))
    changed("a rejected one is verified, with its bytes", lambda book: (
        book.lines.__setitem__(rejected, verified(book.lines[rejected])), book.things["evidence"].append(book.things["rejected"].pop(0))))
    changed("a rejected one is verified, counts as before", lambda book: (
        book.lines.__setitem__(rejected, verified(book.lines[rejected])), book.things["evidence"].append(book.things["rejected"].pop(0))), counts=False)
    changed("the bytes of two are exchanged", lambda book: exchange(["evidence"], 0, 0)(book))
    first = book.lines[0]
    size = b'"size":%d' % len(book.things["evidence"][0])
    for name, at, old, new in [
        ("a space", 0, b'"v":1,', b'"v": 1,'), ("v2", 0, b'"v":1', b'"v":2'), ("another kind", 0, b"attestation", b"statement"),
        ("a hold", rejected, b"attestation", b"hold"), ("a prune that was rejected", rejected, b"attestation", b"prune"),
        ("no such status", 0, b"verified", b"accepted"), ("status in capitals", 0, b"verified", b"Verified"),
        ("a reason in capitals", rejected, b"rejected:not", b"rejected:NOT"), ("no reason", rejected, b"rejected:not-a-bundle", b"rejected:"),
        ("a reason of 64 letters", rejected, b"not-a-bundle", b"a" * 64), ("a reason of 65 letters", rejected, b"not-a-bundle", b"a" * 65),
        ("a reason with a blank", rejected, b"not-a-bundle", b"not a bundle"), ("profile 1", 0, b'"profile":0', b'"profile":1'),
        ("profile 00", 0, b'"profile":0', b'"profile":00'), ("profile of a record", records, b'"profile":0', b'"profile":7'),
        ("profile -1", 0, b'"profile":0', b'"profile":-1'), ("size", 0, size, size + b"0"), ("size 0", 0, size, b'"size":0'),
        ("size with a zero in front", 0, b'"size":', b'"size":0'), ("size of two to the 64", 0, size, b'"size":18446744073709551616'),
        ("time null", 0, time_of(first), b'"time":null'), ("time 0", 0, time_of(first), b'"time":0'),
        ("time before 1970", 0, time_of(first), b'"time":-5'), ("time -0", 0, time_of(first), b'"time":-0'),
        ("time with a fraction", 0, time_of(first), time_of(first) + b".5"), ("time +1", 0, time_of(first), b'"time":+1'),
        ("SHA-256", 0, b'"sha256":"', b'"sha256":"0'), ("a further member", 0, b"}", b',"more":1}'), ("no end", 0, b"}", b""),
        ("another end", 0, b"\n", b"\r\n"), ("an empty line", 0, b"\n", b"\n\n"), ("two lines in one", 0, b"\n", b" "),
    ]:
        line(name, at, old, new)
    for member in (b"sha256", b"sha3"):
        at = first.index(b'"%s":"' % member) + len(member) + 4
        line(f"{member.decode()} changed", 0, first[at : at + 64], other_digit(first[at : at + 64].decode()).encode())
        line(f"{member.decode()} in capitals", 0, first[at : at + 64], first[at : at + 64].upper())
    changed("no end of the last line", lambda book: book.lines.__setitem__(-1, book.lines[-1][:-1]), counts=False)
    for name in CLASSES:
        empty = digests(b"")
        at = {"evidence": rejected, "rejected": records, "records": len(book.lines)}[name]
        kind = {"evidence": ("attestation", "verified"), "rejected": ("attestation", "rejected:empty"), "records": ("hold", "verified")}[name]
        new = f'{{"v":1,"kind":"{kind[0]}","status":"{kind[1]}","profile":0,"sha256":"{empty["sha256"]}","sha3":"{empty["sha3"]}","size":0,"time":null}}\n'
        for where, place in (("first", at - count[name]), ("last", at)):
            changed(f"an empty thing in {name}, {where}", lambda book, place=place, new=new: book.lines.insert(place, new.encode()))
        changed(f"a thing of another in {name}", lambda book, name=name: book.things[name].__setitem__(0, book.things[CLASSES[CLASSES.index(name) - 1]][0]))


def verified(line):
    return line.replace(b"rejected:not-a-bundle", b"verified")


def time_of(line):
    return line[line.index(b'"time":') : -2]


def of_frames(sink, period, files, book):
    def changed(name, arguments=(), **new):
        result = dict(files)
        for title, data in ((title.replace("__", "/").replace("_zst", ".zst").replace("_jsonl", ".jsonl"), data) for title, data in new.items()):
            result.pop(title, None)
            if data is not None:
                result[title] = data
        sink.write(f"frames: {name}", period, result, arguments)

    for class_ in ("leaves", *CLASSES):
        title = f"{class_}/00000" + (".jsonl.zst" if class_ == "leaves" else ".zst")
        key = title.replace("/", "__").replace(".", "_")
        next_ = key.replace("00000", "00001")
        things = book.lines if class_ == "leaves" else book.things[class_]
        whole = b"".join(things)
        put = lambda name, data, key=key, class_=class_, **more: changed(f"{class_}: {name}", **{key: data, **more})
        put("packed anew", frame(whole))
        put("one frame each", b"".join(map(frame, things)))
        put("cut within a thing", frame(whole[:5]) + frame(whole[5:]))
        put("two files", frame(things[0]), **{next_: frame(whole[len(things[0]) :])})
        put("cut within a thing, two files", frame(whole[:5]), **{next_: frame(whole[5:])})
        put("a second file with nothing", frame(whole), **{next_: b""})
        put("a second file with an empty frame", frame(whole), **{next_: frame(b"")})
        put("a second file with a gap", frame(things[0]), **{next_.replace("1", "2"): frame(whole[len(things[0]) :])})
        put("a second file twice", frame(whole), **{next_: frame(whole)})
        put("a file too many after a gap", frame(whole), **{next_.replace("1", "2"): frame(whole)})
        put("a file of another name", frame(whole), **{key.replace("00000", "more"): b"more"})
        put("nothing", b"")
        put("an empty frame before", frame(b"") + frame(whole))
        put("an empty frame after", frame(whole) + frame(b""))
        put("a skippable frame before", b"\x50\x2a\x4d\x18\x04\x00\x00\x00more" + frame(whole))
        put("a skippable frame after", frame(whole) + b"\x50\x2a\x4d\x18\x04\x00\x00\x00more")
        put("a byte after", frame(whole) + b"\0")
        put("twice", frame(whole) * 2)
        put("the last thing missing", frame(whole[: -len(things[-1])]))
        put("a byte more", frame(whole + b"\n"))
        put("a byte less", frame(whole[:-1]))
        put("not compressed", whole)
        put("without its content size", zstandard.ZstdCompressor(write_content_size=False).compress(whole))
        put("with a checksum", zstandard.ZstdCompressor(write_checksum=True).compress(whole))
        wrong = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(whole))
        wrong[-1] ^= 1
        put("with a wrong checksum", bytes(wrong))
        put("hardest", zstandard.ZstdCompressor(level=19).compress(whole))
        stored = b"\x28\xb5\x2f\xfd" + b"\xa0" + struct.pack("<I", len(whole)) + struct.pack("<I", len(whole) << 3 | 1)[:3] + whole
        put("stored", stored)
        put("stored, another size", stored[:5] + struct.pack("<I", len(whole) + 1) + stored[9:])
        put("stored, an endless size", stored[:4] + b"\xe0" + b"\xff" * 8 + stored[9:])
        put("stored, a dictionary", stored[:4] + b"\xa1\x05" + stored[5:])
        put("stored, a reserved bit", stored[:4] + b"\xa8" + stored[5:])
        put("stored, an unused bit", stored[:4] + b"\xb0" + stored[5:])
        put("stored, a reserved block", stored[:9] + struct.pack("<I", len(whole) << 3 | 7)[:3] + stored[12:])
        put("stored, not the last block", stored[:9] + struct.pack("<I", len(whole) << 3)[:3] + stored[12:])
        put("stored, an empty block more", stored[:9] + struct.pack("<I", len(whole) << 3)[:3] + stored[12:] + b"\x01\x00\x00")
        put("gone", None)
    end = datetime.datetime.strptime(book.predicate()["period"]["end"], "%Y-%m-%dT%H:%M:%SZ")
    due = end + datetime.timedelta(days=28 * book.predicate()["retention"]["months"])
    for seconds in (-1, 0, 1):
        at = ["--at", f"{due + datetime.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"]
        changed(f"evidence and rejected gone, {seconds} seconds after retention", at, evidence__00000_zst=None, rejected__00000_zst=None)
        changed(f"evidence gone, {seconds} seconds after retention", at, evidence__00000_zst=None)
        changed(f"records gone, {seconds} seconds after retention", at, records__00000_zst=None)
    changed("evidence and rejected gone", evidence__00000_zst=None, rejected__00000_zst=None)
    changed("evidence for rejected", rejected__00000_zst=files["evidence/00000.zst"], evidence__00000_zst=files["rejected/00000.zst"])
    changed("leaves for records", records__00000_zst=files["leaves/00000.jsonl.zst"])


def of_other_files(sink, period, files, book, office):
    def changed(name, title, data, **how):
        result = {each: there for each, there in files.items() if each != title}
        if data is not None:
            result[title] = data
        sink.write(f"{title}: {name}", period, result, **how)

    checkpoint = files["checkpoint.txt"]
    origin, size, root, _ = checkpoint.decode().split("\n")
    changed("another size", "checkpoint.txt", f"{origin}\n{int(size) + 1}\n{root}\n".encode())
    changed("a line more", "checkpoint.txt", checkpoint + b"more\n")
    changed("an empty line more", "checkpoint.txt", checkpoint + b"\n")
    changed("the root in base64url", "checkpoint.txt", checkpoint.replace(b"+", b"-").replace(b"/", b"_").replace(b"=", b""))
    bundles = [name for name in files if name.startswith("checkpoint.txt.")]
    changed("that of the other key", bundles[0], files[bundles[1]])
    changed("of the statement before", bundles[0], book.statements[-2].bundles[0])
    changed("one too many", "checkpoint.txt.00000000.sigstore.json", files[bundles[0]])
    frontier = json.loads(files["frontier.json"])
    roots = frontier["hashes"]
    for name, value in {
        "size": {**frontier, "size": frontier["size"] + 1}, "size less": {**frontier, "size": frontier["size"] - 1},
        "a root less": {**frontier, "hashes": roots[:-1]}, "a root more": {**frontier, "hashes": [*roots, roots[0]]},
        "roots in another order": {**frontier, "hashes": roots[::-1]}, "another root": {**frontier, "hashes": [other_digit(roots[0]), *roots[1:]]},
        "empty": {"size": 0, "hashes": []}, "a further member": {**frontier, "more": 1}, "roots in capitals": {**frontier, "hashes": [each.upper() for each in roots]},
        "a short root": {**frontier, "hashes": [roots[0][:-2], *roots[1:]]}, "size as text": {**frontier, "size": str(frontier["size"])},
        "size with a fraction": {**frontier, "size": float(frontier["size"])}, "no hashes": {"size": frontier["size"]},
    }.items():
        changed(name, "frontier.json", compact(value))
    whole = files["hashes/0"]
    changed("one less", "hashes/0", whole[:-32])
    changed("one more", "hashes/0", whole + whole[:32])
    changed("in another order", "hashes/0", whole[32:64] + whole[:32] + whole[64:])
    changed("there", "hashes/1", whole[:32])
    changed("there", "hashes/zero", whole[:32])
    changed("there", "more", b"more")
    (trust,) = [name for name in files if name.startswith("trust/")]
    changed("there", f"trust/{'0' * 64}.json", files[trust])
    changed("there, no JSON", f"trust/{sha256(b'more')}.json", b"more")
    changed("there, another JSON", f"trust/{sha256(b'{}')}.json", b"{}")
    changed("there", "trust/more.txt", b"more")
    # Trusted roots that the statement names.
    value = json.loads(files[trust])
    for name, change in {
        "as it was": lambda each: None,
        "no authorities": lambda each: each.update(timestampAuthorities=[]),
        "authority twice": lambda each: each["timestampAuthorities"].append(each["timestampAuthorities"][0]),
        "authority not valid yet": lambda each: each["timestampAuthorities"][0].update(validFor={"start": "2040-01-01T00:00:00Z"}),
        "authority no longer valid": lambda each: each["timestampAuthorities"][0].update(validFor={"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}),
        "authority without its root": lambda each: each["timestampAuthorities"][0]["certChain"]["certificates"].pop(),
        "authority without its signer": lambda each: each["timestampAuthorities"][0]["certChain"]["certificates"].pop(0) and None,
        "authority the other way round": lambda each: each["timestampAuthorities"][0]["certChain"]["certificates"].reverse(),
        "authority with a stranger above": lambda each: each["timestampAuthorities"][0]["certChain"]["certificates"].append(
            each["certificateAuthorities"][0]["certChain"]["certificates"][-1]),
    }.items():
        changed_root = copy.deepcopy(value)
        change(changed_root)
        sealed = with_root(book, office, compact(changed_root))
        sink.write(f"trusted root: {name}", period, sealed.to_files(), LATER)
    # The carrier.
    def layers(name, change):
        sink.write(f"carrier: {name}", period, files, layers=change)

    def manifest(name, change):
        sink.write(f"carrier: {name}", period, files, manifest=change)

    layers("in another order", lambda each: each[::-1])
    layers("a layer twice", lambda each: [*each, each[0]])
    layers("a name twice", lambda each: [*each, {**each[-1], "annotations": each[-2]["annotations"]}])
    layers("a layer without a name", lambda each: [*each, {**each[-1], "annotations": {}}])
    layers("a layer of another size", lambda each: [{**each[0], "size": each[0]["size"] + 1}, *each[1:]])
    layers("a layer of a digest that is not there", lambda each: [{**each[0], "digest": "sha256:" + "0" * 64}, *each[1:]])
    layers("a layer of another media type", lambda each: [{**each[0], "mediaType": "text/plain"}, *each[1:]])
    layers("a layer of another digest", lambda each: [{**each[0], "digest": "sha512:" + "0" * 128}, *each[1:]])
    layers("no layers", lambda each: [])
    manifest("another artifact type", lambda each: each.update(artifactType="application/vnd.stella-ops.archive.v2"))
    manifest("no artifact type", lambda each: each.pop("artifactType"))
    manifest("no annotations", lambda each: each.pop("annotations"))
    manifest("other hints", lambda each: each["annotations"].update({"org.stella-ops.archive.sequence": "9"}))
    sink.write("carrier: another name", period, files, label="other")


# ---- Tokens of an authority of our own


def tlv(tag, *parts):
    body = b"".join(parts)
    size = len(body)
    length = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + body


def oid(dotted):
    first, second, *rest = map(int, dotted.split("."))
    body = bytes([40 * first + second])
    for number in rest:
        digits = [number & 127]
        while number := number >> 7:
            digits.insert(0, number & 127 | 128)
        body += bytes(digits)
    return tlv(0x06, body)


SHA = {"sha1": "1.3.14.3.2.26", **{f"sha{256 if at == 1 else 384 if at == 2 else 512}": f"2.16.840.1.101.3.4.2.{at}" for at in (1, 2, 3)}}
CMS = "1.2.840.113549.1.9"


class Authority:
    """A root, perhaps an intermediate, and who signs tokens: as the changes say, else as they should be."""

    def __init__(self, kind="P-256", usages=(x509.ExtendedKeyUsageOID.TIME_STAMPING,), critical=True, valid=None, root_valid=None, ca=True,
                 constraints=True, length=None, middle=False, key_usage=True, issuer_usage=True, stranger=False, extra=None):
        self.kind, now = kind, datetime.datetime(2026, 1, 1)
        always = (datetime.datetime(2020, 1, 1), datetime.datetime(2050, 1, 1))
        self.key = {
            "P-256": lambda: ec.generate_private_key(ec.SECP256R1()), "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
            "P-521": lambda: ec.generate_private_key(ec.SECP521R1()), "Ed25519": ed25519.Ed25519PrivateKey.generate,
            "RSA": lambda: rsa.generate_private_key(65537, 2048), "RSA-1024": lambda: rsa.generate_private_key(65537, 1024),
        }[kind]()
        root_key = ec.generate_private_key(ec.SECP384R1())
        authority = (ca, length) if constraints else None
        root = certificate("root", root_key, "root", root_key, root_valid or always, authority, None, issuer_usage and "sign")
        chain, above = [root], root_key
        if middle:
            above = ec.generate_private_key(ec.SECP256R1())
            chain.insert(0, certificate("middle", above, "root", root_key, always, (True, None), None, "sign"))
        signer = ec.generate_private_key(ec.SECP384R1()) if stranger else above
        named = "middle" if middle else "root"
        leaf = certificate("signer", self.key, named, signer, valid or always, None, (usages, critical) if usages else None, key_usage and "use", extra)
        self.chain = [leaf, *chain]

    def top(self):
        return self.chain[-1].fingerprint(hashes.SHA256()).hex()

    def to_json(self, leaf=True):
        certificates = self.chain if leaf else self.chain[1:]
        raws = [{"rawBytes": b64(each.public_bytes(serialization.Encoding.DER))} for each in certificates]
        return {"subject": {"organization": "x", "commonName": "y"}, "uri": "https://tsa.example", "certChain": {"certificates": raws},
                "validFor": {"start": "2020-01-01T00:00:00Z"}}

    def token(self, signature, **how):
        """Returns a TimeStampResp; `how` says in what it is not as it should be."""
        ask = lambda name, default=None: how.get(name, default)
        sha, digest = ask("sha", "sha256"), ask("digest", "sha256")
        time = ask("time") or f"{datetime.datetime.now(datetime.timezone.utc):%Y%m%d%H%M%SZ}"
        imprint = hashlib.new(sha, signature + ask("of", b"")).digest()
        info = tlv(0x30, tlv(0x02, bytes([ask("version", 1)])), oid("1.2.3"),
                   tlv(0x30, tlv(0x30, oid(SHA[sha]), b"\x05\0"), tlv(0x04, imprint)), tlv(0x02, b"\x2a"), tlv(0x18, time.encode()), ask("more", b""))
        leaf = self.chain[0].public_bytes(serialization.Encoding.DER)
        attribute = lambda kind, *values: tlv(0x30, oid(kind), tlv(0x31, *values))
        attributes = {
            "type": attribute(f"{CMS}.3", oid(ask("type", f"{CMS}.16.1.4"))),
            "digest": attribute(f"{CMS}.4", tlv(0x04, hashlib.new(digest, info + ask("content", b"")).digest())),
            "v2": attribute(f"{CMS}.16.2.47", tlv(0x30, tlv(0x30, tlv(0x30, tlv(0x04, hashlib.sha256(ask("named", leaf)).digest()))))),
            "v2-512": attribute(f"{CMS}.16.2.47", tlv(0x30, tlv(0x30, tlv(0x30, tlv(0x30, oid(SHA["sha512"])), tlv(0x04, hashlib.sha512(leaf).digest()))))),
            "v1": attribute(f"{CMS}.16.2.12", tlv(0x30, tlv(0x30, tlv(0x30, tlv(0x04, hashlib.sha1(ask("named1", leaf)).digest()))))),
            "time": attribute(f"{CMS}.5", tlv(0x17, b"200101000000Z")),
            "unknown": attribute("1.2.3.4", b"\x05\0"),
        }
        signed = b"".join(sorted(attributes[name] for name in ask("attributes", ("type", "digest", "v2"))))
        signature_algorithm, made = self.sign(tlv(0x31, signed), ask("by", digest), ask("algorithm"))
        one = self.chain[0]
        issuer, number = one.issuer.public_bytes(), one.serial_number
        serial = tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))
        sid = ask("sid") or tlv(0x30, ask("issuer", issuer), serial)
        signer = tlv(0x30, tlv(0x02, b"\x01"), sid, tlv(0x30, oid(SHA[digest])), tlv(0xA0, signed) if ask("is_signed", True) else b"",
                     signature_algorithm, tlv(0x04, made))
        carried = b"".join(ask("carried", (leaf,)))
        data = tlv(0x30, tlv(0x02, b"\x03"), tlv(0x31, tlv(0x30, oid(SHA[digest]))),
                   tlv(0x30, oid(ask("content_type", f"{CMS}.16.1.4")), tlv(0xA0, tlv(0x04, info))),
                   tlv(0xA0, carried) if carried else b"", tlv(0x31, *[signer] * ask("signers", 1)))
        return tlv(0x30, tlv(0x30, tlv(0x02, bytes([ask("status", 0)]))), tlv(0x30, oid("1.2.840.113549.1.7.2"), tlv(0xA0, data)))

    def sign(self, message, sha, named):
        sha2 = {"sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}[sha]()
        if self.kind.startswith("P"):
            made, name = self.key.sign(message, ec.ECDSA(sha2)), {"sha1": "1.2.840.10045.4.1"}.get(sha) or f"1.2.840.10045.4.3.{('sha256', 'sha384', 'sha512').index(sha) + 2}"
        elif self.kind.startswith("RSA"):
            made, name = self.key.sign(message, padding.PKCS1v15(), sha2), "1.2.840.113549.1.1." + {"sha1": "5", "sha256": "11", "sha384": "12", "sha512": "13"}[sha]
        else:
            made, name = self.key.sign(message), "1.3.101.112"
        return tlv(0x30, oid(named or name)), made


def certificate(name, key, issuer, issuer_key, valid, authority, usages, usage, extra=None):
    called = lambda text: x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
    builder = x509.CertificateBuilder().subject_name(called(name)).issuer_name(called(issuer)).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(valid[0]).not_valid_after(valid[1])
    if authority:
        builder = builder.add_extension(x509.BasicConstraints(*authority), critical=True)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages[0]), critical=usages[1])
    if usage:
        sign = usage == "sign"
        builder = builder.add_extension(x509.KeyUsage(not sign, False, False, False, False, sign, sign, False, False), critical=True)
    if extra:
        builder = builder.add_extension(*extra)
    return builder.sign(issuer_key, hashes.SHA256())


def of_tokens(sink, period, book, office):
    stamping, code = x509.ExtendedKeyUsageOID.TIME_STAMPING, x509.ExtendedKeyUsageOID.CODE_SIGNING
    (root,) = [data for name, data in book.files.items() if name.startswith("trust/")]
    signers = book.predicate()["signers"]
    old, new = datetime.datetime(2020, 1, 1), datetime.datetime(2026, 6, 1)
    good = Authority()

    def stamped(name, *arguments, **how):
        """Once where a token is asked for and once where none is."""
        for least in (0, 1):
            stamped_with(f"{name}, {least} asked for", least, *arguments, **how)

    def stamped_with(name, least, authority=good, leaf=True, falls=(), json_of=None, known=True, beside=(), times=1, **how):
        value = json.loads(root)
        value["timestampAuthorities"] += [*beside, json_of or authority.to_json(leaf)]
        raw = compact(value)

        def change(fields):
            if known:
                fields["authorities"].append(authority.top())
            fields["compromised"] += [{"key": sha256(spki_of(each)), "since": "2030-01-01T00:00:00Z", "what": "clock"} for each in falls]

        changed = book.copy().event(office, change, signers)
        for title in [title for title in changed.files if title.startswith("trust/")]:
            del changed.files[title]
        changed.files[f"trust/{sha256(raw)}.json"] = raw
        def asking(fields):
            fields["profiles"][0].update(trustedRoot=sha256(raw))
            fields["require"]["timestamps"] = least

        changed.seal(office, asking, tokens=[])
        bundles = []
        for each in changed.newest.bundles:
            key_id, signature, _ = parts_of(each)
            bundles.append(bundle_of(changed.newest.raw, key_id, signature, [authority.token(signature, **how)] * times))
        # The predicate asks for tokens, and was signed as that.
        changed.put_newest(Document(changed.newest.raw, bundles))
        sink.write(f"token: {name}", period, changed.to_files(), LATER)

    stamped("as it should be")
    stamped("of an authority that does not count", known=False)
    stamped_with("one asked for and two there", 1, times=2)
    stamped_with("two asked for, and the same twice", 2, times=2)
    for kind in ("P-384", "P-521", "Ed25519", "RSA", "RSA-1024"):
        stamped(f"by {kind}", Authority(kind), digest="sha512" if kind == "Ed25519" else "sha256")
    stamped("by Ed25519 with SHA-256", Authority("Ed25519"))
    for sha in ("sha1", "sha384", "sha512"):
        stamped(f"imprint by {sha}", sha=sha)
        stamped(f"digest by {sha}", digest=sha)
        stamped(f"digest by SHA-256, signed by {sha}", by=sha)
        stamped(f"RSA, digest by SHA-256, signed by {sha}", Authority("RSA"), by=sha)
    stamped("RSA named by its key", Authority("RSA"), algorithm="1.2.840.113549.1.1.1")
    stamped("RSA named by its key, by SHA-512", Authority("RSA"), algorithm="1.2.840.113549.1.1.1", digest="sha512")
    stamped("ECDSA named by its key", algorithm="1.2.840.10045.2.1")
    stamped("RSA named as ECDSA", Authority("RSA"), algorithm="1.2.840.10045.4.3.2")
    for attributes in (("type", "digest"), ("type", "v2"), ("digest", "v2"), ("type", "digest", "v1"), ("type", "digest", "v1", "v2"),
                       ("type", "digest", "v2-512"), ("type", "digest", "v2", "time", "unknown"), ("type", "type", "digest", "v2"),
                       ("type", "digest", "digest", "v2"), ("type", "digest", "v2", "v2-512")):
        stamped(f"with the attributes {' '.join(attributes)}", attributes=attributes)
    stamped("naming another certificate", named=b"")
    stamped("naming another certificate in the old way", named1=b"", attributes=("type", "digest", "v1"))
    stamped("naming another certificate in the old way too", named1=b"", attributes=("type", "digest", "v1", "v2"))
    stamped("with no signed attributes", is_signed=False)
    stamped("of another message", of=b"x")
    stamped("of another content", content=b"x")
    stamped("of another type in its attributes", type=f"{CMS}.16.1.5")
    stamped("of another type of content", content_type=f"{CMS}.16.1.5")
    stamped("version 2", version=2)
    stamped("two signers", signers=2)
    stamped("no signer", signers=0)
    for status in (1, 2, 5):
        stamped(f"status {status}", status=status)
    for time in ("20260101000000Z", "20190101000000Z", "20460101000000Z", "20460101000001Z", "20251231235959.5Z", "20260101000000.50Z",
                 "20260101000000.Z", "202601010000Z", "20260101000060Z", "20260132000000Z", "20260101000000", "20260101000000+0000",
                 "20260101000000.123456Z", "20260101000000.1234567Z", "20260101000000.1234567891Z", "20260101240000Z"):
        stamped(f"at {time}", time=time)
    stamped("with accuracy, order, nonce", more=tlv(0x30, tlv(0x02, b"\1")) + tlv(0x01, b"\xff") + tlv(0x02, b"\7"))
    stamped("with its authority's name and extensions", more=tlv(0xA0, b"") + tlv(0xA1, b""))
    stamped("with fields that are none", more=tlv(0x04, b"more"))
    stamped("with fields in another order", more=tlv(0x02, b"\7") + tlv(0x30, b""))
    # Certificates.
    leaf = good.chain[0].public_bytes(serialization.Encoding.DER)
    other = Authority()
    stamped("carrying nothing", carried=())
    stamped("carrying nothing, the chain has no signer", leaf=False, carried=())
    stamped("the chain has no signer, it comes along", leaf=False)
    stamped("carrying a stranger too", carried=(leaf, other.chain[0].public_bytes(serialization.Encoding.DER)))
    stamped("carrying a stranger alone", carried=(other.chain[0].public_bytes(serialization.Encoding.DER),))
    stamped("carrying a key that fell", carried=(leaf, other.chain[0].public_bytes(serialization.Encoding.DER)), falls=[other.chain[0]])
    stamped("carrying what is no certificate", carried=(leaf, tlv(0x30, b"")))
    stamped("carrying another kind of certificate", carried=(leaf, tlv(0xA1, b"")))
    for at, whose in ((0, "signer"), (1, "root")):
        stamped(f"the {whose}'s key fell", falls=[good.chain[at]])
    middle = Authority(middle=True)
    stamped("with a certificate between", middle)
    stamped("with a certificate between whose key fell", middle, falls=[middle.chain[1]])
    stamped("with a certificate between, root and it exchanged", middle, json_of={**middle.to_json(), "certChain": {
        "certificates": [middle.to_json()["certChain"]["certificates"][at] for at in (0, 2, 1)]}})
    stamped("with a certificate between that is missing", middle, json_of={**middle.to_json(), "certChain": {
        "certificates": [middle.to_json()["certChain"]["certificates"][at] for at in (0, 2)]}})
    stamped("ending below its root", middle, known=False, json_of={**middle.to_json(), "certChain": {"certificates": middle.to_json()["certChain"]["certificates"][:2]}})
    below = {**good.to_json(), "certChain": {"certificates": [*good.to_json()["certChain"]["certificates"], *other.to_json()["certChain"]["certificates"][1:]]}}
    stamped("by a chain that counts, another one before it", beside=[below])
    for name, how in {
        "no usage": {"usages": None}, "another usage": {"usages": (code,)}, "another usage too": {"usages": (stamping, code)},
        "usage not critical": {"critical": False}, "expired": {"valid": (old, new)}, "not valid yet": {"valid": (datetime.datetime(2040, 1, 1), datetime.datetime(2050, 1, 1))},
        "root expired": {"root_valid": (old, new)}, "root is no authority": {"ca": False}, "root says nothing": {"constraints": False},
        "root of length 0": {"length": 0}, "root of length 0, one between": {"length": 0, "middle": True}, "root of length 1, one between": {"length": 1, "middle": True},
        "no key usage": {"key_usage": False}, "no key usage of the root": {"issuer_usage": False}, "signed by another key": {"stranger": True},
        "an unknown critical extension": {"extra": (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True)},
        "an unknown extension": {"extra": (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), False)},
        "an authority itself": {"extra": (x509.BasicConstraints(True, None), True)},
    }.items():
        stamped(f"certificate: {name}", Authority(**how))


def spki_of(certificate):
    return certificate.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def of_anchors(sink, source, folder, book):
    text = (folder / "org.anchor").read_text()
    head, first, second = (lambda parts: (parts[0], *parts[1:]))(text.split("-----BEGIN PUBLIC KEY-----"))
    begin = "-----BEGIN PUBLIC KEY-----"
    keys = json.loads(book.keysets[0].raw)["keys"]
    pem = {each["role"]: f"\n{each['publicKey']}\n-----END PUBLIC KEY-----\n" for each in keys}
    for at, (name, changed) in enumerate({
        "as it was": text, "another origin": text.replace("archive.example.org", "archive.example.com"), "another version": text.replace("/v1", "/v2"),
        "another keyset": text.replace("keyset: sha256:", "keyset: sha256:0").replace(head[-2], "", 0)[:-1], "one key": head + begin + first,
        "keys exchanged": head + begin + second + begin + first, "a key twice": head + begin + first + begin + first,
        "recovery for classical": head + begin + pem["recovery"] + begin + second, "keys in long lines": head + begin + pem["classical"] + begin + pem["post-quantum"],
        "a key more": text + begin + first, "no keys": head, "lines exchanged": "\n".join([head.split("\n")[0], *head.split("\n")[2:0:-1], ""]) + text[len(head) :],
        "empty": "",
    }.items()):
        anchor = f"changed-{at}.anchor"
        (folder / anchor).write_text(changed)
        sink.case(f"anchor: {name}", source.folder, anchor, [])


# ---- What is good


def good_cases(sink, source, folder):
    periods = [each["annotations"][NAME] for each in source.index["manifests"]]
    dates = ["2025-01-01T00:00:00Z", "2027-06-01T00:00:00Z", "2030-06-01T00:00:00Z", "2046-01-01T00:00:00Z"]
    fell = datetime.datetime.now(datetime.timezone.utc)
    sunsets = ["P-256=2020-01-01T00:00:00Z", "P-384=2020-01-01T00:00:00Z", "ML-DSA-65=2020-01-01T00:00:00Z", "P-256=2040-01-01T00:00:00Z"]
    sunsets += [f"P-256={fell - datetime.timedelta(seconds=each):%Y-%m-%dT%H:%M:%SZ}" for each in range(0, 16, 3)]
    for period in periods:
        sink.write(f"{period} as it was made", period, source.files(period))
        alone = sink.cases[-1]["archive"]
        for anchor in ("org.anchor", "anchor3", "anchor5", "stranger.anchor"):
            # By itself, and beside newer ones, whose past says more.
            def add(*arguments):
                for place, where in (("alone", alone), ("in its place", source.folder)):
                    sink.case(f"{period} {place} by {anchor} {' '.join(arguments)}", where, anchor, ["--period", period, *arguments])

            add()
            for date in dates:
                add("--at", date)
            for sunset in sunsets if anchor != "stranger.anchor" else []:
                add("--sunset", sunset)
                add("--sunset", sunset, "--at", dates[-1])
            add("--sunset", sunsets[0], "--sunset", sunsets[2])
            add("--sunset", sunsets[0], "--sunset", sunsets[1], "--sunset", sunsets[2])
            add("--at", "2040-01-01T00:00:00Z", "--sunset", sunsets[3])
            add("--at", "2039-12-31T23:59:59Z", "--sunset", sunsets[3])
    sink.case("the newest", source.folder, "org.anchor", [])
    for name in sorted(folder.glob("*.taken-out.json")):
        for arguments in ([], LATER, [*LATER, "--sunset", sunsets[3]]):
            sink.case(f"{name.name} {' '.join(arguments)}", name, "org.anchor", arguments)


def of_taken_out(sink, folder, out):
    for path in sorted(folder.glob("*.taken-out.json")):
        random_, whole = random.Random(3), json.loads(path.read_bytes())

        def changed(name, change):
            value = copy.deepcopy(whole)
            change(value)
            place = out / f"taken-out-{len(sink.cases)}.json"
            place.write_bytes(compact(value))
            sink.case(f"taken out: {name}", place, "org.anchor", [])

        changed("as it was", lambda each: None)
        place = "attestations.0.archive"
        for path, value in {
            f"{place}.index": more, f"{place}.size": more, f"{place}.leaf": lambda each: each.replace("verified", "rejected:other"),
            f"{place}.path": lambda each: each[:-1], f"{place}.path.0": lambda each: b64(bytes(32)),
            "attestations.0.bundle": lambda each: b64(base64.b64decode(each) + b" "), "archive.statements": [], "archive.keysets": [],
            "archive.statements.0.bundles": lambda each: each[::-1], "trustedRoots": [],
            "trustedRoots.0.digest": other_digit,
        }.items():
            changed(f"{path} changed", setting(path, value))
        changed("no leaf", setting(f"{place}.leaf", ""))
        changed("no bytes, as after retention", setting("attestations.0.bundle", ""))
        changed("an index beyond the tree", lambda each: each["attestations"][0]["archive"].update(index=each["attestations"][0]["archive"]["size"]))
        changed("a longer path", lambda each: each["attestations"][0]["archive"]["path"].append(b64(bytes(32))))
        for round_ in range(6):
            for path in (f"{place}.leaf", "attestations.0.bundle"):
                def bend(each, path=path):
                    if path.endswith("bundle"):
                        return b64(flipped(base64.b64decode(each), random_)[0])
                    at = random_.randrange(len(each))
                    return each[:at] + chr(ord(each[at]) ^ 1) + each[at + 1 :]

                changed(f"{path}, {round_}", setting(path, bend))


# ---- What the verifier thinks


def load(path):
    spec = importlib.util.spec_from_file_location("verify", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def judge(case):
    arguments = case["arguments"]
    named = [(arguments[at], arguments[at + 1]) for at in range(0, len(arguments), 2)]
    now, period, sunsets = datetime.datetime.now(datetime.timezone.utc), None, {}
    for name, value in named:
        if name == "--at":
            now = VERIFIER.to_time(value)
        elif name == "--period":
            period = value
        else:
            algorithm, _, date = value.partition("=")
            sunsets[algorithm] = VERIFIER.to_time(date)
    try:
        said = VERIFIER.verify(Path(case["archive"]), (KEYS / case["anchor"]).read_text(), now, sunsets, period)
    except VERIFIER.Refused as refusal:
        return {**case, "refused": str(refusal)}
    except Exception as crash:
        return {**case, "crashed": f"{type(crash).__name__}: {crash}"}
    return {**case, "existed": said["existed"]}


def main():
    global VERIFIER, KEYS
    verifier, archive, keys, timestamps, out = sys.argv[1:]
    VERIFIER, KEYS = load(verifier), Path(keys)
    source = Source(Path(archive))
    sink, office = Sink(Path(out), source), Office(KEYS, timestamps)
    period = source.index["manifests"][-1]["annotations"][NAME]
    files = source.files(period)
    book = Book(files, VERIFIER)
    # Log entries are read by Sigstore's rules, which are another format's.
    book.put_newest(Document(book.newest.raw, [without_log_entries(each) for each in book.newest.bundles]))
    files = book.to_files()
    good_cases(sink, source, KEYS)
    of_taken_out(sink, KEYS, Path(out))
    single_bytes(sink, period, files, book, office)
    of_statements(sink, period, book, office)
    of_bundles(sink, period, book, office)
    of_tokens(sink, period, book, office)
    of_anchors(sink, source, KEYS, book)
    of_keysets(sink, period, book, office)
    of_the_past(sink, period, book)
    of_leaves(sink, period, book, office)
    of_frames(sink, period, files, book)
    of_other_files(sink, period, files, book, office)
    with multiprocessing.get_context("fork").Pool() as pool:
        for answer in pool.imap(judge, sink.cases, chunksize=8):
            print(json.dumps(answer))


if __name__ == "__main__":
    main()
