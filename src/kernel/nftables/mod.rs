//! nftables by netlink: masquerade, port mappings and the check of pods' hardware addresses, in two tables
//! of ours called `routelet`, one for packets and one for what passes a bridge.
//!
//! No program is executed, and no table but ours is changed: not those of iptables, not firewalld's, which
//! leaves ours alone when it reloads. What a pod adds are elements of sets and maps, so that its cost is the
//! same with ten pods as with a thousand; chains and rules are there once (`layout.rs`). Every element of a
//! pod says in its comment whose it is ([`Owner`]): that is how it is found without the result of the ADD,
//! and how one can tell that the pod is gone.
//!
//! # Races
//!
//! Nothing here holds a lock. Whatever is changed is changed in one transaction, which the kernel makes as
//! a whole or not at all, and which is made up anew where it turns out that somebody was faster. What
//! others may be about to change as well names the generation in which it was looked at: the kernel then
//! refuses at once, while taking back half a transaction costs it some twenty milliseconds.
//!
//! - two first ADDs both want to make the table: the second is refused, and adds to what the first made;
//! - an element is there already: it is looked at, and replaced unless its pod lives
//!   ([`Error::HostPortTaken`]);
//! - the last DEL removes a table that serves nobody any more ([`Nftables::remove`]). It names the
//!   generation in which it has seen that, and looks again if anything was changed since; and an ADD that
//!   finds no table makes it. One that was killed before it came to that leaves it to the next DEL or GC,
//!   which need not have anything of its own to take out. A table in which the daemon has put something
//!   stays until [`Nftables::remove_all`].
//!
//! Needs Linux 5.7 or newer: translation in tables of both families since 5.2, and the interface that a
//! packet came by known when it leaves since 5.7.

mod attachment;
mod exempt;
mod expression;
mod flows;
mod intervals;
mod layout;
mod message;
mod news;
mod owner;
mod policy;

pub use attachment::{Attached, Mapping, Transport, Way};
pub use exempt::groups;
pub use news::News;
pub use owner::Owner;

use message::{Element, Scope, Shape, TABLE as TABLE_NAME, Transaction, kind};

use super::Error;
use super::exchange::Exchange;
use super::frame::{Requests, attribute, text};
use super::netlink_socket::{Protocol, Room};
use super::refusal::Refusal;

/// How often a change is made up anew because others were faster.
const ATTEMPTS: usize = 1000;

/// How often a change that names the right generation is made up anew all the same. The kernel counts a
/// generation a moment before it shows what is in it; and a set that somebody has taken out is put back.
const DOUBTS: usize = 10;

/// Questions in one send: what answers them must fit into the receive buffer.
const QUESTIONS: usize = 256;

/// What came of removing a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removal {
    /// It is gone.
    Done,
    /// There was none.
    WasGone,
    /// Something has been changed since one has looked.
    Outdated,
}

/// A conversation about nftables in one network namespace. Blocks while the kernel works, which is some
/// ten microseconds for a question and as much more for a change.
#[derive(Debug)]
pub struct Nftables {
    exchange: Exchange,
    /// What the daemon's sets hold, as far as it is known.
    exempt: Option<exempt::Written>,
}

impl Nftables {
    /// Opens a conversation in the calling thread's namespace.
    ///
    /// # Errors
    /// The kernel has no such socket.
    pub fn open() -> Result<Nftables, Error> {
        Ok(Nftables { exchange: Exchange::open_to(Protocol::Netfilter, Room::Messages)?, exempt: None })
    }

