//! Streams of events: how late each event comes, from the moment that the origin wrote it.

use super::chunked::Chunked;
use super::connection::invalid;
use super::{Connection, Edge, Outcome, histogram, open_many};
use crate::clock;
use crate::ticker::Ticker;
use crate::workload::{EVENT_GAP, EVENTS, post_request, sent_at, stream_request};
use anyhow::{Context, Result};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinSet;

/// A stream that takes so much longer than it should has stalled.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads so many streams at once, begun evenly over the time between two events, as the tokens of
/// independent streams come. To be run in a `LocalSet`.
///
/// # Errors
/// If a stream fails or stalls, or what `edge` does.
pub(crate) async fn streams(
    to: SocketAddr,
    count: u16,
    edge: &mut impl FnMut(Edge) -> Result<()>,
) -> Result<Outcome> {
    let mut opened = open_many(to, count).await.context("can't connect")?;
    for connection in &mut opened {
        // Connections, this side's and that to the origin, are no part of what an event costs.
        connection.exchange(&post_request()).await.context("a request failed")?;
    }
    edge(Edge::Begin)?;
    let begin = clock::now();
    let mut running = JoinSet::new();
    for (number, connection) in (0..).zip(opened) {
        let start = begin + number * EVENT_GAP / u64::from(count);
        running.spawn_local(tokio::time::timeout(PATIENCE, read(connection, start)));
    }
    let mut latencies = histogram()?;
    let mut kept = Vec::new();
    while let Some(ended) = running.join_next().await {
        let stream = ended.context("a client broke down")?.context("a stream stalled")?;
        let (connection, delays) = stream.context("a stream failed")?;
        delays.into_iter().for_each(|delay| latencies.saturating_record(delay));
        kept.push(connection);
    }
    let end = clock::now();
    edge(Edge::End)?;
    Ok(Outcome { units: latencies.len(), nanos: end - begin, latencies })
}

async fn read(mut connection: Connection, start: u64) -> io::Result<(Connection, Vec<u64>)> {
    Ticker::new()?.until(start).await?;
    connection.send(&stream_request()).await?;
    let mut answer = Chunked::default();
    let mut delays = Vec::with_capacity(EVENTS as usize);
    while !answer.is_done() {
        connection.fill().await?;
        let now = clock::now();
        let taken = answer.feed(connection.read())?;
        connection.take(taken);
        while let Some(end) = memchr::memmem::find(&answer.text, b"\n\n") {
            let event = answer.text.get(..end).unwrap_or_default();
            let sent = sent_at(event).ok_or_else(|| {
                let text = String::from_utf8_lossy(event);
                invalid(&format!("no event of ours: {text}"))
            })?;
            delays.push(now.saturating_sub(sent));
            answer.text.drain(..end + 2);
        }
    }
    if delays.len() != EVENTS as usize {
        return Err(invalid(&format!("{} events of {EVENTS}", delays.len())));
    }
    Ok((connection, delays))
}
