//! The declarations. What a config computes becomes advice naming the field; the defaults are taken, and
//! where they are wrong the trace decides.

use overhear_adapter::{Args, Config, Declaration, Declare, Host, Invocation, paths};

/// What to believe of `vite build`.
pub fn build(call: &Invocation, args: &Args, host: &dyn Host) -> Declaration {
    let kit = match Kit::find(call, args, host) {
        Ok(kit) => kit,
        Err(reason) => return Declare::unsure(reason).done(),
    };
    let mut declare = kit.common();
    if let Some(folder) = &kit.out_dir {
        let why = "the built site, from which `vite preview` serves";
        declare = declare.emptied_output(format!("{folder}/output"), why);
        for temporary in ["adapter-*", "*-tmp"] {
            declare =
                declare.cache_dir(format!("{folder}/{temporary}"), "adapters bundle there on their way");
        }
    }
    if let Some(target) = kit.target() {
        declare = declare.emptied_output(target, "the target of the adapter, which empties it first");
    }
    declare.done()
}

/// What to believe of `svelte-kit sync`.
pub fn sync(call: &Invocation, args: &Args, host: &dyn Host) -> Declaration {
    match Kit::find(call, args, host) {
        Ok(kit) => kit.common().done(),
        Err(reason) => Declare::unsure(reason).done(),
    }
}

/// An app, and what is known of its config.
struct Kit<'a> {
    call: &'a Invocation,
    host: &'a dyn Host,
    /// Of the app: a folder relative to the workspace.
    root: String,
    /// `svelte.config.*`, where there is one.
    config: Config,
    /// The text of the file that names the adapter: that one, or since version 3 the config of vite.
    text: String,
    /// The file that advice about fields is about.
    file: Option<String>,
    /// `kit.outDir`; `None`: outside of the workspace.
    out_dir: Option<String>,
    /// Fields that are not known, and why.
    unknown: Vec<(&'static str, String)>,
}

impl<'a> Kit<'a> {
    /// `Err`: it is no app, or of a version that is not known.
    fn find(call: &'a Invocation, args: &Args, host: &'a dyn Host) -> Result<Kit<'a>, String> {
        let version = host.resolve_package("@sveltejs/kit").and_then(|package| package.version);
        let version = version.ok_or("@sveltejs/kit is not installed for this package")?;
        let root = match args.words.get(1).filter(|_| call.program == "vite") {
            Some(word) => paths::join(&call.cwd, word)
                .ok_or_else(|| format!("the root {word} is outside the workspace"))?,
            None => call.cwd.clone(),
        };
        let vite = vite_config(&root, call, args, host)?;
        if !vite.contains("@sveltejs/kit") && !is_dependency(call, host) {
            return Err("neither package.json nor the config of vite names @sveltejs/kit".into());
        }
        if !matches!(version.split('.').next(), Some("2" | "3")) {
            return Err(format!("SvelteKit {version} is not one of the versions 2 and 3"));
        }
        let mut kit = Kit {
            call,
            host,
            root,
            config: Config::empty(),
            text: String::new(),
            file: None,
            out_dir: None,
            unknown: Vec::new(),
        };
        kit.read_config(&vite);
        kit.find_out_dir();
        Ok(kit)
    }

    fn read_config(&mut self, vite: &str) {
        let names = ["svelte.config.js", "svelte.config.ts"];
        let candidates = names.iter().filter_map(|name| paths::join(&self.root, name));
        let call = self.call;
        let found = match self.root == call.package_dir {
            true => candidates.into_iter().find(|path| call.config_files.contains(path)),
            false => candidates.into_iter().find(|path| self.host.kind(path).is_some()),
        };
        if let Some(file) = found {
            self.config = self.host.read_config(&file).unwrap_or_else(Config::empty);
            self.text = self.host.read_text(&file).unwrap_or_default();
            self.file = Some(file);
        } else if has_inline_options(vite) {
            self.unknown.push(("kit", "it is given to the plugin in the config of vite".into()));
            self.text = vite.to_owned();
        }
    }

    fn find_out_dir(&mut self) {
        let given = match self.config.at("kit.outDir").text() {
            Ok(given) => given.unwrap_or(".svelte-kit").to_owned(),
            Err(reason) => {
                self.unknown.push(("kit.outDir", reason));
                ".svelte-kit".into()
            }
        };
        self.out_dir = paths::join(&self.root, &given).filter(|folder| !paths::is_within(&self.root, folder));
        if self.out_dir.is_none() {
            self.unknown
                .push(("kit.outDir", format!("{given} is not a folder of its own inside the workspace")));
        }
    }

    /// What holds for both commands.
    fn common(&self) -> Declare {
        // Version 3 starts a throw-away server to analyse the app.
        let mut declare = Declare::cacheable().inner_disable_cache().empty_prefix_is_declared();
        declare = declare.track("NODE_ENV", "it decides between a production and a development bundle");
        let vite = "vite puts these into the bundle";
        declare = declare.track_prefix("VITE_", vite);
        for (field, default) in [("kit.env.publicPrefix", "PUBLIC_"), ("kit.env.privatePrefix", "")] {
            declare = self.prefix(declare, field, default);
        }
        if let Some(folder) = &self.out_dir {
            let why = "kit.outDir: types and entry points that SvelteKit writes anew, and other tools read";
            declare = declare.generated(folder, why);
        }
        if let Some(folder) = paths::join(&self.root, "node_modules/$app") {
            // Version 3; nobody else writes there.
            declare =
                declare.generated(folder, "types and compiler options that SvelteKit writes for other tools");
        }
        for modules in node_modules(&self.root) {
            declare = declare.cache_dir(format!("{modules}/.vite"), "prebundled dependencies");
            declare = declare
                .cache_dir(format!("{modules}/.vite-temp"), "vite bundles its config there and deletes it");
        }
        for (field, reason) in &self.unknown {
            declare = declare.not_known(field, reason, "the default is taken", self.file.as_deref());
        }
        declare
    }

    fn prefix(&self, declare: Declare, field: &str, default: &str) -> Declare {
        match self.config.at(field).text() {
            Ok(given) => match given.unwrap_or(default) {
                // Private variables are those that the sources import by name: they are found there.
                prefix if prefix.chars().count() < 2 => declare,
                prefix => declare.track_prefix(prefix, "SvelteKit puts these into pages"),
            },
            Err(reason) => {
                let declare =
                    declare.not_known(field, &reason, "name the variables in \"env\"", self.file.as_deref());
                if default.is_empty() {
                    declare
                } else {
                    declare.track_prefix(default, "SvelteKit puts these into pages")
                }
            }
        }
    }

    /// Where the adapter puts the site, if it is one of those that empty their target, with its defaults.
    fn target(&self) -> Option<String> {
        let known = ["@sveltejs/adapter-static", "@sveltejs/adapter-node"];
        let is_plain = self.text.contains("adapter()") && known.iter().any(|name| self.text.contains(name));
        is_plain.then(|| paths::join(&self.root, "build")).flatten()
    }
}

