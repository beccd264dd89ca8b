//! JavaScript and TypeScript configs: what is exported is followed through constants, literals, the
//! identity helpers that packages offer (`defineConfig`), and functions that do nothing but return.

use super::{UNKNOWN, is_unknown, unknown};
use oxc_allocator::Allocator;
use oxc_ast::ast::{
    ArrayExpression, ArrayExpressionElement, ArrowFunctionBody, AssignmentTarget, CallExpression,
    ExportDefaultDeclarationKind, Expression, FormalParameters, ImportDeclarationSpecifier, ObjectExpression,
    ObjectPropertyKind, Program, PropertyKind, Statement, UnaryOperator, VariableDeclaration,
    VariableDeclarationKind,
};
use oxc_parser::Parser;
use oxc_span::SourceType;
use serde_json::{Map, Number, Value};
use std::collections::HashMap;

/// How deep values and constants are followed.
const DEPTH_MAX: usize = 64;
/// How many expressions are looked at: constants that double each other could take for ever.
const STEPS_MAX: usize = 20_000;

/// What is known of the default export (or of `module.exports`).
pub fn read(name: &str, text: &str) -> Value {
    let Ok(kind) = SourceType::from_path(name) else { return unknown(format!("{name} is no script")) };
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, text, kind).parse();
    if parsed.panicked || parsed.diagnostics.has_errors() {
        return unknown(format!("{name} has a syntax error"));
    }
    let mut reader = Reader { text, scopes: vec![top_level(&parsed.program)], steps: 0 };
    match exported(&parsed.program, text) {
        Ok(Exported::Value(value)) => reader.config(value),
        Ok(Exported::Function { params, body, plain }) => reader.returned(params, body, plain),
        Err(reason) => unknown(reason),
    }
}

/// What a name stands for.
#[derive(Clone, Copy)]
enum Meaning<'a> {
    /// A constant.
    Constant(&'a Expression<'a>),
    /// A function of an installed package.
    Imported(&'a str),
    /// Something whose value is only known when the config runs.
    Dynamic,
}

type Scope<'a> = HashMap<&'a str, Meaning<'a>>;

enum Exported<'a> {
    Value(&'a Expression<'a>),
    Function { params: &'a FormalParameters<'a>, body: Option<&'a [Statement<'a>]>, plain: bool },
}

fn exported<'a>(program: &'a Program<'a>, text: &str) -> Result<Exported<'a>, String> {
    for statement in &program.body {
        match statement {
            Statement::ExportDefaultDeclaration(export) => {
                return match &export.declaration {
                    ExportDefaultDeclarationKind::FunctionDeclaration(function) => Ok(Exported::Function {
                        params: &function.params,
                        body: function.body.as_ref().map(|body| body.statements.as_slice()),
                        plain: !function.generator,
                    }),
                    other => other
                        .as_expression()
                        .map(Exported::Value)
                        .ok_or("the default export is a class".into()),
                };
            }
            Statement::TSExportAssignment(export) => return Ok(Exported::Value(&export.expression)),
            _ => {}
        }
    }
    let assigned = program.body.iter().filter_map(module_exports).next();
    match assigned {
        // Anything else done with `exports` could change what was assigned.
        Some(value) if words(text, "exports") == 1 => Ok(Exported::Value(value)),
        Some(_) => Err("`exports` is used more than once".into()),
        None => Err("there is no default export".into()),
    }
}

/// `module.exports = …`
fn module_exports<'a>(statement: &'a Statement<'a>) -> Option<&'a Expression<'a>> {
    let Statement::ExpressionStatement(statement) = statement else { return None };
    let Expression::AssignmentExpression(assignment) = &statement.expression else { return None };
    let AssignmentTarget::StaticMemberExpression(member) = &assignment.left else { return None };
    let Expression::Identifier(object) = &member.object else { return None };
    let plain = assignment.operator.is_assign();
    (plain && object.name == "module" && member.property.name == "exports").then_some(&assignment.right)
}

