/** Options of a question for variables. */
export interface EnvOptions {
  /**
   * Whether the result depends on the answer: a change of it is then a miss. Default: true.
   */
  tracked?: boolean;
}

/** Names that match a glob (`*` any run of characters, `?` one), or that begin with a prefix. */
export type EnvQuery = string | { prefix: string };

/**
 * What this task reads at or below the path is no input of it. A relative path is resolved against
 * the working directory. Does nothing outside overhear.
 */
export function ignoreInput(path: string | Uint8Array | URL): void;

/**
 * What this task writes at or below the path is no output of it: neither archived nor restored. A
 * relative path is resolved against the working directory. Does nothing outside overhear.
 */
export function ignoreOutput(path: string | Uint8Array | URL): void;

/** The result of this task must not be kept. Does nothing outside overhear. */
export function disableCache(): void;

/**
 * The value of a variable: what `process.env` has, otherwise what the environment of overhear has.
 * Tells overhear, in either case, that the result depends on it. Outside overhear: what `process.env`
 * has.
 */
export function getEnv(name: string, options?: EnvOptions): string | undefined;

/**
 * All variables that match, from `process.env` and from the environment of overhear; the former wins.
 * Tells overhear that the result depends on which there are and on their values. Outside overhear:
 * what `process.env` has.
 */
export function getEnvs(query: EnvQuery, options?: EnvOptions): Record<string, string>;
