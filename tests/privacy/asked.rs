//! What is generated: who asks, what they show, and what the origin has for them.

use proptest::prelude::*;
use proptest::sample::Index;

/// Four people: two of one tenant with one role, one with another role, one of another tenant.
pub const PEOPLE: [(&str, &str); 4] = [("a", "doctor"), ("a", "doctor"), ("a", "nurse"), ("b", "doctor")];

/// By which policy: the order of the routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    Public,
    /// For all, whether or not the origin says that it is over.
    Habit,
    /// For all, by their theme.
    Themed,
    Anonymous,
    Principal,
    Tenant,
    Role,
    Ward,
    Unit,
    Asked,
    /// Only a 204 is a yes.
    Strict,
    /// Only `{"allowed": true}` is.
    Told,
    /// The origin is asked for the same again.
    Same,
    /// And its yes is kept for a while.
    Kept,
    Member,
    Org,
    Both,
    Origin,
    Rfc9111,
}

impl Policy {
    pub const ALL: [Policy; 19] = [
        Policy::Public,
        Policy::Habit,
        Policy::Themed,
        Policy::Anonymous,
        Policy::Principal,
        Policy::Tenant,
        Policy::Role,
        Policy::Ward,
        Policy::Unit,
        Policy::Asked,
        Policy::Strict,
        Policy::Told,
        Policy::Same,
        Policy::Kept,
        Policy::Member,
        Policy::Org,
        Policy::Both,
        Policy::Origin,
        Policy::Rfc9111,
    ];
}

/// What a request shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Nothing,
    Ignored,
    Token,
    Expired,
    Forged,
    Session,
    TokenAndSession,
    TwoTokens,
    Stray,
    /// What a sign-out left behind.
    DeletedSession,
    TokenAndDeletedSession,
    /// What a script sends where it has no token.
    NullToken,
    /// A signature over this very request.
    Signed,
}

/// The certificate of a request's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    None,
    /// Names the person's tenant as its organisation.
    Own,
    Expired,
    /// Names both tenants.
    Both,
}

/// Another field of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    None,
    /// What any browser sends.
    Harmless,
    /// What the configuration ignores.
    Ignored,
    /// What one policy varies by.
    Dark,
    Light,
    /// Who asks, as a gateway or anybody says it.
    User,
    Tenant,
    Role,
    /// How much is wanted.
    Prefer,
    ApiKey,
    Signature,
}

/// What stands in the URL beside what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Url {
    Plain,
    /// Parameters that mean nothing of the kind.
    Page,
    Version,
    PathSession,
    Cookieless,
    QueryToken,
    /// A parameter that the configuration names.
    OwnParameter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 200: what was asked for.
    Chart,
    /// 200: the page to sign in at.
    LoginPage,
    /// 200: `{"result": false}`.
    SaysNo,
    Unauthorized,
    Forbidden,
    NotFound,
    TooMany,
    /// 302 to sign in.
    SignIn,
    /// 301.
    Moved,
    /// 301 to something with a query.
    MovedToQuery,
    Ill,
}

/// What the origin says of an answer's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Nothing,
    MaxAge,
    Public,
    /// `must-revalidate`, which opens what `Authorization` alone asked for (RFC 9111 §3.5).
    MustRevalidate,
    Zero,
    Private,
    NoStore,
}

/// What else it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    None,
    VaryCookie,
    VaryAuthorization,
    VaryAll,
    VaryTheme,
    SetCookie,
    AuthToken,
    Authorization,
    AuthenticationInfo,
    /// A field that the configuration names.
    OwnSecret,
    /// A token, and that this field is one client's.
    PrivateToken,
    Pragma,
    Expires,
    RetryAfter,
    Refresh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub status: Status,
    pub life: Life,
    pub mark: Mark,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    pub person: usize,
    pub shown: Shown,
    pub held: Held,
    pub ward: Option<u8>,
    pub field: Field,
    pub url: Url,
    /// A script of a page asks, and says so.
    pub script: bool,
    pub id: usize,
    /// What the origin answers whom it lets see it.
    pub answer: Answer,
    /// What it answers whom it does not.
    pub no: Status,
    /// The browser, which all use one after the other, asks on the condition of what it has.
    pub conditional: bool,
}

