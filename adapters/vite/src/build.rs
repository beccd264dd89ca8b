//! `vite build`. What cannot be read from the config without running it becomes advice naming the
//! field; what the tracer sees then decides.

use crate::places::{self, Loaded};
use overhear_adapter::{Args, Declaration, Declare, Field, Host, Invocation, paths};

/// What to believe of one build.
pub fn declare(call: &Invocation, args: &Args, host: &dyn Host) -> Declaration {
    let major = match major_version(call) {
        Ok(major) => major,
        Err(reason) => return Declare::unsure(reason).done(),
    };
    if args.has("watch") {
        return Declare::uncacheable("vite build --watch runs until it is stopped").done();
    }
    let loaded = match places::load(call, args, host) {
        Ok(loaded) => loaded,
        // Vite 8 says itself which variables it takes.
        Err(reason) if major < 8 => return prefixes_not_known(&reason),
        Err(reason) => return Declare::cacheable().advise("config-not-read", reason, None).done(),
    };
    let mut build = Build { call, args, host, loaded: &loaded, declare: Some(Declare::cacheable()) };
    if build.watches_by_config() {
        return Declare::uncacheable("build.watch in the config makes vite build run until it is stopped")
            .done();
    }
    if let Some(root) = build.root() {
        build.output(&root, major);
        build.cache(&root);
    }
    build.temporary_config();
    if major < 8 {
        match build.prefixes() {
            Ok(prefixes) => build.variables(&prefixes),
            Err(reason) => return prefixes_not_known(&reason),
        }
    }
    build.declare.unwrap_or_else(Declare::cacheable).done()
}

/// The build looks through all variables that it is given for those that start so: had it a prefix
/// that is not tracked, a hit could be stale.
fn prefixes_not_known(reason: &str) -> Declaration {
    Declare::unsure(format!(
        "envPrefix is not known without running the config ({reason}); to cache the task all the same, \
         name the variables of the build in \"env\" and set \"cache\": true"
    ))
    .done()
}

/// The major version, if it is one that this adapter knows.
fn major_version(call: &Invocation) -> Result<u32, String> {
    let Some(tool) = &call.tool else {
        return Err("the program belongs to no package, so its version is not known".into());
    };
    if tool.name != "vite" {
        return Err(format!("the program belongs to {}, not to vite", tool.name));
    }
    let version = tool.version.as_deref().unwrap_or("without a version");
    match version.split('.').next().and_then(|major| major.parse().ok()) {
        Some(major @ 5..=8) => Ok(major),
        _ => Err(format!("vite {version} is not one of the versions 5 to 8")),
    }
}

/// One build being declared.
struct Build<'a> {
    call: &'a Invocation,
    args: &'a Args,
    host: &'a dyn Host,
    loaded: &'a Loaded,
    /// Out only while something is being added.
    declare: Option<Declare>,
}

