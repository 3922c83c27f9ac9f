// Verifies many bundles with the sigstore-js libraries in one process, offline.
//
//   verify_many.mjs FOLDER
//
// The folder is laid out as verify_many.py says, and so are the lines that are printed. Run where node_modules is.

import { createPublicKey } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { isRefusal, verifierOf, verify } from './verifier.mjs';

const [folder] = process.argv.slice(2);
const read = (...names) => readFileSync(join(folder, ...names));
const json = (...names) => JSON.parse(read(...names).toString('utf8'));
const root = json('trusted_root.json');
const content = read('artifact');
const { identity, issuer } = json('signer.json');

for (const form of readdirSync(join(folder, 'cases')).sort()) {
  const asked = json('cases', form, 'form.json');
  const key = asked.key && createPublicKey(asked.key);
  const thresholds = { tlogThreshold: asked.logs, ctlogThreshold: asked.scts, timestampThreshold: asked.times };
  const verifier = verifierOf(root, thresholds, key);
  for (const name of readdirSync(join(folder, 'cases', form)).sort()) {
    if (!name.endsWith('.sigstore.json')) continue;
    const said = answer(verifier, asked, read('cases', form, name).toString('utf8'));
    console.log(`${form}/${name} ${said.replaceAll('\n', ' ')}`);
  }
}

function answer(verifier, asked, text) {
  try {
    verify(verifier, JSON.parse(text), content, asked.key ? undefined : identity, issuer);
    return 'accept';
  } catch (error) {
    return `refuse ${isRefusal(error) ? '' : 'crash '}${error.name}: ${error.message}`;
  }
}
