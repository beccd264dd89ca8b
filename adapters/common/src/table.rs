//! The table. A row holds for every version that has these names: what a tool does to files is left to
//! the trace, so a row says only what no trace can know.

/// One tool.
pub struct Tool {
    /// The name of its program.
    pub program: &'static str,
    /// The packages that the program may belong to; none: it belongs to no package.
    pub packages: &'static [&'static str],
    /// Its commands, by the first word or by a flag; the first that is named counts, and the empty name
    /// is always named. Without it, commands that are not here are not known.
    pub commands: &'static [Command],
    /// Flags with which no command ends with a result, and why.
    pub never: &'static [(&'static str, &'static str)],
    /// Folders and files that it keeps for its own speed, in its package.
    pub caches: &'static [&'static str],
    /// What it writes for others to read, in its package.
    pub generated: &'static [&'static str],
    /// Files by which it knows what it did last.
    pub state: &'static [&'static str],
    /// Variables that decide, by name or as `PREFIX*`.
    pub env: &'static [&'static str],
    /// It starts a dev server for itself and throws it away, which forbids caching over its protocol.
    pub starts_inner_server: bool,
    /// It asks for every variable, and means those in `env`.
    pub asks_for_all: bool,
}

/// One command of a tool.
pub struct Command {
    /// Its word, or a flag that means the same.
    pub name: &'static str,
    /// Other words for it.
    pub aliases: &'static [&'static str],
    /// Why it is never cached.
    pub never: Option<&'static str>,
}

const fn ends(name: &'static str) -> Command {
    Command { name, aliases: &[], never: None }
}

