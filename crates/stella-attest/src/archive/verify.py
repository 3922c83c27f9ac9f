#!/usr/bin/env python3
"""Verifies an archive of attestations by its anchor alone. The rules are in FORMAT.md; § below means a section of it.

    python3 verify.py ARCHIVE --anchor org.anchor [--period NAME] [--at TIME] [--sunset NAME=TIME]... [--json]

ARCHIVE is an OCI layout, a folder with an archive's files by their names, or a file that was taken out of an archive (§11).
--period   the archive in the layout; without it, the one with the longest history
--at       the time to judge at, such as 2046-01-01T00:00:00Z; without it, now
--sunset   believe an algorithm no longer from a time on, such as P-256=2040-01-01T00:00:00Z

Ends with 0 when the archive is good, with 12 when it is refused, and with 2 when it could not be judged.

It says what was archived, by whom and when ("archived" in §10). It does not verify the attestations themselves again; any
Sigstore client does that. It reads an archive, writes nothing and asks nobody. It needs Python 3.9 or newer, the package
`cryptography` in a version with ML-DSA, and for Zstandard one of: Python 3.14, the package `zstandard`, the command `zstd`.
"""

import argparse
import base64
import datetime
import hashlib
import json
import re
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

try:
    from cryptography.hazmat.primitives.asymmetric import mldsa
except ImportError:
    mldsa = None


class Refused(Exception):
    """The archive is not what the format asks for."""


class Unable(Exception):
    """This machine cannot judge."""


def require(condition, message):
    if not condition:
        raise Refused(message)


# ---- Values ------------------------------------------------------------------------------------------------------------


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def digests(data):
    return {"sha256": sha256(data), "sha3": hashlib.sha3_256(data).hexdigest()}


def from_base64(text):
    require(type(text) is str and text.isascii(), "no base64")
    raw = base64.b64decode(text)
    require(base64.b64encode(raw).decode() == text, "no base64 of RFC 4648 §4")
    return raw


def from_json(raw, what):
    def once(pairs):
        require(len(dict(pairs)) == len(pairs), f"{what}: a member is there twice")
        return dict(pairs)

    def no_fraction(text):
        raise Refused(f"{what}: {text} is no integer")

    try:
        value = json.loads(raw.decode(), object_pairs_hook=once, parse_float=no_fraction, parse_constant=no_fraction)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise Refused(f"{what} is no JSON: {error}") from None
    return value


def member(value, name, *kinds):
    require(type(value) is dict and name in value, f"{name} is missing")
    require(type(value[name]) in kinds, f"{name} is not what it should be")
    require(kinds != (int,) or 0 <= value[name] < 2**63, f"{name} is out of range")
    return value[name]


def require_members(value, names, what):
    """Requires exactly these members."""
    require(type(value) is dict and set(value) == set(names.split()), f"{what} has other members than it should")


def hexadecimal(value, name):
    text = member(value, name, str)
    require(re.fullmatch("[0-9a-f]{64}", text), f"{name} is no digest")
    return text


NEVER = datetime.datetime.max.replace(tzinfo=datetime.timezone.utc)
CLOCKS = datetime.timedelta(minutes=5)  # so much clocks may differ
MONTH = datetime.timedelta(days=28)
BEGINNING = datetime.datetime.min.replace(tzinfo=datetime.timezone.utc)


