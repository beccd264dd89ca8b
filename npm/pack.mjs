// Makes the packages for npm: `overhear`, and one for each program that is there.
//
//   node npm/pack.mjs --out DIR --program TARGET=PATH [--program TARGET=PATH …]
//
// Writes DIR/*.tgz and prints their names. The version is that of Cargo.toml.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.dirname(here);

const { values } = parseArgs({
  options: { out: { type: 'string' }, program: { type: 'string', multiple: true, default: [] } },
});
if (!values.out) throw new Error('say where the packages go: --out DIR');
const out = path.resolve(values.out);
fs.mkdirSync(out, { recursive: true });

const version = /^version = "(.+)"$/m.exec(fs.readFileSync(path.join(root, 'Cargo.toml'), 'utf8'))[1];
const platforms = JSON.parse(fs.readFileSync(path.join(here, 'platforms.json'), 'utf8'));
const common = JSON.parse(fs.readFileSync(path.join(here, 'overhear/package.json'), 'utf8'));
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'overhear-pack-'));

try {
  for (const given of values.program) {
    const at = given.indexOf('=');
    const [target, program] = [given.slice(0, at), given.slice(at + 1)];
    const platform = platforms.find((platform) => platform.target === target);
    if (!platform) throw new Error(`no package has programs for ${target}; npm/platforms.json has those that do`);
    console.log(pack(platformPackage(platform, program)));
  }
  console.log(pack(mainPackage()));
} finally {
  fs.rmSync(scratch, { recursive: true });
}

/** The package that holds one program and nothing else. */
function platformPackage(platform, program) {
  const dir = path.join(scratch, platform.target);
  fs.mkdirSync(dir);
  fs.copyFileSync(program, path.join(dir, 'overhear'));
  fs.chmodSync(path.join(dir, 'overhear'), 0o755);
  const { license, repository } = common;
  write(dir, {
    name: platform.package,
    version,
    description: `overhear for ${platform.target}`,
    license,
    repository,
    os: [platform.os],
    cpu: [platform.cpu],
    ...(platform.libc && { libc: [platform.libc] }),
    files: ['overhear'],
    // Plug'n'Play keeps packages in archives, from which nothing can be started.
    preferUnplugged: true,
  });
  return dir;
}

/** The package that people name. */
function mainPackage() {
  const dir = path.join(scratch, 'overhear');
  fs.cpSync(path.join(here, 'overhear'), dir, { recursive: true });
  fs.copyFileSync(path.join(here, 'platforms.json'), path.join(dir, 'platforms.json'));
  fs.copyFileSync(path.join(root, 'host/schema.json'), path.join(dir, 'schema.json'));
  fs.copyFileSync(path.join(here, 'README.md'), path.join(dir, 'README.md'));
  const optionalDependencies = Object.fromEntries(platforms.map(({ package: name }) => [name, version]));
  write(dir, { ...common, version, optionalDependencies });
  return dir;
}

function write(dir, manifest) {
  for (const name of ['LICENSE-MIT', 'LICENSE-APACHE']) fs.copyFileSync(path.join(root, name), path.join(dir, name));
  fs.writeFileSync(path.join(dir, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

function pack(dir) {
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', out];
  const printed = execFileSync('npm', args, { cwd: dir, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  const told = JSON.parse(printed);
  const { filename } = Array.isArray(told) ? told[0] : Object.values(told)[0];
  return path.join(out, path.basename(filename));
}
