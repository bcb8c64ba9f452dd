//! Which cookies mean somebody, by their names: ignoring one makes everybody look alike.
//!
//! A table of what frameworks, portals and login proxies are known to set, and a guess at words for what is not in it. Names
//! of cookies are told apart by case on the wire, but frameworks let people spell theirs as they like, so case means nothing
//! here. A guess may be wrong; then it costs a warning that names a cookie which its owner knows to be harmless.
//!
//! Cookies that protect forms (CSRF) are drawn for a browser, not a person, and no answer that is kept should depend on them:
//! they stay silent.

/// Why a cookie had better not be ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CookieMeaning {
    /// Known software tells by this cookie who is signed in; the name may end in, or hold, a `*`.
    SignsIn(String),
    /// This word in its name says that it does.
    Sounds(&'static str),
    /// It holds what one person is to be told once.
    Messages(String),
}

/// By these, many applications know who is signed in. One `*` stands for any text, also for none.
const SESSIONS: &[&str] = &[
    // Django, Flask, Starlette, Express, Koa, Go's usual ones.
    "sessionid",
    "session",
    "session_id",
    "session-id",
    "session_token",
    "sid",
    "ssid",
    "connect.sid",
    "express.sid",
    "express:sess",
    "koa.sess",
    "koa:sess",
    "keystone.sid",
    "sails.sid",
    "gorilla-session",
    "gosessionid",
    "beegosessionID",
    "beaker.session.id",
    "__session",
    "_session",
    // Java.
    "JSESSIONID",
    "JSESSIONIDSSO",
    "PLAY_SESSION",
    "rememberMe",
    "remember-me",
    "SPRING_SECURITY_REMEMBER_ME_COOKIE",
    "grails_remember_me",
    "seraph.rememberme.cookie",
    "seraph.confluence",
    "crowd.token_key",
    // PHP.
    "PHPSESSID",
    "laravel_session",
    "remember_web_*",
    "ci_session",
    "CAKEPHP",
    "CakeCookie*",
    "symfony",
    "wordpress_logged_in_*",
    "wordpress_sec_*",
    "wp-postpass_*",
    "SESS*",
    "SSESS*",
    "fe_typo_user",
    "be_typo_user",
    "MoodleSession*",
    "OpenEMR",
    "PortalOpenEMR",
    "zenid",
    "frontend",
    "adminhtml",
    "oc_sessionPassphrase",
    "nc_username",
    "nc_token",
    "nc_session_id",
    // ASP and ASP.NET.
    "ASP.NET_SessionId",
    "ASPSESSIONID*",
    ".ASPXAUTH",
    ".ASPXROLES",
    ".ASPXFORMSAUTH",
    ".AspNetCore.*",
    ".AspNet.*",
    ".DOTNETNUKE",
    "FedAuth*",
    "rtFa",
    "MSISAuth*",
    // Ruby, Perl, Elixir, ColdFusion, 4D, Lotus.
    "rack.session",
    "_session_id",
    "_*_session",
    "_*_key",
    "remember_token",
    "remember_user_token",
    "remember_*_token",
    "user_credentials",
    "mojolicious",
    "CGISESSID",
    "CFID",
    "CFTOKEN",
    "CFAUTHORIZATION_*",
    "DomAuthSessId",
    "DWSID*",
    // Sign-on for many applications, and gateways.
    "KEYCLOAK_IDENTITY*",
    "KEYCLOAK_SESSION*",
    "KEYCLOAK_REMEMBER_ME",
    "AUTH_SESSION_ID*",
    "KC_RESTART",
    "CASTGC",
    "TGC",
    "LtpaToken*",
    "SMSESSION",
    "SMIDENTITY*",
    "iPlanetDirectoryPro",
    "ObSSOCookie*",
    "OAMAuthnCookie*",
    "PD-S-SESSION-ID*",
    "PD-H-SESSION-ID*",
    "MYSAPSSO2",
    "MRHSession",
    "NSC_AAAC",
    "NSC_TMAS",
    "DSID",
    "_shibsession_*",
    "mod_auth_openidc_session",
    "_oauth2_proxy*",
    "_forward_auth",
    "authelia_session",
    "authentik_*",
    "CF_Authorization",
    "AWSELBAuthSessionCookie*",
    "_vouch*",
    "VouchCookie*",
    "idsrv*",
    "okta-oauth-*",
];

