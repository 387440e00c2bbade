//! Finds the API that has the model which a request's body names, and reads no more of the body
//! than that takes.

use crate::error::Refusal;
use crate::fields::Fields;
use crate::guard::HttpLimits;
use crate::incoming::IncomingBody;
use crate::policy::model_field::{Model, ModelField};
use crate::policy::models::Models;
use crate::read_ahead::{read_ahead, read_until};
use crate::request_body::RequestBody;
use crate::room::{Room, Taken};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use std::sync::Arc;
use std::time::Duration;
use tidegate_api::reason::Reason;

/// Bytes of bodies that are held at once, by all connections, while their models are looked for.
/// After that the queue's own bound counts.
pub const SCAN_BYTES: usize = 256 << 20;
/// When a request that found no room may come again, in seconds: scans are short.
const RETRY_AFTER_S: u64 = 1;

/// The model that the body names, and the body, of which a part is read.
///
/// # Errors
/// As reading ahead: the client left, was too slow, or sent too much; `queue-full` if there is no
/// room for what must be held of it.
pub async fn named(
    headers: &Fields,
    body: IncomingBody,
    limits: &HttpLimits,
    within: Duration,
    scan_limit: usize,
    room: &Arc<Room>,
) -> Result<(Model, RequestBody), Refusal> {
    if !is_readable(headers) {
        return Ok((Model::Absent, read_ahead(body, limits, within).await?));
    }
    let (mut scan, mut taken) = (Scan::default(), room.none_taken());
    let feed = |part: &[u8]| scan.feed(part, &mut taken);
    let body = read_until(body, limits, within, scan_limit, feed).await?;
    if scan.is_crowded_out {
        return Err(Refusal { retry_after_s: Some(RETRY_AFTER_S), ..Reason::QueueFull.into() });
    }
    Ok((scan.found.unwrap_or(Model::Absent), body))
}

/// The look for one body's model.
#[derive(Default)]
struct Scan {
    field: ModelField,
    found: Option<Model>,
    is_crowded_out: bool,
}

impl Scan {
    /// Whether no more is wanted after this part.
    fn feed(&mut self, part: &[u8], taken: &mut Taken) -> bool {
        self.is_crowded_out = !taken.take(part.len());
        if !self.is_crowded_out {
            self.found = self.field.feed(part);
        }
        self.is_crowded_out || self.found.is_some()
    }
}

/// The API that takes a request for this model.
///
/// # Errors
/// `no-model`, `unknown-model`, where no API takes what names none, or one that nobody has.
pub fn api<'a, T>(models: &'a Models<T>, model: &Model) -> Result<&'a T, Refusal> {
    let (named, missing) = match model {
        Model::Named(name) => (models.named(name), Reason::UnknownModel),
        Model::Impossible => (None, Reason::UnknownModel),
        Model::Absent => (None, Reason::NoModel),
    };
    named.or_else(|| models.fallback()).ok_or_else(|| missing.into())
}

/// Whether the body can be JSON that is there to read: neither compressed nor a form.
fn is_readable(headers: &Fields) -> bool {
    let is_plain = |coding: &[u8]| coding.eq_ignore_ascii_case(b"identity");
    let mut codings = headers.get_all(CONTENT_ENCODING);
    let kind = headers.get(CONTENT_TYPE).unwrap_or_default();
    let is_form = kind.get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/"));
    codings.all(is_plain) && !is_form
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::models::ModelNames;

    #[test]
    fn bodies_that_are_not_read() {
        for (name, value, readable) in [
            (CONTENT_TYPE, "application/json", true),
            (CONTENT_TYPE, "text/plain", true),
            (CONTENT_TYPE, "Multipart/form-data; boundary=x", false),
            (CONTENT_ENCODING, "identity", true),
            (CONTENT_ENCODING, "gzip", false),
            (CONTENT_ENCODING, "identity, gzip", false),
        ] {
            let headers = [(name, value)].into_iter().collect();
            assert_eq!(is_readable(&headers), readable, "{value}");
        }
        assert!(is_readable(&Fields::default()));
    }

    #[test]
    fn bodies_share_the_room_and_give_it_back() {
        let room = Room::new(10);
        let (mut first, mut second) = (Scan::default(), Scan::default());
        let (mut of_first, mut of_second) = (room.none_taken(), room.none_taken());
        assert!(!first.feed(b"{\"a\":1", &mut of_first) && !first.is_crowded_out);
        assert!(second.feed(b"{\"b\":", &mut of_second) && second.is_crowded_out);
        drop(of_first);
        let mut third = Scan::default();
        assert!(!third.feed(b"{\"model\":", &mut of_second) && !third.is_crowded_out);
    }

    #[test]
    fn who_takes_what() {
        let names = |name: &str, takes_unknown| ModelNames {
            names: vec![name.to_owned()],
            takes_unknown,
            scan_limit: 100,
        };
        let (mut strict, mut open) = (Models::default(), Models::default());
        strict.add(&names("m", false), &1);
        open.add(&names("m", false), &1);
        open.add(&names("n", true), &2);
        let named = |name: &str| Model::Named(name.to_owned());
        for (model, of_strict, of_open) in [
            (named("m"), Ok(1), 1),
            (named("x"), Err(Reason::UnknownModel), 2),
            (Model::Impossible, Err(Reason::UnknownModel), 2),
            (Model::Absent, Err(Reason::NoModel), 2),
        ] {
            let found = api(&strict, &model).copied().map_err(|refusal| refusal.reason);
            assert_eq!((found, api(&open, &model)), (of_strict, Ok(&of_open)), "{model:?}");
        }
    }
}
