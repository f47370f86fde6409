//! Requests that go to the kernel at once, and what came of each.
//!
//! A batch is filled by functions that say what is wanted ([`super::link_request`],
//! [`super::address_request`]) and sent by [`super::Conversation::carry_out`]. The kernel works it off in
//! order and stops at nothing: a request that builds on an earlier one is refused when that one was.

use nix::errno::Errno;

use super::Error;
use super::frame::{Attributes, Requests};
use super::link::Link;
use super::refusal::Refusal;

/// Requests to be sent.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) requests: Requests,
    entries: Vec<Entry>,
}

/// Which request of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(usize);

/// A link by what the kernel goes by and what a person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At<'a> {
    /// Index in its namespace.
    pub index: u32,
    /// Name, for errors.
    pub name: &'a str,
}

impl<'a> From<&'a Link> for At<'a> {
    fn from(link: &'a Link) -> At<'a> {
        At { index: link.index, name: &link.name }
    }
}

#[derive(Debug)]
struct Entry {
    /// For an error.
    what: String,
    /// A refusal that is as good as success.
    welcome: Option<Errno>,
}

impl Batch {
    /// A batch of nothing yet.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Adds a request: what it is for, in words, and how the kernel may refuse it with no harm done; then as
    /// [`Requests::push`].
    pub(super) fn push(
        &mut self,
        (what, welcome): (String, Option<Errno>),
        (kind, flags): (u16, u16),
        header: &[u8],
        fill: impl FnOnce(&mut Attributes),
    ) -> Place {
        self.requests.push(kind, flags, header, fill);
        self.entries.push(Entry { what, welcome });
        Place(self.entries.len() - 1)
    }

    /// What came of it, from the answers and refusals of the kernel.
    pub(super) fn outcome(self, answers: Vec<(usize, Vec<u8>)>, refused: Vec<(usize, Refusal)>) -> Outcome {
        let unwelcome = |(index, refusal): (usize, Refusal)| {
            let entry = self.entries.get(index)?;
            let welcome = entry.welcome.is_some_and(|errno| refusal.is(errno));
            (!welcome).then(|| (Place(index), refusal.to(&entry.what)))
        };
        Outcome { answers, refused: refused.into_iter().filter_map(unwelcome).collect() }
    }
}

/// What came of a batch.
#[derive(Debug, Default)]
pub struct Outcome {
    answers: Vec<(usize, Vec<u8>)>,
    refused: Vec<(Place, Error)>,
}

impl Outcome {
    /// Whether the request at this place was refused.
    pub fn is_refused(&self, place: Place) -> bool {
        self.refused.iter().any(|(at, _)| *at == place)
    }

    /// The first refusal, if any.
    ///
    /// # Errors
    /// There was one.
    pub fn all_done(self) -> Result<Outcome, Error> {
        let Outcome { answers, refused } = self;
        match refused.into_iter().next() {
            None => Ok(Outcome { answers, refused: Vec::new() }),
            Some((_, error)) => Err(error),
        }
    }

    /// Every refusal, in order.
    pub fn into_refusals(self) -> impl Iterator<Item = Error> {
        self.refused.into_iter().map(|(_, error)| error)
    }

    /// The link that was looked up at this place; `None` when there is none.
    pub fn link(&self, place: Place) -> Option<Link> {
        self.answer(place).and_then(Link::read)
    }

    /// The body of what the kernel answered at this place.
    pub(super) fn answer(&self, place: Place) -> Option<&[u8]> {
        self.answers.iter().find(|(index, _)| *index == place.0).map(|(_, body)| body.as_slice())
    }
}
