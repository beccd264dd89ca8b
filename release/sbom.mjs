// What the program for a target is made of, as CycloneDX 1.5: each crate with its version, licence and
// the checksum of Cargo.lock.
//
//   node release/sbom.mjs TARGET > FILE

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const target = process.argv[2];
if (!target) throw new Error('say for which target, e.g. x86_64-unknown-linux-gnu');

const args = ['metadata', '--format-version=1', '--locked', '--filter-platform', target];
const metadata = JSON.parse(
  execFileSync('cargo', args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'inherit'] }),
);
const packages = new Map(metadata.packages.map((found) => [found.id, found]));
const nodes = new Map(metadata.resolve.nodes.map((node) => [node.id, node]));
const program = metadata.packages.find(({ name, source }) => name === 'overhear' && source === null);

// What is linked: dependencies that are neither for tests nor for build scripts.
const linked = new Set();
const open = [program.id];
while (open.length > 0) {
  const id = open.pop();
  if (linked.has(id)) continue;
  linked.add(id);
  const kept = nodes.get(id).deps.filter(({ dep_kinds }) => dep_kinds.some(({ kind }) => kind === null));
  open.push(...kept.map(({ pkg }) => pkg));
}

const checksums = new Map();
for (const entry of fs.readFileSync(path.join(root, 'Cargo.lock'), 'utf8').split('[[package]]')) {
  const field = (name) => new RegExp(`^${name} = "(.+)"$`, 'm').exec(entry)?.[1];
  if (field('checksum')) checksums.set(`${field('name')} ${field('version')}`, field('checksum'));
}

const purl = ({ name, version }) => `pkg:cargo/${name}@${version}`;
const component = (found) => {
  const checksum = checksums.get(`${found.name} ${found.version}`);
  return {
    type: found === program ? 'application' : 'library',
    'bom-ref': purl(found),
    name: found.name,
    version: found.version,
    purl: purl(found),
    ...(checksum && { hashes: [{ alg: 'SHA-256', content: checksum }] }),
    ...(found.license && { licenses: [{ expression: found.license.replaceAll('/', ' OR ') }] }),
  };
};
const sorted = [...linked].map((id) => packages.get(id)).sort((one, other) => (purl(one) < purl(other) ? -1 : 1));
const dependsOn = (found) =>
  nodes.get(found.id).deps.map(({ pkg }) => pkg).filter((id) => linked.has(id)).map((id) => purl(packages.get(id))).sort();

const document = {
  bomFormat: 'CycloneDX',
  specVersion: '1.5',
  version: 1,
  metadata: { component: component(program), properties: [{ name: 'target', value: target }] },
  components: sorted.filter((found) => found !== program).map(component),
  dependencies: sorted.map((found) => ({ ref: purl(found), dependsOn: dependsOn(found) })),
};
process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
