//! Values that are written in a form of their own: names, durations, expressions, quantities, free data.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

macro_rules! forms {
    ($($name:ident = $id:literal, $schema:tt;)*) => {
        $(
            pub(super) struct $name;

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    $id.into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!($schema)
                }
            }
        )*
    };
}

forms! {
    Name = "Name", {
        "description": "A name: ASCII letters, digits, `_`, `-` and `.`, not beginning with one of the last two.",
        "type": "string",
        "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"
    };
    Duration = "Duration", {
        "description": "A number and its unit, largest unit first: `500ms`, `90s`, `30m`, `3h`, `1h30m`, `14d`, `2w`.",
        "type": "string",
        "pattern": "^([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
        "minLength": 2
    };
    Expression = "Expression", {
        "description": "A CEL expression over `inputs`, `params`, `steps.<id>.outputs`, `run` and `baseline`; `pass`, `done`, `valid`, `trip` and `baseline` see `result` too. What is missing, null or of the wrong type makes it unknown, never true or false.",
        "type": ["string", "boolean", "number"]
    };
    Quantity = "Quantity", {
        "description": "A whole number, with a unit of size or without: `1`, `800GiB`, `2TB`.",
        "type": ["string", "integer"],
        "pattern": "^[0-9]+(kB|MB|GB|TB|KiB|MiB|GiB|TiB)?$",
        "minimum": 0
    };
    Label = "Label", {
        "description": "Text or a number.",
        "type": ["string", "number", "boolean"]
    };
    LockName = "LockName", {
        "description": "`KIND:NAME`, such as `vm:analytics-01`, `host:esx-07` or `datastore:nas-2`; may hold `${{ … }}`.",
        "type": "string"
    };
    LocalTime = "LocalTime", {
        "description": "A time such as `2026-11-28T22:00`, local to `change.zone`, or with an offset: `2026-11-28T22:00+01:00`.",
        "type": "string"
    };
    LocalInterval = "LocalInterval", {
        "description": "Start and end: `2026-11-28T22:00/04:00`. The end is the next time that the clock shows 04:00; a full time or a duration may stand there too.",
        "type": "string"
    };
    Data = "Data", {
        "description": "Any value. A string that is one `${{ … }}` becomes the value of the expression and keeps its type; in longer text the value is put in. `${{ secrets.NAME }}` stands alone."
    };
    DataMap = "DataMap", {
        "description": "A map of any values; strings may hold `${{ … }}`, and `${{ secrets.NAME }}` alone.",
        "type": "object"
    };
    Bindings = "Bindings", {
        "description": "Names and their values.",
        "type": "object",
        "propertyNames": { "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$" }
    };
    PlainBindings = "PlainBindings", {
        "description": "Names and their values, used as they are written: without `${{ … }}`.",
        "type": "object",
        "propertyNames": { "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$" }
    };
}
