//! From what a guest returned to a [`Declaration`]: checked, bounded, and in the newest form.

use super::bindings::overhear::adapter::types as wit;
use super::fault::Wrong;
use super::patterns;
use crate::declaration::{
    AdapterId, Advice, Base, Declaration, EnvMode, EnvRule, EnvSelectRule, PathRule, Verdict,
};
use crate::plan::env::may_be_untracked;
use rustc_hash::FxHashMap;

const RULES_MAX: usize = 2_000;
const ADVICE_MAX: usize = 50;
const TEXT_BYTES_MAX: usize = 2_048;
const DECLARATION_BYTES_MAX: usize = 1 << 20;

/// Checks and converts. `is_env_overheard`: this runner sees which variables a program asks for. All
/// else that an adapter may need, a runner with a tracer watches, and a run that it could not watch
/// completely is refused as a whole.
pub fn declaration(
    said: wit::Declaration,
    adapter: AdapterId,
    is_env_overheard: bool,
) -> Result<Declaration, Wrong> {
    check_size(&said)?;
    let needs_more = said.needs.contains(wit::Needs::ENV_READS) && !is_env_overheard;
    let verdict = match said.verdict {
        wit::Verdict::Cacheable if needs_more => {
            Verdict::Unsure("it needs to know which variables are read, which cannot be seen here".into())
        }
        wit::Verdict::Cacheable => Verdict::Cacheable,
        wit::Verdict::Uncacheable(reason) => Verdict::Uncacheable(text(reason)),
        wit::Verdict::Unsure(reason) => Verdict::Unsure(text(reason)),
    };
    let mut advice = Vec::new();
    for remark in said.advice {
        advice.push(Advice {
            warning: remark.level == wit::AdviceLevel::Warning,
            code: text(remark.code),
            text: text(remark.text),
            file: remark.file.map(text),
        });
    }
    if let Verdict::Unsure(_) = verdict {
        return Ok(Declaration { adapter, verdict, advice, ..Declaration::default() });
    }
    let mut rules = Rules { advice: &mut advice, spelled: FxHashMap::default() };
    let exclusive = said.cache_dirs.iter().filter(|dir| !dir.concurrent).map(|dir| dir.path.clone());
    let exclusive_dirs = rules.convert("cache-dirs", exclusive.collect(), Breadth::OneTool)?;
    let cache_dirs = said.cache_dirs.into_iter().map(|dir| dir.path).collect();
    Ok(Declaration {
        adapter,
        verdict,
        inputs: rules.convert("inputs", said.inputs, Breadth::Any)?,
        ignored_reads: rules.convert("ignored-reads", said.ignored_reads, Breadth::OneTool)?,
        outputs: rules.convert("outputs", said.outputs, Breadth::OneTool)?,
        ignored_writes: rules.convert("ignored-writes", said.ignored_writes, Breadth::OneTool)?,
        cache_dirs: rules.convert("cache-dirs", cache_dirs, Breadth::OneTool)?,
        exclusive_dirs,
        generated: rules.convert("generated", said.generated, Breadth::OneTool)?,
        state_files: rules.convert("state-files", said.state_files, Breadth::OneTool)?,
        env: rules.convert_env(said.env)?,
        inner_disable_cache: said.inner_disable_cache,
        empty_prefix_is_declared: said.empty_prefix_is_declared,
        advice,
    })
}

fn check_size(said: &wit::Declaration) -> Result<(), Wrong> {
    let lists = [
        &said.inputs,
        &said.ignored_reads,
        &said.outputs,
        &said.ignored_writes,
        &said.generated,
        &said.state_files,
    ];
    let rules = lists.iter().map(|list| list.len()).sum::<usize>() + said.cache_dirs.len() + said.env.len();
    if rules > RULES_MAX {
        return Err(Wrong::new("too-many-rules", format!("{rules} rules, the limit is {RULES_MAX}")));
    }
    if said.advice.len() > ADVICE_MAX {
        let what = format!("{} pieces of advice, the limit is {ADVICE_MAX}", said.advice.len());
        return Err(Wrong::new("too-many-hints", what));
    }
    let paths = lists.into_iter().flatten().chain(said.cache_dirs.iter().map(|dir| &dir.path));
    let bytes: usize = paths.map(|rule| rule.pattern.len() + rule.why.len()).sum::<usize>()
        + said.env.iter().map(|rule| rule.why.len() + selector_text(&rule.selector).len()).sum::<usize>()
        + said.advice.iter().map(|advice| advice.code.len() + advice.text.len()).sum::<usize>();
    if bytes > DECLARATION_BYTES_MAX {
        let what = format!("a declaration of {bytes} bytes, the limit is {DECLARATION_BYTES_MAX}");
        return Err(Wrong::new("output-too-large", what));
    }
    Ok(())
}

/// How much a rule may name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Breadth {
    /// Anything: more inputs only cost time.
    Any,
    /// Not what belongs to everyone: the whole base, git's folder, installed packages.
    OneTool,
}

struct Rules<'a> {
    advice: &'a mut Vec<Advice>,
    /// How each pattern was spelled first, by itself in small letters.
    spelled: FxHashMap<(u8, String), String>,
}

