//! The JSON schema of a definition, for editors.
//!
//! The types here mirror what the loader takes; nothing is parsed with them. The keys of a model
//! that have no effect, and the second spelling of others, come from the table of [`super::keys`].
//! The schema is not stricter than the loader: what loads is valid. It is looser where a schema
//! cannot say it (a field has a type or fields, not both; texts that may not be empty).
//!
//! Invariant: both know the same keys, which tests show.

#![expect(dead_code, reason = "the types are never made, only their schemas")]

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::keys::{self, Use};
use super::types;

/// The JSON schema (draft 2020-12) of one document of a definition.
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = Value::from(generator.root_schema_for::<Document>());
    if let Some(model) = schema.pointer_mut("/$defs/Model/properties").and_then(Value::as_object_mut) {
        for key in keys::MODEL {
            let entry = model.entry(key.name).or_insert_with(|| json!({}));
            if let (Use::Told(why, hint) | Use::Unread(why, hint), Some(entry)) =
                (key.does, entry.as_object_mut())
            {
                entry.insert("deprecated".to_owned(), true.into());
                entry
                    .insert("description".to_owned(), format!("`{}` {why}. To do: {hint}.", key.name).into());
            }
            let copy = entry.clone();
            if let Some(snake) = keys::snake(key.name) {
                model.insert(snake, copy);
            }
        }
    }
    schema
}

/// One document of a floe definition (`serving.yaml`).
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Document {
    Model(Box<Model>),
    Block(Block),
    Other(Other),
    Application(OldApplication),
}

/// Text; numbers and truth values are taken as they are written.
struct Text;

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

#[derive(JsonSchema)]
#[schemars(inline)]
enum ModelKind {
    Model,
}

/// A model.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
struct Model {
    kind: ModelKind,
    /// Name of the model, in lower case.
    name: Text,
    /// A sentence for people.
    description: Option<Text>,
    /// Image of the runtime that serves the model.
    runtime: Option<Text>,
    /// Image to build on, with a transport if it is in no registry; wins over `runtime`.
    base: Option<Text>,
    /// Files, folders and patterns to pack, relative to this file; the whole folder if left out.
    #[schemars(length(min = 1))]
    payload: Option<Vec<Text>>,
    /// What the model takes and gives; inferred if left out.
    contract: Option<Contract>,
    signature: Option<Contract>,
    /// A shell command of Hydrosphere's builds; a build of floe refuses it.
    install_command: Option<Text>,
    training_data: Option<Text>,
    model_type: Option<Text>,
    /// What the author wants to remember.
    metadata: Option<BTreeMap<String, Text>>,
    /// Labels of the image.
    labels: Option<BTreeMap<String, Text>>,
    /// Annotations of the manifest.
    annotations: Option<BTreeMap<String, Text>>,
    /// Environment of the image.
    env: Option<BTreeMap<String, Text>>,
    /// User that the image runs as.
    user: Option<Text>,
    /// Working directory of the image, absolute.
    workdir: Option<Text>,
    /// Where the source of the model is.
    source: Option<Text>,
    /// Revision of that source.
    revision: Option<Text>,
    /// Licences, as an SPDX expression.
    licenses: Option<Text>,
}

/// One signature, or several by name.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Contract {
    One(OneSignature),
    Several(#[schemars(extend("minProperties" = 1))] BTreeMap<String, Signature>),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct OneSignature {
    /// Name of the signature; `predict` if left out.
    name: Option<Text>,
    inputs: Fields,
    outputs: Fields,
    /// It has no effect here; it belongs to the top of the document.
    #[schemars(extend("deprecated" = true))]
    metadata: Option<Value>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Signature {
    inputs: Fields,
    outputs: Fields,
}

/// Fields by name.
struct Fields;

impl JsonSchema for Fields {
    fn schema_name() -> Cow<'static, str> {
        "Fields".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let field = generator.subschema_for::<Field>();
        json_schema!({ "type": ["object", "null"], "additionalProperties": field, "description": "Fields by name." })
    }
}

/// An input or output: a tensor with a type, or a structure with fields.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("anyOf" = [{"required": ["type"]}, {"required": ["fields"]}]))]
struct Field {
    #[schemars(rename = "type")]
    dtype: Option<TypeWord>,
    shape: Shape,
    fields: Option<Fields>,
    profile: Option<ProfileWord>,
}

/// Type of the elements.
struct TypeWord;

impl JsonSchema for TypeWord {
    fn schema_name() -> Cow<'static, str> {
        "Type".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = types::words().collect();
        json_schema!({ "enum": words, "description": "Type of the elements." })
    }
}

/// What the value stands for.
struct ProfileWord;

impl JsonSchema for ProfileWord {
    fn schema_name() -> Cow<'static, str> {
        "Profile".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = types::PROFILES.iter().map(|(w, _)| *w).collect();
        // Any case is taken, and other words are a warning.
        json_schema!({
            "anyOf": [{ "enum": words }, { "type": ["string", "number", "boolean"] }],
            "description": "What the value stands for.",
        })
    }
}

/// Sizes of the dimensions, -1 where one is unknown.
struct Shape;

impl JsonSchema for Shape {
    fn schema_name() -> Cow<'static, str> {
        "Shape".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let sizes = json!({ "type": "array", "items": { "type": "integer", "minimum": -1 } });
        json_schema!({
            "anyOf": [
                { "const": "scalar" },
                sizes,
                { "type": "object", "properties": { "dims": sizes }, "required": ["dims"], "additionalProperties": false },
                { "type": "null" },
            ],
            "description": "Sizes of the dimensions, -1 where one is unknown; any rank if left out.",
        })
    }

    fn _schemars_private_is_option() -> bool {
        // It may be left out, as an `Option` may.
        true
    }
}

/// The `model` block of Hydrosphere 0.0.x.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("deprecated" = true))]
struct Block {
    model: ModelBlock,
    local_deploy: Option<LocalDeploy>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ModelBlock {
    name: Text,
    #[schemars(rename = "type")]
    model_type: Option<Text>,
    /// Path of a protobuf file, as text or binary.
    contract: Option<Text>,
    #[schemars(length(min = 1))]
    payload: Option<Vec<Text>>,
    description: Option<Text>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct LocalDeploy {
    name: Option<Value>,
    runtime: Option<RuntimeBlock>,
    port: Option<Value>,
    build: Option<Value>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct RuntimeBlock {
    repository: Option<Text>,
    tag: Option<Text>,
}

/// A document that builds nothing.
struct Other;

impl JsonSchema for Other {
    fn schema_name() -> Cow<'static, str> {
        "Other".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let kinds: Vec<&str> =
            ["Application"].into_iter().chain(keys::OTHER_KINDS.iter().map(|(n, _)| *n)).collect();
        json_schema!({
            "type": "object",
            "properties": { "kind": { "enum": kinds } },
            "required": ["kind"],
            "description": "A document that builds nothing.",
        })
    }
}

/// An application of Hydrosphere 0.0.x.
struct OldApplication;

impl JsonSchema for OldApplication {
    fn schema_name() -> Cow<'static, str> {
        "OldApplication".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "required": ["application"],
            "properties": { "kind": false, "model": false },
            "description": "An application of Hydrosphere 0.0.x, which builds nothing.",
        })
    }
}