fn top_level<'a>(program: &'a Program<'a>) -> Scope<'a> {
    let mut scope = Scope::new();
    for statement in &program.body {
        if let Statement::ImportDeclaration(import) = statement {
            let installed = !import.source.value.starts_with(['.', '/', '#']);
            for specifier in import.specifiers.iter().flatten() {
                let local = specifier.local().name.as_str();
                let meaning = match specifier {
                    ImportDeclarationSpecifier::ImportSpecifier(named) if installed => {
                        Meaning::Imported(named.imported.name().as_str())
                    }
                    _ => Meaning::Dynamic,
                };
                scope.insert(local, meaning);
            }
        }
    }
    add_constants(&program.body, &mut scope);
    scope
}

fn add_constants<'a>(statements: &'a [Statement<'a>], scope: &mut Scope<'a>) {
    for statement in statements {
        match statement {
            Statement::VariableDeclaration(declaration) => add_declaration(declaration, scope),
            Statement::ExportDeclaration(export) => {
                if let oxc_ast::ast::Declaration::VariableDeclaration(declaration) = &export.declaration {
                    add_declaration(declaration, scope);
                }
            }
            Statement::FunctionDeclaration(function) => {
                if let Some(id) = &function.id {
                    scope.insert(id.name.as_str(), Meaning::Dynamic);
                }
            }
            _ => {}
        }
    }
}