/// What the origin has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charts {
    Json,
    Html,
    /// JSON without a validator.
    Bare,
}

/// What it says to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Empty,
    Json,
    Text,
    Unauthorized,
    SignIn,
    LoginPage,
    SaysNo,
}

#[derive(Debug, Clone)]
pub struct Case {
    pub policy: Policy,
    pub asks: Vec<Ask>,
    /// Whom the origin lets see which thing.
    pub permits: [[bool; 2]; 4],
    pub charts: Charts,
    pub yes: Verdict,
    pub no: Verdict,
    /// It answers a condition before it looks at who asks.
    pub early_304: bool,
}

/// The first of them as often as all others together.
fn mostly<T: Clone + std::fmt::Debug + 'static>(usual: T, others: &[T]) -> impl Strategy<Value = T> + use<T> {
    rarely(1, usual, others)
}

/// So many times as often.
fn rarely<T: Clone + std::fmt::Debug + 'static>(
    times: usize,
    usual: T,
    others: &[T],
) -> impl Strategy<Value = T> + use<T> {
    let mut all = vec![usual; times * others.len()];
    all.extend_from_slice(others);
    prop::sample::select(all)
}

fn answer() -> impl Strategy<Value = Answer> {
    use Life as L;
    use Mark as M;
    use Status as S;
    const REFUSALS: [Status; 10] = [
        S::LoginPage,
        S::SaysNo,
        S::Unauthorized,
        S::Forbidden,
        S::NotFound,
        S::TooMany,
        S::SignIn,
        S::Moved,
        S::MovedToQuery,
        S::Ill,
    ];
    const MARKS: [Mark; 14] = [
        M::VaryCookie,
        M::VaryAuthorization,
        M::VaryAll,
        M::VaryTheme,
        M::SetCookie,
        M::AuthToken,
        M::Authorization,
        M::AuthenticationInfo,
        M::OwnSecret,
        M::PrivateToken,
        M::Pragma,
        M::Expires,
        M::RetryAfter,
        M::Refresh,
    ];
    let life = [
        L::MaxAge,
        L::MaxAge,
        L::MaxAge,
        L::Public,
        L::Public,
        L::Public,
        L::MustRevalidate,
        L::MustRevalidate,
        L::Zero,
        L::Private,
        L::NoStore,
    ];
    let life = mostly(L::Nothing, &life);
    let all = (rarely(4, S::Chart, &REFUSALS), life, rarely(4, M::None, &MARKS));
    all.prop_map(|(status, life, mark)| Answer { status, life, mark })
}

fn ask() -> impl Strategy<Value = Ask> {
    use Field as F;
    use Shown as S;
    use Status as N;
    use Url as U;
    const SHOWN: [Shown; 12] = [
        S::Session,
        S::Nothing,
        S::Ignored,
        S::Expired,
        S::Forged,
        S::TokenAndSession,
        S::TwoTokens,
        S::Stray,
        S::DeletedSession,
        S::TokenAndDeletedSession,
        S::NullToken,
        S::Signed,
    ];
    const FIELDS: [Field; 10] =
        [F::Harmless, F::Ignored, F::Dark, F::Light, F::User, F::Tenant, F::Role, F::Prefer, F::ApiKey, F::Signature];
    const URLS: [Url; 6] = [U::Page, U::Version, U::PathSession, U::Cookieless, U::QueryToken, U::OwnParameter];
    let who = (0..4_usize, mostly(S::Token, &SHOWN), prop::sample::select(vec![0, 0, 0, 0, 0, 1, 1, 2, 3]));
    let ward = rarely(3, None, &[Some(0), Some(1)]);
    let beside = (ward, rarely(6, F::None, &FIELDS), rarely(6, U::Plain, &URLS), prop::bool::weighted(0.1));
    let no = mostly(
        N::Unauthorized,
        &[N::LoginPage, N::SaysNo, N::Forbidden, N::NotFound, N::TooMany, N::SignIn, N::MovedToQuery, N::Ill],
    );
    (who, beside, 0..2_usize, answer(), no, any::<bool>()).prop_map(|(who, beside, id, answer, no, conditional)| {
        let (person, shown, held) = who;
        let held = [Held::None, Held::Own, Held::Expired, Held::Both][held];
        let (ward, field, url, script) = beside;
        Ask { person, shown, held, ward, field, url, script, id, answer, no, conditional }
    })
}

