//! The author's module in an interpreter without a clock, randomness, or other files.

use crate::trouble::{NAME, Trouble, thrown, unreadable};
use crate::values;
use boa_engine::builtins::promise::PromiseState;
use boa_engine::context::time::{Clock, JsInstant};
use boa_engine::job::IdleJobExecutor;
use boa_engine::module::IdleModuleLoader;
use boa_engine::object::FunctionObjectBuilder;
use boa_engine::property::PropertyDescriptor;
use boa_engine::{
    Context, JsError, JsNativeError, JsObject, JsResult, JsString, JsValue, NativeFunction, Source, js_string,
};
use overhear_adapter::json::Value;
use std::path::Path;
use std::rc::Rc;

/// Calls of functions in each other. Each takes some of the interpreter's own stack where a function of the
/// language calls back.
const DEPTH_MAX: usize = 200;

/// A module that was run: its default export holds what it says of itself, and its functions.
pub struct Module {
    context: Context,
    exported: JsObject,
}

impl Module {
    /// Reads and runs it.
    pub fn load(source: &str) -> Result<Module, Trouble> {
        let mut context = interpreter().map_err(|error| thrown(&error))?;
        let source = Source::from_bytes(source).with_path(Path::new(NAME));
        let module =
            boa_engine::Module::parse(source, None, &mut context).map_err(|error| unreadable(&error))?;
        if let PromiseState::Rejected(_) | PromiseState::Pending = module.load(&mut context).state() {
            let what = "it imports another module; an adapter is one file";
            return Err(Trouble::BadSource(what.into()));
        }
        module.link(&mut context).map_err(|error| unreadable(&error))?;
        let run = module.evaluate(&mut context).map_err(|error| thrown(&error))?;
        match run.state() {
            PromiseState::Fulfilled(_) => {}
            PromiseState::Rejected(value) => return Err(thrown(&JsError::from_opaque(value))),
            PromiseState::Pending => {
                let what = "it awaits something; an adapter has nothing to wait for";
                return Err(Trouble::BadSource(what.into()));
            }
        }
        let exported = module.namespace(&mut context).get(js_string!("default"), &mut context);
        let exported = exported.map_err(|error| thrown(&error))?;
        match exported.as_object() {
            Some(exported) if !exported.is_callable() => Ok(Module { exported: exported.clone(), context }),
            _ => {
                let what = "it has no `export default { id, version, programs, detect, declare }`";
                Err(Trouble::WrongForm(what.into()))
            }
        }
    }

    /// The interpreter, to make values in.
    pub fn context(&mut self) -> &mut Context {
        &mut self.context
    }

    /// One of its functions.
    pub fn function(&mut self, name: &str) -> Result<JsObject, Trouble> {
        let found = self.exported.get(JsString::from(name), &mut self.context);
        let found = found.map_err(|error| thrown(&error))?;
        found.as_callable().ok_or_else(|| {
            Trouble::WrongForm(format!("its default export has no function `{name}`: `{name}(call) {{ … }}`"))
        })
    }

    /// Everything that it exports besides its functions.
    pub fn described(&mut self) -> Result<Value, Trouble> {
        values::members(&self.exported, &["detect", "declare"], &mut self.context)
    }

    /// What one of its functions gives; `None`: nothing.
    pub fn call(&mut self, name: &str, with: &[JsValue]) -> Result<Option<Value>, Trouble> {
        let function = self.function(name)?;
        let this = JsValue::from(self.exported.clone());
        let given = function.call(&this, with, &mut self.context).map_err(|error| thrown(&error))?;
        values::taken(&given, "", 0, &mut self.context)
    }
}

/// Time stands still. A script does not get at it either: [`take_away`].
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> JsInstant {
        JsInstant::new(0, 0)
    }

    fn system_time_millis(&self) -> i64 {
        0
    }
}

fn interpreter() -> JsResult<Context> {
    let mut context = Context::builder()
        .clock(Rc::new(Stopped))
        .job_executor(Rc::new(IdleJobExecutor))
        .module_loader(Rc::new(IdleModuleLoader))
        .build()?;
    context.runtime_limits_mut().set_recursion_limit(DEPTH_MAX);
    let global = context.global_object();
    take_away(&global, "Date", "there is no clock in an adapter: `Date` is not there", &mut context)?;
    let math = global.get(js_string!("Math"), &mut context)?;
    if let Some(math) = math.as_object() {
        let words = "there is no randomness in an adapter: `Math.random` is not there";
        take_away(&math, "random", words, &mut context)?;
    }
    Ok(context)
}

/// Whoever uses the member is told why it is not there. Without it a script would say something else
/// tomorrow, and what is remembered of it would be wrong.
fn take_away(of: &JsObject, name: &str, why: &'static str, context: &mut Context) -> JsResult<()> {
    let getter =
        NativeFunction::from_copy_closure(move |_, _, _| Err(JsNativeError::typ().with_message(why).into()));
    let getter = FunctionObjectBuilder::new(context.realm(), getter).build();
    let instead = PropertyDescriptor::builder().get(getter).enumerable(false).configurable(false);
    of.define_property_or_throw(JsString::from(name), instead, context)?;
    Ok(())
}