/// The text of vite's config, by the rules of vite.
fn vite_config(root: &str, call: &Invocation, args: &Args, host: &dyn Host) -> Result<String, String> {
    let file = match args.value("config") {
        Some(path) => Some(
            paths::join(&call.cwd, path)
                .ok_or_else(|| format!("--config {path} is outside the workspace"))?,
        ),
        None => {
            let mut candidates = paths::code_files("vite.config").filter_map(|name| paths::join(root, &name));
            if root == call.package_dir {
                candidates.find(|path| call.config_files.contains(path))
            } else {
                candidates.find(|path| host.kind(path).is_some())
            }
        }
    };
    let is_script =
        |file: &String| [".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"].iter().any(|end| file.ends_with(end));
    Ok(file.filter(is_script).and_then(|file| host.read_text(&file)).unwrap_or_default())
}

/// Whether the package itself depends on SvelteKit. Another one's may be found in a folder above.
fn is_dependency(call: &Invocation, host: &dyn Host) -> bool {
    let Some(manifest) = paths::join(&call.package_dir, "package.json") else { return false };
    let Some(config) = host.read_config(&manifest) else { return false };
    ["dependencies", "devDependencies", "peerDependencies", "optionalDependencies"].iter().any(|kind| {
        matches!(config.at(kind), overhear_adapter::Field::Known(names) if names.get("@sveltejs/kit").is_some())
    })
}

/// `sveltekit({…})` instead of `sveltekit()`.
fn has_inline_options(vite: &str) -> bool {
    vite.split("sveltekit(").skip(1).any(|rest| !rest.trim_start().starts_with(')'))
}

/// Each `node_modules` at or above a folder, there or not: version 3 makes the first one of a package itself.
fn node_modules(from: &str) -> Vec<String> {
    let folders = std::iter::successors(Some(from), |folder| paths::parent(folder));
    folders.filter_map(|folder| paths::join(folder, "node_modules")).collect()
}
