// Verifies one bundle with the sigstore-js libraries, offline.
//
//   verify.mjs TRUSTED_ROOT BUNDLE ARTIFACT IDENTITY ISSUER
//
// Ends with 0 for accepted, 1 for refused (the reason on standard error), 2 for a mistake of this driver.
// Run where node_modules is.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(join(process.cwd(), 'package.json'));
const { ValidationError, bundleFromJSON } = require('@sigstore/bundle');
const { TrustedRoot } = require('@sigstore/protobuf-specs');
const { PolicyError, VerificationError, Verifier, toSignedEntity, toTrustMaterial } = require('@sigstore/verify');

function verify(trustedRoot, bundle, artifact, identity, issuer) {
  const content = readFileSync(artifact);
  const trust = toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(readFileSync(trustedRoot, 'utf8'))));
  const signed = bundleFromJSON(JSON.parse(readFileSync(bundle, 'utf8')));
  // The library takes the identity for a regular expression and looks for it anywhere: anchor it, take it literally.
  const literally = `^${identity.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')}$`;
  new Verifier(trust, { tlogThreshold: 1, ctlogThreshold: 1, timestampThreshold: 1 }).verify(
    toSignedEntity(signed, content),
    { subjectAlternativeName: literally, extensions: { issuer } },
  );
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

try {
  verify(...process.argv.slice(2));
} catch (error) {
  const isRefusal = [PolicyError, ValidationError, VerificationError].some((kind) => error instanceof kind);
  console.error(`${isRefusal ? '' : 'driver: '}${error.name}: ${error.message}`);
  process.exit(isRefusal ? 1 : 2);
}