impl Rules<'_> {
    fn convert(
        &mut self,
        list: &str,
        said: Vec<wit::PathRule>,
        breadth: Breadth,
    ) -> Result<Vec<PathRule>, Wrong> {
        let mut rules = Vec::with_capacity(said.len());
        for (at, rule) in said.into_iter().enumerate() {
            let named = |wrong: Wrong| Wrong { what: format!("{list}[{at}]: {}", wrong.what), ..wrong };
            let expanded = patterns::check(&rule.pattern).map_err(named)?;
            if breadth == Breadth::OneTool && patterns::is_too_broad(&expanded) {
                return Err(named(patterns::too_broad(&rule.pattern)));
            }
            let reason = patterns::not_portable(&expanded)
                .or_else(|| self.spelled_otherwise(rule.base, &rule.pattern));
            if let Some(reason) = reason {
                let text = format!("{list}[{at}]: {reason}");
                self.advice.push(Advice { warning: true, code: "not-portable".into(), text, file: None });
            }
            let base = match rule.base {
                wit::Base::Workspace => Base::Workspace,
                wit::Base::Package => Base::Package,
                wit::Base::Cwd => Base::Cwd,
            };
            rules.push(PathRule { base, pattern: rule.pattern, why: text(rule.why) });
        }
        Ok(rules)
    }

    /// Why two patterns are one on systems that do not tell capitals from small letters.
    fn spelled_otherwise(&mut self, base: wit::Base, pattern: &str) -> Option<String> {
        let first =
            self.spelled.entry((base as u8, pattern.to_lowercase())).or_insert_with(|| pattern.to_owned());
        (first != pattern).then(|| format!("`{pattern}` and `{first}` are the same on some systems"))
    }

    fn convert_env(&mut self, said: Vec<wit::EnvRule>) -> Result<Vec<EnvRule>, Wrong> {
        let rules: Vec<EnvRule> = said.into_iter().enumerate().map(env_rule).collect::<Result<_, _>>()?;
        for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.mode == EnvMode::Untracked) {
            let (name, is_believed) = match &rule.select {
                EnvSelectRule::Name(name) => (name, may_be_untracked(name)),
                EnvSelectRule::Prefix(prefix) => (prefix, false),
            };
            if !is_believed {
                let text =
                    format!("env[{at}]: {name} counts when it is read, although it is called untracked");
                let code = "narrowing-refused".to_owned();
                self.advice.push(Advice { warning: true, code, text, file: None });
            }
        }
        Ok(rules)
    }
}

fn env_rule((at, rule): (usize, wit::EnvRule)) -> Result<EnvRule, Wrong> {
    let said = selector_text(&rule.selector);
    let bad = |why: &str| Wrong::new("bad-env-rule", format!("env[{at}]: {:?} {why}", short(said)));
    if said.is_empty() || said.len() > 256 || said.contains(['=', '\0']) || said.chars().any(char::is_control)
    {
        return Err(bad("is no name of a variable"));
    }
    let select = match &rule.selector {
        wit::EnvSelector::Name(name) => EnvSelectRule::Name(name.clone()),
        wit::EnvSelector::Prefix(prefix) if prefix.chars().count() < 2 => {
            return Err(bad("is too short for a prefix; at least two characters"));
        }
        wit::EnvSelector::Prefix(prefix) => EnvSelectRule::Prefix(prefix.clone()),
    };
    let mode = match rule.mode {
        wit::EnvMode::Tracked => EnvMode::Tracked,
        wit::EnvMode::Untracked => EnvMode::Untracked,
        wit::EnvMode::Removed => EnvMode::Removed,
    };
    Ok(EnvRule { select, mode, why: text(rule.why) })
}

fn selector_text(selector: &wit::EnvSelector) -> &str {
    match selector {
        wit::EnvSelector::Name(text) | wit::EnvSelector::Prefix(text) => text,
    }
}

/// Text for a person: control characters out (a terminal obeys them), and cut.
fn text(said: String) -> String {
    let clean: String = said.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    short(&clean).to_owned()
}

fn short(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn advice_on(patterns: &[&str]) -> Vec<String> {
        let mut advice = Vec::new();
        let rule = |pattern: &&str| wit::PathRule {
            base: wit::Base::Package,
            pattern: (*pattern).to_owned(),
            why: String::new(),
        };
        let said = patterns.iter().map(rule).collect();
        let mut rules = Rules { advice: &mut advice, spelled: FxHashMap::default() };
        assert_eq!(rules.convert("outputs", said, Breadth::OneTool).unwrap().len(), patterns.len());
        assert!(advice.iter().all(|one| one.warning && one.code == "not-portable"));
        advice.into_iter().map(|one| one.text).collect()
    }

    #[test]
    fn names_that_not_every_system_has_or_tells_apart_are_warned_of() {
        assert_eq!(advice_on(&["dist", "out/*.js", "dist"]), [""; 0]);
        assert_eq!(advice_on(&["aux"]), ["outputs[0]: the name `aux` is not possible on every system"]);
        assert_eq!(
            advice_on(&["x/COM1.txt"]),
            ["outputs[0]: the name `COM1.txt` is not possible on every system"]
        );
        assert_eq!(advice_on(&["a ", "b."]).len(), 2);
        assert_eq!(
            advice_on(&["dist/A", "dist/a"]),
            ["outputs[1]: `dist/a` and `dist/A` are the same on some systems"]
        );
    }
}
