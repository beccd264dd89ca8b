//! What outputs were: the content of single files out of archives, for people to look at. Nothing is put
//! in place here.

use super::format::OutputKind;
use super::{Entry, Store};
use crate::digest::Digest;
use crate::path::PortablePath;
use rustc_hash::FxHashMap;

/// So many entries, the newest, are searched for the earlier content of a path.
const SEARCHED_MAX: usize = 1000;

impl Store {
    /// The content of files that an entry has as outputs, those that can be read back and are no larger
    /// than `bytes_max` each.
    pub fn recall(&self, entry: &Entry, paths: &[&PortablePath], bytes_max: u64) -> Recalled {
        let mut recalled = Recalled::default();
        let Some(archive) = entry.archive else { return recalled };
        let outputs = &entry.manifest.outputs;
        let small = |path: &PortablePath| {
            let output = outputs.binary_search_by(|output| output.path.cmp(path)).map(|at| &outputs[at]);
            output.is_ok_and(
                |output| matches!(output.kind, OutputKind::File { bytes, .. } if bytes <= bytes_max),
            )
        };
        let wanted: Vec<&PortablePath> = paths.iter().copied().filter(|path| small(path)).collect();
        if wanted.is_empty() {
            return recalled;
        }
        let Ok(scratch) = tempfile::tempdir() else { return recalled };
        let file = |nth: usize| scratch.path().join(nth.to_string());
        let wanted: FxHashMap<&PortablePath, _> =
            wanted.into_iter().enumerate().map(|(nth, path)| (path, file(nth))).collect();
        if self.unpack(archive, outputs, &wanted).is_err() {
            return recalled;
        }
        for (path, file) in wanted {
            if let Ok(content) = std::fs::read(file) {
                recalled.0.insert(path.clone(), content);
            }
        }
        recalled
    }

    /// The content of paths as some step has made them, for those where `is_it` knows the digest and
    /// executable bit that an entry has of it. Searches the newest entries.
    pub fn recall_made(
        &self,
        paths: &[&PortablePath],
        bytes_max: u64,
        is_it: &dyn Fn(&PortablePath, Digest, bool) -> bool,
    ) -> Recalled {
        let mut recalled = Recalled::default();
        let mut missing: Vec<&PortablePath> = paths.to_vec();
        let listed = self.list().unwrap_or_default();
        let fingerprints = listed.iter().filter_map(|listed| Digest::from_hex(&listed.fingerprint));
        for fingerprint in fingerprints.take(SEARCHED_MAX) {
            if missing.is_empty() {
                break;
            }
            let Ok(Some(entry)) = self.entry(fingerprint) else { continue };
            let outputs = &entry.manifest.outputs;
            let found: Vec<PortablePath> = missing
                .iter()
                .filter_map(|path| {
                    let at = outputs.binary_search_by(|output| output.path.cmp(path)).ok()?;
                    match outputs[at].kind {
                        OutputKind::File { digest, executable, .. } if is_it(path, digest, executable) => {
                            Some((*path).clone())
                        }
                        _ => None,
                    }
                })
                .collect();
            let names: Vec<&PortablePath> = found.iter().collect();
            recalled.0.extend(self.recall(&entry, &names, bytes_max).0);
            missing.retain(|path| !recalled.0.contains_key(*path));
        }
        recalled
    }
}

/// Files with the content that they had.
#[derive(Default)]
pub struct Recalled(FxHashMap<PortablePath, Vec<u8>>);

impl Recalled {
    /// The content of one.
    pub fn get(&self, path: &PortablePath) -> Option<&[u8]> {
        self.0.get(path).map(Vec::as_slice)
    }
}