    /// The same, where something is to be taken out: `None` if the kernel knows no such sockets, so that
    /// there can be nothing. Any other failure must not be taken for that.
    ///
    /// # Errors
    /// The socket could not be opened.
    pub fn open_if_known() -> Result<Option<Nftables>, Error> {
        match Nftables::open() {
            Ok(nftables) => Ok(Some(nftables)),
            Err(Error::System { source, .. })
                if source.raw_os_error() == Some(nix::Error::EPROTONOSUPPORT as i32) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Ends the conversation after something was removed. The kernel has whoever closes such a socket wait,
    /// for some twenty milliseconds, until it has freed what was removed: a child process is left to do so.
    /// For processes of one thread.
    pub fn let_go(self) {
        self.exchange.close_from_child();
    }

    /// Whether the kernel has nftables.
    ///
    /// # Errors
    /// It has not, or one may not use it.
    pub fn is_served(&mut self) -> Result<(), Error> {
        self.generation().map(drop)
    }

    /// Sees to it that both tables, if they are there, have all the chains and rules that they should.
    /// Returns whether something had to be put back. Elements that somebody took out are not known here.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn repair(&mut self) -> Result<bool, Error> {
        let mut repaired = false;
        for scope in [Scope::Inet, Scope::Bridge] {
            if self.handle(scope)?.is_some() && !self.is_whole(scope)? {
                let mut transaction = Transaction::begin(None);
                layout::repair(&mut transaction, scope);
                self.commit(transaction)
                    .map_err(|refusal| refusal.to("repair the nftables table routelet"))?;
                repaired = true;
            }
        }
        Ok(repaired)
    }

    /// What the kernel knows our table for packets by, never given twice; `None` where there is none.
    ///
    /// # Errors
    /// The kernel cannot be asked.
    pub fn table(&mut self) -> Result<Option<u64>, Error> {
        self.handle(Scope::Inet)
    }

    /// Removes both tables with all that is in them. Returns whether there was one.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn remove_all(&mut self) -> Result<bool, Error> {
        self.exempt = None;
        let mut removed = false;
        for scope in [Scope::Inet, Scope::Bridge] {
            removed |= self.remove_table(scope, None)? == Removal::Done;
        }
        Ok(removed)
    }

    /// Removes a table if it is there and, with a generation, nothing has changed since.
    fn remove_table(&mut self, scope: Scope, generation: Option<u32>) -> Result<Removal, Error> {
        let mut transaction = Transaction::begin(generation);
        transaction.remove_table(scope, layout::TABLE);
        match self.commit(transaction) {
            Ok(()) => Ok(Removal::Done),
            Err(refusal) if refusal.is(nix::Error::ENOENT) => Ok(Removal::WasGone),
            Err(refusal) if is_outdated(&refusal) => Ok(Removal::Outdated),
            Err(refusal) => Err(refusal.to("remove the nftables table routelet")),
        }
    }

    /// Makes the changes, or none of them and says why.
    fn commit(&mut self, transaction: Transaction) -> Result<(), Refusal> {
        let mut requests = transaction.end();
        // The end of a transaction is acknowledged by new kernels alone.
        let last = requests.len() - 2;
        match self.exchange.converse(&mut requests, last, |_, _, _| {})?.into_iter().next() {
            Some((_, refusal)) => Err(refusal),
            None => Ok(()),
        }
    }

