//! Builders for what an adapter returns, so that a new field does not break old sources.

use crate::{
    Advice, AdviceLevel, Base, CacheDir, Declaration, Description, EnvMode, EnvRule, EnvSelector, Needs,
    PathRule, Verdict,
};

/// A pattern, what it is relative to, and why it is there.
pub fn rule(base: Base, pattern: impl Into<String>, why: impl Into<String>) -> PathRule {
    PathRule { base, pattern: pattern.into(), why: why.into() }
}

/// Builds a [`Declaration`]. Patterns given without a base are relative to the workspace root.
#[derive(Clone, Debug)]
pub struct Declare(Box<Declaration>);

impl Declare {
    /// No objection to caching.
    pub fn cacheable() -> Declare {
        Declare::with(Verdict::Cacheable)
    }

    /// Never to be cached.
    pub fn uncacheable(reason: impl Into<String>) -> Declare {
        Declare::with(Verdict::Uncacheable(reason.into()))
    }

    /// Beyond what the adapter knows.
    pub fn unsure(reason: impl Into<String>) -> Declare {
        Declare::with(Verdict::Unsure(reason.into()))
    }

    fn with(verdict: Verdict) -> Declare {
        Declare(Box::new(Declaration {
            verdict,
            inputs: Vec::new(),
            ignored_reads: Vec::new(),
            outputs: Vec::new(),
            ignored_writes: Vec::new(),
            cache_dirs: Vec::new(),
            generated: Vec::new(),
            state_files: Vec::new(),
            env: Vec::new(),
            inner_disable_cache: false,
            empty_prefix_is_declared: false,
            needs: Needs::empty(),
            advice: Vec::new(),
        }))
    }

    /// An input, even if nobody is seen reading it.
    pub fn input(mut self, pattern: impl Into<String>, why: &str) -> Declare {
        self.0.inputs.push(rule(Base::Workspace, pattern, why));
        self
    }

    /// Reads there are no inputs.
    pub fn ignore_reads(mut self, pattern: impl Into<String>, why: &str) -> Declare {
        self.0.ignored_reads.push(rule(Base::Workspace, pattern, why));
        self
    }

    /// A tree that the command owns.
    pub fn output(mut self, pattern: impl Into<String>, why: &str) -> Declare {
        self.0.outputs.push(rule(Base::Workspace, pattern, why));
        self
    }

    /// A tree that the command owns and empties before it fills it: what lay there was looked at only for
    /// that, so reads there are no inputs.
    pub fn emptied_output(self, pattern: impl Into<String>, why: &str) -> Declare {
        let pattern = pattern.into();
        self.ignore_reads(pattern.as_str(), why).output(pattern, why)
    }

    /// Writes there are no outputs.
    pub fn ignore_writes(mut self, pattern: impl Into<String>, why: &str) -> Declare {
        self.0.ignored_writes.push(rule(Base::Workspace, pattern, why));
        self
    }

    /// A directory that the tool keeps for its own speed, safe to be used by two tasks at once.
    pub fn cache_dir(mut self, pattern: impl Into<String>, why: &str) -> Declare {
        self.0.cache_dirs.push(CacheDir { path: rule(Base::Workspace, pattern, why), concurrent: true });
        self
    }

    /// A directory that the tool keeps for its own speed, for one task at a time.
    pub fn exclusive_cache_dir(mut self, pattern: impl Into<String>, why: &str) -> Declare {
        self.0.cache_dirs.push(CacheDir { path: rule(Base::Workspace, pattern, why), concurrent: false });
        self
    }

    /// Files that the tool keeps for others to read.
    pub fn generated(mut self, pattern: impl Into<String>, why: &str) -> Declare {
        self.0.generated.push(rule(Base::Workspace, pattern, why));
        self
    }

    /// Files by which the tool knows what it did last.
    pub fn state_file(mut self, pattern: impl Into<String>, why: &str) -> Declare {
        self.0.state_files.push(rule(Base::Workspace, pattern, why));
        self
    }

    /// A variable that the result depends on.
    pub fn track(self, name: &str, why: &str) -> Declare {
        self.env(EnvSelector::Name(name.into()), EnvMode::Tracked, why)
    }

