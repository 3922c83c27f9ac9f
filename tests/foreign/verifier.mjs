// How a bundle is verified with the sigstore-js libraries, offline: what verify.mjs and verify_many.mjs share.
// Run where node_modules is.

import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(join(process.cwd(), 'package.json'));
const { ValidationError, bundleFromJSON } = require('@sigstore/bundle');
const { TrustedRoot } = require('@sigstore/protobuf-specs');
const { PolicyError, VerificationError, Verifier, toSignedEntity, toTrustMaterial } = require('@sigstore/verify');

// `root` is the trusted root as JSON, `key` a managed key (bytes of its SPKI) or nothing, the thresholds say how many
// log entries, SCTs and times are asked for.
export function verifierOf(root, thresholds, key) {
  const keys = key && (() => ({ publicKey: key, validFor: () => true }));
  return new Verifier(toTrustMaterial(TrustedRoot.fromJSON(root), keys), thresholds);
}

// Verifies a bundle, as JSON, over the artifact's content, or throws. `identity` and `issuer` are for certificates.
export function verify(verifier, bundle, content, identity, issuer) {
  const signed = bundleFromJSON(bundle);
  // The library takes the identity for a regular expression and looks for it anywhere: anchor it, take it literally.
  const literally = identity && `^${identity.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')}$`;
  const policy = identity && { subjectAlternativeName: literally, extensions: { issuer } };
  verifier.verify(toSignedEntity(signed, content), policy);
  if (signed.content.$case === 'dsseEnvelope') {
    requireSubject(JSON.parse(signed.content.dsseEnvelope.payload.toString('utf8')), content);
  }
}

// The library verifies the envelope; that the artifact is among its subjects is its caller's question.
function requireSubject(statement, content) {
  const digest = createHash('sha256').update(content).digest('hex');
  if (!statement.subject.some((subject) => subject.digest.sha256 === digest)) {
    throw new PolicyError({ code: 'NOT_A_SUBJECT', message: `sha256:${digest} is no subject of the statement` });
  }
}

// Says whether an error is the library's word about a bundle; any other is a crash.
export function isRefusal(error) {
  return [PolicyError, ValidationError, VerificationError].some((kind) => error instanceof kind);
}
