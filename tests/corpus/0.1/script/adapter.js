export default {
  id: "acme/corpus",
  version: "0.1.0",
  title: "Every field of a script in 0.1",
  programs: ["mine"],
  packages: ["mine"],
  refines: ["acme/other"],
  configFiles: ["mine.config.*"],
  mayRead: ["mine.config.*", { path: "src", base: "package", why: "names of sources" }],
  mayReadEnv: ["MINE_MODE"],
  settings: { type: "object", properties: { level: { type: "integer" } } },
  testedWith: ">=1 <3",

  detect(call) {
    if (["build", "dev"].includes(call.word)) return call.word;
    return call.has("--check") && "check";
  },

  declare(call, host) {
    if (call.subcommand === "dev") return { never: "it is a server" };
    if (!call.tool?.version?.startsWith("2.")) return { unsure: `version ${call.tool?.version}` };
    const config = host.readConfig(call.configFiles[0]);
    const folder = config.at("output.folder"), computed = config.at("output.computed");
    const sources = (host.listDir(call.fromPackage("src")) ?? []).map((entry) => entry.name).sort();
    host.log(`sources ${sources.length}`);
    return {
      inputs: [`src/${sources[0]}`, false],
      outputs: [
        { path: call.fromPackage(folder.value), base: "workspace", why: "output.folder" },
        { path: "logs", base: "cwd", flags: ["--logs"], emptied: true },
      ],
      ignoredReads: ["notes"],
      ignoredWrites: ["*.tmp"],
      caches: [call.value("--cache") ?? ".mine"],
      exclusiveCaches: [".lock-cache"],
      generated: ["types"],
      state: ["**/*.mine-state"],
      env: ["NODE_ENV", host.env("MINE_MODE") === "all" && "MINE_*"],
      untrackedEnv: ["CI"],
      removedEnv: ["NOISE"],
      innerServer: call.settings?.level === 3,
      asksForAll: host.kind(call.fromPackage("package.json")) === "file",
      advice: [
        { code: "computed-not-known", text: computed.unknown, file: call.configFiles[0] },
        { code: "no-such-package", text: String(host.resolvePackage("mine-plugin")?.version), warning: true },
        { code: "no-config", text: host.readText(call.fromPackage("mine.config.none")) ?? "none" },
      ],
    };
  },
};
