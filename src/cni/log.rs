//! What is said of a call besides the answer: one line in a file or in the journal, where asked.
//!
//! Where to is `logFile` of the network configuration, or `ROUTELET_CNI_LOG` in the environment: the absolute
//! path of a file, which is appended to, or `journald`. Nothing is ever said on stdout, which is the
//! runtime's, and what cannot be written is lost without a word: no pod waits for a log.
//!
//! ```text
//! 2026-11-21T19:58:03.251Z ADD container 8c4f… interface eth0 of pod-network: done in 2.9 ms
//! 2026-11-21T19:58:04.002Z ADD container 91aa… interface eth0 of pod-network: failed in 1.2 ms: code 100: …
//! ```
//!
//! In the journal, under the identifier `routelet-cni`, failures have priority 3 and the rest 6
//! (systemd.journal-fields(7); the native protocol, where a message is one datagram).

use std::fs::File;
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// The variable that says where to.
const VARIABLE: &str = "ROUTELET_CNI_LOG";

/// The field of the configuration that says where to.
const FIELD: &str = "logFile";

/// What stands for the journal instead of a path.
const JOURNAL: &str = "journald";

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// A call that may be told of.
#[derive(Debug)]
pub struct Log {
    begun: SystemTime,
}

impl Log {
    /// Begins with the call.
    #[allow(clippy::disallowed_methods, reason = "a line in a log says when it was written")]
    pub fn begin() -> Log {
        Log { begun: SystemTime::now() }
    }

    /// Says of the call how it ended: `error` is code and text.
    pub fn end(
        self,
        variable: impl Fn(&str) -> Option<String>,
        configuration: &[u8],
        error: Option<(u32, String)>,
    ) {
        let Some(destination) = destination(&variable, configuration) else { return };
        let value = |name| variable(name).unwrap_or_default();
        // Not every verb is about an attachment.
        let mut about = value("CNI_COMMAND");
        for (what, text) in [
            ("container", value("CNI_CONTAINERID")),
            ("interface", value("CNI_IFNAME")),
            ("of", field(configuration, "name").unwrap_or_default()),
        ] {
            if !text.is_empty() {
                about.push_str(&format!(" {what} {text}"));
            }
        }
        let took = self.begun.elapsed().unwrap_or_default();
        let outcome = match &error {
            None => format!("done in {:.1} ms", took.as_secs_f64() * 1e3),
            Some((code, text)) => {
                format!("failed in {:.1} ms: code {code}: {text}", took.as_secs_f64() * 1e3)
            }
        };
        // One line, whatever a runtime has put into it.
        let message = format!("{about}: {outcome}").replace(['\n', '\r'], " ");
        let since = self.begun.duration_since(UNIX_EPOCH).unwrap_or_default();
        let _ = match destination.as_str() {
            JOURNAL => tell_journal(SOCKET, &message, error.is_some()),
            path => append(path, &format!("{} {message}\n", stamp(since))),
        };
    }
}

/// A relative path is nobody's: the working directory of a plugin is the runtime's to choose.
fn destination(variable: impl Fn(&str) -> Option<String>, configuration: &[u8]) -> Option<String> {
    // Nearly always nobody has asked, and the configuration need not be read once more to know that.
    let mentioned = configuration.windows(FIELD.len()).any(|text| text == FIELD.as_bytes());
    let of_configuration = || mentioned.then(|| field(configuration, FIELD)).flatten();
    let named = variable(VARIABLE).filter(|text| !text.is_empty()).or_else(of_configuration);
    named.filter(|text| text == JOURNAL || text.starts_with('/'))
}

/// A string of the configuration, also where the rest of it makes no sense.
fn field(configuration: &[u8], name: &str) -> Option<String> {
    let document: Value = serde_json::from_slice(configuration).ok()?;
    document.get(name)?.as_str().map(str::to_owned)
}

/// In one write, so that calls at the same time do not mix.
fn append(path: &str, line: &str) -> std::io::Result<()> {
    File::options().append(true).create(true).open(path)?.write_all(line.as_bytes())
}

fn tell_journal(socket: &str, message: &str, is_error: bool) -> std::io::Result<()> {
    let priority = if is_error { 3 } else { 6 };
    let entry = format!("PRIORITY={priority}\nSYSLOG_IDENTIFIER=routelet-cni\nMESSAGE={message}\n");
    UnixDatagram::unbound()?.send_to(entry.as_bytes(), socket).map(drop)
}

/// A moment as RFC 3339 writes it, in UTC.
fn stamp(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let milliseconds = since_epoch.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

/// Year, month and day of a number of days since 1970. Counted in years that begin in March, so that the
/// leap day is their last.
fn date(days: u64) -> (u64, u64, u64) {
    /// Days from 1 March of the year 0 to 1 January 1970, and in four hundred years.
    const BEFORE: u64 = 719_468;
    const CYCLE: u64 = 146_097;
    let days = days + BEFORE;
    let (cycle, in_cycle) = (days / CYCLE, days % CYCLE);
    let year = (in_cycle - in_cycle / 1460 + in_cycle / 36_524 - in_cycle / 146_096) / 365;
    let in_year = in_cycle - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_rfc_3339_has_them() {
        let at = |seconds, millis| stamp(Duration::from_secs(seconds) + Duration::from_millis(millis));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399, 7), "2000-02-28T23:59:59.007Z");
        assert_eq!(at(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_795_291_083, 251), "2026-11-21T19:58:03.251Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn a_call_is_one_line_in_the_file_that_is_named() {
        let path = std::env::temp_dir().join(format!("routelet-cni-log-{}", std::process::id()));
        let conf = format!(r#"{{"name": "pod-network", "logFile": {path:?}}}"#);
        let variable = |name: &str| match name {
            "CNI_COMMAND" => Some("ADD".to_owned()),
            "CNI_CONTAINERID" => Some("c1\nc2".to_owned()),
            "CNI_IFNAME" => Some("eth0".to_owned()),
            _ => None,
        };
        Log::begin().end(variable, conf.as_bytes(), None);
        Log::begin().end(variable, conf.as_bytes(), Some((100, "no address".to_owned())));
        let status = |name: &str| (name == "CNI_COMMAND").then(|| "STATUS".to_owned());
        Log::begin().end(status, conf.as_bytes(), None);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[2].contains("Z STATUS of pod-network: done in "), "{text}");
        assert!(lines[0].contains("Z ADD container c1 c2 interface eth0 of pod-network: done in "), "{text}");
        assert!(
            lines[1].contains(": failed in ") && lines[1].ends_with(" ms: code 100: no address"),
            "{text}"
        );
    }

    #[test]
    fn the_journal_gets_its_fields_and_nobody_a_relative_path() {
        let path = std::env::temp_dir().join(format!("routelet-cni-journal-{}", std::process::id()));
        let journal = UnixDatagram::bind(&path).unwrap();
        tell_journal(path.to_str().unwrap(), "ADD: done", true).unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut buffer = [0; 200];
        let length = journal.recv(&mut buffer).unwrap();
        let told = std::str::from_utf8(&buffer[..length]).unwrap();
        assert_eq!(told, "PRIORITY=3\nSYSLOG_IDENTIFIER=routelet-cni\nMESSAGE=ADD: done\n");
        let to = |text: &str| destination(|_| Some(text.to_owned()), b"{}");
        assert_eq!(to("log"), None);
        assert_eq!(to("journald"), Some("journald".to_owned()));
        assert_eq!(destination(|_| None, br#"{"logFile": "/x"}"#), Some("/x".to_owned()));
        assert_eq!(destination(|_| None, b"nonsense"), None);
    }
}
