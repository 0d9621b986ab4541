//! The OpenAPI document (3.1): what can be asked, made from the same tables that answer.
//!
//! Takes the table of calls, the registry and the shapes of what its commands yield; hands on JSON. `docs/openapi.json` is
//! the same, held by a test.

use std::sync::LazyLock;

use gatepost_shell::command::{Kind, Signature};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::calls::{Answered, CALLS, Call, SchemaOf};
use crate::client::API_ROOT;
use crate::command::{self, Entry};
use crate::nouns::{NOUNS, key_of};
use crate::object::{PropertyKind, Shape, TYPE_KEY};
use crate::refusal::{PROBLEM_TYPE, Problem};
use crate::resource::ExposureChange;
use crate::rest::narrowing::Narrowing;

/// Where `$ref` finds schemas.
const SCHEMAS: &str = "/components/schemas";

/// The document, as text.
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let mut text = serde_json::to_string_pretty(&document()).expect("our own document has string keys only");
        text.push('\n');
        text
    });
    &TEXT
}

/// Makes the document.
fn document() -> Value {
    let settings = |settings: SchemaSettings| settings.with(|settings| settings.definitions_path = SCHEMAS.into());
    let mut made = Made {
        // What is asked may leave out what has a default, what is answered holds it.
        asked: settings(SchemaSettings::draft2020_12()).for_deserialize().into_generator(),
        answered: settings(SchemaSettings::draft2020_12()).for_serialize().into_generator(),
        paths: Map::new(),
        schemas: Map::new(),
    };
    let problem = made.answered.subschema_for::<Problem<'_>>();
    for call in CALLS {
        match call.is_named_by_path {
            false => made.call(call),
            true => command::entries().for_each(|entry| made.command(call, entry)),
        }
    }
    made.resources();
    let Made { mut asked, mut answered, paths, mut schemas } = made;
    for (name, schema) in asked.take_definitions(true) {
        schemas.insert(name, schema);
    }
    // What is both asked and answered is shown as it is answered.
    for (name, schema) in answered.take_definitions(true) {
        schemas.insert(name, schema);
    }
    schemas.sort_keys();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gatepost",
            "version": "1",
            "description": "Administers a Gatepost server. Times are Unix milliseconds where their name ends with _ms, sizes are bytes where it ends with _bytes. Every refusal is a problem (RFC 9457). Later versions may add members."
        },
        "servers": [{ "url": API_ROOT }],
        "security": [{ "token": [] }, { "password": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Refused": {
                    "description": "Refused: the status says which kind of refusal it is, `detail` why and what to do.",
                    "content": { (PROBLEM_TYPE): { "schema": problem } }
                }
            },
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "A token, or the secret of a session." },
                "password": { "type": "http", "scheme": "basic", "description": "An administrator's name and password, with the field Gatepost-Code where a code is asked for." }
            }
        }
    })
}

struct Made {
    asked: SchemaGenerator,
    answered: SchemaGenerator,
    paths: Map<String, Value>,
    schemas: Map<String, Value>,
}

impl Made {
    fn call(&mut self, call: &Call) {
        let mut operation = operation(call.act.name, call.path, call.method, call.summary, call.act.role.name());
        if call.is_open {
            operation["security"] = json!([]);
        }
        let mut parameters = path_parameters(call.path);
        if let Some(query) = call.query {
            parameters.extend(self.query_parameters(query));
        }
        operation["parameters"] = parameters.into();
        if let Some(body) = call.body {
            let schema = body(&mut self.asked);
            operation["requestBody"] = body_of(schema.to_value());
        }
        let (status, content) = match call.answer {
            Answered::Json(status, of) => {
                (status.to_string(), json!({ "application/json": { "schema": of(&mut self.answered) } }))
            }
            Answered::JsonOr(kind, of) => {
                let content = json!({
                    "application/json": { "schema": of(&mut self.answered) },
                    (kind): { "schema": { "type": "string" } },
                });
                ("200".to_owned(), content)
            }
            Answered::Other(kind) => ("200".to_owned(), json!({ (kind): { "schema": { "type": "string" } } })),
        };
        operation["responses"] = responses(&status, content);
        self.add(call.path, call.method, operation);
    }

