//! What becomes of names: removing, renaming and linking, of files and of whole folders.

use super::Recorder;
use super::listing::listing;
use crate::access::{AccessKind, Listing};
use crate::stamp::Found;
use crate::trace::event::Event;
use crate::trace::resolve::look;
use crate::trace::tree;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `renameat2` flags.
const RENAME_NOREPLACE: u64 = 1;
const RENAME_EXCHANGE: u64 = 2;

impl Recorder {
    pub(super) fn remove_file(&mut self, event: &Event<'_>) {
        let Some((path, found)) = self.target(&event.place, event, false) else { return };
        match found {
            Found::Absent | Found::Folder(_) => self.add(event, &path, AccessKind::Kind, found),
            _ if !tree::may_create(&path) => self.add(event, &path, AccessKind::Kind, found),
            _ => {
                if matches!(found, Found::Link(_)) {
                    self.names_change(&path);
                }
                self.add(event, &path, AccessKind::Remove, found);
            }
        }
    }

    pub(super) fn remove_folder(&mut self, event: &Event<'_>) {
        let Some((path, found)) = self.target(&event.place, event, false) else { return };
        match found {
            Found::Folder(_) if tree::is_empty_folder(&path) => {
                self.names_change(&path);
                self.add(event, &path, AccessKind::Remove, found);
            }
            // Refused by the kernel because of the names in it, which the caller now knows.
            Found::Folder(_) => self.list(event, &path, found),
            found => self.add(event, &path, AccessKind::Kind, found),
        }
    }

    pub(super) fn link(&mut self, event: &Event<'_>) {
        let from = self.target(&event.place, event, event.follow);
        if let Some((path, found)) = &from {
            let kind = match found {
                Found::File(_) => AccessKind::Read,
                _ => AccessKind::Kind,
            };
            self.add(event, path, kind, found.clone());
        }
        let Some((path, found)) = self.target(&event.second, event, false) else { return };
        let gone = from.is_some_and(|(_, found)| found == Found::Absent);
        if found != Found::Absent || gone || !tree::may_create(&path) {
            if !gone {
                self.look_above(event, &path);
            }
            return self.add(event, &path, AccessKind::Kind, found);
        }
        self.names_change(&path);
        self.add(event, &path, AccessKind::Create, found);
    }

    pub(super) fn rename(&mut self, event: &Event<'_>) {
        let Some((from, what)) = self.target(&event.place, event, false) else { return };
        let Some((to, target)) = self.target(&event.second, event, false) else {
            return self.removed_tree(event, &from, &what);
        };
        let exchange = event.flags & RENAME_EXCHANGE != 0;
        if what == Found::Absent {
            return self.add(event, &from, AccessKind::Kind, what);
        }
        if exchange && target == Found::Absent {
            return self.refused(event, (&from, what), (&to, target));
        }
        if target != Found::Absent && tree::is_same(&from, &to) {
            // One thing, by one name or two: the kernel does nothing.
            return self.refused(event, (&from, what), (&to, target));
        }
        let refused = match (&what, &target) {
            _ if exchange => false,
            (_, Found::Absent) => false,
            _ if event.flags & RENAME_NOREPLACE != 0 => true,
            (Found::Folder(_), Found::Folder(_)) => !tree::is_empty_folder(&to),
            (Found::Folder(_), _) | (_, Found::Folder(_)) => true,
            _ => false,
        };
        if refused && matches!((&what, &target), (Found::Folder(_), Found::Folder(_))) {
            // Refused because of the names in it, which the caller now knows.
            self.add(event, &from, AccessKind::Kind, what);
            return self.list(event, &to, target);
        }
        if refused || !tree::may_create(&from) || !tree::may_create(&to) {
            return self.refused(event, (&from, what), (&to, target));
        }
        if event.flags & RENAME_NOREPLACE != 0 {
            self.add(event, &to, AccessKind::Kind, Found::Absent);
        }
        if !matches!((&what, &target), (Found::File(_), Found::File(_) | Found::Absent)) {
            self.names_change(&from);
            self.names_change(&to);
        }
        if exchange {
            self.read_tree(event, &from, &what);
            self.read_tree(event, &to, &target);
            self.moved_tree(event, &to, &from, &target);
        }
        self.moved_tree(event, &from, &to, &what);
    }

    /// Nothing was moved, because of what lies at both places.
    fn refused(&mut self, event: &Event<'_>, from: (&Path, Found), to: (&Path, Found)) {
        if to.1 == Found::Absent {
            self.look_above(event, to.0);
        }
        self.add(event, from.0, AccessKind::Kind, from.1);
        self.add(event, to.0, AccessKind::Kind, to.1);
    }

    /// Records each file below `from` as read, gone there and made below `to`.
    fn moved_tree(&mut self, event: &Event<'_>, from: &Path, to: &Path, what: &Found) {
        let target = look(to.as_os_str().as_bytes());
        if let Found::Folder(_) = what {
            let names = self.listed(event, from, what);
            self.add(event, from, AccessKind::Rename, what.clone());
            self.add(event, to, AccessKind::Create, target);
            for (name, _) in names {
                let (from, to) = (from.join(&name), to.join(&name));
                let what = look(from.as_os_str().as_bytes());
                self.moved_tree(event, &from, &to, &what);
            }
            return;
        }
        self.read_before_move(event, from, what);
        self.add(event, from, AccessKind::Rename, what.clone());
        let kind = match what {
            Found::File(_) => AccessKind::Write { truncates: true },
            _ => AccessKind::Create,
        };
        self.add(event, to, kind, target);
    }

    /// The same for a move to where nothing counts.
    fn removed_tree(&mut self, event: &Event<'_>, from: &Path, what: &Found) {
        if *what == Found::Absent {
            return self.add(event, from, AccessKind::Kind, Found::Absent);
        }
        self.names_change(from);
        if let Found::Folder(_) = what {
            for (name, _) in self.listed(event, from, what) {
                let from = from.join(&name);
                let what = look(from.as_os_str().as_bytes());
                self.removed_tree(event, &from, &what);
            }
        } else {
            self.read_before_move(event, from, what);
        }
        self.add(event, from, AccessKind::Remove, what.clone());
    }

    /// Records everything at and below a path that is about to be moved.
    fn read_tree(&mut self, event: &Event<'_>, path: &Path, what: &Found) {
        if let Found::Folder(_) = what {
            for (name, _) in self.listed(event, path, what) {
                let path = path.join(&name);
                let what = look(path.as_os_str().as_bytes());
                self.read_tree(event, &path, &what);
            }
        } else {
            self.read_before_move(event, path, what);
        }
    }

    fn listed(&mut self, event: &Event<'_>, path: &Path, found: &Found) -> Listing {
        let names = listing(path).unwrap_or_default();
        if self.paths.seen(path).is_none_or(|seen| seen.change.is_none()) {
            self.add(event, path, AccessKind::List(names.clone()), found.clone());
        }
        names
    }

    /// Content that is moved counts as read, unless the step had made it.
    fn read_before_move(&mut self, event: &Event<'_>, path: &Path, found: &Found) {
        if self.paths.seen(path).is_some_and(|seen| seen.change.is_some()) {
            return;
        }
        let kind = match found {
            Found::File(_) => AccessKind::Read,
            Found::Link(_) => AccessKind::Link,
            _ => AccessKind::Kind,
        };
        self.add(event, path, kind, found.clone());
    }
}
