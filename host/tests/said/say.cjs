// Says one thing through the npm package, with the words of `overhear tell`, after where to say it from:
// main, worker, or child.
const { spawnSync } = require('node:child_process')
const { Worker, isMainThread, workerData } = require('node:worker_threads')
const client = require('overhear-client')

const [where, ...words] = isMainThread ? process.argv.slice(2) : ['main', ...workerData]

if (where === 'worker') {
  new Worker(__filename, { workerData: words }).on('exit', (code) => (process.exitCode = code))
} else if (where === 'child') {
  process.exitCode = spawnSync(process.execPath, [__filename, 'main', ...words], { stdio: 'inherit' }).status
} else {
  say(words)
}

function say([what, ...rest]) {
  const options = { tracked: !rest.includes('--untracked') }
  const [first, second] = rest
  if (what === 'ignore-input') client.ignoreInput(first)
  else if (what === 'ignore-output') client.ignoreOutput(first)
  else if (what === 'disable-cache') client.disableCache()
  else if (what === 'get-env') {
    const value = client.getEnv(first, options)
    if (value === undefined) process.exit(1)
    print(value)
  } else if (what === 'get-envs') {
    const values = client.getEnvs(first === '--prefix' ? { prefix: second } : first, options)
    for (const name of Object.keys(values).sort()) print(name + '=' + values[name])
  } else process.exit(2)
}

function print(line) {
  // A worker's console goes by way of the main thread.
  require('node:fs').writeSync(1, line + '\n')
}
