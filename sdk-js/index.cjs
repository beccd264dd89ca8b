'use strict';
/**
 * Tells overhear, from inside a task, what a trace cannot know. This one file is both the npm package
 * `overhear-client` and what the runner gives to tools that look for a client of their runner
 * (`load()` is for them). Plain JavaScript, no dependency; node 18 and later.
 *
 * It speaks over a pair of FIFOs, because node can wait for a file and not for a socket. It never
 * throws: when it cannot deliver something it tells the runner so, by removing a file, and is silent
 * from then on. See docs/protocol.md.
 */

// Taken now: tools and tests replace functions of these modules later.
const { closeSync, constants, openSync, readSync, readdirSync, readlinkSync, renameSync, statSync, unlinkSync, writeSync } =
  require('node:fs');
const { threadId } = require('node:worker_threads');

const VERSION = 1;
const HELLO = 1;
const IGNORE_INPUT = 2;
const IGNORE_OUTPUT = 3;
const DISABLE_CACHE = 4;
const GET_ENV = 5;
const GET_ENVS_GLOB = 6;
const GET_ENVS_PREFIX = 7;
const UNTRACKED = 2;
const REPLY = 4;
const ABSENT = 0x81;
const VALUE = 0x82;
const VALUES = 0x83;

const HEAD = 6; // length, kind, flags
const MAX_MESSAGE = 1 << 20;
const MAX_REPLY = 1 << 24;
const PROBE_LOST = '/dev/null/overhear/not-delivered';
const TRIES = 5000; // of one millisecond each, for a pair to come free

/** The conversation of one thread with its runner. */
class Runner {
  #folder;
  #up = -1;
  #down = -1;
  #silent = false;
  #scratch = Buffer.allocUnsafeSlow(1 << 14);

  constructor(folder) {
    this.#folder = folder;
  }

  ignoreInput(path) {
    this.#sendPath(IGNORE_INPUT, path);
  }

  ignoreOutput(path) {
    this.#sendPath(IGNORE_OUTPUT, path);
  }

  disableCache() {
    this.#try(() => this.#send(DISABLE_CACHE, 0, ''));
  }

