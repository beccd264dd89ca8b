//! An adapter tried out natively: a call as overhear would make it, and what the adapter said, in the short
//! form in which tests compare it. [`FakeHost`] answers its questions.
//!
//! ```
//! use overhear_adapter::{FakeHost, trial};
//! # use overhear_adapter::{Adapter, Declaration, Declare, Describe, Description, Failure, Host, Invocation, Match};
//! # struct Mine;
//! # impl Adapter for Mine {
//! #     fn describe() -> Description { Describe::new("acme/mine", "1.0.0", "Mine").program("mine").done() }
//! #     fn detect(_: &Invocation) -> Match { Match::Yes("compile".into()) }
//! #     fn declare(call: &Invocation, _: &str, _: &dyn Host) -> Result<Declaration, Failure> {
//! #         Ok(Declare::cacheable().output(format!("{}/out", call.cwd), "what it compiles").done())
//! #     }
//! # }
//! let said = trial::call("mine compile --fast").of_package("mine", "2.1.0").declares::<Mine>(&FakeHost::new());
//! assert_eq!(trial::patterns(&said.outputs), ["apps/web/out"]);
//! ```

use crate::{Adapter, Declaration, EnvSelector, FakeHost, Invocation, Match, Os, PackageRef, PathRule};

/// The folder of the package that calls are made in, where nothing else is said.
pub const PACKAGE: &str = "apps/web";

/// A call that may still be changed.
#[derive(Clone, Debug)]
pub struct Trial {
    /// As the adapter gets it.
    pub invocation: Invocation,
}

/// A command as it would be typed in [`PACKAGE`]; its words are separated by spaces.
pub fn call(line: &str) -> Trial {
    let mut words = line.split_whitespace().map(str::to_owned);
    Trial {
        invocation: Invocation {
            program: words.next().unwrap_or_default(),
            tool: None,
            args: words.collect(),
            cwd: PACKAGE.into(),
            package_dir: PACKAGE.into(),
            config_files: Vec::new(),
            os: Os::Linux,
            settings: None,
        },
    }
}

impl Trial {
    /// The program belongs to this package.
    pub fn of_package(mut self, name: &str, version: &str) -> Trial {
        self.invocation.tool = Some(PackageRef { name: name.into(), version: Some(version.into()) });
        self
    }

    /// A config file of this name lies in the package.
    pub fn with_config_file(mut self, name: &str) -> Trial {
        self.invocation.config_files.push([&self.invocation.package_dir, "/", name].concat());
        self
    }

    /// The user has set this, as JSON.
    pub fn with_settings(mut self, json: &str) -> Trial {
        self.invocation.settings = Some(json.into());
        self
    }

    /// The name that the adapter gives to the subcommand, if the call is its own.
    pub fn detected_by<A: Adapter>(&self) -> Option<String> {
        match A::detect(&self.invocation) {
            Match::Yes(name) => Some(name),
            Match::No => None,
        }
    }

    /// What the adapter declares.
    ///
    /// # Panics
    ///
    /// Where the call is not its own, or it fails: a test that wants that asks the adapter itself.
    pub fn declares<A: Adapter>(&self, host: &FakeHost) -> Declaration {
        let Some(subcommand) = self.detected_by::<A>() else {
            panic!("{} {:?} is not recognised", self.invocation.program, self.invocation.args)
        };
        match A::declare(&self.invocation, &subcommand, host) {
            Ok(declaration) => declaration,
            Err(failure) => panic!("it failed: {failure:?}"),
        }
    }
}

/// The patterns of rules.
pub fn patterns(rules: &[PathRule]) -> Vec<&str> {
    rules.iter().map(|rule| rule.pattern.as_str()).collect()
}

/// The patterns of the cache directories.
pub fn caches(said: &Declaration) -> Vec<&str> {
    said.cache_dirs.iter().map(|dir| dir.path.pattern.as_str()).collect()
}

/// The variables, prefixes as `PREFIX*`.
pub fn variables(said: &Declaration) -> Vec<String> {
    let name = |selector: &EnvSelector| match selector {
        EnvSelector::Name(name) => name.clone(),
        EnvSelector::Prefix(prefix) => [prefix, "*"].concat(),
    };
    said.env.iter().map(|rule| name(&rule.selector)).collect()
}

/// The codes of the advice.
pub fn codes(said: &Declaration) -> Vec<&str> {
    said.advice.iter().map(|advice| advice.code.as_str()).collect()
}