/// The same of libraries that keep the session, or a token, in the browser.
const TOKENS: &[&str] = &[
    "next-auth.session-token*",
    "authjs.session-token*",
    "better-auth.session_token",
    "appSession*",
    "sb-*-auth-token*",
    "a0:session",
    "auth0",
    "auth0.*",
    "CognitoIdentityServiceProvider.*",
    "access_token",
    "id_token",
    "refresh_token",
    "auth_token",
    "token",
    "jwt",
    "bearer",
];

/// Django's flash messages, as they come without a session; and the same of others.
const MESSAGES: &[&str] = &["messages", "flash", "PLAY_FLASH"];

/// These protect forms, or count visits: whatever words they hold.
const SILENT: &[&str] = &[
    "*csrf*",
    "*xsrf*",
    "*requestverificationtoken*",
    "*antiforgery*",
    "authenticity_token*",
    // What counts visits has sessions of its own.
    "_hjSession*",
    "_hjAbsoluteSession*",
    "_hjIncludedInSession*",
    "ai_session",
    "_pk_ses*",
    "_ga*",
    "mp_*",
    "amplitude_*",
    "analytics_session*",
    "rl_session",
    "_dd_s",
];

/// Prefixes by which browsers bind a cookie to a host or to TLS (RFC 6265bis §4.1.3); frameworks set them before any name.
const PREFIXES: [&str; 2] = ["__Secure-", "__Host-"];

/// What somebody would ignore who ignores cookies of this name; with a `*` at its end, all whose names begin so.
pub(super) fn meaning(pattern: &str) -> Option<CookieMeaning> {
    let lower = pattern.to_ascii_lowercase();
    let (stem, ending) = match lower.strip_suffix('*') {
        Some(stem) => (stem, Ending::Any),
        None => (lower.as_str(), Ending::None),
    };
    let bound = PREFIXES.iter().find_map(|prefix| stem.strip_prefix(prefix.to_ascii_lowercase().as_str()));
    let bare = bound.filter(|rest| !rest.is_empty()).unwrap_or(stem);
    if SILENT.iter().any(|silent| fits(&silent.to_ascii_lowercase(), bare)) {
        return None;
    }
    let touched = |known: &&&str| touches(&known.to_ascii_lowercase(), bare, ending);
    // An exact name is one's own, in one's own spelling.
    let named = |known: &str| match ending {
        Ending::None => pattern.to_owned(),
        Ending::Any => known.to_owned(),
    };
    // The same spelling says more: `SESS*` is meant to be Drupal's before it is anybody's `sessionid`.
    let as_written = &pattern[stem.len() - bare.len()..stem.len()];
    let written_so = |known: &&&str| touches(known, as_written, ending);
    let all = || SESSIONS.iter().chain(TOKENS);
    if let Some(known) = all().find(written_so).or_else(|| all().find(touched)) {
        return Some(CookieMeaning::SignsIn(named(known)));
    }
    if let Some(known) = MESSAGES.iter().find(touched) {
        return Some(CookieMeaning::Messages(named(known)));
    }
    let prefix = PREFIXES.iter().find(|prefix| prefix.to_ascii_lowercase().starts_with(stem));
    if let (Some(prefix), Ending::Any) = (prefix, ending) {
        return Some(CookieMeaning::SignsIn(format!("{prefix}session")));
    }
    word(pattern).map(CookieMeaning::Sounds)
}

/// What may follow a name that somebody wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Nothing: it is the whole name.
    None,
    /// Any text.
    Any,
}

/// Whether names of the table's pattern are among those that begin with `stem`, or are it.
fn touches(known: &str, stem: &str, ending: Ending) -> bool {
    if fits(known, stem) {
        return true;
    }
    // `_*_session` begins with anything that begins with `_`; only what is in front of its star says what it is.
    let beginning = known.split('*').next().unwrap_or(known);
    ending == Ending::Any && beginning.starts_with(stem)
}

