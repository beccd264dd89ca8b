//! `next build`, `next typegen` and `next lint`.

use overhear_adapter::{Args, Config, Declaration, Declare, Host, Invocation, paths};

const CONFIG_NAMES: &[&str] = &["next.config.js", "next.config.mjs", "next.config.ts", "next.config.mts"];

/// What Next keeps in its folder for itself. `dev` is the dev server's whole output; `lock` is held
/// during a build; the rest are records of builds and caches between them.
const OWN: &[(&str, &str)] = &[
    ("cache", "what Next keeps between builds"),
    ("trace", "a record of the times of builds"),
    ("trace-build", "a record of the times of builds"),
    ("diagnostics", "a record of builds"),
    ("lock", "held while a build runs"),
    ("dev", "of the dev server"),
];

/// What to believe of one command that ends with a result.
pub fn declare(call: &Invocation, subcommand: &str, args: &Args, host: &dyn Host) -> Declaration {
    if let Err(reason) = major_version(call) {
        return Declare::unsure(reason).done();
    }
    if args.has("experimentalCpuProf") || args.has("experimentalDebugMemoryUsage") {
        return Declare::uncacheable("it measures this machine").done();
    }
    if args.has("experimentalUploadTrace") {
        return Declare::uncacheable("it uploads a record of the build").done();
    }
    let folder = args.words.get(1).filter(|_| subcommand != "lint");
    let Some(root) = paths::join(&call.cwd, folder.map_or(".", String::as_str)) else {
        return Declare::unsure("the folder of the app is outside the workspace").done();
    };
    let mut app = App { declare: Declare::cacheable(), file: None, config: Config::empty(), root };
    app.read_config(call, host);
    app.places(subcommand);
    app.variables();
    app.declare.done()
}

fn major_version(call: &Invocation) -> Result<(), String> {
    let Some(tool) = call.tool.as_ref().filter(|tool| tool.name == "next") else {
        return Err("the program does not belong to the package next".into());
    };
    let version = tool.version.as_deref().unwrap_or("without a version");
    match version.split('.').next() {
        Some("15" | "16") => Ok(()),
        _ => Err(format!("Next {version} is not one of the versions 15 and 16")),
    }
}

/// One app being declared.
struct App {
    declare: Declare,
    /// Its folder, relative to the workspace.
    root: String,
    file: Option<String>,
    config: Config,
}

impl App {
    fn add(&mut self, with: impl FnOnce(Declare) -> Declare) {
        let declare = std::mem::replace(&mut self.declare, Declare::cacheable());
        self.declare = with(declare);
    }

    fn advise(&mut self, field: &str, reason: &str, instead: &str) {
        let file = self.file.clone();
        self.add(|declare| declare.not_known(field, reason, instead, file.as_deref()));
    }

    fn read_config(&mut self, call: &Invocation, host: &dyn Host) {
        let mut candidates = CONFIG_NAMES.iter().filter_map(|name| paths::join(&self.root, name));
        let found = if self.root == call.package_dir {
            candidates.find(|path| call.config_files.contains(path))
        } else {
            candidates.find(|path| host.kind(path).is_some())
        };
        if let Some(file) = found {
            self.config = host.read_config(&file).unwrap_or_else(Config::empty);
            self.file = Some(file);
        }
    }

    /// A field that is a text, or its default where it is not set or not known.
    fn text(&mut self, field: &str, default: &str) -> String {
        match self.config.at(field).text() {
            Ok(given) => given.unwrap_or(default).to_owned(),
            Err(reason) => {
                self.advise(field, &reason, "the default is taken, and the trace decides");
                default.to_owned()
            }
        }
    }

    fn places(&mut self, subcommand: &str) {
        let given = self.text("distDir", ".next");
        let exports = self.text("output", "") == "export";
        // An export goes to distDir where that is set, and the build before it to `.next` then.
        let (dist, site) = match (exports, given.as_str()) {
            (true, ".next") => (".next".to_owned(), Some("out".to_owned())),
            (true, _) => (".next".to_owned(), Some(given)),
            (false, _) => (given, None),
        };
        let Some(folder) =
            paths::join(&self.root, &dist).filter(|folder| !paths::is_within(&self.root, folder))
        else {
            return self.advise(
                "distDir",
                &format!("{dist} is not inside the workspace"),
                "the trace decides",
            );
        };
        for (name, why) in OWN {
            self.add(|declare| declare.cache_dir(format!("{folder}/{name}"), why));
        }
        match subcommand {
            "build" => {
                self.add(|declare| {
                    declare.emptied_output(&folder, "distDir, which Next empties but for its own files")
                });
                if let Some(site) = site.and_then(|site| paths::join(&self.root, &site)) {
                    self.add(|declare| {
                        declare.emptied_output(site, "the exported site, which Next empties first")
                    });
                }
            }
            "typegen" => {
                self.add(|declare| declare.generated(format!("{folder}/types"), "types of the routes"))
            }
            _ => {}
        }
        if let Some(types) = paths::join(&self.root, "next-env.d.ts") {
            let why = "Next writes it for editors and type checkers, and never reads it";
            self.add(|declare| declare.generated(types, why));
        }
    }

    fn variables(&mut self) {
        self.add(|declare| {
            declare
                .track("NODE_ENV", "it decides between a production and a development bundle")
                .track_prefix("NEXT_", "NEXT_PUBLIC_ variables come into the bundle, the others set Next up")
                .track_prefix("__NEXT_", "they set Next up")
                .track("VERCEL", "Next builds differently on this host")
                .track_prefix("VERCEL_", "Next builds differently on this host")
        });
    }
}
