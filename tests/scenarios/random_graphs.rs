//! Tasks in random order: each run is held against the rules of order, of how many run at once, and of
//! what a failure skips; and what is shown is shown again, byte for byte, when all of it hits.

use crate::world::World;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// The seeds of the graphs. More of them are run with `OVERHEAR_GRAPHS=1000`, others with
/// `OVERHEAR_GRAPHS_SEED=5000`.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("OVERHEAR_GRAPHS_SEED").unwrap_or(0);
    first..first + number("OVERHEAR_GRAPHS").unwrap_or(40)
}

/// Numbers that look random and are the same everywhere (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// What each task waits for, and those that fail.
struct Graph {
    needs: Vec<BTreeSet<usize>>,
    failing: BTreeSet<usize>,
}

impl Graph {
    fn random(numbers: &mut Numbers) -> Graph {
        let count = 2 + numbers.below(9) as usize;
        let some = |numbers: &mut Numbers, before: usize, of: u64| {
            (0..before).filter(|_| numbers.below(of) == 0).collect::<BTreeSet<usize>>()
        };
        let needs = (0..count).map(|at| some(numbers, at, 3)).collect();
        let failing = if numbers.below(2) == 0 { some(numbers, count, 6) } else { BTreeSet::new() };
        Graph { needs, failing }
    }

    /// Everything that a task waits for, directly or through others.
    fn all_needs(&self, task: usize) -> BTreeSet<usize> {
        let direct = &self.needs[task];
        direct.iter().copied().chain(direct.iter().flat_map(|need| self.all_needs(*need))).collect()
    }

    /// Each task notes its begin and its end.
    fn write(&self, world: &World) {
        let task = |at: usize| {
            let needs: Vec<String> = self.needs[at].iter().map(|need| format!("t{need}")).collect();
            let code = if self.failing.contains(&at) { 10 + at } else { 0 };
            (
                format!("t{at}"),
                json!({ "command": format!("sh task.sh {at} {code}"), "dependsOn": needs, "cache": false }),
            )
        };
        let mut tasks: serde_json::Map<String, serde_json::Value> = (0..self.needs.len()).map(task).collect();
        tasks.insert(
            "all".into(),
            json!({ "dependsOn": (0..self.needs.len()).map(|at| format!("t{at}")).collect::<Vec<_>>() }),
        );
        world.write("overhear.json", &json!({ "tasks": tasks }).to_string());
    }
}

#[test]
fn order_and_concurrency_and_what_a_failure_skips_hold_for_random_graphs() {
    let world = World::of_scripts(&[]);
    world.write("task.sh", "echo \"+ $1\" >> log\necho \"- $1\" >> log\nexit $2\n");
    for seed in seeds() {
        let mut numbers = Numbers(seed);
        let graph = Graph::random(&mut numbers);
        let at_once = 1 + numbers.below(4) as usize;
        let keeps_going = numbers.below(2) == 0;
        graph.write(&world);
        let _ = fs::remove_file(world.path("log"));
        let at_once_text = at_once.to_string();
        let mut args = vec!["--concurrency", &at_once_text];
        args.extend(keeps_going.then_some("--continue"));
        args.push("all");
        let done = world.task(&args).done();
        let log = fs::read_to_string(world.path("log")).unwrap_or_default();
        let said = |text: String| format!("seed {seed}: {text}\n{log}\n{done:?}");

        let (mut running, mut ended, mut begun) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for line in log.lines() {
            let task: usize = line[2..].parse().unwrap();
            if line.starts_with('+') {
                assert!(begun.insert(task), "{}", said(format!("t{task} ran twice")));
                running.insert(task);
                let missing: Vec<&usize> = graph.needs[task].difference(&ended).collect();
                assert!(missing.is_empty(), "{}", said(format!("t{task} began before {missing:?} ended")));
                assert!(
                    graph.needs[task].is_disjoint(&graph.failing),
                    "{}",
                    said(format!("t{task} began after a failure"))
                );
            } else {
                running.remove(&task);
                ended.insert(task);
            }
            assert!(running.len() <= at_once, "{}", said(format!("{running:?} at once")));
        }

        let statuses: BTreeMap<usize, &str> = done
            .steps
            .iter()
            .map(|step| {
                (
                    step["task"].as_str().unwrap().trim_start_matches("app#t").parse().unwrap(),
                    step["status"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(statuses.len(), graph.needs.len(), "{}", said("a step was not told".into()));
        for (task, status) in &statuses {
            let expected = match (begun.contains(task), graph.failing.contains(task)) {
                (false, _) => "skipped",
                (true, true) => "failed",
                (true, false) => "ran",
            };
            assert_eq!(*status, expected, "{}", said(format!("t{task}")));
            let is_lost = !graph.all_needs(*task).is_disjoint(&graph.failing);
            if is_lost || keeps_going || graph.failing.is_empty() {
                assert_eq!(begun.contains(task), !is_lost, "{}", said(format!("t{task}")));
            }
        }
        let failed: Vec<usize> = begun.intersection(&graph.failing).copied().collect();
        let code = match failed.as_slice() {
            [] => 0,
            [one] => 10 + *one as i32,
            _ => 1,
        };
        assert_eq!(done.code, code, "{}", said("the exit code".into()));
    }
}

#[test]
fn in_every_form_of_the_log_a_hit_shows_what_the_run_has_shown() {
    let world = World::of_scripts(&[]);
    let script = "printf 'out %s\\n' $1\nprintf '\\033[31mred %s\\033[0m\\n' $1 >&2\nprintf 'progress 1\\rprogress 2\\r'\nprintf '\\377\\376 no utf-8\\n' >&2\nprintf 'no newline at the end'\n";
    world.write("say.sh", script);
    let tasks = json!({
        "a": { "command": "sh say.sh a" },
        "b": { "command": ["sh say.sh b", "sh say.sh again"], "dependsOn": ["a"] },
        "c": { "command": "sh say.sh c", "dependsOn": ["b"] },
    });
    world.write("overhear.json", &json!({ "tasks": tasks }).to_string());
    let shown = |args: &[&str]| {
        let mut invocation = world.overhear(&[&["run", "--quiet"], args, &["c"]].concat());
        invocation.command.env("FORCE_COLOR", "1");
        let output = invocation.command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        (output.stdout, output.stderr)
    };
    for form in ["interleaved", "labeled", "grouped"] {
        let first = shown(&["--force", "--log", form]);
        let again = shown(&["--log", form]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(text(&again.0), text(&first.0), "{form}, standard output");
        assert_eq!(text(&again.1), text(&first.1), "{form}, standard error");
        assert!(first == again, "{form}");
        assert!(text(&first.0).contains("out again"), "{form}: {}", text(&first.0));
    }
}