fn add_declaration<'a>(declaration: &'a VariableDeclaration<'a>, scope: &mut Scope<'a>) {
    for declarator in &declaration.declarations {
        let constant = match (&declarator.id, &declarator.init) {
            (oxc_ast::ast::BindingPattern::BindingIdentifier(_), Some(init))
                if declaration.kind == VariableDeclarationKind::Const =>
            {
                Meaning::Constant(init)
            }
            _ => Meaning::Dynamic,
        };
        for name in declarator.id.get_binding_identifiers() {
            scope.insert(name.name.as_str(), constant);
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    /// Innermost last.
    scopes: Vec<Scope<'a>>,
    steps: usize,
}

impl<'a> Reader<'a> {
    /// A config: an object, or a function that returns one, or either in an identity helper.
    fn config(&mut self, expression: &'a Expression<'a>) -> Value {
        match expression.get_inner_expression() {
            Expression::CallExpression(call) => match self.helped(call) {
                Ok(inner) => self.config(inner),
                Err(reason) => unknown(reason),
            },
            Expression::ArrowFunctionExpression(arrow) => match &arrow.body {
                ArrowFunctionBody::FunctionBody(body) => {
                    self.returned(&arrow.params, Some(&body.statements), true)
                }
                other => {
                    self.scopes.push(parameters(&arrow.params));
                    let value = other
                        .as_expression()
                        .map_or_else(|| unknown("a function"), |body| self.value(body, 0));
                    self.scopes.pop();
                    value
                }
            },
            Expression::FunctionExpression(function) => {
                let body = function.body.as_ref().map(|body| body.statements.as_slice());
                self.returned(&function.params, body, !function.generator)
            }
            Expression::Identifier(name) => match self.meaning(name.name.as_str()) {
                Some(Meaning::Constant(value)) if self.is_untouched(name.name.as_str()) => self.config(value),
                _ => unknown(format!("`{}` is not a constant that nothing else touches", name.name)),
            },
            other => self.value(other, 0),
        }
    }

    /// The one argument of a call of an installed package's `define…`: by convention it is returned as
    /// it is, and exists for the types.
    fn helped(&self, call: &'a CallExpression<'a>) -> Result<&'a Expression<'a>, String> {
        let Expression::Identifier(callee) = &call.callee else { return Err("the result of a call".into()) };
        let name = callee.name.as_str();
        let identity = match self.meaning(name) {
            Some(Meaning::Imported(real)) => real.starts_with("define"),
            // Tools that load a config with their helper as a global name it so.
            None => name.starts_with("define") && name.ends_with("Config"),
            Some(_) => false,
        };
        match (identity, call.arguments.as_slice()) {
            (true, [only]) => only.as_expression().ok_or_else(|| "a spread argument".into()),
            _ => Err(format!("the result of calling `{name}`")),
        }
    }

    /// What a function returns whose statements are constants and, at the end, the one `return`.
    fn returned(
        &mut self,
        params: &'a FormalParameters<'a>,
        body: Option<&'a [Statement<'a>]>,
        plain: bool,
    ) -> Value {
        let Some(([.., Statement::ReturnStatement(last)], true)) = body.map(|body| (body, plain)) else {
            return unknown("a function that does not simply return");
        };
        let before = &body.unwrap_or_default()[..body.map_or(0, <[_]>::len) - 1];
        let simple = before.iter().all(|statement| matches!(statement, Statement::VariableDeclaration(_)));
        let Some(value) = last.argument.as_ref().filter(|_| simple) else {
            return unknown("a function that does more than to return");
        };
        let mut scope = parameters(params);
        add_constants(before, &mut scope);
        self.scopes.push(scope);
        let value = match value.get_inner_expression() {
            Expression::Identifier(_) => self.config(value),
            value => self.value(value, 0),
        };
        self.scopes.pop();
        value
    }

    fn value(&mut self, expression: &'a Expression<'a>, depth: usize) -> Value {
        self.steps += 1;
        if depth > DEPTH_MAX || self.steps > STEPS_MAX {
            return unknown("it is nested too deeply");
        }
        match expression.get_inner_expression() {
            Expression::StringLiteral(text) => Value::String(text.value.to_string()),
            Expression::BooleanLiteral(truth) => Value::Bool(truth.value),
            Expression::NullLiteral(_) => Value::Null,
            Expression::NumericLiteral(number) => self::number(number.value),
            Expression::TemplateLiteral(template) => {
                match (template.quasis.as_slice(), template.expressions.len()) {
                    ([only], 0) => only
                        .value
                        .cooked
                        .map_or_else(|| unknown("a template"), |text| Value::String(text.to_string())),
                    _ => unknown("a template with expressions"),
                }
            }
            Expression::UnaryExpression(unary) => {
                match (unary.operator, self.value(&unary.argument, depth + 1)) {
                    (UnaryOperator::UnaryNegation, Value::Number(value)) => {
                        value.as_f64().map_or_else(|| unknown("a number"), |value| self::number(-value))
                    }
                    (UnaryOperator::LogicalNot, Value::Bool(truth)) => Value::Bool(!truth),
                    (UnaryOperator::LogicalNot, Value::Number(value)) => {
                        Value::Bool(value.as_f64() == Some(0.0))
                    }
                    (UnaryOperator::Void, _) => Value::Null,
                    _ => unknown("an expression"),
                }
            }
            Expression::ObjectExpression(object) => self.object(object, depth),
            Expression::ArrayExpression(array) => self.array(array, depth),
            Expression::Identifier(name) => self.named(name.name.as_str(), depth),
            Expression::ArrowFunctionExpression(_) | Expression::FunctionExpression(_) => {
                unknown("a function")
            }
            Expression::CallExpression(call) => match &call.callee {
                Expression::Identifier(callee) => unknown(format!("the result of calling `{}`", callee.name)),
                _ => unknown("the result of a call"),
            },
            Expression::ConditionalExpression(_) | Expression::LogicalExpression(_) => {
                unknown("it depends on a condition")
            }
            _ => unknown("an expression"),
        }
    }

    fn named(&mut self, name: &str, depth: usize) -> Value {
        match self.meaning(name) {
            Some(Meaning::Constant(value)) => {
                let value = self.value(value, depth + 1);
                // A constant binding does not keep others from changing the object.
                if (value.is_object() || value.is_array()) && !is_unknown(&value) && !self.is_untouched(name)
                {
                    return unknown(format!("`{name}` is used in other places, which could change it"));
                }
                value
            }
            None if name == "undefined" => Value::Null,
            _ => unknown(format!("`{name}` is only known when the config runs")),
        }
    }

    fn object(&mut self, object: &'a ObjectExpression<'a>, depth: usize) -> Value {
        let mut members = Map::new();
        for property in &object.properties {
            match property {
                ObjectPropertyKind::ObjectProperty(property) => {
                    let name = property.key.static_name().filter(|_| !property.computed);
                    let Some(name) = name.filter(|name| name != "__proto__" && name != UNKNOWN) else {
                        overshadow(&mut members, "a computed name");
                        continue;
                    };
                    let value = match property.kind {
                        PropertyKind::Init if !property.method => self.value(&property.value, depth + 1),
                        _ => unknown("a function"),
                    };
                    members.insert(name.into_owned(), value);
                }
                ObjectPropertyKind::SpreadProperty(spread) => match self.value(&spread.argument, depth + 1) {
                    Value::Object(other) => {
                        if let Some(reason) = other.get(UNKNOWN).and_then(Value::as_str) {
                            overshadow(&mut members, reason);
                        }
                        members.extend(other.into_iter().filter(|(name, _)| name != UNKNOWN));
                    }
                    Value::Null | Value::Bool(_) => {}
                    _ => overshadow(&mut members, "a spread of something that is no object"),
                },
            }
        }
        Value::Object(members)
    }

    fn array(&mut self, array: &'a ArrayExpression<'a>, depth: usize) -> Value {
        let mut elements = Vec::with_capacity(array.elements.len());
        for element in &array.elements {
            match element {
                ArrayExpressionElement::SpreadElement(spread) => {
                    match self.value(&spread.argument, depth + 1) {
                        Value::Array(other) => elements.extend(other),
                        _ => elements.push(unknown("a spread")),
                    }
                }
                ArrayExpressionElement::Elision(_) => elements.push(Value::Null),
                other => {
                    let value = other.as_expression().map(|value| self.value(value, depth + 1));
                    elements.push(value.unwrap_or_else(|| unknown("an expression")));
                }
            }
        }
        Value::Array(elements)
    }

    fn meaning(&self, name: &str) -> Option<Meaning<'a>> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name)).copied()
    }

    /// Whether a name occurs only where it is made and where it is used now. Occurrences in comments
    /// count too: that only makes less known.
    fn is_untouched(&self, name: &str) -> bool {
        words(self.text, name) <= 2
    }
}

