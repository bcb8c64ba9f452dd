//! The model: short, in plain sentences, and by nothing but what was generated.

use crate::asked::{Ask, Case, Charts, Field, Held, Life, Mark, PEOPLE, Policy, Shown, Status, Url, Verdict};

/// Fields of answers that hand out what lets somebody in.
pub const SECRETS: [&str; 5] = ["set-cookie", "x-auth-token", "authorization", "authentication-info", "x-visit"];

/// Whether somebody may be given what was made for another's request, or for an earlier one of theirs.
pub fn may_see(case: &Case, maker: &Ask, asker: &Ask) -> bool {
    is_for_the_same(case, maker, asker)
        && !stays_out(case, maker)
        && !stays_out(case, asker)
        && is_kept(case, maker)
        && may_share(case, maker, asker)
}

/// Whether the same again must come from the store, after these. What a person may share with others they may have themselves,
/// unless the origin refused them.
pub fn must_hit(case: &Case, before: &[Ask], ask: &Ask) -> bool {
    if !may_see(case, ask, ask) || status(case, ask) != ask.answer.status {
        return false;
    }
    let alike: Vec<&Ask> = before.iter().filter(|earlier| earlier.id == ask.id).collect();
    match case.policy {
        Policy::Public | Policy::Habit | Policy::Themed | Policy::Anonymous | Policy::Principal => true,
        // The origin might believe what is beside the token.
        Policy::Tenant | Policy::Role | Policy::Ward | Policy::Member | Policy::Both => ask.shown == Shown::Token,
        Policy::Org => true,
        Policy::Asked => true,
        Policy::Unit | Policy::Told => case.yes == Verdict::Json,
        Policy::Strict => case.yes == Verdict::Empty,
        Policy::Same | Policy::Kept => {
            // Until it is stale, a page in the way stays where it is.
            let is_free = alike.iter().all(|earlier| status(case, earlier) == Status::Chart);
            // A yes to one variant is none to another, and which it is the first answer tells.
            let is_one = alike.iter().chain([&ask]).all(|earlier| earlier.answer.mark != Mark::VaryTheme);
            let is_told = match (case.policy, case.charts) {
                (_, Charts::Bare) => false,
                (Policy::Kept, Charts::Json) => true,
                _ => !case.early_304,
            };
            ask.answer.status == Status::Chart && is_free && is_one && is_told
        }
        // What was not opened is there for others, and those who are somebody go past it.
        Policy::Origin => !names_somebody(ask) || alike.iter().all(|earlier| is_open(earlier)),
        Policy::Rfc9111 => !shows_authorization(ask) || alike.iter().all(|earlier| is_open(earlier)),
    }
}

/// They ask for one thing, by the same URL; and where the operator's word counts, in the same manner.
fn is_for_the_same(case: &Case, maker: &Ask, asker: &Ask) -> bool {
    let as_named = is_by_operator(case.policy);
    maker.id == asker.id
        && maker.url_text() == asker.url_text()
        && (!as_named || maker.script == asker.script)
        && (case.policy != Policy::Themed || theme(maker) == theme(asker))
        && (maker.answer.mark != Mark::VaryTheme || theme(maker) == theme(asker))
}

/// Whether nothing is given to a request that others made, and nothing of it is kept.
fn stays_out(case: &Case, ask: &Ask) -> bool {
    let signs = ask.shown == Shown::Signed || ask.field == Field::Signature;
    let is_let_in_by_url = matches!(ask.url, Url::PathSession | Url::Cookieless | Url::QueryToken | Url::OwnParameter);
    match case.policy {
        Policy::Rfc9111 => false,
        Policy::Origin => signs || is_let_in_by_url,
        policy => signs || is_let_in_by_url || ask.shown == Shown::Stray || narrows(policy, ask),
    }
}

/// A field may narrow what its sender is to see, and the policy has no place for it.
fn narrows(policy: Policy, ask: &Ask) -> bool {
    let by_field = match ask.field {
        Field::None | Field::Harmless | Field::Ignored => false,
        Field::Dark | Field::Light => policy != Policy::Themed,
        Field::User | Field::Tenant | Field::Role | Field::Prefer | Field::ApiKey | Field::Signature => true,
    };
    by_field || ask.ward.is_some() && policy != Policy::Ward
}

/// Whether anybody may be given it again.
fn is_kept(case: &Case, maker: &Ask) -> bool {
    let (policy, status, life, mark) = (case.policy, status(case, maker), maker.answer.life, maker.answer.mark);
    let hands_out = matches!(mark, Mark::AuthToken | Mark::Authorization | Mark::AuthenticationInfo | Mark::OwnSecret);
    let is_for_one = mark == Mark::SetCookie || hands_out;
    let is_passing = matches!(mark, Mark::RetryAfter | Mark::Refresh);
    // The origin itself says for how long.
    let has_life = matches!(life, Life::MaxAge | Life::Public | Life::MustRevalidate);
    if life == Life::NoStore || mark == Mark::VaryAll || status == Status::TooMany {
        return false;
    }
    match policy {
        Policy::Rfc9111 => has_life,
        Policy::Origin => has_life && !is_for_one && !is_passing,
        policy => {
            let is_over = life == Life::Zero || mark == Mark::Pragma || mark == Mark::Expires && !has_life;
            let is_said_to_be_over = is_over && !matches!(policy, Policy::Principal | Policy::Habit);
            let varies_by_who = matches!(mark, Mark::VaryCookie | Mark::VaryAuthorization);
            let differs = varies_by_who && !matches!(policy, Policy::Anonymous | Policy::Principal);
            let is_private = life == Life::Private && policy != Policy::Principal;
            let lives = match status {
                Status::Chart | Status::LoginPage | Status::SaysNo => true,
                _ if is_between_people(policy) => false,
                Status::Moved => true,
                _ => has_life,
            };
            !is_for_one && !is_passing && !is_said_to_be_over && !differs && !is_private && lives
        }
    }
}

