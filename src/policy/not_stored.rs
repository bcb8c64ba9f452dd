//! Why an answer is not stored: the reasons that the third question may give, and those that only the transfer tells.

/// Why an answer is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NotStored {
    /// `Cache-Control: no-store`.
    NoStore,
    /// `Cache-Control: private`, and others would share it.
    Private,
    /// It sets a cookie.
    SetCookie,
    /// It hands out a credential in another field.
    SecretField,
    /// `Retry-After` or `Refresh`: it is to be replaced soon.
    RetryLater,
    /// The origin says that it is over on arrival, and others would share it.
    SaysExpired,
    /// A redirect for ever to something that was asked with a query.
    QueryRedirect,
    /// A page that posts itself.
    SelfPosting,
    /// It is unlike what is stored: another media type, or no validator where there was one.
    Unlike,
    /// It was asked for before the origin refused what is stored.
    RefusedSince,
    /// A 304 confirmed what is stored by a tag that is weak where the stored one is strong, or the other way round: it updates nothing
    /// (RFC 9111 §4.3.4).
    OtherStrength,
    /// `Vary: *`.
    VaryAll,
    /// `Vary` names more than a key may have.
    VaryNames,
    /// `Vary` names a credential that the policy does not key.
    VaryCredential,
    /// The request had credentials and the origin did not open the answer (RFC 9111 §3.5).
    Credentials,
    /// No lifetime is given and nothing can revalidate it.
    NoLifetime,
    /// A status that is not stored.
    Status,
    /// A media type that the policy does not list.
    Type,
    /// A part of an answer.
    Partial,
    /// An endless stream of events.
    EventStream,
    /// Longer than `max_object`.
    TooLarge,
    /// More tags than an entry may have.
    TooManyTags,
    /// A tag whose value the answer does not hold.
    TagUnknown,
    /// The end of its body cannot be told from a cut.
    Incomplete,
    /// It ends in trailers, which are not kept.
    Trailers,
    /// Other fills hold all the memory that fills may take.
    FillMemory,
    /// The store is full, and nobody asked for it before.
    StoreFull,
    /// It answers HEAD.
    Head,
}

impl NotStored {
    /// One spelling for `Cache-Status`, metrics, logs and people.
    pub fn as_str(self) -> &'static str {
        match self {
            NotStored::NoStore => "no-store",
            NotStored::Private => "private",
            NotStored::SetCookie => "set-cookie",
            NotStored::SecretField => "secret-field",
            NotStored::RetryLater => "retry-later",
            NotStored::SaysExpired => "says-expired",
            NotStored::QueryRedirect => "redirect-with-query",
            NotStored::SelfPosting => "self-posting",
            NotStored::Unlike => "unlike-stored",
            NotStored::RefusedSince => "refused-since",
            NotStored::OtherStrength => "validator-strength",
            NotStored::VaryAll => "vary-all",
            NotStored::VaryNames => "too-many-vary-names",
            NotStored::VaryCredential => "vary-on-credential",
            NotStored::Credentials => "credentials",
            NotStored::NoLifetime => "no-lifetime",
            NotStored::Status => "status",
            NotStored::Type => "unlisted-type",
            NotStored::Partial => "partial",
            NotStored::EventStream => "event-stream",
            NotStored::TooLarge => "too-large",
            NotStored::TooManyTags => "too-many-tags",
            NotStored::TagUnknown => "tag-unknown",
            NotStored::Incomplete => "incomplete",
            NotStored::Trailers => "trailers",
            NotStored::FillMemory => "fill-memory",
            NotStored::StoreFull => "store-full",
            NotStored::Head => "head",
        }
    }

    /// Whether those who waited for it ask for themselves, one first: it is only for whoever caused it.
    pub fn is_its_askers(self) -> bool {
        self.is_passing() || matches!(self, NotStored::Unlike | NotStored::RefusedSince | NotStored::OtherStrength)
    }

    /// The origin's own error, refusal or passing state: it says nothing of what the next request is answered, who finds out
    /// for itself.
    pub fn is_passing(self) -> bool {
        matches!(self, NotStored::Status | NotStored::RetryLater)
    }
}
