// Run by itself, this shows what the package does outside overhear. The host's tests run it again with
// a server (OVERHEAR_IPC), whose environment has SDK_A=1, SDK_B=2 and SHELL_ONLY=runner, and compare what was told.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { once } from 'node:events';
import * as esm from '../index.mjs';

const cjs = createRequire(import.meta.url)('../index.cjs');
const inside = Boolean(process.env.OVERHEAR_IPC);
process.env.SDK_A = 'own';
delete process.env.SDK_B;

test('both kinds of module are the same functions', () => {
  for (const name of Object.keys(esm)) assert.equal(esm[name], cjs[name]);
  assert.deepEqual(Object.keys(esm).sort(), ['disableCache', 'getEnv', 'getEnvs', 'ignoreInput', 'ignoreOutput']);
});

test('what process.env has wins', () => {
  assert.equal(esm.getEnv('SDK_A'), 'own');
  assert.equal(esm.getEnvs('SDK_?').SDK_A, 'own');
});

test('what process.env lacks comes from the runner, if there is one', () => {
  assert.equal(esm.getEnv('SDK_B', { tracked: false }), inside ? '2' : undefined);
  assert.equal(esm.getEnv('SDK_NONE'), undefined);
  assert.deepEqual(esm.getEnvs({ prefix: 'SDK_' }), inside ? { SDK_A: 'own', SDK_B: '2' } : { SDK_A: 'own' });
  assert.deepEqual(esm.getEnvs('SDK.*'), {});
});

test('nothing throws, whatever is given', () => {
  assert.equal(esm.getEnv(undefined), undefined);
  assert.deepEqual(esm.getEnvs(undefined), {});
  assert.deepEqual(esm.getEnvs({}), {});
});

test('paths and the end of caching can be told', () => {
  esm.ignoreInput('/sdk/in');
  esm.ignoreOutput(new URL('file:///sdk/out'));
  esm.disableCache();
});

test('workers are heard', async () => {
  const source = "const c = require(require('node:worker_threads').workerData); c.ignoreInput('/sdk/worker'); c.getEnv('SDK_WORKER')";
  const worker = new Worker(source, { eval: true, workerData: new URL('../index.cjs', import.meta.url).pathname });
  assert.deepEqual(await once(worker, 'exit'), [0]);
});