impl Build<'_> {
    fn field(&self, name: &str) -> Field<'_> {
        self.loaded.config.at(name)
    }

    /// Says that a field could not be used, and what is done instead.
    fn advise(&mut self, field: &str, reason: &str, instead: &str) {
        let file = self.loaded.file.as_deref();
        self.declare = self.declare.take().map(|declare| declare.not_known(field, reason, instead, file));
    }

    fn add(&mut self, with: impl FnOnce(Declare) -> Declare) {
        self.declare = self.declare.take().map(with);
    }

    fn watches_by_config(&mut self) -> bool {
        match self.field("build.watch") {
            Field::Absent => false,
            Field::Known(value) => !value.is_null() && value.as_bool() != Some(false),
            Field::Unknown(reason) => {
                // An unreadable config as a whole is told once, by the fields that matter more.
                let reason = reason.to_owned();
                if matches!(self.field("build"), Field::Known(_)) {
                    self.advise("build.watch", &reason, "taken as not set");
                }
                false
            }
        }
    }

    /// Vite's root, relative to the workspace. `None`: not known.
    fn root(&mut self) -> Option<String> {
        if let Some(word) = self.args.words.get(1) {
            return paths::join(&self.call.cwd, word);
        }
        let root = match self.field("root").text() {
            Ok(root) => root.unwrap_or(".").to_owned(),
            Err(reason) => {
                self.advise("root", &reason, "so outDir and cacheDir are not known, and the trace decides");
                return None;
            }
        };
        let joined = paths::join(&self.call.cwd, &root);
        if joined.is_none() {
            self.advise("root", &format!("{root} is outside the workspace"), "the trace decides");
        }
        joined
    }

    /// Vite empties an outDir that lies inside its root, or if it is told to; then it owns the tree.
    fn output(&mut self, root: &str, major: u32) {
        let given = match self.args.value("outDir") {
            Some(given) => Ok(given.to_owned()),
            None => self.field("build.outDir").text().map(|found| found.unwrap_or("dist").to_owned()),
        };
        let given = match given {
            Ok(given) => given,
            Err(reason) => return self.advise("build.outDir", &reason, "the trace decides what is output"),
        };
        let Some(folder) = paths::join(root, &given) else {
            let reason = format!("{given} is not inside the workspace");
            return self.advise("build.outDir", &reason, "the trace decides what is output");
        };
        let inside = folder != root && paths::is_within(&folder, root);
        let told = match self.args.truth("emptyOutDir") {
            Some(told) => Ok(Some(told)),
            None => self.field("build.emptyOutDir").truth(),
        };
        let empties = match told {
            Ok(told) => told.unwrap_or(inside),
            Err(reason) => {
                self.advise("build.emptyOutDir", &reason, "taken as false");
                false
            }
        };
        // A folder that holds the root, or is it, is never vite's own.
        if empties && !paths::is_within(root, &folder) {
            let why = "build.outDir, which vite empties first";
            // Vite 8 says by itself that what it looks at there does not count.
            self.add(|declare| match major {
                8.. => declare.output(&folder, why),
                _ => declare.emptied_output(&folder, why),
            });
        }
    }

    fn cache(&mut self, root: &str) {
        let folder = match self.field("cacheDir").text() {
            Ok(Some(given)) => paths::join(root, given),
            Ok(None) => {
                let package = places::nearest_package(root, self.call, self.host);
                paths::join(package, "node_modules/.vite")
            }
            Err(reason) => return self.advise("cacheDir", &reason, "the trace decides"),
        };
        match folder {
            Some(folder) => {
                self.add(|declare| declare.cache_dir(folder, "cacheDir: prebundled dependencies"))
            }
            None => self.advise("cacheDir", "it is not inside the workspace", "the trace decides"),
        }
    }

    /// Vite bundles its config to a file with the time in its name, loads it, and deletes it.
    fn temporary_config(&mut self) {
        let Some(folder) = self.loaded.file.as_deref().and_then(paths::parent) else { return };
        for modules in places::node_modules(folder) {
            let why = "vite bundles its config to a file there, loads it and deletes it";
            self.add(|declare| declare.cache_dir(format!("{modules}/.vite-temp"), why));
        }
    }

    /// How the names of variables start that are put into the bundle.
    fn prefixes(&self) -> Result<Vec<String>, String> {
        let found = self.field("envPrefix").texts()?.unwrap_or_else(|| vec!["VITE_"]);
        match found.iter().find(|prefix| prefix.chars().count() < 2) {
            Some(short) => Err(format!("the prefix `{short}` is too short to be tracked")),
            None => Ok(found.into_iter().map(str::to_owned).collect()),
        }
    }

    /// What vite 8 asks for by itself over IPC, and older ones only read.
    fn variables(&mut self, prefixes: &[String]) {
        self.add(|declare| {
            declare.track("NODE_ENV", "it decides between a production and a development bundle")
        });
        for prefix in prefixes {
            self.add(|declare| declare.track_prefix(prefix, "envPrefix: these are put into the bundle"));
        }
    }
}