/// Something unknown is put over an object: each member so far may have another value now, and there
/// may be members that are not written down.
fn overshadow(members: &mut Map<String, Value>, reason: &str) {
    members.values_mut().for_each(|value| *value = unknown(reason));
    members.insert(UNKNOWN.to_owned(), Value::String(reason.to_owned()));
}

fn parameters<'a>(params: &'a FormalParameters<'a>) -> Scope<'a> {
    let rest = params.rest.iter().flat_map(|rest| rest.rest.argument.get_binding_identifiers());
    let plain = params.items.iter().flat_map(|item| item.pattern.get_binding_identifiers());
    plain.chain(rest).map(|name| (name.name.as_str(), Meaning::Dynamic)).collect()
}

fn number(value: f64) -> Value {
    #[allow(clippy::cast_possible_truncation, reason = "only whole numbers that fit are converted")]
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return Value::Number(Number::from(value as i64));
    }
    Number::from_f64(value).map_or_else(|| unknown("a number that JSON does not have"), Value::Number)
}

/// How often a name occurs as a whole word.
fn words(text: &str, name: &str) -> usize {
    let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '$');
    let whole = |(at, _): &(usize, &str)| {
        !text[..*at].chars().next_back().is_some_and(is_part)
            && !text[at + name.len()..].chars().next().is_some_and(is_part)
    };
    text.match_indices(name).filter(whole).count()
}

#[cfg(test)]
mod tests {
    use crate::adapter::static_config::read;
    use serde_json::{Value, json};

    fn known(text: &str) -> Value {
        serde_json::from_str(&read("tool.config.ts", text)).expect("it gives JSON")
    }

    fn unknown(reason: &str) -> Value {
        json!({ "$unknown": reason })
    }

    #[test]
    fn what_stands_there_literally_is_known() {
        let define = "import { defineConfig } from 'tool';\n";
        let cases = [
            ("export default { a: 'x', 'b': 1, c: [true, null, -2.5], d: { e: `y` }, f: !0, g: undefined }".to_owned(),
             json!({"a": "x", "b": 1, "c": [true, null, -2.5], "d": {"e": "y"}, "f": true, "g": null})),
            (format!("{define}export default defineConfig({{ a: 1 }})"), json!({"a": 1})),
            (format!("{define}export default defineConfig(() => ({{ a: 1 }}))"), json!({"a": 1})),
            (format!("{define}export default defineConfig(async ({{ mode }}) => {{ const x = 'y'; return {{ a: x, m: mode }}; }})"),
             json!({"a": "y", "m": {"$unknown": "`mode` is only known when the config runs"}})),
            (format!("{define}export default defineConfig(function () {{ return {{ a: 1 }} }})"), json!({"a": 1})),
            ("export default function () { return { a: 1 } }".to_owned(), json!({"a": 1})),
            ("export default ({ a: 1 } as const) satisfies X".to_owned(), json!({"a": 1})),
            ("const out = 'o'; const config: UserConfig = { out, n: out }; export default config".to_owned(),
             json!({"out": "o", "n": "o"})),
            ("const base = { a: 1, b: 2 }; export default { a: 0, ...base, b: 3 }".to_owned(), json!({"a": 1, "b": 3})),
            ("module.exports = { a: 1 }".to_owned(), json!({"a": 1})),
            ("export default defineToolConfig({ a: 1 })".to_owned(), json!({"a": 1})),
        ];
        for (text, expected) in cases {
            assert_eq!(known(&text), expected, "{text}");
        }
    }