/// Whether the policy lets what was made for the one reach the other.
fn may_share(case: &Case, maker: &Ask, asker: &Ask) -> bool {
    let tenant = |ask: &Ask| PEOPLE[ask.person].0;
    let both = |holds: fn(&Ask) -> bool| holds(maker) && holds(asker);
    let same_tenant = tenant(maker) == tenant(asker);
    let are_organised = maker.held == Held::Own && asker.held == Held::Own && same_tenant;
    // The origin said so to whoever asks, of what somebody had with credentials of theirs.
    let is_let_see = has_credentials(maker) && has_credentials(asker) && case.permits[asker.person][asker.id];
    // A page in the way, or a no, holds nothing of anybody.
    let holds_nothing = matches!(status(case, maker), Status::LoginPage | Status::SaysNo);
    match case.policy {
        Policy::Public | Policy::Habit | Policy::Themed => true,
        Policy::Anonymous => both(is_nobody),
        Policy::Principal => both(has_credentials) && maker.person == asker.person && maker.shown == asker.shown,
        Policy::Tenant => both(has_token) && same_tenant,
        Policy::Role => both(has_token) && PEOPLE[maker.person] == PEOPLE[asker.person],
        Policy::Ward => both(has_token) && same_tenant && maker.ward.is_some() && maker.ward == asker.ward,
        Policy::Unit => is_let_see && same_tenant,
        Policy::Asked | Policy::Strict | Policy::Told => is_let_see,
        Policy::Same | Policy::Kept => is_let_see || has_credentials(asker) && holds_nothing,
        Policy::Member => both(has_token),
        // The origin sees only the credentials beside: there must be none.
        Policy::Org => are_organised && !has_credentials(maker) && !has_credentials(asker),
        Policy::Both => both(has_token) && are_organised,
        Policy::Origin => may_share_as_said(maker, asker, [names_somebody, names_somebody_otherwise]),
        Policy::Rfc9111 => may_share_as_said(maker, asker, [shows_authorization, |_| false]),
    }
}

/// The origin alone decides: what was made for somebody, or reaches somebody, it must have opened; and where it says that an
/// answer differs by a credential, it was made for nobody and is for those who send the same. `must-revalidate` opens what
/// `Authorization` alone asked for to those who ask by that alone (RFC 9111 §3.5).
fn may_share_as_said(maker: &Ask, asker: &Ask, [is_somebody, is_otherwise]: [fn(&Ask) -> bool; 2]) -> bool {
    let opens_authorization = maker.answer.life == Life::MustRevalidate;
    let opened_to = |ask: &Ask| !is_somebody(ask) || opens_authorization && !is_otherwise(ask);
    let is_opened = is_open(maker) || opened_to(maker) && opened_to(asker);
    let is_the_same = match maker.answer.mark {
        Mark::VaryCookie => !is_somebody(maker) && maker.cookie() == asker.cookie(),
        Mark::VaryAuthorization => !is_somebody(maker) && maker.authorization() == asker.authorization(),
        _ => true,
    };
    is_opened && is_the_same && maker.answer.life != Life::Private
}

fn is_open(ask: &Ask) -> bool {
    ask.answer.life == Life::Public
}

/// What the origin truly answers.
pub fn status(case: &Case, ask: &Ask) -> Status {
    let looks_at_who = !matches!(
        case.policy,
        Policy::Public | Policy::Habit | Policy::Themed | Policy::Anonymous | Policy::Origin | Policy::Rfc9111
    );
    if looks_at_who && !case.permits[ask.person][ask.id] { ask.no } else { ask.answer.status }
}

pub fn is_by_operator(policy: Policy) -> bool {
    !matches!(policy, Policy::Origin | Policy::Rfc9111)
}

/// One person's answer reaches another, who shows credentials of their own.
fn is_between_people(policy: Policy) -> bool {
    is_by_operator(policy)
        && !matches!(policy, Policy::Public | Policy::Habit | Policy::Themed | Policy::Anonymous | Policy::Principal)
}

fn theme(ask: &Ask) -> Option<Field> {
    Some(ask.field).filter(|field| matches!(field, Field::Dark | Field::Light))
}

fn has_token(ask: &Ask) -> bool {
    matches!(ask.shown, Shown::Token | Shown::TokenAndDeletedSession)
}

/// What is left of a session, and what a script sends in place of a token, is nobody's.
fn has_credentials(ask: &Ask) -> bool {
    !matches!(ask.shown, Shown::Nothing | Shown::Ignored | Shown::Stray | Shown::DeletedSession | Shown::NullToken)
}

fn is_nobody(ask: &Ask) -> bool {
    !has_credentials(ask) && ask.held == Held::None
}

/// An origin may know somebody by it.
fn names_somebody(ask: &Ask) -> bool {
    let by_field = matches!(ask.field, Field::User | Field::Tenant | Field::Role | Field::ApiKey);
    has_credentials(ask) || ask.shown == Shown::Stray || ask.held != Held::None || by_field
}

/// By something else than `Authorization` alone.
fn names_somebody_otherwise(ask: &Ask) -> bool {
    let by_field = matches!(ask.field, Field::User | Field::Tenant | Field::Role | Field::ApiKey);
    let by_cookie = matches!(ask.shown, Shown::Session | Shown::TokenAndSession | Shown::Stray);
    by_cookie || ask.held != Held::None || by_field
}

fn shows_authorization(ask: &Ask) -> bool {
    !ask.authorization().is_empty()
}