    /// A command of the registry, at its own path.
    fn command(&mut self, call: &Call, entry: &Entry) {
        let signature = entry.signature;
        let path = call.path.replace("{name}", signature.name);
        let mut operation = operation(signature.name, &path, "POST", signature.synopsis, entry.role.name());
        let parameters: Map<String, Value> = signature
            .parameters
            .iter()
            .map(|parameter| (parameter.name.to_owned(), described(asked(parameter.kind), parameter.help)))
            .collect();
        let required: Vec<&str> = mandatory(signature).collect();
        operation["requestBody"] = body_of(json!({
            "type": "object",
            "properties": {
                "parameters": { "type": "object", "properties": parameters, "required": required, "additionalProperties": false },
                "what_if": { "type": "boolean", "description": "Only says what would change." },
                "transaction": { "type": "string", "description": "The transaction that this is part of." },
                "reason": { "type": "string", "description": "Why, for the history." },
                "lean": { "type": "boolean", "description": "Leaves out of records what is as usual." }
            },
            "required": if required.is_empty() { json!([]) } else { json!(["parameters"]) },
            "additionalProperties": false
        }));
        let record = match entry.output {
            // Some yield lines of text besides.
            Some(shape) => json!({ "anyOf": [self.record(shape), { "type": "string" }] }),
            None => json!({}),
        };
        let exposure = self.answered.subschema_for::<ExposureChange>();
        let schema = json!({
            "type": "object",
            "properties": {
                "output": { "type": "array", "items": record },
                "warnings": { "type": "array", "items": { "type": "string" } },
                "notes": { "type": "array", "items": { "type": "string" }, "description": "What becomes of what waits in queues or lies on the disk." },
                "what_if": { "type": "string" },
                "revision": { "type": "integer", "minimum": 0 },
                "exposure": { "type": "array", "items": exposure }
            },
            "required": ["output"]
        });
        operation["responses"] = responses("200", json!({ "application/json": { "schema": schema } }));
        self.add(&path, "POST", operation);
    }

    /// The resources that belong to nouns of the registry.
    fn resources(&mut self) {
        for noun in NOUNS {
            let Some((get, shape)) = noun.listing() else { continue };
            let one = format!("{}/{{identity}}", noun.path);
            let resource = self.resource(shape);
            let page = json!({
                "type": "object",
                "properties": {
                    "items": { "type": "array", "items": resource },
                    "total": { "type": "integer", "minimum": 0 },
                    "next": { "type": ["string", "null"], "description": "Pass it on as `from` for the next page." }
                },
                "required": ["items", "total", "next"]
            });
            let changed = json!({
                "type": "object",
                "properties": {
                    "resource": resource,
                    "warnings": { "type": "array", "items": { "type": "string" } },
                    "notes": { "type": "array", "items": { "type": "string" }, "description": "What becomes of what waits in queues or lies on the disk." },
                    "revision": { "type": "integer", "minimum": 0 },
                    "exposure": { "type": "array", "items": self.answered.subschema_for::<ExposureChange>() }
                },
                "required": ["warnings", "exposure"]
            });
            for (verb, path, method, status, answer) in [
                ("Get", &noun.path.to_owned(), "GET", "200", &page),
                ("New", &noun.path.to_owned(), "POST", "201", &changed),
                ("Get", &one, "GET", "200", &resource),
                ("Set", &one, "PATCH", "200", &changed),
                ("Remove", &one, "DELETE", "200", &changed),
            ] {
                let Some(entry) = noun.command(verb) else { continue };
                let synopsis = entry.signature.synopsis;
                let mut operation = operation(entry.signature.name, path, method, synopsis, entry.role.name());
                let mut parameters = path_parameters(path);
                match method {
                    "GET" if path == noun.path => {
                        parameters.extend(self.query_parameters(|generator| generator.subschema_for::<Narrowing>()))
                    }
                    "GET" => {}
                    _ => parameters.push(header(
                        "If-Match",
                        "The ETag of what was read: refused with 412 if somebody was faster.",
                    )),
                }
                if method == "GET" {
                    parameters.push(header(
                        "If-None-Match",
                        "The ETag of what was read before: answered with 304 if it is the same still.",
                    ));
                }
                operation["parameters"] = parameters.into();
                if matches!(verb, "New" | "Set") {
                    operation["requestBody"] = body_of(body_of_resource(entry, shape, verb));
                }
                let mut responses = responses(status, json!({ "application/json": { "schema": answer } }));
                if method == "GET" {
                    responses["304"] = json!({ "description": "The same still." });
                }
                operation["responses"] = responses;
                self.add(path, method, operation);
            }
            debug_assert!(!get.changes(), "who only looks changes nothing");
        }
    }

