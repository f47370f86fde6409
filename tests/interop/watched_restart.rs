//! Graceful restart where BFD watches the same path (RFC 5882 §4.3): the silence of a side that restarts is no
//! failure of the path.
//!
//! Neither FRR nor BIRD sees it so by default, where it is we who restart: FRR has to be told to look at the C
//! bit, and BIRD to take any end of BFD for a restart. The interval is one that FRR can hold while all rows are
//! played.

use std::time::Duration;

use crate::bfd::{Exclusion, NO_BFD, watching};
use crate::graceful::{graceful, they_come_back, we_come_back};
use crate::rig::Host;
use crate::speaker::{Extra, Family, Setup, Speaker};
use crate::table::{Row, except};

pub const ROWS: &[Row] = &[
    except("graceful restart under BFD: they are killed and return", they_return, NOT_FRR_EITHER),
    except("graceful restart under BFD: we are killed and return", we_return, NO_BFD),
    except("graceful restart under BFD: we are replaced", we_are_replaced, NO_BFD),
];

const NOT_FRR_EITHER: &[Exclusion] = &[
    NO_BFD[0],
    NO_BFD[1],
    (
        "FRR",
        "coming back on a busy machine, it ends its own session again (Hard Reset, BFD Down) when its BFD comes up \
         after its BGP; it does so at its first start, too",
    ),
];

const OURS: &str = "bfd: {minTx: 500ms, minRx: 500ms, multiplier: 3}";
/// Long enough for BFD to notice.
const AWAY: Duration = Duration::from_secs(2);

/// Their side of both.
fn both(speaker: &dyn Speaker, family: Family) -> Setup {
    let (mut setup, bfd) = (graceful(speaker, family), watching(speaker, family, "").extra);
    let Extra { top, peer, .. } = &mut setup.extra;
    top.push_str(&format!("\n{}", bfd.top.replace("100 ms", "500 ms")));
    peer.extend(bfd.peer.iter().map(|line| line.replace("100", "500")));
    setup
}

fn they_return(speaker: &dyn Speaker, family: Family) {
    they_come_back(speaker, both(speaker, family), OURS);
}

fn we_return(speaker: &dyn Speaker, family: Family) {
    we_come_back(speaker, told_of_restarts(speaker, family), OURS, Host::kill, AWAY);
}

fn we_are_replaced(speaker: &dyn Speaker, family: Family) {
    we_come_back(speaker, told_of_restarts(speaker, family), OURS, Host::terminate, AWAY);
}

/// Their side of both, as they need to be told.
fn told_of_restarts(speaker: &dyn Speaker, family: Family) -> Setup {
    let mut setup = both(speaker, family);
    if speaker.name() == "BIRD" {
        setup.extra.peer.retain(|line| line != "bfd yes;");
        setup.extra.peer.push("bfd graceful;".to_owned());
    } else {
        setup.extra.peer.push("bfd check-control-plane-failure".to_owned());
    }
    setup
}
