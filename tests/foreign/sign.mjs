// Signs one file with the sigstore-js libraries, against the services of a client trust config.
//
//   sign.mjs TRUST_CONFIG BUNDLE FILE               a message signature over FILE
//   sign.mjs TRUST_CONFIG BUNDLE --statement FILE   the in-toto statement in FILE, in a DSSE envelope
//
// The identity token comes in the environment variable FOREIGN_TOKEN. Run where node_modules is.

import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(join(process.cwd(), 'package.json'));
const { bundleToJSON } = require('@sigstore/bundle');
const { SigningConfig } = require('@sigstore/protobuf-specs');
const { bundleBuilderFromSigningConfig } = require('@sigstore/sign');

const [trustConfig, bundle, ...what] = process.argv.slice(2);
const isStatement = what[0] === '--statement';
const builder = bundleBuilderFromSigningConfig({
  bundleType: isStatement ? 'dsseEnvelope' : 'messageSignature',
  signingConfig: SigningConfig.fromJSON(JSON.parse(readFileSync(trustConfig, 'utf8')).signingConfig),
  identityProvider: { getToken: async () => process.env.FOREIGN_TOKEN },
});
const signed = await builder.create({
  data: readFileSync(what.at(-1)),
  type: isStatement ? 'application/vnd.in-toto+json' : undefined,
});
writeFileSync(bundle, JSON.stringify(bundleToJSON(signed)));
