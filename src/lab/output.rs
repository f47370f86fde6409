//! What the lab says: progress and results, to a terminal or a pipe that may close at any time.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};

/// Where results and progress go.
#[derive(Debug)]
pub struct Output {
    json: bool,
    colour: bool,
}

/// How a piece of text is to look on a terminal.
#[derive(Debug, Clone, Copy)]
pub enum Look {
    /// A heading.
    Bold,
    /// Of less interest.
    Dim,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
}

impl Output {
    /// With `json`, standard output is kept for the result alone and people read standard error.
    pub fn new(json: bool) -> Output {
        let terminal = if json { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        Output { json, colour: terminal && std::env::var_os("NO_COLOR").is_none() }
    }

    /// Says a line to people.
    pub fn line(&self, text: impl fmt::Display) {
        // A reader that has left is no reason to take a lab down.
        let _ = if self.json {
            writeln!(io::stderr().lock(), "{text}")
        } else {
            let mut out = io::stdout().lock();
            writeln!(out, "{text}").and_then(|()| out.flush())
        };
    }

    /// Gives the result to programs, if they are who listens.
    pub fn json(&self, value: &serde_json::Value) {
        if self.json {
            let _ = writeln!(io::stdout().lock(), "{value:#}");
        }
    }

    /// Text that looks so on a terminal, and plain elsewhere.
    pub fn look(&self, look: Look, text: impl fmt::Display) -> String {
        if !self.colour {
            return text.to_string();
        }
        let code = match look {
            Look::Bold => "1",
            Look::Dim => "2",
            Look::Good => "32",
            Look::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Says a heading.
    pub fn heading(&self, text: impl fmt::Display) {
        self.line(format_args!("\n{}", self.look(Look::Bold, text)));
    }

    /// Says what is being done.
    pub fn step(&self, text: impl fmt::Display) {
        self.line(format_args!("{} {text}", self.look(Look::Good, "•")));
    }

    /// Says what may surprise.
    pub fn note(&self, text: impl fmt::Display) {
        self.line(format_args!("{} {text}", self.look(Look::Bad, "!")));
    }
}
