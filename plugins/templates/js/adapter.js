// What overhear should know of `{{program}}`. Every field: adapter.d.ts, which your editor reads.

/** @type {import("./adapter").Adapter} */
export default {
  id: "{{vendor}}/{{name}}",
  version: "0.1.0",
  title: "{{program}}",
  programs: ["{{program}}"],
  // The npm packages that the program may come from.
  packages: ["{{program}}"],

  // Which command is this? A function of the call alone; nothing for a command that you do not know.
  detect(call) {
    if (call.word === "build") return "build";
    if (call.word === "dev" || call.word === "serve") return "dev";
  },

  // What overhear should believe of it. What is not said here is left to the trace.
  declare(call, host) {
    if (call.subcommand === "dev") return { never: "it is a server" };
    if (call.has("--watch", "-w")) return { never: "it watches until it is stopped" };
    return {
      outputs: [{ path: "dist", flags: ["--out"], why: "what it builds" }],
      caches: [{ path: "node_modules/.cache/{{program}}", why: "what the tool keeps for its own speed" }],
      // Variables that decide what comes out, by name or as PREFIX*.
      env: ["NODE_ENV"],
    };
  },
};
