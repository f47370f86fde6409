//! Other people's chains that drop what is forwarded.
//!
//! A packet must be accepted by every chain of a hook: nothing that we could put into a table of our own
//! makes up for another's policy of dropping. All that can be done is to say so.

use super::Nftables;
use super::message;
use super::message::{TABLE, chain, kind};
use crate::kernel::Error;
use crate::kernel::frame::{attribute, text};

/// Number of the hook (`NF_INET_FORWARD`).
const FORWARD: u32 = 2;

/// `NF_DROP`.
const DROP: u32 = 0;

/// The families whose chains see packets that are routed (`NFPROTO_INET`, `NFPROTO_IPV4`, `NFPROTO_IPV6`), as
/// `nft` calls them.
const FAMILIES: [(u8, &str); 3] = [(1, "inet"), (2, "ip"), (10, "ip6")];

impl Nftables {
    /// The chains that drop what is forwarded unless one of their rules accepts it, each as `nft` names it:
    /// `ip filter FORWARD`, say, which is also where `iptables` of today keeps its own. Those of `iptables-legacy`
    /// are not seen.
    ///
    /// # Errors
    /// The kernel cannot be asked.
    pub fn dropping_forward(&mut self) -> Result<Vec<String>, Error> {
        let mut requests = message::ask(kind::GET_CHAIN, 0, None);
        let found = self.exchange.dump(&mut requests, |found: &mut Vec<String>, _, body| {
            found.extend(dropping(body));
        });
        let mut found = found.map_err(|refusal| refusal.to("list the chains of nftables"))?;
        found.sort();
        Ok(found)
    }
}

/// The name of a chain that drops what is forwarded.
fn dropping(body: &[u8]) -> Option<String> {
    let (_, family) = FAMILIES.iter().find(|(number, _)| body.first() == Some(number))?;
    let rest = body.get(4..)?;
    let value = |wanted| attribute(rest, wanted);
    let number = |octets: &[u8]| octets.try_into().ok().map(u32::from_be_bytes);
    let hook = attribute(value(chain::HOOK)?, chain::HOOK_NUMBER)?;
    if number(hook)? != FORWARD || number(value(chain::POLICY)?)? != DROP {
        return None;
    }
    Some(format!("{family} {} {}", text(value(TABLE)?), text(value(chain::NAME)?)))
}