/// Whether a name is of a pattern, in which `*` may stand twice at most: in the middle, or at both ends.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(before) else { return false };
    match after.strip_suffix('*') {
        // In the middle of a name stands something.
        None if !before.is_empty() && !after.is_empty() => rest.len() > after.len() && rest.ends_with(after),
        None => rest.ends_with(after),
        Some(inner) if before.is_empty() => rest.contains(inner),
        Some(inner) => rest.find(inner).is_some_and(|at| at > 0),
    }
}

/// The word by which a name sounds as if it told who is signed in.
fn word(name: &str) -> Option<&'static str> {
    // These are parts of no other words.
    const ANYWHERE: [&str; 6] = ["session", "remember", "token", "login", "identity", "jwt"];
    // These are (`author`, `assess`, `lesson`), so they count as words, or as beginnings of some.
    const WORDS: [&str; 3] = ["auth", "sess", "sso"];
    let lower = name.to_ascii_lowercase();
    let anywhere = ANYWHERE.into_iter().find(|word| lower.contains(word));
    anywhere.or_else(|| {
        let words = words(name);
        WORDS.into_iter().find(|wanted| {
            let other = |word: &String| word.starts_with("author") && !word.starts_with("authoriz");
            words.iter().any(|word| !other(word) && (word.starts_with(wanted) || word == "oauth" && *wanted == "auth"))
        })
    })
}