    /// A record as commands yield it.
    fn record(&mut self, shape: &Shape) -> Value {
        // A type of the API may have the shape's name: TraceEntry does.
        let name = format!("{}Record", shape.name);
        let mut properties = Map::new();
        properties.insert(TYPE_KEY.to_owned(), json!({ "const": shape.name }));
        for property in shape.properties {
            properties.insert(property.name.to_owned(), answered(property.kind));
        }
        self.schemas
            .insert(name.clone(), json!({ "type": "object", "properties": properties, "required": [TYPE_KEY] }));
        reference(&name)
    }

    /// The same as a resource.
    fn resource(&mut self, shape: &Shape) -> Value {
        let name = format!("{}Resource", shape.name);
        let keys: Vec<&str> = shape.properties.iter().map(|property| property.key).collect();
        let properties: Map<String, Value> =
            shape.properties.iter().map(|property| (property.key.to_owned(), answered(property.kind))).collect();
        self.schemas.insert(name.clone(), json!({ "type": "object", "properties": properties, "required": keys }));
        reference(&name)
    }

    /// Each property of a type as a parameter of a query.
    fn query_parameters(&mut self, of: SchemaOf) -> Vec<Value> {
        let mut generator = SchemaSettings::draft2020_12()
            .for_deserialize()
            .with(|settings| {
                settings.definitions_path = SCHEMAS.into();
                settings.inline_subschemas = true;
            })
            .into_generator();
        let schema = of(&mut generator).to_value();
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let properties = schema["properties"].as_object().into_iter().flatten();
        let parameter = |(name, schema): (&String, &Value)| {
            let mut schema = schema.clone();
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            without_null(&mut schema);
            json!({
                "name": name, "in": "query", "required": required.contains(&name.as_str()),
                "description": description.unwrap_or_default(), "schema": schema
            })
        };
        properties.map(parameter).collect()
    }

    fn add(&mut self, path: &str, method: &str, operation: Value) {
        let at = self.paths.entry(path.to_owned()).or_insert_with(|| json!({}));
        at[method.to_lowercase()] = operation;
    }
}

/// A query has no null: who means nothing leaves the parameter out.
fn without_null(schema: &mut Value) {
    // By `get_mut`: indexing would write a null where there is no type.
    if let Some(kinds) = schema.get_mut("type").and_then(Value::as_array_mut) {
        kinds.retain(|kind| kind != "null");
        if let [kind] = &kinds[..] {
            schema["type"] = kind.clone();
        }
    } else if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
        let mut options = options.iter().filter(|option| option["type"] != "null");
        if let (Some(only), None) = (options.next().cloned(), options.next()) {
            *schema = only;
        }
    }
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("default");
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#{SCHEMAS}/{name}") })
}

fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = description.into();
    schema
}

fn header(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "header", "required": false, "description": description, "schema": { "type": "string" } })
}

fn operation(act: &str, path: &str, method: &str, summary: &str, role: &str) -> Value {
    let name: String = path.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    json!({
        "operationId": format!("{act}.{}.{name}", method.to_lowercase()),
        "summary": summary,
        "description": format!("{act}; the role that it needs: {role}."),
    })
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameter = |name: &str| {
        let is_number = name == "number" || (name == "id" && path.starts_with("/queue/"));
        let schema = match is_number {
            true => json!({ "type": "integer", "minimum": 0, "maximum": i64::MAX }),
            false => json!({ "type": "string", "minLength": 1 }),
        };
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    };
    names.map(parameter).collect()
}

fn body_of(schema: Value) -> Value {
    json!({ "required": true, "content": { "application/json": { "schema": schema } } })
}

fn responses(status: &str, content: Value) -> Value {
    json!({
        (status): { "description": "Done.", "content": content },
        "default": { "$ref": "#/components/responses/Refused" }
    })
}

fn mandatory(signature: &Signature) -> impl Iterator<Item = &'static str> {
    signature.parameters.iter().filter(|parameter| parameter.is_mandatory).map(|parameter| parameter.name)
}

