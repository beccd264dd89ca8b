//! Where vite finds and puts things, by the rules that vite itself follows. Each function asks the host
//! for as little as it can.

use overhear_adapter::{Args, Config, EntryKind, Host, Invocation, paths};

/// The config file that vite would load, and what is statically known of it.
pub struct Loaded {
    /// Relative to the workspace root; `None` without a config file.
    pub file: Option<String>,
    /// What is known of it.
    pub config: Config,
}

/// Finds and reads the config. `Err`: there is one, but it is out of reach; with the reason.
pub fn load(call: &Invocation, args: &Args, host: &dyn Host) -> Result<Loaded, String> {
    let Some(file) = find(call, args, host)? else {
        return Ok(Loaded { file: None, config: Config::empty() });
    };
    match host.read_config(&file) {
        Some(config) => Ok(Loaded { file: Some(file), config }),
        None => Err(format!("there is no config file {file}")),
    }
}

fn find(call: &Invocation, args: &Args, host: &dyn Host) -> Result<Option<String>, String> {
    if args.truth("config") == Some(false) {
        return Ok(None);
    }
    if let Some(path) = args.value("config") {
        let file = paths::join(&call.cwd, path)
            .ok_or_else(|| format!("--config {path} is outside the workspace"))?;
        let name = file.rsplit('/').next().unwrap_or(&file);
        let readable = [".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"].iter().any(|end| name.ends_with(end));
        return if readable {
            Ok(Some(file))
        } else {
            Err(format!("{file} is no JavaScript or TypeScript file"))
        };
    }
    let folder = match args.words.get(1) {
        Some(root) => {
            paths::join(&call.cwd, root).ok_or_else(|| format!("the root {root} is outside the workspace"))?
        }
        None => call.cwd.clone(),
    };
    let mut candidates = paths::code_files("vite.config").filter_map(|name| paths::join(&folder, &name));
    // The call already lists what lies in the package folder: nothing need be asked.
    let found = if folder == call.package_dir {
        candidates.find(|path| call.config_files.contains(path))
    } else {
        candidates.find(|path| host.kind(path).is_some())
    };
    Ok(found)
}

/// Each `node_modules` at or above a directory, the nearest first: in the first that is there lies `.vite-temp`. Which
/// one that is may change with a run, as vite's cache makes one.
pub fn node_modules(from: &str) -> impl Iterator<Item = String> {
    let folders = std::iter::successors(Some(from), |folder| paths::parent(folder));
    folders.filter_map(|folder| paths::join(folder, "node_modules"))
}

/// The folder of the nearest package.json at or above a directory: there lies vite's cache by default.
pub fn nearest_package<'a>(from: &'a str, call: &'a Invocation, host: &dyn Host) -> &'a str {
    let mut folder = from;
    while folder != call.package_dir {
        let there = paths::join(folder, "package.json").and_then(|path| host.kind(&path));
        match paths::parent(folder) {
            _ if there == Some(EntryKind::File) => return folder,
            Some(above) => folder = above,
            None => return from,
        }
    }
    folder
}
