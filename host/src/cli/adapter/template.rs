//! `overhear adapter new`: a folder that can be built and tested as it is.

use crate::problem::{Problem, Problems};
use crate::report;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct NewArgs {
    /// What it is called: the folder, and the second half of its id
    name: String,
    /// What it is written in
    #[arg(long, value_enum, default_value = "data")]
    lang: Lang,
    /// The first half of its id
    #[arg(long, default_value = "acme")]
    vendor: String,
    /// The program that it is about; by default its name
    #[arg(long)]
    program: Option<String>,
    /// rust: take the SDK from this folder, and not from the registry
    #[arg(long, value_name = "FOLDER")]
    sdk: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lang {
    /// A table, for a tool of which no config need be read
    Data,
    /// One file of JavaScript, where the call or a config must be looked at; no toolchain
    Js,
    /// A crate, made into a component
    Rust,
    /// Files that clang makes into a component
    C,
}

impl Lang {
    /// The files that are its own.
    fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Lang::Data => DATA,
            Lang::Js => JS,
            Lang::Rust => RUST,
            Lang::C => C,
        }
    }

    /// What its author edits, and what is used.
    fn edited_and_used(self) -> (&'static str, &'static str) {
        match self {
            Lang::Data => ("adapter.toml", "adapter.toml"),
            Lang::Js => ("adapter.js", "adapter.js"),
            Lang::Rust => ("src/lib.rs", "adapter.wasm"),
            Lang::C => ("adapter.c", "adapter.wasm"),
        }
    }

    /// What its template says of a cache is relative to.
    fn base(self) -> &'static str {
        match self {
            Lang::Data | Lang::Js | Lang::C => "package",
            Lang::Rust => "workspace",
        }
    }

    /// What its template says of an output that a flag names is relative to.
    fn base_of_flag(self) -> &'static str {
        match self {
            Lang::C => "cwd",
            Lang::Data | Lang::Js | Lang::Rust => "workspace",
        }
    }
}

const CASE: &[(&str, &str)] = &[
    ("tests/build/call.toml", include_str!("../../../../plugins/templates/tests/build/call.toml")),
    ("tests/build/expect.toml", include_str!("../../../../plugins/templates/tests/build/expect.toml")),
    ("tests/watch/call.toml", include_str!("../../../../plugins/templates/tests/watch/call.toml")),
    ("tests/watch/expect.toml", include_str!("../../../../plugins/templates/tests/watch/expect.toml")),
];
const DATA: &[(&str, &str)] = &[
    ("adapter.toml", include_str!("../../../../plugins/templates/data/adapter.toml")),
    ("package.json", include_str!("../../../../plugins/templates/data/package.json")),
];
const JS: &[(&str, &str)] = &[
    ("adapter.js", include_str!("../../../../plugins/templates/js/adapter.js")),
    ("adapter.d.ts", include_str!("../../../../plugins/templates/js/adapter.d.ts")),
    ("package.json", include_str!("../../../../plugins/templates/js/package.json")),
];
const RUST: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../../../plugins/templates/rust/Cargo.toml.in")),
    ("src/lib.rs", include_str!("../../../../plugins/templates/rust/src/lib.rs")),
    ("package.json", include_str!("../../../../plugins/templates/rust/package.json")),
    (".gitignore", "/target\n"),
];

const C: &[(&str, &str)] = &[
    ("adapter.c", include_str!("../../../../plugins/templates/c/adapter.c")),
    ("package.json", include_str!("../../../../plugins/templates/c/package.json")),
    ("overhear/adapter.c", include_str!("../../../../plugins/templates/c/overhear/adapter.c")),
    ("overhear/adapter.h", include_str!("../../../../plugins/templates/c/overhear/adapter.h")),
    ("overhear/guest.c", include_str!("../../../../plugins/templates/c/overhear/guest.c")),
    ("overhear/memory.c", include_str!("../../../../plugins/templates/c/overhear/memory.c")),
    ("overhear/overhear.h", include_str!("../../../../plugins/templates/c/overhear/overhear.h")),
    ("overhear/stdlib.h", include_str!("../../../../plugins/templates/c/overhear/stdlib.h")),
    ("overhear/string.h", include_str!("../../../../plugins/templates/c/overhear/string.h")),
];

/// `overhear adapter new`.
pub fn new(args: &NewArgs, from_dir: &Path) -> Result<i32, Problems> {
    let is_part = |text: &str| {
        text.starts_with(|letter: char| letter.is_ascii_lowercase())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    for part in [&args.name, &args.vendor] {
        if !is_part(part) {
            let help = "lower-case letters, digits and dashes, beginning with a letter";
            return Err(Problem::new(format!("`{part}` cannot be part of an id")).help(help).into());
        }
    }
    let program = args.program.as_deref().unwrap_or(&args.name);
    if program.is_empty()
        || program.contains(|letter: char| !letter.is_ascii_graphic() || "\"\\/".contains(letter))
    {
        return Err(Problem::new(format!("`{program}` is no name of a program")).into());
    }
    let folder = from_dir.join(&args.name);
    if folder.exists() {
        return Err(Problem::new(format!("{} is there already", folder.display())).into());
    }
    let sdk = sdk(args, from_dir)?;
    let fill = |text: &str| {
        text.replace("{{name}}", &args.name)
            .replace("{{vendor}}", &args.vendor)
            .replace("{{program}}", program)
            .replace("{{base}}", args.lang.base())
            .replace("{{base-of-flag}}", args.lang.base_of_flag())
            .replace("{{sdk}}", &sdk)
    };
    for (name, text) in args.lang.files().iter().chain(CASE) {
        let file = folder.join(name);
        let written = file.parent().map_or(Ok(()), std::fs::create_dir_all);
        written
            .and_then(|()| std::fs::write(&file, fill(text)))
            .map_err(|error| Problem::new(format!("cannot write {}: {error}", file.display())))?;
    }
    let (edit, file) = args.lang.edited_and_used();
    report::print(&format!(
        "made {name}/, an adapter for `{program}`\n\n  cd {name}\n  overhear adapter build\n  overhear adapter \
         test\n\nThen say in {edit} what you know of the tool, and use it where your workspace is:\n\n  overhear \
         adapter add ./path/to/{name}/{file}\n",
        name = args.name,
    ));
    Ok(0)
}

/// Where the SDK of a Rust adapter comes from, as Cargo.toml says it.
fn sdk(args: &NewArgs, from_dir: &Path) -> Result<String, Problems> {
    let version = env!("CARGO_PKG_VERSION");
    let minor = version.rsplit_once('.').map_or(version, |(minor, _)| minor);
    let Some(folder) = &args.sdk else { return Ok(format!("\"{minor}\"")) };
    let folder = from_dir.join(folder);
    let folder = folder.canonicalize().map_err(|error| {
        Problem::new(format!("{}: {error}", folder.display()))
            .help("name the folder of the crate overhear-adapter")
    })?;
    let path = serde_json::Value::from(folder.to_string_lossy().into_owned());
    Ok(format!("{{ path = {path}, version = \"{minor}\" }}"))
}
