//! What a component imports and exports, held against the interface before any of its code runs.

use super::bindings::AdapterPre;
use super::bindings::exports::overhear::adapter::guest::GuestIndices;
use super::bindings::overhear::adapter::types;
use super::engine::State;
use super::fault::Wrong;
use wasmtime::Engine;
use wasmtime::component::types::{self as kinds, ComponentItem};
use wasmtime::component::{Component, Linker};

/// Our interfaces, whatever their version.
const OURS: &str = "overhear:adapter/";
/// What a component of ours may import besides, to get the text that it carries: `adapters/source.wit`.
pub const CARRIED: &str = "overhear:carried/source@0.1.0";
/// What an adapter exports.
const GUEST: &str = "overhear:adapter/guest@";
/// The versions that this program speaks.
const SPOKEN: &str = "0.1.";

/// Checks a component and makes it ready to be instantiated. `carries`: it is one of ours that carries the
/// knowledge of somebody else.
pub fn link(
    engine: &Engine,
    linker: &Linker<State>,
    component: &Component,
    carries: bool,
) -> Result<AdapterPre<State>, Wrong> {
    let kind = component.component_type();
    for (name, _) in kind.imports(engine) {
        if !name.starts_with(OURS) && !(carries && name == CARRIED) {
            return Err(Wrong::new("foreign-import", format!("`{name}` is not available to adapters")));
        }
    }
    let guest =
        kind.exports(engine).find_map(|(name, export)| Some((name.strip_prefix(GUEST)?.to_owned(), export)));
    let Some((version, guest)) = guest else {
        let what = "it is no overhear adapter: it does not export overhear:adapter/guest";
        return Err(Wrong::new("wrong-world", what));
    };
    if !version.starts_with(SPOKEN) {
        let what = format!(
            "it was built for adapter API {version}; this overhear speaks 0.1. Update overhear, or take a \
             version of the adapter for 0.1"
        );
        return Err(Wrong::new("api-too-new", what));
    }
    // The types of functions would else be looked at after the component's own start function ran.
    match guest.ty {
        ComponentItem::ComponentInstance(guest) => check_functions(engine, &guest, &kind)?,
        _ => return Err(mismatch("overhear:adapter/guest", "it is no interface")),
    }
    let pre = linker
        .instantiate_pre(component)
        .map_err(|error| mismatch("its imports", &one_line(&format!("{error:#}"))))?;
    let failed = |error: wasmtime::Error| mismatch("its exports", &one_line(&format!("{error:#}")));
    GuestIndices::new(&pre).map_err(failed)?;
    AdapterPre::new(pre).map_err(failed)
}

fn check_functions(
    engine: &Engine,
    guest: &kinds::ComponentInstance,
    component: &kinds::Component,
) -> Result<(), Wrong> {
    type Declared = Result<types::Declaration, types::Failure>;
    let context = component.instance_type();
    for name in ["describe", "detect", "declare"] {
        let Some(ComponentItem::ComponentFunc(function)) =
            guest.get_export(engine, name).map(|export| export.ty)
        else {
            return Err(mismatch(name, "there is no such function"));
        };
        let checked = match name {
            "describe" => function.typecheck::<(), (types::Description,)>(&context),
            "detect" => function.typecheck::<(&types::Invocation,), (types::Match,)>(&context),
            _ => function.typecheck::<(&types::Invocation, &str), (Declared,)>(&context),
        };
        checked.map_err(|error| mismatch(name, &one_line(&format!("{error:#}"))))?;
    }
    Ok(())
}

fn mismatch(of: &str, why: &str) -> Wrong {
    Wrong::new("type-mismatch", format!("`{of}` is not as adapter API 0.1 has it: {why}"))
}

/// Text of wasmtime on one line.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
