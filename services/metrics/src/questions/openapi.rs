//! The OpenAPI document of the HTTP routes of all services, made from the contracts: a route of the
//! questions is added together with the method that it is, and the method's messages, fields and
//! comments are those of the `.proto` file. So the document can name no such route that is not
//! there, and no field; the other routes are in [`super::elsewhere`].

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::handler::Handler;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorSet,
};
use serde_json::{Map, Value, json};
use zhili_runtime::Routes;

use super::Service;
use super::elsewhere::{ROUTES, Route, What};

/// The service whose routes are described as they are added.
const SERVICE: &str = "zhili.metrics.v1.MetricsService";

/// A method of the service, and the path under which HTTP has it.
pub(super) struct Operation {
    rpc: &'static str,
    path: &'static str,
}

pub(super) const fn of(rpc: &'static str, path: &'static str) -> Operation {
    Operation { rpc, path }
}

/// Routes that are described as they are added.
#[derive(Default)]
pub(super) struct Documented {
    routes: Routes<Service>,
    operations: Vec<(&'static str, &'static str, &'static str)>,
}

impl Documented {
    pub(super) fn get<H, T>(self, path: &str, handler: H, operations: &[Operation]) -> Self
    where
        H: Handler<T, Service>,
        T: 'static,
    {
        let this = self.describe("get", operations);
        Self { routes: this.routes.get(path, handler), ..this }
    }

    pub(super) fn post<H, T>(self, path: &str, handler: H, operations: &[Operation]) -> Self
    where
        H: Handler<T, Service>,
        T: 'static,
    {
        let this = self.describe("post", operations);
        Self { routes: this.routes.post(path, handler), ..this }
    }

    fn describe(mut self, method: &'static str, operations: &[Operation]) -> Self {
        self.operations.extend(operations.iter().map(|one| (method, one.path, one.rpc)));
        self
    }

