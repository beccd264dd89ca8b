//! `nuxt build`, `generate`, `prepare` and `typecheck`.

use overhear_adapter::{Args, Config, Declaration, Declare, Host, Invocation, paths};

const CONFIG_ENDS: &[&str] = &["js", "ts", "mjs", "cjs", "mts", "cts"];

/// What of the build folder is Nuxt's own; the rest are types and templates, which other tools read.
const OWN: &[&str] = &["analyze", "cache", "dev", "dist", "manifest", "prerender", "test"];

/// Hosts by whose variables Nuxt's server chooses how to build.
const HOSTS: &[&str] = &[
    "AWS_APP_ID",
    "CF_PAGES",
    "FIREBASE_APP_HOSTING",
    "NETLIFY",
    "NOW_BUILDER",
    "RENDER",
    "STORMKIT",
    "VERCEL",
    "WORKERS_CI",
    "ZEABUR",
];

/// What to believe of one command that ends with a result.
pub fn declare(call: &Invocation, subcommand: &str, args: &Args, host: &dyn Host) -> Declaration {
    let version = match call.tool.as_ref().filter(|tool| tool.name == "nuxt") {
        Some(tool) => tool.version.clone(),
        None => host.resolve_package("nuxt").and_then(|package| package.version),
    };
    let version = version.as_deref().unwrap_or("without a version");
    if !matches!(version.split('.').next(), Some("3" | "4")) {
        return Declare::unsure(format!("Nuxt {version} is not one of the versions 3 and 4")).done();
    }
    if args.has("profile") {
        return Declare::uncacheable("it measures this machine").done();
    }
    let folder = args.words.get(1).map(String::as_str).or(args.value("cwd")).unwrap_or(".");
    let Some(root) = paths::join(&call.cwd, folder) else {
        return Declare::unsure("the folder of the app is outside the workspace").done();
    };
    let mut app = App { declare: Declare::cacheable(), root, file: None, config: Config::empty() };
    app.read_config(call, host);
    app.build_folder();
    if matches!(subcommand, "build" | "generate") {
        app.results(subcommand);
    }
    app.variables();
    app.declare.done()
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

    fn read_config(&mut self, call: &Invocation, host: &dyn Host) {
        let mut names =
            CONFIG_ENDS.iter().filter_map(|end| paths::join(&self.root, &format!("nuxt.config.{end}")));
        let found = if self.root == call.package_dir {
            names.find(|path| call.config_files.contains(path))
        } else {
            names.find(|path| host.kind(path).is_some())
        };
        if let Some(file) = found {
            self.config = host.read_config(&file).unwrap_or_else(Config::empty);
            self.file = Some(file);
        }
    }

    /// A field that is a folder, or its default where it is not set or not known. `None`: not a folder of
    /// its own inside the workspace.
    fn folder(&mut self, field: &str, default: &str) -> Option<String> {
        let given = match self.config.at(field).text() {
            Ok(given) => given.unwrap_or(default).to_owned(),
            Err(reason) => {
                self.advise(field, &reason, "the default is taken, and the trace decides");
                default.to_owned()
            }
        };
        let found = paths::join(&self.root, &given).filter(|folder| !paths::is_within(&self.root, folder));
        if found.is_none() {
            self.advise(field, &format!("{given} is not inside the workspace"), "the trace decides");
        }
        found
    }

    fn advise(&mut self, field: &str, reason: &str, instead: &str) {
        let file = self.file.clone();
        self.add(|declare| declare.not_known(field, reason, instead, file.as_deref()));
    }

    /// Where it is there, a build goes to a cache in node_modules instead: so whether it is there must
    /// not decide anything.
    fn build_folder(&mut self) {
        let Some(folder) = self.folder("buildDir", ".nuxt") else { return };
        self.add(|declare| {
            declare.generated(
                &folder,
                "buildDir: types and templates that Nuxt writes anew, and other tools read",
            )
        });
        for name in OWN {
            self.add(|declare| declare.cache_dir(format!("{folder}/{name}"), "Nuxt builds there on its way"));
        }
        if let Some(cache) = paths::join(&self.root, "node_modules/.vite") {
            self.add(|declare| declare.cache_dir(cache, "prebundled dependencies"));
        }
    }

    fn results(&mut self, subcommand: &str) {
        // Other presets put the result elsewhere; then the trace decides.
        let is_default =
            matches!(self.config.at("nitro.preset").text(), Ok(None | Some("node-server" | "static")));
        if let Some(folder) = self.folder("nitro.output.dir", ".output").filter(|_| is_default) {
            self.add(|declare| {
                declare.emptied_output(folder, "the built server and site, which Nuxt empties first")
            });
        }
        if let Some(link) = paths::join(&self.root, "dist").filter(|_| subcommand == "generate") {
            self.add(|declare| {
                declare.ignore_reads(link, "a link to the generated site, which Nuxt only makes")
            });
        }
    }

    fn variables(&mut self) {
        self.add(|declare| {
            declare
                .track("NODE_ENV", "it decides between a production and a development bundle")
                .track_prefix("NUXT_", "runtime config, which prerendered pages and the bundle hold")
                .track_prefix("NITRO_", "they set the server up")
                .track_prefix("VITE_", "vite puts these into the bundle")
                .track("SERVER_PRESET", "it chooses how the server is built")
        });
        for host in HOSTS {
            self.add(|declare| declare.track(host, "Nuxt builds differently on this host"));
        }
    }
}
