import client from './index.cjs';

export const { disableCache, getEnv, getEnvs, ignoreInput, ignoreOutput } = client;