    #[test]
    fn what_only_running_it_would_tell_is_marked() {
        let cases = [
            (
                "export default { a: f(), b: 1 }",
                json!({"a": {"$unknown": "the result of calling `f`"}, "b": 1}),
            ),
            (
                "export default { a: 1, ...f(), b: 2 }",
                json!({"a": {"$unknown": "the result of calling `f`"}, "$unknown": "the result of calling `f`", "b": 2}),
            ),
            (
                "export default { a: 1, [k]: 2 }",
                json!({"a": {"$unknown": "a computed name"}, "$unknown": "a computed name"}),
            ),
            (
                "let a = 'x'; export default { a }",
                json!({"a": {"$unknown": "`a` is only known when the config runs"}}),
            ),
            ("export default { a: `x${y}` }", json!({"a": {"$unknown": "a template with expressions"}})),
            ("export default { a: c ? 1 : 2 }", json!({"a": {"$unknown": "it depends on a condition"}})),
            (
                "const o = { x: 1 }; o.x = 2; export default { o }",
                json!({"o": {"$unknown": "`o` is used in other places, which could change it"}}),
            ),
            (
                "const config = {}; change(config); export default config",
                unknown("`config` is not a constant that nothing else touches"),
            ),
            (
                "import { defineConfig } from './mine'; export default defineConfig({ a: 1 })",
                unknown("the result of calling `defineConfig`"),
            ),
            ("export default merge(a, b)", unknown("the result of calling `merge`")),
            (
                "export default () => { if (x) return { a: 1 }; return { a: 2 } }",
                unknown("a function that does more than to return"),
            ),
            ("module.exports = { a: 1 }; module.exports.a = 2", unknown("`exports` is used more than once")),
            ("const a = a; export default a", unknown("`a` is not a constant that nothing else touches")),
            ("export const x = 1", unknown("there is no default export")),
            ("export default {", unknown("tool.config.ts has a syntax error")),
        ];
        for (text, expected) in cases {
            assert_eq!(known(text), expected, "{text}");
        }
    }

    #[test]
    fn constants_that_lead_in_circles_or_double_each_other_end() {
        let circle = known("const a = { b }; const b = { a }; export default { a }");
        assert!(circle.to_string().contains("$unknown"));
        let mut doubling = String::from("const v0 = 'x';\n");
        for level in 1..60 {
            let below = level - 1;
            doubling.push_str(&format!("const v{level} = [v{below}, v{below}];\n"));
        }
        doubling.push_str("export default { v: v59 }");
        assert!(known(&doubling).to_string().contains("$unknown"));
    }

    #[test]
    fn a_file_that_is_nested_without_end_is_survived() {
        for nest in ["[", "!", "(", "a=>", "{a:"] {
            let text = format!("export default {}", nest.repeat(100_000 / nest.len()));
            assert!(known(&text).to_string().contains("$unknown"));
        }
        let json = read("x.json", &"[".repeat(100_000));
        assert!(json.contains("$unknown"));
    }

    #[test]
    fn json_with_comments_is_read() {
        let text = read("x.jsonc", "{ // why\n \"a\": [1, 2,], }");
        assert_eq!(text, r#"{"a":[1,2]}"#);
        assert!(read("x.json", "{").contains("is no JSON"));
        let text = "a = [1, 2.5, inf]\n[b.c]\nd = 'e' # why\nf = 1979-05-27\n";
        assert_eq!(
            read("x.toml", text),
            r#"{"a":[1,2.5,{"$unknown":"a number that JSON does not have"}],"b":{"c":{"d":"e","f":"1979-05-27"}}}"#
        );
        assert!(read("x.toml", "a = ").contains("is no TOML"));
        assert!(read("x.ini", "a").contains("the format of x.ini"));
    }
}
