//! Answers in the form that OpenAI's API has: errors, and the list of models.

use super::message;
use crate::body::ProxyBody;
use crate::error::Refusal;
use crate::message::Response;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tidegate_api::reason::Reason;

/// The list of these models, each with the API that has it.
pub fn models<'a>(models: impl Iterator<Item = (&'a str, &'a str)>) -> Response<ProxyBody> {
    let data: Vec<Value> = models.map(|(name, api)| entry(name, api)).collect();
    page(&json!({ "object": "list", "data": data }))
}

/// One model, with the API that has it.
pub fn model(name: &str, api: &str) -> Response<ProxyBody> {
    page(&entry(name, api))
}

/// The error object of a refusal; `model` is what the request names.
pub(super) fn error(refusal: Refusal, model: Option<&str>) -> Value {
    let reason = refusal.reason;
    let message = match (reason, model) {
        (Reason::UnknownModel, Some(model)) => format!("no API here has the model `{model}`"),
        _ => message(reason).to_owned(),
    };
    let kind = match (reason, reason.status()) {
        (Reason::Unauthorized, _) => "authentication_error",
        (Reason::Forbidden, _) => "permission_error",
        (Reason::RateLimited, _) => "rate_limit_error",
        (_, ..500) => "invalid_request_error",
        _ => "server_error",
    };
    let code = match reason {
        Reason::UnknownModel => "model_not_found",
        Reason::Unauthorized => "invalid_api_key",
        Reason::RateLimited => "rate_limit_exceeded",
        other => other.code(),
    };
    let is_about_model = matches!(reason, Reason::UnknownModel | Reason::NoModel);
    let param = is_about_model.then_some("model");
    json!({ "message": message, "type": kind, "param": param, "code": code })
}

/// The error object for an upstream's answer that can't be passed on.
pub(super) fn other_answer(code: &str, status: u16, message: &str) -> Value {
    let kind = if status < 500 { "invalid_request_error" } else { "server_error" };
    json!({ "message": message, "type": kind, "param": null, "code": code, "status": status })
}

/// `created` is a number that clients ask for, and nobody knows here.
fn entry(name: &str, api: &str) -> Value {
    json!({ "id": name, "object": "model", "created": 0, "owned_by": api })
}

fn page(value: &Value) -> Response<ProxyBody> {
    let mut response = Response::new(ProxyBody::text(value.to_string() + "\n"));
    response.headers_mut().insert(CONTENT_TYPE, "application/json");
    response
}