    /// The elements of these keys, each in its place; `None` where there is none, or no such set.
    fn standing(&mut self, wanted: &[(&'static Shape, Vec<u8>)]) -> Result<Vec<Option<Element>>, Error> {
        let mut standing = vec![None; wanted.len()];
        for (offset, some) in wanted.chunks(QUESTIONS).enumerate() {
            let mut requests = Requests::default();
            for (set, key) in some {
                message::ask_element(&mut requests, layout::TABLE, set, key);
            }
            let answers = &mut standing[offset * QUESTIONS..];
            let refused = self.exchange.converse(&mut requests, some.len() - 1, |place, _, body| {
                answers[place] = message::read_elements(body).into_iter().next();
            });
            let what = "look for elements of the nftables table routelet";
            let refused = refused.map_err(|refusal| refusal.to(what))?;
            if let Some((_, refusal)) = refused.into_iter().find(|(_, no)| !no.is(nix::Error::ENOENT)) {
                return Err(refusal.to(what));
            }
        }
        Ok(standing)
    }

    /// All elements of a set; `None` if there is no such set.
    fn elements(&mut self, set: &Shape) -> Result<Option<Vec<Element>>, Error> {
        let mut requests = message::ask_elements(layout::TABLE, set);
        let found = self.exchange.dump(&mut requests, |found: &mut Vec<Element>, _, body| {
            found.extend(message::read_elements(body));
        });
        match found {
            Ok(found) => Ok(Some(found)),
            Err(refusal) if refusal.is(nix::Error::ENOENT) => Ok(None),
            Err(refusal) => Err(refusal.to(format_args!("list the nftables set {}", set.name))),
        }
    }

    /// Whether a set has elements.
    fn is_used(&mut self, set: &Shape) -> Result<bool, Error> {
        let mut requests = message::ask_elements(layout::TABLE, set);
        let mut used = false;
        let looked = self.exchange.glance(&mut requests, |_, body| {
            used |= !message::read_elements(body).is_empty();
        });
        match looked {
            Err(refusal) if !refusal.is(nix::Error::ENOENT) => {
                Err(refusal.to(format_args!("look into the nftables set {}", set.name)))
            }
            _ => Ok(used),
        }
    }

    /// What the kernel knows a table of ours by, never given twice; `None` where there is none.
    fn handle(&mut self, scope: Scope) -> Result<Option<u64>, Error> {
        /// `NFTA_TABLE_HANDLE`.
        const HANDLE: u16 = 4;
        let requests = message::ask(kind::GET_TABLE, scope as u8, Some(layout::TABLE));
        let mut handle = None;
        let asked = self.exchange.query(&requests, |_, body| {
            let value = body.get(4..).and_then(|rest| attribute(rest, HANDLE));
            handle = Some(value.and_then(|octets| octets.try_into().ok()).map_or(0, u64::from_be_bytes));
        });
        match asked {
            Ok(()) => Ok(handle),
            Err(refusal) if refusal.is(nix::Error::ENOENT) => Ok(None),
            // A kernel without nftables has no tables of ours.
            Err(refusal) if refusal.is(nix::Error::EINVAL) => Ok(None),
            Err(refusal) => Err(refusal.to("look for the nftables table routelet")),
        }
    }

    /// Whether a table has all its rules. They go with their chains, and keep their sets from going.
    fn is_whole(&mut self, scope: Scope) -> Result<bool, Error> {
        let mut requests = message::ask(kind::GET_RULE, scope as u8, Some(layout::TABLE));
        let counted = self.exchange.dump(&mut requests, |count: &mut usize, _, body| {
            // Linux before 4.7 does not filter by table.
            let table = body.get(4..).and_then(|rest| attribute(rest, TABLE_NAME));
            *count += usize::from(table.is_some_and(|name| text(name) == layout::TABLE));
        });
        let count = counted.map_err(|refusal| refusal.to("list the rules of the nftables table routelet"))?;
        Ok(count == layout::rules(scope))
    }

    /// Number of the last change that anybody made to nftables in this namespace.
    fn generation(&mut self) -> Result<u32, Error> {
        /// `NFTA_GEN_ID`.
        const ID: u16 = 1;
        let requests = message::ask(kind::GET_GENERATION, 0, None);
        let mut generation = None;
        let asked = self.exchange.query(&requests, |_, body| {
            let id = body.get(4..).and_then(|rest| attribute(rest, ID));
            generation = id.and_then(|octets| octets.try_into().ok()).map(u32::from_be_bytes);
        });
        let what = "ask for the generation of nftables";
        asked.map_err(|refusal| refusal.to(what))?;
        generation.ok_or_else(|| Refusal::closed().to(what))
    }
}

/// Whether a refusal may come of somebody else's having been faster.
fn is_race(refusal: &Refusal) -> bool {
    is_outdated(refusal)
        || [nix::Error::ENOENT, nix::Error::EEXIST, nix::Error::ENOTEMPTY, nix::Error::EBUSY]
            .into_iter()
            .any(|errno| refusal.is(errno))
}

/// Whether a transaction was refused for the generation that it names.
fn is_outdated(refusal: &Refusal) -> bool {
    /// `ERESTART`.
    const RESTART: i32 = 85;
    refusal.is(nix::Error::from_raw(RESTART))
}
