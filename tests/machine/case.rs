//! What a sequence is made of: a small workspace with tasks, and actions on it. All of it follows from
//! a seed. Pure.

/// Numbers that follow from a seed (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below a number.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// What is there at the beginning, or may be.
pub const INPUTS: [&str; 9] =
    ["src/a", "src/b", "src/sub/c", "src/n", "src/sub/m", "top", "src/lnk", "lib/c", "src/deep/er/f"];
pub const OUTPUTS: [&str; 6] = ["dist/x", "dist/y", "dist/sub/z", "gen/g", "gen/h", "made"];
pub const FOLDERS: [&str; 7] = ["src", "src/sub", "dist", "dist/sub", "gen", ".", "lib"];
pub const VARIABLES: [&str; 2] = ["FOO", "BAR"];

/// A task of overhear.json. Each depends on the one before, or on none.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its commands, joined by `&&`. `TOOL n` runs script n.
    pub steps: Vec<String>,
    /// Depends on the task before.
    pub depends: bool,
    /// More keys, as JSON text; which one is chosen by an action.
    pub keys: usize,
}

/// More keys of a task. None of them lets a hit differ from a direct run: that would be a person's wish.
pub const KEYS: [&str; 5] = [
    "",
    r#", "env": ["FOO"]"#,
    r#", "input": [{"auto": true}, "!nothing/**"]"#,
    r#", "output": [{"auto": true}, "!nothing/**"]"#,
    r#", "input": [{"auto": true}, "src/**"]"#,
];

/// One thing that is done to the workspace.
#[derive(Clone, Debug)]
pub enum Action {
    Run {
        task: usize,
        force: bool,
    },
    Write {
        path: String,
        version: usize,
        how: How,
    },
    Touch(String),
    Delete(String),
    Rename(String, String),
    Chmod(String),
    ToFolder(String),
    ToLink(String, String),
    /// Delete what the tasks made: everything, or one thing.
    DeleteOutputs(Option<usize>),
    EditOutput(usize, usize),
    Stray(usize),
    Env(usize, Option<usize>),
    Keys {
        task: usize,
        keys: usize,
    },
    /// Write another version of a script.
    Script {
        script: usize,
        version: usize,
    },
    /// Go back to what `src` and `top` were at the beginning.
    Back,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Plain,
    KeepingTime,
    RenamedOver,
    Longer,
}

/// A whole sequence.
#[derive(Clone, Debug)]
pub struct Case {
    pub tasks: Vec<Task>,
    /// For each script its versions, as lines.
    pub scripts: Vec<[Vec<String>; 2]>,
    pub actions: Vec<Action>,
}

impl Case {
    /// With `plain`, some steps are commands as people write them; else all are the tool.
    pub fn generate(seed: u64, length: usize, plain: bool) -> Case {
        let mut random = Random::new(seed);
        let mut scripts = Vec::new();
        let count = 1 + random.below(3);
        let tasks = (0..count).map(|index| task(&mut random, index, &mut scripts, plain)).collect();
        let mut actions = Vec::new();
        while actions.len() < length {
            add_actions(&mut random, count, scripts.len(), &mut actions);
        }
        Case { tasks, scripts, actions }
    }
}

fn task(random: &mut Random, index: usize, scripts: &mut Vec<[Vec<String>; 2]>, plain: bool) -> Task {
    let count = [1, 1, 1, 2, 2, 3][random.below(6)];
    let steps = (0..count).map(|_| {
        if plain && random.one_in(4) {
            return plain_command(random);
        }
        let lines = script(random);
        let mut other = lines.clone();
        let at = random.below(other.len() + 1);
        other.insert(at, line(random));
        scripts.push([lines, other]);
        format!("TOOL {}", scripts.len() - 1)
    });
    Task {
        steps: steps.collect(),
        depends: index > 0 && !random.one_in(4),
        keys: if random.one_in(4) { random.below(KEYS.len()) } else { 0 },
    }
}

/// Commands as people write them in scripts.
fn plain_command(random: &mut Random) -> String {
    let (input, output) = (random.pick(&INPUTS[..3]), random.pick(&OUTPUTS));
    match random.below(12) {
        0 => "rm -rf dist".to_owned(),
        1 => "mkdir -p dist".to_owned(),
        2 => "mkdir -p dist/sub gen".to_owned(),
        3 => format!("cp --remove-destination {input} made"),
        4 => format!("cat {input} top"),
        5 => "echo $FOO".to_owned(),
        6 => format!("sh -c 'mkdir -p dist/sub gen; cat {input} > {output}'"),
        7 => "sh -c 'rm -rf dist gen; mkdir -p dist gen; cp -R src dist/src'".to_owned(),
        8 => format!("sh -c 'test -e {output} && echo there; true'"),
        9 => "ls src".to_owned(),
        10 => format!("touch {}", random.pick(&["made", "top"])),
        _ => "ls -R src".to_owned(),
    }
}

fn script(random: &mut Random) -> Vec<String> {
    let mut lines = Vec::new();
    if random.one_in(4) {
        lines.push("wipe dist".to_owned());
    } else if random.one_in(5) {
        lines.push("empty dist".to_owned());
    }
    if !random.one_in(8) {
        lines.push("mkdirp dist/sub".to_owned());
        lines.push("mkdirp gen".to_owned());
    }
    for _ in 0..1 + random.below(6) {
        lines.push(line(random));
    }
    if random.one_in(2) {
        lines.push(format!("write {}", random.pick(&OUTPUTS)));
    }
    if random.one_in(2) {
        lines.push("out".to_owned());
    }
    lines
}

