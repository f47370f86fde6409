//! How many TCP segments the kernel has dropped for their MD5 signature (RFC 2385).
//!
//! Only reads. The kernel counts them for a whole network namespace, and says nowhere whose they were but in
//! its own log, which containers do not see.

use std::fs;
use std::io;

/// Segments dropped since the namespace was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Md5Counters {
    /// Not signed, where a password is set (`TCPMD5NotFound`).
    pub not_found: u64,
    /// Signed, where none is set (`TCPMD5Unexpected`).
    pub unexpected: u64,
    /// Signed with another password (`TCPMD5Failure`).
    pub failure: u64,
}

/// Those of the calling thread's namespace.
///
/// # Errors
/// `/proc` cannot be read, or the kernel does not count them.
pub fn read() -> io::Result<Md5Counters> {
    let text = fs::read_to_string("/proc/thread-self/net/netstat")?;
    parse(&text).ok_or_else(|| io::Error::other("the kernel does not count MD5 signatures in netstat"))
}

/// The file has two lines for each protocol: names, and numbers in the same order.
fn parse(text: &str) -> Option<Md5Counters> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let all = || names.split_ascii_whitespace().zip(numbers.split_ascii_whitespace());
    let of = |wanted| all().find(|(name, _)| *name == wanted)?.1.parse().ok();
    Some(Md5Counters {
        not_found: of("TCPMD5NotFound")?,
        unexpected: of("TCPMD5Unexpected")?,
        failure: of("TCPMD5Failure")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name() {
        let text = "TcpExt: A TCPMD5NotFound TCPMD5Unexpected TCPMD5Failure B\n\
                    TcpExt: 1 2 3 4 5\nIpExt: TCPMD5NotFound\nIpExt: 9\n";
        let found = Md5Counters { not_found: 2, unexpected: 3, failure: 4 };
        assert_eq!(parse(text), Some(found));
        assert_eq!(parse("TcpExt: A\nTcpExt: 1\n"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn this_kernel_counts_them() {
        read().unwrap();
    }
}
