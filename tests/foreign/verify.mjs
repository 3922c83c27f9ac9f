// Verifies one bundle with the sigstore-js libraries, offline.
//
//   verify.mjs TRUSTED_ROOT BUNDLE ARTIFACT IDENTITY ISSUER
//
// Ends with 0 for accepted, 1 for refused (the reason on standard error), 2 for a mistake of this driver.
// Run where node_modules is.

import { readFileSync } from 'node:fs';

import { isRefusal, verifierOf, verify } from './verifier.mjs';

const [trustedRoot, bundle, artifact, identity, issuer] = process.argv.slice(2);
const json = (path) => JSON.parse(readFileSync(path, 'utf8'));
try {
  const verifier = verifierOf(json(trustedRoot), { tlogThreshold: 1, ctlogThreshold: 1, timestampThreshold: 1 });
  verify(verifier, json(bundle), readFileSync(artifact), identity, issuer);
} catch (error) {
  console.error(`${isRefusal(error) ? '' : 'driver: '}${error.name}: ${error.message}`);
  process.exit(isRefusal(error) ? 1 : 2);
}