/// What a resource may be made of or changed to.
fn body_of_resource(entry: &Entry, shape: &Shape, verb: &str) -> Value {
    let taken = entry.signature.parameters.iter().filter(|parameter| verb != "Set" || parameter.name != "Identity");
    let keyed: Vec<(String, _)> = taken.map(|parameter| (key_of(parameter, Some(shape)), parameter)).collect();
    let properties: Map<String, Value> =
        keyed.iter().map(|(key, parameter)| (key.clone(), described(asked(parameter.kind), parameter.help))).collect();
    let required: Vec<&String> =
        keyed.iter().filter(|(_, parameter)| parameter.is_mandatory).map(|(key, _)| key).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// What a parameter takes in JSON. Texts are read as in the shell: what is wrong in them is told by the command.
fn asked(kind: Kind) -> Value {
    match kind {
        Kind::Switch | Kind::Bool => json!({ "type": ["boolean", "null"] }),
        Kind::Int => json!({ "type": ["integer", "null"] }),
        Kind::UnlimitedInt | Kind::Size => json!({ "type": ["integer", "string", "null"] }),
        Kind::Text | Kind::Span | Kind::Time | Kind::Identity | Kind::Block => json!({ "type": ["string", "null"] }),
        Kind::Secret => json!({ "type": ["string", "null"], "format": "password" }),
        Kind::Credential => json!({
            "type": ["object", "null"],
            "properties": {
                "UserName": { "type": "string" },
                "Password": { "type": "string", "format": "password" }
            },
            "required": ["UserName", "Password"],
            "additionalProperties": false
        }),
        Kind::OneOf(choices) => json!({ "anyOf": [{ "enum": choices }, { "type": ["string", "null"] }] }),
        Kind::Flags(choices) => json!({
            "anyOf": [{ "type": "array", "items": { "enum": choices } }, { "type": ["string", "null"] }]
        }),
        Kind::List(of) | Kind::Rest(of) => {
            json!({ "anyOf": [{ "type": "array", "items": asked(*of) }, asked(*of)] })
        }
        Kind::MultiValued(of) => {
            let list = json!({ "anyOf": [{ "type": "array", "items": asked(*of) }, asked(*of)] });
            let edit = json!({
                "type": "object",
                "properties": { "Add": list, "Remove": list },
                "additionalProperties": false
            });
            json!({ "anyOf": [edit, list] })
        }
        Kind::Table => json!({ "type": ["object", "null"] }),
        Kind::Any | Kind::Ignored => json!({}),
    }
}

/// What a property holds in JSON.
fn answered(kind: PropertyKind) -> Value {
    match kind {
        PropertyKind::Bool => json!({ "type": ["boolean", "null"] }),
        PropertyKind::Int | PropertyKind::Size => json!({ "type": ["integer", "null"] }),
        PropertyKind::Float => json!({ "type": ["number", "null"] }),
        PropertyKind::Choice(choices) => {
            json!({ "enum": choices.iter().map(|choice| Value::from(*choice)).chain([Value::Null]).collect::<Vec<_>>() })
        }
        PropertyKind::Flags(choices) => json!({ "type": ["array", "null"], "items": { "enum": choices } }),
        PropertyKind::Time | PropertyKind::UtcTime => json!({ "type": ["string", "null"], "format": "date-time" }),
        PropertyKind::Text
        | PropertyKind::Span
        | PropertyKind::Identity
        | PropertyKind::Range
        | PropertyKind::Binding => json!({ "type": ["string", "null"] }),
        PropertyKind::Unlimited(of) => json!({ "anyOf": [answered(*of), { "const": "unlimited" }] }),
        PropertyKind::List(of) => json!({ "type": ["array", "null"], "items": answered(*of) }),
        PropertyKind::Any => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_document_in_docs_is_the_one_that_is_answered() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
        if std::env::var_os("GATEPOST_BLESS").is_some() {
            std::fs::write(&golden, text()).expect("write the golden file");
        }
        let expected = std::fs::read_to_string(&golden).expect("the golden file; GATEPOST_BLESS=1 makes it");
        assert!(text() == expected, "docs/openapi.json is another: GATEPOST_BLESS=1 accepts the new text");
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() {
        let document = document();
        let mut names = std::collections::HashSet::new();
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                let name = operation["operationId"].as_str().expect("a name").to_owned();
                assert!(names.insert(name.clone()), "{name}: {method} {path}");
                assert!(operation["responses"]["default"].is_object(), "{method} {path}");
            }
        }
        fn check(part: &Value, document: &Value) {
            match part {
                Value::Object(members) => {
                    if let Some(Value::String(reference)) = members.get("$ref") {
                        let pointer = reference.strip_prefix('#').expect("in this document");
                        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
                    }
                    members.values().for_each(|member| check(member, document));
                }
                Value::Array(members) => members.iter().for_each(|member| check(member, document)),
                _ => {}
            }
        }
        check(&document, &document);
    }
}
