//! Values meet parameters: those of the entry first, then inputs of the same name, then defaults.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::context::{ANY, Context};
use super::shelf::ShelfIx;
use super::uses::{Uses, check_inputs};
use crate::runbook::codes;
use crate::runbook::expr::Scope;
use crate::runbook::model::{Bindings, Data, DataValue, ParamDef};
use crate::runbook::problem::Problem;
use crate::runbook::source::Text;
use crate::runbook::template::{self, Template};
use crate::runbook::words::spelling;

/// The parameters of a definition with their values.
pub(super) type Params = Arc<BTreeMap<String, Value>>;

/// What is to be bound for one step or criterion.
pub(super) struct Binding<'a> {
    /// Its name, for messages.
    pub(super) user: &'a str,
    /// What the definition declares.
    pub(super) declares: Option<&'a [(Text, ParamDef)]>,
    /// The catalog that it is from.
    pub(super) base: Option<ShelfIx>,
    /// What the entry gives.
    pub(super) given: &'a Bindings,
    /// What the definition's expressions use.
    pub(super) uses: &'a Uses,
}

/// Binds all parameters that a definition declares, and those of its catalog that it uses.
pub(super) fn bind(cx: &mut Context<'_>, binding: &Binding<'_>) -> Params {
    let whole = binding.base.map_or(&[][..], |at| cx.shelf.at(at).catalog.params.as_slice());
    let own = binding.declares.unwrap_or_default();
    let is_used = |name: &str| binding.uses.under("params").any(|(used, _)| used == name);
    let is_given = |name: &str| binding.given.iter().any(|(given, _)| &*given.value == name);
    let mut params = BTreeMap::new();
    for (name, def) in own {
        bind_one(cx, binding, name, def, &mut params);
    }
    for (name, def) in whole {
        let shadowed = own.iter().any(|(own, _)| own.value == name.value);
        if !shadowed && (is_used(&name.value) || is_given(&name.value)) {
            bind_one(cx, binding, name, def, &mut params);
        }
    }
    let declared: Vec<&str> = own.iter().chain(whole).map(|(name, _)| &*name.value).collect();
    refuse_unknown(cx, binding, &declared);
    Arc::new(params)
}

fn refuse_unknown(cx: &mut Context<'_>, binding: &Binding<'_>, declared: &[&str]) {
    let user = binding.user;
    for (name, _) in binding.given.iter().filter(|(name, _)| !declared.contains(&&*name.value)) {
        let mut problem = Problem::new(codes::UNKNOWN_PARAMETER, format!("`{user}` has no parameter `{}`", name.value))
            .at(name.span, "not known")
            .suggest(&name.value, declared.iter().copied());
        problem = match declared {
            [] => problem.note(format!("`{user}` takes no parameters")),
            known => problem.note(format!("it takes {}", known.join(", "))),
        };
        cx.problem(problem);
    }
    for (name, used) in binding.uses.under("params").filter(|(name, _)| !declared.contains(name)) {
        let problem =
            Problem::new(codes::UNKNOWN_PARAMETER, format!("the parameter `{name}` is used and not declared"))
                .at(used.span, "no such parameter")
                .suggest(name, declared.iter().copied());
        cx.problem(match binding.base {
            Some(_) => problem.help("declare it under `params:` of the definition or of its catalog"),
            None => problem.help("a step that is defined in the runbook has no parameters: use `inputs.…`"),
        });
    }
}

fn bind_one(
    cx: &mut Context<'_>,
    binding: &Binding<'_>,
    name: &Text,
    def: &ParamDef,
    params: &mut BTreeMap<String, Value>,
) {
    let kind = def.kind.as_ref().map(|kind| kind.value);
    let given = binding.given.iter().find(|(given, _)| given.value == name.value).map(|(_, value)| value.clone());
    let given = given.or_else(|| cx.input_value(&name.value).map(|(_, value)| value.clone()));
    let value = match given.as_ref().or(def.default.as_ref()) {
        Some(value) => value,
        None => {
            if def.required.as_ref().is_some_and(|required| required.value) {
                cx.miss(&name.value, kind.map_or(ANY, spelling), binding.user);
            }
            return;
        }
    };
    let Some(settled) = settle(cx, value, binding.user) else { return };
    if let Some(expected) = kind.and_then(|kind| kind.expected_instead_of(&settled)) {
        let problem =
            Problem::new(codes::INPUT_TYPE, format!("`{}` must be {expected}, and is {}", name.value, shown(&settled)))
                .at(value.span, format!("expected {expected}"))
                .also(def.span, format!("declared here, for `{}`", binding.user));
        cx.problem(problem);
    }
    params.insert(name.value.to_string(), settled);
}

/// The value of something that is known before the run; absent if an input is still missing.
pub(super) fn settle(cx: &mut Context<'_>, value: &Data, user: &str) -> Option<Value> {
    let json = value.to_json();
    let uses = Uses::of_data(cx.input.files, value);
    if uses.values.is_empty() && uses.secrets.is_empty() {
        return Some(json);
    }
    check_inputs(cx, &uses, user, true);
    let outside = uses.values.iter().find(|used| used.path.root != "inputs");
    if let Some(used) = outside {
        let problem =
            Problem::new(codes::UNKNOWN_ROOT, format!("`{}` is not known when parameters are bound", used.path.root))
                .at(used.span, "only `inputs` are known here")
                .help("a value of a running step can stand in `with` of a step that is defined in the runbook");
        cx.problem(problem);
        return None;
    }
    if let Some(secret) = uses.secrets.first() {
        let problem = Problem::new(codes::MISPLACED_SECRET, format!("the secret `{secret}` cannot be a parameter"))
            .at(value.span, "parameters are shown in the plan")
            .help("secrets stand in `with` or `env` of the definition");
        cx.problem(problem);
        return None;
    }
    let template = Template::parse(json).ok()?;
    let resolved = template.resolve(&cx.scope()).ok()?;
    Some((*resolved.value).clone())
}

/// Text with all placeholders filled that are known before the run; others stay as they are.
pub(super) fn settle_text<'t>(scope: &Scope, text: &'t str) -> Cow<'t, str> {
    if !template::has_placeholder(text) {
        return Cow::Borrowed(text);
    }
    let resolved = Template::parse(Value::String(text.to_owned())).ok().and_then(|made| made.resolve(scope).ok());
    match resolved.filter(|resolved| resolved.secrets.is_empty()).map(|resolved| (*resolved.value).clone()) {
        Some(Value::String(filled)) => Cow::Owned(filled),
        Some(Value::Number(number)) => Cow::Owned(number.to_string()),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => Cow::Borrowed(text),
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 40 { format!("`{text}`") } else { "a longer value".to_owned() }
}

/// Whether a value is text without placeholders, or no text at all.
pub(super) fn is_constant(data: &Data) -> bool {
    match &data.value {
        DataValue::Text(text) => !template::has_placeholder(text),
        DataValue::Null | DataValue::Bool(_) | DataValue::Number(_) | DataValue::List(_) | DataValue::Map(_) => true,
    }
}
