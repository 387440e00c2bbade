//! Protocols as real clients and models speak them: gRPC, WebSocket, server-sent events, HTTP/2 from
//! and to others, interim answers, trailers, large bodies, upstreams that misbehave.

mod books;
mod events;
mod fields;
mod grpc;
mod large;
mod leaving;
mod misbehaving;
mod mixed;
mod patience;
mod unread;
mod upload;
mod websocket;
