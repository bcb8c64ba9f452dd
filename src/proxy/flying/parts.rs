//! What of a flight's answer is for a request with a `Range`, and what it is to do where that is nothing.

use http::response::Parts;
use http::{Method, StatusCode, header};

use super::{Leader, Waiter};
use crate::body::ending::Ending;
use crate::coherence::flight::{Demand, Filling};
use crate::coherence::waiter::Instead;
use crate::deliver::ranges::Coming;
use crate::fields::portion::content_range;
use crate::fields::range::{Ranges, SelectedRanges};
use crate::policy::outcome::Stored;
use crate::policy::pass::PassReason;
use crate::proxy::exchange::Exchange;
use crate::upstream::exchange::Exchanged;

impl Waiter<'_> {
    /// What of an answer that is still coming it is to have, and of how many bytes; `None` is all that comes.
    pub(super) fn part_of(&self, filling: &Filling) -> Result<Option<(SelectedRanges, u64)>, Instead> {
        let (headers, head) = (&self.exchange.headers, &filling.head);
        if self.exchange.method != Method::GET {
            return Ok(None);
        }
        let Some(part) = filling.part else {
            return match (Coming::of(headers, head.status, &head.headers, filling.spool.length()), filling.stored) {
                (Coming::Whole, _) => Ok(None),
                (Coming::Part(selected, length), Stored::Yes | Stored::IfItFits) => Ok(Some((selected, length))),
                (Coming::Part(selected, length), Stored::No(_)) if is_near(&selected) => Ok(Some((selected, length))),
                // Whoever caused it gets all of it (RFC 9110 §14.2) rather than asking twice.
                (Coming::Elsewhere, _) if self.leader.is_some() => Ok(None),
                // Nobody waits for a part of what may go on for ever: the origin is asked for it.
                (Coming::Part(..), Stored::No(_)) | (Coming::Elsewhere, _) => Err(Instead::Pass(PassReason::Range)),
            };
        };
        match (Coming::of_part(headers, &head.headers, part), &self.leader) {
            (Coming::Part(selected, length), _) => Ok(Some((selected, length))),
            (_, Some(leader)) if leader.extent.is_whole() && headers.contains_key(header::RANGE) => {
                Err(Instead::Pass(PassReason::Range))
            }
            // A part that nobody asked for is what the origin says.
            (_, Some(leader)) if leader.extent.is_whole() => Ok(Some((SelectedRanges::One(part.span), part.length))),
            // It is stored by and by: beside it the rest is asked for.
            _ => Err(Instead::Again(Demand { serial: Some(self.flight.serial), ..self.demand })),
        }
    }
}

impl Leader {
    /// What of an answer that is its own its client is to have, and of how many bytes; `None` is all that comes. An error where
    /// what it was brought is something else than its client asked for, and has to be asked for.
    pub(super) fn part_of_own(
        &self,
        brought: &Exchanged,
        exchange: &Exchange<'_>,
    ) -> Result<Option<(SelectedRanges, u64)>, Elsewhere> {
        let Parts { status, headers, .. } = &brought.head;
        let asked_so = self.extent.span.is_some() && !self.extent.is_rest();
        if asked_so || exchange.method != Method::GET {
            return Ok(None);
        }
        if *status != StatusCode::PARTIAL_CONTENT {
            let length = match brought.ending {
                Ending::Length(length) => Some(length),
                Ending::Marked | Ending::Unmarked => None,
            };
            return match Coming::of(&exchange.headers, *status, headers, length) {
                Coming::Part(selected, length) if is_near(&selected) => Ok(Some((selected, length))),
                Coming::Part(..) => Err(Elsewhere),
                // Where the length is not known, all of it (RFC 9110 §14.2) rather than asking twice.
                Coming::Whole | Coming::Elsewhere => Ok(None),
            };
        }
        let is_other = match (Ranges::of(&exchange.headers), content_range(headers)) {
            (Some(ranges), Some(part)) => ranges.within(part.length) != SelectedRanges::One(part.span),
            (Some(_), None) => true,
            (None, _) => !self.extent.is_whole(),
        };
        if is_other { Err(Elsewhere) } else { Ok(None) }
    }
}

/// What was brought is not what was asked for.
pub(super) struct Elsewhere;

/// How many bytes of an answer that is not kept may be thrown away for a part of it; the origin is asked for what begins later.
const NEAR: u64 = 1 << 20;

fn is_near(selected: &SelectedRanges) -> bool {
    match selected {
        SelectedRanges::Whole | SelectedRanges::Unsatisfiable => true,
        SelectedRanges::One(span) => span.first <= NEAR,
        SelectedRanges::Several(spans) => spans.last().is_none_or(|span| span.first <= NEAR),
    }
}
