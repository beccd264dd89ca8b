//! Where the workspace root is: the nearest folder upwards that names packages and whose globs
//! stand for the package one is in; else that package alone.

use super::globs::{BadGlob, Globs};
use super::manifest::{self, Manifest};
use super::{CONFIG_FILES, read_source, unreadable};
use crate::problem::{Problem, Problems, Source};
use saphyr::{LoadableYamlNode, MarkedYaml};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What a pnpm-workspace.yaml should look like, on one line.
const EXAMPLE: &str =
    "write packages: [\"packages/*\"], or below `packages:` a line - \"packages/*\" for each";

/// A root.
#[derive(Debug)]
pub(super) struct Found {
    /// Absolute and resolved.
    pub root: PathBuf,
    /// Its package.json, if there is one.
    pub root_manifest: Option<Source>,
    /// What stands for its packages; `None` where nothing names any.
    pub globs: Option<Globs>,
}

/// Finds the root for a folder.
pub(super) fn find(from: &Path) -> Result<Found, Problems> {
    let from = from
        .canonicalize()
        .map_err(|error| Problem::new(format!("cannot open folder {}: {error}", from.display())))?;
    let mut nearest: Option<(PathBuf, Option<Source>)> = None;
    for dir in from.ancestors() {
        let manifest_file = dir.join("package.json");
        let manifest = match read_source(&manifest_file) {
            // It may belong to somebody else, as with the globs.
            Err(_) if nearest.is_some() => None,
            read => read.map_err(|error| unreadable(&manifest_file, &error))?,
        };
        let globs = globs_at(dir, manifest.as_ref(), nearest.is_some())?;
        if nearest.is_none() && (manifest.is_some() || globs.is_some()) {
            nearest = Some((dir.to_path_buf(), manifest.clone()));
        }
        let Some((package, _)) = &nearest else { continue };
        let Some(globs) = globs else { continue };
        let relative = package.strip_prefix(dir).unwrap_or(Path::new(""));
        if package == dir || globs.include(relative) {
            return Ok(Found { root: dir.to_path_buf(), root_manifest: manifest, globs: Some(globs) });
        }
    }
    if let Some((root, root_manifest)) = nearest {
        return Ok(Found { root, root_manifest, globs: None });
    }
    let with_config = from.ancestors().find(|dir| CONFIG_FILES.iter().any(|name| dir.join(name).is_file()));
    match with_config {
        Some(dir) => Ok(Found { root: dir.to_path_buf(), root_manifest: None, globs: None }),
        None => Err(Problem::new(format!("no package.json in {} or any folder above it", from.display()))
            .help("go to the folder of a package, or name one with -C")
            .into()),
    }
}

/// The globs that a folder gives for its packages. Files above the package that one is in may
/// belong to somebody else: what is wrong there means only that they name no packages.
fn globs_at(dir: &Path, manifest: Option<&Source>, above: bool) -> Result<Option<Globs>, Problems> {
    let file = dir.join("pnpm-workspace.yaml");
    let read =
        read_source(&file).map_err(|error| Problems::from(unreadable(&file, &error))).and_then(|yaml| {
            let written = match &yaml {
                Some(yaml) => pnpm_globs(yaml)?,
                None => None,
            };
            match (written, yaml, manifest) {
                (Some(written), Some(yaml), _) => collect(&yaml, written).map(Some),
                (_, _, Some(manifest)) => manifest_globs(manifest),
                _ => Ok(None),
            }
        });
    if above { Ok(read.ok().flatten()) } else { read }
}

fn manifest_globs(source: &Source) -> Result<Option<Globs>, Problems> {
    if !source.text.contains("\"workspaces\"") {
        return Ok(None);
    }
    let Some(written) = Manifest::parse(source)?.workspaces() else { return Ok(None) };
    let whole = || manifest::value_range(source, &["workspaces"]).unwrap_or(0..0);
    let place = |glob: &str| {
        let range = whole();
        let quoted = serde_json::to_string(glob).unwrap_or_default();
        match source.text[range.clone()].find(&quoted) {
            Some(at) => range.start + at..range.start + at + quoted.len(),
            None => range,
        }
    };
    collect(source, written.into_iter().map(|glob| (place(&glob), glob)).collect()).map(Some)
}

/// `packages` of pnpm-workspace.yaml, each with its place. The file may hold settings only.
#[allow(clippy::type_complexity, reason = "a list of places and globs")]
fn pnpm_globs(source: &Source) -> Result<Option<Vec<(Range<usize>, String)>>, Problem> {
    let documents = MarkedYaml::load_from_str(&source.text).map_err(|error| {
        // What does not end is missing at the end of what is written, and not on a line below it.
        let last = source.text.trim_end().len().saturating_sub(1);
        let at = byte_of(source, error.marker().index()).min(last);
        source
            .problem(at..at + 1, format!("pnpm-workspace.yaml is not valid YAML: {}", error.info()))
            .help(EXAMPLE)
    })?;
    let Some(document) = documents.first() else { return Ok(None) };
    if document.data.is_null() {
        return Ok(None);
    }
    let span = |node: &MarkedYaml<'_>| {
        byte_of(source, node.span.start.index())..byte_of(source, node.span.end.index())
    };
    if document.data.as_mapping().is_none() {
        return Err(source.problem(span(document), "pnpm-workspace.yaml must be a mapping").help(EXAMPLE));
    }
    let Some(packages) = document.data.as_mapping_get("packages") else { return Ok(None) };
    if packages.data.is_null() {
        return Ok(None);
    }
    let Some(list) = packages.data.as_vec() else {
        return Err(source.problem(span(packages), "`packages` must be a list of globs").help(EXAMPLE));
    };
    let text = |glob: &MarkedYaml<'_>| match glob.data.as_str() {
        Some(text) => Ok((span(glob), text.to_string())),
        None => {
            Err(source.problem(span(glob), "a glob of `packages` must be a string").help("put it in quotes"))
        }
    };
    list.iter().map(text).collect::<Result<Vec<_>, Problem>>().map(Some)
}

/// The byte that a character starts at.
fn byte_of(source: &Source, index: usize) -> usize {
    source.text.char_indices().nth(index).map_or(source.text.len(), |(at, _)| at)
}

fn collect(source: &Source, written: Vec<(Range<usize>, String)>) -> Result<Globs, Problems> {
    let mut globs = Globs::default();
    let mut problems = Problems::default();
    for (range, glob) in written {
        match globs.add(&glob) {
            Ok(()) => {}
            Err(BadGlob::Outside) => {
                problems
                    .0
                    .push(source.problem(range, format!("the glob `{glob}` leads out of the workspace")).help(
                    "packages must lie below the folder of this file; move the file up, or the packages in",
                ))
            }
            Err(BadGlob::Syntax(why)) => {
                let problem = source.problem(range, format!("`{glob}` is not a valid glob: {why}"));
                problems
                    .0
                    .push(problem.help("write packages/*, packages/**, {apps,libs}/* or !packages/old"));
            }
        }
    }
    problems.or(globs)
}
