//! What every command that looks steps up needs: the cache, the adapters, the environment.

use crate::adapter::{Adapters, Memo};
use crate::config::{CacheDefaults, RootSettings};
use crate::digest::Digest;
use crate::fingerprint::Digests;
use crate::path::Places;
use crate::plan::env::{self, Runner};
use crate::process::{Processes, Running};
use crate::step::{Mode, NamedFiles, Shared};
use crate::store::{Store, StoreError};
use crate::trace::preload;
use crate::workspace::Workspace;
use crate::zone::Zones;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Why nothing is cached inside a task that another overhear overhears: a hit would hide from that one what
/// the command depends on.
const INSIDE: &str = "it runs inside a task that another overhear listens to, and is part of that task";

/// All of it.
pub(super) struct Setup<'a> {
    from_dir: &'a Path,
    settings: RootSettings,
    store: Result<Arc<Store>, String>,
    adapters: Adapters,
    zones: Zones,
    runner: Runner,
    digests: Digests,
    /// Processes that are running, for signals.
    pub running: Running,
    /// What of the adapters could not be done as wanted, one line each.
    notices: Vec<String>,
}

impl<'a> Setup<'a> {
    /// For running: the cache is made where there is none. Where that fails tasks run without it.
    /// Also gives one line for each thing that had to be set aside.
    pub fn to_run(
        workspace: &Workspace,
        from_dir: &'a Path,
        mode: Mode,
        frozen: bool,
    ) -> (Setup<'a>, Vec<String>) {
        let cache = workspace.settings().cache;
        if mode == Mode::Off {
            return (Setup::new(workspace, from_dir, Err(String::new()), frozen), Vec::new());
        }
        if crate::ipc::is_overheard() {
            return (Setup::new(workspace, from_dir, Err(INSIDE.to_owned()), frozen), Vec::new());
        }
        let (store, mut notices) = match Store::open(&workspace.root, cache_dir(workspace, &cache).as_deref())
        {
            Ok((store, notices)) => (Ok(store.bounded(cache.bounds)), notices),
            Err(error) => (Err(error.to_string()), Vec::new()),
        };
        let mut setup = Setup::new(workspace, from_dir, store, frozen);
        notices.append(&mut setup.notices);
        (setup, notices)
    }

    /// For looking: nothing is written.
    pub fn to_look(workspace: &Workspace, from_dir: &'a Path) -> Setup<'a> {
        Setup::to_foresee(workspace, from_dir, false).0
    }

    /// For saying what a run would come to: nothing is written. Also gives one line for each adapter that
    /// had to be set aside.
    pub fn to_foresee(workspace: &Workspace, from_dir: &'a Path, frozen: bool) -> (Setup<'a>, Vec<String>) {
        let store = look(workspace).map_err(|error| error.to_string());
        let mut setup = Setup::new(workspace, from_dir, store, frozen);
        let notices = std::mem::take(&mut setup.notices);
        (setup, notices)
    }

    /// Keeps the cache below its size, if something was stored; gives the fault where that fails.
    pub fn keep_below(&self) -> Option<StoreError> {
        let store = self.store.as_ref().ok().filter(|store| store.has_stored())?;
        store.keep_below(self.settings.cache.max_size).err()
    }

    fn new(
        workspace: &Workspace,
        from_dir: &'a Path,
        store: Result<Store, String>,
        frozen: bool,
    ) -> Setup<'a> {
        let settings = workspace.settings();
        let store = store.map(Arc::new);
        let memo: Arc<dyn Memo> = Arc::new(StoreMemo(store.as_ref().ok().cloned()));
        let cache = crate::shipped::user_cache();
        let frozen = frozen || is_in_ci();
        let (adapters, notices) =
            Adapters::of(&settings.adapters, &workspace.root, memo.clone(), cache.as_deref(), frozen);
        Setup {
            from_dir,
            adapters,
            notices,
            store,
            zones: zones(workspace, &settings.cache),
            settings,
            runner: runner(&workspace.root),
            digests: Digests::new(memo),
            running: Running::new(),
        }
    }

    /// What the steps share.
    pub fn shared(&self, mode: Mode, gives_terminal: bool) -> Shared<'_> {
        Shared {
            store: self.store.as_deref().map_err(Clone::clone),
            adapters: &self.adapters,
            zones: &self.zones,
            runner: &self.runner,
            from_dir: self.from_dir,
            defaults: &self.settings.cache,
            mode,
            digests: &self.digests,
            named: NamedFiles::new(self.runner.variables()),
            commands: &Processes,
            running: &self.running,
            gives_terminal,
            shows_colors: false,
            told: Mutex::default(),
            unused: Mutex::default(),
            together: Arc::default(),
        }
    }
}

/// The environment of this process, for a workspace.
fn runner(root: &Path) -> Runner {
    let variables = env::without_own_starter(std::env::vars_os().collect(), root);
    Runner::new(variables, root, preload::trouble().is_none())
}

/// Where nobody looks on, adapters are used exactly as they are locked.
fn is_in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !matches!(value.to_str(), Some("" | "0" | "false")))
}

/// What the store remembers of adapters, where there is a store.
struct StoreMemo(Option<Arc<Store>>);

impl Memo for StoreMemo {
    fn get(&self, key: Digest) -> Option<Vec<u8>> {
        self.0.as_ref()?.memo(key)
    }

    fn put(&self, key: Digest, value: &[u8]) {
        if let Some(store) = &self.0 {
            store.put_memo(key, value);
        }
    }
}

/// Opens the cache of a workspace for looking.
pub(super) fn look(workspace: &Workspace) -> Result<Store, StoreError> {
    let cache = workspace.settings().cache;
    Store::look(&workspace.root, cache_dir(workspace, &cache).as_deref())
}

/// Where entries go, if not into `.overhear` at the root.
pub(super) fn cache_dir(workspace: &Workspace, cache: &CacheDefaults) -> Option<PathBuf> {
    let from_env = std::env::var_os("OVERHEAR_CACHE_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    from_env.or_else(|| cache.dir.as_ref().map(PathBuf::from)).map(|dir| workspace.root.join(dir))
}

fn zones(workspace: &Workspace, cache: &CacheDefaults) -> Zones {
    let resolved = |path: PathBuf| path.canonicalize().ok();
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    // One that is not there is named in outputs all the same.
    let home = home.map(|home| home.canonicalize().unwrap_or(home));
    let temp = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
    let mut own = vec![workspace.root.join(crate::store::FOLDER)];
    own.extend(cache_dir(workspace, cache).and_then(resolved));
    Zones {
        places: Places { root: workspace.root.clone(), home },
        temp: temp.into_iter().filter_map(resolved).collect(),
        own,
    }
}
