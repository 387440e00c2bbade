//! Which gateways may wake: those whose service accounts the flags name.

use crate::door::{Closed, Door};
use hyper::StatusCode;
use std::sync::Arc;
use tidegate_kubernetes::callers::{Callers, Denied};
use tidegate_kubernetes::failure::Tell;
use tidegate_kubernetes::kube::Client;

/// A door for these accounts; for nobody where there are none.
pub(super) fn door(client: Client, accounts: Vec<String>, audience: String, tell: Tell) -> Door {
    if accounts.is_empty() {
        return Arc::new(|_| {
            let what = "nobody may wake here: --wake-service-accounts names none".to_owned();
            Box::pin(async { Err(Closed { status: StatusCode::FORBIDDEN, what }) })
        });
    }
    let callers = Arc::new(Callers::new(client, accounts, audience, tell));
    Arc::new(move |token| {
        let callers = Arc::clone(&callers);
        Box::pin(async move { callers.judge(token.as_deref()).await.map_err(closed) })
    })
}

fn closed(denied: Denied) -> Closed {
    let status = match denied {
        Denied::NoToken | Denied::Invalid => StatusCode::UNAUTHORIZED,
        Denied::NotAllowed => StatusCode::FORBIDDEN,
        Denied::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    Closed { status, what: denied.to_string() }
}
