// A registry on loopback that has the packages of a folder and no others: for installing overhear as
// its users do. Prints its address; ends when standard input does.
//
//   node tests/npm/registry.mjs FOLDER

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

const folder = process.argv[2];
const packages = new Map();
for (const file of fs.readdirSync(folder).filter((name) => name.endsWith('.tgz'))) {
  const tarball = path.join(folder, file);
  const manifest = JSON.parse(execFileSync('tar', ['-xzOf', tarball, 'package/package.json'], { encoding: 'utf8' }));
  const integrity = `sha512-${createHash('sha512').update(fs.readFileSync(tarball)).digest('base64')}`;
  packages.set(manifest.name, { manifest, file, integrity });
}

const server = http.createServer((request, response) => {
  const asked = decodeURIComponent(new URL(request.url, 'http://localhost').pathname).slice(1);
  const isTarball = asked.endsWith('.tgz') && fs.existsSync(path.join(folder, path.basename(asked)));
  if (isTarball) {
    response.end(fs.readFileSync(path.join(folder, path.basename(asked))));
    return;
  }
  const found = packages.get(asked);
  if (!found) {
    response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"not found"}');
    return;
  }
  const { manifest, file, integrity } = found;
  const dist = { tarball: `http://${request.headers.host}/${file}`, integrity };
  const hasInstallScript = Boolean(manifest.scripts?.postinstall);
  const version = { ...manifest, dist, ...(hasInstallScript && { hasInstallScript }) };
  const document = {
    name: manifest.name,
    'dist-tags': { latest: manifest.version },
    versions: { [manifest.version]: version },
    time: { [manifest.version]: '2020-01-01T00:00:00.000Z' },
  };
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(document));
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
process.stdin.on('end', () => process.exit(0)).resume();
