//! Reads the `with` of a step into an executor's parameters, and writes their JSON Schema.
//!
//! Parameters refuse unknown names themselves (`deny_unknown_fields`); nothing here may forgive.

use bascule_plugin::Failure;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The parameters, or why they are none. A missing `with` is an empty one.
pub(crate) fn read<T: DeserializeOwned>(with: &Value) -> Result<T, Failure> {
    let empty = Value::Object(Map::new());
    let with = if with.is_null() { &empty } else { with };
    T::deserialize(with).map_err(|error| wrong(&error.to_string()))
}

/// A failure that says what is wrong with the parameters.
pub(crate) fn wrong(what: &str) -> Failure {
    Failure::new(format!("the parameters in `with` are wrong: {what}"))
        .hint("`bascule executors NAME` lists the parameters of an executor")
}

/// The draft-07 schema of the parameters, complete in itself: editors read no newer draft, and a
/// schema without references can be put into another one.
pub(crate) fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}
