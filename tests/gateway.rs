//! The gateway before sidecars: routes, late binding, retries elsewhere, cold start, endpoints.