const fn never(name: &'static str, aliases: &'static [&'static str], why: &'static str) -> Command {
    Command { name, aliases, never: Some(why) }
}

const WATCHES: &str = "it watches until it is stopped";
const SERVES: &str = "it is a server";
const ASKS: &str = "it asks a person";
const STDIN: &str = "it reads its standard input";
const FOR_A_PERSON: &str = "it is a tool for a person";
const BY_HISTORY: &str = "it goes by the history of the repository";

const ANY: &[Command] = &[ends("")];
const NODE_ENV: &[&str] = &["NODE_ENV"];

const PLAIN: Tool = Tool {
    program: "",
    packages: &[],
    commands: ANY,
    never: &[],
    caches: &[],
    generated: &[],
    state: &[],
    env: &[],
    starts_inner_server: false,
    asks_for_all: false,
};

const TSC_NEVER: &[(&str, &str)] =
    &[("-w", WATCHES), ("-watch", WATCHES), ("--watch", WATCHES), ("-init", ASKS), ("--init", ASKS)];
const WATCH_NEVER: &[(&str, &str)] = &[("-w", WATCHES), ("--watch", WATCHES)];
const TSC_STATE: &[&str] = &["**/*.tsbuildinfo"];

const WEBPACK: &[Command] = &[
    never("serve", &["server", "s", "dev"], SERVES),
    never("watch", &["w"], WATCHES),
    never("preview", &["p"], SERVES),
    never(
        "info",
        &["i", "version", "v", "help", "h", "init", "loader", "plugin", "configtest", "t"],
        FOR_A_PERSON,
    ),
    ends(""),
];

/// All of them.
pub const TOOLS: &[Tool] = &[
    Tool { program: "tsc", packages: &["typescript"], never: TSC_NEVER, state: TSC_STATE, ..PLAIN },
    Tool { program: "vue-tsc", packages: &["vue-tsc"], never: TSC_NEVER, state: TSC_STATE, ..PLAIN },
    Tool {
        program: "svelte-check",
        packages: &["svelte-check"],
        never: WATCH_NEVER,
        caches: &["**/.svelte-check"],
        state: TSC_STATE,
        ..PLAIN
    },
    Tool {
        program: "eslint",
        packages: &["eslint"],
        never: &[("--init", ASKS), ("--inspect-config", SERVES), ("--mcp", SERVES), ("--stdin", STDIN)],
        caches: &["**/.eslintcache", "**/.cache_*"],
        env: &["ESLINT_*", "NODE_ENV"],
        ..PLAIN
    },
    Tool {
        program: "prettier",
        packages: &["prettier"],
        never: &[("--stdin-filepath", STDIN)],
        caches: &["**/.prettiercache", "**/.prettier-cache"],
        env: &["PRETTIER_*"],
        ..PLAIN
    },
    Tool {
        program: "biome",
        packages: &["@biomejs/biome"],
        commands: &[ends("check"), ends("lint"), ends("format"), ends("ci"), never("", &[], FOR_A_PERSON)],
        never: &[
            ("--use-server", "a server that runs anyway does its work"),
            ("--stdin-file-path", STDIN),
            ("--changed", BY_HISTORY),
            ("--staged", BY_HISTORY),
        ],
        env: &["BIOME_*"],
        ..PLAIN
    },
    Tool {
        program: "oxlint",
        packages: &["oxlint"],
        never: &[("--lsp", SERVES), ("--init", ASKS)],
        env: &["OXC_*", "OXLINT_*"],
        ..PLAIN
    },
    Tool {
        program: "esbuild",
        packages: &["esbuild"],
        never: &[("--watch", WATCHES), ("--serve", SERVES), ("--servedir", SERVES)],
        env: &["NODE_ENV", "NODE_PATH"],
        ..PLAIN
    },
    Tool { program: "rollup", packages: &["rollup"], never: WATCH_NEVER, env: NODE_ENV, ..PLAIN },
    Tool { program: "rolldown", packages: &["rolldown"], never: WATCH_NEVER, env: NODE_ENV, ..PLAIN },
    Tool {
        program: "tsdown",
        packages: &["tsdown"],
        commands: &[never("create", &["migrate"], ASKS), ends("")],
        never: WATCH_NEVER,
        caches: &["node_modules/.unrun"],
        state: TSC_STATE,
        env: &["NODE_ENV", "TSDOWN_*"],
        ..PLAIN
    },
    Tool { program: "tsup", packages: &["tsup"], never: WATCH_NEVER, env: NODE_ENV, ..PLAIN },
    Tool {
        program: "webpack",
        packages: &["webpack", "webpack-cli"],
        commands: WEBPACK,
        never: WATCH_NEVER,
        env: NODE_ENV,
        ..PLAIN
    },
    Tool {
        program: "rspack",
        packages: &["@rspack/cli"],
        commands: WEBPACK,
        never: WATCH_NEVER,
        env: NODE_ENV,
        ..PLAIN
    },
    Tool {
        program: "vitest",
        packages: &["vitest"],
        commands: &[
            ends("run"),
            never("watch", &["dev"], WATCHES),
            never("bench", &[], "it measures this machine"),
            never("init", &[], ASKS),
            never("related", &["list"], "which tests it means is given from outside"),
            ends("--run"),
            // Whether it watches depends on the terminal and on CI.
            never("", &[], "it watches where it can; `vitest run` does not"),
        ],
        never: &[
            ("-w", WATCHES),
            ("--watch", WATCHES),
            ("--ui", SERVES),
            ("--inspect", FOR_A_PERSON),
            ("--inspect-brk", FOR_A_PERSON),
            ("--changed", BY_HISTORY),
            ("--standalone", SERVES),
        ],
        caches: &[
            "node_modules/.vite",
            "node_modules/.vite-temp",
            "node_modules/.vitest",
            "node_modules/.vitest-temp",
        ],
        env: &["CI", "NODE_ENV", "VITE_*", "VITEST_*"],
        starts_inner_server: true,
        ..PLAIN
    },
    Tool {
        program: "jest",
        packages: &["jest", "jest-cli"],
        never: &[
            ("--watch", WATCHES),
            ("--watchAll", WATCHES),
            ("--init", ASKS),
            ("-o", BY_HISTORY),
            ("--onlyChanged", BY_HISTORY),
            ("--changedSince", BY_HISTORY),
            ("--lastCommit", BY_HISTORY),
        ],
        env: &["CI", "NODE_ENV", "JEST_*"],
        ..PLAIN
    },
    Tool {
        program: "astro",
        packages: &["astro"],
        commands: &[
            ends("build"),
            ends("check"),
            ends("sync"),
            never("dev", &["preview"], SERVES),
            never("", &[], FOR_A_PERSON),
        ],
        never: &[("--watch", WATCHES)],
        caches: &["node_modules/.astro", "node_modules/.vite", "node_modules/.vite-temp"],
        generated: &[".astro"],
        env: &["ASTRO_*", "NODE_ENV", "PUBLIC_*", "VITE_*"],
        starts_inner_server: true,
        asks_for_all: true,
        ..PLAIN
    },
    Tool {
        program: "react-router",
        packages: &["@react-router/dev"],
        commands: &[ends("build"), ends("typegen"), never("dev", &[], SERVES), never("", &[], FOR_A_PERSON)],
        never: &[("--watch", WATCHES), ("--profile", "it measures this machine")],
        caches: &["node_modules/.vite", "node_modules/.vite-temp"],
        generated: &[".react-router"],
        env: &["NODE_ENV", "VITE_*"],
        starts_inner_server: true,
        // For `.env` files, which it puts before what the environment has.
        asks_for_all: true,
        ..PLAIN
    },
    Tool {
        program: "node",
        commands: &[ends("--test")],
        never: &[("--watch", WATCHES), ("--inspect", FOR_A_PERSON), ("--inspect-brk", FOR_A_PERSON)],
        env: NODE_ENV,
        ..PLAIN
    },
];
