//! The table of scenarios: one line here for each file of rows.

use crate::speaker::{Family, Speaker};
use crate::{
    add_path, as_numbers, bfd, drain, graceful, limits, next_hops, policy, reflection, refresh, routes,
    security, services, session, unnumbered, watched_restart,
};

/// All rows, by theme. A new file of rows needs its `mod` in `main.rs` and its line here.
#[rustfmt::skip]
pub const TABLE: &[&[Row]] = &[
    session::ROWS,
    security::ROWS,
    limits::ROWS,
    routes::ROWS,
    services::ROWS,
    next_hops::ROWS,
    policy::ROWS,
    refresh::ROWS,
    as_numbers::ROWS,
    reflection::ROWS,
    graceful::ROWS,
    add_path::ROWS,
    bfd::ROWS,
    watched_restart::ROWS,
    drain::ROWS,
    unnumbered::ROWS,
];

/// A scenario, played against each speaker over each family.
pub struct Row {
    /// What is proved. `SCENARIO=part` plays the rows whose name has the part in it.
    pub name: &'static str,
    /// Plays it between routers of its own; panics where it fails, best by [`crate::rig::Lab::fail`].
    pub play: fn(&dyn Speaker, Family),
    /// Families that it is played over.
    pub families: &'static [Family],
    /// Speakers that it is not for (`FRR`, or `FRR over Ipv6`), each with what was seen when it was tried.
    pub except: &'static [(&'static str, &'static str)],
}

/// A row for every speaker.
pub const fn each(name: &'static str, play: fn(&dyn Speaker, Family)) -> Row {
    except(name, play, &[])
}

/// A row for all speakers but some.
pub const fn except(
    name: &'static str,
    play: fn(&dyn Speaker, Family),
    except: &'static [(&'static str, &'static str)],
) -> Row {
    Row { name, play, families: &[Family::Ipv4, Family::Ipv6], except }
}