/// The words of a name, in lower case: what stands between signs, and from one upper case letter to the next.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous = ' ';
    for c in name.chars() {
        if !c.is_ascii_alphabetic() || (c.is_ascii_uppercase() && previous.is_ascii_lowercase()) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_ascii_alphabetic()) {
            word.push(c.to_ascii_lowercase());
        }
        previous = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs_in(name: &str) -> Option<CookieMeaning> {
        Some(CookieMeaning::SignsIn(name.to_owned()))
    }

    // A table.
    #[allow(clippy::too_many_lines)]
    #[test]
    fn what_a_name_means() {
        let check = |pattern: &str, want: Option<CookieMeaning>| assert_eq!(meaning(pattern), want, "{pattern}");
        // Exact names, of exact ones and of patterns, in any case.
        for name in [
            "sessionid",
            "session",
            "sid",
            "connect.sid",
            "koa.sess",
            "JSESSIONID",
            "jsessionid",
            "JSESSIONIDSSO",
            "SESSION",
            "PHPSESSID",
            "laravel_session",
            "ci_session",
            "CAKEPHP",
            "PLAY_SESSION",
            "ASP.NET_SessionId",
            "ASPSESSIONIDQAABCDEF",
            ".ASPXAUTH",
            ".aspxauth",
            ".AspNetCore.Identity.Application",
            ".AspNet.ApplicationCookie",
            "FedAuth",
            "FedAuth1",
            "MSISAuth",
            "rack.session",
            "_session_id",
            "_clinic_session",
            "remember_token",
            "remember_user_token",
            "remember_web_59ba36addc2b2f9401580f01",
            "rememberMe",
            "remember-me",
            "REMEMBERME",
            "grails_remember_me",
            "wordpress_logged_in_abc",
            "wordpress_sec_abc",
            "SESSabc123",
            "SSESSabc123",
            "CFID",
            "CFTOKEN",
            "KEYCLOAK_IDENTITY",
            "KEYCLOAK_IDENTITY_LEGACY",
            "KEYCLOAK_SESSION",
            "AUTH_SESSION_ID",
            "CASTGC",
            "TGC",
            "LtpaToken2",
            "SMSESSION",
            "iPlanetDirectoryPro",
            "MRHSession",
            "_shibsession_64656661",
            "mod_auth_openidc_session",
            "_oauth2_proxy",
            "_oauth2_proxy_0",
            "next-auth.session-token",
            "__Secure-next-auth.session-token",
            "next-auth.session-token.0",
            "authjs.session-token",
            "__Secure-authjs.session-token",
            "__session",
            "__Host-session",
            "__Host-sessionid",
            "sb-abcdef-auth-token",
            "access_token",
            "id_token",
            "refresh_token",
            "auth_token",
            "token",
            "jwt",
            "JWT",
        ] {
            check(name, signs_in(name));
        }
        // Prefixes that take in some of them, and prefixes of which all are.
        check("sess*", signs_in("sessionid"));
        check("JSESSION*", signs_in("JSESSIONID"));
        check("ASPSESSIONID*", signs_in("ASPSESSIONID*"));
        check("ASPSESSIONIDQ*", signs_in("ASPSESSIONID*"));
        check("wordpress_logged_in_*", signs_in("wordpress_logged_in_*"));
        check(".AspNetCore.*", signs_in(".AspNetCore.*"));
        check(".AspNetCore.Cookies*", signs_in(".AspNetCore.*"));
        check("_clinic_session*", signs_in("_*_session"));
        check("sb-*", signs_in("sb-*-auth-token*"));
        check("_*", signs_in("__session"));
        check("__Host-*", signs_in("__Host-session"));
        check("__Hos*", signs_in("__Host-session"));
        check("__Secure-*", signs_in("__Secure-session"));
        check("s*", signs_in("sessionid"));
        check("SESS*", signs_in("SESS*"));
        check("jsess*", signs_in("JSESSIONID"));
        // What one person is told.
        check("messages", Some(CookieMeaning::Messages("messages".to_owned())));
        check("mess*", Some(CookieMeaning::Messages("messages".to_owned())));
        // By words alone.
        check("clinicsession2", Some(CookieMeaning::Sounds("session")));
        check("my_sess", Some(CookieMeaning::Sounds("sess")));
        check("user-auth", Some(CookieMeaning::Sounds("auth")));
        check("authenticated", Some(CookieMeaning::Sounds("auth")));
        check("portalAuth*", Some(CookieMeaning::Sounds("auth")));
        check("x_oauth", Some(CookieMeaning::Sounds("auth")));
        check("Authorization", Some(CookieMeaning::Sounds("auth")));
        check("clinic_sso", Some(CookieMeaning::Sounds("sso")));
        check("userToken", Some(CookieMeaning::Sounds("token")));
        check("stay_remembered", Some(CookieMeaning::Sounds("remember")));
        check("lastLogin", Some(CookieMeaning::Sounds("login")));
        check("x-identity", Some(CookieMeaning::Sounds("identity")));
        check("appJwt", Some(CookieMeaning::Sounds("jwt")));
        // What protects forms, counts visits or merely looks alike.
        for name in [
            "csrftoken",
            "csrf_token",
            "_csrf",
            "_csrf_token",
            "XSRF-TOKEN",
            "xsrf-token",
            "XSRF*",
            "csrf*",
            "__Host-csrftoken",
            "__Host-next-auth.csrf-token",
            "csrf_access_token",
            "__RequestVerificationToken",
            "__RequestVerificationToken_L2NsaW5pYw2",
            ".AspNetCore.Antiforgery.abc",
            ".AspNetCore.Antiforgery.*",
            "YII_CSRF_TOKEN",
            "authenticity_token",
            "_ga",
            "_ga*",
            "_gid",
            "_gat_gtag_UA_1",
            "_ga_ABC123",
            "_pk_id*",
            "_pk_ses*",
            "_hjSession_123",
            "ai_session",
            "ai_user",
            "theme",
            "lang",
            "django_language",
            "_fbp",
            "cookieconsent",
            "OptanonConsent",
            "author",
            "lesson",
            "assessment",
            "__utm*",
            "seen",
            "NEXT_LOCALE",
            "i18n_redirected",
            "messaging",
            "tz",
        ] {
            check(name, None);
        }
    }

    #[test]
    fn tables_hold_nothing_twice_and_no_pattern_that_takes_everything() {
        let all: Vec<String> =
            SESSIONS.iter().chain(TOKENS).chain(MESSAGES).map(|name| name.to_ascii_lowercase()).collect();
        for (index, name) in all.iter().enumerate() {
            assert!(name.split('*').next().is_some_and(|beginning| !beginning.is_empty()), "{name}");
            assert!(name.matches('*').count() <= 2, "{name}");
            let same = all[..index].iter().find(|other| *other == name);
            assert!(same.is_none(), "{name} is there twice");
        }
    }
}
