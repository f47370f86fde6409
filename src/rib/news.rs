//! News: what is to be told of some places, and to whom of a group.
//!
//! Nobody is told what it has said itself. Where what is best of a prefix moves from what one member has said
//! to what another has, the former hears of it and the latter hears that what it knew is gone, while the
//! others hear of it only if the attributes are others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::follower::Taken;
use super::loc_rib::Place;
use super::path::{PeerId, Source};
use super::statement::{StatementId, Statements};
use crate::bgp::PathAttributes;
use crate::prefix::Family;

/// What is to be told of some places of one family.
#[derive(Debug, PartialEq, Eq)]
pub struct News {
    /// What they are announced with, and its number; `None` if they are withdrawn.
    pub attributes: Option<(Arc<PathAttributes>, StatementId)>,
    /// Their family.
    pub family: Family,
    /// Which they are.
    pub places: Vec<Place>,
    /// Who is told.
    pub audience: Audience,
}

/// Who of those in step is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// All of them.
    All,
    /// All but these.
    AllBut(BTreeSet<PeerId>),
    /// One alone.
    Only(PeerId),
}

impl Audience {
    fn all_but(peers: BTreeSet<PeerId>) -> Audience {
        if peers.is_empty() { Audience::All } else { Audience::AllBut(peers) }
    }
}

/// Makes news for one member, who is told by itself, of what has been taken for it.
pub(super) fn of_one(taken: &Taken, statements: &Statements, news: &mut Vec<News>) {
    let attributes = announced(taken, statements);
    let is_news = |known: StatementId| taken.statement != StatementId::NOTHING || statements.is_told(known);
    let places = taken.places.iter().filter(|(_, known)| is_news(*known));
    let places: Vec<Place> = places.map(|(at, _)| Place::new(taken.family, *at)).collect();
    push(news, taken.family, attributes, places, Audience::All);
}

/// Makes news for all that are in step of what has been taken for them.
pub(super) fn of_all(
    taken: &Taken,
    statements: &Statements,
    in_step: &BTreeSet<PeerId>,
    news: &mut Vec<News>,
) {
    let member = |source: Source| match source {
        Source::Peer(peer) => Some(peer).filter(|peer| in_step.contains(peer)),
        Source::Local => None,
    };
    match statements.wording(taken.statement) {
        Some((wording, source)) => {
            let attributes = Some((wording.clone(), taken.statement));
            announce(taken, statements, &attributes, (source, &member), news);
        }
        None => withdraw(taken, statements, &member, news),
    }
}

fn announce(
    taken: &Taken,
    statements: &Statements,
    attributes: &Option<(Arc<PathAttributes>, StatementId)>,
    (source, member): (Source, &dyn Fn(Source) -> Option<PeerId>),
    news: &mut Vec<News>,
) {
    let author = member(source);
    // For all; for the author alone, to withdraw; for those alone whose path it was that all know.
    let (mut main, mut withdrawn) = (vec![], vec![]);
    let mut former: BTreeMap<PeerId, Vec<Place>> = BTreeMap::new();
    for (at, known) in &taken.places {
        let place = Place::new(taken.family, *at);
        let known = statements.wording(*known).filter(|_| statements.is_told(*known));
        let Some((wording, from)) = known else {
            main.push(place);
            continue;
        };
        if from != source && author.is_some() {
            withdrawn.push(place);
        }
        let same = attributes.as_ref().is_some_and(|(attributes, _)| Arc::ptr_eq(attributes, wording));
        if !same {
            main.push(place);
        } else if let Some(peer) = member(from) {
            former.entry(peer).or_default().push(place);
        }
    }
    push(news, taken.family, attributes.clone(), main, Audience::all_but(author.into_iter().collect()));
    for (peer, places) in former {
        push(news, taken.family, attributes.clone(), places, Audience::Only(peer));
    }
    if let Some(author) = author {
        push(news, taken.family, None, withdrawn, Audience::Only(author));
    }
}

fn withdraw(
    taken: &Taken,
    statements: &Statements,
    member: &dyn Fn(Source) -> Option<PeerId>,
    news: &mut Vec<News>,
) {
    let told = taken.places.iter().filter(|(_, known)| statements.is_told(*known));
    let of = |known: StatementId| statements.at(known).and_then(|statement| member(statement.source));
    let told: Vec<(Place, Option<PeerId>)> =
        told.map(|(at, known)| (Place::new(taken.family, *at), of(*known))).collect();
    let authors: BTreeSet<PeerId> = told.iter().filter_map(|(_, author)| *author).collect();
    let all = told.iter().map(|(place, _)| *place).collect();
    push(news, taken.family, None, all, Audience::all_but(authors.clone()));
    for author in authors {
        let others = told.iter().filter(|(_, of)| *of != Some(author)).map(|(place, _)| *place).collect();
        push(news, taken.family, None, others, Audience::Only(author));
    }
}

fn announced(taken: &Taken, statements: &Statements) -> Option<(Arc<PathAttributes>, StatementId)> {
    let (wording, _) = statements.wording(taken.statement)?;
    Some((wording.clone(), taken.statement))
}

fn push(
    news: &mut Vec<News>,
    family: Family,
    attributes: Option<(Arc<PathAttributes>, StatementId)>,
    places: Vec<Place>,
    audience: Audience,
) {
    if !places.is_empty() {
        news.push(News { attributes, family, places, audience });
    }
}