    /// All variables that start so; the result depends on them. At least two characters.
    pub fn track_prefix(self, prefix: &str, why: &str) -> Declare {
        self.env(EnvSelector::Prefix(prefix.into()), EnvMode::Tracked, why)
    }

    /// Any rule for variables.
    pub fn env(mut self, selector: EnvSelector, mode: EnvMode, why: &str) -> Declare {
        self.0.env.push(EnvRule { selector, mode, why: why.into() });
        self
    }

    /// The tool's own word against caching comes from an inner throw-away server.
    pub fn inner_disable_cache(mut self) -> Declare {
        self.0.inner_disable_cache = true;
        self
    }

    /// The tool asks for every variable, and means those declared here.
    pub fn empty_prefix_is_declared(mut self) -> Declare {
        self.0.empty_prefix_is_declared = true;
        self
    }

    /// What the runner has to watch for the declaration to be sound.
    pub fn needs(mut self, needs: Needs) -> Declare {
        self.0.needs |= needs;
        self
    }

    /// Something worth knowing. `code` is kebab-case and stable.
    pub fn advise(mut self, code: &str, text: impl Into<String>, file: Option<&str>) -> Declare {
        let file = file.map(str::to_owned);
        self.0.advice.push(Advice { level: AdviceLevel::Info, code: code.into(), text: text.into(), file });
        self
    }

    /// Advice that a field of a config cannot be used, and what holds instead. Its code is made of the
    /// field: `build.outDir` gives `build-outdir-not-known`.
    pub fn not_known(self, field: &str, reason: &str, instead: &str, file: Option<&str>) -> Declare {
        let text = [field, " is not known without running the config (", reason, "); ", instead].concat();
        let code = [&field.replace('.', "-").to_ascii_lowercase(), "-not-known"].concat();
        self.advise(&code, text, file)
    }

    /// The declaration.
    pub fn done(self) -> Declaration {
        *self.0
    }
}

/// Builds a [`Description`].
#[derive(Clone, Debug)]
pub struct Describe(Box<Description>);

impl Describe {
    /// Starts with the adapter's id (`vendor/name`), version and title.
    pub fn new(id: &str, version: &str, title: &str) -> Describe {
        Describe(Box::new(Description {
            id: id.into(),
            version: version.into(),
            title: title.into(),
            programs: Vec::new(),
            packages: Vec::new(),
            refines: Vec::new(),
            config_files: Vec::new(),
            may_read: Vec::new(),
            may_read_env: Vec::new(),
            settings_schema: None,
            tested_with: None,
        }))
    }

    /// Commands of this program may be of interest.
    pub fn program(mut self, name: &str) -> Describe {
        self.0.programs.push(name.into());
        self
    }

    /// Commands whose program belongs to this package may be of interest.
    pub fn package(mut self, name: &str) -> Describe {
        self.0.packages.push(name.into());
        self
    }

    /// This adapter knows some commands of another one's tool more particularly (a framework that is
    /// built with somebody else's bundler): it declares them instead, unless it is unsure.
    pub fn refines(mut self, id: &str) -> Describe {
        self.0.refines.push(id.into());
        self
    }

    /// Names (one segment, `*`, `?`, `{a,b}`) of files in the package folder that the call should list.
    pub fn config_files(mut self, pattern: &str) -> Describe {
        self.0.config_files.push(pattern.into());
        self
    }

    /// What may be read.
    pub fn may_read(mut self, base: Base, pattern: &str, why: &str) -> Describe {
        self.0.may_read.push(rule(base, pattern, why));
        self
    }

    /// A variable that may be asked for.
    pub fn may_read_env(mut self, name: &str) -> Describe {
        self.0.may_read_env.push(name.into());
        self
    }

    /// What the user's settings must look like: JSON Schema with the keys `type`, `enum`, `const`,
    /// `properties`, `required`, `additionalProperties`, `items`, `anyOf` and the bounds of sizes.
    pub fn settings_schema(mut self, schema: &str) -> Describe {
        self.0.settings_schema = Some(schema.into());
        self
    }

    /// The versions of the tool that the adapter was tested with, as a semver range.
    pub fn tested_with(mut self, range: &str) -> Describe {
        self.0.tested_with = Some(range.into());
        self
    }

    /// The description.
    pub fn done(self) -> Description {
        *self.0
    }
}
