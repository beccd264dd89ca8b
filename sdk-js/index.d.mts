export { disableCache, getEnv, getEnvs, ignoreInput, ignoreOutput } from './index.cjs';
export type { EnvOptions, EnvQuery } from './index.cjs';
