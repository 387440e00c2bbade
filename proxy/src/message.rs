//! Requests and answers on their way through: as `http` has them, but for the fields, which are
//! kept as they came. The parts are in a box: they are handed from step to step.

use crate::fields::Fields;
use http::{HeaderValue, Method, StatusCode, Uri, Version};

/// A request.
#[derive(Debug)]
pub struct Request<B> {
    parts: Box<RequestParts>,
    body: B,
}

/// A request without its body.
#[derive(Debug, Clone)]
pub struct RequestParts {
    /// The method.
    pub method: Method,
    /// The target.
    pub uri: Uri,
    /// The version that it came in.
    pub version: Version,
    /// The end-to-end fields.
    pub headers: Fields,
    /// The protocol that it asks to switch to.
    pub upgrade: Option<HeaderValue>,
}

/// An answer.
#[derive(Debug)]
pub struct Response<B> {
    parts: Box<ResponseParts>,
    body: B,
}

/// An answer without its body.
#[derive(Debug)]
pub struct ResponseParts {
    /// The status.
    pub status: StatusCode,
    /// The end-to-end fields.
    pub headers: Fields,
}

// === impl Request ===

impl<B> Request<B> {
    /// Of both its parts.
    pub fn from_parts(parts: Box<RequestParts>, body: B) -> Self {
        Self { parts, body }
    }

    /// Both parts.
    pub fn into_parts(self) -> (Box<RequestParts>, B) {
        (self.parts, self.body)
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The target.
    pub fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    /// The version that it came in.
    pub fn version(&self) -> Version {
        self.parts.version
    }

    /// The end-to-end fields.
    pub fn headers(&self) -> &Fields {
        &self.parts.headers
    }

    /// The end-to-end fields, to be changed.
    pub fn headers_mut(&mut self) -> &mut Fields {
        &mut self.parts.headers
    }

    /// The protocol that it asks to switch to.
    pub fn upgrade(&self) -> Option<&HeaderValue> {
        self.parts.upgrade.as_ref()
    }

    /// The body.
    pub fn body(&self) -> &B {
        &self.body
    }

    /// With another body.
    pub fn map<C>(self, change: impl FnOnce(B) -> C) -> Request<C> {
        Request { parts: self.parts, body: change(self.body) }
    }
}

impl From<http::request::Parts> for RequestParts {
    fn from(parts: http::request::Parts) -> Self {
        let http::request::Parts { method, uri, version, headers, .. } = parts;
        Self { method, uri, version, headers: Fields::from(&headers), upgrade: None }
    }
}

impl<B> From<http::Request<B>> for Request<B> {
    fn from(request: http::Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        Self { parts: Box::new(parts.into()), body }
    }
}

// === impl Response ===

impl<B> Response<B> {
    /// 200 and no fields.
    pub fn new(body: B) -> Self {
        let parts = ResponseParts { status: StatusCode::OK, headers: Fields::default() };
        Self { parts: Box::new(parts), body }
    }

    /// Of both its parts.
    pub fn from_parts(parts: Box<ResponseParts>, body: B) -> Self {
        Self { parts, body }
    }

    /// Both parts.
    pub fn into_parts(self) -> (Box<ResponseParts>, B) {
        (self.parts, self.body)
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.parts.status
    }

    /// The status, to be changed.
    pub fn status_mut(&mut self) -> &mut StatusCode {
        &mut self.parts.status
    }

    /// The end-to-end fields.
    pub fn headers(&self) -> &Fields {
        &self.parts.headers
    }

    /// The end-to-end fields, to be changed.
    pub fn headers_mut(&mut self) -> &mut Fields {
        &mut self.parts.headers
    }

    /// The body.
    pub fn body(&self) -> &B {
        &self.body
    }

    /// With another body.
    pub fn map<C>(self, change: impl FnOnce(B) -> C) -> Response<C> {
        Response { parts: self.parts, body: change(self.body) }
    }
}

impl<B> From<http::Response<B>> for Response<B> {
    fn from(response: http::Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        let headers = Fields::from(&parts.headers);
        Self { parts: Box::new(ResponseParts { status: parts.status, headers }), body }
    }
}

impl<B> From<Response<B>> for http::Response<B> {
    fn from(response: Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        let mut response = Self::new(body);
        *response.status_mut() = parts.status;
        *response.headers_mut() = parts.headers.to_map();
        response
    }
}