impl Ask {
    /// What is usual is to mean something under a policy.
    fn under(self, policy: Policy) -> Ask {
        let is_for_nobody = matches!(policy, Policy::Anonymous | Policy::Org | Policy::Origin | Policy::Rfc9111);
        let shown = match self.shown {
            Shown::Token if is_for_nobody => Shown::Nothing,
            Shown::Nothing if is_for_nobody => Shown::Token,
            shown => shown,
        };
        let held = match (policy, self.held) {
            (Policy::Org | Policy::Both, Held::None) => Held::Own,
            (Policy::Org | Policy::Both, Held::Own) => Held::None,
            (_, held) => held,
        };
        let ward = self.ward.or((policy == Policy::Ward).then_some(0));
        let field = match self.field {
            Field::None if policy == Policy::Themed => Field::Dark,
            field => field,
        };
        Ask { shown, held, ward, field, ..self }
    }

    /// The same request, but for one thing.
    fn but(self, other: Ask, dimension: usize) -> Ask {
        match dimension {
            0 => Ask { person: other.person, ..self },
            1 => Ask { shown: other.shown, ..self },
            2 => Ask { held: other.held, ..self },
            3 => Ask { ward: other.ward, ..self },
            4 => Ask { field: other.field, ..self },
            5 => Ask { url: other.url, ..self },
            6 => Ask { script: !self.script, ..self },
            7 => Ask { answer: other.answer, ..self },
            8 | 9 => Ask { answer: other.answer, person: other.person, ..self },
            10 => Ask { conditional: other.conditional, person: other.person, ..self },
            _ => Ask { person: other.person, answer: Answer { status: self.answer.status, ..other.answer }, ..self },
        }
    }
}

pub fn case() -> impl Strategy<Value = Case> {
    use Verdict as V;
    // Requests that have nothing to do with each other say little: most are like an earlier one, but for one thing.
    let asks = prop::collection::vec((ask(), prop::bool::weighted(0.7), any::<Index>(), 0..12_usize), 2..10);
    let origin = (
        prop::sample::select(vec![Charts::Json, Charts::Json, Charts::Html, Charts::Bare]),
        prop::sample::select(vec![V::Json, V::Json, V::Empty, V::Text]),
        prop::sample::select(vec![V::Unauthorized, V::SignIn, V::LoginPage, V::SaysNo]),
        prop::bool::weighted(0.3),
    );
    let policy = prop::sample::select(Policy::ALL.to_vec());
    let permits = prop::array::uniform4(prop::array::uniform2(prop::bool::weighted(0.7)));
    (policy, asks, permits, origin).prop_map(|(policy, drawn, permits, origin)| {
        let mut asks: Vec<Ask> = Vec::new();
        for (ask, is_alike, earlier, dimension) in drawn {
            let next = match is_alike && !asks.is_empty() {
                true => asks[earlier.index(asks.len())].but(ask, dimension),
                false => ask.under(policy),
            };
            asks.push(next);
        }
        let (charts, yes, no, early_304) = origin;
        Case { policy, asks, permits, charts, yes, no, early_304 }
    })
}
