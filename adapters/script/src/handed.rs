//! What is handed to the functions of a script: the call, and whom to ask.

use crate::rows::{is_flag, value_of};
use crate::trouble::{Trouble, thrown};
use crate::values::{given, text_of};
use boa_engine::object::ObjectInitializer;
use boa_engine::property::Attribute;
use boa_engine::{Context, JsArgs, JsNativeError, JsResult, JsString, JsValue, NativeFunction, js_string};
use overhear_adapter::config::Field;
use overhear_adapter::host::{Runner, log};
use overhear_adapter::json::Value;
use overhear_adapter::{Config, EntryKind, Host, Invocation, Level, Os, PackageRef, paths};

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn member(name: &str, value: Value) -> (String, Value) {
    (name.to_owned(), value)
}

fn texts(texts: &[String]) -> Value {
    Value::Array(texts.iter().map(|one| text(one)).collect())
}

fn package(package: &PackageRef) -> Value {
    let mut members = vec![member("name", text(&package.name))];
    members.extend(package.version.as_deref().map(|version| member("version", text(version))));
    Value::Object(members)
}

/// The call. `subcommand` is what `detect` gave, where it was asked before.
pub fn call(call: &Invocation, subcommand: Option<&str>, context: &mut Context) -> Result<JsValue, Trouble> {
    let os = match call.os {
        Os::Linux => "linux",
        Os::Macos => "macos",
        Os::Windows => "windows",
    };
    let mut members = vec![
        member("program", text(&call.program)),
        member("args", texts(&call.args)),
        member("cwd", text(&call.cwd)),
        member("packageDir", text(&call.package_dir)),
        member("configFiles", texts(&call.config_files)),
        member("os", text(os)),
    ];
    members.extend(call.tool.as_ref().map(|tool| member("tool", package(tool))));
    let word = call.args.iter().find(|arg| !arg.starts_with('-'));
    members.extend(word.map(|word| member("word", text(word))));
    members.extend(subcommand.map(|name| member("subcommand", text(name))));
    let settings = call.settings.as_deref().and_then(Value::parse);
    members.extend(settings.map(|settings| member("settings", settings)));
    let handed = given(&Value::Object(members), context);
    let functions = [
        ("has", has(&call.args)),
        ("value", value(&call.args)),
        ("fromCwd", joined(&call.cwd)),
        ("fromPackage", joined(&call.package_dir)),
    ];
    if let Some(object) = handed.as_object() {
        for (name, function) in functions {
            let function = function.to_js_function(context.realm());
            object
                .create_data_property_or_throw(JsString::from(name), function, context)
                .map_err(|error| thrown(&error))?;
        }
    }
    Ok(handed)
}

/// `has("--watch", "-w")`: whether one of the flags is there and not `=false`.
fn has(args: &[String]) -> NativeFunction {
    let has = |_: &JsValue, flags: &[JsValue], args: &Vec<String>, _: &mut Context| {
        for flag in flags {
            let flag = string(flag, "a flag")?;
            if args.iter().any(|arg| is_flag(arg, &flag)) {
                return Ok(JsValue::from(true));
            }
        }
        Ok(JsValue::from(false))
    };
    NativeFunction::from_copy_closure_with_captures(has, args.to_vec())
}

/// `value("--out", "-o")`: the value of the first of the flags that has one.
fn value(args: &[String]) -> NativeFunction {
    let value = |_: &JsValue, flags: &[JsValue], args: &Vec<String>, _: &mut Context| {
        for flag in flags {
            if let Some(value) = value_of(args, &string(flag, "a flag")?) {
                return Ok(text_of(value));
            }
        }
        Ok(JsValue::undefined())
    };
    NativeFunction::from_copy_closure_with_captures(value, args.to_vec())
}

