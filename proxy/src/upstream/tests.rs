//! What a request waits for at an endpoint, and what goes on without it.

use super::*;
use crate::drain::{Drain, DrainSettings};
use crate::socket::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

#[tokio::test]
async fn a_request_whose_time_is_over_leaves_the_question_for_http2_to_the_next() {
    let drain =
        Drain::new(DrainSettings { delay: Duration::ZERO, timeout: Duration::ZERO, token: None });
    let connector = Connector {
        worker: 0,
        max_head_bytes: 1 << 14,
        tls: None,
        tasks: TaskTracker::new(),
        drain: drain.watch(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    let endpoint = Arc::new(Endpoint::new("model".to_owned(), address, 1, 1));
    let by = By { start: clock::now(), end: Some(clock::now() + Duration::from_millis(300)) };
    // It says nothing before the request has gone.
    let silent = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 33];
        stream.read_exact(&mut hello).await.unwrap();
        stream
    };
    let (late, mut stream) = tokio::join!(connector.speaks_http2(&endpoint, by), silent);
    assert!(matches!(late, Err(ConnectError::Late)), "{late:?}");
    assert_eq!(endpoint.speaks_http2(), None);
    stream.write_all(SETTINGS).await.unwrap();
    connector.tasks.close();
    connector.tasks.wait().await;
    assert_eq!(endpoint.speaks_http2(), Some(true));
}
