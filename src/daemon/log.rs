//! The log, on stderr: for people in lines, for machines in JSON.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt::MakeWriter;

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Lines for people, in colour on a terminal (unless NO_COLOR is set)
    Human,
    /// One JSON object a line, for machines
    Json,
}

/// Variables that choose what is logged, in the `env-filter` syntax of tracing-subscriber. The
/// first that is set counts.
const FILTERS: [&str; 2] = ["ROUTELET_LOG", "RUST_LOG"];

/// Unless they say otherwise: the client of the API server reports each attempt that fails as an error, without
/// the reason and without what follows. Both are in what the daemon says itself.
const UNASKED: &str = "kube_client=off";

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable holds something that is not a filter.
    #[error("{variable}={value:?}: {source}")]
    Filter {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What is wrong with that.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The process has a log already.
    #[error(transparent)]
    Twice(#[from] tracing::dispatcher::SetGlobalDefaultError),
}

/// Starts the process's log. Informational and graver unless `ROUTELET_LOG` or `RUST_LOG` says
/// otherwise.
///
/// # Errors
/// The variable does not parse, or there is a log already.
pub fn init(format: Format) -> Result<(), Error> {
    let filter = filter(|variable| std::env::var(variable).ok())?;
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = io::stderr().is_terminal() && !no_color;
    Ok(tracing::subscriber::set_global_default(subscriber(format, colour, filter, io::stderr))?)
}

fn filter(variable: impl Fn(&str) -> Option<String>) -> Result<EnvFilter, Error> {
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    for name in FILTERS {
        if let Some(value) = variable(name).filter(|value| !value.is_empty()) {
            return builder.parse(&value).map_err(|source| Error::Filter { variable: name, value, source });
        }
    }
    Ok(builder.parse_lossy(UNASKED))
}

fn subscriber<W>(
    format: Format,
    colour: bool,
    filter: EnvFilter,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colour);
    match format {
        Format::Human => Box::new(builder.with_target(false).finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).with_span_list(false).finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What is logged while `f` runs, under the given value of ROUTELET_LOG.
    fn logged(format: Format, colour: bool, routelet_log: &str, f: impl FnOnce()) -> String {
        let out = Arc::new(Mutex::new(Vec::new()));
        let filter = filter(|name| (name == "ROUTELET_LOG").then(|| routelet_log.to_owned())).unwrap();
        let writer = Arc::clone(&out);
        let writer = move || Lines(Arc::clone(&writer));
        tracing::subscriber::with_default(subscriber(format, colour, filter, writer), f);
        let out = out.lock().unwrap().clone();
        String::from_utf8(out).unwrap()
    }

    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn session() {
        let _span = tracing::info_span!("session", peer = "tor").entered();
        tracing::info!(hold_time = 90, "established");
        tracing::debug!("keepalive");
    }

    #[test]
    fn people_get_plain_lines_and_colour_only_on_a_terminal() {
        let plain = logged(Format::Human, false, "", session);
        let (time, line) = plain.split_once(' ').unwrap();
        assert!(time.ends_with('Z'), "{time}");
        assert_eq!(line.trim_start(), "INFO session{peer=\"tor\"}: established hold_time=90\n");
        assert!(logged(Format::Human, true, "", session).contains("\u{1b}["));
    }

    #[test]
    fn machines_get_one_object_a_line() {
        let line = logged(Format::Json, false, "", session);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["message"], "established");
        assert_eq!(value["level"], "INFO");
        assert_eq!(value["hold_time"], 90);
        assert_eq!(value["span"]["peer"], "tor");
        assert!(value["timestamp"].is_string());
    }

    #[test]
    fn the_filter_is_the_first_variable_that_is_set() {
        assert_eq!(logged(Format::Human, false, "debug", session).lines().count(), 2);
        assert_eq!(logged(Format::Human, false, "warn", session), "");
        let both =
            filter(|name| Some(if name == "RUST_LOG" { "error" } else { "debug" }.to_owned())).unwrap();
        assert_eq!(both.to_string(), "debug");
        let rust_log = filter(|name| (name == "RUST_LOG").then(|| "error".to_owned())).unwrap();
        assert_eq!(rust_log.to_string(), "error");
    }

    #[test]
    fn a_wrong_filter_is_named() {
        let error = filter(|name| (name == "RUST_LOG").then(|| "routelet=loud".to_owned())).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("RUST_LOG=\"routelet=loud\": "), "{error}");
    }
}
