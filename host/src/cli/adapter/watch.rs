//! `overhear adapter test --watch`: waits until something changed that the cases of an adapter depend on.

use super::Home;
use crate::problem::Problem;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// So long nothing more must have changed: editors write several files at once.
const QUIET: Duration = Duration::from_millis(100);
/// Folders of an adapter besides its own: cases, and sources.
const BELOW: [&str; 3] = ["tests", "src", "overhear"];

/// Watches the folder of an adapter.
pub struct Watch {
    /// Held, because nothing is told when it is gone.
    _watcher: RecommendedWatcher,
    changed: Receiver<()>,
}

impl Watch {
    /// Begins. What changes from now on is noticed.
    ///
    /// # Errors
    /// What the system says.
    pub fn begin(home: &Home) -> Result<Watch, Problem> {
        let (tell, changed) = channel();
        let made: Vec<PathBuf> = made_by_building(home);
        let told = move |event: notify::Result<notify::Event>| {
            // Where events were lost, something may have changed.
            let counts = event.map_or(true, |event| {
                !matches!(event.kind, EventKind::Access(_))
                    && !event.paths.iter().all(|path| made.iter().any(|made| path.starts_with(made)))
            });
            if counts {
                // Nobody listens any more at the end.
                let _ = tell.send(());
            }
        };
        let failed = |error| Problem::new(format!("cannot watch {}: {error}", home.folder.display()));
        let mut watcher = notify::recommended_watcher(told).map_err(failed)?;
        watcher.watch(&home.folder, RecursiveMode::NonRecursive).map_err(failed)?;
        for below in BELOW.map(|below| home.folder.join(below)).into_iter().filter(|below| below.is_dir()) {
            watcher.watch(&below, RecursiveMode::Recursive).map_err(failed)?;
        }
        Ok(Watch { _watcher: watcher, changed })
    }

    /// Waits for a change, and until no more follow.
    pub fn wait(&self) {
        let mut is_open = self.changed.recv().is_ok();
        while is_open {
            is_open = self.changed.recv_timeout(QUIET).is_ok();
        }
    }
}

/// What building writes into the folder itself.
fn made_by_building(home: &Home) -> Vec<PathBuf> {
    let mut made: Vec<&Path> = vec![Path::new("target"), Path::new("Cargo.lock")];
    made.extend(home.file.ends_with(".wasm").then(|| Path::new(&home.file)));
    made.into_iter().map(|made| home.folder.join(made)).collect()
}
