'use strict';
/**
 * Runs once, when npm has installed the package: puts the native program in the place of the script
 * `bin/overhear`, so that no node is started on each run. Where this does not run (--ignore-scripts) or
 * does not succeed, the script stays and starts the program. It never fails an installation.
 */

const fs = require('node:fs');
const path = require('node:path');
const { execFileSync } = require('node:child_process');

const { find } = require('./find.cjs');

const place = path.join(__dirname, 'bin', 'overhear');
const beside = `${place}.${process.pid}`;

// yarn 2 and later start what is in `bin` with node, whatever it is.
const isYarn = /\byarn\/[2-9]/.test(process.env.npm_config_user_agent ?? '');

if (process.platform !== 'win32' && !isYarn) {
  try {
    const program = find();
    try {
      fs.linkSync(program, beside);
    } catch {
      // Another file system, or one without hard links.
      fs.copyFileSync(program, beside);
    }
    fs.chmodSync(beside, 0o755);
    // A program that does not start here must not take the place of one that says why.
    execFileSync(beside, ['--version'], { stdio: 'ignore' });
    fs.renameSync(beside, place);
  } catch {
    fs.rmSync(beside, { force: true });
  }
}
