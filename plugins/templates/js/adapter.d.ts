// The interface of adapters in JavaScript, for editors and type checkers. overhear does not read this file.

/** A pattern (`*`, `?`, `**`, `{a,b}`) in the package of the call, or one with more to say. */
export type Rule =
  | string
  | {
      path: string;
      /** What the path is relative to; by default the package. */
      base?: "package" | "cwd" | "workspace";
      /** Shown to people. One short sentence. */
      why?: string;
      /** Flags of the command line that name another folder, relative to where the command runs. */
      flags?: string[];
      /** Of an output: the tool empties the folder before it fills it. */
      emptied?: boolean;
    };

/** Left out of a list; so `condition && rule` can be written. */
export type Nothing = undefined | null | false | "";

export interface PackageRef {
  name: string;
  /** The installed version. */
  version?: string;
}

/** One command that is about to be started. Paths are relative to the workspace root, with `/`. */
export interface Call {
  /** The name of the program, without folder. */
  program: string;
  /** The package that the program belongs to. */
  tool?: PackageRef;
  /** All arguments after the program. */
  args: string[];
  /** The first argument that is no flag. */
  word?: string;
  cwd: string;
  packageDir: string;
  /** Files in the package's folder that `configFiles` names. */
  configFiles: string[];
  os: "linux" | "macos" | "windows";
  /** What the user set for this adapter. */
  settings?: any;
  /** Whether one of these flags is there: `--watch`, `--watch=x`, but not `--watch=false`. */
  has(...flags: string[]): boolean;
  /** The value of the first of these flags that has one: `--out x`, `--out=x`. */
  value(...flags: string[]): string | undefined;
  /** A path that is relative to where the command runs, from the root; nothing where it leads outside. */
  fromCwd(path: string): string | undefined;
  /** A path that is relative to the package, from the root; nothing where it leads outside. */
  fromPackage(path: string): string | undefined;
}

export interface DeclaredCall extends Call {
  /** What `detect` gave. */
  subcommand: string;
}

/** What is known of a config file without running it. */
export interface Config {
  /** All of it as data; what is not known is `{ $unknown: "why" }`. */
  value: any;
  /** The field at a dotted path. `unknown`: why it is not known. Neither member: it is not set. */
  at(path: string): { value?: any; unknown?: string };
}

/**
 * Whom `declare` may ask. Paths are relative to the workspace root: `call.fromPackage("x.json")`. Each answer is
 * remembered: when it changes, the adapter is asked again. To ask for what `mayRead` does not name ends the call.
 */
export interface Host {
  readText(path: string): string | undefined;
  /** A config in JavaScript, TypeScript, JSON or TOML, as far as it is known without running it. */
  readConfig(path: string): Config | undefined;
  kind(path: string): "file" | "dir" | "symlink" | "other" | undefined;
  listDir(path: string): { name: string; kind: "file" | "dir" | "symlink" | "other" }[] | undefined;
  env(name: string): string | undefined;
  resolvePackage(name: string): PackageRef | undefined;
  /** For yourself: shown by `overhear adapter run --log`. */
  log(text: string): void;
}

export interface Declaration {
  /** Why it is never cached: a server, a watcher, a deploy. */
  never?: string;
  /** Why this version or flag is beyond what you know: as if there were no adapter. */
  unsure?: string;
  /** Inputs even if nobody is seen reading them. */
  inputs?: (Rule | Nothing)[];
  /** Reads that do not count; believed only within bounds. */
  ignoredReads?: (Rule | Nothing)[];
  /** Writes that are no outputs; believed only within bounds. */
  ignoredWrites?: (Rule | Nothing)[];
  /** Trees that it owns: stored, and put back. */
  outputs?: (Rule | Nothing)[];
  /** Folders for its own speed: never input, never stored, left alone. */
  caches?: (Rule | Nothing)[];
  /** The same, for one task at a time. */
  exclusiveCaches?: (Rule | Nothing)[];
  /** Files that it keeps for others to read: no input, stored, put back where missing. */
  generated?: (Rule | Nothing)[];
  /** Files by which it knows what it did last: stored and restored with the outputs. */
  state?: (Rule | Nothing)[];
  /** Variables that decide, by name or as `PREFIX*`. */
  env?: (string | Nothing)[];
  /** Variables that do not count. */
  untrackedEnv?: (string | Nothing)[];
  /** Variables that are not passed. */
  removedEnv?: (string | Nothing)[];
  /** The tool's own word against caching comes from an inner throw-away server. */
  innerServer?: boolean;
  /** Where the tool asks for every variable, those in `env` are meant. */
  asksForAll?: boolean;
  /** Remarks for users. They change nothing. `code` is stable: `out-dir-not-known`. */
  advice?: ({ code: string; text: string; file?: string; warning?: boolean } | Nothing)[];
}

export interface Adapter {
  /** `vendor/name`, lower case. */
  id: string;
  version: string;
  title?: string;
  programs?: string[];
  packages?: string[];
  /** Ids of adapters that know the same programs less particularly. */
  refines?: string[];
  /** Names of files in the package's folder (`*`, `?`, `{a,b}`) that calls list. */
  configFiles?: string[];
  /** What may be read: `readText`, `readConfig`, `listDir`. Users are asked when it grows. */
  mayRead?: Rule[];
  /** Variables that may be asked for. */
  mayReadEnv?: string[];
  /** JSON Schema of the user's settings. */
  settings?: object;
  /** Versions of the tool that you tested with, as a semver range. */
  testedWith?: string;
  /** The name of the subcommand, if the call is one of yours. */
  detect(call: Call): string | Nothing | void;
  declare(call: DeclaredCall, host: Host): Declaration;
}
