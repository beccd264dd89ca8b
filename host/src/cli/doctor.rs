//! `overhear doctor`: what works on this machine, what does not and why.

use crate::problem::Problems;
use crate::report;
use crate::trace::{self, Availability, Level};
use crate::workspace::Workspace;

/// What is done inside programs, and why not more.
fn level(found: &Availability) -> String {
    let why = match found.unheard {
        Some(why) => format!(" ({why})"),
        None if found.level == Level::Everything => String::new(),
        None => format!(" (turned off by {})", trace::preload::SWITCH),
    };
    match found.level {
        Level::Nothing => format!("level 0: each access is told by the kernel{why}"),
        Level::Functions => format!("level 1: programs note what they ask of the C library{why}"),
        Level::Everything => {
            "level 2: programs note what they ask, also by system calls of their libraries".to_owned()
        }
    }
}

/// Those that the workspace uses besides; outside of one there are none.
fn own_adapters() -> String {
    let here = std::env::current_dir().ok();
    let own = here.and_then(|here| Some(super::adapter::own(&Workspace::load(&here).ok()?, &here)));
    own.into_iter().flatten().map(|line| format!("             {line}\n")).collect()
}

/// `overhear doctor`. The exit code is 1 where something that caching needs does not work.
pub fn doctor() -> Result<i32, Problems> {
    let found = trace::probe();
    let mut text = format!(
        "overhear {} on {} {}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    );
    let code = match &found.trouble {
        None => {
            let slow = if found.backend == "ptrace" { ", at several times the cost" } else { "" };
            text.push_str(&format!("tracer       works ({}{slow})\n", found.backend));
            text.push_str(&format!("             {}\n", level(&found)));
            0
        }
        Some(trouble) => {
            text.push_str(&format!("tracer       does not work ({}): {trouble}\n", found.backend));
            text.push_str("             tasks run, and are not cached\n");
            1
        }
    };
    for (backend, why) in &found.others {
        text.push_str(&format!("             not by {backend}: {why}\n"));
    }
    match found.unheard {
        None => text.push_str(
            "environment  overheard: variables are served and tracked when a program asks for them by name\n",
        ),
        Some(why) => {
            text.push_str(&format!("environment  not overheard ({why}): only what is passed is seen\n"))
        }
    }
    let names = crate::adapter::Adapters::names();
    text.push_str(&format!("adapters     {}\n", names.collect::<Vec<_>>().join(", ")));
    text.push_str(&own_adapters());
    report::print(&text);
    Ok(code)
}