/// `fromCwd("../dist")`: the path from the root, if it lies in the workspace.
fn joined(base: &str) -> NativeFunction {
    let joined = |_: &JsValue, args: &[JsValue], base: &String, _: &mut Context| {
        let path = string(args.get_or_undefined(0), "a path")?;
        Ok(paths::join(base, &path).map_or(JsValue::undefined(), |path| text_of(&path)))
    };
    NativeFunction::from_copy_closure_with_captures(joined, base.to_owned())
}

/// Whom `declare` may ask.
pub fn host(context: &mut Context) -> JsValue {
    let functions: [(&'static str, fn(&str, &mut Context) -> JsValue); 6] = [
        ("readText", |path, _| optional(Runner.read_text(path))),
        ("readConfig", read_config),
        ("kind", |path, _| optional(Runner.kind(path).map(kind))),
        ("listDir", list_dir),
        ("env", |name, _| optional(Runner.env(name))),
        ("resolvePackage", |name, context| match Runner.resolve_package(name) {
            Some(found) => given(&package(&found), context),
            None => JsValue::undefined(),
        }),
    ];
    let mut host = ObjectInitializer::new(context);
    for (name, ask) in functions {
        let ask = NativeFunction::from_copy_closure(move |_, args, context| {
            let asked = string(args.get_or_undefined(0), &format!("host.{name}: what is asked for"))?;
            Ok(ask(&asked, context))
        });
        host.function(ask, JsString::from(name), 1);
    }
    let note = NativeFunction::from_copy_closure(|_, args, context| {
        let words = args.get_or_undefined(0).to_string(context)?;
        log(Level::Info, &words.to_std_string_lossy());
        Ok(JsValue::undefined())
    });
    host.function(note, js_string!("log"), 1);
    host.build().into()
}

/// What stands for nothing is `undefined`, so that `??` says what holds then.
fn optional(text: Option<impl AsRef<str>>) -> JsValue {
    text.map_or(JsValue::undefined(), |text| text_of(text.as_ref()))
}

fn kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Dir => "dir",
        EntryKind::Symlink => "symlink",
        EntryKind::Other => "other",
    }
}

fn list_dir(path: &str, context: &mut Context) -> JsValue {
    let Some(entries) = Runner.list_dir(path) else { return JsValue::undefined() };
    let entry = |entry: &overhear_adapter::Entry| {
        Value::Object(vec![member("name", text(&entry.name)), member("kind", text(kind(entry.kind)))])
    };
    given(&Value::Array(entries.iter().map(entry).collect()), context)
}

/// A config, as `{ value, at(path) }`; `at` tells what is not known from what is not set.
fn read_config(path: &str, context: &mut Context) -> JsValue {
    let Some(json) = Runner.read_config_text(path) else { return JsValue::undefined() };
    let value = given(&Value::parse(&json).unwrap_or(Value::Null), context);
    let at = |_: &JsValue, args: &[JsValue], json: &String, context: &mut Context| {
        let path = string(args.get_or_undefined(0), "the path of a field")?;
        Ok(field(Config::from_json(json).at(&path), context))
    };
    let at = NativeFunction::from_copy_closure_with_captures(at, json);
    let mut config = ObjectInitializer::new(context);
    config.property(js_string!("value"), value, Attribute::all()).function(at, js_string!("at"), 1);
    config.build().into()
}

fn field(field: Field, context: &mut Context) -> JsValue {
    let members = match field {
        Field::Absent => Vec::new(),
        Field::Known(value) => vec![member("value", value.clone())],
        Field::Unknown(reason) => vec![member("unknown", text(reason))],
    };
    given(&Value::Object(members), context)
}

fn string(value: &JsValue, what: &str) -> JsResult<String> {
    match value.as_string() {
        Some(text) => Ok(text.to_std_string_lossy()),
        None => {
            let kind = if value.is_null() { "null" } else { value.type_of() };
            Err(JsNativeError::typ().with_message(format!("{what} is a text, and not {kind}")).into())
        }
    }
}
