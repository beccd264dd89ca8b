//! The page of `run --graph=html` in a browser: what a person sees, and what a screen reader is told.

use crate::world::{World, has_program};

/// The page as the browser has it once its script has run, in a window so wide.
fn dom(world: &World, width: u32) -> String {
    let page = format!("file://{}", world.path("graph.html").display());
    let mut command = world.command("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=2000"]);
    let output = command.arg(format!("--window-size={width},800")).arg(page).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_graph_has_a_list_with_status_durations_and_the_critical_path() {
    if !has_program("chromium") {
        return;
    }
    let world = World::empty();
    world.write("package.json", r#"{"name": "all", "private": true, "workspaces": ["packages/*"]}"#);
    world.write("overhear.json", r#"{"cache": {"scripts": true}}"#);
    for (name, needs) in [("ui", ""), ("web", r#""ui": "*""#)] {
        let manifest = format!(
            r#"{{"name": "{name}", "version": "1.0.0", "dependencies": {{{needs}}}, "scripts": {{"build": "echo </script> built"}}}}"#
        );
        world.write(&format!("packages/{name}/package.json"), &manifest.replace("</script>", "'</script>'"));
    }
    let page = |world: &World| {
        let page = world.overhear(&["run", "-r", "--graph=html", "build"]).done();
        assert_eq!(page.code, 0, "{page:?}");
        assert!(!page.out.contains("http://") || page.out.matches("http").count() == 1, "it needs a network");
        world.write("graph.html", &page.out);
    };
    page(&world);
    let shown = dom(&world, 1200);
    assert!(shown.contains("web#build, not run yet, waits for ui#build"), "{shown}");

    assert_eq!(world.task(&["-r", "build"]).done().code, 0);
    page(&world);
    let shown = dom(&world, 1200);
    assert_eq!(shown.matches("<li").count(), 2, "{shown}");
    // What a screen reader says of a box, and the same as text.
    assert!(
        shown.contains("aria-label=\"web#build, ran, ") && shown.contains("waits for ui#build\""),
        "{shown}"
    );
    assert!(shown.contains("on the critical path") && shown.contains("of work when last run"), "{shown}");
    assert!(shown.contains("href=\"#step-0\">ui#build</a>"), "{shown}");
    // On a wide screen the graph, on a narrow one the list.
    assert!(shown.contains("id=\"list\" aria-label=\"Steps\" hidden"), "{shown}");
    assert!(!dom(&world, 400).contains("id=\"list\" aria-label=\"Steps\" hidden"), "the list is not shown");
}