  getEnv(name, options) {
    if (typeof name !== 'string') return undefined;
    const fromRunner = this.#try(() => {
      const [kind, value] = this.#ask(GET_ENV, untracked(options), name);
      if (kind !== VALUE && kind !== ABSENT) throw new Error('not a value');
      return { value: kind === VALUE ? value.toString() : undefined };
    });
    return fromRunner ? fromRunner.value : process.env[name];
  }

  getEnvs(query, options) {
    const [kind, text] = typeof query === 'string' ? [GET_ENVS_GLOB, query] : [GET_ENVS_PREFIX, query?.prefix];
    if (typeof text !== 'string') return {};
    const fromRunner = this.#try(() => {
      const [answer, values] = this.#ask(kind, untracked(options), text);
      if (answer !== VALUES) throw new Error('not values');
      return pairs(values);
    });
    return fromRunner ?? ownEnvs(query);
  }

  /** Says that a variable was asked for, without asking. */
  noteEnv(name, options) {
    this.#try(() => this.#send(GET_ENV, untracked(options), name));
  }

  #sendPath(kind, path) {
    let bytes;
    try {
      bytes = absolute(path);
    } catch {
      // What was meant is not known. The conversation itself is fine.
      this.#tellLoss();
      return;
    }
    this.#try(() => this.#send(kind, 0, bytes));
  }

  /** Runs one exchange. The first that fails is the last: nobody knows what of it has arrived. */
  #try(exchange) {
    if (this.#silent) return undefined;
    try {
      if (this.#up < 0) this.#connect();
      return exchange();
    } catch {
      this.#fallSilent();
      return undefined;
    }
  }

  #fallSilent() {
    this.#silent = true;
    this.#tellLoss();
    if (this.#up >= 0) attempt(() => closeSync(this.#up));
    if (this.#down >= 0) attempt(() => closeSync(this.#down));
  }

  /**
   * Removing a file needs neither a descriptor nor room on the disk. What has become of another user may not
   * do that, but what it looks for is seen.
   */
  #tellLoss() {
    attempt(() => unlinkSync(this.#folder + '/sound'));
    attempt(() => statSync(PROBE_LOST));
  }

  #connect() {
    const pair = this.#claim();
    this.#up = openFifo(pair + '/up', constants.O_WRONLY);
    this.#down = openFifo(pair + '/down', constants.O_RDONLY);
    this.#send(HELLO, 0, Buffer.from([0x4f, 0x56, 0x48, 0x52, VERSION & 0xff, VERSION >> 8]));
  }

  /** Takes a pair that nobody has: of two that rename the same folder, one succeeds. */
  #claim() {
    const free = this.#folder + '/free/';
    const used = this.#folder + '/used/';
    const first = process.pid + threadId * 7;
    for (let tries = 0; tries < TRIES; tries++) {
      const names = readdirSync(free);
      for (let i = 0; i < names.length; i++) {
        const name = names[(first + i) % names.length];
        try {
          renameSync(free + name, used + name);
        } catch (error) {
          if (error.code === 'ENOENT') continue;
          throw error;
        }
        this.#knock();
        return used + name;
      }
      this.#knock();
      sleepOneMillisecond();
    }
    throw new Error('no pair came free');
  }

  /** Asks for more pairs. Never waits: a door that is full has been knocked at. */
  #knock() {
    const door = openSync(this.#folder + '/door', constants.O_WRONLY | constants.O_NONBLOCK);
    try {
      writeSync(door, 'k');
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
    } finally {
      closeSync(door);
    }
  }

  /** Writes one frame. `rest` is a string or a Buffer. */
  #send(kind, flags, rest) {
    const text = typeof rest === 'string';
    const room = HEAD + (text ? rest.length * 3 : rest.length);
    const frame = room <= this.#scratch.length ? this.#scratch : Buffer.allocUnsafe(room);
    const length = text ? frame.utf8Write(rest, HEAD) : rest.copy(frame, HEAD);
    if (length + 2 > MAX_MESSAGE) throw new Error('too long');
    frame.writeUInt32LE(length + 2, 0);
    frame[4] = kind;
    frame[5] = flags;
    for (let at = 0; at < HEAD + length; ) at += writeSync(this.#up, frame, at, HEAD + length - at);
  }

  /** Writes a question and waits for the reply: its kind and the rest. */
  #ask(kind, flags, rest) {
    this.#send(kind, flags | REPLY, rest);
    let reply = this.#scratch;
    let have = 0;
    let need = HEAD;
    while (have < need) {
      const read = readSync(this.#down, reply, have, reply.length - have, null);
      if (read === 0) throw new Error('the runner is gone');
      have += read;
      if (have < 4) continue;
      const length = reply.readUInt32LE(0);
      if (length < 2 || length > MAX_REPLY) throw new Error('not a reply');
      need = 4 + length;
      if (need > reply.length) reply = Buffer.concat([reply.subarray(0, have)], need);
    }
    return [reply[4], reply.subarray(HEAD, need)];
  }
}

/**
 * Opens one end so that it blocks when used and never while it is opened: for a moment this process
 * holds both ends itself. If the runner is gone, using it fails.
 */
function openFifo(path, flags) {
  const both = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    return openSync(path, flags);
  } finally {
    closeSync(both);
  }
}

