//! Requests to the API server, and what their answers mean.
//!
//! They are made with the library's client, but not with its watcher: that one begins a watch from a version that
//! is gone over and over when the server says so by an HTTP status, loses `Retry-After`, and connects again at once
//! to a server that ends every watch.

use std::time::Duration;

use axum::body::BodyDataStream;
use axum::http::{Request, Response, StatusCode, header};
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use tokio::time::timeout;
use tokio_stream::StreamExt;

/// How long an answer may take to begin, and to go on where it is not a watch.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// The longest line of a watch: etcd holds no object of that size.
const LONGEST_LINE: usize = 16 << 20;

/// Why a request has come to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// `410 Gone`: the server has forgotten that far back.
    Gone,
    /// The server refuses.
    Refused {
        /// HTTP status.
        status: u16,
        /// When to come again, if it says so.
        after: Option<Duration>,
        /// What it says.
        text: String,
    },
    /// There is no server, or it says nothing.
    Unreachable(String),
    /// What it says makes no sense.
    Broken(String),
}

impl Failure {
    pub(super) fn broken(error: impl ToString) -> Failure {
        Failure::Broken(error.to_string())
    }
}

/// Sends a request, and gives the body of a good answer.
pub(super) async fn send(client: &Client, request: Request<Vec<u8>>) -> Result<Chunks, Failure> {
    let answer = timeout(ANSWER_LIMIT, client.send(request.map(Body::from))).await;
    let response = match answer {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(Failure::Unreachable(words(&error))),
        Err(_) => return Err(Failure::Unreachable(format!("no answer within {ANSWER_LIMIT:?}"))),
    };
    if response.status().is_success() {
        return Ok(Chunks { body: axum::body::Body::new(response.into_body()).into_data_stream() });
    }
    Err(refusal(response).await)
}

async fn refusal(response: Response<Body>) -> Failure {
    let status = response.status();
    let after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let after = after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    let mut chunks = Chunks { body: axum::body::Body::new(response.into_body()).into_data_stream() };
    // What cannot be read of it leaves the status alone.
    let body = chunks.whole().await.unwrap_or_default();
    match serde_json::from_slice::<Status>(&body) {
        Ok(said) => said.failure(status.as_u16(), after),
        Err(_) if status == StatusCode::GONE => Failure::Gone,
        Err(_) => {
            let said = String::from_utf8_lossy(&body);
            let text = match said.lines().next().map(str::trim).filter(|line| !line.is_empty()) {
                Some(line) => format!("{status}: {}", line.chars().take(200).collect::<String>()),
                None => status.to_string(),
            };
            Failure::Refused { status: status.as_u16(), after, text }
        }
    }
}

/// A `Status` object, as far as it matters.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Status {
    code: u16,
    reason: String,
    message: String,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    retry_after_seconds: Option<u64>,
}

impl Status {
    /// What it means; `status` is the answer's own where the object has none.
    pub(super) fn failure(self, status: u16, after: Option<Duration>) -> Failure {
        let status = if self.code == 0 { status } else { self.code };
        if status == StatusCode::GONE.as_u16() || self.reason == "Expired" || self.reason == "Gone" {
            return Failure::Gone;
        }
        let asked = self.details.and_then(|details| details.retry_after_seconds).map(Duration::from_secs);
        let text = if self.message.is_empty() { format!("{status} {}", self.reason) } else { self.message };
        Failure::Refused { status, after: after.or(asked), text }
    }
}

/// The body of an answer.
pub(super) struct Chunks {
    body: BodyDataStream,
}

impl Chunks {
    /// All of it.
    pub(super) async fn whole(&mut self) -> Result<Vec<u8>, Failure> {
        let mut whole = vec![];
        loop {
            match timeout(ANSWER_LIMIT, self.body.next()).await {
                Ok(Some(Ok(chunk))) => whole.extend_from_slice(&chunk),
                Ok(Some(Err(error))) => return Err(Failure::Unreachable(words(&error))),
                Ok(None) => return Ok(whole),
                Err(_) => return Err(Failure::Unreachable(format!("silent for {ANSWER_LIMIT:?}"))),
            }
        }
    }

    /// It line by line.
    pub(super) fn lines(self) -> Lines {
        Lines { chunks: self, buffer: vec![], searched: 0 }
    }
}

/// The lines of a watch.
pub(super) struct Lines {
    chunks: Chunks,
    buffer: Vec<u8>,
    /// So much of the buffer has no end of line.
    searched: usize,
}

impl Lines {
    /// The next line; `None` once the stream has ended, be it in the middle of a line, or said nothing for
    /// `patience`.
    pub(super) async fn next(&mut self, patience: Duration) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            if let Some(end) = self.buffer[self.searched..].iter().position(|&octet| octet == b'\n') {
                let rest = self.buffer.split_off(self.searched + end + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.searched > LONGEST_LINE {
                return Err(Failure::Broken(format!("a line of more than {LONGEST_LINE} octets")));
            }
            match timeout(patience, self.chunks.body.next()).await {
                Ok(Some(Ok(chunk))) => self.buffer.extend_from_slice(&chunk),
                // Watches end all the time. What was cut off comes again.
                Ok(Some(Err(_)) | None) | Err(_) => return Ok(None),
            }
        }
    }
}

/// The error with its causes, some of which the library's text leaves out.
pub(super) fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let words = deeper.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = deeper.source();
    }
    text
}
