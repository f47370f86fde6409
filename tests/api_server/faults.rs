//! What the test server can be told to do wrong.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::server::status;

/// An answer other than the right one.
#[derive(Debug, Clone)]
pub enum Fault {
    /// A status, with a `Status` object that has this message.
    Status(u16, &'static str),
    /// The same with `Retry-After`, and plain text as the real one has it when it protects itself.
    Later(u16, u64),
    /// The right answer, but late.
    Slow(Duration),
    /// This text under status 200.
    Text(&'static str),
}

impl Fault {
    pub(crate) fn response(self) -> Response {
        match self {
            Fault::Status(code, message) => status(StatusCode::from_u16(code).unwrap(), message),
            Fault::Later(code, seconds) => {
                let mut response = Response::new(Body::from("Too many requests, please try again later.\n"));
                *response.status_mut() = StatusCode::from_u16(code).unwrap();
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                response
            }
            Fault::Text(text) => Response::new(Body::from(text)),
            Fault::Slow(_) => unreachable!("it is only waited for"),
        }
    }
}

/// The faults that are in force.
#[derive(Debug, Default)]
pub struct Faults(Vec<Standing>);

#[derive(Debug)]
struct Standing {
    /// How a path begins that it is for.
    prefix: String,
    fault: Fault,
    /// So many requests are answered rightly before.
    spared: usize,
    /// So many are not; all if `None`.
    left: Option<usize>,
}

impl Faults {
    pub(crate) fn add(&mut self, prefix: &str, fault: Fault, spared: usize, left: Option<usize>) {
        self.0.push(Standing { prefix: prefix.to_owned(), fault, spared, left });
    }

    /// What goes wrong with a request to a path.
    pub(crate) fn next(&mut self, path: &str) -> Option<Fault> {
        let at = self.0.iter().position(|standing| path.starts_with(standing.prefix.as_str()))?;
        let standing = &mut self.0[at];
        if standing.spared > 0 {
            standing.spared -= 1;
            return None;
        }
        let fault = standing.fault.clone();
        if let Some(left) = &mut standing.left {
            *left -= 1;
            if *left == 0 {
                self.0.remove(at);
            }
        }
        Some(fault)
    }
}
