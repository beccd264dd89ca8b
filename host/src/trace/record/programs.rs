//! What executing a file says: the programs and interpreters that the kernel opens, names of processes, and
//! what a search of PATH gave.

use super::Recorder;
use crate::access::AccessKind;
use crate::stamp::Found;
use crate::trace::event::{Event, Place};
use crate::trace::exec;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

impl Recorder {
    pub(super) fn exec(&mut self, event: &Event<'_>) {
        event.place.absolute(&mut self.absolute);
        let asked = self.absolute.clone();
        let Some((path, found)) = self.target(&event.place, event, event.follow) else {
            return self.name_process(event.who.pid, &asked);
        };
        if found != Found::Absent {
            self.name_process(event.who.pid, &asked);
            self.note_search(&asked, &path);
        }
        let is_file = matches!(found, Found::File(_));
        self.add(event, &path, AccessKind::Exec, found);
        if is_file {
            self.interpreters(event, &path, exec::DEPTH_MAX);
        }
    }

    /// What the kernel opens by itself to execute a file: no call shows it.
    fn interpreters(&mut self, event: &Event<'_>, path: &Path, depth: usize) {
        let program = match exec::inspect(path, self.spec.no_new_privileges) {
            Ok(program) => program,
            Err(why) => {
                let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
                return self.observed.poison(format!("{name} {why}"));
            }
        };
        let (Some(interpreter), true) = (program.interpreter, depth > 0) else { return };
        let place = Place { base: event.place.base, path: interpreter.as_os_str().as_bytes() };
        let Some((path, found)) = self.target(&place, event, true) else { return };
        let is_file = matches!(found, Found::File(_));
        self.note_search(place.path, &path);
        self.add(event, &path, AccessKind::Exec, found);
        if is_file && program.is_script {
            self.interpreters(event, &path, depth - 1);
        }
    }

    pub(super) fn name_process(&mut self, pid: u32, path: &[u8]) {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
        self.observed.processes.insert(pid, String::from_utf8_lossy(name).into_owned());
    }

    /// Notes a program whose path is what a search of PATH gives for its name.
    fn note_search(&mut self, asked: &[u8], resolved: &Path) {
        let Some(slash) = asked.iter().rposition(|byte| *byte == b'/') else { return };
        let name = &asked[slash + 1..];
        if !self.searches.contains_key(name) {
            let found = exec::search(OsStr::from_bytes(name), &self.spec.path);
            self.searches.insert(name.to_vec(), found);
        }
        if let Some(Some(found)) = self.searches.get(name)
            && found.as_os_str().as_bytes() == asked
        {
            let name = String::from_utf8_lossy(name).into_owned();
            self.observed.searched.insert(name, resolved.to_path_buf());
        }
    }
}