fn any_path<'a>(random: &mut Random) -> &'a str {
    if random.one_in(4) { random.pick(&OUTPUTS) } else { random.pick(&INPUTS) }
}

/// Outputs mostly; sometimes a source, as formatters do.
fn target<'a>(random: &mut Random) -> &'a str {
    if random.one_in(8) { random.pick(&INPUTS[..6]) } else { random.pick(&OUTPUTS) }
}

fn line(random: &mut Random) -> String {
    match random.below(40) {
        0..=5 => format!("read {}", any_path(random)),
        6 => format!("stat {}", any_path(random)),
        7 => format!("probe {}", any_path(random)),
        8 => format!("lstat {}", any_path(random)),
        9..=10 => format!("list {}", random.pick(&FOLDERS)),
        11 => format!("walk {}", random.pick(&FOLDERS[..5])),
        12 => format!("env {}", random.pick(&VARIABLES)),
        13..=17 => format!("write {}", target(random)),
        18 => format!("const {}", target(random)),
        19 => format!("append {}", target(random)),
        20..=21 => format!("over {}", target(random)),
        22 => format!("patch {}", target(random)),
        23..=24 => format!("generate {}", target(random)),
        25 => format!("mkdirp {}", random.pick(&["dist/empty", "gen/e/f", "dist/sub"])),
        26 => format!("rm {}", target(random)),
        27 => format!("wipe {}", random.pick(&["dist", "gen", "dist/sub", "src/n"])),
        28 => format!(
            "symlink {} {}",
            random.pick(&["dist/l", "gen/l", "made"]),
            random.pick(&["x", "../src/a", "nowhere"])
        ),
        29 => format!("temp {}", target(random)),
        30 => format!("rename {} {}", random.pick(&OUTPUTS), random.pick(&OUTPUTS)),
        31 => format!("copy {} {}", random.pick(&INPUTS[..3]), random.pick(&OUTPUTS)),
        32 => format!("chmod {}", target(random)),
        33 => format!("cat {}", any_path(random)),
        34 => "out".to_owned(),
        35 => "err".to_owned(),
        36 => format!("readlink {}", random.pick(&["src/lnk", "lib", "dist/l", "src/a"])),
        37 => format!("failif {}", random.pick(&["src/n", "src/sub/m", "dist/y"])),
        38 => match random.below(4) {
            0 => "fail".to_owned(),
            1 => format!("mkdir {}", random.pick(&["dist/once", "gen/once"])),
            2 => format!("exclusive {}", random.pick(&OUTPUTS)),
            _ => format!("rename dist gen{}", random.below(2)),
        },
        _ => "say hello".to_owned(),
    }
}

fn add_actions(random: &mut Random, tasks: usize, scripts: usize, actions: &mut Vec<Action>) {
    let task = if random.one_in(3) { random.below(tasks) } else { tasks - 1 };
    match random.below(34) {
        0..=11 => {
            actions.push(Action::Run { task, force: random.one_in(20) });
            if random.one_in(2) {
                actions.push(Action::Run { task, force: false });
            }
        }
        12..=15 => actions.push(write(random, &INPUTS)),
        16 => actions.push(write(random, &OUTPUTS)),
        17 => actions.push(Action::Touch(any_path(random).to_owned())),
        18..=19 => actions.push(Action::Delete(any_path(random).to_owned())),
        20 => actions.push(Action::Rename(any_path(random).to_owned(), any_path(random).to_owned())),
        21 => actions.push(Action::Chmod(any_path(random).to_owned())),
        22 => actions.push(Action::ToFolder(any_path(random).to_owned())),
        23 => {
            let text = random.pick(&["a", "../src/b", "nowhere", "../top"]);
            actions.push(Action::ToLink(any_path(random).to_owned(), text.to_owned()));
        }
        24..=25 => {
            let one = (!random.one_in(2)).then(|| random.below(100));
            actions.push(Action::DeleteOutputs(one));
            actions.push(Action::Run { task, force: false });
        }
        26 => actions.push(Action::EditOutput(random.below(100), random.below(3))),
        27 => actions.push(Action::Stray(random.below(4))),
        28 => actions
            .push(Action::Env(random.below(VARIABLES.len()), (!random.one_in(3)).then(|| random.below(2)))),
        29 => actions.push(Action::Keys { task: random.below(tasks), keys: random.below(KEYS.len()) }),
        30..=31 if scripts > 0 => {
            actions.push(Action::Script { script: random.below(scripts), version: random.below(2) });
        }
        32 => actions.push(Action::Delete(random.pick(&["dist", "gen"]).to_owned())),
        _ => actions.push(Action::Back),
    }
}

fn write(random: &mut Random, paths: &[&str]) -> Action {
    let how = [How::Plain, How::Plain, How::Plain, How::KeepingTime, How::RenamedOver, How::Longer]
        [random.below(6)];
    Action::Write { path: paths[random.below(paths.len())].to_owned(), version: random.below(3), how }
}