/** A path as the runner wants it: absolute and not collapsed, for only the system knows where `link/..` leads. */
function absolute(path) {
  if (path instanceof URL) path = require('node:url').fileURLToPath(path);
  if (typeof path === 'string') {
    if (path.charCodeAt(0) === 0x2f) return path;
    const cwd = process.cwd();
    if (!cwd.includes('\ufffd')) return cwd + '/' + path;
    path = Buffer.from(path);
  }
  if (!(path instanceof Uint8Array)) throw new TypeError('not a path');
  path = Buffer.from(path.buffer, path.byteOffset, path.length);
  if (path[0] === 0x2f) return path;
  // Names are bytes: as text, this working directory would be another one.
  return Buffer.concat([readlinkSync('/proc/self/cwd', 'buffer'), Buffer.from('/'), path]);
}

function untracked(options) {
  return options?.tracked === false ? UNTRACKED : 0;
}

/** Names and values, each after its length. */
function pairs(bytes) {
  const values = {};
  let at = 0;
  const next = () => {
    const from = at + 4;
    at = from + bytes.readUInt32LE(at);
    if (at > bytes.length) throw new Error('not values');
    return bytes.toString('utf8', from, at);
  };
  while (at < bytes.length) put(values, next(), next());
  return values;
}

/** A variable may have any name, also one that means something to an object. */
function put(values, name, value) {
  Object.defineProperty(values, name, { value, writable: true, enumerable: true, configurable: true });
}

/** What this process has itself. */
function ownEnvs(query) {
  const values = {};
  const meant = matcher(query);
  for (const name of Object.keys(process.env)) if (meant(name)) put(values, name, process.env[name]);
  return values;
}

function matcher(query) {
  if (typeof query !== 'string') {
    const prefix = query?.prefix;
    return (name) => typeof prefix === 'string' && name.startsWith(prefix);
  }
  const parts = query.replace(/[\\^$.|+()[\]{}]/g, '\\$&').replace(/\*+/g, '.*').replace(/\?/g, '.');
  const pattern = new RegExp('^' + parts + '$', 'su');
  return (name) => pattern.test(name);
}

function attempt(action) {
  try {
    action();
  } catch {
    // What is tried here is tried in vain when there is nobody to hear it.
  }
}

function sleepOneMillisecond() {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
}

/**
 * The runner of this process, or null outside one. One conversation for each thread, however often
 * and from wherever this file is loaded: the `process` object is one for each thread.
 */
function load() {
  try {
    const folder = process.env.OVERHEAR_IPC;
    if (!folder) return null;
    const key = Symbol.for('overhear.client.' + VERSION);
    const known = process[key];
    if (known && known.folder === folder) return known.runner;
    const runner = methodsOf(new Runner(folder));
    Object.defineProperty(process, key, { value: { folder, runner }, configurable: true });
    return runner;
  } catch {
    return null;
  }
}

/** Functions that need no `this`, since tools take them apart. */
function methodsOf(runner) {
  return {
    ignoreInput: (path) => runner.ignoreInput(path),
    ignoreOutput: (path) => runner.ignoreOutput(path),
    disableCache: () => runner.disableCache(),
    getEnv: (name, options) => runner.getEnv(name, options),
    getEnvs: (query, options) => runner.getEnvs(query, options),
    noteEnv: (name, options) => runner.noteEnv(name, options),
  };
}

function ignoreInput(path) {
  load()?.ignoreInput(path);
}

function ignoreOutput(path) {
  load()?.ignoreOutput(path);
}

function disableCache() {
  load()?.disableCache();
}

function getEnv(name, options) {
  if (typeof name !== 'string') return undefined;
  // overhear hears who asks for a name that was not passed, and takes it for a dependency: so what is
  // no dependency is looked for in a list.
  const isOwn = !untracked(options) || Object.keys(process.env).includes(name);
  const own = isOwn ? process.env[name] : undefined;
  if (own === undefined) return load()?.getEnv(name, options);
  load()?.noteEnv(name, options);
  return own;
}

function getEnvs(query, options) {
  return { ...load()?.getEnvs(query, options), ...ownEnvs(query) };
}

module.exports = { load, ignoreInput, ignoreOutput, disableCache, getEnv, getEnvs };