def to_time(text):
    require(type(text) is str and re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", text), f"{text} is no time")
    try:
        return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        raise Refused(f"{text} is no time") from None


def to_text(time):
    fraction = f".{time.microsecond:06}".rstrip("0") if time.microsecond else ""
    return f"{time:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def to_instant(text):
    """Reads a time of a trusted root: RFC 3339, perhaps with a fraction."""
    return datetime.datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*", lambda found: found[1].ljust(7, "0"), text).replace("Z", "+00:00"))


# ---- DER, as much of it as tokens and keys need ----------------------------------------------------------------------------

Element = namedtuple("Element", "tag content whole")


def der(data):
    """Returns the elements that stand one after the other in these bytes."""
    elements, at = [], 0
    while at < len(data):
        require(data[at] & 31 != 31 and at + 1 < len(data), "DER: no element")
        length, start = data[at + 1], at + 2
        if length > 127:
            count = length - 128
            length = int.from_bytes(data[start : start + count], "big")
            require(1 <= count <= 4 and length > 127 and length >> 8 * (count - 1), "DER: no shortest length")
            start += count
        require(start + length <= len(data), "DER: cut off")
        elements.append(Element(data[at], data[start : start + length], data[at : start + length]))
        at = start + length
    return elements


def inside(element, tag, least=0):
    require(element.tag == tag, f"DER: {element.tag:#x} where {tag:#x} should be")
    parts = der(element.content)
    require(len(parts) >= least, "DER: too little")
    return parts


def oid(element):
    require(element.tag == 0x06, "DER: no name of an algorithm or a type")
    return element.content


def only(elements):
    require(len(elements) == 1, "DER: not exactly one element")
    return elements[0]


# ---- Keys and their signatures (§3) ------------------------------------------------------------------------------------------

EC, RSA = bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a864886f70d010101")
KINDS = {
    (EC, bytes.fromhex("2a8648ce3d030107")): "P-256",
    (EC, bytes.fromhex("2b81040022")): "P-384",
    (EC, bytes.fromhex("2b81040023")): "P-521",
    (bytes.fromhex("2b6570"), None): "Ed25519",
    (bytes.fromhex("608648016503040311"), None): "ML-DSA-44",
    (bytes.fromhex("608648016503040312"), None): "ML-DSA-65",
    (bytes.fromhex("608648016503040313"), None): "ML-DSA-87",
}
ALGORITHMS = [*KINDS.values(), "RSA"]
SHA2 = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
ROLES = {"classical": ["P-256", "P-384"], "post-quantum": ["ML-DSA-65", "ML-DSA-87"]}
ROLES.update({"recovery": ALGORITHMS, "checkpoint": ["Ed25519"]})


def algorithm_of(public_key):
    """Returns the name of a SubjectPublicKeyInfo's algorithm, or none for one that the format does not name."""
    algorithm = inside(inside(only(der(public_key)), 0x30, 2)[0], 0x30, 1)
    if algorithm[0].content == RSA:
        return "RSA"
    return KINDS.get((algorithm[0].content, algorithm[1].content if len(algorithm) > 1 else None))


def is_signed(public_key, message, signature, sha2=None):
    """Says whether this signature of the message is good. `sha2` is the hash where the kind of the key does not say it."""
    kind = algorithm_of(public_key)
    if mldsa is None and kind in ("ML-DSA-44", "ML-DSA-65", "ML-DSA-87"):
        raise Unable("cannot verify ML-DSA with this version of the package cryptography")
    sha2 = SHA2[sha2 or {"P-384": "sha384", "P-521": "sha512"}.get(kind, "sha256")]
    try:
        key = load_der_public_key(public_key)
        if kind in ("P-256", "P-384", "P-521"):
            key.verify(signature, message, ec.ECDSA(sha2))
        elif kind == "RSA":
            key.verify(signature, message, padding.PKCS1v15(), sha2)
        elif kind is not None:
            key.verify(signature, message)
        return kind is not None
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False


Signature = namedtuple("Signature", "key signature tokens")  # the key's id, the bytes, the tokens as they are
PAYLOAD_TYPE = "application/vnd.in-toto+json"
BUNDLE_TYPES = ["application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.dev.sigstore.bundle+json;version=0.3"]
MATERIAL = {"publicKey", "tlogEntries", "timestampVerificationData"}


def signatures_of(bundles, payload, what):
    """Returns the signatures of a document by the ids of the keys, not yet verified."""
    found = {}
    for raw in bundles:
        bundle = from_json(raw, f"{what}: a bundle")
        require_members(bundle, "mediaType verificationMaterial dsseEnvelope", f"{what}: a bundle")
        require(member(bundle, "mediaType", str) in BUNDLE_TYPES, f"{what}: no bundle v0.3")
        material = member(bundle, "verificationMaterial", dict)
        require(set(material) <= MATERIAL, f"{what}: a bundle has other material")
        key = from_base64(member(member(material, "publicKey", dict), "hint", str))
        envelope = member(bundle, "dsseEnvelope", dict)
        require(member(envelope, "payloadType", str) == PAYLOAD_TYPE, f"{what}: a bundle signs another type")
        require(from_base64(member(envelope, "payload", str)) == payload, f"{what}: a bundle signs something else")
        signatures = member(envelope, "signatures", list)
        require(len(signatures) == 1, f"{what}: a bundle has not one signature")
        stamps = material.get("timestampVerificationData") or {}
        stamps = member(stamps, "rfc3161Timestamps", list) if "rfc3161Timestamps" in stamps else []
        tokens = [from_base64(member(stamp, "signedTimestamp", str)) for stamp in stamps]
        require(len(key) == 32 and key.hex() not in found, f"{what}: a key signs twice, or is no key's id")
        found[key.hex()] = Signature(key.hex(), from_base64(member(signatures[0], "sig", str)), tokens)
    return found


def require_signed(signature, key, payload, what):
    message = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
    require(is_signed(key.public, message, signature.signature), f"{what}: the signature of {key.id} is not good")


# ---- The anchor (§2) -----------------------------------------------------------------------------------------------------

Anchor = namedtuple("Anchor", "origin keyset keys")


def anchor_of(text):
    head = re.match(r"stella-org-anchor/v1\norigin: (.+)\nkeyset: sha256:([0-9a-f]{64})\n", text)
    require(head, "the anchor is no stella-org-anchor/v1")
    pem = re.findall(r"-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END PUBLIC KEY-----", text[head.end() :])
    require(len(pem) == 2, "the anchor has not two public keys")
    return Anchor(head[1], head[2], [sha256(from_base64("".join(key.split()))) for key in pem])


# ---- Keysets (§3) --------------------------------------------------------------------------------------------------------

Key = namedtuple("Key", "id role public start until status")
MEMBERS = "type origin version created action reason previous threshold keys authorities compromised sunsets"
ACTIONS = ["add", "authorities", "compromise", "create", "destroy", "extend", "retire", "rotate", "sunset"]
Keyset = namedtuple("Keyset", "file bundles origin version threshold keys authorities compromised sunsets signatures")


def document_of(value):
    require_members(value, "bytes bundles", "a document")
    bundles = [from_base64(bundle) for bundle in member(value, "bundles", list)]
    return from_base64(member(value, "bytes", str)), bundles


def evidence_of(bundles):
    return sorted(map(digests, bundles), key=lambda pair: pair["sha256"])


def key_of(value):
    require_members(value, "keyId role publicKey from until status", "a key")
    public, role = from_base64(member(value, "publicKey", str)), member(value, "role", str)
    require(hexadecimal(value, "keyId") == sha256(public), "a key's id is not its digest")
    require(algorithm_of(public) in ROLES.get(role, []), f"a key is not of its role {role}")
    status = member(value, "status", str)
    require(status in ("active", "retired", "compromised", "destroyed"), f"no status: {status}")
    return Key(sha256(public), role, public, to_time(value["from"]), to_time(value["until"]), status)


def deciders(keyset):
    """Returns the keys that have a say in the next event."""
    return [key for key in keyset.keys.values() if key.status == "active" and key.role != "checkpoint"]


def earliest(entries, name, date, members):
    found = {}
    for entry in entries:
        require_members(entry, members, "an entry")
        what, when = member(entry, name, str), to_time(member(entry, date, str))
        found[what] = min(when, found.get(what, NEVER))
    return found


def keyset_of(value, number, previous):
    file, bundles = document_of(value)
    what = f"keyset {number}"
    fields = from_json(file, what)
    require_members(fields, MEMBERS, what)
    require(member(fields, "type", str) == "stella.keyset/v1", f"{what} is of another type")
    require(member(fields, "version", int) == number, f"{what} has another version")
    to_time(member(fields, "created", str))
    keys = [key_of(key) for key in member(fields, "keys", list)]
    require(len({key.id for key in keys}) == len(keys), f"{what} has a key twice")
    require(member(fields, "action", str) in ACTIONS, f"{what} has another action")
    compromised = earliest(member(fields, "compromised", list), "key", "since", "key since what")
    sunsets = earliest(member(fields, "sunsets", list), "algorithm", "on", "algorithm on")
    require(all(re.fullmatch("[0-9a-f]{64}", one) for one in [*compromised, *member(fields, "authorities", list)]), f"{what}: no digest")
    # The event's bytes. JSON escapes only what it must, as RFC 8259 §7 has it, and the short way where there is one.
    event = {"action": fields["action"], "file": digests(file), "origin": member(fields, "origin", str)}
    event.update(reason=member(fields, "reason", str), version=number)
    subject = [{"name": f"keyset-{number}.json", "digest": {"sha256": sha256(file)}}]
    event = {"_type": "https://in-toto.io/Statement/v1", "subject": subject,
             "predicateType": "https://stella-ops.org/org/keyset-event/v1", "predicate": event}
    payload = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    keyset = Keyset(
        file, bundles, fields["origin"], number, member(fields, "threshold", int), {key.id: key for key in keys},
        set(fields["authorities"]), compromised, sunsets,
        signatures_of(bundles, payload, what))
    for role in ("classical", "post-quantum"):
        require(any(key.role == role and key.status == "active" for key in keys), f"{what} has no active {role} key")
    active = deciders(keyset)
    require(0 < keyset.threshold <= len(active), f"{what} has a threshold that no keys reach")
    before = member(fields, "previous", dict, type(None))
    if previous is None:
        require(before is None, f"{what} is the first and names one before")
    else:
        named = {"file": digests(previous.file), "evidence": evidence_of(previous.bundles)}
        require(before == named, f"{what} does not name the one before")
        require_follows(keyset, previous, what)
    # Every signature is good, by a key of the keyset before or of this one.
    known = {**keyset.keys, **(previous.keys if previous else {})}
    for signature in keyset.signatures.values():
        require(signature.key in known, f"{what} is signed by a stranger")
        require_signed(signature, known[signature.key], payload, what)
    return keyset


def require_follows(keyset, previous, what):
    require(keyset.origin == previous.origin, f"{what} has another origin")
    for id, old in previous.keys.items():
        require(id in keyset.keys, f"{what} has lost the key {id}")
        new = keyset.keys[id]
        require((new.role, new.start) == (old.role, old.start), f"{what} has changed the key {id}")
        ended = old.status != "active"
        require(not ended or (new.status != "active" and new.until <= old.until), f"{what} revives the key {id}")
    for old, new in ((previous.compromised, keyset.compromised), (previous.sunsets, keyset.sunsets)):
        require(all(new.get(name, NEVER) <= date for name, date in old.items()), f"{what} takes a fall back")
    require(previous.authorities <= keyset.authorities, f"{what} has lost an authority")


# ---- Statements (§3, §4) ---------------------------------------------------------------------------------------------------

Statement = namedtuple("Statement", "payload bundles fields size root start counts keyset signatures")


SHAPES = {
    "": "origin sequence period tree range previous counts profiles keyset signers require coverage retention created",
    "period": "name start end", "tree": "size root", "range": "start end sha3", "counts": "verified rejected records",
    "profiles": "trustedRoot policy verifier", "keyset": "version file evidence", "require": "timestamps",
    "coverage": "log from to archived missing", "retention": "months",
}


def at(fields, place):
    """Returns the objects at a place of the predicate."""
    found = fields if place == "" else fields.get(place)
    return found if type(found) is list else [found]


def statement_of(value, number, previous, keysets):
    payload, bundles = document_of(value)
    what = f"statement {number}"
    outer = from_json(payload, what)
    require(member(outer, "_type", str) == "https://in-toto.io/Statement/v1", f"{what} is no in-toto statement")
    kind = "https://stella-ops.org/org/archive-manifest/v1"
    require(member(outer, "predicateType", str) == kind, f"{what} is of another type")
    fields = member(outer, "predicate", dict)
    for place, names in SHAPES.items():
        for one in at(fields, place):
            require_members(one, names, what)
    # There is one way to write it.
    written = {name: outer[name] for name in ("_type", "subject", "predicateType")}
    written["predicate"] = json.loads(json.dumps(fields), object_pairs_hook=lambda pairs: dict(sorted(pairs)))
    require(json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode() == payload, f"{what} is written in another way")
    tree, reach, counts = (member(fields, name, dict) for name in ("tree", "range", "counts"))
    size, root = member(tree, "size", int), bytes.fromhex(hexadecimal(tree, "root"))
    # 1. Its place.
    require(member(fields, "sequence", int) == number, f"{what} has another sequence")
    start, before = previous.size if previous else 0, None
    if previous:
        before = {"statement": digests(previous.payload), "evidence": evidence_of(previous.bundles)}
    require(member(fields, "previous", dict, type(None)) == before, f"{what} does not name the one before")
    require(member(reach, "start", int) == start, f"{what} does not begin where the one before ended")
    require(member(reach, "end", int) == size >= start, f"{what}: range and tree differ")
    counts = [member(counts, name, int) for name in ("verified", "rejected", "records")]
    require(sum(counts) == size - start, f"{what}: counts and range differ")
    require(not previous or size > start or root == previous.root, f"{what} has another tree of the same size")
    # 2. Its keyset.
    named = member(fields, "keyset", dict)
    version = member(named, "version", int)
    require(1 <= version <= len(keysets), f"{what}: its keyset is not in the history")
    keyset = keysets[version - 1]
    expected = {"version": version, "file": digests(keyset.file), "evidence": evidence_of(keyset.bundles)}
    require(named == expected, f"{what}: its keyset is another one")
    require(previous is None or version >= previous.keyset.version, f"{what} goes back to an earlier keyset")
    require(member(fields, "origin", str) == keyset.origin, f"{what} has another origin")
    # 3. Its subject.
    subject = [{"name": "checkpoint.txt", "digest": {"sha256": sha256(checkpoint_of(keyset.origin, size, root))}}]
    require(member(outer, "subject", list) == subject, f"{what}: its subject is not its tree's checkpoint")
    # 4. Its signatures.
    signatures = signatures_of(bundles, payload, what)
    active = [key.id for key in keyset.keys.values() if key.status == "active" and key.role in ("classical", "post-quantum")]
    signers = member(fields, "signers", list)
    require(signers == sorted(active), f"{what}: the signers are not the keyset's active keys")
    require(sorted(signatures) == signers, f"{what} is not signed by its signers")
    least = member(member(fields, "require", dict), "timestamps", int)
    for signature in signatures.values():
        require_signed(signature, keyset.keys[signature.key], payload, what)
        signers = {signer_of(token, signature.signature) for token in signature.tokens} - {None}
        require(len(signers) >= least, f"{what}: a signature has not {least} timestamps")
    # 5. What else it says.
    period = member(fields, "period", dict)
    for text in (member(period, "start", str), member(period, "end", str), member(fields, "created", str)):
        to_time(text)
    member(period, "name", str), hexadecimal(reach, "sha3"), member(fields["retention"], "months", int)
    require(fields["retention"]["months"] < 2**32, f"{what}: retention is out of range")
    for profile in member(fields, "profiles", list):
        hexadecimal(profile, "trustedRoot"), member(profile, "verifier", str)
        require(profile["policy"] is None or hexadecimal(profile, "policy"), f"{what} has no policy's digest")
    for one in member(fields, "coverage", list):
        member(one, "log", str), [member(one, name, int) for name in ("from", "to", "archived", "missing")]
    return Statement(payload, bundles, fields, size, root, start, counts, keyset, signatures)


def checkpoint_of(origin, size, root):
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n".encode()


def history_of(value):
    keysets, statements = [], []
    require_members(value, "keysets statements", "the history")
    for document in member(value, "keysets", list):
        keysets.append(keyset_of(document, len(keysets) + 1, keysets[-1] if keysets else None))
    for document in member(value, "statements", list):
        statements.append(statement_of(document, len(statements), statements[-1] if statements else None, keysets))
    require(keysets and statements, "the history has no keyset or no statement")
    return keysets, statements


# ---- Timestamps (§3, §9; RFC 3161, RFC 5652) ---------------------------------------------------------------------------------

# A token that is well signed: its time, the SHA-256 of the topmost certificate, and every public key that it rests on.
Stamp = namedtuple("Stamp", "time authority keys")
# One that was read: its time, the TSTInfo's bytes, the certificates it carries, the parts of its SignerInfo.
Token = namedtuple("Token", "time info certificates signer")

SIGNED_DATA, TST_INFO = bytes.fromhex("2a864886f70d010702"), bytes.fromhex("2a864886f70d0109100104")
CONTENT_TYPE, MESSAGE_DIGEST = bytes.fromhex("2a864886f70d010903"), bytes.fromhex("2a864886f70d010904")
SIGNING_CERTIFICATE = bytes.fromhex("2a864886f70d010910020c")
SIGNING_CERTIFICATE_V2 = bytes.fromhex("2a864886f70d010910022f")
HASHES = {bytes.fromhex(f"6086480165030402{last}"): name for last, name in (("01", "sha256"), ("02", "sha384"), ("03", "sha512"))}
SIGNATURES = {  # the kind of key and the hash; none where the digest algorithm says it
    RSA: ("RSA", None), bytes.fromhex("2b6570"): ("Ed25519", None),
    bytes.fromhex("2a864886f70d01010b"): ("RSA", "sha256"), bytes.fromhex("2a8648ce3d040302"): ("P-", "sha256"),
    bytes.fromhex("2a864886f70d01010c"): ("RSA", "sha384"), bytes.fromhex("2a8648ce3d040303"): ("P-", "sha384"),
    bytes.fromhex("2a864886f70d01010d"): ("RSA", "sha512"), bytes.fromhex("2a8648ce3d040304"): ("P-", "sha512"),
}


def hash_of(algorithm):
    name = HASHES.get(oid(inside(algorithm, 0x30, 1)[0]))
    require(name, "a token has another hash than SHA-2")
    return name


def certificate_of(raw):
    """Returns a certificate; none for what cannot be read as one, on which nothing rests."""
    try:
        certificate = x509.load_der_x509_certificate(raw)
        load_der_public_key(public_key_of(certificate))
        return certificate
    except (Refused, ValueError, x509.InvalidVersion, UnsupportedAlgorithm):
        return None


def public_key_of(certificate):
    """Returns a certificate's SubjectPublicKeyInfo as it stands there."""
    parts = inside(only(der(certificate.tbs_certificate_bytes)), 0x30, 7)
    return parts[6 if parts[0].tag == 0xA0 else 5].whole


def stamps_of(token, signature, chains):
    """Returns what this token says about the signature, once for each chain that it is good by; nothing if it is not good."""
    try:
        return stamps_of_token(token, signature, chains)
    except Unable:
        raise
    except Exception:  # whatever is wrong with it: a token that cannot be read says nothing
        return []


def signer_of(token, signature):
    """Returns who signed this token over the signature; none where it is over something else, or cannot be read."""
    try:
        return token_of(token, signature).signer[1].whole
    except Exception:  # as above
        return None


def token_of(token, signature):
    """Reads a token, which must be over this signature. Whether it is well signed is not asked."""
    # 1. TimeStampResp, ContentInfo, SignedData, TSTInfo.
    response = inside(only(der(token)), 0x30, 2)
    require(inside(response[0], 0x30, 1)[0].whole in (b"\2\1\0", b"\2\1\1") and len(response) == 2, "no token was granted")
    content = inside(response[1], 0x30, 2)
    require(oid(content[0]) == SIGNED_DATA, "a token is no SignedData")
    parts = inside(only(inside(content[1], 0xA0)), 0x30, 4)
    tags = [part.tag for part in parts]
    require(tags[:3] == [0x02, 0x31, 0x30] and set(tags[3:-1]) <= {0xA0, 0xA1}, "a token is no SignedData")
    wrapped = inside(parts[2], 0x30, 2)
    require(oid(wrapped[0]) == TST_INFO, "a token holds no TSTInfo")
    info = only(inside(wrapped[1], 0xA0))
    require(info.tag == 0x04, "a token holds no TSTInfo")
    certificates = [part for part in parts[3:-1] if part.tag == 0xA0]
    certificates = [certificate_of(part.whole) for one in certificates for part in der(one.content)]
    certificates = [one for one in certificates if one is not None]
    # 2. It is over this signature.
    fields = inside(only(der(info.content)), 0x30, 5)
    tags = bytes(field.tag for field in fields)
    shape = rb"\x02\x06\x30\x02\x18\x30?\x01?\x02?\xa0?\xa1?"  # RFC 3161 §2.4.2, from accuracy on optional
    require(fields[0].content == b"\1" and re.fullmatch(shape, tags), "a token's TSTInfo has another shape")
    imprint = inside(fields[2], 0x30, 2)
    require(imprint[1].tag == 0x04 and imprint[1].content == hashlib.new(hash_of(imprint[0]), signature).digest(), "a token is over something else")
    signer = inside(only(inside(parts[-1], 0x31)), 0x30, 6)
    shape = rb"\x02[\x30\x80]\x30\xa0\x30\x04\xa1?"  # RFC 5652 §5.3, with signed attributes
    require(re.fullmatch(shape, bytes(part.tag for part in signer)), "a token is not signed")
    names = [part.tag for part in inside(signer[1], 0x30)] if signer[1].tag == 0x30 else None
    require(names in (None, [0x30, 0x02]), "a token does not name its signer")
    require(hash_of(signer[2]) and oid(inside(signer[4], 0x30, 1)[0]) in SIGNATURES, "a token is signed by an unknown algorithm")
    return Token(token_time(fields[4]), info.content, certificates, signer)


def stamps_of_token(token, signature, chains):
    # 1. The signer signed its attributes, and these name the content.
    time, info, certificates, signer = token_of(token, signature)
    sid, digest, attributes = signer[1], hash_of(signer[2]), signer[3]
    values = {}
    for attribute in inside(attributes, 0xA0):
        kind, value = inside(attribute, 0x30, 2)
        require(kind.content not in values, "a token has an attribute twice")
        values[oid(kind)] = only(inside(value, 0x31))
    require(CONTENT_TYPE in values and oid(values[CONTENT_TYPE]) == TST_INFO, "a token's attributes are of another type")
    named = values.get(MESSAGE_DIGEST)
    require(named and named.tag == 0x04 and named.content == hashlib.new(digest, info).digest(), "a token's attributes are of something else")
    kind, sha2 = SIGNATURES.get(oid(inside(signer[4], 0x30, 1)[0]), ("unknown", None))
    message = b"\x31" + attributes.whole[1:]
    # 2. By which chains?
    stamps = []
    for start, end, chain in chains:
        if not start <= time <= end:
            continue
        leaf = next((one for one in [chain[0], *certificates] if is_meant(one, sid)), None)
        chain = chain if leaf is None or leaf == chain[0] else [leaf, *chain]
        if leaf is None or not is_chain(chain, time) or not names_certificate(values, leaf):
            continue
        key = public_key_of(leaf)
        if (algorithm_of(key) or "").startswith(kind) and is_signed(key, message, signer[5].content, sha2 or digest):
            keys = {public_key_of(one) for one in [*chain, *certificates]}
            stamps.append(Stamp(time, chain[-1].fingerprint(hashes.SHA256()).hex(), keys))
    return stamps


def token_time(element):
    found = re.fullmatch(rb"([0-9]{14})(?:\.([0-9]{0,8}[1-9]))?Z", element.content)
    require(element.tag == 0x18 and found, "a token has no time")
    time = datetime.datetime.strptime(found[1].decode(), "%Y%m%d%H%M%S").replace(tzinfo=datetime.timezone.utc)
    return time + datetime.timedelta(microseconds=int((found[2] or b"0").ljust(6, b"0")[:6]))


def is_meant(certificate, sid):
    """Says whether a SignerInfo means this certificate: by issuer and serial, or by its key's identifier."""
    if sid.tag == 0x30:
        issuer, serial = inside(sid, 0x30, 2)
        same = certificate.issuer.public_bytes() == issuer.whole
        return same and certificate.serial_number == int.from_bytes(serial.content, "big", signed=True)
    try:
        own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return False
    return sid.tag == 0x80 and own == sid.content


def names_certificate(attributes, leaf):
    """Says whether signingCertificateV2 (RFC 5035), else signingCertificate (RFC 2634), names the signer by a hash."""
    whole = leaf.public_bytes(Encoding.DER)
    named = attributes.get(SIGNING_CERTIFICATE_V2) or attributes.get(SIGNING_CERTIFICATE)
    if named is None:
        return False
    first = inside(inside(inside(named, 0x30, 1)[0], 0x30, 1)[0], 0x30, 1)
    if SIGNING_CERTIFICATE_V2 not in attributes:
        return first[0].content == hashlib.sha1(whole).digest()
    name, value = ("sha256", first[0]) if first[0].tag == 0x04 else (hash_of(first[0]), first[1])
    return value.content == hashlib.new(name, whole).digest()


UNDERSTOOD = (x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage)


def is_chain(chain, time):
    """Says whether these certificates, the signer's first, were valid at a time, and the first one for time stamping."""
    if not all(one.not_valid_before_utc <= time <= one.not_valid_after_utc for one in chain):
        return False
    try:
        usage = chain[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        if not usage.critical or list(usage.value) != [x509.ExtendedKeyUsageOID.TIME_STAMPING]:
            return False
        if any(one.critical and type(one.value) not in UNDERSTOOD for each in chain for one in each.extensions):
            return False
        if any(type(one.value) is x509.BasicConstraints and one.value.ca for one in chain[0].extensions):
            return False
        for below, (one, issuer) in enumerate(zip(chain, chain[1:])):
            one.verify_directly_issued_by(issuer)
            limits = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
            if not limits.ca or (limits.path_length is not None and limits.path_length < below):
                return False
    except (x509.ExtensionNotFound, InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def chains_of(roots):
    """Returns the timestamp authorities of all trusted roots: from when and until when, and the certificates."""
    chains = []
    for raw in roots:
        try:
            found = [authority_of(value) for value in from_json(raw, "a trusted root").get("timestampAuthorities", [])]
        except (Refused, ValueError, LookupError, TypeError, AttributeError):
            continue  # what cannot be read proves nothing
        chains.extend(one for one in found if one[2] and None not in one[2])
    return chains


def authority_of(value):
    raws = [from_base64(member(one, "rawBytes", str)) for one in member(member(value, "certChain", dict), "certificates", list)]
    valid = value.get("validFor") or {}
    start, end = (to_instant(valid[name]) if name in valid else None for name in ("start", "end"))
    return start or BEGINNING, end or NEVER, [certificate_of(raw) for raw in raws]


# ---- Which signatures count (§9) ---------------------------------------------------------------------------------------------


class Times:
    """When keys fell and when statements existed, as seen at a time by who holds this history."""

    def __init__(self, keysets, statements, chains, now, sunsets):
        self.keysets, self.statements, self.now = keysets, statements, now
        self.fallen, self.sunsets = dict(keysets[-1].compromised), dict(keysets[-1].sunsets)
        for key in keysets[-1].keys.values():
            if key.status != "active":
                self.fallen[key.id] = min(key.until, self.fallen.get(key.id, NEVER))
        for name, date in sunsets.items():
            self.sunsets[name] = min(date, self.sunsets.get(name, NEVER))
        self.stamps = {}
        for signed in [*keysets, *statements]:
            for one in signed.signatures.values():
                self.stamps[one.signature] = [stamp for token in one.tokens for stamp in stamps_of(token, one.signature, chains)]

    def fall(self, public_key):
        by_algorithm = self.sunsets.get(algorithm_of(public_key), NEVER)
        return min(by_algorithm, self.fallen.get(sha256(public_key), NEVER))

    def existed(self, signed, bound, authorities):
        """Returns when something signed existed at the latest, which existed at the bound in any case."""
        times = [bound]
        for one in signed.signatures.values():
            for stamp in self.stamps[one.signature]:
                falls = (self.fall(key) for key in stamp.keys)
                if stamp.authority in authorities and stamp.time <= bound and all(fall > bound for fall in falls):
                    times.append(stamp.time)
        return min(times)

    def of_statements(self, authorities):
        """Returns when each statement existed, from the newest to the oldest, in the order of the statements."""
        bound, times = self.now, []
        for statement in reversed(self.statements):
            bound = self.existed(statement, bound, authorities)
            times.insert(0, bound)
        return times

    def counting(self, signed, keys, time):
        """Returns those of the keys that signed in time."""
        return [key for key in keys if key.id in signed.signatures and time < min(self.fall(key.public), key.until)]

    def require_keysets(self, anchor):
        """Walks from the anchor's keyset to the newest."""
        first = next((one.version for one in self.keysets if sha256(one.file) == anchor.keyset), None)
        require(first, "no keyset of the history is the one that the anchor names")
        keyset = self.keysets[first - 1]
        require(keyset.origin == anchor.origin and set(anchor.keys) <= set(keyset.keys), "the anchor and its keyset differ")
        roles = [keyset.keys[key].role for key in anchor.keys]
        require(roles == ["classical", "post-quantum"], "the anchor names keys of other roles")
        for old, new in zip(self.keysets[first - 1 :], self.keysets[first:]):
            times = zip(self.of_statements(old.authorities), self.statements)
            bound = min((time for time, one in times if one.keyset.version >= new.version), default=self.now)
            time = self.existed(new, bound, old.authorities)
            counting = self.counting(new, deciders(old), time)
            require(set(new.keys) - set(old.keys) <= set(new.signatures), f"keyset {new.version}: a new key did not sign")
            require(len(counting) >= old.threshold, f"keyset {new.version} is not signed in time by {old.threshold} keys")

    def require_newest(self):
        """Returns when each statement existed, and the keys of which a signature of the newest counts."""
        newest, authorities = self.statements[-1], self.keysets[-1].authorities
        require(newest.keyset == self.keysets[-1], "the newest statement is not under the newest keyset")
        require(to_time(newest.fields["created"]) <= self.now + CLOCKS, "the newest statement is from the future")
        times = self.of_statements(authorities)
        counting = self.counting(newest, newest.keyset.keys.values(), times[-1])
        require(counting, "no signature of the newest statement counts")
        return times, counting


# ---- Leaves and bytes (§5, §6) -----------------------------------------------------------------------------------------------

LEAF = re.compile(
    rb'\{"v":1,"kind":"(attestation|hold|keyset|prune)","status":"(verified|rejected:[a-z0-9-]{1,64})","profile":(0|[1-9][0-9]*),'
    rb'"sha256":"([0-9a-f]{64})","sha3":"([0-9a-f]{64})","size":(0|[1-9][0-9]*),"time":(null|0|-?[1-9][0-9]*)\}')
Leaf = namedtuple("Leaf", "part profile digests size")  # part: verified 0, rejected 1, anything else 2
LONGEST_LEAF = 512


def leaf_of(line):
    found = LEAF.fullmatch(line)
    require(found and len(line) <= LONGEST_LEAF, "a leaf is not of the form of leaves")
    part = 2 if found[1] != b"attestation" else 0 if found[2] == b"verified" else 1
    return Leaf(part, int(found[3]), {"sha256": found[4].decode(), "sha3": found[5].decode()}, int(found[6]))


def decompress(frame, size):
    """Returns the content of one frame of Zstandard, by what is there to do it."""
    try:
        from compression import zstd

        return zstd.decompress(frame)
    except ImportError:
        pass
    try:
        import zstandard

        return zstandard.ZstdDecompressor(max_window_size=1 << 31).decompress(frame, max_output_size=size)
    except ImportError:
        pass
    try:
        run = subprocess.run(["zstd", "-dc", "--long=31"], input=frame, capture_output=True)
    except FileNotFoundError:
        raise Unable("Zstandard is not there: neither Python 3.14, nor the package zstandard, nor the command zstd") from None
    require(run.returncode == 0, "a frame is damaged")
    return run.stdout


def frames_of(data):
    """Yields each frame of Zstandard and the size of its content, as RFC 8878 §3.1.1 lays them out."""
    at = 0
    while at < len(data):
        start = at
        require(data[at : at + 4] == b"\x28\xb5\x2f\xfd" and at + 5 < len(data), "no frame of Zstandard")
        flags, at = data[at + 4], at + 5
        single, checksum, dictionary = flags & 32, flags & 4, flags & 3
        wide = (1 if single else 0, 2, 4, 8)[flags >> 6]
        require(wide and not dictionary, "a frame has no content size, or wants a dictionary")
        at += 0 if single else 1
        size = int.from_bytes(data[at : at + wide], "little") + (256 if wide == 2 else 0)
        at, last = at + wide, False
        while not last:
            require(at + 3 <= len(data), "a frame is cut off")
            block = int.from_bytes(data[at : at + 3], "little")
            last, at = block & 1, at + 3 + (1 if block >> 1 & 3 == 1 else block >> 3)
        at += 4 if checksum else 0
        require(at <= len(data), "a frame is cut off")
        yield data[start:at], size


def contents_of(files, part, most):
    """Yields what each frame of a class of files holds, all of them together not more than this."""
    names = sorted(name for name in files if name.startswith(part + "/"))
    end = ".jsonl.zst" if part == "leaves" else ".zst"
    require(names == [f"{part}/{number:05}{end}" for number in range(len(names))], f"the files of {part} are not counted")
    for name in names:
        data = files[name].read_bytes()
        require(data, f"{name} is empty")
        for frame, size in frames_of(data):
            require(0 < size <= most, f"{name} is longer than its leaves say, or has an empty frame")
            most -= size
            try:
                content = decompress(frame, size)
            except (Refused, Unable):
                raise
            except Exception as error:  # each of the three has an error of its own
                raise Refused(f"{name} is damaged: {error}") from None
            require(len(content) == size, f"{name}: a frame has another size than it says")
            yield content


def is_due(fields, now):
    """Says whether the bytes of attestations may have been let go."""
    try:
        return to_time(fields["period"]["end"]) + MONTH * fields["retention"]["months"] <= now
    except OverflowError:
        return False


def check_bytes(files, part, leaves, may_be_gone):
    """Returns whether the bytes of these leaves are there. Where they are they must be theirs."""
    is_here = any(name.startswith(part + "/") for name in files)
    rest = list(reversed(leaves))
    for content in contents_of(files, part, sum(leaf.size for leaf in leaves)):
        at = 0
        while at < len(content):
            require(rest, f"{part} has bytes of no leaf")
            leaf = rest.pop()
            piece, at = content[at : at + leaf.size], at + leaf.size
            require(at <= len(content), f"{part}: a frame ends within a thing")
            require(digests(piece) == leaf.digests, f"{part}: bytes are not those of their leaf")
    # What is empty and comes last is in no frame.
    rest = [leaf for leaf in rest if leaf.size > 0 or leaf.digests != digests(b"")]
    require(not rest or not is_here and may_be_gone and part != "records", f"{part}: bytes are missing")
    return is_here


# ---- The tree (§7; RFC 6962 §2.1) --------------------------------------------------------------------------------------------


def leaf_hash(line):
    return hashlib.sha256(b"\0" + line).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """The largest complete subtrees from the left, and the subtrees of 256^L leaves that became complete."""

    def __init__(self, size, roots):
        self.subtrees = list(zip((1 << bit for bit in range(63, -1, -1) if size >> bit & 1), roots))
        self.complete = {}

    def add(self, line):
        size, root = 1, leaf_hash(line)
        self.note(size, root)
        while self.subtrees and self.subtrees[-1][0] == size:
            size, root = 2 * size, node_hash(self.subtrees.pop()[1], root)
            self.note(size, root)
        self.subtrees.append((size, root))

    def note(self, size, root):
        level, beyond = divmod(size.bit_length() - 1, 8)
        if beyond == 0:
            self.complete.setdefault(level, []).append(root)

    def root(self):
        if not self.subtrees:
            return hashlib.sha256().digest()
        whole = self.subtrees[-1][1]
        for _, left in reversed(self.subtrees[:-1]):
            whole = node_hash(left, whole)
        return whole


def require_included(line, index, size, path, root):
    """Proves a leaf's place in a tree (RFC 9162 §2.1.3.2, whose trees are those of RFC 6962)."""
    require(index < size, "a leaf lies beyond its tree")
    at, last, whole = index, size - 1, leaf_hash(line)
    for one in path:
        require(last > 0 and len(one) == 32, "a path is too long")
        if at & 1 or at == last:
            whole = node_hash(one, whole)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            whole = node_hash(whole, one)
        at, last = at >> 1, last >> 1
    require(last == 0 and whole == root, "a path does not lead to the root")


# ---- An archive (§1) and a file taken out of one (§11) ---------------------------------------------------------------------------

TYPE = "application/vnd.stella-ops.archive.v1"


def blob(folder, descriptor, what):
    digest = member(descriptor, "digest", str)
    require(re.fullmatch("sha256:[0-9a-f]{64}", digest), f"{what} has no digest")
    path = folder / "blobs" / "sha256" / digest[7:]
    require(path.is_file(), f"{what} is missing")
    data = path.read_bytes()
    require(sha256(data) == digest[7:] and len(data) == member(descriptor, "size", int), f"{what} is not what its digest says")
    return path, data


def files_of(folder, period):
    """Returns the name of an archive where it has one, the paths of its files by their names, and those of the newest archive."""
    if not (folder / "index.json").is_file():
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        return period, files, files
    found = []
    for descriptor in member(from_json((folder / "index.json").read_bytes(), "index.json"), "manifests", list):
        name = (descriptor.get("annotations") or {}).get("org.opencontainers.image.ref.name")
        manifest = from_json(blob(folder, descriptor, "the manifest")[1], "the manifest")
        if manifest.get("artifactType") == TYPE:
            files = files_of_manifest(folder, manifest)
            require("history.json" in files, "history.json is missing")
            history = from_json(files["history.json"].read_bytes(), "history.json")
            found.append((len(member(history, "statements", list)), name, files))
    wanted = [one for one in found if period in (None, one[1])]
    require(wanted, "there is no archive" + (f" of the period {period}" if period else ""))
    (_, name, files), (_, _, newest) = (max(some, key=lambda one: one[0]) for some in (wanted, found))
    return name, files, newest


def files_of_manifest(folder, manifest):
    files = {}
    for layer in member(manifest, "layers", list):
        name = member(member(layer, "annotations", dict), "org.opencontainers.image.title", str)
        require(name not in files, f"{name} is there twice")
        files[name] = blob(folder, layer, name)[0]
    return files


def check_trust(files):
    roots = {}
    for name in files:
        if name.startswith("trust/"):
            raw = files[name].read_bytes()
            require(name == f"trust/{sha256(raw)}.json", f"{name} is not named by its digest")
            roots[sha256(raw)] = raw
    return roots


def check_archive(files, newer, anchor, now, sunsets, name):
    """Verifies a whole archive by the past of a newer one, and returns what is to be said about it."""
    for one in ("history.json", "checkpoint.txt", "frontier.json"):
        require(one in files, f"{one} is missing")
    # 1. Who says so, and when.
    roots = {**check_trust(files), **check_trust(newer)}
    own, past = (from_json(some["history.json"].read_bytes(), "history.json") for some in (files, newer))
    number = len(member(own, "statements", list)) - 1
    require(number >= 0, "the history has no statement")
    require(past["statements"][: number + 1] == own["statements"], "the newest archive's past does not begin with this one's")
    keysets, statements = history_of(past)
    said = check_history(keysets, statements, roots.values(), anchor, now, sunsets, number)
    newest, previous = statements[number], statements[number - 1] if number else None
    require(name in (None, newest.fields["period"]["name"]), "the archive is of another period")
    # 2. The checkpoint.
    checkpoint = checkpoint_of(newest.fields["origin"], newest.size, newest.root)
    require(files["checkpoint.txt"].read_bytes() == checkpoint, "checkpoint.txt is not the newest statement's")
    again = {f"checkpoint.txt.{key[:8]}.sigstore.json" for key in newest.signatures}
    there = {name for name in files if name.startswith("checkpoint.txt.")}
    require(again == there, "the bundles of checkpoint.txt are not those of the newest statement")
    same = sorted(files[name].read_bytes() for name in there) == sorted(newest.bundles)
    require(same, "the bundles of checkpoint.txt are not those of the newest statement")
    # 3. The leaves and the tree.
    leaves = check_leaves(files, newest, previous)
    used = {leaf.profile for leaf in leaves}
    profiles = newest.fields["profiles"]
    require(all(hexadecimal(one, "trustedRoot") in roots for one in profiles), "the trusted root of a profile is missing")
    require(all(profile < len(profiles) for profile in used), "a leaf has no profile")
    # 4. The bytes.
    parts = [[leaf for leaf in leaves if leaf.part == part] for part in range(3)]
    require([len(part) for part in parts] == newest.counts, "the counts are not those of the leaves")
    may_be_gone = is_due(newest.fields, now)
    here = [check_bytes(files, name, part, may_be_gone) for name, part in zip(("evidence", "rejected", "records"), parts)]
    return {**said, "verified": newest.counts[0], "rejected": newest.counts[1], "present": newest.counts[0] * here[0]}


def check_leaves(files, newest, previous):
    frontier = from_json(files["frontier.json"].read_bytes(), "frontier.json")
    require_members(frontier, "size hashes", "frontier.json")
    require(all(re.fullmatch("[0-9a-f]{64}", one) for one in member(frontier, "hashes", list)), "the frontier has other roots")
    roots = [bytes.fromhex(one) for one in frontier["hashes"]]
    require(member(frontier, "size", int) == newest.start, "the frontier has another size")
    require(len(roots) == bin(newest.start).count("1"), "the frontier has other roots")
    tree = Tree(newest.start, roots)
    require(previous is None or tree.root() == previous.root, "the frontier is not the tree of the statement before")
    leaves, text = [], hashlib.sha3_256()
    for content in contents_of(files, "leaves", sum(newest.counts) * (LONGEST_LEAF + 1)):
        require(content.endswith(b"\n"), "a frame of leaves ends within a line")
        text.update(content)
        for line in content[:-1].split(b"\n"):
            tree.add(line)
            leaves.append(leaf_of(line))
    require(len(leaves) == newest.size - newest.start, "the leaves are not as many as the range says")
    require(text.hexdigest() == newest.fields["range"]["sha3"], "the leaves have another SHA3-256")
    require(tree.root() == newest.root, "the leaves do not give the root")
    require([leaf.part for leaf in leaves] == sorted(leaf.part for leaf in leaves), "the leaves are not in their order")
    expected = {f"hashes/{level}": b"".join(roots) for level, roots in tree.complete.items()}
    found = {name: files[name].read_bytes() for name in files if name.startswith("hashes/")}
    require(found == expected, "the files in hashes/ are not those of the tree")
    return leaves


def check_history(keysets, statements, roots, anchor, now, sunsets, number=-1):
    times = Times(keysets, statements, chains_of(roots), now, sunsets)
    times.require_keysets(anchor)
    existed, counting = times.require_newest()
    statement = statements[number]
    said = {"origin": statement.keyset.origin, "period": statement.fields["period"]["name"], "statement": statement.fields["sequence"]}
    return {**said, "existed": to_text(existed[number]), "keys": sorted(f"{key.role} {key.id}" for key in counting)}


def check_taken_out(file, anchor, now, sunsets):
    """Verifies a file that was taken out of an archive."""
    roots = []
    for one in member(file, "trustedRoots", list):
        raw = from_base64(member(one, "content", str))
        require(member(one, "digest", str) == f"sha256:{sha256(raw)}", "a trusted root is not what its digest says")
        roots.append(raw)
    keysets, statements = history_of(member(file, "archive", dict))
    said = check_history(keysets, statements, roots, anchor, now, sunsets)
    attestations, present = member(file, "attestations", list), 0
    for attestation in attestations:
        raw, place = from_base64(member(attestation, "bundle", str)), member(attestation, "archive", dict)
        line = member(place, "leaf", str).encode()
        leaf, size = leaf_of(line), member(place, "size", int)
        require(leaf.part == 0, "a leaf is of no verified attestation")
        # Without bytes, which were let go, it is proved that such an attestation was archived.
        require(not raw or leaf.digests == digests(raw) and leaf.size == len(raw), "a bundle is not that of its leaf")
        present += bool(raw)
        index = member(place, "index", int)
        root = next((one.root for one in statements if one.start <= index < one.size == size), None)
        require(root, "no statement that added the leaf has a tree of this size")
        path = [from_base64(one) for one in member(place, "path", list)]
        require_included(line, index, size, path, root)
    return {**said, "present": present}


def verify(path, anchor, now, sunsets, period=None):
    """Returns what is to be said about a good archive; raises Refused for another."""
    try:
        anchor = anchor_of(anchor)
        if path.is_file():
            return check_taken_out(from_json(path.read_bytes(), path.name), anchor, now, sunsets)
        name, files, newest = files_of(path, period)
        return check_archive(files, newest, anchor, now, sunsets, name)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, UnsupportedAlgorithm) as error:
        raise Refused(f"not as the format has it: {error!r}") from error


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--anchor", type=Path, required=True)
    parser.add_argument("--period")
    parser.add_argument("--at")
    parser.add_argument("--sunset", action="append", default=[], metavar="NAME=TIME")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    try:
        now = to_time(asked.at) if asked.at else datetime.datetime.now(datetime.timezone.utc)
        sunsets = {}
        for name, _, date in (text.partition("=") for text in asked.sunset):
            require(name in ALGORITHMS, f"no such algorithm: {name}")
            sunsets[name] = min(to_time(date), sunsets.get(name, NEVER))
        anchor = asked.anchor.read_text()
    except (Refused, OSError, ValueError) as error:
        parser.error(str(error))
    try:
        said = verify(asked.archive, anchor, now, sunsets, asked.period)
    except Refused as refusal:
        print(json.dumps({"good": False, "refused": str(refusal)}) if asked.json else f"refused: {refusal}")
        return 12
    except (Unable, OSError) as error:
        print(f"cannot judge: {error}", file=sys.stderr)
        return 2
    if asked.json:
        print(json.dumps({"good": True, **said}, indent=2))
        return 0
    print(f"good: {said['origin']} {said['period']}, statement {said['statement']}, which existed at {said['existed']}")
    print(f"attestations here with their bytes: {said['present']}")
    print("\n".join(f"it counts: {key}" for key in said["keys"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
