//! What a person does between runs, carried out on the disk and noted for the script.

use super::World;
use crate::case::{Action, FOLDERS, How, INPUTS, VARIABLES};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

impl World<'_> {
    pub(super) fn write(&mut self, path: &str, text: &str) {
        self.script.push(format!("mkdir -p \"$(dirname {path})\"; cat > {path} <<'END'\n{text}END"));
        let path = self.ws().join(path);
        // A folder may lie there, or a file where a folder should be: an edit that cannot be made is none.
        let _ = fs::create_dir_all(path.parent().expect("it lies in the workspace"));
        let _ = fs::write(path, text);
    }

    pub(super) fn link(&mut self, path: &str, text: &str) {
        self.script.push(format!("rm -rf {path}; ln -s {text} {path}"));
        self.remove(path);
        let path = self.ws().join(path);
        let _ = fs::create_dir_all(path.parent().expect("it lies in the workspace"));
        let _ = std::os::unix::fs::symlink(text, path);
    }

    fn remove(&self, path: &str) {
        let path = self.ws().join(path);
        let _ = match path.symlink_metadata() {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&path),
            _ => fs::remove_file(&path),
        };
    }

    /// Carries out one action; what is wrong afterwards, if anything.
    pub fn act(&mut self, action: &Action) -> Result<(), String> {
        if let Action::Run { task, force } = action {
            return self.run(*task, *force);
        }
        let keeps_hit = matches!(action, Action::DeleteOutputs(_) | Action::Touch(_));
        match action {
            Action::Run { .. } => {}
            Action::Write { path, version, how } => self.edit(path, *version, *how),
            Action::Touch(path) => {
                self.script.push(format!("[ -f {path} ] && touch {path}"));
                if let Ok(file) = fs::OpenOptions::new().append(true).open(self.ws().join(path)) {
                    let _ = file.set_modified(std::time::SystemTime::now());
                }
            }
            Action::Delete(path) => {
                self.script.push(format!("rm -rf {path}"));
                self.remove(path);
            }
            Action::Rename(from, to) => {
                self.script.push(format!("mv -T {from} {to}"));
                let _ = fs::rename(self.ws().join(from), self.ws().join(to));
            }
            Action::Chmod(path) => {
                self.script.push(format!("[ -f {path} ] && chmod +x {path}"));
                let path = self.ws().join(path);
                if path.is_file() {
                    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o755));
                }
            }
            Action::ToFolder(path) => {
                self.script.push(format!("rm -rf {path}"));
                self.remove(path);
                self.write(&format!("{path}/inner"), "v0\n");
            }
            Action::ToLink(path, text) => self.link(path, text),
            Action::DeleteOutputs(which) => self.delete_outputs(*which),
            Action::EditOutput(which, version) => {
                let made: Vec<PathBuf> = self.left.keys().cloned().collect();
                if let Some(path) = made.get(which % made.len().max(1)) {
                    self.write(&path.display().to_string(), &format!("edit {version}\n"));
                }
            }
            Action::Stray(which) => {
                let folder = FOLDERS[2 + which % 3];
                if self.ws().join(folder).is_dir() {
                    self.write(&format!("{folder}/stray"), "stray\n");
                }
            }
            Action::Env(which, value) => {
                self.env[*which] = *value;
                self.script.push(match value {
                    Some(value) => format!("export {}=e{value}", VARIABLES[*which]),
                    None => format!("unset {}", VARIABLES[*which]),
                });
            }
            Action::Keys { task, keys } => {
                self.keys[*task] = *keys;
                self.write_config();
            }
            Action::Script { script, version } => {
                let text = format!("{}\n", self.case.scripts[*script][*version].join("\n"));
                self.write(&format!("tools/{script}"), &text);
            }
            Action::Back => {
                for path in INPUTS[..3].iter().chain(&["top"]) {
                    self.script.push(format!("rm -rf {path}"));
                    self.remove(path);
                    self.write(path, "v0\n");
                }
            }
        }
        if !keeps_hit {
            self.last = None;
        }
        Ok(())
    }

    fn edit(&mut self, path: &str, version: usize, how: How) {
        let absolute = self.ws().join(path);
        let text = format!("v{version}\n{}", if how == How::Longer { "more\n" } else { "" });
        match how {
            How::Plain | How::Longer => self.write(path, &text),
            How::KeepingTime => {
                let time = fs::metadata(&absolute).and_then(|meta| meta.modified());
                self.script.push(format!("[ -e {path} ] && cp -p {path} ../reference"));
                self.write(path, &text);
                self.script
                    .push(format!("[ -e ../reference ] && touch -r ../reference {path}; rm -f ../reference"));
                if let (Ok(time), Ok(file)) = (time, fs::OpenOptions::new().append(true).open(&absolute)) {
                    let _ = file.set_modified(time);
                }
            }
            How::RenamedOver => {
                self.write("beside", &text);
                self.script.push(format!("mv -T beside {path}"));
                if fs::rename(self.ws().join("beside"), &absolute).is_err() {
                    self.remove("beside");
                }
            }
        }
    }

    fn delete_outputs(&mut self, which: Option<usize>) {
        let made: Vec<PathBuf> = self.left.keys().cloned().collect();
        // Sources that a step rewrote are not thought of as outputs.
        let is_output = |path: &&PathBuf| !path.starts_with("src") && !path.starts_with("top");
        let made: Vec<PathBuf> = match which {
            None => made.iter().filter(is_output).cloned().collect(),
            Some(which) => {
                made.iter().filter(is_output).skip(which % made.len().max(1)).take(1).cloned().collect()
            }
        };
        for path in made {
            let path = path.display().to_string();
            self.script.push(format!("rm -rf {path}"));
            self.remove(&path);
        }
    }
}
