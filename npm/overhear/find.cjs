'use strict';
/**
 * Finds the native program: in the package of this platform, which npm has installed as an optional
 * dependency. Used by `install.cjs` and, where that did not run, by `bin/overhear`.
 */

const path = require('node:path');

const platforms = require('./platforms.json');

/** glibc, musl, or nothing where there is no choice. */
function libc() {
  if (process.platform !== 'linux') return undefined;
  // The report has the version of the C library that node itself was linked with.
  process.report.excludeNetwork = true;
  return process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl';
}

/** The packages whose program runs here, the best one first: a static program also runs on glibc. */
function candidates() {
  const own = libc();
  const fits = platforms.filter(({ os, cpu }) => os === process.platform && cpu === process.arch);
  const runs = fits.filter((platform) => !platform.libc || platform.libc === own || platform.libc === 'musl');
  return runs.sort((one, other) => (other.libc === own) - (one.libc === own));
}

/** The path of the program; an error says what to do. */
exports.find = function find() {
  const wanted = candidates();
  for (const platform of wanted) {
    try {
      return path.join(path.dirname(require.resolve(`${platform.package}/package.json`)), 'overhear');
    } catch {
      // Not installed: the next one may be.
    }
  }
  const here = `${process.platform} on ${process.arch}`;
  if (wanted.length === 0) {
    throw new Error(`overhear has no program for ${here}; it may be built from source, see docs/design/distribution.md in its repository`);
  }
  throw new Error(
    `overhear's program for ${here} is not installed: ${wanted[0].package} is missing. ` +
      'Install again without --no-optional (--omit=optional), and with a lock file made on this platform or without one.',
  );
};