    /// The routes, and one more for their document.
    pub(super) fn finish(self) -> Routes<Service> {
        let document = document(&self.operations);
        self.routes.get("/v1/openapi.json", move || async move { Json(document) })
    }
}

fn document(operations: &[(&'static str, &'static str, &'static str)]) -> Value {
    let contract = Contract::new();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut wanted = BTreeSet::new();
    for &(method, path, rpc) in operations {
        let rpc = format!("{SERVICE}/{rpc}");
        if let Some(mut operation) = contract.operation(method, path, &rpc, &mut wanted) {
            operation["tags"] = json!(["metrics"]);
            paths.entry(path).or_default().insert(method.to_owned(), operation);
        }
    }
    for route in ROUTES {
        if let Some(operation) = contract.elsewhere(route, &mut wanted) {
            paths.entry(route.path).or_default().insert(route.method.to_owned(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Zhili",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Quality of customer-service conversations. A tag names the service \
                that answers: ingest, scoring, escalation and metrics have ports of their own, 7400 \
                to 7403 unless they are given others. 64-bit integers are texts in answers; what \
                is absent was not measured.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": contract.schemas(wanted),
            "responses": {
                "problem": {
                    "description": "Problem details (RFC 9457)",
                    "content": { "application/problem+json": { "schema": { "type": "object",
                        "properties": {
                            "title": { "type": "string" },
                            "status": { "type": "integer" },
                            "detail": { "type": "string" },
                        } } } },
                },
                "page": {
                    "description": "Why not: as a page, or as problem details (RFC 9457)",
                    "content": { "text/html": {}, "application/problem+json": {} },
                },
            },
        },
    })
}

/// The descriptors of the contract, by name.
#[derive(Default)]
struct Contract {
    messages: BTreeMap<String, DescriptorProto>,
    enums: BTreeMap<String, EnumDescriptorProto>,
    /// Request, response and comment.
    methods: BTreeMap<String, (String, String, String)>,
    /// Of messages by name, and of fields by message and number of their place.
    comments: BTreeMap<(String, Option<usize>), String>,
}

impl Contract {
    fn new() -> Self {
        let mut contract = Self::default();
        // What is compiled in is what was compiled.
        let files = FileDescriptorSet::decode(zhili_proto::DESCRIPTORS).unwrap_or_default();
        for file in files.file {
            let package = file.package().to_owned();
            let info = file.source_code_info.unwrap_or_default();
            let comments: BTreeMap<Vec<i32>, String> = info
                .location
                .into_iter()
                .filter_map(|location| {
                    let comment = location.leading_comments?;
                    let words: Vec<&str> = comment.split_whitespace().collect();
                    Some((location.path, words.join(" ")))
                })
                .collect();
            let said = |path: &[i32]| comments.get(path).cloned().unwrap_or_default();
            // Field numbers of FileDescriptorProto: messages are 4, services 6; fields of a
            // message and methods of a service are 2.
            for (at, message) in (0i32..).zip(&file.message_type) {
                let name = format!("{package}.{}", message.name());
                contract.comments.insert((name.clone(), None), said(&[4, at]));
                for (place, _) in message.field.iter().enumerate() {
                    let comment = said(&[4, at, 2, place as i32]);
                    contract.comments.insert((name.clone(), Some(place)), comment);
                }
                for inner in &message.enum_type {
                    contract.enums.insert(format!("{name}.{}", inner.name()), inner.clone());
                }
                for inner in &message.nested_type {
                    contract.messages.insert(format!("{name}.{}", inner.name()), inner.clone());
                }
                contract.messages.insert(name, message.clone());
            }
            for one in &file.enum_type {
                contract.enums.insert(format!("{package}.{}", one.name()), one.clone());
            }
            for (at, service) in (0i32..).zip(&file.service) {
                for (place, method) in (0i32..).zip(&service.method) {
                    let types = (method.input_type(), method.output_type());
                    let (input, output) = (types.0.trim_matches('.'), types.1.trim_matches('.'));
                    let comment = said(&[6, at, 2, place]);
                    contract.methods.insert(
                        format!("{package}.{}/{}", service.name(), method.name()),
                        (input.to_owned(), output.to_owned(), comment),
                    );
                }
            }
        }
        contract
    }

    fn operation(
        &self,
        method: &str,
        path: &str,
        rpc: &str,
        wanted: &mut BTreeSet<String>,
    ) -> Option<Value> {
        let (request, response, comment) = self.methods.get(rpc)?;
        wanted.insert(response.clone());
        let (service, name) = rpc.split_once('/')?;
        let service = service.rsplit('.').next().unwrap_or(service);
        // A method that says all by its name has no comment.
        let summary = if comment.is_empty() { name } else { comment };
        let mut operation = json!({
            "operationId": format!("{service}.{name}"),
            "summary": summary,
            "parameters": parameters(path, &[]),
            "responses": {
                "200": {
                    "description": "the answer",
                    "content": { "application/json": { "schema": reference(response) } },
                },
                "default": { "$ref": "#/components/responses/problem" },
            },
        });
        if method == "post" {
            wanted.insert(request.clone());
            operation["requestBody"] =
                json!({ "content": { "application/json": { "schema": reference(request) } } });
        }
        Some(operation)
    }

    /// A route that was not added together with its method.
    fn elsewhere(&self, route: &Route, wanted: &mut BTreeSet<String>) -> Option<Value> {
        let Route { services, method, path, what, query, open } = route;
        let mut operation = match what {
            What::Call(rpc) => self.operation(method, path, rpc, wanted)?,
            What::Events => {
                let rpc = "zhili.conversation.v1.IngestService/Publish";
                let mut operation = self.operation(method, path, rpc, wanted)?;
                let event = "zhili.conversation.v1.Event";
                wanted.insert(event.to_owned());
                let event = reference(event);
                let cloud = json!({ "type": "object", "description": "CloudEvents 1.0",
                    "properties": { "data": event } });
                operation["requestBody"] = json!({ "content": {
                    "application/json": { "schema": { "oneOf":
                        [event, { "type": "array", "items": event }] } },
                    "application/x-ndjson": { "schema": event },
                    "application/cloudevents+json": { "schema": cloud },
                    "application/cloudevents-batch+json":
                        { "schema": { "type": "array", "items": cloud } },
                } });
                operation
            }
            What::Platform(about) => {
                let rpc = "zhili.conversation.v1.IngestService/Publish";
                let mut operation = self.operation(method, path, rpc, wanted)?;
                operation["operationId"] = format!("{method} {path}").into();
                operation["summary"] = (*about).into();
                operation["requestBody"] = json!({ "content": { "application/json": {} } });
                operation
            }
            What::Plain(about, media) => {
                let answer = if media.is_empty() {
                    json!({ "204": { "description": "it is done" } })
                } else {
                    json!({ "200": { "description": "the answer", "content": { (*media): {} } } })
                };
                let mut operation = json!({
                    "operationId": format!("{method} {path}"),
                    "summary": about,
                    "responses": answer,
                });
                let refusal = format!("#/components/responses/{}", refusal(media));
                operation["responses"]["default"] = json!({ "$ref": refusal });
                operation
            }
        };
        if path.ends_with(":leave") {
            // The same method under a second path.
            operation["operationId"] = "EscalationService.Attend.leave".into();
        }
        operation["tags"] = json!(services);
        operation["parameters"] = parameters(path, query).into();
        if *open {
            operation["security"] = json!([]);
        }
        Some(operation)
    }

    /// The schemas of messages and of all that they are made of.
    fn schemas(&self, mut wanted: BTreeSet<String>) -> Map<String, Value> {
        let mut schemas = Map::new();
        while let Some(name) = wanted.pop_first() {
            if schemas.contains_key(&name) {
                continue;
            }
            if let Some(one) = self.enums.get(&name) {
                let words: Vec<&str> =
                    one.value.iter().map(EnumValueDescriptorProto::name).collect();
                schemas.insert(name, json!({ "type": "string", "enum": words }));
            } else if let Some(message) = self.messages.get(&name) {
                let schema = self.schema(&name, message, &mut wanted);
                schemas.insert(name, schema);
            }
        }
        schemas
    }

    fn schema(
        &self,
        name: &str,
        message: &DescriptorProto,
        wanted: &mut BTreeSet<String>,
    ) -> Value {
        let comment = |place| self.comments.get(&(name.to_owned(), place)).cloned();
        let mut properties = Map::new();
        for (place, field) in message.field.iter().enumerate() {
            let mut schema = value(field, wanted);
            if field.label() == Label::Repeated {
                schema = json!({ "type": "array", "items": schema });
            }
            if let Some(comment) = comment(Some(place)).filter(|comment| !comment.is_empty()) {
                schema["description"] = comment.into();
            }
            properties.insert(field.name().to_owned(), schema);
        }
        let mut schema = json!({ "type": "object", "properties": properties });
        if let Some(comment) = comment(None).filter(|comment| !comment.is_empty()) {
            schema["description"] = comment.into();
        }
        schema
    }
}

/// How a route that answers with this type refuses.
fn refusal(media: &str) -> &'static str {
    if media == "text/html" { "page" } else { "problem" }
}

/// What is in a path and what may follow it.
fn parameters(path: &str, query: &[&str]) -> Vec<Value> {
    let text = |name: &str, place: &str| {
        json!({ "name": name, "in": place, "required": place == "path",
            "schema": { "type": "string" } })
    };
    let names = path.split(['{', '}']).skip(1).step_by(2);
    let names = names.map(|name| text(name, "path"));
    names.chain(query.iter().map(|name| text(name, "query"))).collect()
}

/// The JSON of one value of a field.
fn value(field: &FieldDescriptorProto, wanted: &mut BTreeSet<String>) -> Value {
    match field.r#type() {
        Type::Double | Type::Float => json!({ "type": "number" }),
        Type::Bool => json!({ "type": "boolean" }),
        Type::String => json!({ "type": "string" }),
        Type::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Type::Int64 | Type::Sint64 | Type::Sfixed64 => {
            json!({ "type": ["string", "integer"], "format": "int64" })
        }
        Type::Uint64 | Type::Fixed64 => {
            json!({ "type": ["string", "integer"], "format": "uint64" })
        }
        Type::Message | Type::Enum | Type::Group => {
            let name = field.type_name().trim_matches('.');
            if name == "google.protobuf.Timestamp" {
                return json!({ "type": "string", "format": "date-time" });
            }
            wanted.insert(name.to_owned());
            reference(name)
        }
        _ => json!({ "type": "integer" }),
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Value {
        document(&[
            ("post", "/v1/metrics/{metric_id}:query", "Query"),
            ("get", "/v1/conversations/{conversation_id}", "GetConversation"),
        ])
    }

    #[test]
    fn fields_and_sentences_are_those_of_the_contract() {
        let document = sample();
        let query = &document["paths"]["/v1/metrics/{metric_id}:query"]["post"];
        assert!(query["summary"].as_str().unwrap().starts_with("One metric over a range"));
        assert_eq!(query["parameters"][0]["name"], "metric_id");
        let point = &document["components"]["schemas"]["zhili.metrics.v1.Point"];
        assert_eq!(point["properties"]["from"]["format"], "date-time");
        assert_eq!(
            point["properties"]["n"]["description"],
            "How many observations the figure rests on."
        );
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(object) => {
                    if let Some(Value::String(reference)) = object.get("$ref") {
                        found.push(reference.trim_start_matches("#/").to_owned());
                    }
                    object.values().for_each(|value| references(value, found));
                }
                Value::Array(values) => values.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = sample();
        let ids = |it: &Value| it["operationId"].as_str().map(str::to_owned);
        let paths = document["paths"].as_object().unwrap().values();
        let ids: Vec<String> =
            paths.flat_map(|path| path.as_object().unwrap().values().filter_map(ids)).collect();
        assert_eq!(ids.len(), ROUTES.len() + 2);
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 10, "{found:?}");
        for reference in found {
            assert!(document.pointer(&format!("/{reference}")).is_some(), "{reference}");
        }
    }
}
